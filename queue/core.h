/* core.h - what the files of this wing share: the queue's insides. */
#ifndef QUEUE_CORE_H
#define QUEUE_CORE_H

#include "queue/keys.h"
#include "queue/levels.h"
#include "queue/node_health.h"
#include "queue/queue.h"
#include "queue/redis_link.h"
#include "queue/partitions.h"
#include "server/base/list.h"

/* A part of the queue with a life of its own (claims, tasks). */
struct queue_part {
    struct list link; /* of queue.parts */
    /* up: scripts of that partition may be called from now on; may be NULL. */
    void (*partition_changed)(void *ctx, unsigned partition, bool up);
    void (*close)(void *ctx); /* the queue is closing */
    void *ctx;
};

struct health {
    bool known;      /* a server answered since the link came up */
    bool has_schema; /* meta was read, and is ours */
    bool told_ready; /* what the watchers heard last */
    struct error told_why;
    struct error why;     /* when nothing is known, or the schema is not ours */
    struct error refusal; /* of what meta lacks */
    struct node_health *nodes; /* owned: what each server said last */
    size_t node_count;
    struct timer timer;
    int64_t time_asked_ms;
    int64_t test_offset_ms; /* 0 but in FAULT_POINTS builds */
};

struct levels {
    unsigned newest;  /* that this process reads */
    unsigned write;   /* at which records are written */
    const char *role; /* NULL: nobody waits for this process */
    struct timer timer;
    bool is_behind; /* of the level that was raised meanwhile: why */
    struct error why;
};

struct queue {
    struct loop *loop;
    const struct config *config;
    const struct keyring *keyring; /* NULL: none */
    struct redis_link *main;       /* scripts and all small commands */
    struct redis_link *bulk;       /* big values */
    struct list parts;
    struct health health;
    struct levels levels;
    struct partitions partitions;
    void (*changed)(void *ctx);
    void *changed_ctx;
    /* Of their files; NULL until used. */
    struct claimer *claimer;
    struct dispatcher *dispatcher;
    struct rates *rates;
    struct key_uses *key_uses;
    struct traffic *traffic;
    struct upstream_teller *upstream_teller;
    struct work *helper;      /* emails.c: for large mails */
    struct list calls;        /* callers who wait: struct queue_call */
    struct list mail_batches; /* mail.c */
    size_t upload_bytes;      /* big values on their way to Redis */
    size_t content_bytes;     /* big values of claims: content.c */
    struct list contents_waiting;
};

/* A child that claims has a name of its own; each of its connections begins
 * a new epoch, which is the name and a number. */
enum { CHILD_NAME_LEN = 12, EPOCH_SIZE = CHILD_NAME_LEN + 4 + 1 };
struct child_name {
    char text[CHILD_NAME_LEN + 1];
    unsigned epochs; /* that it had so far */
};
void child_name_make(struct child_name *name);
void child_name_epoch(struct child_name *name, char epoch[EPOCH_SIZE]);

/* tasks.c: of this hooks child. */
struct str dispatcher_child(const struct dispatcher *dispatcher);

/* A caller who waits for an answer. The struct that begins with it lives in
 * its arena, so that queue_close can drop it without knowing what it is. */
struct queue_call {
    struct list link; /* of queue.calls */
    struct queue *queue;
    struct arena *arena;
    /* Frees what is not in the arena; NULL: nothing. */
    void (*finish)(struct queue_call *call);
    struct task later;
};
/* size: of the struct that begins with a queue_call; zeroed. */
MUST_USE void *queue_call_new(struct queue *queue, size_t size);
/* Behind the caller's callback, or before it when nothing of it is used. */
void queue_call_end(struct queue_call *call);
/* fn(call) at the end of the turn: an answer without Redis. */
void queue_call_later(struct queue_call *call, task_fn fn);

void queue_part_add(struct queue *queue, struct queue_part *part);

