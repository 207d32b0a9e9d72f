/* mails.h - the composed messages that a worker has in hand.
 *
 * The deliveries of one email share its message. A small one is composed at
 * once, on the loop. A large one (base64 of some megabytes, long HTML) would
 * hold the loop for tens of milliseconds, and every other session with it: it
 * is composed by a helper thread, one at a time, the most urgent first.
 *
 * No more are held than the queue hands out contents for (queue/content.c):
 * a message lives no longer than the claims of its email.
 */
#ifndef WORKER_MAILS_H
#define WORKER_MAILS_H

#include "queue/queue.h"
#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/error.h"
#include "server/base/list.h"
#include "server/io/loop.h"
#include "server/io/work.h"

#include <stdbool.h>

/* What is read of it is there from the moment that it is composed. */
struct mail {
    struct buf bytes;
    struct str from;
    bool needs_utf8;
    bool is_good;
    struct error flaw; /* why it could not be composed */

    /* mails.c's own */
    struct list link; /* of mails.all */
    struct list turn; /* of mails.line */
    struct list waiting;
    struct mails *mails;
    const struct record *record;
    const struct str *attachments;
    unsigned lane;
    struct arena *arena;
    bool is_composed;
    unsigned users;
};

/* Memory of whoever wants the message: one for each claim. */
struct mail_user {
    struct list link; /* of mail.waiting, until it is composed */
    struct mail *mail;
    void (*ready)(void *ctx); /* once, later; may leave */
    void *ctx;
};

struct mails {
    struct loop *loop;
    struct list all;
    struct list line;     /* to be composed beside the loop */
    struct mail *running; /* NULL: none is */
    struct work *work;    /* owned; NULL: not needed yet */
    struct work_job job;
};

void mails_init(struct mails *mails, struct loop *loop);
/* Waits for the thread. No ready is called from now on; users still leave. */
void mails_stop(struct mails *mails);

/* Joins the message of the claim's email; the claim must live until
 * mail_leave. ready and ctx are set. True: it is composed, or has a flaw.
 * False: it is not yet, and ready is called then. */
bool mail_join(struct mails *mails, const struct queue_claim *claim,
               struct mail_user *user);
/* Not while the thread is at it: behind ready, or behind mails_stop. */
void mail_leave(struct mail_user *user);

#endif
