/* dev_greet.h - what `posthaste dev` shows: who is ready, and the demo.
 *
 * Runs in a process of its own, since it asks and waits like any client.
 */
#ifndef CLI_DEV_GREET_H
#define CLI_DEV_GREET_H

#include "server/cli/dev_place.h"

#include <stdbool.h>

/* An exit code. send_demo: sends a verification mail, shows it as it came
 * out of the inbox, and the webhook that told of it. */
int dev_greet(const struct dev_place *place, bool send_demo);

#endif