/* One more link, for BLPOP and the like. */
struct redis_link *queue_link_open(struct queue *queue, const char *name,
                                   void (*on_up)(void *ctx),
                                   void (*on_nodes)(void *ctx), void *ctx);

/* "ph:{N}:", what scripts get as KEYS[1]. Into out, KEY_MAX bytes. */
struct str queue_partition_prefix(const struct queue *queue, unsigned partition,
                                  char *out);
/* A whole key: prefix, partition, the rest by format. */
struct str queue_key(const struct queue *queue, unsigned partition, char *out,
                     const char *format, ...) PRINTF_LIKE(4, 5);
/* A key outside of all partitions. */
struct str queue_global_key(const struct queue *queue, char *out,
                            const char *format, ...) PRINTF_LIKE(3, 4);
void command_init_partition(struct redis_command *command,
                            const struct queue *queue, enum script script,
                            unsigned partition);
/* Asks how many owners each partition has, in their order. */
void command_init_owners(struct redis_command *command,
                         const struct queue *queue);

/* idempotency.c: two arguments for a script, hash and fingerprint (NULL: no
 * key was given), and what scripts answer that have seen them: {'ok', ...},
 * or a word of scripts/idempotency.lua. answer lives as long as reply. */
void idempotency_add(struct redis_command *command,
                     const struct idempotency *idempotency);
void idempotency_read(const struct reply *reply, const struct error *why,
                      struct queue_answer *answer);

/* mail.c: as scripts know it. */
const char *on_unknown_letter(enum on_unknown on_unknown);

/* claims.c: for the metrics, {kind, how many, ...} as scripts count events. */
void claims_count_events(const struct reply *counts);

/* health.c */
void health_open(struct queue *queue);
void health_close(struct queue *queue);
void health_link_is_up(struct queue *queue);
void health_link_is_down(struct queue *queue, const struct error *why);
/* A server of the cluster came or went, or slots have moved. */
void health_nodes_changed(struct queue *queue);
void health_round_ended(struct queue *queue); /* by node_health.c */
void health_look(struct queue *queue); /* tells who watches of a change */
/* May a new mail of that partition be stored now? OK, NOT_READY or FULL (and
 * why). */
enum queue_status health_admits(const struct queue *queue, unsigned partition,
                                struct error *why);

/* traffic.c: for the rates of queue_stats. owner.name is copied. */
enum traffic_kind { TRAFFIC_ACCEPTED, TRAFFIC_DELIVERED, TRAFFIC_KINDS };
void traffic_count(struct queue *queue, struct queue_owner owner,
                   enum traffic_kind kind, unsigned lane, size_t recipients);

/* sweep.c: from now until the queue closes. */
void sweep_start(struct queue *queue);

/* upstreams.c: each upstream has a hash tag of its own, "u:{name}:". */
struct str upstream_prefix(const struct queue *queue, struct str name,
                           char *out);
struct str upstream_key(const struct queue *queue, struct str name,
                        const char *what, char *out);

/* levels.c */
void levels_open(struct queue *queue);
void levels_close(struct queue *queue);
/* What meta says. False and why: this release does not read it. */
MUST_USE bool levels_take(struct queue *queue, struct str write_level,
                          struct error *why);
void levels_link_is_up(struct queue *queue); /* and meta was taken */
void levels_link_is_down(struct queue *queue);

/* What a reply means to a caller: AWAY, NOT_READY, FULL; OK when it is no
 * failure. Fills in err. */
enum queue_status reply_status(const struct reply *reply,
                               const struct error *why, struct error *err);
/* What is wrong with one that is not what its script gives: err is set. */
void reply_refuse(const struct reply *reply, const struct error *why,
                  struct error *err);
/* No answer came, and yet it may have been executed: a turn may have claimed.
 * As a rule its partition is gone then, and its return makes a child begin
 * anew; not so in a cluster, when another server that is there took over the
 * slot meanwhile. */
bool reply_is_lost(const struct reply *reply, const struct error *why);

#endif
