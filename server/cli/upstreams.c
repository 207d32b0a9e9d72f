#include "api/api.h"
#include "server/base/json.h"
#include "server/base/mem.h"
#include "server/cli/show.h"
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
    show_list_open(&out);
    for (size_t i = 0; i < upstreams->count; i++)
        api_upstream_write(&out, &config->upstreams[i],
                           &upstreams->upstreams[i]);
    show_list_close(&out);
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

/* False: that it is not was said. */
static bool is_known(const struct tool *tool, const char *name)
{
    const struct config *config = tool->config;

    for (size_t i = 0; i < config->upstream_count; i++)
        if (str_eq(str_of(config->upstreams[i].name), str_of(name)))
            return true;
    (void)cli_fail(tool->args, EXIT_NOT_FOUND,
                   "no upstream is called \"%s\"; see posthaste upstreams "
                   "list",
                   name);
    return false;
}

static int steer(struct tool *tool, bool is_pause)
{
    const char *name = cli_operand(tool->args, 0);
    int code;

    if (!is_known(tool, name))
        return EXIT_NOT_FOUND;
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

/* --- upstreams test --- */

static void on_tested(void *ctx, const struct queue_upstream_test *test)
{
    struct tool *tool = ctx;
    struct json *result;
    struct buf text;

    if (!tool_is_answered(tool, test->status, &test->why))
        return;
    result = json_parse(test->result, NULL);
    if (result == NULL) {
        tool_done(tool, cli_fail(tool->args, EXIT_UNREACHABLE,
                                 "no worker has taken the test, or none came "
                                 "to its end: is one running?"));
        return;
    }
    buf_init(&text, OUTPUT_MAX);
    if (cli_wants_json(tool->args))
        buf_addf(&text, "%.*s\n", STR_ARG(test->result));
    else
        show_value(result, &text);
    show_print(&text);
    buf_finish(&text);
    tool_done(tool, json_get_bool(result, "passed") ? EXIT_OK : EXIT_FAILED);
    json_destroy(&result);
}

static int test_it(struct tool *tool, void *ctx)
{
    const char *name = cli_operand(tool->args, 0);

    (void)ctx;
    if (!is_known(tool, name))
        return EXIT_NOT_FOUND;
    queue_upstream_test(tool->queue, str_of(name), on_tested, tool);
    return tool_wait(tool);
}

static int run_test(const struct cli_args *args)
{
    return run_steer(args, test_it);
}

/* --- trace smtp --- */

enum { LOOK_EVERY_MS = 250 };

struct trace {
    struct tool *tool;
    const char *upstream;
    char last[UPSTREAM_TRACE_ID_SIZE];
    int64_t left; /* attempts to show; INT64_MAX: no end */
    struct timer timer;
};

static void show_attempt(struct trace *trace, struct str line)
{
    struct json *attempt;
    struct buf text;

    if (trace->left == 0)
        return;
    if (trace->left != INT64_MAX)
        trace->left--;
    buf_init(&text, OUTPUT_MAX);
    attempt = json_parse(line, NULL);
    if (attempt == NULL || cli_wants_json(trace->tool->args)) {
        buf_addf(&text, "%.*s\n", STR_ARG(line));
    } else {
        show_value(attempt, &text);
        buf_add_char(&text, '\n');
    }
    json_destroy(&attempt);
    show_print(&text);
    buf_finish(&text);
}

static void on_traced(void *ctx, const struct queue_upstream_trace *told)
{
    struct trace *trace = ctx;

    if (!tool_is_answered(trace->tool, told->status, &told->why))
        return;
    snprintf(trace->last, sizeof trace->last, "%s", told->last);
    for (size_t i = 0; i < told->count; i++)
        show_attempt(trace, told->lines[i]);
    fflush(stdout);
    if (trace->left == 0)
        tool_done(trace->tool, EXIT_OK);
    else
        timer_set(trace->tool->loop, &trace->timer, LOOK_EVERY_MS);
}

static void look_again(void *ctx)
{
    struct trace *trace = ctx;

    queue_upstream_trace(trace->tool->queue, str_of(trace->upstream),
                         trace->last, on_traced, trace);
}

static int trace_it(struct tool *tool, void *ctx)
{
    struct trace *trace = ctx;
    int code;

    trace->tool = tool;
    if (!is_known(tool, trace->upstream))
        return EXIT_NOT_FOUND;
    timer_init(&trace->timer, look_again, trace);
    look_again(trace);
    code = tool_wait(tool);
    timer_clear(tool->loop, &trace->timer);
    return code;
}

static int run_trace(const struct cli_args *args)
{
    struct trace trace = {
        .upstream = cli_option(args, "upstream"),
        .left = INT64_MAX,
    };

    if (trace.upstream == NULL)
        return cli_fail(args, EXIT_USAGE,
                        "which upstream? Say --upstream NAME");
    if (!cli_number(args, "count", 1, INT32_MAX, &trace.left))
        return EXIT_USAGE;
    return tool_run(args, trace_it, &trace);
}

static const struct cli_option TRACE_OPTIONS[] = {
    {"upstream", "NAME", "the upstream to watch", NULL, NULL},
    {"count", "N", "ends behind so many attempts; else by Ctrl-C", NULL, NULL},
    CLI_OPTION_CONFIG,
    CLI_OPTION_JSON,
};

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
        .name = "upstreams test",
        .operands = "NAME",
        .purpose = "Has a worker open a session to an upstream and log in, and "
                   "shows what was said.",
        .examples = {"posthaste upstreams test main",
                     "posthaste upstreams test main --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_test,
    },
    {
        .name = "trace smtp",
        .purpose = "Shows each attempt at an upstream as it ends, with what "
                   "was said.",
        .examples = {"posthaste trace smtp --upstream main",
                     "posthaste trace smtp --upstream main --count 1 --json"},
        .options = TRACE_OPTIONS,
        .option_count = COUNT_OF(TRACE_OPTIONS),
        .run = run_trace,
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
