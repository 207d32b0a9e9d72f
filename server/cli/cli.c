#include "server/cli/cli.h"

#include "server/base/mem.h"
#include "server/base/nearest.h"
#include "server/base/str.h"
#include "server/cli/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTIONS_MAX = 24, VERBS_MAX = 128 };

struct cli_args {
    const struct verb *verb;
    const char *values[OPTIONS_MAX]; /* "" for a flag that was given */
    bool is_sure;                    /* --yes */
    char **operands;
    size_t operand_count;
};

/* In the order of the help. */
static const struct verb_group *const GROUPS[] = {
    &VERBS_DEV,       &VERBS_ROLES,        &VERBS_SETUP,     &VERBS_KEYRING,
    &VERBS_KEYS,      &VERBS_EMAILS,       &VERBS_LINT,      &VERBS_LISTS,
    &VERBS_WEBHOOKS,  &VERBS_SUPPRESSIONS, &VERBS_TEMPLATES, &VERBS_DOMAINS,
    &VERBS_INBOX,     &VERBS_QUEUE,        &VERBS_PARTITION, &VERBS_PARKED,
    &VERBS_UPSTREAMS, &VERBS_RETURN_PATH,  &VERBS_FEEDBACK,  &VERBS_MIGRATE,
    &VERBS_PROBE,     &VERBS_VERSION,
};

/* --- arguments --- */

static size_t option_index(const struct verb *verb, const char *name)
{
    for (size_t i = 0; i < verb->option_count; i++)
        if (strcmp(verb->options[i].name, name) == 0)
            return i;
    CHECK(false); /* an option that the verb's table does not have */
    return 0;
}

const char *cli_option(const struct cli_args *args, const char *name)
{
    size_t i = option_index(args->verb, name);
    const struct cli_option *option = &args->verb->options[i];
    const char *from_env = NULL;

    if (args->values[i] != NULL)
        return args->values[i];
    if (option->env != NULL)
        from_env = getenv(option->env);
    return from_env != NULL && from_env[0] != '\0' ? from_env
                                                   : option->fallback;
}

bool cli_flag(const struct cli_args *args, const char *name)
{
    return args->values[option_index(args->verb, name)] != NULL;
}

bool cli_number(const struct cli_args *args, const char *name, int64_t min,
                int64_t max, int64_t *number)
{
    const char *text = cli_option(args, name);
    uint64_t value;

    if (text == NULL)
        return true;
    if (!str_to_u64(str_of(text), &value) || value > INT64_MAX ||
        (int64_t)value < min || (int64_t)value > max) {
        cli_fail(args, EXIT_USAGE,
                 "--%s: \"%s\" is not a whole number from %lld to %lld", name,
                 text, (long long)min, (long long)max);
        return false;
    }
    *number = (int64_t)value;
    return true;
}

const char *cli_operand(const struct cli_args *args, size_t n)
{
    return n < args->operand_count ? args->operands[n] : NULL;
}

bool cli_wants(const struct cli_args *args, size_t n, struct str operand)
{
    for (size_t i = n; i < args->operand_count; i++)
        if (str_eq(operand, str_of(args->operands[i])))
            return true;
    return args->operand_count <= n;
}

bool cli_wants_json(const struct cli_args *args)
{
    return cli_flag(args, "json") || !isatty(STDOUT_FILENO);
}

int cli_fail(const struct cli_args *args, enum exit_code code,
             const char *format, ...)
{
    va_list list;

    fprintf(stderr, "posthaste %s: ", args->verb->name);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return (int)code;
}

int cli_fail_error(const struct cli_args *args, const struct error *err)
{
    static const enum exit_code CODES[] = {
        [ERR_NONE] = EXIT_FAILED,       [ERR_INPUT] = EXIT_USAGE,
        [ERR_CONFIG] = EXIT_CONFIG,     [ERR_REMOTE] = EXIT_UNREACHABLE,
        [ERR_TIMEOUT] = EXIT_TIMED_OUT, [ERR_BUSY] = EXIT_FAILED,
        [ERR_SYSTEM] = EXIT_FAILED,
    };

    return cli_fail(args, CODES[err->kind], "%s", err->text);
}

