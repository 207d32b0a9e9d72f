/* queue.h - the door of the queue: everything that Redis holds.
 *
 * One struct queue per child process: its links to Redis, what is under way
 * on them, and the part of its role (mail.h for api, claims.h for workers,
 * tasks.h for hooks, store.h for resources). Scripts and keys stay inside.
 *
 * Every operation answers by a callback, once, later, never inside the call
 * and never after queue_close. Nothing blocks. What a whole turn of the loop
 * asks for leaves in one write. An operation that Redis does not answer in
 * time ends as QUEUE_AWAY: its outcome is unknown, and only an idempotency
 * key makes asking again safe.
 *
 * Source: docs/queue.md, with the state table.
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "queue/claims.h"
#include "queue/domains.h"
#include "queue/events.h"
#include "queue/feedback.h"
#include "queue/journal.h"
#include "queue/levels.h"
#include "queue/list.h"
#include "queue/mail.h"
#include "queue/owners.h"
#include "queue/parked.h"
#include "queue/pull.h"
#include "queue/reconcile.h"
#include "queue/record.h"
#include "queue/store.h"
#include "queue/tasks.h"
#include "queue/upstreams.h"
#include "server/base/check.h"
#include "server/base/config.h"
#include "server/base/error.h"
#include "server/base/secret.h"
#include "server/io/loop.h"

#include <stdbool.h>

/* config and keyring (NULL: none) outlive the queue. Connecting begins with
 * the next turn of the loop and is tried again, with jittered back-off, for
 * as long as the queue is open. */
struct queue *queue_open(struct loop *loop, const struct config *config,
                         const struct keyring *keyring);
void queue_close(struct queue **queue);

/* Ready: Redis answers, its schema is ours and it is durable (AOF,
 * noeviction, maxmemory set and below 80 %, unless redis.allow_volatile); of
 * a cluster, the server of at least one partition. why says what is wrong and
 * what to do, also when that concerns some partitions only: ERR_NONE, all take
 * mail. */
bool queue_is_ready(const struct queue *queue, struct error *why);
/* changed is called after each change of that answer, or of its reason, so
 * also after each new connection (queue_worker_epoch is another one then). */
void queue_watch_ready(struct queue *queue, void (*changed)(void *ctx),
                       void *ctx);

/* Partitions are numbered from 0; there are only ever more of them. */
unsigned queue_partition_count(const struct queue *queue);

#endif
