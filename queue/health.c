#include "queue/core.h"

#include "server/base/clock.h"
#include "server/base/log.h"

#include <stdlib.h>
#include <string.h>

/* Can Redis be trusted with mail? Of several servers each answers for the
 * partitions that it holds: one that will not do refuses their mail, and all
 * others go on (docs/decisions/0019-ready-by-partition.md). */

enum { ASK_EVERY_MS = 1000 };

/* Who has just begun has not been answered yet, which is no trouble. */
static enum log_level level_of(const struct error *why)
{
    return strcmp(why->text, REDIS_NOT_YET) == 0 ? LOG_INFO : LOG_WARN;
}

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
    if (ready && why.kind == ERR_NONE)
        log_write(LOG_INFO, LOG_QUEUE_READY,
                  log_cstr("url", queue->config->redis.url));
    else if (ready)
        log_write(LOG_WARN, LOG_QUEUE_PARTLY_READY, log_error(&why));
    else
        log_write(level_of(&why), LOG_QUEUE_NOT_READY, log_error(&why));
    if (queue->changed != NULL)
        queue->changed(queue->changed_ctx);
}

/* --- questions --- */

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

/* Of a cluster the first server that is there is asked: they have one clock,
 * or none of ours would help. */
static void ask_time(struct queue *queue)
{
    struct redis_command command;
    struct redis_link *node;
    size_t at = 0;

    while ((node = redis_link_node(queue->main, &at)) != NULL)
        if (redis_link_is_up(node))
            break;
    if (node == NULL)
        return;
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

    timer_set(queue->loop, &queue->health.timer, ASK_EVERY_MS);
    if (!queue->health.has_schema)
        read_meta(queue);
    ask_time(queue);
    node_health_ask(queue);
}

void health_round_ended(struct queue *queue)
{
    queue->health.known = true;
    health_look(queue);
}

/* --- meta: whose data is this? --- */

enum { SCHEMA, WRITE_LEVEL, PARTITIONS };

static const char *const FIELDS[] = {
    [SCHEMA] = "schema",
    [WRITE_LEVEL] = "write_level",
    [PARTITIONS] = "partitions",
};

#define ANOTHER_PLACE                                                          \
    "so it is not of Posthaste: set another redis.prefix, or another "         \
    "database in redis.url"

static void tell_error(const struct queue *queue, const struct reply *meta,
                       struct error *why)
{
    const char *prefix = queue->config->redis.prefix;

    if (reply_is_error(meta, "WRONGTYPE"))
        error_set(why, ERR_CONFIG, "redis: %smeta is no hash, " ANOTHER_PLACE,
                  prefix);
    else
        error_set(why, ERR_REMOTE, "redis: %smeta: %.*s", prefix,
                  STR_ARG(reply_str(meta)));
}

/* Just now each was to be set, if it was not there. */
static bool is_whole(const struct queue *queue, const struct reply *meta,
                     struct error *why)
{
    for (size_t i = 0; i < COUNT_OF(FIELDS); i++) {
        if (reply_type(reply_at(meta, i)) == REPLY_TEXT)
            continue;
        error_set(
            why, ERR_REMOTE, "redis: %smeta has no %s, and takes none: %s",
            queue->config->redis.prefix, FIELDS[i], queue->health.refusal.text);
        return false;
    }
    return true;
}

static bool is_schema_ours(const struct queue *queue, struct str text,
                           struct error *why)
{
    uint64_t schema;

    if (!str_to_u64(text, &schema) || schema < QUEUE_SCHEMA)
        error_set(why, ERR_CONFIG,
                  "redis: the schema in %smeta is \"%.*s\" and not "
                  "%d, " ANOTHER_PLACE,
                  queue->config->redis.prefix, STR_ARG(text), QUEUE_SCHEMA);
    else if (schema > QUEUE_SCHEMA)
        error_set(why, ERR_CONFIG,
                  "redis holds data of schema %llu, this release reads %d: run "
                  "a newer one",
                  (unsigned long long)schema, QUEUE_SCHEMA);
    else
        return true;
    return false;
}

