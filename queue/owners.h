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

/* NOT_FOUND: nobody has that name. FROZEN: he is being moved, and served again
 * when that is done. */
void queue_owner_freeze(struct queue *queue, struct str owner, bool frozen,
                        queue_answer_fn done, void *ctx);

/* How many recipients he may have open, instead of limits.owner_queue; 0: any
 * number; OWNER_LIMIT_DEFAULT: what the configuration says. Of what he has open
 * counts what came while there was a limit. NOT_FOUND: nobody has that name. */
enum { OWNER_LIMIT_DEFAULT = -1, OWNER_LIMIT_MAX = 1000000000 };
void queue_owner_limit(struct queue *queue, struct str owner, int64_t limit,
                       queue_answer_fn done, void *ctx);

/* Moving an owner to another partition with all that is his (docs/queue.md).
 * His POSTs end as QUEUE_FROZEN meanwhile. A move that was ended at any point
 * goes on when it is asked for again. */
struct owner_move {
    struct str owner;
    int to;           /* partition; -1: where the fewest owners live */
    bool only_looks;  /* says what it would do */
    int64_t drain_ms; /* what mail under way may take; then he stays */
    void (*progress)(void *ctx, const char *step); /* of a new step */
};

struct owner_moved {
    /* OK; NOT_FOUND: nobody has that name; REFUSED: why tells, and if he
     * stayed, mail of his was under way for too long; AWAY, NOT_READY and
     * FULL: ask again, it goes on. */
    enum queue_status status;
    struct error why;
    unsigned from;
    unsigned to;   /* the same: he lives there already */
    bool stayed;   /* a move that had begun was undone */
    uint64_t keys; /* copied by this call */
};
typedef void (*owner_moved_fn)(void *ctx, const struct owner_moved *moved);
void queue_owner_move(struct queue *queue, const struct owner_move *move,
                      owner_moved_fn done, void *ctx);

#endif
