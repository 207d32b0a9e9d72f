/* content.h - records of the emails that a child has claims of.
 *
 * The claims of one email share one record; what a turn did not bring along
 * (big values) is fetched over the bulk link. Of those a process holds some
 * tens of megabytes at a time, whatever it has claimed; the others wait.
 */
#ifndef QUEUE_CONTENT_H
#define QUEUE_CONTENT_H

#include "queue/core.h"
#include "server/base/map.h"

enum content_state {
    CONTENT_LOADING,
    CONTENT_READY,
    CONTENT_LATER, /* Redis away, or a key or release of ours is too old */
    CONTENT_LOST,  /* gone or broken: the mail cannot be sent */
};

struct content {
    struct id email;
    enum content_state state;
    struct error why; /* LATER, LOST */
    struct record *record;
    struct str *attachments;
    char *attachment_bytes; /* owned, all in one run */
    unsigned users;
    struct list waiting; /* of content_user.link, while LOADING */
    struct contents *contents;
    struct list link; /* of queue.contents_waiting */
    size_t held;      /* bytes of queue.content_bytes */
    /* while LOADING */
    struct buf bytes;
    unsigned chunks;
    unsigned job_chunks;
};

/* Whoever waits for a content; memory of the claim. */
struct content_user {
    struct list link;
    struct content *content;
    void (*ready)(void *ctx); /* once, later; content->state tells */
    void *ctx;
};

struct contents {
    struct queue *queue;
    unsigned partition; /* where they are */
    struct map *by_email;
};

void contents_init(struct contents *contents, struct queue *queue,
                   unsigned partition);
/* When the queue closes; users must be gone. */
void contents_finish(struct contents *contents);

/* Joins the email's content. inline_bytes: what the turn brought, or empty.
 * False: it has to be fetched, and user->ready is called later. */
bool content_join(struct contents *contents, const struct id *email,
                  struct str inline_bytes, unsigned chunks, unsigned job_chunks,
                  struct content_user *user);
void content_leave(struct content_user *user);

#endif
