#include "queue/claims_core.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* One turn is under way at a time; what comes up meanwhile goes with the
 * next one. A turn is sent when there are results, when there may be work
 * (a wake token, room again, something due), and as a heartbeat.
 *
 * The trap of lost wakes: a token that comes while a turn is under way must
 * not be forgotten when that turn's answer says "nothing there". So `ask` is
 * taken down when a turn is built, and whatever raises it later makes one
 * more turn. */

enum {
    RESULTS_MAX = 64, /* with a turn's claims about two ms of Redis' time */
    RESULTS_BYTES_MAX = 2 << 20, /* of attempts: a command has its limit */
    CLAIMS_MAX = 256,            /* of turn.lua */
    SHARE_EVERY = 16,            /* turns, where rooms are small */
};

/* Of claimer.c, open_wake. */
static size_t wake_name(const struct claims *claims, size_t route,
                        unsigned lane)
{
    return lane * claims->worker->route_count + route;
}

void claims_wait_for_work(struct claims *claims)
{
    claims->claimer->lacks_room = false;
    for (size_t route = 0; route < claims->worker->route_count; route++) {
        for (unsigned lane = 0; lane < LANE_COUNT; lane++) {
            bool has_room = claims_whole_room(claims, route, lane) > 0;

            wake_want(claims->wake, claims->wake_place,
                      wake_name(claims, route, lane), has_room);
            if (lane == 0 && !has_room)
                claims->claimer->lacks_room = true;
        }
    }
    wake_arm(claims->wake);
}

/* --- a turn --- */

static bool results_wait(const struct claims *claims)
{
    return pace_rests(&claims->claimer->pace) && !claims->claimer->is_stopping;
}

/* How many one turn tells, one at least: what servers have said may be long. */
static size_t results_count(const struct claims *claims)
{
    size_t count = 0;
    size_t bytes = 0;

    list_each (at, &claims->results) {
        bytes += LIST_MEMBER(at, struct result, link)->attempts.len;
        if (count == RESULTS_MAX || (count > 0 && bytes > RESULTS_BYTES_MAX))
            break;
        count++;
    }
    return count;
}

static void add_results(struct claims *claims, struct redis_command *command)
{
    size_t count = results_wait(claims) ? 0 : results_count(claims);

    command_add_int(command, (int64_t)count);
    for (; count > 0; count--) {
        struct result *result =
            LIST_FIRST(&claims->results, struct result, link);

        CHECK(result != NULL);
        command_add_cstr(command, result->id);
        command_add_cstr(command, result->token);
        command_add(command, str_make(&result->kind, 1));
        command_add_int(command, result->due_ms);
        command_add_int(command, result->final_route);
        command_add(command, buf_str(&result->outcome));
        command_add(command, buf_str(&result->fields));
        command_add(command, buf_str(&result->attempts));
        if (result->suppressed.len > 0)
            command_add(command, buf_str(&result->suppressed));
        list_remove(&result->link);
        list_add_last(&claims->sent, &result->link);
    }
}

static bool has_urgent_token(const struct claims *claims)
{
    for (size_t route = 0; route < claims->worker->route_count; route++)
        for (unsigned lane = 0; pace_is_urgent(lane); lane++)
            if (wake_has_token(claims->wake, claims->wake_place,
                               wake_name(claims, route, lane)))
                return true;
    return false;
}

/* Tokens for which there is no room any more; the others are used up, or
 * stay at hand while another partition's turn may take the room. */
static void add_unused_tokens(struct claims *claims,
                              struct redis_command *command)
{
    size_t slots = claims->worker->route_count * LANE_COUNT;
    bool *unused = xcalloc(slots + 1, sizeof *unused);
    size_t count = 0;

