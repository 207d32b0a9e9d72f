/* roam_servers.h - what befalls the servers of a cluster while the queue works
 * on it (test_cluster_walk.c): slots move, at once or by and by, connections
 * are cut, scripts forgotten, servers freeze or die and come back.
 */
#ifndef TESTS_ROAM_SERVERS_H
#define TESTS_ROAM_SERVERS_H

/* A replica would take the place of who is gone, and lose what it lacks. */
#define CLUSTER_REPLICAS 0

#include "cluster_fixture.h"
#include "walk_audit_text.h"
#include "walk_world.h"

#include "queue/redis_core.h"

enum { ROAM_PARTITIONS = 4, KEYS_OF_A_STEP = 20, MIGRATE_MS = 1000 };

/* Of one partition's slot; from NULL: none is under way. */
struct slot_move {
    unsigned slot;
    struct server *from;
    struct server *to;
};

struct roam_servers {
    struct walk *walk; /* dice and words */
    struct slot_move moves[ROAM_PARTITIONS];
    struct server *frozen;
    struct server *dead;
    uint64_t reads[SERVERS]; /* that a server has counted */
    pid_t counted[SERVERS];
};

static inline bool all_are_there(const struct roam_servers *servers)
{
    return servers->frozen == NULL && servers->dead == NULL;
}

static inline struct server *pick_server(struct walk *walk)
{
    return &cluster.servers[roll(walk, SERVERS)];
}

static inline void server_id(const struct server *server, char out[41])
{
    snprintf(out, 41, "%.40s", server_ask(server, "CLUSTER MYID"));
}

static inline void server_do(struct walk *walk, const struct server *server,
                             const char *format, ...) PRINTF_LIKE(3, 4);
static inline void server_do(struct walk *walk, const struct server *server,
                             const char *format, ...)
{
    redisReply *reply;
    va_list args;

    va_start(args, format);
    reply = redisvCommand(server->redis, format, args);
    va_end(args);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        walk_fail(walk, NO_EMAIL, "%u: %s: %s", server->port, format,
                  reply == NULL ? server->redis->errstr : reply->str);
    freeReplyObject(reply);
}

/* --- a slot on its way --- */

static inline void partition_key(unsigned partition, char out[16])
{
    snprintf(out, 16, "ph:{%u}:", partition);
}

/* NULL: nobody says that it has it. */
static inline struct server *home_of(unsigned partition)
{
    char key[16];

    partition_key(partition, key);
    for (unsigned i = 0; i < SERVERS; i++) {
        struct server *server = &cluster.servers[i];
        const char *answer = server_ask(server, "EXISTS %s", key);

        if (strcmp(answer, "0") == 0 || strncmp(answer, "ASK", 3) == 0)
            return server;
    }
    return NULL;
}

static inline void move_begin(struct roam_servers *servers, unsigned partition)
{
    struct slot_move *move = &servers->moves[partition];
    struct server *to = pick_server(servers->walk);
    struct server *from;
    char from_id[41];
    char to_id[41];
    char key[16];

    if (!all_are_there(servers) || move->from != NULL)
        return;
    from = home_of(partition);
    if (from == NULL || from == to)
        return;
    partition_key(partition, key);
    *move = (struct slot_move){
        .slot = cluster_slot(str_of(key)), .from = from, .to = to};
    server_id(from, from_id);
    server_id(to, to_id);
    server_do(servers->walk, to, "CLUSTER SETSLOT %u IMPORTING %s", move->slot,
              from_id);
    server_do(servers->walk, from, "CLUSTER SETSLOT %u MIGRATING %s",
              move->slot, to_id);
    note(servers->walk, NO_EMAIL, "{%u} leaves %u for %u", partition,
         from->port, to->port);
}

/* Some of its keys. A connection between the two may have been cut, or one of
 * them may wait for the others: what was sent is sent again. */
static inline void move_keys(const struct slot_move *move,
                             const redisReply *keys)
{
    const char *args[KEYS_OF_A_STEP + 8] = {"MIGRATE", "127.0.0.1"};
    size_t lens[KEYS_OF_A_STEP + 8];
    char port[16];
    char patience[16];
    size_t count = 2;
    redisReply *reply;

    snprintf(port, sizeof port, "%u", move->to->port);
    snprintf(patience, sizeof patience, "%d", MIGRATE_MS);
    args[count++] = port;
    args[count++] = "";
    args[count++] = "0";
    args[count++] = patience;
    args[count++] = "REPLACE";
    args[count++] = "KEYS";
    for (size_t i = 0; i < count; i++)
        lens[i] = strlen(args[i]);
    for (size_t i = 0; i < keys->elements; i++) {
        args[count] = keys->element[i]->str;
        lens[count++] = keys->element[i]->len;
    }
    reply = redisCommandArgv(move->from->redis, (int)count, args, lens);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR &&
        strncmp(reply->str, "IOERR", 5) != 0 &&
        strstr(reply->str, "CLUSTERDOWN") == NULL)
        fail_msg("MIGRATE: %s", reply->str);
    freeReplyObject(reply);
}

