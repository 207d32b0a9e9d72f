#include "queue/claims_core.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEARTBEATS_PER_LEASE = 5,
    TRY_AGAIN_MS = 500,
    TELL_EVERY_MS = 60 * 1000,
};

int64_t claims_lease_ms(const struct claims *claims)
{
    return claims->queue->config->worker.lease_ms;
}

/* A script's time limit: the lease must survive a lost answer. */
int64_t claims_budget_ms(const struct claims *claims)
{
    int64_t third = claims_lease_ms(claims) / 3;

    if (third < REDIS_BUDGET_MS)
        return REDIS_BUDGET_MS;
    return third > 3000 ? 3000 : third;
}

/* {kind, how many, ...} as the scripts count them: events, and as
 * "suppression.bounce" addresses that came on the list. */
void claims_count_events(const struct reply *counts)
{
    static const char LISTED[] = "suppression.";
    char kind[64];

    for (size_t i = 0; i + 1 < reply_count(counts); i += 2) {
        struct str name = reply_str(reply_at(counts, i));
        bool is_event = !str_starts(name, str_of(LISTED));

        snprintf(kind, sizeof kind, "%.*s",
                 STR_ARG(is_event ? name : str_from(name, strlen(LISTED))));
        series_add(
            metrics_series(is_event ? METRIC_EMAIL_EVENTS : METRIC_SUPPRESSIONS,
                           (const char *const[]){kind}),
            (uint64_t)reply_int(reply_at(counts, i + 1)));
    }
}

/* Redis said no to a turn: sooner than the next heartbeat would, so that
 * results do not wait long when that is over. */
void claims_try_again(struct claims *claims)
{
    int64_t beat_ms = claims_lease_ms(claims) / HEARTBEATS_PER_LEASE;

    timer_set(claims->queue->loop, &claims->heartbeat,
              beat_ms < TRY_AGAIN_MS ? beat_ms : (int64_t)TRY_AGAIN_MS);
}

/* A disk may be full for hours. */
void claims_note_refusal(struct claims *claims, const struct error *why)
{
    int64_t now_ms = clock_now_ms();

    if (claims->refusals++ > 0 &&
        now_ms - claims->refusal_told_ms < TELL_EVERY_MS)
        return;
    claims->refusal_told_ms = now_ms;
    log_write(LOG_WARN, LOG_QUEUE_TURN_FAILED, log_error(why),
              log_int("times", claims->refusals));
}

void claims_note_taken(struct claims *claims)
{
    if (claims->refusals > 0)
        log_write(LOG_INFO, LOG_QUEUE_TURN_TAKEN,
                  log_int("times", claims->refusals));
    claims->refusals = 0;
}

/* --- registering --- */

static void on_registered(void *ctx, const struct reply *reply,
                          const struct error *why)
{
    struct claims *claims = ctx;
    struct error err;

    FAULT_POINT("register.done");
    claims->registering_is_under_way = false;
    if (claims->state != CLAIMS_REGISTERING)
        return;
    if (!str_eq(reply_str(reply_at(reply, 0)), S("ok"))) {
        reply_refuse(reply, why, &err);
        claims_note_refusal(claims, &err);
        claims_try_again(claims);
        return;
    }
    claims->state = CLAIMS_WORKING;
    claims->old_epoch[0] = '\0';
    claims_count_events(reply_at(reply, 1));
    claims->heartbeat_is_due = true;
    claims_ask(claims);
}

/* In hand is also what was reported, but is not known to have arrived. */
static void add_in_hand(struct claims *claims, struct redis_command *command)
{
    list_each (at, &claims->held) {
        const struct claim *claim = LIST_MEMBER(at, struct claim, link);

        command_add_cstr(command, claim->id);
        command_add_cstr(command, claim->token);
    }
    list_each (at, &claims->results) {
        const struct result *result = LIST_MEMBER(at, struct result, link);

        command_add_cstr(command, result->id);
        command_add_cstr(command, result->token);
    }
}

void claims_register(struct claims *claims)
{
    struct redis_command command;
    char master[REDIS_NODE_TEXT_SIZE];

    claims->state = CLAIMS_REGISTERING;
    claims->registering_is_under_way = true;
    command_init_partition(&command, claims->queue, SCRIPT_REGISTER,
                           claims->partition);
    command_add_cstr(&command, claims->epoch);
    command_add_cstr(&command, claims->old_epoch);
    command_add_int(&command, claims_lease_ms(claims));
    command_add_int(&command, claims->queue->config->privacy.keep_bodies_ms);
    command_add(&command, redis_link_master(claims->queue->main, master));
    add_in_hand(claims, &command);
    COMMAND_SENT_POINT(&command, "register.sent");
    redis_send(claims->queue->main, &command, claims_budget_ms(claims),
               on_registered, claims);
}

/* A turn that is still under way on the lost connection must not claim for
 * us: hence a new epoch for each connection, and behind each lost answer. One
 * that was never confirmed bears no turn, and is asked for again: the one
 * before it may still own what was claimed, which would wait for the end of its
 * lease. */
