#include "queue/reconcile.h"

#include "queue/claims_core.h"
#include "server/base/log.h"
#include "server/base/metrics.h"

#include <stdio.h>
#include <string.h>

enum {
    STEP_MS = 20, /* between the steps of a walk: others work, too */
    BUDGET_MS = 3000,
};

/* reconcile.lua's answers. */
enum { WORD, OPEN, LEFTOVERS, PLACES };
enum { WALK_CURSOR = 1, WALK_REPAIRED, WALK_REST };

/* --- by a child --- */

static void send(struct claims *claims, const char *what, redis_fn done)
{
    struct redis_command command;

    claims->reconcile_asks = true;
    command_init_partition(&command, claims->queue, SCRIPT_RECONCILE,
                           claims->partition);
    command_add_cstr(&command, claims->epoch);
    command_add_int(&command, claims_lease_ms(claims) * 9 / 10);
    command_add_cstr(&command, what);
    command_add_cstr(&command, claims->walk);
    redis_send(claims->queue->main, &command, BUDGET_MS, done, claims);
}

static void walk_end(struct claims *claims, const struct reply *reply)
{
    log_write(LOG_ERROR, LOG_QUEUE_RECONCILED,
              log_int("partition", claims->partition),
              log_int("repaired", (int64_t)claims->repaired),
              log_int("leftovers", reply_int(reply_at(reply, WALK_REST))));
    claims->walk[0] = '\0';
}

static void on_step(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct claims *claims = ctx;
    struct str word = reply_str(reply_at(reply, WORD));

    (void)why; /* what is odd still is found by the next count */
    claims->reconcile_asks = false;
    claims->repaired += (uint64_t)reply_int(reply_at(reply, WALK_REPAIRED));
    if (str_eq(word, S("more"))) {
        snprintf(claims->walk, sizeof claims->walk, "%.*s",
                 STR_ARG(reply_str(reply_at(reply, WALK_CURSOR))));
        timer_set(claims->queue->loop, &claims->reconcile, STEP_MS);
    } else if (str_eq(word, S("done"))) {
        walk_end(claims, reply);
    } else {
        claims->walk[0] = '\0';
    }
}

static void on_count(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct claims *claims = ctx;

    (void)why;
    claims->reconcile_asks = false;
    if (!str_eq(reply_str(reply_at(reply, WORD)), S("odd")))
        return;
    log_write(LOG_ERROR, LOG_QUEUE_ODD, log_int("partition", claims->partition),
              log_int("open", reply_int(reply_at(reply, OPEN))),
              log_int("leftovers", reply_int(reply_at(reply, LEFTOVERS))),
              log_int("in_places", reply_int(reply_at(reply, PLACES))));
    series_add(metrics_series(METRIC_QUEUE_RECONCILED, NULL), 1);
    claims->repaired = 0;
    snprintf(claims->walk, sizeof claims->walk, "f 0 0");
    timer_set(claims->queue->loop, &claims->reconcile, STEP_MS);
}

void reconcile_on_timer(void *ctx)
{
    struct claims *claims = ctx;
    bool is_walking = claims->walk[0] != '\0';

    timer_set(claims->queue->loop, &claims->reconcile, claims_lease_ms(claims));
    if (claims->reconcile_asks || claims->state != CLAIMS_WORKING ||
        claims->claimer->is_stopping)
        return;
    send(claims, is_walking ? "walk" : "count",
         is_walking ? on_step : on_count);
}

/* --- by whoever asks --- */

struct checking {
    struct queue_call call;
    struct queue_check check;
    unsigned under_way;
    queue_check_fn done;
    void *ctx;
};

static void on_check(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct checking *checking = ctx;
    struct queue_check *check = &checking->check;
    struct str word = reply_str(reply_at(reply, WORD));
    enum queue_status status = reply_status(reply, why, &check->why);

    if (status != QUEUE_OK)
        check->status = status;
    check->is_even = check->is_even && !str_eq(word, S("odd"));
    check->is_known = check->is_known && !str_eq(word, S("many"));
    check->open += reply_int(reply_at(reply, OPEN));
    check->in_places += reply_int(reply_at(reply, PLACES)) -
                        reply_int(reply_at(reply, LEFTOVERS));
    check->odd_count += (uint64_t)reply_int(reply_at(reply, PLACES + 1));
    if (--checking->under_way > 0)
        return;
    checking->done(checking->ctx, check);
    queue_call_end(&checking->call);
}

void queue_check_get(struct queue *queue, queue_check_fn done, void *ctx)
{
    struct checking *checking = queue_call_new(queue, sizeof *checking);

    checking->done = done;
    checking->ctx = ctx;
    checking->check.is_even = true;
    checking->check.is_known = true;
    checking->under_way = queue->partitions.count;
    for (unsigned i = 0; i < queue->partitions.count; i++) {
        struct redis_command command;

        command_init_partition(&command, queue, SCRIPT_RECONCILE, i);
        command_add_cstr(&command, "");
        command_add_int(&command, 0);
        command_add_cstr(&command, "check");
        command_add_cstr(&command, "");
        redis_send(queue->main, &command, BUDGET_MS, on_check, checking);
    }
}
