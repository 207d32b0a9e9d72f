#include "queue/node_health.h"

#include "queue/core.h"
#include "server/base/arena.h"
#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAG_MAX_S = 3 /* a replica tells once a second how far it is */ };

/* One server's answers. */
struct asked {
    struct round *round;
    struct node_health health;
};

struct round {
    struct queue_call call;
    struct asked *nodes;
    size_t count;
    size_t under_way; /* questions */
};

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

static void blame(struct asked *asked, enum error_kind kind, const char *text)
{
    const struct queue *queue = asked->round->call.queue;

    if (!asked->health.is_durable || queue->config->redis.allow_volatile)
        return;
    asked->health.is_durable = false;
    error_set(&asked->health.why, kind, "%s", text);
}

/* --- a round --- */

static bool is_same(const struct redis_node *a, const struct redis_node *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static struct node_health *find(const struct queue *queue,
                                const struct redis_node *where)
{
    const struct health *health = &queue->health;

    for (size_t i = 0; i < health->node_count; i++)
        if (is_same(&health->nodes[i].where, where))
            return &health->nodes[i];
    return NULL;
}

/* Of one that did not answer counts what it said before. */
static bool publish(const struct round *round)
{
    struct health *health = &round->call.queue->health;
    struct node_health *nodes = xcalloc(round->count, sizeof *nodes);
    bool has_answered = false;

    for (size_t i = 0; i < round->count; i++) {
        const struct node_health *now = &round->nodes[i].health;
        const struct node_health *before = find(round->call.queue, &now->where);

        nodes[i] = now->is_known || before == NULL ? *now : *before;
        has_answered = has_answered || now->is_known;
    }
    free(health->nodes);
    health->nodes = nodes;
    health->node_count = round->count;
    return has_answered;
}

static void round_answered(struct round *round)
{
    struct queue *queue = round->call.queue;

    if (--round->under_way > 0)
        return;
    if (publish(round))
        health_round_ended(queue);
    queue_call_end(&round->call);
}

static void on_memory(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct asked *asked = ctx;
    struct str info = reply_str(reply);
    int64_t used = info_number(info, "used_memory");
    int64_t max = info_number(info, "maxmemory");
    struct str policy = info_value(info, "maxmemory_policy");
    char text[128];

    (void)why;
    if (reply_type(reply) == REPLY_TEXT) {
        asked->health.maxmemory_bytes = max;
        asked->health.is_full = max > 0 && used >= max / 100 * FULL_PERCENT;
        snprintf(text, sizeof text,
                 "redis may evict mail: maxmemory-policy is %.*s, set it to "
                 "noeviction",
                 STR_ARG(policy));
        if (!str_eq(policy, S("noeviction")))
            blame(asked, ERR_CONFIG, text);
        else if (max == 0)
            blame(asked, ERR_CONFIG,
                  "redis has no maxmemory: set it, so that a full queue is "
                  "refused before the machine is full");
    } /* else the link's loss, or the next answer, tells */
    round_answered(asked->round);
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
    struct asked *asked = ctx;
    struct str info = reply_str(reply);
    struct str line;

    (void)why;
    while (str_cut(&info, '\n', &line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        asked->health.replicas += is_good_replica(line);
    }
    round_answered(asked->round);
}

/* The last question: with its answer the others have come, too. */
static void on_persistence(void *ctx, const struct reply *reply,
                           const struct error *why)
{
    struct asked *asked = ctx;
    struct str info = reply_str(reply);

    (void)why;
    if (reply_type(reply) == REPLY_TEXT) {
        asked->health.is_known = true;
        if (info_number(info, "aof_enabled") != 1)
            blame(asked, ERR_CONFIG,
                  "redis would lose mail in a crash: set appendonly yes "
                  "(or redis.allow_volatile = true)");
        else if (str_eq(info_value(info, "aof_last_write_status"), S("err")))
            blame(asked, ERR_REMOTE,
                  "redis cannot write its append-only file: is the disk "
                  "full?");
    }
    round_answered(asked->round);
}

static void ask_info(struct asked *asked, struct redis_link *node,
                     const char *section, redis_fn fn)
{
    struct redis_command command;

    asked->round->under_way++;
    command_init(&command, "INFO");
    command_add_cstr(&command, section);
    redis_send(node, &command, REDIS_BUDGET_MS, fn, asked);
}

static void ask_node(struct round *round, struct redis_link *node)
{
    const struct config *config = round->call.queue->config;
    struct asked *asked = &round->nodes[round->count++];

    asked->round = round;
    asked->health.where = *redis_link_place(node, S(""));
    asked->health.is_durable = true;
    ask_info(asked, node, "memory", on_memory);
    if (config->redis.wait_replicas > 0)
        ask_info(asked, node, "replication", on_replication);
    ask_info(asked, node, "persistence", on_persistence);
}

void node_health_ask(struct queue *queue)
{
    struct round *round = queue_call_new(queue, sizeof *round);
    struct redis_link *node;
    size_t at = 0;
    size_t count = 0;

    while (redis_link_node(queue->main, &at) != NULL)
        count++;
    round->nodes = ARENA_ARRAY(round->call.arena, struct asked, count + 1);
    at = 0;
    while ((node = redis_link_node(queue->main, &at)) != NULL)
        ask_node(round, node);
    if (round->under_way == 0)
        queue_call_end(&round->call);
}

/* --- what was answered --- */

const struct node_health *node_health_of(const struct queue *queue,
                                         const struct redis_node *where)
{
    return find(queue, where);
}

bool node_health_look(struct queue *queue)
{
    bool is_new = false;
    struct redis_link *node;
    size_t at = 0;

    while ((node = redis_link_node(queue->main, &at)) != NULL) {
        struct node_health *health = find(queue, redis_link_place(node, S("")));

        if (health != NULL)
            health->is_known = health->is_known && redis_link_is_up(node);
        is_new = is_new || (redis_link_is_up(node) &&
                            (health == NULL || !health->is_known));
    }
    return is_new;
}

int64_t node_health_maxmemory(const struct queue *queue)
{
    int64_t sum = 0;

    for (size_t i = 0; i < queue->health.node_count; i++)
        sum += queue->health.nodes[i].maxmemory_bytes;
    return sum;
}
