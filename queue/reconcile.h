/* reconcile.h - whether every open delivery is in a place.
 *
 * Counters say how many deliveries are open (accepted, less those that are
 * final); flows, due, what children hold, held, dead and suspects say how
 * many are somewhere. One child of all counts once a lease, in one step. They
 * are always even: odd is a bug, or a hand in Redis, and an alarm
 * (queue.odd, posthaste_queue_reconciled_total). Then that child walks along
 * all deliveries, a few hundred at a time, and puts back what is nowhere.
 */
#ifndef QUEUE_RECONCILE_H
#define QUEUE_RECONCILE_H

#include "queue/mail.h"

struct queue;

struct queue_check {
    enum queue_status status;
    struct error why;
    bool is_even;
    bool is_known; /* false: too many owners have queued mail to count */
    int64_t open;
    int64_t in_places;  /* less entries that are known to be leftovers */
    uint64_t odd_count; /* how often it was odd, ever */
};
typedef void (*queue_check_fn)(void *ctx, const struct queue_check *check);

/* Counts now, over all partitions; changes nothing. */
void queue_check_get(struct queue *queue, queue_check_fn done, void *ctx);

#endif
