/* Verbs of the domains that mail is sent from. */
#include "server/cli/remote.h"
#include "server/cli/show.h"
#include "server/cli/verbs.h"

#include <stdio.h>

enum { BODY_MAX = 4096, PATH_SIZE = 4096, ZONE_MAX = 1 << 20 };

/* --- what is shown --- */

/* What a person publishes, and how each record stands. */
static void show_domain(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {
        {"status", "status"}, {"record", "record"}, {"type", "type"},
        {"name", "fqdn"},     {"weight", "weight"}, {"reason", "reason"},
    };
    static const struct show_column keys[] = {
        {"keys", "generation"},
        {"state", "state"},
        {"signs", "signs_at"},
        {"retires", "retires_at"},
        {"compromised", "compromised_at"},
    };

    buf_addf(out, "%.*s: %.*s (%.*s)\n", STR_ARG(json_get_str(root, "name")),
             STR_ARG(json_get_str(root, "status")),
             STR_ARG(json_get_str(root, "id")));
    show_table(json_get(root, "records"), columns, COUNT_OF(columns), out);
    buf_add_char(out, '\n');
    show_table(json_get(root, "keys"), keys, COUNT_OF(keys), out);
}

static void show_list(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {
        {"id", "id"},
        {"name", "name"},
        {"status", "status"},
        {"since", "created_at"},
    };

    show_table(json_get(root, "data"), columns, COUNT_OF(columns), out);
}

/* As a zone file takes them. What it is for stands before; a value that has to
 * be split is there in one line as well, for forms of DNS providers. */
static void show_record(const struct json *record, struct buf *out)
{
    struct str value = json_get_str(record, "value");
    bool is_txt = str_eq(json_get_str(record, "type"), S("TXT"));

    buf_addf(out, "; %.*s, %.*s: %.*s\n",
             STR_ARG(json_get_str(record, "record")),
             STR_ARG(json_get_str(record, "weight")),
             STR_ARG(json_get_str(record, "status")));
    if (is_txt)
        buf_addf(out, "; in one line: %.*s\n", STR_ARG(value));
    buf_addf(out, "%.*s. IN %.*s %.*s\n", STR_ARG(json_get_str(record, "fqdn")),
             STR_ARG(json_get_str(record, "type")),
             STR_ARG(json_get_str(record, "value_split")));
}

static void show_zone(const struct json *root, struct buf *out)
{
    const struct json *records = json_get(root, "records");
    struct buf zone;

    buf_init(&zone, ZONE_MAX);
    for (size_t i = 0; i < json_count(records); i++)
        show_record(json_at(records, i), &zone);
    show_text(buf_str(&zone), out);
    buf_finish(&zone);
}

static void show_id(const struct json *root, struct buf *out)
{
    buf_addf(out, "%.*s\n", STR_ARG(json_get_str(root, "id")));
}

/* --- what is asked --- */

/* A zone file is for files and pipes, too: JSON only for who says so. */
static int run_zone(const struct cli_args *args,
                    const struct remote_request *request, remote_show_fn show)
{
    struct remote_answer answer = {0};
    int code = remote_ask(args, request, &answer);
    struct buf out;

    if (code != EXIT_OK)
        return code;
    if (cli_flag(args, "json")) {
        remote_print_json(&answer);
    } else {
        buf_init(&out, ZONE_MAX);
        show(answer.root, &out);
        show_print(&out);
        buf_finish(&out);
    }
    remote_answer_finish(&answer);
    return EXIT_OK;
}

