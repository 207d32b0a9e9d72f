#include "queue/core.h"

#include "server/base/clock.h"
#include "server/base/log.h"

#include <stdio.h>
#include <string.h>

/* Can Redis be trusted with mail? Asked when the link comes up and once a
 * second from then on, by INFO alone, so that an ACL need not allow CONFIG.
 * Without AOF a crash of Redis loses every mail since the last snapshot
 * (28,800 of 28,800 in a trial), and an evicting policy loses them while
 * all is well. */

enum {
    ASK_EVERY_MS = 1000,
    FULL_PERCENT = 80,
    LAG_MAX_S = 3, /* a replica tells once a second how far it is */
};

/* A new reason counts as a change: a server that is back, but may lose mail,
 * must not look as if it were still away. */
void health_look(struct queue *queue)
{
    struct health *health = &queue->health;
    struct error why;
    bool ready;

    error_clear(&why);
    ready = queue_is_ready(queue, &why);
    if (ready == health->told_ready &&
        strcmp(why.text, health->told_why.text) == 0)
        return;
    health->told_ready = ready;
    health->told_why = why;
    if (ready)
        log_write(LOG_INFO, LOG_QUEUE_READY,
                  log_cstr("url", queue->config->redis.url));
    else
        log_write(LOG_WARN, LOG_QUEUE_NOT_READY, log_error(&why));
    if (queue->changed != NULL)
        queue->changed(queue->changed_ctx);
}

/* --- INFO --- */

/* The value behind "name:" at the start of a line; empty when missing. */
static struct str info_value(struct str info, const char *name)
{
    struct str line;
    struct str key;

    while (str_cut(&info, '\n', &line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (str_cut(&line, ':', &key) && str_eq(key, str_of(name)))
            return line;
    }
    return S("");
}

static int64_t info_number(struct str info, const char *name)
{
    uint64_t value = 0;

    if (!str_to_u64(info_value(info, name), &value) || value > INT64_MAX)
        return 0;
    return (int64_t)value;
}

/* Each server is asked, and the worst answer counts. */
struct round {
    struct queue_call call;
    size_t under_way;
    size_t answered; /* servers */
    bool is_durable;
    bool is_full;
    int64_t maxmemory_bytes; /* of all together */
    int64_t replicas;        /* of the one with the fewest */
    struct error why;
};

static void round_blame(struct round *round, enum error_kind kind,
                        const char *text)
{
    if (!round->is_durable || round->call.queue->config->redis.allow_volatile)
        return;
    round->is_durable = false;
    error_set(&round->why, kind, "%s", text);
}

static void round_publish(const struct round *round)
{
    struct health *health = &round->call.queue->health;

    health->is_durable = round->is_durable;
    health->is_full = round->is_full;
    health->maxmemory_bytes = round->maxmemory_bytes;
    health->replicas = round->replicas;
    if (!round->is_durable)
        health->why = round->why;
    health->known = true;
    health_look(round->call.queue);
}

static void round_answered(struct round *round)
{
    if (--round->under_way > 0)
        return;
    if (round->answered > 0)
        round_publish(round);
    queue_call_end(&round->call);
}

static void on_memory(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct round *round = ctx;
    struct str info = reply_str(reply);
    int64_t used = info_number(info, "used_memory");
    int64_t max = info_number(info, "maxmemory");
    struct str policy = info_value(info, "maxmemory_policy");
    char text[128];

    (void)why;
    if (reply_type(reply) == REPLY_TEXT) {
        round->maxmemory_bytes += max;
        round->is_full =
            round->is_full || (max > 0 && used >= max / 100 * FULL_PERCENT);
        snprintf(text, sizeof text,
                 "redis may evict mail: maxmemory-policy is %.*s, set it to "
                 "noeviction",
                 STR_ARG(policy));
        if (!str_eq(policy, S("noeviction")))
            round_blame(round, ERR_CONFIG, text);
        else if (max == 0)
            round_blame(round, ERR_CONFIG,
                        "redis has no maxmemory: set it, so that a full queue "
                        "is refused before the machine is full");
    } /* else the link's loss, or the next answer, tells */
    round_answered(round);
}

/* "slave0:ip=127.0.0.1,port=6380,state=online,offset=42,lag=0" */
static bool is_good_replica(struct str line)
{
    struct str name;
    struct str field;
    struct str key;
    uint64_t lag_s = UINT64_MAX;
    bool is_online = false;

    if (!str_starts(line, S("slave")) || !str_cut(&line, ':', &name))
        return false;
    while (str_cut(&line, ',', &field)) {
        if (!str_cut(&field, '=', &key))
            continue;
        if (str_eq(key, S("state")))
            is_online = str_eq(field, S("online"));
        else if (str_eq(key, S("lag")) && !str_to_u64(field, &lag_s))
            return false;
    }
    return is_online && lag_s <= LAG_MAX_S;
}

static void on_replication(void *ctx, const struct reply *reply,
                           const struct error *why)
{
    struct round *round = ctx;
    struct str info = reply_str(reply);
    struct str line;
    int64_t replicas = 0;

    (void)why;
    while (str_cut(&info, '\n', &line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        replicas += is_good_replica(line);
    }
    if (reply_type(reply) == REPLY_TEXT && replicas < round->replicas)
        round->replicas = replicas;
    round_answered(round);
}

static void on_persistence(void *ctx, const struct reply *reply,
                           const struct error *why)
{
    struct round *round = ctx;
    struct str info = reply_str(reply);

    (void)why;
    if (reply_type(reply) == REPLY_TEXT) {
        round->answered++;
        if (info_number(info, "aof_enabled") != 1)
            round_blame(round, ERR_CONFIG,
                        "redis would lose mail in a crash: set appendonly yes "
                        "(or redis.allow_volatile = true)");
        else if (str_eq(info_value(info, "aof_last_write_status"), S("err")))
            round_blame(round, ERR_REMOTE,
                        "redis cannot write its append-only file: is the disk "
                        "full?");
    }
    round_answered(round);
}

static void ask_info(struct round *round, struct redis_link *node,
                     const char *section, redis_fn fn)
{
    struct redis_command command;

    round->under_way++;
    command_init(&command, "INFO");
    command_add_cstr(&command, section);
    redis_send(node, &command, REDIS_BUDGET_MS, fn, round);
}

#ifdef FAULT_POINTS
/* Scripts add it to the time (prelude.lua). */
static void on_test_offset(void *ctx, const struct reply *reply,
                           const struct error *why)
{
    struct queue *queue = ctx;

    (void)why;
    queue->health.test_offset_ms = reply_int(reply);
}

static void ask_test_offset(struct queue *queue)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "HGET");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    command_add_cstr(&command, "test_offset_ms");
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_test_offset, queue);
}
#endif