static bool meta_is_ours(struct queue *queue, const struct reply *meta,
                         struct error *why)
{
    if (reply_type(meta) == REPLY_ERROR) {
        tell_error(queue, meta, why);
        return false;
    }
    return is_whole(queue, meta, why) &&
           is_schema_ours(queue, reply_str(reply_at(meta, SCHEMA)), why) &&
           levels_take(queue, reply_str(reply_at(meta, WRITE_LEVEL)), why);
}

static void on_meta(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct queue *queue = ctx;

    if (reply == NULL)
        queue->health.why = *why;
    if (reply == NULL || !meta_is_ours(queue, reply, &queue->health.why))
        return;
    queue->health.has_schema = true;
    levels_link_is_up(queue);
    partitions_learn(queue, reply_int(reply_at(reply, PARTITIONS)));
}

static void on_init(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct queue *queue = ctx;

    (void)why;
    if (reply_type(reply) == REPLY_ERROR)
        error_set(&queue->health.refusal, ERR_REMOTE, "%.*s",
                  STR_ARG(reply_str(reply)));
}

static void meta_init(struct queue *queue, size_t field, int64_t value)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "HSETNX");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    command_add_cstr(&command, FIELDS[field]);
    command_add_int(&command, value);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_init, queue);
}

static void read_meta(struct queue *queue)
{
    struct redis_command command;
    char key[KEY_MAX];

    meta_init(queue, SCHEMA, QUEUE_SCHEMA);
    meta_init(queue, WRITE_LEVEL, level_newest());
    meta_init(queue, PARTITIONS, 1);
    command_init(&command, "HMGET");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    for (size_t i = 0; i < COUNT_OF(FIELDS); i++)
        command_add_cstr(&command, FIELDS[i]);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_meta, queue);
}

/* --- the door --- */

void health_open(struct queue *queue)
{
    timer_init(&queue->health.timer, ask, queue);
    error_set(&queue->health.why, ERR_BUSY, REDIS_NOT_YET);
}

void health_close(struct queue *queue)
{
    timer_clear(queue->loop, &queue->health.timer);
    free(queue->health.nodes);
    queue->health.nodes = NULL;
    queue->health.node_count = 0;
    queue->changed = NULL;
}

void health_link_is_up(struct queue *queue)
{
    ask(queue);
}

void health_nodes_changed(struct queue *queue)
{
    if (queue->health.known && node_health_look(queue))
        ask(queue);
    health_look(queue);
}

void health_link_is_down(struct queue *queue, const struct error *why)
{
    timer_clear(queue->loop, &queue->health.timer);
    levels_link_is_down(queue);
    queue->health.known = false;
    queue->health.has_schema = false;
    (void)node_health_look(queue);
    partitions_look(queue);
    queue->health.why = *why;
    health_look(queue);
}

/* --- who may store --- */

/* One server for all, or each for its own? */
static bool has_named_nodes(const struct queue *queue)
{
    char master[REDIS_NODE_TEXT_SIZE];

    return redis_link_is_cluster(queue->main) ||
           redis_link_master(queue->main, master).len > 0;
}

static enum queue_status all_admit(const struct queue *queue, struct error *why)
{
    const struct health *health = &queue->health;

    if (!health->known || !health->has_schema) {
        *why = health->why;
        return QUEUE_NOT_READY;
    }
    if (queue->levels.is_behind) {
        *why = queue->levels.why;
        return QUEUE_NOT_READY;
    }
    return QUEUE_OK;
}

static enum queue_status server_admits(const struct queue *queue,
                                       struct str prefix,
                                       const struct node_health *node,
                                       struct error *why)
{
    int64_t wanted = queue->config->redis.wait_replicas;

    if (!node->is_durable) {
        *why = node->why;
        return QUEUE_NOT_READY;
    }
    if (wanted > 0 && (node->replicas < wanted ||
                       redis_link_lacks_replicas(queue->main, prefix))) {
        error_set(why, ERR_BUSY,
                  "redis: fewer than the %lld replicas that "
                  "redis.wait_replicas asks for keep up",
                  (long long)wanted);
        return QUEUE_NOT_READY;
    }
    if (node->is_full) {
        error_set(why, ERR_BUSY, "redis is over %d %% of its maxmemory",
                  FULL_PERCENT);
        return QUEUE_FULL;
    }
    return QUEUE_OK;
}

