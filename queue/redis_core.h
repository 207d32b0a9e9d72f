/* redis_core.h - what the files behind redis_link.h share.
 *
 * redis_link.c      a connection's life: found, made, lost, made again
 * redis_greeting.c  what is said before it is up
 * redis_request.c   commands under way
 * redis_wait.c      answers that wait for replicas (redis.wait_replicas)
 * redis_sentinel.c  where the master is
 * redis_watch.c     Sentinels tell of another master
 * redis_cluster.c   a link that is many: which node a command goes to
 * redis_glue.c      hiredis on our loop
 */
#ifndef QUEUE_REDIS_CORE_H
#define QUEUE_REDIS_CORE_H

#include "queue/redis_link.h"
#include "server/base/list.h"
#include "server/base/metrics.h"
#include "server/io/dns.h"

struct redisAsyncContext;

/* A command under way. hiredis holds it until its reply is read or its
 * context freed; an owner that is gone leaves a tombstone: owner NULL. */
struct request {
    struct list link; /* of redis_link.requests, kept or refused */
    struct redis_link *owner;
    redis_fn fn;
    void *ctx;
    struct timer timer;
    int64_t budget_ms;
    struct redis_command command; /* kept for scripts only */
    uint64_t sent_ns;
    uint64_t number; /* of those that were sent */
    bool lasts;      /* answered when replicas have it */
    bool goes_on;    /* a subscription: fn hears each message */
    bool was_reloaded;
    struct reply *reply; /* owned, while it waits for replicas */
    struct error why;    /* of a refused one */
};

enum link_state {
    LINK_DOWN,
    LINK_SEARCHING, /* Sentinels say where the master is */
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_GREETING,
    LINK_UP
};

/* redis_wait.c; all zero when redis.wait_replicas is 0. */
struct link_wait {
    struct task task;   /* at the end of a turn that wrote */
    struct timer probe; /* while replicas are too few */
    bool is_under_way;
    bool is_short;    /* the last WAIT said so */
    uint64_t covered; /* number of the last request before that WAIT */
    uint64_t last;    /* number of the last request that waits */
};

struct redis_link {
    struct loop *loop;
    struct redis_link_settings settings;
    struct redis_address address;
    struct cluster *cluster;  /* has the connections; NULL: this link has one */
    struct redis_link *whole; /* of a cluster, whose node this one leads to */
    struct master_search *search;
    struct master_watch *watch; /* of one with scripts, with Sentinels */
    struct list family;         /* a ring: links that lead to one server */
    struct redis_node node;     /* where it leads: of the URL, or the master */
    bool is_told;               /* node is what a Sentinel told of */
    bool is_misconfigured;      /* redis.url makes no sense: never connects */
    unsigned first_sentinel;    /* that is asked: answered last, or is next */
    struct dns *dns;            /* opened for the first host that is a name */
    struct dns_lookup *lookup;
    unsigned attempts; /* to connect; of several addresses each gets its turn */
    struct redisAsyncContext *ac;
    enum link_state state;
    struct list requests; /* in the order in which they were sent */
    struct list kept;     /* answered by Redis, but not by replicas yet */
    size_t in_flight;
    uint64_t sent;       /* counts requests */
    struct list refused; /* answered at the end of the turn */
    struct task refuse;
    struct timer timer; /* next attempt, limit of this one, or end when up */
    int64_t backoff_ms;
    int64_t attempted_ms; /* when the last attempt began */
    int64_t up_since_ms;
    char sha[SCRIPT_COUNT][SCRIPT_SHA_LEN + 1];
    bool is_reloading[SCRIPT_COUNT];
    struct series *seconds[SCRIPT_COUNT]; /* made on first use */
    unsigned loading; /* during LINK_GREETING: script whose hash is next */
    struct link_wait wait;
    struct error lost; /* why the last connection ended */
};

enum { CONNECT_BUDGET_MS = 800 };

