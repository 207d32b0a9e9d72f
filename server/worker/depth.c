#include "server/worker/depth.h"

#include "server/base/metrics.h"

enum { AGAIN_MS = 5000 };

static void set(enum metric metric, const char *const *labels, uint64_t value)
{
    series_set(metrics_series(metric, labels), (int64_t)value);
}

static void tell_lanes(const struct queue_stats *stats)
{
    static const char *const LANES[LANE_COUNT] = {"0", "1", "2", "3"};

    for (size_t i = 0; i < LANE_COUNT; i++) {
        set(METRIC_QUEUE_JOBS, (const char *const[]){LANES[i], "queued"},
            stats->lanes[i].queued);
        set(METRIC_QUEUE_JOBS, (const char *const[]){LANES[i], "due"},
            stats->lanes[i].due);
        set(METRIC_QUEUE_OLDEST_SECONDS, (const char *const[]){LANES[i]},
            (uint64_t)stats->lanes[i].oldest_ms / 1000);
    }
}

static void on_stats(void *ctx, const struct queue_stats *stats)
{
    struct depth *depth = ctx;

    if (stats->status == QUEUE_OK) {
        tell_lanes(stats);
        set(METRIC_QUEUE_JOBS, (const char *const[]){"all", "owned"},
            stats->owned);
        set(METRIC_QUEUE_JOBS, (const char *const[]){"all", "held"},
            stats->held);
        set(METRIC_QUEUE_JOBS, (const char *const[]){"all", "dead"},
            stats->dead);
    }
    timer_set(depth->loop, &depth->timer, AGAIN_MS);
}

static void on_time(void *ctx)
{
    struct depth *depth = ctx;

    queue_stats_get(depth->queue, on_stats, depth);
}

void depth_start(struct depth *depth, struct loop *loop, struct queue *queue)
{
    depth->loop = loop;
    depth->queue = queue;
    timer_init(&depth->timer, on_time, depth);
    timer_set(loop, &depth->timer, AGAIN_MS);
}

void depth_stop(struct depth *depth)
{
    timer_clear(depth->loop, &depth->timer);
}
