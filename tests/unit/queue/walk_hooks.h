/* walk_hooks.h - hooks children of a walk: events fan out, are projected and
 * told to endpoints; and what sweeps behind them.
 */
#ifndef TESTS_WALK_HOOKS_H
#define TESTS_WALK_HOOKS_H

#include "walk_mail.h"

enum { EVENTS_OF_A_CALL = 25 };

/* --- endpoints --- */

static inline void make_endpoint(struct walk *walk, unsigned owner)
{
    static const struct str NAMES[] = {STR("*"), STR("email.sent"),
                                       STR("email.bounced")};
    struct endpoint endpoint = {
        .id = walk_id(walk, walk->owners[owner].home),
        .owner = str_of(WALK_OWNER[owner]),
        .url = S("https://a.example.com/"),
        .enabled = true,
        .secret = S("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        .created_ms = walk->now_ms,
    };
    struct str names[2] = {NAMES[roll(walk, 3)], S("email.expired")};
    struct answered answered = {0};

    endpoint.events = names;
    endpoint.event_count = roll(walk, 3);
    queue_endpoint_create(walk->queue, &endpoint, NULL, S("{}"), on_answered,
                          &answered);
    walk_until(walk, answered.count > 0);
    note(walk, NO_EMAIL, "an endpoint of %s: %d", WALK_OWNER[owner],
         answered.status);
}

/* One of his, or none. */
static inline bool pick_endpoint(struct walk *walk, unsigned owner,
                                 struct id *id)
{
    redisReply *reply = redis_raw("SORT ph:{%u}:r:webhook:%s ALPHA",
                                  walk->owners[owner].home, WALK_OWNER[owner]);
    bool found = reply->elements > 0;

    if (found)
        found = id_parse(
            str_of(reply->element[roll(walk, (unsigned)reply->elements)]->str),
            id);
    freeReplyObject(reply);
    return found;
}

static inline void op_endpoint(struct walk *walk)
{
    unsigned owner = roll(walk, WALK_OWNERS);
    bool enabled = !one_in(walk, 3);
    struct endpoint_change change = {.enabled = &enabled};
    struct answered answered = {0};
    struct id id;

    if (!pick_endpoint(walk, owner, &id)) {
        make_endpoint(walk, owner);
        return;
    }
    if (one_in(walk, 3))
        queue_endpoint_delete(walk->queue, walk_owner(walk, owner), &id,
                              on_answered, &answered);
    else
        queue_endpoint_update(walk->queue, walk_owner(walk, owner), &id,
                              &change, on_answered, &answered);
    walk_until(walk, answered.count > 0);
    note(walk, NO_EMAIL, "change the endpoint %s of %s: %d", id.text,
         WALK_OWNER[owner], answered.status);
}

/* --- tasks --- */

static inline void register_hook(struct walk *walk, struct walk_hook *hook)
{
    char old[32];

    memcpy(old, hook->epoch, sizeof old);
    snprintf(hook->epoch, sizeof hook->epoch, "h%u-%u-%u", hook->serial,
             hook->partition, ++hook->epochs);
    call_begin(walk, SCRIPT_TASK_REGISTER, hook->partition);
    call_add(hook->epoch);
    call_add(old);
    call_int(WALK_LEASE_MS);
    for (size_t i = 0; i < hook->held_count; i++) {
        char name[128];

        snprintf(name, sizeof name, "%s %s", hook->held[i].endpoint,
                 hook->held[i].event);
        call_add(name);
        call_add(hook->held[i].token);
    }
    call_only(walk);
    note(walk, NO_EMAIL, "{%u}: %s registers behind %s", hook->partition,
         hook->epoch, old);
}

static inline void call_task(struct walk *walk, const struct walk_task *task)
{
    static const char *const OUTCOMES[] = {"done", "done",   "done", "again",
                                           "busy", "failed", "lost", "unsent"};
    const char *outcome = one_in(walk, 60) ? "gone" : OUTCOMES[roll(walk, 8)];

    call_add(task->endpoint);
    call_add(task->event);
    call_add(task->token);
    call_add(outcome);
    call_int(one_in(walk, 3) ? 0 : some_minutes(walk, 60));
    call_add("{}");
}

static inline void call_tasks(struct walk *walk, struct walk_hook *hook)
{
    size_t told = roll(walk, (unsigned)hook->held_count + 1);

    call_int((int64_t)told);
    for (size_t i = 0; i < told; i++)
        call_task(walk, &hook->held[i]);
    hook->held_count -= told;
    memmove(hook->held, hook->held + told,
            hook->held_count * sizeof *hook->held);
}

static inline void take_tasks(struct walk_hook *hook, const redisReply *reply)
{
    for (size_t i = 4; i < reply->elements; i++) {
        struct walk_task *task = &hook->held[hook->held_count];
        redisReply *const *parts = reply->element[i]->element;

        assert_true(hook->held_count++ < WALK_TASKS_MAX);
        snprintf(task->endpoint, sizeof task->endpoint, "%s", parts[0]->str);
        snprintf(task->event, sizeof task->event, "%s", parts[1]->str);
        snprintf(task->token, sizeof task->token, "%s", parts[2]->str);
    }
}

static inline void turn_hook(struct walk *walk, struct walk_hook *hook)
{
    redisReply *reply;

    call_begin(walk, SCRIPT_TASK_TURN, hook->partition);
    call_add(hook->epoch);
    call_int(WALK_LEASE_MS);
    call_int(WALK_TASKS_MAX - (int)hook->held_count);
    call_tasks(walk, hook);
    reply = call_end(walk);
    note(walk, NO_EMAIL, "{%u}: tasks of %s: %s", hook->partition, hook->epoch,
         word_of(reply));
    if (strcmp(word_of(reply), "ok") == 0)
        take_tasks(hook, reply);
    else
        register_hook(walk, hook);
    freeReplyObject(reply);
}

/* --- events --- */

/* Whose events were taken; "": nobody's. */
static inline void fan_out(struct walk *walk, unsigned partition, char *owner,
                           size_t size)
{
    redisReply *reply;

    call_begin(walk, SCRIPT_FANOUT, partition);
    call_add("email.sent email.delivered email.bounced email.failed");
    call_int(EVENTS_OF_A_CALL);
    reply = call_end(walk);
    snprintf(owner, size, "%s", word_of(reply));
    freeReplyObject(reply);
}

static inline void project(struct walk *walk, unsigned partition,
                           const char *owner)
{
    call_begin(walk, SCRIPT_PROJECT, partition);
    call_add(owner);
    call_int(EVENTS_OF_A_CALL);
    call_int(90 * WALK_DAY_MS);
    call_only(walk);
}

static inline void op_hooks(struct walk *walk)
{
    struct walk_hook *hook =
        &walk->hooks[roll(walk, WALK_HOOKS * WALK_PARTITIONS)];
    char owner[64];

    if (hook->epoch[0] == '\0' || one_in(walk, 20)) {
        register_hook(walk, hook);
        return;
    }
    if (one_in(walk, 20)) {
        *hook = (struct walk_hook){.serial = hook->serial + 10,
                                   .partition = hook->partition};
        return; /* it dies */
    }
    redis_do("DEL ph:{%u}:hwake", hook->partition);
    for (unsigned i = roll(walk, 4); i > 0; i--) {
        fan_out(walk, hook->partition, owner, sizeof owner);
        if (owner[0] != '\0' && !one_in(walk, 5))
            project(walk, hook->partition, owner);
        note(walk, NO_EMAIL, "{%u}: fan out of %s", hook->partition, owner);
    }
    turn_hook(walk, hook);
}

/* --- what sweeps --- */

static inline bool sweep(struct walk *walk, unsigned partition, int64_t limit)
{
    redisReply *reply;
    bool again;

    walk->may_sweep = true;
    call_begin(walk, SCRIPT_SWEEP, partition);
    call_int(WALK_DAY_MS + TICK_MS / 2);
    call_int(3 * WALK_DAY_MS + TICK_MS / 2);
    call_int(limit);
    reply = call_end(walk);
    again = reply->element[1]->integer == 1;
    freeReplyObject(reply);
    return again;
}

static inline void op_sweep(struct walk *walk)
{
    unsigned partition = roll(walk, WALK_PARTITIONS);
    int64_t limit = one_in(walk, 12) ? 20000 : 0;

    note(walk, NO_EMAIL, "{%u}: sweep to %lld", partition, (long long)limit);
    sweep(walk, partition, limit);
}

/* --- counting --- */

/* A walk of the reconciler along what is in order: it mends nothing. */
static inline void op_reconcile(struct walk *walk)
{
    unsigned partition = roll(walk, WALK_PARTITIONS);
    char cursor[64] = "f 0 0";
    bool is_done = false;

    redis_do("SET ph:{%u}:reconcile me PX 600000", partition);
    note(walk, NO_EMAIL, "{%u}: reconcile", partition);
    while (!is_done) {
        redisReply *reply;

        call_begin(walk, SCRIPT_RECONCILE, partition);
        call_add("me");
        call_int(1);
        call_add("walk");
        call_add(cursor);
        reply = call_end(walk);
        is_done = strcmp(word_of(reply), "done") == 0;
        if (reply->element[2]->integer != 0 ||
            (is_done && reply->element[3]->integer != 0))
            walk_fail(walk, NO_EMAIL, "{%u}: %lld were mended, %lld are odd",
                      partition, reply->element[2]->integer,
                      is_done ? reply->element[3]->integer : 0);
        snprintf(cursor, sizeof cursor, "%s", reply->element[1]->str);
        freeReplyObject(reply);
    }
}

#endif
