/* feedback.h - what came back of a delivery that has ended: it bounced after
 * all, it was delivered, its reader complained.
 *
 * Each is taken down once and raises an event; the state of the delivery stays
 * what it was. Whose word that is, is for the caller to judge.
 *
 * Source: docs/feedback.md, docs/decisions/0041-feedback.md.
 */
#ifndef QUEUE_FEEDBACK_H
#define QUEUE_FEEDBACK_H

#include "queue/events.h"
#include "queue/mail.h"
#include "queue/store.h"

struct queue;

/* What goes on the list of suppressions. mailbox: that of the delivery. Texts
 * of entry live in arena. False: nothing. Called at most once, before the
 * answer. */
typedef bool (*queue_feedback_address_fn)(void *ctx, struct str mailbox,
                                          struct arena *arena,
                                          struct suppression_entry *entry);

struct queue_feedback {
    struct id email;
    unsigned number;      /* of the recipient */
    enum event_type type; /* EVENT_BOUNCED, EVENT_DELIVERED, EVENT_COMPLAINED */
    struct event_detail detail;        /* copied */
    queue_feedback_address_fn address; /* NULL: nothing; gets the ctx of done */
};

enum feedback_fate {
    FEEDBACK_TAKEN,
    FEEDBACK_KNOWN, /* it was taken before */
    FEEDBACK_OPEN,  /* the delivery has not ended: ask again later */
    FEEDBACK_ENDED, /* otherwise than sent, of which its own event told */
    FEEDBACK_GONE,  /* nothing is known of it, or it is another owner's */
};

struct queue_feedback_answer {
    enum queue_status status; /* OK, AWAY, NOT_READY, NO_KEYRING, FROZEN, MOVED,
                                 FULL */
    struct error why;
    enum feedback_fate fate; /* when OK */
    bool suppressed;         /* an address came on the list by this */
};
typedef void (*queue_feedback_fn)(void *ctx,
                                  const struct queue_feedback_answer *answer);

/* owner NULL: whoever's it is. Nobody's address is kept off by what is
 * FEEDBACK_GONE. */
void queue_feedback(struct queue *queue, const struct queue_owner *owner,
                    const struct queue_feedback *feedback,
                    queue_feedback_fn done, void *ctx);

/* By which a caller judges whose word it is; NULL: there is none. */
const struct keyring *queue_keyring(const struct queue *queue);

#endif
