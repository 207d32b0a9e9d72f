/* notify.h - tells the service manager how we are.
 *
 * One datagram each to the socket that NOTIFY_SOCKET names; without one
 * nothing happens. Nothing is waited for.
 *
 * Source: sd_notify(3), sd_watchdog_enabled(3).
 */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include "server/io/loop.h"

void notify_ready(void);     /* all children work, or went on as before */
void notify_reloading(void); /* notify_ready follows */
void notify_stopping(void);

/* Says that the loop turns, twice in each WATCHDOG_USEC. Behind notify_ready:
 * the manager does not watch before, and its socket holds few words. NULL, and
 * nothing is said, when nobody asks that of this process. */
struct watchdog *watchdog_open(struct loop *loop);
void watchdog_close(struct watchdog **watchdog);

#endif
