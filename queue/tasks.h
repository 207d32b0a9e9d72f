/* tasks.h - the hooks' side: fan events out to endpoints, claim webhook
 * tasks, report them, build projections (timelines).
 *
 * Like claims.h, it drives itself. Tasks are claimed, leased by heartbeat
 * and given back as deliveries are; at most 8 of one endpoint are under way
 * at once, over all processes. An endpoint that answers 410, or fails for 5
 * days on end, is disabled and the event webhook.disabled raised. A task
 * whose key is missing in this process is given back for 5 s and never seen
 * here.
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
/* hooks is used until queue_hooks_end or queue_close. */
void queue_hooks_start(struct queue *queue, const struct queue_hooks *hooks);
/* There is room again. Reports tell by themselves. */
void queue_hooks_hungry(struct queue *queue);

enum task_outcome {
    TASK_DONE,   /* 2xx */
    TASK_AGAIN,  /* at retry_at_ms */
    TASK_BUSY,   /* the same, and no other task of the endpoint before that */
    TASK_FAILED, /* given up */
    TASK_LOST,   /* there is nothing to send: not the endpoint's fault */
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
/* Ends the claim and frees the task. Times are wall clock; retry_at_ms counts
 * for TASK_AGAIN, TASK_BUSY and TASK_UNSENT (0: at once). detail may be NULL
 * for TASK_UNSENT. */
void queue_task_report(const struct queue *queue, struct queue_task *task,
                       enum task_outcome outcome, int64_t retry_at_ms,
                       const struct task_detail *detail);
/* Claims nothing more. drained is called once, when every task in hand was
 * reported and Redis knows (or cannot be told). */
void queue_hooks_stop(struct queue *queue, void (*drained)(void *ctx),
                      void *ctx);
/* The role is over: nothing is called any more, tasks in hand are freed and
 * given back when the lease ends. */
void queue_hooks_end(struct queue *queue);

#endif
