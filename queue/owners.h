/* owners.h - for the operator: partitions, and the owners who live in them.
 *
 * A frozen owner takes nothing new and changes nothing: his POSTs end as
 * QUEUE_FROZEN. What is stored of him goes on being delivered, and can be
 * looked at.
 */
#ifndef QUEUE_OWNERS_H
#define QUEUE_OWNERS_H

#include "queue/store.h"

struct partition_info {
    unsigned number;
    uint64_t owners;
    uint64_t open; /* deliveries that are not final */
    bool is_up;    /* false: owners alone is known */
    char host[256];
    uint16_t port; /* 0: host is a Unix socket */
};

struct queue_partitions {
    enum queue_status status;
    struct error why;
    const struct partition_info *partitions;
    size_t count;
};
typedef void (*queue_partitions_fn)(void *ctx,
                                    const struct queue_partitions *partitions);
void queue_partition_list(struct queue *queue, queue_partitions_fn done,
                          void *ctx);

/* One more, which new owners go to first. Running processes serve it within
 * seconds. REFUSED: there are as many as ids can tell apart. */
void queue_partition_add(struct queue *queue, queue_answer_fn done, void *ctx);

/* NOT_FOUND: nobody has that name. */
void queue_owner_freeze(struct queue *queue, struct str owner, bool frozen,
                        queue_answer_fn done, void *ctx);

/* How many recipients he may have open, instead of limits.owner_queue; 0: any
 * number; OWNER_LIMIT_DEFAULT: what the configuration says. Of what he has open
 * counts what came while there was a limit. NOT_FOUND: nobody has that name. */
enum { OWNER_LIMIT_DEFAULT = -1, OWNER_LIMIT_MAX = 1000000000 };
void queue_owner_limit(struct queue *queue, struct str owner, int64_t limit,
                       queue_answer_fn done, void *ctx);

#endif