    for (size_t i = 0; i < slots; i++) {
        size_t route = i / LANE_COUNT;
        unsigned lane = i % LANE_COUNT;

        size_t name = wake_name(claims, route, lane);

        if (!wake_has_token(claims->wake, claims->wake_place, name))
            continue;
        unused[i] = claims_whole_room(claims, route, lane) == 0;
        count += unused[i];
        if (unused[i] || claims_room(claims, route, lane) > 0)
            wake_drop_token(claims->wake, claims->wake_place, name);
        else
            claims->ask = true;
    }
    command_add_int(command, (int64_t)count);
    for (size_t i = 0; i < slots; i++) {
        if (!unused[i])
            continue;
        command_add_int(command, (int64_t)(i % LANE_COUNT));
        command_add(command, claims->worker->routes[i / LANE_COUNT]);
    }
    free(unused);
}

/* Lower lanes are sure of a sixteenth, so that none starves. */
static size_t share_of(const struct claims *claims, size_t room)
{
    if (room >= SHARE_EVERY)
        return room / SHARE_EVERY;
    return claims->turns % SHARE_EVERY == 0;
}

static void add_want(const struct claims *claims, struct redis_command *command,
                     struct str route, const size_t room[LANE_COUNT])
{
    command_add(command, route);
    command_add_int(command, (int64_t)share_of(claims, room[0]));
    for (unsigned lane = 0; lane < LANE_COUNT; lane++)
        command_add_int(command, (int64_t)room[lane]);
}

static bool asked_for_low(const struct claims *claims)
{
    size_t slots = claims->worker->route_count * LANE_COUNT;

    for (size_t i = 0; i < slots; i++)
        if (!pace_is_urgent(i % LANE_COUNT) && claims->asked[i] > 0)
            return true;
    return false;
}

static void add_wants(struct claims *claims, struct redis_command *command)
{
    static const size_t some[LANE_COUNT] = {16, 16, 16, 16};
    const struct queue_worker *worker = claims->worker;
    size_t(*room)[LANE_COUNT] = xcalloc(worker->route_count + 1, sizeof *room);
    size_t count = 0;
    bool is_closed = claims->claimer->is_stopping ||
                     claims->claimer->alone_state != ALONE_NOT;
    size_t unknown = is_closed ? 0 : claims->unknown_count;

    for (size_t i = 0; i < worker->route_count; i++) {
        for (unsigned lane = 0; lane < LANE_COUNT; lane++)
            room[i][lane] = claims_room(claims, i, lane);
        count += room[i][0] > 0;
    }
    memcpy(claims->asked, room, worker->route_count * sizeof *room);
    claims->turns += asked_for_low(claims);
    command_add_int(command, (int64_t)(count + unknown));
    for (size_t i = 0; i < worker->route_count; i++)
        if (room[i][0] > 0)
            add_want(claims, command, worker->routes[i], room[i]);
    for (size_t i = 0; i < unknown; i++)
        add_want(claims, command, str_of(claims->unknown_routes[i]), some);
    free(room);
}

void claims_forget_routes(struct claims *claims)
{
    for (size_t i = 0; i < claims->unknown_count; i++)
        free(claims->unknown_routes[i]);
    free(claims->unknown_routes);
    claims->unknown_routes = NULL;
    claims->unknown_count = 0;
}

static void note_routes(struct claims *claims, const struct reply *routes)
{
    size_t count = reply_count(routes);

    claims_forget_routes(claims);
    claims->unknown_routes = xcalloc(count + 1, sizeof *claims->unknown_routes);
    for (size_t i = 0; i < count; i++) {
        struct str route = reply_str(reply_at(routes, i));

        if (claims_slot(claims, route, 0) == NO_SLOT)
            claims->unknown_routes[claims->unknown_count++] =
                xmemdup0(route.ptr, route.len);
    }
    claims->ask = claims->ask || claims->unknown_count > 0;
}

