#include "server/base/json.h"
#include "server/cli/tool.h"
#include "server/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>

enum { OUTPUT_MAX = 16 << 10 };

static void print_lane(const char *name, const struct queue_lane_stats *lane)
{
    printf("%-14s %10" PRIu64 " %10" PRIu64 " %12" PRId64 " %10.3f %11.3f\n",
           name, lane->queued, lane->due, lane->oldest_ms,
           (double)lane->accepted_rate / 1000,
           (double)lane->delivered_rate / 1000);
}

static void print_text(const struct queue_stats *stats)
{
    static const char *const LANES[LANE_COUNT] = {"verification", "alert",
                                                  "transactional", "bulk"};
    struct queue_lane_stats all = queue_stats_all(stats);

    printf("%-14s %10s %10s %12s %10s %11s\n", "lane", "queued", "due",
           "oldest ms", "accepted/s", "delivered/s");
    for (size_t i = 0; i < LANE_COUNT; i++)
        print_lane(LANES[i], &stats->lanes[i]);
    print_lane("all", &all);
    printf("\nunder way %" PRIu64 ", held %" PRIu64 ", dead %" PRIu64
           ", accepted %" PRIu64 ", final %" PRIu64 ", webhook tasks %" PRIu64
           "\n",
           stats->owned, stats->held, stats->dead, stats->accepted,
           stats->final, stats->webhook_tasks);
}

static void put_lane(struct json_out *out, const struct queue_lane_stats *lane)
{
    json_add_int(out, "queued", (int64_t)lane->queued);
    json_add_int(out, "due", (int64_t)lane->due);
    json_add_int(out, "oldest_ms", lane->oldest_ms);
    json_add_milli(out, "accepted_per_s", lane->accepted_rate);
    json_add_milli(out, "delivered_per_s", lane->delivered_rate);
}

static void print_json(const struct queue_stats *stats)
{
    struct queue_lane_stats all = queue_stats_all(stats);
    struct json_out out;
    struct buf text;

    buf_init(&text, OUTPUT_MAX);
    json_out_init(&out, &text);
    json_open_map(&out);
    put_lane(&out, &all);
    json_name(&out, "lanes");
    json_open_list(&out);
    for (size_t i = 0; i < LANE_COUNT; i++) {
        json_open_map(&out);
        json_add_int(&out, "lane", (int64_t)i);
        put_lane(&out, &stats->lanes[i]);
        json_close_map(&out);
    }
    json_close_list(&out);
    json_add_int(&out, "owned", (int64_t)stats->owned);
    json_add_int(&out, "held", (int64_t)stats->held);
    json_add_int(&out, "dead", (int64_t)stats->dead);
    json_add_int(&out, "accepted", (int64_t)stats->accepted);
    json_add_int(&out, "final", (int64_t)stats->final);
    json_add_int(&out, "webhook_tasks", (int64_t)stats->webhook_tasks);
    json_close_map(&out);
    puts(text.data);
    buf_finish(&text);
}

static void on_stats(void *ctx, const struct queue_stats *stats)
{
    struct tool *tool = ctx;

    if (!tool_is_answered(tool, stats->status, &stats->why))
        return;
    if (cli_wants_json(tool->args))
        print_json(stats);
    else
        print_text(stats);
    tool_done(tool, EXIT_OK);
}

static int ask_stats(struct tool *tool, void *ctx)
{
    (void)ctx;
    queue_stats_get(tool->queue, on_stats, tool);
    return tool_wait(tool);
}

static int run_stats(const struct cli_args *args)
{
    return tool_run(args, ask_stats, NULL);
}

/* --- queue check --- */

static void print_check(const struct cli_args *args,
                        const struct queue_check *check)
{
    const char *verdict = !check->is_known ? "not counted"
                          : check->is_even ? "even"
                                           : "odd";

    if (cli_wants_json(args))
        printf("{\"verdict\":\"%s\",\"open\":%" PRId64 ",\"in_places\":%" PRId64
               ",\"odd_count\":%" PRIu64 "}\n",
               verdict, check->open, check->in_places, check->odd_count);
    else
        printf("%s: %" PRId64 " open, %" PRId64 " in their places; was odd "
               "%" PRIu64 " times\n",
               verdict, check->open, check->in_places, check->odd_count);
}

static void on_check(void *ctx, const struct queue_check *check)
{
    struct tool *tool = ctx;

    if (!tool_is_answered(tool, check->status, &check->why))
        return;
    print_check(tool->args, check);
    tool_done(tool, check->is_even ? EXIT_OK : EXIT_FAILED);
}

static int ask_check(struct tool *tool, void *ctx)
{
    (void)ctx;
    queue_check_get(tool->queue, on_check, tool);
    return tool_wait(tool);
}

static int run_check(const struct cli_args *args)
{
    return tool_run(args, ask_check, NULL);
}

static const struct cli_option OPTIONS[] = {CLI_OPTION_CONFIG, CLI_OPTION_JSON};

static const struct verb VERBS[] = {
    {
        .name = "queue stats",
        .purpose =
            "Says how much waits in each lane, how old it is, and what flows.",
        .examples = {"posthaste queue stats", "posthaste queue stats --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_stats,
    },
    {
        .name = "queue check",
        .purpose = "Counts whether every open mail is in a place; 1 if not.",
        .examples = {"posthaste queue check", "posthaste queue check --json"},
        .options = OPTIONS,
        .option_count = COUNT_OF(OPTIONS),
        .run = run_check,
    },
};

const struct verb_group VERBS_QUEUE = {VERBS, COUNT_OF(VERBS)};