/* --- help --- */

static const struct cli_option YES = {"yes", NULL, "without asking", NULL,
                                      NULL};

static void print_usage(FILE *out, const struct verb *verb)
{
    fprintf(out, "usage: posthaste %s%s%s%s\n", verb->name,
            verb->option_count > 0 ? " [options]" : "",
            verb->operands != NULL ? " " : "",
            verb->operands != NULL ? verb->operands : "");
}

static void print_option(FILE *out, const struct cli_option *option)
{
    char left[64];

    snprintf(left, sizeof left, "--%s%s%s", option->name,
             option->value != NULL ? " " : "",
             option->value != NULL ? option->value : "");
    fprintf(out, "  %-24s %s", left, option->help);
    if (option->fallback != NULL)
        fprintf(out, " (default %s)", option->fallback);
    if (option->env != NULL)
        fprintf(out, " [%s]", option->env);
    fputc('\n', out);
}

static void print_verb_help(const struct verb *verb)
{
    printf("%s\n\n", verb->purpose);
    print_usage(stdout, verb);
    puts("\nexamples:");
    for (size_t i = 0; i < COUNT_OF(verb->examples); i++)
        if (verb->examples[i] != NULL)
            printf("  %s\n", verb->examples[i]);
    if (verb->option_count > 0)
        puts("\noptions:");
    for (size_t i = 0; i < verb->option_count; i++)
        print_option(stdout, &verb->options[i]);
    if (verb->warning != NULL)
        print_option(stdout, &YES);
}

static void print_help(FILE *out)
{
    fputs("Posthaste: transactional mail over HTTP, durable, and in time.\n\n"
          "usage: posthaste VERB [options]\n\nverbs:\n",
          out);
    for (size_t i = 0; i < COUNT_OF(GROUPS); i++)
        for (size_t j = 0; j < GROUPS[i]->count; j++)
            fprintf(out, "  %-22s %s\n", GROUPS[i]->verbs[j].name,
                    GROUPS[i]->verbs[j].purpose);
    fputs("\nposthaste VERB --help tells more of one.\n", out);
}

/* --- parsing --- */

static int refuse_option(const struct cli_args *args, const char *given)
{
    const struct verb *verb = args->verb;
    const char *names[OPTIONS_MAX];
    struct str rest = str_of(given);
    struct str wrong = rest;
    const char *near;

    for (size_t i = 0; i < verb->option_count; i++)
        names[i] = verb->options[i].name;
    while (str_starts(rest, S("-")))
        rest = str_from(rest, 1);
    str_cut(&rest, '=', &wrong);
    near = nearest_name(wrong, names, verb->option_count);
    cli_fail(args, EXIT_USAGE, "unknown option %s%s%s%s", given,
             near != NULL ? "; did you mean --" : "", near != NULL ? near : "",
             near != NULL ? "?" : "");
    print_usage(stderr, verb);
    return EXIT_USAGE;
}

/* EXIT_OK: run the verb; -1: help was asked for. */
static int parse(struct cli_args *args, int argc, char **argv)
{
    struct option longs[OPTIONS_MAX + 3] = {0};
    const struct verb *verb = args->verb;
    const size_t help = verb->option_count;
    int at;
    int found;

    CHECK(verb->option_count < OPTIONS_MAX);
    for (size_t i = 0; i < verb->option_count; i++) {
        longs[i].name = verb->options[i].name;
        longs[i].has_arg =
            verb->options[i].value != NULL ? required_argument : no_argument;
    }
    longs[help].name = "help";
    if (verb->warning != NULL)
        longs[help + 1].name = YES.name;
    opterr = 0;
    optind = 1;
    while ((found = getopt_long(argc, argv, ":h", longs, &at)) != -1) {
        if (found == 'h' || (found == 0 && (size_t)at == help))
            return -1;
        if (found == ':')
            return cli_fail(args, EXIT_USAGE, "%s wants a value",
                            argv[optind - 1]);
        if (found == '?')
            return refuse_option(args, optopt == 0
                                           ? argv[optind - 1]
                                           : (char[]){'-', (char)optopt, 0});
        if ((size_t)at > help)
            args->is_sure = true;
        else
            args->values[at] = optarg != NULL ? optarg : "";
    }
    args->operands = argv + optind;
    args->operand_count = (size_t)(argc - optind);
    if (args->operand_count > 0 && verb->operands == NULL)
        return cli_fail(args, EXIT_USAGE, "takes no operand, but was given %s",
                        args->operands[0]);
    return EXIT_OK;
}