/* First whoever gets it, as redis-cli does. */
static inline void move_end(struct roam_servers *servers, unsigned partition)
{
    struct slot_move *move = &servers->moves[partition];
    char to_id[41];

    server_id(move->to, to_id);
    server_do(servers->walk, move->to, "CLUSTER SETSLOT %u NODE %s", move->slot,
              to_id);
    server_do(servers->walk, move->from, "CLUSTER SETSLOT %u NODE %s",
              move->slot, to_id);
    note(servers->walk, NO_EMAIL, "{%u} is at %u", partition, move->to->port);
    *move = (struct slot_move){0};
}

/* The next keys of what is on its way. */
static inline void move_on(struct roam_servers *servers, unsigned partition)
{
    const struct slot_move *move = &servers->moves[partition];
    redisReply *keys;

    if (move->from == NULL || !all_are_there(servers))
        return;
    keys = redisCommand(move->from->redis, "CLUSTER GETKEYSINSLOT %u %d",
                        move->slot, KEYS_OF_A_STEP);
    assert_non_null(keys);
    if (keys->elements > 0)
        move_keys(move, keys);
    else
        move_end(servers, partition);
    freeReplyObject(keys);
}

/* --- connections and scripts --- */

static inline void cut_connections(struct roam_servers *servers)
{
    struct server *server = pick_server(servers->walk);

    if (!all_are_there(servers))
        return;
    server_do(servers->walk, server, "CLIENT KILL TYPE normal SKIPME yes");
    note(servers->walk, NO_EMAIL, "%u cuts its connections", server->port);
}

static inline void forget_scripts(struct roam_servers *servers)
{
    struct server *server = pick_server(servers->walk);

    if (!all_are_there(servers))
        return;
    server_do(servers->walk, server, "SCRIPT FLUSH");
    note(servers->walk, NO_EMAIL, "%u forgets its scripts", server->port);
}

/* --- servers that are gone --- */

static inline void freeze_server(struct roam_servers *servers)
{
    if (!all_are_there(servers))
        return;
    servers->frozen = pick_server(servers->walk);
    kill(servers->frozen->pid, SIGSTOP);
    note(servers->walk, NO_EMAIL, "%u freezes", servers->frozen->port);
}

static inline void kill_server(struct roam_servers *servers)
{
    if (!all_are_there(servers))
        return;
    servers->dead = pick_server(servers->walk);
    server_kill(servers->dead);
    note(servers->walk, NO_EMAIL, "%u dies", servers->dead->port);
}

static inline void bring_back(struct roam_servers *servers)
{
    if (servers->frozen != NULL)
        kill(servers->frozen->pid, SIGCONT);
    if (servers->dead != NULL)
        server_start(servers->dead);
    if (!all_are_there(servers))
        note(servers->walk, NO_EMAIL, "it comes back");
    servers->frozen = servers->dead = NULL;
}

/* --- what they say --- */

/* How often clients have been read since the last call, all servers
 * together: those that were refused count, and what scripts call does not. */
static inline uint64_t count_reads(struct roam_servers *servers)
{
    static const char WORD[] = "total_reads_processed:";
    uint64_t sum = 0;

    for (unsigned i = 0; i < SERVERS; i++) {
        const struct server *server = &cluster.servers[i];
        const char *found = strstr(server_ask(server, "INFO stats"), WORD);
        uint64_t reads;

        assert_non_null(found);
        reads = strtoull(found + strlen(WORD), NULL, 10);
        sum += reads -
               (servers->counted[i] == server->pid ? servers->reads[i] : 0);
        servers->reads[i] = reads;
        servers->counted[i] = server->pid;
    }
    return sum;
}

/* All keys of a partition. False: they are in two places, or its server waits
 * for the others. */
static inline bool look_at_keys(struct roam_servers *servers,
                                unsigned partition)
{
    struct server *home = home_of(partition);
    const redisReply *complaints;
    redisReply *reply;
    struct buf text;
    char key[16];
    bool is_there;

    if (servers->moves[partition].from != NULL || home == NULL)
        return false;
    partition_key(partition, key);
    audit_text(&text);
    reply = redisCommand(home->redis, "EVAL %b 1 %s", text.data, text.len, key);
    buf_finish(&text);
    assert_non_null(reply);
    is_there = reply->type == REDIS_REPLY_ARRAY;
    if (!is_there && strncmp(reply->str, "CLUSTERDOWN", 11) != 0)
        walk_fail(servers->walk, NO_EMAIL, "{%u}: %s", partition, reply->str);
    complaints = is_there ? reply->element[0] : NULL;
    if (is_there && complaints->elements > 0)
        walk_fail(servers->walk, NO_EMAIL, "{%u}: %s (of %zu)", partition,
                  complaints->element[0]->str, complaints->elements);
    freeReplyObject(reply);
    return is_there;
}

#endif
