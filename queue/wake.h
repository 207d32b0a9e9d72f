/* wake.h - waits for wake tokens.
 *
 * A BLPOP on a link of its own, over those lists whose work there is room
 * for, of all partitions that joined. Its keys cannot be
 * changed under way, so when one more is wanted the BLPOP is unblocked
 * (CLIENT UNBLOCK) and sent anew; when a token comes for one where there is
 * no room any more, it is handed back with the next turn, and another child
 * gets it.
 */
#ifndef QUEUE_WAKE_H
#define QUEUE_WAKE_H

#include "queue/core.h"

struct wake;

/* on_token(ctx of the place): a token of its partition was taken, or the
 * wait ended and nothing is wanted any more; from the loop. names: of the
 * lists in each partition, those looked at first first; they are copied. */
struct wake *wake_open(struct queue *queue, const struct str *names,
                       size_t name_count, void (*on_token)(void *ctx));
void wake_close(struct wake **wake);

/* Its place, which the functions below ask for. */
size_t wake_join(struct wake *wake, unsigned partition, void *ctx);

/* Which are wanted; wake_arm makes it so. */
void wake_want(struct wake *wake, size_t place, size_t name, bool wanted);
void wake_arm(struct wake *wake);
void wake_rest(struct wake *wake); /* ends a wait that nobody wants any more */
bool wake_is_waiting(const struct wake *wake);

/* Tokens taken and not yet used. */
bool wake_has_token(const struct wake *wake, size_t place, size_t name);
void wake_drop_token(struct wake *wake, size_t place, size_t name);

#endif
