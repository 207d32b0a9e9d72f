/* The verb lint: what may be wrong with a mail, or with the templates of a
 * folder, without a server. */
#include "api/api.h"
#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/cli/lint_folder.h"
#include "server/cli/show.h"
#include "server/cli/source.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"

#include <stdio.h>

enum {
    BODY_MAX = 40 << 20,
    ANSWER_MAX = 16 << 20,
    PROBLEMS_MAX = 64 << 10,
};

static bool has_error(const struct json *lint)
{
    for (size_t i = 0; i < json_count(lint); i++)
        if (str_eq(json_get_str(json_at(lint, i), "level"), S("error")))
            return true;
    return false;
}

static bool is_json(struct str text)
{
    struct json *root = json_parse(text, NULL);
    bool is_read = root != NULL;

    json_destroy(&root);
    return is_read;
}

/* 1 when there is an error. */
static int show(const struct cli_args *args, struct str answer)
{
    struct json *root = json_parse(answer, NULL);
    const struct json *lint = json_get(root, "lint");
    int code = has_error(lint) ? EXIT_FAILED : EXIT_OK;
    struct buf out;

    if (cli_wants_json(args)) {
        printf("%.*s\n", STR_ARG(answer));
    } else {
        buf_init(&out, ANSWER_MAX);
        if (json_count(lint) == 0)
            buf_add_cstr(&out, "nothing to say against it\n");
        show_lint(lint, &out);
        show_print(&out);
        buf_finish(&out);
    }
    json_destroy(&root);
    return code;
}

static int judge(const struct cli_args *args, struct str body,
                 const struct config *config)
{
    struct buf answer;
    struct buf problems;
    int code;

    buf_init(&answer, ANSWER_MAX);
    buf_init(&problems, PROBLEMS_MAX);
    if (api_dry_run(body, config, clock_wall_ms(), &answer, &problems)) {
        code = show(args, buf_str(&answer));
    } else {
        code = is_json(body) ? EXIT_FAILED : EXIT_USAGE;
        fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems)));
    }
    buf_finish(&problems);
    buf_finish(&answer);
    return code;
}

static int run_file(const struct cli_args *args)
{
    struct error err = {0};
    struct config *config;
    struct buf body;
    int code;

    if (cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE, "%s is no folder: one file at a time",
                        cli_operand(args, 0));
    if (cli_option(args, "class") != NULL)
        return cli_fail(args, EXIT_USAGE,
                        "--class is for a folder: a body has its own");
    config = tool_read_config(args);
    if (config == NULL)
        return EXIT_CONFIG;
    buf_init(&body, BODY_MAX);
    code = cli_read_source(cli_operand(args, 0), &body, &err)
               ? judge(args, buf_str(&body), config)
               : cli_fail_error(args, &err);
    buf_finish(&body);
    config_destroy(&config);
    return code;
}

static int run_folder(const struct cli_args *args)
{
    enum mail_class mail_class = CLASS_TRANSACTIONAL;
    const char *word = cli_option(args, "class");
    struct buf answer;
    int found = EXIT_OK;
    int code;

    if (word != NULL && !mail_class_parse(str_of(word), &mail_class))
        return cli_fail(args, EXIT_USAGE,
                        "--class: \"%s\" is none of verification, reset, "
                        "alert, transactional, bulk",
                        word);
    buf_init(&answer, ANSWER_MAX);
    code = lint_folder(args, mail_class, &answer);
    if (answer.full)
        code = cli_fail(args, EXIT_FAILED, "too much is wrong to be told");
    else if (answer.len > 0)
        found = show(args, buf_str(&answer));
    buf_finish(&answer);
    return code == EXIT_OK ? found : code;
}

static int run_lint(const struct cli_args *args)
{
    const char *path = cli_operand(args, 0);

    if (path == NULL)
        return cli_fail(args, EXIT_USAGE,
                        "takes a file, - for standard input, or a folder of "
                        "templates");
    return file_is_folder(path) ? run_folder(args) : run_file(args);
}

static const struct cli_option OPTIONS[] = {
    {"class", "CLASS",
     "of the mails of a folder: verification, reset, alert, bulk; else "
     "transactional",
     NULL, NULL},
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "lint",
        .operands = "FILE|-|FOLDER [ALIAS...]",
        .purpose =
            "Says what may be wrong with a mail, given as a body of POST "
            "/v1/emails, or with the templates of a folder. Nothing is sent "
            "and no server is asked; exit code 1 when there is an error.",
        .examples = {"posthaste lint mail.json",
                     "posthaste lint --json templates"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_lint,
    },
};

const struct verb_group VERBS_LINT = {VERBS, COUNT_OF(VERBS)};
