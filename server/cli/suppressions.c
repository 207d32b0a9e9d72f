/* Verbs of the list of suppressions. */
#include "server/cli/remote.h"
#include "server/cli/show.h"
#include "server/cli/verbs.h"

#include <stdio.h>

enum { BATCH_MAX = 100, BODY_MAX = 64 << 10 };

static void show_suppressions(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {
        {"id", "id"},
        {"email", "email"},
        {"origin", "origin"},
        {"since", "created_at"},
        {"until", "expires_at"},
        {"reason", "reason"},
    };

    show_table(json_get(root, "data"), columns, COUNT_OF(columns), out);
}

static int run_list(const struct cli_args *args)
{
    static const char *const names[] = {"limit", "origin", "after"};

    return remote_run_list(args, "/v1/suppressions", names, COUNT_OF(names),
                           show_suppressions);
}

/* origin: NULL: none is told. */
static int write_addresses(const struct cli_args *args, const char *origin,
                           struct buf *body)
{
    struct json_out out;
    size_t i = 0;

    if (cli_operand(args, 0) == NULL)
        return cli_fail(args, EXIT_USAGE, "takes addresses");
    json_out_init(&out, body);
    json_open_map(&out);
    json_name(&out, "emails");
    json_open_list(&out);
    for (; i < BATCH_MAX && cli_operand(args, i) != NULL; i++)
        json_put_str(&out, str_of(cli_operand(args, i)));
    json_close_list(&out);
    if (origin != NULL)
        json_add_cstr(&out, "origin", origin);
    json_close_map(&out);
    if (cli_operand(args, i) != NULL || body->full)
        return cli_fail(args, EXIT_USAGE, "takes at most %d addresses",
                        BATCH_MAX);
    return EXIT_OK;
}

static void show_ids(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {{"id", "id"}};

    show_table(json_get(root, "data"), columns, COUNT_OF(columns), out);
}

static int change(const struct cli_args *args, const char *path,
                  const char *origin)
{
    struct remote_request request = {
        .method = "POST", .path = path, .needs_key = true};
    struct buf body;
    int code;

    buf_init(&body, BODY_MAX);
    code = write_addresses(args, origin, &body);
    request.body = buf_str(&body);
    if (code == EXIT_OK)
        code = remote_run(args, &request, show_ids);
    buf_finish(&body);
    return code;
}

static int run_add(const struct cli_args *args)
{
    return change(args, "/v1/suppressions/batch/add",
                  cli_option(args, "origin"));
}

static int run_remove(const struct cli_args *args)
{
    return change(args, "/v1/suppressions/batch/remove", NULL);
}

static const struct cli_option LIST_OPTIONS[] = {
    {"origin", "ORIGIN", "only those: bounce, complaint or manual", NULL, NULL},
    {"limit", "N", "how many, up to 100", NULL, "20"},
    {"after", "ID", "older than that one", NULL, NULL},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option ADD_OPTIONS[] = {
    {"origin", "ORIGIN", "why: manual has no end; bounce, complaint", NULL,
     "manual"},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option OPTIONS[] = {
    REMOTE_OPTION_URL, REMOTE_OPTION_KEY_FILE, CLI_OPTION_JSON};

static const struct verb VERBS[] = {
    {
        .name = "suppressions list",
        .purpose = "Lists the addresses that no mail goes to, newest first.",
        .examples = {"posthaste suppressions list",
                     "posthaste suppressions list --origin bounce --json"},
        .options = LIST_OPTIONS,
        .option_count = COUNT_OF(LIST_OPTIONS),
        .run = run_list,
    },
    {
        .name = "suppressions add",
        .operands = "ADDRESS...",
        .purpose = "Lets no mail go to these addresses any more.",
        .examples = {"posthaste suppressions add ada@example.net",
                     "posthaste suppressions add --origin complaint "
                     "ada@example.net bob@example.net"},
        .options = ADD_OPTIONS,
        .option_count = COUNT_OF(ADD_OPTIONS),
        .run = run_add,
    },
    {
        .name = "suppressions remove",
        .operands = "ADDRESS...",
        .purpose = "Lets mail go to these addresses again.",
        .examples = {"posthaste suppressions remove ada@example.net",
                     "posthaste suppressions remove ada@example.net --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_remove,
    },
};

const struct verb_group VERBS_SUPPRESSIONS = {VERBS, COUNT_OF(VERBS)};
