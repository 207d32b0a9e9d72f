/* redis_link.h - one connection to Redis, and the only door to hiredis.
 *
 * A link connects by itself, logs in, selects its database, loads the
 * scripts, and does so again after every loss, with a jittered back-off. With
 * Sentinels it asks them each time for the master, and follows a failover: a
 * READONLY drops the connection, and so does a Sentinel that tells of another
 * master (redis_watch.c).
 * What one turn of the loop sends leaves in one write. Each command has its
 * own time limit: when that passes, or anything else goes wrong, the whole
 * connection is dropped and never used again, and every command under way
 * ends without a reply: its outcome is unknown.
 *
 * With redis.wait_replicas the answer to a write is given when so many
 * replicas have it (redis_wait.c).
 *
 * hiredis 0.14: after an error it frees its context as soon as the pending
 * callbacks have run, so a link forgets a context at the first sign of loss.
 * redis_reply.c reads replies, redis_command.c writes commands, redis_address.c
 * reads redis.url; redis_core.h lists the files of the link itself.
 */
#ifndef QUEUE_REDIS_LINK_H
#define QUEUE_REDIS_LINK_H

#include "queue/scripts.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/config.h"
#include "server/base/error.h"
#include "server/base/fault.h"
#include "server/base/str.h"
#include "server/io/loop.h"

#include <stdbool.h>
#include <stdint.h>

/* --- replies: live during the callback --- */

struct reply;
enum reply_type {
    REPLY_NONE, /* NULL: no answer came */
    REPLY_TEXT, /* bulk strings and status lines */
    REPLY_INT,
    REPLY_NIL,
    REPLY_LIST,
    REPLY_ERROR,
};
enum reply_type reply_type(const struct reply *reply);
/* Of TEXT and ERROR, else the empty str. */
struct str reply_str(const struct reply *reply);
/* Of INT, and of TEXT that is a decimal number, else 0. */
int64_t reply_int(const struct reply *reply);
/* Elements of a LIST, else 0; NULL past the end. */
size_t reply_count(const struct reply *reply);
const struct reply *reply_at(const struct reply *reply, size_t index);
/* An ERROR that begins with that word: "OOM", "NOSCRIPT". */
bool reply_is_error(const struct reply *reply, const char *word);

/* --- commands --- */

struct redis_command {
    struct buf args; /* as they go over the wire, behind room for a head */
    size_t count;
    int script; /* enum script; -1: a plain command */
    int slot;   /* of a cluster: command_route; -1: that of the key */
    /* Its answer waits for redis.wait_replicas: all scripts and commands that
     * write, unless the owner says no since nothing that is acknowledged hangs
     * on it. */
    bool lasts;
#ifdef FAULT_POINTS
    struct fault_point *sent_point; /* passed when it has left for Redis */
#endif
};
void command_init(struct redis_command *command, const char *name);
/* EVALSHA with one key: the prefix of all keys of the partition, KEYS[1].
 * Everything added behind it is in ARGV. */
void command_init_script(struct redis_command *command, enum script script,
                         struct str partition_prefix);
void command_add(struct redis_command *command, struct str arg);
void command_add_cstr(struct redis_command *command, const char *arg);
void command_add_int(struct redis_command *command, int64_t arg);
void command_addf(struct redis_command *command, const char *format, ...)
    PRINTF_LIKE(2, 3);
/* Arguments alone, for command_add_args into a command of several. */
void command_init_args(struct redis_command *args);
void command_add_args(struct redis_command *command,
                      const struct redis_command *args);
void command_finish(struct redis_command *command); /* one never sent */
/* To the node of a cluster that holds that key, for one that has none. */
void command_route(struct redis_command *command, struct str key);
/* The first key; empty: it has no arguments. */
struct str command_key(const struct redis_command *command);
void command_copy(const struct redis_command *from, struct redis_command *to);
/* Names its sent_point. */
#ifdef FAULT_POINTS
#define COMMAND_SENT_POINT(command, its_name)                                  \
    FAULT_POINT_KEEP((command)->sent_point, its_name)
#else
#define COMMAND_SENT_POINT(command, its_name) ((void)(command))
#endif
/* For the link: as it goes over the wire. sha: of a script, else NULL. Valid
 * until the command's end. */
enum { SCRIPT_SHA_LEN = 40 };
struct str command_bytes(struct redis_command *command, const char *sha);

/* --- where --- */

struct redis_node {
    char host[256]; /* or the path of a Unix socket */
    uint16_t port;
};

