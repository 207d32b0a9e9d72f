#include "queue/content.h"
#include "queue/wake.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"

#include <stdio.h>
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
    PARTITION = 0, /* the one of schema 1 */
    RESULTS_MAX = 256,
    HEARTBEATS_PER_LEASE = 5,
    SHARE_EVERY = 16, /* turns, where rooms are small */
    LATER_MS = 5000,  /* a mail that this process cannot read */
    NO_ROUTE_MS = 60000,
    DRAIN_MS = 10000, /* Redis away while stopping: that is all we wait */
    TOKEN_SIZE = 48,
    DELIVERY_ID_SIZE = ID_SIZE + 12,
    FIELDS_MAX = 4096,
    REPLY_KEPT_MAX = 120,
};

struct mark;

struct claim {
    struct queue_claim pub;
    struct list link; /* of claims.held */
    struct claims *claims;
    char id[DELIVERY_ID_SIZE]; /* "email:number" */
    char token[TOKEN_SIZE];
    char *route; /* owned */
    size_t slot; /* route and lane; NO_SLOT: the configuration lacks it */
    struct content_user content;
    bool is_told;      /* the worker has it */
    struct mark *mark; /* while it is not answered */
};

/* Lives until Redis has answered; its claim may end before: NULL then. */
struct mark {
    struct list link; /* of claims.marks or mark_batch.marks */
    struct claim *claim;
    queue_mark_fn fn;
    void *ctx;
};

/* The marks of one call, in the order of its answer. */
struct mark_batch {
    struct list link; /* of claims.mark_batches */
    struct claims *claims;
    struct list marks;
    int64_t valid_until_ms;
};

/* What became of a claim; kept until Redis has taken it. */
struct result {
    struct list link; /* of claims.results or claims.sent */
    char id[DELIVERY_ID_SIZE];
    char token[TOKEN_SIZE];
    char kind; /* of turn.lua */
    bool final_route;
    int64_t due_ms;
    struct buf outcome; /* code,"enhanced","reply"; or the new route */
    struct buf fields;  /* of the event */
};

enum claims_state { CLAIMS_AWAY, CLAIMS_REGISTERING, CLAIMS_WORKING };

struct claims {
    struct queue *queue;
    struct queue_part part;
    const struct queue_worker *worker;
    struct wake *wake;
    struct contents contents;
    enum claims_state state;
    char epoch[17];
    char old_epoch[17]; /* given up, not yet told to Redis; "" none */
    uint64_t next_token;
    struct list held;
    size_t *untold;      /* by slot: claimed, but the worker cannot know yet */
    struct list results; /* to be sent */
    struct list sent;    /* with the turn under way */
    struct list marks;   /* to be sent */
    struct list mark_batches;
    struct task turn_task;
    struct task mark_task;
    struct timer heartbeat;
    struct timer due;
    bool turn_is_under_way;
    bool registering_is_under_way;
    bool ask; /* there may be work */
    bool heartbeat_is_due;
    unsigned turns;
    char **unknown_routes; /* in Redis, but not in the configuration */
    size_t unknown_count;
    /* Stopping. */
    bool is_stopping;
    bool is_leaving; /* the last call is under way */
    struct timer drain;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

#define NO_SLOT SIZE_MAX

static void plan_turn(struct claims *claims);

static int64_t lease_ms(const struct claims *claims)
{
    return claims->queue->config->worker.lease_ms;
}

/* A script's time limit: the lease must survive a lost answer. */
static int64_t script_budget_ms(const struct claims *claims)
{
    int64_t third = lease_ms(claims) / 3;

    if (third < REDIS_BUDGET_MS)
        return REDIS_BUDGET_MS;
    return third > 3000 ? 3000 : third;
}

static void add_keeps(const struct claims *claims,
                      struct redis_command *command)
{
    const struct config_privacy *privacy = &claims->queue->config->privacy;