/* Taken as of the moment of the question: never behind Redis' clock, so that
 * no mail is handed over late. */
static void on_time(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct queue *queue = ctx;

    (void)why;
    if (reply_count(reply) == 2)
        clock_share(reply_int(reply_at(reply, 0)) * 1000 +
                        reply_int(reply_at(reply, 1)) / 1000 +
                        queue->health.test_offset_ms,
                    queue->health.time_asked_ms);
}

/* Of a cluster the first server is asked: they have one clock, or none of ours
 * would help. */
static void ask_time(struct queue *queue, struct redis_link *node)
{
    struct redis_command command;

#ifdef FAULT_POINTS
    ask_test_offset(queue);
#endif
    queue->health.time_asked_ms = clock_now_ms();
    command_init(&command, "TIME");
    redis_send(node, &command, REDIS_BUDGET_MS, on_time, queue);
}

static void read_meta(struct queue *queue);

static void ask(void *ctx)
{
    struct queue *queue = ctx;
    struct round *round = queue_call_new(queue, sizeof *round);
    struct redis_link *node;
    size_t at = 0;

    timer_set(queue->loop, &queue->health.timer, ASK_EVERY_MS);
    if (!queue->health.has_schema)
        read_meta(queue);
    round->is_durable = true;
    round->replicas = INT64_MAX;
    while ((node = redis_link_node(queue->main, &at)) != NULL) {
        if (round->under_way == 0)
            ask_time(queue, node);
        ask_info(round, node, "memory", on_memory);
        if (queue->config->redis.wait_replicas > 0)
            ask_info(round, node, "replication", on_replication);
        ask_info(round, node, "persistence", on_persistence);
    }
    if (round->under_way == 0)
        queue_call_end(&round->call);
}

