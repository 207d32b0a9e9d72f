/* list.h - an owner's emails, page by page, the newest first.
 *
 * Where to look comes from an index that the hooks make of the events, some
 * milliseconds behind; what is told of each email is what holds now. Emails
 * are in the order of their ids, so pages stay where they are while new
 * emails come in.
 */
#ifndef QUEUE_LIST_H
#define QUEUE_LIST_H

#include "queue/mail.h"
#include "queue/store.h"

struct queue;

struct queue_list_query {
    struct queue_page page;
    int64_t since_ms;     /* accepted then or later; 0: no bound */
    int64_t until_ms;     /* accepted then or earlier; 0: no bound */
    struct str recipient; /* address; empty: any */
    struct str tag_name;  /* empty: any */
    struct str tag_value; /* ptr NULL: any */
    /* Whatever else is asked for; NULL: nothing. */
    bool (*wants)(void *ctx, const struct queue_email *email);
};

struct queue_list {
    enum queue_status status;
    struct error why;
    const struct queue_email *emails;
    size_t count;
    /* There are more, or there may be: then so much was looked at that the
     * page ends here, and it may have fewer than its limit. */
    bool has_more;
    struct str next; /* has_more: the id to go on from, else empty */
};
typedef void (*queue_list_fn)(void *ctx, const struct queue_list *list);

/* query is copied; wants is called with ctx. */
void queue_email_list(struct queue *queue, struct queue_owner owner,
                      const struct queue_list_query *query, queue_list_fn done,
                      void *ctx);

#endif