static void note_due(struct claims *claims, int64_t now_ms, int64_t next_ms)
{
    if (next_ms == 0)
        timer_clear(claims->queue->loop, &claims->due);
    else
        timer_set(claims->queue->loop, &claims->due,
                  next_ms > now_ms ? next_ms - now_ms : 0);
}

/* Not taken: they go with the next turn, before newer ones. */
void claims_put_back_results(struct claims *claims)
{
    while (!list_is_empty(&claims->sent)) {
        struct list *last = claims->sent.prev;

        list_remove(last);
        list_add_first(&claims->results, last);
    }
}

static void drop_sent_results(struct claims *claims)
{
    list_each_safe (at, &claims->sent)
        result_taken(claims, LIST_MEMBER(at, struct result, link));
}

/* The fields of turn.lua's answer. */
enum {
    TURN_WORD,
    TURN_NOW,
    TURN_NEXT,
    TURN_REFUSED,
    TURN_CLAIMS,
    TURN_CONTENTS,
    TURN_ROUTES,
    TURN_COUNTS,
};

/* What a turn is for, by the first of its results: a retry has crash points of
 * its own. */
static bool is_report(const struct claims *claims, bool *is_retry)
{
    const struct result *first = LIST_FIRST(&claims->sent, struct result, link);

    *is_retry = first != NULL && first->kind == 'o';
    return first != NULL;
}

static void name_sent_point(const struct claims *claims,
                            struct redis_command *command)
{
    bool is_retry;

    if (!is_report(claims, &is_retry) && claims->heartbeat_is_due)
        COMMAND_SENT_POINT(command, "heartbeat.sent");
    else if (!is_report(claims, &is_retry))
        COMMAND_SENT_POINT(command, "claim.sent");
    else if (is_retry)
        COMMAND_SENT_POINT(command, "retry.sent");
    else
        COMMAND_SENT_POINT(command, "result.sent");
}

static void pass_done(const struct claims *claims, size_t claimed)
{
    bool is_retry;

    if (claimed > 0)
        FAULT_POINT("claim.done");
    if (!is_report(claims, &is_retry))
        FAULT_POINT("heartbeat.done");
    else if (is_retry)
        FAULT_POINT("retry.done");
    else
        FAULT_POINT("result.done");
}

/* What the turn asked for and did not get (claim_take): nothing left of it, or
 * no room at all, and there may be more. */
static bool may_have_left_work(const struct claims *claims)
{
    for (size_t i = 0; i < claims->worker->route_count * LANE_COUNT; i++)
        if (claims->asked[i] == 0)
            return true;
    return false;
}

/* Urgent ones first: composing is work, too. */
static void take_claims(struct claims *claims, const struct reply *entries,
                        const struct reply *contents)
{
    unsigned last_lane = 0;

    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < reply_count(entries); i++) {
            const struct reply *entry = reply_at(entries, i);
            unsigned lane = claim_lane(entry);

            if (pace_is_urgent(lane) != (pass == 0))
                continue;
            if (pass == 0)
                pace_note_urgent(&claims->claimer->pace);
            last_lane = lane > last_lane ? lane : last_lane;
            claim_take(claims, entry, contents);
        }
    }
    pace_turn_done(&claims->claimer->pace, claims->turn_sent_ms, last_lane);
}

/* why: too few replicas have it. Its claims are good all the same, since
 * their marks have to wait; its results are told again. */
static void take_turn(struct claims *claims, const struct reply *reply,
                      const struct error *why)
{
    const struct reply *entries = reply_at(reply, TURN_CLAIMS);
    int64_t refused = reply_int(reply_at(reply, TURN_REFUSED));

    pass_done(claims, reply_count(entries));
    claims_note_taken(claims);
    if (why == NULL)
        drop_sent_results(claims);
    else
        claims_put_back_results(claims);
    if (refused > 0)
        log_write(LOG_WARN, LOG_QUEUE_RESULT_REFUSED,
                  log_int("results", refused));
    claims_count_events(reply_at(reply, TURN_COUNTS));
    note_due(claims, reply_int(reply_at(reply, TURN_NOW)),
             reply_int(reply_at(reply, TURN_NEXT)));
    take_claims(claims, entries, reply_at(reply, TURN_CONTENTS));
    claims->left_work =
        reply_count(entries) == CLAIMS_MAX || may_have_left_work(claims);
    if (reply_count(reply_at(reply, TURN_ROUTES)) > 0 ||
        claims->unknown_count > 0)
        note_routes(claims, reply_at(reply, TURN_ROUTES));
    claims_wait_for_work(claims);
}

