/* node_health.h - what each server of Redis says of itself.
 *
 * Asked when it is connected and once a second from then on, by INFO alone,
 * so that an ACL need not allow CONFIG. Without AOF a crash of Redis loses
 * every mail since the last snapshot (28,800 of 28,800 in a trial), and an
 * evicting policy loses them while all is well.
 *
 * health.c makes of it which partitions take mail.
 */
#ifndef QUEUE_NODE_HEALTH_H
#define QUEUE_NODE_HEALTH_H

#include "queue/redis_link.h"

enum { FULL_PERCENT = 80 };

struct node_health {
    struct redis_node where;
    bool is_known; /* it answered since it was connected */
    bool is_durable;
    bool is_full; /* FULL_PERCENT of its maxmemory */
    int64_t maxmemory_bytes;
    int64_t replicas; /* that keep up; known with redis.wait_replicas */
    struct error why; /* when it is not durable */
};

struct queue;

/* Asks every server; health_round_ended (core.h) when the last one has
 * answered, or will not. */
void node_health_ask(struct queue *queue);
/* NULL: it was never asked, or has left. */
const struct node_health *node_health_of(const struct queue *queue,
                                         const struct redis_node *where);
/* A server came or went: what one said before counts no more. True: one that
 * is there has not been asked yet. */
bool node_health_look(struct queue *queue);
int64_t node_health_maxmemory(const struct queue *queue); /* of all, bytes */

#endif