/* --- meta: whose data is this? --- */

enum { SCHEMA, WRITE_LEVEL, PARTITIONS };

static bool meta_is_ours(struct queue *queue, const struct reply *meta,
                         struct error *why)
{
    int64_t schema = reply_int(reply_at(meta, SCHEMA));

    if (reply_type(meta) == REPLY_ERROR) {
        error_set(why, ERR_REMOTE, "redis: %.*s", STR_ARG(reply_str(meta)));
        return false;
    }
    if (schema != QUEUE_SCHEMA) {
        error_set(why, ERR_CONFIG,
                  "redis holds data of schema %lld, this build writes %d",
                  (long long)schema, QUEUE_SCHEMA);
        return false;
    }
    return levels_take(queue, reply_int(reply_at(meta, WRITE_LEVEL)), why);
}

static void on_meta(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct queue *queue = ctx;

    (void)why;
    if (reply == NULL || !meta_is_ours(queue, reply, &queue->health.why))
        return;
    queue->health.has_schema = true;
    levels_link_is_up(queue);
    partitions_learn(queue, reply_int(reply_at(reply, PARTITIONS)));
}

static void meta_init(struct queue *queue, const char *field, int64_t value)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "HSETNX");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    command_add_cstr(&command, field);
    command_add_int(&command, value);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}

static void read_meta(struct queue *queue)
{
    struct redis_command command;
    char key[KEY_MAX];

    meta_init(queue, "schema", QUEUE_SCHEMA);
    meta_init(queue, "write_level", level_newest());
    meta_init(queue, "partitions", 1);
    command_init(&command, "HMGET");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    command_add_cstr(&command, "schema");
    command_add_cstr(&command, "write_level");
    command_add_cstr(&command, "partitions");
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_meta, queue);
}

/* --- the door --- */

void health_open(struct queue *queue)
{
    timer_init(&queue->health.timer, ask, queue);
    error_set(&queue->health.why, ERR_BUSY, "redis is not connected yet");
}

void health_close(struct queue *queue)
{
    timer_clear(queue->loop, &queue->health.timer);
    queue->changed = NULL;
}

void health_link_is_up(struct queue *queue)
{
    ask(queue);
}

void health_link_is_down(struct queue *queue, const struct error *why)
{
    timer_clear(queue->loop, &queue->health.timer);
    levels_link_is_down(queue);
    queue->health.known = false;
    queue->health.has_schema = false;
    partitions_look(queue);
    queue->health.why = *why;
    health_look(queue);
}

static bool lacks_replicas(const struct queue *queue)
{
    int64_t wanted = queue->config->redis.wait_replicas;

    return wanted > 0 && (queue->health.replicas < wanted ||
                          redis_link_lacks_replicas(queue->main));
}

enum queue_status health_admits(const struct queue *queue, struct error *why)
{
    const struct health *health = &queue->health;

    if (!health->known || !health->has_schema || !health->is_durable) {
        *why = health->why;
        return QUEUE_NOT_READY;
    }
    if (queue->levels.is_behind) {
        *why = queue->levels.why;
        return QUEUE_NOT_READY;
    }
    if (!redis_link_is_up(queue->bulk)) {
        *why = *redis_link_trouble(queue->bulk);
        return QUEUE_NOT_READY;
    }
    if (lacks_replicas(queue)) {
        error_set(why, ERR_BUSY,
                  "redis: fewer than the %lld replicas that "
                  "redis.wait_replicas asks for keep up",
                  (long long)queue->config->redis.wait_replicas);
        return QUEUE_NOT_READY;
    }
    if (health->is_full) {
        error_set(why, ERR_BUSY, "redis is over %d %% of its maxmemory",
                  FULL_PERCENT);
        return QUEUE_FULL;
    }
    return QUEUE_OK;
}

bool queue_is_ready(const struct queue *queue, struct error *why)
{
    struct error here;

    return health_admits(queue, why == NULL ? &here : why) == QUEUE_OK;
}

void queue_watch_ready(struct queue *queue, void (*changed)(void *ctx),
                       void *ctx)
{
    queue->changed = changed;
    queue->changed_ctx = ctx;
}
