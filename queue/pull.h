/* pull.h - an owner's events in their order, page by page, for a reader that
 * asks: the same that the webhooks are told, none left out.
 *
 * The stream is the order in which Redis stored them, so a reader that goes
 * on from its last page misses nothing that comes later. What was swept
 * meanwhile (docs/queue.md, What is kept) is told, never skipped.
 */
#ifndef QUEUE_PULL_H
#define QUEUE_PULL_H

#include "queue/events.h"
#include "queue/mail.h"

struct queue;

struct queue_pulled {
    struct event event;
    /* NULL: of an endpoint, or of an email whose history is gone. */
    const struct summary *summary;
};

struct queue_pull {
    enum queue_status status; /* also NOT_FOUND, NO_KEYRING */
    struct error why;
    const struct queue_pulled *events;
    size_t count;
    bool has_more; /* now */
    /* OK: where the next page begins. NOT_FOUND: events behind the given
     * cursor are gone; this one stands before the oldest that is left. */
    struct str next;
};
typedef void (*queue_pull_fn)(void *ctx, const struct queue_pull *pull);

/* False: not a cursor of that owner. */
MUST_USE bool queue_cursor_is_good(struct str owner, struct str cursor);
/* after: empty, from the oldest event that is kept; else a good cursor.
 * limit: 1..100; a page may have fewer although has_more. */
void queue_events_pull(struct queue *queue, struct queue_owner owner,
                       struct str after, unsigned limit, queue_pull_fn done,
                       void *ctx);

#endif
