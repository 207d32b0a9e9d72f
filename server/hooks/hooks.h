/* hooks.h - the door of the webhook role: tells customers what happened.
 *
 * A hooks child fans the owners' events out to their endpoints, claims the
 * tasks that come of it, signs and posts them, and reports what became of
 * each. The queue holds all state: a child that dies loses nothing, its
 * tasks are given back when its lease ends. Besides it goes round the sender
 * domains (rounds.h), whose changes are such events.
 *
 * Source: docs/webhooks.md.
 */
#ifndef HOOKS_HOOKS_H
#define HOOKS_HOOKS_H

#include "queue/queue.h"
#include "server/base/check.h"
#include "server/base/config.h"
#include "server/hooks/sign.h"
#include "server/io/dns.h"
#include "server/io/loop.h"

struct hooks;

/* Starts at once. loop, config, queue and dns outlive it. NULL: there is no
 * libcurl, or domains.resolver names no server. */
MUST_USE struct hooks *hooks_open(struct loop *loop,
                                  const struct config *config,
                                  struct queue *queue, struct dns *dns,
                                  struct error *err);

/* Claims no more. Requests under way get some seconds to end, what is left
 * then is given back. done is called once, later, when all is reported. */
void hooks_drain(struct hooks *hooks, void (*done)(void *ctx), void *ctx);

/* Requests under way are broken off and nobody is told; done of a drain is
 * not called any more. queue_close follows in the same turn. */
void hooks_close(struct hooks **hooks);

#endif
