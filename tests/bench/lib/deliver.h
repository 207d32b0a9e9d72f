/* deliver.h - a worker child without SMTP: what it claims on the route "main"
 * is marked, and then reported as sent. */
#ifndef BENCH_DELIVER_H
#define BENCH_DELIVER_H

#include "queue/queue.h"

struct deliver_plan {
    struct queue *queue;
    size_t room; /* claims at once */
    /* What the server said of each mail; must outlive the deliveries. */
    const struct event_detail *detail;
};

/* Memory of the caller, which reads done and writes nothing. */
struct deliver {
    struct deliver_plan plan;
    struct queue_worker worker;
    size_t held;
    size_t done; /* reported */
};

/* Begins to claim; deliver must outlive the queue. */
void deliver_start(struct deliver *deliver, const struct deliver_plan *plan);

#endif
