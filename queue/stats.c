/* How much waits: for `posthaste queue stats` and the gauges. */
#include "queue/core.h"

struct asking {
    struct queue_call call;
    unsigned under_way; /* one answer for each partition */
    struct queue_stats stats;
    queue_stats_fn done;
    void *ctx;
};

enum { LANES, OWNED, HELD, DEAD, ACCEPTED, FINAL, TASKS, NOW, TRAFFIC };
enum { QUEUED, DUE, OLDEST };
enum { RATE_MS = 1000 * 1000 };

static void read_lanes(const struct reply *lanes, int64_t now_ms,
                       struct queue_lane_stats out[LANE_COUNT])
{
    for (size_t i = 0; i < LANE_COUNT; i++) {
        const struct reply *lane = reply_at(lanes, i);
        int64_t oldest_ms = reply_int(reply_at(lane, OLDEST));

        out[i].queued += (uint64_t)reply_int(reply_at(lane, QUEUED));
        out[i].due += (uint64_t)reply_int(reply_at(lane, DUE));
        if (oldest_ms > 0 && now_ms - oldest_ms > out[i].oldest_ms)
            out[i].oldest_ms = now_ms - oldest_ms;
    }
}

struct queue_lane_stats queue_stats_all(const struct queue_stats *stats)
{
    struct queue_lane_stats all = {0};

    for (size_t i = 0; i < LANE_COUNT; i++) {
        const struct queue_lane_stats *lane = &stats->lanes[i];

        all.queued += lane->queued;
        all.due += lane->due;
        if (lane->oldest_ms > all.oldest_ms)
            all.oldest_ms = lane->oldest_ms;
        all.accepted_rate += lane->accepted_rate;
        all.delivered_rate += lane->delivered_rate;
    }
    return all;
}

/* As traffic.lua answers: accepted of each lane, delivered of each, in ms. */
static void add_rates(const struct reply *traffic,
                      struct queue_lane_stats lanes[LANE_COUNT])
{
    int64_t window_ms = reply_int(
        reply_at(traffic, (size_t)TRAFFIC_KINDS * (size_t)LANE_COUNT));

    if (window_ms <= 0)
        return;
    for (size_t i = 0; i < LANE_COUNT; i++) {
        int64_t accepted = reply_int(reply_at(traffic, i));
        int64_t delivered = reply_int(reply_at(traffic, LANE_COUNT + i));

        lanes[i].accepted_rate += accepted * RATE_MS / window_ms;
        lanes[i].delivered_rate += delivered * RATE_MS / window_ms;
    }
}

static void add_stats(struct queue_stats *stats, const struct reply *reply)
{
    read_lanes(reply_at(reply, LANES), reply_int(reply_at(reply, NOW)),
               stats->lanes);
    add_rates(reply_at(reply, TRAFFIC), stats->lanes);
    stats->owned += (uint64_t)reply_int(reply_at(reply, OWNED));
    stats->held += (uint64_t)reply_int(reply_at(reply, HELD));
    stats->dead += (uint64_t)reply_int(reply_at(reply, DEAD));
    stats->accepted += (uint64_t)reply_int(reply_at(reply, ACCEPTED));
    stats->final += (uint64_t)reply_int(reply_at(reply, FINAL));
    stats->webhook_tasks += (uint64_t)reply_int(reply_at(reply, TASKS));
}

static void on_stats(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct asking *asking = ctx;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status == QUEUE_OK) {
        add_stats(&asking->stats, reply);
    } else {
        asking->stats.status = status;
        asking->stats.why = err;
    }
    if (--asking->under_way > 0)
        return;
    asking->done(asking->ctx, &asking->stats);
    queue_call_end(&asking->call);
}

/* Of all partitions, or of none. */
void queue_stats_get(struct queue *queue, queue_stats_fn done, void *ctx)
{
    struct asking *asking = queue_call_new(queue, sizeof *asking);

    asking->done = done;
    asking->ctx = ctx;
    asking->under_way = queue->partitions.count;
    for (unsigned i = 0; i < queue->partitions.count; i++) {
        struct redis_command command;

        command_init_partition(&command, queue, SCRIPT_STATS, i);
        redis_send(queue->main, &command, REDIS_BUDGET_MS, on_stats, asking);
    }
}

/* --- of one owner --- */

enum { OWNER_LANES, OWNER_NOW, OWNER_TRAFFIC };
enum { OWNER_QUEUED, OWNER_OLDEST };

static void on_owner_stats(void *ctx, const struct reply *reply,
                           const struct error *why)
{
    struct asking *asking = ctx;
    struct queue_stats *stats = &asking->stats;
    int64_t now_ms = reply_int(reply_at(reply, OWNER_NOW));

    stats->status = reply_status(reply, why, &stats->why);
    for (size_t i = 0; i < LANE_COUNT && stats->status == QUEUE_OK; i++) {
        const struct reply *lane = reply_at(reply_at(reply, OWNER_LANES), i);
        int64_t oldest_ms = reply_int(reply_at(lane, OWNER_OLDEST));

        stats->lanes[i].queued =
            (uint64_t)reply_int(reply_at(lane, OWNER_QUEUED));
        if (oldest_ms > 0 && oldest_ms < now_ms)
            stats->lanes[i].oldest_ms = now_ms - oldest_ms;
    }
    add_rates(reply_at(reply, OWNER_TRAFFIC), stats->lanes);
    asking->done(asking->ctx, stats);
    queue_call_end(&asking->call);
}

void queue_stats_of(struct queue *queue, struct queue_owner owner,
                    queue_stats_fn done, void *ctx)
{
    struct asking *asking = queue_call_new(queue, sizeof *asking);
    struct redis_command command;

    asking->done = done;
    asking->ctx = ctx;
    command_init_partition(&command, queue, SCRIPT_OWNER_STATS, owner.home);
    command_add(&command, owner.name);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_owner_stats, asking);
}