/* redis_link.c */
/* hiredis let go of the context: why stands in it. */
void link_lost_by_hiredis(const struct redisAsyncContext *ac);
void link_is_up(struct redis_link *link); /* by the greeting */
/* An answer did not come in time: it is dropped, and its family with it. */
void link_is_silent(struct redis_link *link, const char *why);
/* One that is up is made anew. */
void link_drop_soon(struct redis_link *link);
/* It and its family leave for that master, unless they lead there. */
void link_follow(struct redis_link *link, const struct redis_node *master);

/* redis_greeting.c */
void link_greet(struct redis_link *link);

/* redis_request.c */
/* Sent whatever the state of the link. */
void link_send(struct redis_link *link, struct redis_command *command,
               int64_t budget_ms, redis_fn fn, void *ctx);
/* For a command that is not sent: fn hears why at the end of the turn. */
void link_refuse(struct redis_link *link, redis_fn fn, void *ctx,
                 const struct error *why);
void request_answer(struct request *request, const struct reply *reply,
                    const struct error *why);
/* Answered at the end of the turn, without a reply: request->why tells. */
void request_refuse_later(struct request *request);
/* Behind each write of hiredis'. */
void requests_written(const struct redisAsyncContext *ac);
void requests_open(struct redis_link *link);
void requests_close(struct redis_link *link); /* without callbacks */
void command_init_load(struct redis_command *command, unsigned script);
/* fn hears each message until the connection is lost, which the link's owner
 * hears of; budget_ms is for the first one. The link is up. */
void redis_subscribe(struct redis_link *link, const char *channel,
                     int64_t budget_ms, redis_fn fn, void *ctx);

/* redis_wait.c */
void wait_open(struct redis_link *link);
void wait_close(struct redis_link *link);
void wait_link_is_up(struct redis_link *link);
void wait_link_is_lost(struct redis_link *link);
/* Does that command's answer wait? Then wait_sent is told of it. */
bool wait_concerns(const struct redis_link *link,
                   const struct redis_command *command);
void wait_sent(struct redis_link *link, const struct request *request);

/* redis_reply.c: the content of a reply of hiredis', which keeps an empty
 * one. */
struct reply *reply_take(void *reply);
void reply_destroy(struct reply **reply);

/* redis_sentinel.c. found: NULL when nobody knows, and why tells. */
typedef void (*master_found_fn)(void *ctx, const struct redis_node *found,
                                const struct error *why);
/* Asks one Sentinel after the other, from *first on, which is set to the one
 * that knew. config and address outlive it. done: once, later. */
struct master_search *master_search_open(struct loop *loop,
                                         const struct config_redis *config,
                                         const struct redis_address *address,
                                         unsigned *first, master_found_fn done,
                                         void *ctx);
void master_search_close(struct master_search **search); /* no callback */
/* What a link to a Sentinel goes by. */
struct config_redis sentinel_config(const struct config_redis *config);

/* redis_watch.c: owner, which has Sentinels, follows what they tell. */
struct master_watch *master_watch_open(struct redis_link *owner);
void master_watch_close(struct master_watch **watch);

/* redis_cluster.c */
/* owner's settings and address are used as long as it lives. */
struct cluster *cluster_open(struct redis_link *owner);
void cluster_close(struct cluster **cluster);
void cluster_send(struct cluster *cluster, struct redis_command *command,
                  int64_t budget_ms, redis_fn fn, void *ctx);
unsigned cluster_slot(struct str key);
bool cluster_serves(const struct cluster *cluster, struct str key);
const struct redis_node *cluster_place(const struct cluster *cluster,
                                       struct str key);
struct redis_link *cluster_node(const struct cluster *cluster, size_t *at);
size_t cluster_in_flight(const struct cluster *cluster);
bool cluster_lacks_replicas(const struct cluster *cluster, struct str key);
void cluster_reset(struct cluster *cluster, const char *why);
void cluster_drop_soon(struct cluster *cluster, const struct redis_node *where);

/* redis_glue.c */
void redis_glue_attach(struct loop *loop, struct redisAsyncContext *ac);

#endif