/* "/v1/domains/NAME" and what follows. */
static int ask_one(const struct cli_args *args, const char *method,
                   const char *tail, const char *body,
                   int (*run)(const struct cli_args *args,
                              const struct remote_request *request,
                              remote_show_fn show),
                   remote_show_fn show)
{
    struct remote_request request = {.method = method, .needs_key = true};
    struct buf path;
    int code;

    if (cli_operand(args, 0) == NULL || cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes one domain, or its id");
    buf_init(&path, PATH_SIZE);
    buf_add_cstr(&path, "/v1/domains/");
    remote_encode(str_of(cli_operand(args, 0)), &path);
    buf_add_cstr(&path, tail);
    request.path = path.data;
    request.body = str_of(body);
    code = path.full ? cli_fail(args, EXIT_USAGE, "the name is too long")
                     : run(args, &request, show);
    buf_finish(&path);
    return code;
}

static int run_show(const struct cli_args *args)
{
    return ask_one(args, "GET", "", "", remote_run, show_domain);
}

static int run_records(const struct cli_args *args)
{
    return ask_one(args, "GET", "", "", run_zone, show_zone);
}

static int run_check(const struct cli_args *args)
{
    int code = ask_one(args, "POST", "/verify", "", remote_run, show_id);

    if (code == EXIT_OK)
        fprintf(stderr,
                "its records are being looked up; some seconds later, "
                "`posthaste domains show %s` has what was found\n",
                cli_operand(args, 0));
    return code;
}

static int run_rotate(const struct cli_args *args)
{
    bool is_compromised = cli_flag(args, "compromised");
    int code = ask_one(args, "POST", "/rotate",
                       is_compromised ? "{\"compromised\":true}" : "",
                       remote_run, show_zone);

    if (code == EXIT_OK && is_compromised)
        fputs("publish the records of the next keys now: until a check has "
              "seen both, those of before sign\n",
              stderr);
    return code;
}

static int run_remove(const struct cli_args *args)
{
    return ask_one(args, "DELETE", "", "", remote_run, show_id);
}

static int run_add(const struct cli_args *args)
{
    struct remote_request request = {
        .method = "POST", .path = "/v1/domains", .needs_key = true};
    struct json_out out;
    struct buf body;
    int code;

    if (cli_operand(args, 0) == NULL || cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes one domain");
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "name", cli_operand(args, 0));
    json_add_cstr(&out, "custom_return_path", cli_option(args, "return-path"));
    json_close_map(&out);
    request.body = buf_str(&body);
    code = body.full ? cli_fail(args, EXIT_USAGE, "the name is too long")
                     : remote_run(args, &request, show_zone);
    buf_finish(&body);
    return code;
}

static int run_list(const struct cli_args *args)
{
    static const char *const names[] = {"limit", "after"};

    return remote_run_list(args, "/v1/domains", names, COUNT_OF(names),
                           show_list);
}

/* --- the table --- */

static const struct cli_option OPTIONS[] = {
    REMOTE_OPTION_URL, REMOTE_OPTION_KEY_FILE, CLI_OPTION_JSON};

static const struct cli_option ADD_OPTIONS[] = {
    {"return-path", "LABEL", "the host below it that bounces go to", NULL,
     "send"},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option ROTATE_OPTIONS[] = {
    {"compromised", NULL, "others may have its keys: replace them at once",
     NULL, NULL},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option LIST_OPTIONS[] = {
    {"limit", "N", "how many, up to 100", NULL, "20"},
    {"after", "ID", "older than that one", NULL, NULL},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "domains add",
        .operands = "DOMAIN",
        .purpose = "Adds a domain to send from, and prints its DNS records.",
        .examples = {"posthaste domains add example.com",
                     "posthaste domains add example.com --return-path bounces"},
        .options = ADD_OPTIONS,
        .option_count = COUNT_OF(ADD_OPTIONS),
        .run = run_add,
    },
    {
        .name = "domains list",
        .purpose = "Lists domains, newest first.",
        .examples = {"posthaste domains list",
                     "posthaste domains list --limit 100 --json"},
        .options = LIST_OPTIONS,
        .option_count = COUNT_OF(LIST_OPTIONS),
        .run = run_list,
    },
    {
        .name = "domains show",
        .operands = "DOMAIN",
        .purpose = "Shows how a domain and each of its records stand.",
        .examples = {"posthaste domains show example.com",
                     "posthaste domains show example.com --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_show,
    },
    {
        .name = "domains check",
        .operands = "DOMAIN",
        .purpose = "Has its records looked up in DNS now.",
        .examples = {"posthaste domains check example.com",
                     "posthaste domains check example.com --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_check,
    },
    {
        .name = "domains records",
        .operands = "DOMAIN",
        .purpose = "Prints what to publish, as a zone file takes it.",
        .examples = {"posthaste domains records example.com",
                     "posthaste domains records example.com >> example.zone"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_records,
    },
    {
        .name = "domains rotate",
        .operands = "DOMAIN",
        .purpose = "Makes its next DKIM keys, and prints all its records.",
        .examples = {"posthaste domains rotate example.com",
                     "posthaste domains rotate example.com --compromised"},
        .options = ROTATE_OPTIONS,
        .option_count = COUNT_OF(ROTATE_OPTIONS),
        .run = run_rotate,
    },
    {
        .name = "domains remove",
        .operands = "DOMAIN",
        .purpose = "Removes a domain; mail that waits is signed all the same.",
        .examples = {"posthaste domains remove example.com",
                     "posthaste domains remove example.com --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .warning = "a domain's keys are gone for good",
        .run = run_remove,
    },
};

const struct verb_group VERBS_DOMAINS = {VERBS, COUNT_OF(VERBS)};
