/* depth.h - how deep the queue is, as gauges: looked up every few seconds. */
#ifndef WORKER_DEPTH_H
#define WORKER_DEPTH_H

#include "queue/queue.h"
#include "server/io/loop.h"

struct depth {
    struct loop *loop;
    struct queue *queue;
    struct timer timer;
};

void depth_start(struct depth *depth, struct loop *loop, struct queue *queue);
void depth_stop(struct depth *depth); /* before queue_close */

#endif
