/* hand.h - what a process has its hands on, for whoever finds it dead.
 *
 * Work whose bytes come from outside (a stored record, a mail, a server's
 * reply) may crash the process that reads them. It says beforehand which
 * piece of work that is, in memory that its parent sees; so of all that it
 * held only this one is suspect. Costs a copy of some 40 bytes.
 */
#ifndef BASE_HAND_H
#define BASE_HAND_H

#include "server/base/str.h"

enum { HAND_SIZE = 64 };

/* place: HAND_SIZE bytes that outlive the process, zeroed; NULL (as before
 * the first call): nobody wants to know. */
void hand_use(char *place);
/* From here on it is that one, which is shorter than HAND_SIZE. */
void hand_take(struct str what);
void hand_drop(void);

/* What a helper thread is at, until hand_release; called by the loop's thread,
 * as all of these. It is in hand whenever nothing else is: a crash of the
 * helper beside other work accuses that, and the right one the next time. */
void hand_hold(struct str what);
void hand_release(void);

#endif