    command_add_int(command, privacy->keep_bodies_ms);
    command_add_int(command, privacy->keep_events_ms);
}

/* {kind, how many, ...} as the scripts count them. */
void claims_count_events(const struct reply *counts)
{
    char kind[64];

    for (size_t i = 0; i + 1 < reply_count(counts); i += 2) {
        snprintf(kind, sizeof kind, "%.*s",
                 STR_ARG(reply_str(reply_at(counts, i))));
        series_add(
            metrics_series(METRIC_EMAIL_EVENTS, (const char *const[]){kind}),
            (uint64_t)reply_int(reply_at(counts, i + 1)));
    }
}

/* ---- claims and results ------------------------------------------------- */

static void claim_destroy(struct claim *claim)
{
    if (claim->mark != NULL)
        claim->mark->claim = NULL;
    if (!claim->is_told && claim->slot != NO_SLOT)
        claim->claims->untold[claim->slot]--;
    list_remove(&claim->link);
    content_leave(&claim->content);
    free(claim->route);
    free(claim);
}

static void result_destroy(struct result *result)
{
    list_remove(&result->link);
    buf_finish(&result->outcome);
    buf_finish(&result->fields);
    free(result);
}

/* Ends the claim. */
static struct result *result_create(struct claim *claim, char kind,
                                    int64_t due_ms)
{
    struct result *result = xcalloc(1, sizeof *result);

    memcpy(result->id, claim->id, sizeof result->id);
    memcpy(result->token, claim->token, sizeof result->token);
    result->kind = kind;
    result->due_ms = due_ms;
    buf_init(&result->outcome, FIELDS_MAX);
    buf_init(&result->fields, FIELDS_MAX);
    list_add_last(&claim->claims->results, &result->link);
    plan_turn(claim->claims);
    claim_destroy(claim);
    return result;
}

/* What the history keeps of the reply, as the inside of a JSON list. */
static void write_outcome(const struct event_detail *detail, struct buf *out)
{
    struct str reply = detail->response;
    struct json_out json;

    if (detail->code == 0 && detail->response.len == 0)
        return;
    reply.len = utf8_cut(reply, REPLY_KEPT_MAX);
    json_out_init(&json, out);
    json_open_list(&json);
    json_put_int(&json, detail->code);
    json_put_str(&json, detail->enhanced_code);
    json_put_str(&json, reply);
    json_close_list(&json);
    buf_truncate(out, out->len - 1);
    buf_consume(out, 1);
}

static void result_tell(struct result *result,
                        const struct event_detail *detail)
{
    if (detail == NULL)
        return;
    write_outcome(detail, &result->outcome);
    event_detail_write(detail, &result->fields);
    CHECK(!result->outcome.full && !result->fields.full);
}

static char outcome_kind(enum outcome outcome)
{
    static const char kinds[] = {
        [OUTCOME_SENT] = 's',    [OUTCOME_SOFT] = 'o',
        [OUTCOME_EXPIRED] = 'e', [OUTCOME_BOUNCED] = 'b',
        [OUTCOME_FAILED] = 'f',  [OUTCOME_UNSENT] = 'n',
        [OUTCOME_UNKNOWN] = 'u',
    };

    CHECK(outcome < COUNT_OF(kinds));
    return kinds[outcome];
}

void queue_report(struct queue *queue, struct queue_claim *pub,
                  enum outcome outcome, int64_t retry_at_ms, bool final_route,
                  const struct event_detail *detail)
{
    struct claim *claim = CONTAINER_OF(pub, struct claim, pub);
    struct result *result;

    CHECK(claim->claims == queue->claims && claim->is_told);
    result = result_create(claim, outcome_kind(outcome), retry_at_ms);
    result->final_route = final_route;
    result_tell(result, detail);
}

/* ---- what was claimed --------------------------------------------------- */

static size_t slot_of(const struct claims *claims, struct str route,
                      unsigned lane)
{
    for (size_t i = 0; i < claims->worker->route_count; i++)
        if (str_eq(claims->worker->routes[i], route))
            return i * LANE_COUNT + lane;
    return NO_SLOT;
}

/* The mail is on a route of an older configuration. */
static void reroute(struct claim *claim)
{
    struct claims *claims = claim->claims;
    const struct queue_worker *worker = claims->worker;
    struct str route =
        worker->reroute(worker->ctx, claim->pub.record, claim->pub.number);
    struct result *result;

    if (route.len > 0) {
        result = result_create(claim, 'm', 0);
        buf_add(&result->outcome, route);
        return;
    }
    log_write(LOG_ERROR, LOG_QUEUE_NO_ROUTE,
              log_str("email", id_str(&claim->pub.email)),
              log_str("route", claim->pub.route));
    result_create(claim, 'w', clock_wall_ms() + NO_ROUTE_MS);
}

static void unreadable(struct claim *claim)
{
    const struct content *content = claim->content.content;
    bool is_lost = content->state == CONTENT_LOST;
    struct event_detail detail = {.reason = S("content_lost")};

    /* A mail that was canceled meanwhile looks like a lost one: the turn
     * knows, and refuses the result. */
    log_write(is_lost ? LOG_WARN : LOG_ERROR, LOG_QUEUE_UNREADABLE,
              log_str("email", id_str(&claim->pub.email)),
              log_error(&content->why));
    if (is_lost)
        result_tell(result_create(claim, 'f', 0), &detail);
    else
        result_create(claim, 'n', clock_wall_ms() + LATER_MS);
}

static void on_content(void *ctx)
{
    struct claim *claim = ctx;
    struct claims *claims = claim->claims;
    const struct content *content = claim->content.content;

    if (content->state != CONTENT_READY) {
        unreadable(claim);
        return;
    }
    claim->pub.record = content->record;
    claim->pub.attachments = content->attachments;
    if (claim->slot == NO_SLOT) {
        reroute(claim);
        return;
    }
    claims->untold[claim->slot]--;
    claim->is_told = true;
    if (claims->is_stopping)
        queue_report(claims->queue, &claim->pub, OUTCOME_UNSENT, 0, false,
                     NULL);
    else
        claims->worker->claimed(claims->worker->ctx, &claim->pub);
}

/* The fields of turn.lua's claim. */
enum {
    CLAIM_ID,
    CLAIM_TOKEN,
    CLAIM_LANE,
    CLAIM_ROUTE,
    CLAIM_ATTEMPT,
    CLAIM_GENERATION,
    CLAIM_DUP,
    CLAIM_ON_UNKNOWN,
    CLAIM_FIRST,
    CLAIM_EXPIRES,
    CLAIM_HAS_DEADLINE,
    CLAIM_CHUNKS,
    CLAIM_JOB_CHUNKS,
    CLAIM_FIELDS
};

static enum on_unknown on_unknown_of(struct str letter)
{
    if (str_eq(letter, S("h")))
        return ON_UNKNOWN_HOLD;
    return str_eq(letter, S("f")) ? ON_UNKNOWN_FAIL : ON_UNKNOWN_RETRY;
}

static bool put_text(char *out, size_t size, struct str text)
{
    if (text.len >= size)
        return false;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

static bool claim_read(struct claim *claim, const struct reply *entry)
{
    struct queue_claim *pub = &claim->pub;
    struct str id = reply_str(reply_at(entry, CLAIM_ID));
    struct str route = reply_str(reply_at(entry, CLAIM_ROUTE));
    uint64_t number;

    if (reply_count(entry) != CLAIM_FIELDS ||
        !put_text(claim->id, sizeof claim->id, id) ||
        !put_text(claim->token, sizeof claim->token,
                  reply_str(reply_at(entry, CLAIM_TOKEN))) ||
        !id_parse(str_slice(id, 0, ID_LEN), &pub->email) ||
        !str_to_u64(str_from(id, ID_LEN + 1), &number) || number > UINT16_MAX)
        return false;
    pub->number = (unsigned)number;
    pub->lane = (unsigned)reply_int(reply_at(entry, CLAIM_LANE)) % LANE_COUNT;
    claim->route = xmemdup0(route.ptr, route.len);
    pub->route = str_make(claim->route, route.len);
    pub->attempt = (unsigned)reply_int(reply_at(entry, CLAIM_ATTEMPT));
    pub->generation = (unsigned)reply_int(reply_at(entry, CLAIM_GENERATION));
    pub->possible_duplicate = reply_int(reply_at(entry, CLAIM_DUP)) != 0;
    pub->on_unknown =
        on_unknown_of(reply_str(reply_at(entry, CLAIM_ON_UNKNOWN)));
    pub->accepted_ms = reply_int(reply_at(entry, CLAIM_FIRST));
    pub->expires_ms = reply_int(reply_at(entry, CLAIM_EXPIRES));
    if (reply_int(reply_at(entry, CLAIM_HAS_DEADLINE)) != 0)
        pub->deadline_ms = pub->expires_ms;
    return true;
}

/* The record that the turn brought along; empty: none. */
static struct str find_content(const struct reply *contents,
                               const struct id *email)
{
    for (size_t i = 0; i + 1 < reply_count(contents); i += 2)
        if (str_eq(reply_str(reply_at(contents, i)), id_str(email)))
            return reply_str(reply_at(contents, i + 1));
    return S("");
}

static void take_claim(struct claims *claims, const struct reply *entry,
                       const struct reply *contents)
{
    struct claim *claim = xcalloc(1, sizeof *claim);

    claim->claims = claims;
    CHECK(claim_read(claim, entry)); /* our own script wrote it */
    list_add_last(&claims->held, &claim->link);
    claim->slot = slot_of(claims, claim->pub.route, claim->pub.lane);
    if (claim->slot != NO_SLOT)
        claims->untold[claim->slot]++;
    claim->content.ready = on_content;
    claim->content.ctx = claim;
    if (content_join(&claims->contents, &claim->pub.email,
                     find_content(contents, &claim->pub.email),
                     (unsigned)reply_int(reply_at(entry, CLAIM_CHUNKS)),
                     (unsigned)reply_int(reply_at(entry, CLAIM_JOB_CHUNKS)),
                     &claim->content))
        on_content(claim);
}

/* ---- room --------------------------------------------------------------- */

/* What may be claimed of that lane and those behind it. */
static size_t room_of(const struct claims *claims, size_t route, unsigned lane)
{
    const struct queue_worker *worker = claims->worker;
    size_t room;
    size_t untold = 0;

    if (claims->is_stopping)
        return 0;
    room = worker->room(worker->ctx, worker->routes[route], lane);
    for (unsigned l = lane; l < LANE_COUNT; l++)
        untold += claims->untold[route * LANE_COUNT + l];
    return room > untold ? room - untold : 0;
}

static void wait_for_work(struct claims *claims)
{
    for (size_t route = 0; route < claims->worker->route_count; route++)
        for (unsigned lane = 0; lane < LANE_COUNT; lane++)
            wake_want(claims->wake, route, lane,
                      room_of(claims, route, lane) > 0);
    wake_arm(claims->wake);
}

/* ---- a turn ------------------------------------------------------------- */

static void add_results(struct claims *claims, struct redis_command *command)
{
    size_t count = 0;

    list_each (at, &claims->results)
        count++;
    if (count > RESULTS_MAX)
        count = RESULTS_MAX;
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
        list_remove(&result->link);
        list_add_last(&claims->sent, &result->link);
    }
}

/* Tokens for which there is no room any more; the others are used up. */
static void add_unused_tokens(struct claims *claims,
                              struct redis_command *command)
{
    size_t slots = claims->worker->route_count * LANE_COUNT;
    bool *unused = xcalloc(slots + 1, sizeof *unused);
    size_t count = 0;

