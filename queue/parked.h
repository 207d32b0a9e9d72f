/* parked.h - deliveries that wait for an operator: held or dead.
 *
 * Held: lost behind the final dot, and its caller wants no second copy. Dead:
 * it crashed its worker again and again. Neither is final; both end as
 * email.failed when their time is over. Requeue and drop are the columns
 * retry and cancel of the state table (docs/queue.md).
 */
#ifndef QUEUE_PARKED_H
#define QUEUE_PARKED_H

#include "queue/mail.h"

struct queue;

enum parked { PARKED_HELD, PARKED_DEAD };

enum parked_why {
    PARKED_NO_REPLY,    /* the session was lost, or silent, behind the dot */
    PARKED_WORKER_LOST, /* its worker was lost with it */
    PARKED_POISON,
};

struct parked_delivery {
    struct str id; /* "email:number" */
    struct str owner;
    unsigned lane;
    bool class_is_known; /* false: the summary cannot be read here */
    enum mail_class mail_class;
    enum parked_why why;
    struct str upstream;            /* of the last attempt; may be empty */
    int64_t since_ms;               /* Unix time; 0: not known */
    int64_t until_ms;               /* when it fails by itself */
    unsigned crashes;               /* while it was alone in its worker */
    struct queue_delivery delivery; /* attempts, last reply */
};

/* Where a page ended, behind that end and id; zeroed: the first page. */
struct parked_cursor {
    int64_t end_ms;
    char id[64];
};

struct parked_page {
    enum queue_status status;
    struct error why;
    uint64_t total; /* of all owners, in all partitions */
    const struct parked_delivery *deliveries;
    size_t count; /* may be 0 with more to come: others' stood there */
    struct parked_cursor next;
    bool has_more;
};
typedef void (*parked_page_fn)(void *ctx, const struct parked_page *page);

/* The next at most max of all partitions, 1..PARKED_PAGE_MAX, soonest end
 * first, then by id. owner empty: of all. What the page points at lives in the
 * call. */
enum { PARKED_PAGE_MAX = 100 };
void queue_parked_list(struct queue *queue, enum parked kind, struct str owner,
                       const struct parked_cursor *after, unsigned max,
                       parked_page_fn done, void *ctx);

struct parked_moved {
    enum queue_status status;
    struct error why;
    uint64_t moved; /* the others are not there, or another owner's */
};
typedef void (*parked_moved_fn)(void *ctx, const struct parked_moved *moved);

/* At most PARKED_MOVE_MAX ids, used up when it returns. */
enum { PARKED_MOVE_MAX = 100 };
void queue_parked_requeue(struct queue *queue, enum parked kind,
                          struct str owner, const struct str *ids, size_t count,
                          parked_moved_fn done, void *ctx);
void queue_parked_drop(struct queue *queue, enum parked kind, struct str owner,
                       const struct str *ids, size_t count,
                       parked_moved_fn done, void *ctx);

#endif
