/* dkim_keys.h - the DKIM keys that a worker has opened.
 *
 * Private keys lie in Redis, sealed to the workers' key (queue/domains.h). A
 * worker fetches those of a mail before it composes it, opens them on a helper
 * thread and keeps them for a minute; the last few hundred are kept. Then it
 * asks again, since the generation that the mail was accepted with may be
 * revoked: another one signs instead. Mail waits for that answer, as it could
 * not be marked without Redis either. What is dropped is wiped.
 *
 * Without the private half that they are sealed to, a worker cannot send the
 * mail: it says so (log, metric, not ready) and asks again after 5 s.
 */
#ifndef WORKER_DKIM_KEYS_H
#define WORKER_DKIM_KEYS_H

#include "queue/queue.h"
#include "server/base/error.h"
#include "server/base/list.h"
#include "server/base/seal.h"
#include "server/io/loop.h"
#include "server/worker/compose.h"

#include <stdbool.h>

enum dkim_keys_state {
    DKIM_KEYS_LOADING,
    DKIM_KEYS_READY,
    DKIM_KEYS_LOCKED, /* sealed to a key that this worker lacks: later */
    DKIM_KEYS_AWAY,   /* Redis did not answer: later */
    DKIM_KEYS_LOST,   /* gone or broken: the mail cannot be sent */
};

/* What mail of one generation of a domain is signed with. Constant once it is
 * not loading any more. */
struct dkim_keys {
    enum dkim_keys_state state;
    struct error why;
    struct compose_signing signing; /* READY: who signs */
    struct dkim_keys_own *own;
};

/* Memory of whoever needs them. */
struct dkim_keys_user {
    struct list link;
    struct dkim_keys *keys;
    void (*ready)(void *ctx); /* once, later; may leave */
    void *ctx;
};

/* One worker child's. */
struct keyholder;

/* sealed_to may be NULL: every key is locked then. on_ready is told whenever
 * keyholder_is_ready gives another answer. All outlive the holder. */
struct keyholder *keyholder_open(struct loop *loop, struct queue *queue,
                                 const struct seal_keys *sealed_to,
                                 void (*on_ready)(void *ctx), void *ctx);
/* Waits for the thread; nobody is told any more. Users left before. */
void keyholder_close(struct keyholder **holder);
/* False, and why: a key was locked within the last minute. */
bool keyholder_is_ready(const struct keyholder *holder, struct error *why);

/* ready and ctx are set. True: the keys are not loading (any more). */
bool dkim_keys_join(struct keyholder *holder, struct queue_owner owner,
                    const struct job_signing *signing,
                    struct dkim_keys_user *user);
void dkim_keys_leave(struct dkim_keys_user *user);

#endif
