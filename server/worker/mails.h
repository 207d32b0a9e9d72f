/* mails.h - the composed messages that a worker has in hand.
 *
 * The deliveries of one email share its message, and its signatures. A small
 * one is composed at once, on the loop. A large one (a hash over some
 * megabytes, long HTML) would hold the loop for tens of milliseconds, and every
 * other session with it: it is composed by a helper thread, one at a time, the
 * most urgent first. Its attachments stay what they are until they go out.
 * Signatures by RSA cost more than all the rest of a small mail: they are made
 * by a second thread, likewise, a few of a lane at a time, so that no code
 * waits for a large mail.
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
#include "server/worker/compose.h"
#include "server/worker/dkim_keys.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What is read of it is there from the moment that it is composed. */
struct mail {
    struct buf bytes;
    struct composed composed;
    bool is_good;
    struct error flaw; /* why it could not be composed */
    int64_t wait_ms;   /* it can be tried again behind this; 0: it never can */

    /* mails.c's own */
    struct list link; /* of mails.all */
    struct list turn; /* of a line beside the loop, or of what it runs */
    struct list waiting;
    struct mails *mails;
    const struct record *record;
    const struct str *attachments;
    unsigned lane;
    bool is_running; /* the thread has it */
    bool is_made;    /* the thread has made it */
    struct arena *arena;
    struct dkim_keys_user keys; /* none if it is not signed */
    bool is_done;
    unsigned users;
};

/* Memory of whoever wants the message: one for each claim. */
struct mail_user {
    struct list link; /* of mail.waiting, until it is done */
    struct mail *mail;
    void (*ready)(void *ctx); /* once, later; may leave */
    void *ctx;
};

/* A helper thread, and the line before it. */
struct beside {
    struct mails *mails;
    bool composes; /* else it signs what is composed */
    struct list line;
    struct list running;  /* what the thread has in hand: nobody else's */
    atomic_bool is_urged; /* a more urgent one waits */
    struct work *work;    /* owned; NULL: not needed yet */
    struct work_job job;
    struct task done; /* of what was run without a thread */
};

struct mails {
    struct loop *loop;
    struct keyholder *keyholder;
    struct list all;
    struct beside composer; /* of large ones, which it signs, too */
    struct beside signer;   /* of small ones */
};

/* keyholder outlives the mails; NULL if none is signed. */
void mails_init(struct mails *mails, struct loop *loop,
                struct keyholder *keyholder);
/* Waits for the thread. No ready is called from now on; users still leave. */
void mails_stop(struct mails *mails);

/* Joins the message of the claim's email; the claim must live until
 * mail_leave. ready and ctx are set. True: it is done, or has a flaw.
 * False: it is not yet, and ready is called then. */
bool mail_join(struct mails *mails, const struct queue_claim *claim,
               struct mail_user *user);
/* Not while it is being made: behind ready, or behind mails_stop. */
void mail_leave(struct mail_user *user);

#endif
