#include "server/base/config.h"
#include "server/base/json.h"
#include "server/cli/client.h"
#include "server/cli/show.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"

#include <stdio.h>
#include <string.h>

enum { URL_SIZE = 512, TIMEOUT_MS = 5000 };

/* Where a listener on all addresses is reached from this machine. */
static void local_url(const char *listen, char url[URL_SIZE])
{
    struct str rest = str_of(listen);

    if (str_starts(rest, S("*:")) || str_starts(rest, S("0.0.0.0:")))
        snprintf(url, URL_SIZE, "127.0.0.1%.*s",
                 STR_ARG(str_from(rest, (size_t)str_index(rest, ':', 0))));
    else if (str_starts(rest, S("[::]:")))
        snprintf(url, URL_SIZE, "[::1]%.*s", STR_ARG(str_from(rest, 4)));
    else
        snprintf(url, URL_SIZE, "%s", listen);
}

/* The admin listener of --role, from --config. */
static int find_url(const struct cli_args *args, char url[URL_SIZE])
{
    const char *role = cli_option(args, "role");
    const char *listen;
    struct config *config = tool_read_config(args);

    if (config == NULL)
        return EXIT_CONFIG;
    listen = strcmp(role, "api") == 0      ? config->api.admin_listen
             : strcmp(role, "worker") == 0 ? config->worker.admin_listen
             : strcmp(role, "hooks") == 0  ? config->hooks.admin_listen
                                           : NULL;
    if (listen != NULL)
        local_url(listen, url);
    config_destroy(&config);
    return listen != NULL
               ? EXIT_OK
               : cli_fail(args, EXIT_USAGE,
                          "--role: api, worker or hooks, not %s", role);
}

/* Why children are not ready, or not for all partitions, each reason once. */
static void say_reasons(const struct json *root)
{
    const struct json *children = json_get(root, "children");
    struct str last = S("");
    struct buf line;

    buf_init(&line, 4096);
    for (size_t i = 0; i < json_count(children); i++) {
        struct str reason = json_get_str(json_at(children, i), "reason");

        if (reason.len == 0 || str_eq(reason, last))
            continue;
        buf_clear(&line);
        show_text(reason, &line);
        fprintf(stderr, "  %.*s", STR_ARG(buf_str(&line)));
        last = reason;
    }
    buf_finish(&line);
}

static int tell(const struct cli_args *args, struct client_answer *answer)
{
    struct json *root = json_parse(buf_str(&answer->body), NULL);
    bool ok = answer->status == 200;

    if (cli_wants_json(args))
        printf("%.*s\n", STR_ARG(buf_str(&answer->body)));
    else
        printf("%.*s\n", STR_ARG(json_get_str(root, "status")));
    if (!ok)
        cli_fail(args, EXIT_FAILED, "answered %d", answer->status);
    say_reasons(root);
    json_destroy(&root);
    client_answer_finish(answer);
    return ok ? EXIT_OK : EXIT_FAILED;
}

static int probe(const struct cli_args *args, const char *path)
{
    char url[URL_SIZE];
    const struct client_request request = {
        .base = url, .method = "GET", .path = path, .timeout_ms = TIMEOUT_MS};
    struct client_answer answer;
    struct error err;
    int code = find_url(args, url);

    if (code != EXIT_OK)
        return code;
    if (!client_ask(&request, &answer, &err))
        return cli_fail_error(args, &err);
    return tell(args, &answer);
}

static int run_live(const struct cli_args *args)
{
    return probe(args, "/livez");
}

static int run_ready(const struct cli_args *args)
{
    return probe(args, "/readyz");
}

static const struct cli_option OPTIONS[] = {
    {"role", "ROLE", "api, worker or hooks", NULL, "api"},
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

static const struct verb VERBS[] = {
    {
        .name = "live",
        .purpose = "Asks whether a role runs.",
        .examples = {"posthaste live",
                     "posthaste live --role worker --config posthaste.toml"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_live,
    },
    {
        .name = "ready",
        .purpose = "Asks whether a role can do its work; fit for HEALTHCHECK.",
        .examples = {"posthaste ready",
                     "posthaste ready --role hooks --config posthaste.toml"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_ready,
    },
};

const struct verb_group VERBS_PROBE = {VERBS, COUNT_OF(VERBS)};
