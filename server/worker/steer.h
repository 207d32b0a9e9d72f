/* steer.h - upstreams between the queue and the engine: what operators want
 * of them goes in, how they do goes out.
 *
 * All are paused until Redis has said that they are not, so that one which an
 * operator paused gets no mail from a worker that starts.
 */
#ifndef WORKER_STEER_H
#define WORKER_STEER_H

#include "queue/queue.h"
#include "server/base/config.h"
#include "smtp/smtp.h"

enum { STEER_SEAT_SIZE = 16 + 1 };

struct steer {
    struct queue *queue;
    struct smtp *smtp;
    const struct config *config;
    struct upstream_side side;
    struct str *names;       /* owned; one for each upstream */
    struct steered *steered; /* owned; the same */
    int64_t *max_sessions;   /* owned; the same */
    char seat[STEER_SEAT_SIZE];
    struct smtp_upstream_view view;
    struct list trials; /* sessions that an operator asked for */
    int64_t trace_second;
    unsigned traces; /* told in it */
};

/* All outlive it. child: index among those of its supervisor, the instance
 * (server/supervisor/instance.h). */
void steer_start(struct steer *steer, struct queue *queue, struct smtp *smtp,
                 const struct config *config, const char *instance,
                 unsigned child);
/* Mails wait for its rate; index: of the upstream. */
void steer_ask_quota(struct steer *steer, size_t index,
                     const struct smtp_quota_ask *ask);
/* The engine's on_trace. */
void steer_tell_trace(struct steer *steer, size_t index, struct str id,
                      const struct smtp_result *result);
void steer_stop(struct steer *steer); /* the worker drains */
void steer_finish(struct steer *steer);

#endif
