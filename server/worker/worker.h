/* worker.h - the door of the worker: what becomes of a job.
 *
 * Claims deliveries as far as the upstreams have room, composes the message
 * once per email, hands each delivery to the SMTP engine, marks it before its
 * final dot, and reports what the engine says.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "queue/queue.h"
#include "server/base/config.h"
#include "server/base/error.h"
#include "server/base/seal.h"
#include "server/base/secret.h"
#include "server/io/dns.h"
#include "server/io/loop.h"

struct worker;

struct worker_options {
    const struct config *config;
    struct queue *queue;
    struct dns *dns;
    const struct keyring *keyring;       /* NULL: none */
    const struct seal_keys *worker_keys; /* NULL: none */
    /* worker_is_ready gives another answer than before (at first: true). */
    void (*on_ready)(void *ctx);
    void *ctx;
    unsigned child; /* among count: they divide the sessions */
    unsigned count;
    const char *instance; /* that they belong to: struct child */
};

/* What options point at outlives the worker. NULL and err: an upstream's
 * files cannot be read. */
MUST_USE struct worker *worker_open(struct loop *loop,
                                    const struct worker_options *options,
                                    struct error *err);

/* False, and why: there is mail that it cannot sign. */
bool worker_is_ready(const struct worker *worker, struct error *why);

/* Claims nothing more, gives back what is not marked, sees the marked to
 * their end, or for ten seconds to their dot. done is called once, when nothing
 * is in hand and everything was reported. */
void worker_drain(struct worker *worker, void (*done)(void *ctx), void *ctx);

/* What is still in hand falls to the lease. */
void worker_close(struct worker **worker);

#endif
