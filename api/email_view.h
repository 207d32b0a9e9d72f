/* email_view.h - emails and their events as the API shows them. Pure.
 *
 * Resend's members, then ours (docs/api.md). The bodies of a
 * sensitive mail are not shown, whatever is still stored of them.
 */
#ifndef API_EMAIL_VIEW_H
#define API_EMAIL_VIEW_H

#include "queue/queue.h"
#include "server/base/arena.h"
#include "server/base/buf.h"

/* Bytes of an email in a page, of an event or of an attempt, of which an event
 * is the longest. */
enum { EMAIL_ITEM_MAX = EVENT_PAYLOAD_MAX + 64 };

/* The state of the whole in one word: that of all recipients if it is the
 * same, else of the first that is not final, else "partial". */
const char *email_status(const struct queue_email *email);
/* Whether that may ever be what email_status answers. */
bool email_status_is_one(struct str word);

void email_view(struct arena *arena, const struct queue_email *email,
                struct buf *out);
/* A page: next, where there are more, is the id to go on from. */
void emails_view(const struct queue_list *list, struct buf *out);
void timeline_view(const struct queue_timeline *timeline, struct buf *out);
void attempts_view(const struct queue_attempts *attempts, struct buf *out);
/* Each payload with its webhook id; next is where the next page begins. */
void events_view(const struct queue_pull *pull, struct buf *out);
/* What a cancel and a retry answer. */
void changed_view(struct arena *arena, const struct queue_email *email,
                  const struct id *id, struct buf *out);

#endif
