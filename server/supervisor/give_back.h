/* give_back.h - what dead children held goes back to the queue.
 *
 * First what the journal knows (250s that nobody reported), then their
 * epochs. It needs Redis only while there is something to tell, and waits
 * for it; what it cannot tell is left to the lease.
 */
#ifndef SUPERVISOR_GIVE_BACK_H
#define SUPERVISOR_GIVE_BACK_H

#include "server/base/config.h"
#include "server/base/str.h"
#include "server/io/loop.h"

#include <stdbool.h>

struct give_back;

/* config outlives it. state_dir: of the journal, as config has it; "": none.
 * What lies there already is told at once. done runs as a task, whenever
 * nothing is left to tell, or is awaited no longer. */
struct give_back *give_back_open(struct loop *loop, const struct config *config,
                                 const char *state_dir, struct task *done);
/* What is still to be told is left to the lease; the journal keeps its own. */
void give_back_close(struct give_back **give_back);

/* A child died; epoch: under which it held work, empty if under none; in_hand:
 * what it had its hands on (server/base/hand.h), empty if nothing. */
void give_back_died(struct give_back *give_back, struct str epoch,
                    struct str in_hand);

/* Something is still to be told, and has been for less than a lease, which
 * ends it as well: the Redis in question may be gone for good. */
bool give_back_is_awaited(const struct give_back *give_back);

#endif