    for (size_t i = 0; i < slots; i++) {
        size_t route = i / LANE_COUNT;
        unsigned lane = i % LANE_COUNT;

        if (!wake_has_token(claims->wake, route, lane))
            continue;
        wake_drop_token(claims->wake, route, lane);
        unused[i] = room_of(claims, route, lane) == 0;
        count += unused[i];
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

static void add_wants(struct claims *claims, struct redis_command *command)
{
    static const size_t some[LANE_COUNT] = {16, 16, 16, 16};
    const struct queue_worker *worker = claims->worker;
    size_t(*room)[LANE_COUNT] = xcalloc(worker->route_count + 1, sizeof *room);
    size_t count = 0;
    size_t unknown = claims->is_stopping ? 0 : claims->unknown_count;

    for (size_t i = 0; i < worker->route_count; i++) {
        for (unsigned lane = 0; lane < LANE_COUNT; lane++)
            room[i][lane] = room_of(claims, i, lane);
        count += room[i][0] > 0;
    }
    command_add_int(command, (int64_t)(count + unknown));
    for (size_t i = 0; i < worker->route_count; i++)
        if (room[i][0] > 0)
            add_want(claims, command, worker->routes[i], room[i]);
    for (size_t i = 0; i < unknown; i++)
        add_want(claims, command, str_of(claims->unknown_routes[i]), some);
    free(room);
}

static void forget_unknown_routes(struct claims *claims)
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

    forget_unknown_routes(claims);
    claims->unknown_routes = xcalloc(count + 1, sizeof *claims->unknown_routes);
    for (size_t i = 0; i < count; i++) {
        struct str route = reply_str(reply_at(routes, i));

        if (slot_of(claims, route, 0) == NO_SLOT)
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
static void put_back_results(struct claims *claims)
{
    while (!list_is_empty(&claims->sent)) {
        struct list *last = claims->sent.prev;

        list_remove(last);
        list_add_first(&claims->results, last);
    }
}

static void drop_sent_results(struct claims *claims)
{
    while (!list_is_empty(&claims->sent))
        result_destroy(LIST_FIRST(&claims->sent, struct result, link));
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

static void take_turn(struct claims *claims, const struct reply *reply)
{
    const struct reply *entries = reply_at(reply, TURN_CLAIMS);
    int64_t refused = reply_int(reply_at(reply, TURN_REFUSED));

    drop_sent_results(claims);
    if (refused > 0)
        log_write(LOG_WARN, LOG_QUEUE_RESULT_REFUSED,
                  log_int("results", refused));
    claims_count_events(reply_at(reply, TURN_COUNTS));
    note_due(claims, reply_int(reply_at(reply, TURN_NOW)),
             reply_int(reply_at(reply, TURN_NEXT)));
    for (size_t i = 0; i < reply_count(entries); i++)
        take_claim(claims, reply_at(entries, i),
                   reply_at(reply, TURN_CONTENTS));
    if (reply_count(reply_at(reply, TURN_ROUTES)) > 0 ||
        claims->unknown_count > 0)
        note_routes(claims, reply_at(reply, TURN_ROUTES));
    wait_for_work(claims);
}

static void register_epoch(struct claims *claims);

static void on_turn(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct claims *claims = ctx;
    struct str word = reply_str(reply_at(reply, TURN_WORD));
    struct error err;

    claims->turn_is_under_way = false;
    if (str_eq(word, S("ok"))) {
        take_turn(claims, reply);
        plan_turn(claims);
        return;
    }
    put_back_results(claims);
    if (str_eq(word, S("unregistered")) && claims->state == CLAIMS_WORKING) {
        register_epoch(claims); /* the lease ran out, or Redis is a new one */
        return;
    }
    (void)reply_status(reply, why, &err);
    log_write(LOG_WARN, LOG_QUEUE_TURN_FAILED, log_error(&err));
}

static void send_turn(struct claims *claims)
{
    struct redis_command command;

    claims->turns++;
    command_init_partition(&command, claims->queue, SCRIPT_TURN, PARTITION);
    command_add_cstr(&command, claims->epoch);
    command_add_int(&command, lease_ms(claims));
    add_keeps(claims, &command);
    command_add_int(&command, (int64_t)claims->next_token);
    command_add_int(&command, claims->heartbeat_is_due);
    add_results(claims, &command);
    add_unused_tokens(claims, &command);
    add_wants(claims, &command);
    claims->next_token += RESULTS_MAX;
    claims->turn_is_under_way = true;
    claims->heartbeat_is_due = false;
    claims->ask = false; /* a wake from now on counts anew */
    redis_send(claims->queue->main, &command, script_budget_ms(claims), on_turn,
               claims);
}

static void leave_if_done(struct claims *claims);

static void on_turn_task(void *ctx)
{
    struct claims *claims = ctx;

    if (claims->turn_is_under_way || claims->is_leaving)
        return;
    if (claims->state == CLAIMS_WORKING &&
        (claims->ask || claims->heartbeat_is_due ||
         !list_is_empty(&claims->results)))
        send_turn(claims);
    else
        leave_if_done(claims);
}

static void plan_turn(struct claims *claims)
{
    task_run_soon(claims->queue->loop, &claims->turn_task);
}

static void ask(void *ctx)
{
    struct claims *claims = ctx;

    claims->ask = true;
    plan_turn(claims);
}

static void on_heartbeat(void *ctx)
{
    struct claims *claims = ctx;

    timer_set(claims->queue->loop, &claims->heartbeat,
              lease_ms(claims) / HEARTBEATS_PER_LEASE);
    if (claims->state == CLAIMS_REGISTERING &&
        !claims->registering_is_under_way)
        register_epoch(claims); /* it was refused */
    claims->heartbeat_is_due = true;
    ask(claims);
}

void queue_worker_hungry(struct queue *queue)
{
    if (queue->claims != NULL)
        ask(queue->claims);
}

/* ---- marks -------------------------------------------------------------- */

static void mark_answer(struct mark *mark, bool may_go, int64_t valid_until_ms)
{
    struct claim *claim = mark->claim;

    list_remove(&mark->link);
    if (claim != NULL) {
        claim->mark = NULL;
        mark->fn(mark->ctx, may_go, valid_until_ms);
    }
    free(mark);
}

static void marks_refuse(struct list *marks)
{
    struct mark *mark;

    while ((mark = LIST_FIRST(marks, struct mark, link)) != NULL)
        mark_answer(mark, false, 0);
}

static void on_marked(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct mark_batch *batch = ctx;
    struct mark *mark;
    size_t i = 0;

    (void)why;
    list_remove(&batch->link);
    while ((mark = LIST_FIRST(&batch->marks, struct mark, link)) != NULL)
        mark_answer(mark, reply_int(reply_at(reply, i++)) == 1,
                    batch->valid_until_ms);
    free(batch);
}

static void send_marks(struct claims *claims)
{
    struct mark_batch *batch = xcalloc(1, sizeof *batch);
    struct redis_command command;

    batch->claims = claims;
    batch->valid_until_ms = clock_now_ms() + lease_ms(claims) / 2;
    list_init(&batch->marks);
    list_add_last(&claims->mark_batches, &batch->link);
    command_init_partition(&command, claims->queue, SCRIPT_MARK, PARTITION);
    command_add_cstr(&command, claims->epoch);
    list_each_safe (at, &claims->marks) {
        struct mark *mark = LIST_MEMBER(at, struct mark, link);

        list_remove(at);
        if (mark->claim == NULL) {
            free(mark);
            continue;
        }
        command_add_cstr(&command, mark->claim->id);
        command_add_cstr(&command, mark->claim->token);
        list_add_last(&batch->marks, at);
    }
    redis_send(claims->queue->main, &command, script_budget_ms(claims),
               on_marked, batch);
}

static void on_mark_task(void *ctx)
{
    struct claims *claims = ctx;

    if (claims->state == CLAIMS_WORKING)
        send_marks(claims);
    else
        marks_refuse(&claims->marks);
}

void queue_mark(struct queue *queue, struct queue_claim *pub,
                queue_mark_fn done, void *ctx)
{
    struct claim *claim = CONTAINER_OF(pub, struct claim, pub);
    struct mark *mark = xcalloc(1, sizeof *mark);

    CHECK(claim->is_told && claim->mark == NULL);
    mark->claim = claim;
    mark->fn = done;
    mark->ctx = ctx;
    claim->mark = mark;
    list_add_last(&claim->claims->marks, &mark->link);
    task_run_soon(queue->loop, &claim->claims->mark_task);
}

/* ---- registering -------------------------------------------------------- */

static void on_registered(void *ctx, const struct reply *reply,
                          const struct error *why)
{
    struct claims *claims = ctx;
    struct error err;

    claims->registering_is_under_way = false;
    if (claims->state != CLAIMS_REGISTERING)
        return;
    if (!str_eq(reply_str(reply_at(reply, 0)), S("ok"))) {
        (void)reply_status(reply, why, &err);
        log_write(LOG_ERROR, LOG_QUEUE_TURN_FAILED, log_error(&err));
        return; /* the heartbeat tries again */
    }
    claims->state = CLAIMS_WORKING;
    claims->old_epoch[0] = '\0';
    claims_count_events(reply_at(reply, 1));
    claims->heartbeat_is_due = true;
    ask(claims);
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

static void register_epoch(struct claims *claims)
{
    struct redis_command command;

    claims->state = CLAIMS_REGISTERING;
    claims->registering_is_under_way = true;
    command_init_partition(&command, claims->queue, SCRIPT_REGISTER, PARTITION);
    command_add_cstr(&command, claims->epoch);
    command_add_cstr(&command, claims->old_epoch);
    command_add_int(&command, lease_ms(claims));
    add_keeps(claims, &command);
    add_in_hand(claims, &command);
    redis_send(claims->queue->main, &command, script_budget_ms(claims),
               on_registered, claims);
}

/* A turn that is still under way on the lost connection must not claim for
 * us: hence a new epoch for each connection. */
static void new_epoch(struct claims *claims)
{
    uint64_t random;

    memcpy(claims->old_epoch, claims->epoch, sizeof claims->old_epoch);
    secret_random(&random, sizeof random);
    snprintf(claims->epoch, sizeof claims->epoch, "%016llx",
             (unsigned long long)random);
}

static void on_main_changed(void *ctx, bool up)
{
    struct claims *claims = ctx;

    if (!up) {
        claims->state = CLAIMS_AWAY;
        plan_turn(claims); /* who stops may be done */
        return;
    }
    put_back_results(claims);
    new_epoch(claims);
    register_epoch(claims);
}

struct str queue_worker_epoch(const struct queue *queue)
{
    return queue->claims == NULL ? S("") : str_of(queue->claims->epoch);
}

/* ---- life --------------------------------------------------------------- */

static void on_drain_timer(void *ctx)
{
    plan_turn(ctx);
}

static void claims_close(void *ctx)
{
    struct claims *claims = ctx;
    struct loop *loop = claims->queue->loop;

    list_each_safe (at, &claims->held)
        claim_destroy(LIST_MEMBER(at, struct claim, link));
    put_back_results(claims);
    list_each_safe (at, &claims->results)
        result_destroy(LIST_MEMBER(at, struct result, link));
    marks_refuse(&claims->marks); /* nobody hears it: their claims ended */
    list_each_safe (at, &claims->mark_batches) {
        struct mark_batch *batch = LIST_MEMBER(at, struct mark_batch, link);

        marks_refuse(&batch->marks);
        free(batch);
    }
    wake_close(&claims->wake);
    contents_finish(&claims->contents);
    task_cancel(&claims->turn_task);
    task_cancel(&claims->mark_task);
    timer_clear(loop, &claims->heartbeat);
    timer_clear(loop, &claims->due);
    timer_clear(loop, &claims->drain);
    forget_unknown_routes(claims);
    free(claims->untold);
    loop_free_later(loop, free, claims);
}

void queue_worker_start(struct queue *queue, const struct queue_worker *worker)
{
    struct claims *claims = xcalloc(1, sizeof *claims);

    CHECK(queue->claims == NULL);
    queue->claims = claims;
    claims->queue = queue;
    claims->worker = worker;
    claims->untold =
        xcalloc(worker->route_count * LANE_COUNT + 1, sizeof *claims->untold);
    contents_init(&claims->contents, queue);
    list_init(&claims->held);
    list_init(&claims->results);
    list_init(&claims->sent);
    list_init(&claims->marks);
    list_init(&claims->mark_batches);
    task_init(&claims->turn_task, on_turn_task, claims);
    task_init(&claims->mark_task, on_mark_task, claims);
    timer_init(&claims->heartbeat, on_heartbeat, claims);
    timer_init(&claims->due, ask, claims);
    timer_init(&claims->drain, on_drain_timer, claims);
    claims->wake =
        wake_open(queue, worker->routes, worker->route_count, ask, claims);
    timer_set(queue->loop, &claims->heartbeat,
              lease_ms(claims) / HEARTBEATS_PER_LEASE);
    claims->part = (struct queue_part){
        .main_changed = on_main_changed,
        .close = claims_close,
        .ctx = claims,
    };
    queue_part_add(queue, &claims->part);
}

/* ---- stopping ----------------------------------------------------------- */

static void drained(struct claims *claims)
{
    void (*fn)(void *ctx) = claims->drained;

    claims->drained = NULL;
    timer_clear(claims->queue->loop, &claims->drain);
    timer_clear(claims->queue->loop, &claims->heartbeat);
    timer_clear(claims->queue->loop, &claims->due);
    if (fn != NULL)
        fn(claims->drained_ctx);
}

static void on_left(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    (void)reply;
    (void)why; /* the lease's end does the same */
    drained(ctx);
}

/* Everything is reported: leave the list of workers. */
static void leave_if_done(struct claims *claims)
{
    struct redis_command command;

    if (!claims->is_stopping || !list_is_empty(&claims->held) ||
        claims->drained == NULL)
        return;
    if (claims->state == CLAIMS_WORKING && list_is_empty(&claims->results)) {
        if (wake_is_waiting(claims->wake))
            return; /* a token that came now would be lost */
        claims->is_leaving = true;
        command_init_partition(&command, claims->queue, SCRIPT_RELEASE,
                               PARTITION);
        command_add_cstr(&command, claims->epoch);
        redis_send(claims->queue->main, &command, script_budget_ms(claims),
                   on_left, claims);
    } else if (!timer_is_set(&claims->drain)) {
        drained(claims); /* Redis stayed away */
    }
}

void queue_worker_stop(struct queue *queue, void (*fn)(void *ctx), void *ctx)
{
    struct claims *claims = queue->claims;

    CHECK(claims != NULL && !claims->is_stopping);
    claims->is_stopping = true;
    claims->drained = fn;
    claims->drained_ctx = ctx;
    timer_set(queue->loop, &claims->drain, DRAIN_MS);
    wait_for_work(claims); /* for none any more */
    wake_rest(claims->wake);
    ask(claims); /* tokens go back */
}

/* ---- release, by the supervisor ----------------------------------------- */

struct release {
    struct queue_call call;
    void (*done)(void *ctx, bool ok);
    void *ctx;
};

static void on_released(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    struct release *release = ctx;

    (void)why;
    release->done(release->ctx, str_eq(reply_str(reply_at(reply, 0)), S("ok")));
    queue_call_end(&release->call);
}

void queue_release(struct queue *queue, struct str epoch,
                   void (*done)(void *ctx, bool ok), void *ctx)
{
    struct release *release = queue_call_new(queue, sizeof *release);
    struct redis_command command;

    release->done = done;
    release->ctx = ctx;
    command_init_partition(&command, queue, SCRIPT_RELEASE, PARTITION);
    command_add(&command, epoch);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_released, release);
}
