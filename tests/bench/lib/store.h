/* store.h - fills the queue, straight through its scripts. */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include "queue/queue.h"
#include "server/base/mail_class.h"
#include "server/io/loop.h"

struct store_plan {
    struct loop *loop;
    struct queue *queue;
    const char *owner;
    const char *route;
    enum mail_class mail_class;
    size_t first; /* number of the first mail */
    size_t mails;
    size_t flight; /* on their way at once */
};

/* A queue over redis-server on that port, once it is ready. config is
 * filled in, and must outlive the queue. */
struct queue *store_open(struct loop *loop, long redis_port,
                         struct config *config);

/* Stores mails of about 1 KiB to nNUMBER@sink.test, each with its own
 * idempotency key, in a closed loop. Ends the program when one is refused. */
void store_mails(const struct store_plan *plan);

#endif