/* Its claims are counted as the worker's now, the rest is free for others. */
static void end_asking(struct claims *claims)
{
    size_t slots = claims->worker->route_count * LANE_COUNT;

    memset(claims->asked, 0, slots * sizeof *claims->asked);
    list_each (at, &claims->claimer->claims) {
        struct claims *other = LIST_MEMBER(at, struct claims, link);

        if (other != claims && other->ask)
            claims_plan_turn(other);
    }
}

static void on_turn(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct claims *claims = ctx;
    struct str word = reply_str(reply_at(reply, TURN_WORD));
    struct error err;

    claims->turn_is_under_way = false;
    if (str_eq(word, S("ok")))
        take_turn(claims, reply, why);
    end_asking(claims);
    if (str_eq(word, S("ok"))) {
        claims_plan_turn(claims);
        alone_step(claims->claimer);
        return;
    }
    claims_put_back_results(claims);
    if (str_eq(word, S("unregistered")) && claims->state == CLAIMS_WORKING) {
        claims_register(claims); /* the lease ran out, or Redis is a new one */
        return;
    }
    reply_refuse(reply, why, &err);
    claims_note_refusal(claims, &err);
    if (claims->state == CLAIMS_WORKING && reply_is_lost(reply, why))
        claims_begin_anew(claims);
    else
        claims_try_again(claims);
}

static void send_turn(struct claims *claims)
{
    struct redis_command command;

    command_init_partition(&command, claims->queue, SCRIPT_TURN,
                           claims->partition);
    command_add_cstr(&command, claims->epoch);
    command_add_int(&command, claims_lease_ms(claims));
    command_add_int(&command, claims->queue->config->privacy.keep_bodies_ms);
    command_add_int(&command, (int64_t)claims->next_token);
    command_add_int(&command, claims->heartbeat_is_due);
    if (claims->left_work && has_urgent_token(claims))
        pace_make_way(&claims->claimer->pace);
    add_results(claims, &command);
    /* A wake from now on counts anew. */
    claims->ask = claims->ask && claims_must_wait(claims);
    add_unused_tokens(claims, &command);
    add_wants(claims, &command);
    name_sent_point(claims, &command);
    claims->next_token += CLAIMS_MAX;
    claims->turn_is_under_way = true;
    claims->turn_sent_ms = clock_now_ms();
    claims->heartbeat_is_due = false;
    redis_send(claims->queue->main, &command, claims_budget_ms(claims), on_turn,
               claims);
}

static bool has_results_to_tell(const struct claims *claims)
{
    return !list_is_empty(&claims->results) && !results_wait(claims);
}

void claims_on_turn_task(void *ctx)
{
    struct claims *claims = ctx;

    if (claims->turn_is_under_way || claims->is_leaving)
        return;
    if (claims->state == CLAIMS_WORKING &&
        ((claims->ask && !claims_must_wait(claims)) ||
         claims->heartbeat_is_due || has_results_to_tell(claims)))
        send_turn(claims);
    else
        claims_leave_if_done(claims);
}

void claims_plan_turn(struct claims *claims)
{
    task_run_soon(claims->queue->loop, &claims->turn_task);
}

void claims_ask(void *ctx)
{
    struct claims *claims = ctx;

    claims->ask = true;
    claims_plan_turn(claims);
}
