/* rounds.h - goes round the sender domains whose check is due.
 *
 * A check is leased by the script that gives it: one process at a time has a
 * domain, and what a crash leaves is due again when the lease ends. What was
 * found is put back against the version that was read, in one step with the
 * events that tell of it; whoever changed the domain meanwhile made it due
 * anew.
 *
 * Source: docs/domains.md, docs/decisions/0036.
 */
#ifndef HOOKS_ROUNDS_H
#define HOOKS_ROUNDS_H

#include "queue/queue.h"
#include "server/base/check.h"
#include "server/base/config.h"
#include "server/domain/domain.h"
#include "server/io/dns.h"
#include "server/io/loop.h"

struct rounds;

/* Starts at once. All of it outlives rounds; dns is asked unless
 * domains.resolver names other servers. NULL: those are none. */
MUST_USE struct rounds *rounds_open(struct loop *loop,
                                    const struct config *config,
                                    struct queue *queue, struct dns *dns,
                                    struct error *err);
/* Takes no more; what is under way ends within seconds, or with the close. */
void rounds_stop(struct rounds *rounds);
/* What the queue was asked for cannot be taken back: queue_close follows in
 * the same turn. */
void rounds_close(struct rounds **rounds);

/* A stored domain as the checks want it. Its texts stay where they are; keys
 * in arena. */
struct domain_setup rounds_setup(const struct sender_domain *domain,
                                 const struct config *config, int64_t now_ms,
                                 struct arena *arena);
/* Puts what a check found into the domain, its text in arena. The keys that
 * were waited for take over two TTLs after both were seen, if each check until
 * then sees them; at once from keys that are compromised. */
void rounds_apply(struct sender_domain *domain,
                  const struct domain_report *report, struct arena *arena);

#endif
