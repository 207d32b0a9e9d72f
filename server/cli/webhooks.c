#include "server/base/id.h"
#include "server/cli/remote.h"
#include "server/cli/show.h"
#include "server/cli/verbs.h"

#include <stdio.h>

enum { BODY_MAX = 64 << 10, PATH_SIZE = 256 };

static void write_endpoint(const char *endpoint, const char *events,
                           struct buf *body)
{
    struct str rest = str_of(events);
    struct str event;
    struct json_out out;

    json_out_init(&out, body);
    json_open_map(&out);
    json_add_cstr(&out, "endpoint", endpoint);
    json_name(&out, "events");
    json_open_list(&out);
    while (rest.len > 0 && str_cut(&rest, ',', &event))
        json_put_str(&out, str_trim(event));
    json_close_list(&out);
    json_close_map(&out);
}

static int run_create(const struct cli_args *args)
{
    const char *endpoint = cli_operand(args, 0);
    struct remote_request request = {
        .method = "POST", .path = "/v1/webhooks", .needs_key = true};
    struct remote_answer answer = {0};
    struct buf body;
    int code;

    if (endpoint == NULL || cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes one URL");
    buf_init(&body, BODY_MAX);
    write_endpoint(endpoint, cli_option(args, "events"), &body);
    request.body = buf_str(&body);
    code = body.full ? cli_fail(args, EXIT_USAGE, "too long")
                     : remote_ask(args, &request, &answer);
    buf_finish(&body);
    if (code != EXIT_OK)
        return code;
    fputs("keep the signing secret: it is not shown again\n", stderr);
    remote_print(args, &answer, show_value);
    remote_answer_finish(&answer);
    return EXIT_OK;
}

static void show_webhooks(const struct json *root, struct buf *out)
{
    static const struct show_column columns[] = {
        {"id", "id"},
        {"status", "status"},
        {"endpoint", "endpoint"},
        {"events", "events"},
        {"reason", "disabled_reason"},
    };

    show_table(json_get(root, "data"), columns, COUNT_OF(columns), out);
}

static int run_list(const struct cli_args *args)
{
    const struct remote_request request = {
        .method = "GET", .path = "/v1/webhooks?limit=100", .needs_key = true};

    return remote_run(args, &request, show_webhooks);
}

static int run_delete(const struct cli_args *args)
{
    const char *given = cli_operand(args, 0);
    char path[PATH_SIZE];
    const struct remote_request request = {
        .method = "DELETE", .path = path, .needs_key = true};
    struct id id;

    if (given == NULL || cli_operand(args, 1) != NULL)
        return cli_fail(args, EXIT_USAGE, "takes one id");
    if (!id_parse(str_of(given), &id))
        return cli_fail(args, EXIT_USAGE, "\"%s\" is not an id", given);
    snprintf(path, sizeof path, "/v1/webhooks/%s", id.text);
    return remote_run(args, &request, show_value);
}

static const struct cli_option CREATE_OPTIONS[] = {
    {"events", "LIST",
     "event types, with commas; email.* is all of a family, * everything", NULL,
     "*"},
    REMOTE_OPTION_URL,
    REMOTE_OPTION_KEY_FILE,
    CLI_OPTION_JSON,
};

static const struct cli_option OPTIONS[] = {
    REMOTE_OPTION_URL, REMOTE_OPTION_KEY_FILE, CLI_OPTION_JSON};

static const struct verb VERBS[] = {
    {
        .name = "webhooks create",
        .operands = "URL",
        .purpose = "Adds an endpoint that events are sent to.",
        .examples = {"posthaste webhooks create https://example.com/hook",
                     "posthaste webhooks create https://example.com/hook "
                     "--events email.sent,email.bounced"},
        .options = CREATE_OPTIONS,
        .option_count = COUNT_OF(CREATE_OPTIONS),
        .run = run_create,
    },
    {
        .name = "webhooks list",
        .purpose = "Lists the endpoints.",
        .examples = {"posthaste webhooks list",
                     "posthaste webhooks list --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_list,
    },
    {
        .name = "webhooks delete",
        .operands = "ID",
        .purpose = "Removes an endpoint; what waits for it is dropped.",
        .examples = {"posthaste webhooks delete "
                     "019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11",
                     "posthaste webhooks delete ID --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .warning = "an endpoint, and what waits for it, is gone for good",
        .run = run_delete,
    },
};

const struct verb_group VERBS_WEBHOOKS = {VERBS, COUNT_OF(VERBS)};