static const struct redis_node *place_of(const struct queue *queue,
                                         unsigned partition)
{
    char prefix[KEY_MAX];

    return redis_link_place(queue->main,
                            queue_partition_prefix(queue, partition, prefix));
}

static enum queue_status partition_admits(const struct queue *queue,
                                          unsigned partition,
                                          const struct redis_node *place,
                                          struct error *why)
{
    char space[KEY_MAX];
    struct str prefix = queue_partition_prefix(queue, partition, space);
    const struct node_health *node =
        place == NULL ? NULL : node_health_of(queue, place);

    if (!redis_link_serves(queue->main, prefix)) {
        error_set(why, ERR_REMOTE, "redis is away");
        return QUEUE_NOT_READY;
    }
    if (!redis_link_serves(queue->bulk, prefix)) {
        *why = *redis_link_trouble(queue->bulk);
        return QUEUE_NOT_READY;
    }
    if (node == NULL || !node->is_known) {
        error_set(why, ERR_BUSY, "redis has not said yet that it is durable");
        return QUEUE_NOT_READY;
    }
    return server_admits(queue, prefix, node, why);
}

static enum queue_status admits(const struct queue *queue, unsigned partition,
                                struct error *why)
{
    const struct redis_node *place = place_of(queue, partition);
    enum queue_status status = partition_admits(queue, partition, place, why);

    if (status != QUEUE_OK && place == NULL)
        error_set(why, ERR_REMOTE, "redis: no server holds its slot");
    else if (status != QUEUE_OK && has_named_nodes(queue))
        error_prefix(why, "%s:%u", place->host, (unsigned)place->port);
    return status;
}

enum queue_status health_admits(const struct queue *queue, unsigned partition,
                                struct error *why)
{
    enum queue_status status = all_admit(queue, why);

    return status == QUEUE_OK ? admits(queue, partition, why) : status;
}

/* --- all of them --- */

/* Where each partition is. */
struct places {
    size_t count;
    const struct redis_node *of[PARTITIONS_MAX];
};

static void places_init(const struct queue *queue, struct places *places)
{
    places->count = queue->partitions.count;
    for (unsigned i = 0; i < places->count; i++)
        places->of[i] = place_of(queue, i);
}

static bool is_first_of_its_server(const struct places *places, unsigned i)
{
    for (unsigned before = 0; before < i; before++)
        if (places->of[before] == places->of[i])
            return false;
    return true;
}

/* "partition 1, 2: 127.0.0.1:7001: redis is away" */
static void add_server(const struct places *places, unsigned first,
                       const char *why, struct buf *out)
{
    const char *before = out->len > 0 ? "; partition " : "partition ";

    for (unsigned i = first; i < places->count; i++) {
        if (places->of[i] != places->of[first])
            continue;
        buf_addf(out, "%s%u", before, i);
        before = ", ";
    }
    buf_addf(out, ": %s", why);
}

/* Partitions of one server share its verdict. */
static bool some_admit(const struct queue *queue, struct error *why)
{
    bool ready = false;
    struct places places;
    struct buf text;

    places_init(queue, &places);
    buf_init(&text, sizeof why->text);
    for (unsigned i = 0; i < places.count; i++) {
        if (!is_first_of_its_server(&places, i))
            continue;
        if (admits(queue, i, why) == QUEUE_OK)
            ready = true;
        else
            add_server(&places, i, why->text, &text);
    }
    error_clear(why);
    if (text.len > 0)
        error_set(why, ERR_REMOTE, "%.*s", STR_ARG(buf_str(&text)));
    buf_finish(&text);
    return ready;
}

bool queue_is_ready(const struct queue *queue, struct error *why)
{
    struct error here;

    if (why == NULL)
        why = &here;
    if (all_admit(queue, why) != QUEUE_OK)
        return false;
    error_clear(why);
    if (redis_link_is_cluster(queue->main))
        return some_admit(queue, why);
    return admits(queue, 0, why) == QUEUE_OK;
}

void queue_watch_ready(struct queue *queue, void (*changed)(void *ctx),
                       void *ctx)
{
    queue->changed = changed;
    queue->changed_ctx = ctx;
}
