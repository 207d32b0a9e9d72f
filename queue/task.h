/* task.h - one claimed webhook task, from the reply that brought it to the
 * report that ends it.
 */
#ifndef QUEUE_TASK_H
#define QUEUE_TASK_H

#include "queue/redis_link.h"
#include "queue/tasks.h"
#include "server/base/list.h"

enum held_result {
    HELD_READY,
    HELD_LATER, /* a key is missing here, or a release too new wrote it */
    HELD_LOST,  /* what it tells of is gone, or broken */
};

struct tasks;

struct held {
    struct list link;
    struct tasks *tasks; /* of its partition */
    struct queue_task task;
    enum held_result result;
    struct str event; /* its id in the owner's stream */
    struct str token;
    /* The report, once there is one. */
    enum task_outcome outcome;
    int64_t retry_at_ms;
    struct str attempt; /* JSON; empty: none was made */
    /* Owned. */
    struct arena *arena;
    struct endpoint endpoint;
    struct buf secret;
    struct buf payload;
};

/* claim: one of the claims in the reply of task_turn. Unless the result is
 * HELD_READY, the task has no payload and can only be reported. */
struct held *held_create(const struct reply *claim,
                         const struct keyring *keyring);
void held_destroy(struct held **held);

/* Notes the outcome, and the attempt where one was made. */
void held_report(struct held *held, enum task_outcome outcome,
                 int64_t retry_at_ms, const struct task_detail *detail);

/* "endpoint event", as the scripts name a task, and the token of its claim. */
void held_add_name(const struct held *held, struct redis_command *command);
/* The six arguments of a result. */
void held_add_result(const struct held *held, struct redis_command *command);

#endif