/* --- what cannot be undone --- */

static int ask(const struct cli_args *args)
{
    const struct verb *verb = args->verb;
    char answer[8];

    if (verb->warning == NULL || args->is_sure)
        return EXIT_OK;
    if (!isatty(STDIN_FILENO))
        return cli_fail(args, EXIT_USAGE, "%s; say --yes", verb->warning);
    fprintf(stderr, "posthaste %s: %s. Go on? [y/N] ", verb->name,
            verb->warning);
    if (fgets(answer, sizeof answer, stdin) != NULL &&
        ascii_lower(answer[0]) == 'y')
        return EXIT_OK;
    return cli_fail(args, EXIT_FAILED, "nothing was done");
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
    struct cli_args args = {.verb = verb};
    int code = parse(&args, argc, argv);

    if (code == -1) {
        print_verb_help(verb);
        return EXIT_OK;
    }
    if (code == EXIT_OK)
        code = ask(&args);
    return code == EXIT_OK ? verb->run(&args) : code;
}

/* Words of a verb's name that the command line begins with; 0: another. */
static int words_matched(const struct verb *verb, int argc, char **argv)
{
    struct str rest = str_of(verb->name);
    struct str word;
    int words = 0;

    while (str_cut(&rest, ' ', &word)) {
        if (words >= argc || !str_eq(word, str_of(argv[words])))
            return 0;
        words++;
    }
    return words;
}

static int refuse_verb(int argc, char **argv)
{
    const char *second = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
    const char *names[VERBS_MAX];
    char given[128];
    size_t count = 0;
    size_t kin = 0; /* that begin with the first word */
    const char *near = NULL;

    for (size_t i = 0; i < COUNT_OF(GROUPS); i++)
        for (size_t j = 0; j < GROUPS[i]->count; j++) {
            CHECK(count < VERBS_MAX);
            names[count] = GROUPS[i]->verbs[j].name;
            kin += str_starts(str_of(names[count++]), str_of(argv[0]));
        }
    snprintf(given, sizeof given, "%s %s", argv[0], second);
    if (kin == 0 || second[0] != '\0')
        near = nearest_name(str_trim(str_of(given)), names, count);
    if (kin == 0 && near == NULL)
        near = nearest_name(str_of(argv[0]), names, count);
    fprintf(stderr, "posthaste: unknown verb %s%s%s%s\n", argv[0],
            near != NULL ? "; did you mean " : "", near != NULL ? near : "",
            near != NULL ? "?" : "");
    for (size_t i = 0; near == NULL && i < count; i++)
        if (str_starts(str_of(names[i]), str_of(argv[0])))
            fprintf(stderr, "  posthaste %s\n", names[i]);
    return EXIT_USAGE;
}

/* Whoever started us may have closed some. What is opened next would take
 * their places, and what is printed would go into it. */
static bool standard_descriptors_fill(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    return true;
}

int cli_run(int argc, char **argv)
{
    if (!standard_descriptors_fill())
        return EXIT_FAILED;
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    for (size_t i = 0; i < COUNT_OF(GROUPS); i++) {
        for (size_t j = 0; j < GROUPS[i]->count; j++) {
            const struct verb *verb = &GROUPS[i]->verbs[j];
            int words = words_matched(verb, argc - 1, argv + 1);

            if (words > 0)
                return run_verb(verb, argc - words, argv + words);
        }
    }
    return refuse_verb(argc - 1, argv + 1);
}
