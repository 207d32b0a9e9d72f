#include "api/api.h"
#include "server/base/json.h"
#include "server/base/mem.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { OUTPUT_MAX = 1 << 20 };

/* --- upstreams list --- */

static void print_text(const struct config *config,
                       const struct queue_upstreams *upstreams)
{
    printf("%-16s %-28s %-8s %9s %6s %8s %9s  %s\n", "upstream", "host",
           "state", "sessions", "limit", "waiting", "sent/s", "why");
    for (size_t i = 0; i < upstreams->count; i++) {
        const struct config_upstream *upstream = &config->upstreams[i];
        const struct upstream_report *all = &upstreams->upstreams[i].all;
        char host[300];

        snprintf(host, sizeof host, "%s:%" PRId64, upstream->host,
                 upstream->port);
        printf("%-16s %-28s %-8s %9" PRId64 " %6" PRId64 " %8" PRId64
               " %9.3f  %.*s\n",
               upstream->name, host,
               api_upstream_state(&upstreams->upstreams[i]), all->sessions,
               all->limit, all->waiting, (double)all->sent_rate / 1000,
               STR_ARG(all->why));
    }
}

static void print_json(const struct config *config,
                       const struct queue_upstreams *upstreams)
{
    struct json_out out;
    struct buf text;

    buf_init(&text, OUTPUT_MAX);
    json_out_init(&out, &text);
    json_open_list(&out);
    for (size_t i = 0; i < upstreams->count; i++)
        api_upstream_write(&out, &config->upstreams[i],
                           &upstreams->upstreams[i]);
    json_close_list(&out);
    printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_finish(&text);
}

static void on_list(void *ctx, const struct queue_upstreams *upstreams)
{
    struct tool *tool = ctx;

    if (!tool_is_answered(tool, upstreams->status, &upstreams->why))
        return;
    if (cli_wants_json(tool->args))
        print_json(tool->config, upstreams);
    else
        print_text(tool->config, upstreams);
    tool_done(tool, EXIT_OK);
}

static int ask_list(struct tool *tool, void *ctx)
{
    const struct config *config = tool->config;
    struct str *names = xcalloc(config->upstream_count + 1, sizeof *names);

    (void)ctx;
    for (size_t i = 0; i < config->upstream_count; i++)
        names[i] = str_of(config->upstreams[i].name);
    queue_upstreams_get(tool->queue, names, config->upstream_count, on_list,
                        tool);
    free(names);
    return tool_wait(tool);
}

static int run_list(const struct cli_args *args)
{
    return tool_run(args, ask_list, NULL);
}

/* --- upstreams pause, resume --- */

static void on_steered(void *ctx, const struct queue_answer *answer)
{
    struct tool *tool = ctx;

    if (tool_is_answered(tool, answer->status, &answer->why))
        tool_done(tool, EXIT_OK);
}

static bool is_known(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->upstream_count; i++)
        if (str_eq(str_of(config->upstreams[i].name), str_of(name)))
            return true;
    return false;
}

static int steer(struct tool *tool, bool is_pause)
{
    const char *name = cli_operand(tool->args, 0);
    int code;

    if (!is_known(tool->config, name))
        return cli_fail(tool->args, EXIT_NOT_FOUND,
                        "no upstream is called \"%s\"; see posthaste "
                        "upstreams list",
                        name);
    if (is_pause)
        queue_upstream_pause(tool->queue, str_of(name), on_steered, tool);
    else
        queue_upstream_resume(tool->queue, str_of(name), on_steered, tool);
    code = tool_wait(tool);
    if (code != EXIT_OK)
        return code;
    if (cli_wants_json(tool->args))
        printf("{\"%s\":\"%s\"}\n", is_pause ? "paused" : "resumed", name);
    else
        printf("%s %s\n", name, is_pause ? "paused" : "resumed");
    return EXIT_OK;
}

static int pause_it(struct tool *tool, void *ctx)
{
    (void)ctx;
    return steer(tool, true);
}

static int resume_it(struct tool *tool, void *ctx)
{
    (void)ctx;
    return steer(tool, false);
}

static int run_steer(const struct cli_args *args, tool_work_fn work)
{
    if (cli_operand(args, 0) == NULL)
        return cli_fail(args, EXIT_USAGE, "which upstream? Say its name");
    return tool_run(args, work, NULL);
}

static int run_pause(const struct cli_args *args)
{
    return run_steer(args, pause_it);
}

static int run_resume(const struct cli_args *args)
{
    return run_steer(args, resume_it);
}

static const struct cli_option OPTIONS[] = {CLI_OPTION_CONFIG, CLI_OPTION_JSON};

static const struct verb VERBS[] = {
    {
        .name = "upstreams list",
        .purpose = "Lists the upstreams: state, sessions, what waits and "
                   "leaves.",
        .examples = {"posthaste upstreams list",
                     "posthaste upstreams list --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_list,
    },
    {
        .name = "upstreams pause",
        .operands = "NAME",
        .purpose = "Lets no mail go to an upstream until it is resumed.",
        .examples = {"posthaste upstreams pause main",
                     "posthaste upstreams pause main --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_pause,
    },
    {
        .name = "upstreams resume",
        .operands = "NAME",
        .purpose = "Lets mail go to a paused upstream again.",
        .examples = {"posthaste upstreams resume main",
                     "posthaste upstreams resume main --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_resume,
    },
};

const struct verb_group VERBS_UPSTREAMS = {VERBS, COUNT_OF(VERBS)};