static void new_epoch(struct claims *claims)
{
    if (claims->old_epoch[0] != '\0')
        return;
    memcpy(claims->old_epoch, claims->epoch, sizeof claims->old_epoch);
    child_name_epoch(&claims->claimer->name, claims->epoch);
}

void claims_begin_anew(struct claims *claims)
{
    new_epoch(claims);
    claims_register(claims);
}

void claims_change(struct claims *claims, bool up)
{
    if (!up) {
        claims->state = CLAIMS_AWAY;
        claims_plan_turn(claims); /* who stops may be done */
        return;
    }
    claims_put_back_results(claims);
    claims_begin_anew(claims);
}

static void on_heartbeat(void *ctx)
{
    struct claims *claims = ctx;

    timer_set(claims->queue->loop, &claims->heartbeat,
              claims_lease_ms(claims) / HEARTBEATS_PER_LEASE);
    if (claims->state == CLAIMS_REGISTERING &&
        !claims->registering_is_under_way)
        claims_register(claims); /* it was refused */
    claims->heartbeat_is_due = true;
    claims_ask(claims);
    alone_look(claims);
}

/* --- life --- */

struct claims *claims_open(struct claimer *claimer, unsigned partition)
{
    struct claims *claims = xcalloc(1, sizeof *claims);

    claims->claimer = claimer;
    claims->queue = claimer->queue;
    claims->partition = partition;
    claims->worker = claimer->worker;
    claims->asked = xcalloc(claimer->worker->route_count * LANE_COUNT + 1,
                            sizeof *claims->asked);
    contents_init(&claims->contents, claims->queue, partition);
    list_init(&claims->held);
    list_init(&claims->results);
    list_init(&claims->sent);
    list_init(&claims->marks);
    list_init(&claims->mark_batches);
    task_init(&claims->turn_task, claims_on_turn_task, claims);
    task_init(&claims->mark_task, claims_on_mark_task, claims);
    timer_init(&claims->heartbeat, on_heartbeat, claims);
    timer_init(&claims->due, claims_ask, claims);
    timer_init(&claims->reconcile, reconcile_on_timer, claims);
    timer_set(claims->queue->loop, &claims->reconcile, claims_lease_ms(claims));
    if (claimer->wake == NULL)
        claims->own_wake = claimer_open_wake(claimer);
    claims->wake = claims->own_wake != NULL ? claims->own_wake : claimer->wake;
    claims->wake_place = wake_join(claims->wake, partition, claims);
    timer_set(claims->queue->loop, &claims->heartbeat,
              claims_lease_ms(claims) / HEARTBEATS_PER_LEASE);
    list_add_last(&claimer->claims, &claims->link);
    return claims;
}

void claims_close(struct claims *claims)
{
    struct loop *loop = claims->queue->loop;

    list_each_safe (at, &claims->held)
        claim_destroy(LIST_MEMBER(at, struct claim, link));
    claims_put_back_results(claims);
    list_each_safe (at, &claims->results)
        result_destroy(LIST_MEMBER(at, struct result, link));
    marks_close(claims);
    wake_close(&claims->own_wake);
    contents_finish(&claims->contents);
    task_cancel(&claims->turn_task);
    task_cancel(&claims->mark_task);
    timer_clear(loop, &claims->heartbeat);
    timer_clear(loop, &claims->due);
    timer_clear(loop, &claims->reconcile);
    claims_forget_routes(claims);
    if (claims->claimer->alone == claims) {
        claims->claimer->alone = NULL;
        claims->claimer->alone_state = ALONE_NOT;
    }
    list_remove(&claims->link);
    free(claims->asked);
    loop_free_later(loop, free, claims);
}

/* --- leaving --- */

static void has_left(struct claims *claims)
{
    claims->has_left = true;
    timer_clear(claims->queue->loop, &claims->heartbeat);
    timer_clear(claims->queue->loop, &claims->due);
    timer_clear(claims->queue->loop, &claims->reconcile);
    claimer_look(claims->claimer);
}

static void on_left(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    (void)reply;
    (void)why; /* the lease's end does the same */
    has_left(ctx);
}

/* Everything is reported: leave the list of workers. */
void claims_leave_if_done(struct claims *claims)
{
    struct redis_command command;

    if (!claims->claimer->is_stopping || claims->has_left ||
        !list_is_empty(&claims->held))
        return;
    if (claims->state == CLAIMS_WORKING && list_is_empty(&claims->results)) {
        if (wake_is_waiting(claims->wake))
            return; /* a token that came now would be lost */
        claims->is_leaving = true;
        command_init_partition(&command, claims->queue, SCRIPT_RELEASE,
                               claims->partition);
        command_add_cstr(&command, claims->epoch);
        command_add_cstr(&command, ""); /* it lives: nothing is suspect */
        command_add_cstr(&command, ""); /* register has told it */
        redis_send(claims->queue->main, &command, claims_budget_ms(claims),
                   on_left, claims);
    } else if (claims->epoch[0] == '\0' ||
               !timer_is_set(&claims->claimer->drain)) {
        has_left(claims); /* Redis never came, or stayed away */
    }
}
