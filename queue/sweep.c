/* Sweeping, by every worker and hooks child: calls sweep.lua for each
 * partition once a second, and again at once as long as there is more to do.
 * Above the limit it looks more often, since mail still comes in. */
#include "queue/core.h"

#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"

#include <stdlib.h>

enum {
    EVERY_MS = 1000,
    EVERY_MS_ABOVE = 50, /* the limit */
    BUDGET_MS = 5000,
};

struct partition {
    struct sweep *sweep;
    unsigned number;
    bool is_up;
    bool is_under_way;
    int64_t history_bytes;
};

struct sweep {
    struct queue *queue;
    struct queue_part part;
    struct timer timer;
    struct partition partitions[PARTITIONS_MAX];
};

/* Of one partition; 0: none. Without a maxmemory there is nothing to take a
 * part of. */
static int64_t limit_bytes(const struct queue *queue)
{
    const struct config_part *max = &queue->config->redis.history_max;
    int64_t bytes = max->percent == 0
                        ? max->bytes
                        : node_health_maxmemory(queue) / 100 * max->percent;

    return bytes / queue->partitions.count;
}

static void tell_bytes(const struct sweep *sweep)
{
    int64_t bytes = 0;

    for (unsigned i = 0; i < sweep->queue->partitions.count; i++)
        bytes += sweep->partitions[i].history_bytes;
    series_set(metrics_series(METRIC_HISTORY_BYTES, NULL), bytes);
}

static void ask(struct partition *partition);

enum { WORD, AGAIN, BYTES, SWEPT, ABOVE };

static void on_swept(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct partition *partition = ctx;
    struct sweep *sweep = partition->sweep;
    struct error err;

    partition->is_under_way = false;
    if (reply_status(reply, why, &err) != QUEUE_OK) {
        log_write(LOG_WARN, LOG_QUEUE_SWEEP_FAILED, log_error(&err));
        return; /* the timer is set */
    }
    partition->history_bytes = reply_int(reply_at(reply, BYTES));
    tell_bytes(sweep);
    if (reply_int(reply_at(reply, AGAIN)) == 1)
        ask(partition);
    else if (reply_int(reply_at(reply, ABOVE)) == 1)
        timer_set(sweep->queue->loop, &sweep->timer, EVERY_MS_ABOVE);
}

static void ask(struct partition *partition)
{
    const struct queue *queue = partition->sweep->queue;
    struct redis_command command;

    if (!partition->is_up || partition->is_under_way)
        return;
    partition->is_under_way = true;
    command_init_partition(&command, queue, SCRIPT_SWEEP, partition->number);
    command_add_int(&command, queue->config->privacy.keep_bodies_ms);
    command_add_int(&command, queue->config->privacy.keep_events_ms);
    command_add_int(&command, limit_bytes(queue));
    redis_send(queue->main, &command, BUDGET_MS, on_swept, partition);
}

static void on_timer(void *ctx)
{
    struct sweep *sweep = ctx;

    timer_set(sweep->queue->loop, &sweep->timer, EVERY_MS);
    for (unsigned i = 0; i < sweep->queue->partitions.count; i++)
        ask(&sweep->partitions[i]);
}

static void on_partition_changed(void *ctx, unsigned number, bool up)
{
    struct sweep *sweep = ctx;

    sweep->partitions[number].is_up = up;
}

static void on_close(void *ctx)
{
    struct sweep *sweep = ctx;

    timer_clear(sweep->queue->loop, &sweep->timer);
    loop_free_later(sweep->queue->loop, free, sweep);
}

void sweep_start(struct queue *queue)
{
    struct sweep *sweep = xcalloc(1, sizeof *sweep);

    sweep->queue = queue;
    for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
        sweep->partitions[i].sweep = sweep;
        sweep->partitions[i].number = i;
    }
    timer_init(&sweep->timer, on_timer, sweep);
    timer_set(queue->loop, &sweep->timer, EVERY_MS);
    sweep->part = (struct queue_part){
        .partition_changed = on_partition_changed,
        .close = on_close,
        .ctx = sweep,
    };
    queue_part_add(queue, &sweep->part);
}