enum {
    REDIS_SENTINELS_MAX = 16,
    REDIS_MASTER_SIZE = 64,
    REDIS_SEEDS_MAX = 16, /* nodes of a cluster that tell of the others */
};

/* The parts of redis.url. */
struct redis_address {
    struct redis_node node; /* not with Sentinels, or of a cluster */
    bool is_unix;
    unsigned database;
    struct redis_node sentinels[REDIS_SENTINELS_MAX];
    size_t sentinel_count; /* 0: none are asked */
    char master[REDIS_MASTER_SIZE];
    struct redis_node seeds[REDIS_SEEDS_MAX];
    size_t seed_count; /* 0: it is no cluster */
};
MUST_USE bool redis_address_parse(const char *url, struct redis_address *out,
                                  struct error *err);

/* --- links --- */

struct redis_link;

enum { REDIS_BUDGET_MS = 700 }; /* what an answer to a caller may wait */

struct redis_link_settings {
    const struct config_redis *config;
    /* NULL: that of config->url. Copied. */
    const struct redis_address *address;
    const char *name;     /* for logs: "main" */
    size_t in_flight_max; /* commands; more are refused at once */
    bool loads_scripts;
    /* Leads where that one does (with Sentinels), and is dropped with it when
     * that one waits for an answer in vain; NULL: goes its own way. */
    struct redis_link *family;
    /* up: commands are taken from now on. down: not any more; why tells,
     * also after a failed attempt to connect. Not called by close. */
    void (*on_up)(void *ctx);
    void (*on_down)(void *ctx, const struct error *why);
    /* redis_link_serves may say another thing: a node of the cluster came or
     * went, or slots have moved; may be NULL. */
    void (*on_nodes)(void *ctx);
    /* redis_link_lacks_replicas says another thing; may be NULL. */
    void (*on_replicas)(void *ctx);
    void *ctx;
};

/* A link to a cluster is up as long as one master is connected, at first once
 * each of them is, or is known to be away; each command goes to the node that
 * holds its key, and is sent again when that node has not executed it since
 * the key is elsewhere, or on its way (redis_cluster.c). Replies of different
 * keys come in any order then.
 *
 * Begins to connect with the next turn. settings->config and name must
 * outlive the link. */
struct redis_link *redis_link_open(struct loop *loop,
                                   const struct redis_link_settings *settings);
/* Commands under way get no callback. */
void redis_link_close(struct redis_link **link);
bool redis_link_is_up(const struct redis_link *link);
/* Why the last connection ended, or has not come to be: REDIS_NOT_YET. */
#define REDIS_NOT_YET "redis is not connected yet"
const struct error *redis_link_trouble(const struct redis_link *link);
/* "host:port" of the master that the Sentinels named, REDIS_NODE_TEXT_SIZE
 * bytes into out; empty without Sentinels. Another one than before: what the
 * old one had not passed on to its replicas is lost. */
enum { REDIS_NODE_TEXT_SIZE = sizeof(struct redis_node) + 8 };
struct str redis_link_master(const struct redis_link *link, char *out);
size_t redis_link_in_flight(const struct redis_link *link);
/* The last answer that had to wait for replicas found too few of them, on the
 * server that has that key. */
bool redis_link_lacks_replicas(const struct redis_link *link, struct str key);
/* Commands with that key are taken. */
bool redis_link_serves(const struct redis_link *link, struct str key);
bool redis_link_is_cluster(const struct redis_link *link);
/* The server that has that key (of a link to one: any); NULL: not known. */
const struct redis_node *redis_link_place(const struct redis_link *link,
                                          struct str key);
/* Each server that it leads to: the link to it, from *at = 0 on; NULL: that
 * was all. */
struct redis_link *redis_link_node(struct redis_link *link, size_t *at);
/* Drops the connection and makes a new one: what is under way ends without
 * a reply. For an owner who got a reply that makes no sense. */
void redis_link_reset(struct redis_link *link, const char *why);

/* Exactly once, later. reply NULL: none came, and why tells: ERR_BUSY, the
 * command was not sent (link down or full); any other kind, it may or may
 * not have been executed. */
typedef void (*redis_fn)(void *ctx, const struct reply *reply,
                         const struct error *why);

/* Takes the command's memory, also when it fails. A script that Redis does
 * not know is loaded and sent once more. fn may be NULL. */
void redis_send(struct redis_link *link, struct redis_command *command,
                int64_t budget_ms, redis_fn fn, void *ctx);

#endif
