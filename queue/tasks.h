/* tasks.h - the hooks' side: fan events out to endpoints, claim webhook
 * tasks, report them, build projections (timelines).
 *
 * Like claims.h, it drives itself. Tasks are claimed, leased by heartbeat
 * and given back as deliveries are; at most 8 of one endpoint are under way
 * at once, over all processes.
 */
#ifndef QUEUE_TASKS_H
#define QUEUE_TASKS_H

#include "queue/events.h"
#include "queue/store.h"

struct queue;

struct queue_task {
    const struct endpoint *endpoint; /* with its secret */
    struct str webhook_id;
    struct str payload; /* the bytes to sign and send */
    unsigned attempt;   /* from 1 */
    int64_t first_ms;   /* when the first attempt was due */
    void *ctx;          /* the owner's own */
};

struct queue_hooks {
    void *ctx;
    size_t (*room)(void *ctx); /* tasks that may be claimed now */
    void (*claimed)(void *ctx, struct queue_task *task);
};
/* hooks must outlive the queue. */
void queue_hooks_start(struct queue *queue, const struct queue_hooks *hooks);
void queue_hooks_hungry(struct queue *queue);

enum task_outcome {
    TASK_DONE,   /* 2xx */
    TASK_AGAIN,  /* at retry_at_ms */
    TASK_FAILED, /* given up */
    TASK_GONE,   /* 410: the endpoint is disabled */
    TASK_UNSENT, /* given back, no attempt counted */
};
struct task_detail {
    int http_status;     /* 0: no answer */
    struct str response; /* clean, bounded */
    struct str error;    /* why there was none */
    int64_t sent_ms;
    int64_t took_ms;
};
/* Ends the claim and frees the task. */
void queue_task_report(struct queue *queue, struct queue_task *task,
                       enum task_outcome outcome, int64_t retry_at_ms,
                       const struct task_detail *detail);
void queue_hooks_stop(struct queue *queue, void (*drained)(void *ctx),
                      void *ctx);

#endif
