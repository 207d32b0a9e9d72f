/* helper.h - the engine's helper thread, for what would hold the loop: keys
 * that are made of passwords, files that are read.
 */
#ifndef SMTP_HELPER_H
#define SMTP_HELPER_H

#include "server/io/loop.h"
#include "server/io/work.h"

#include <stdbool.h>

struct helper {
    struct loop *loop;
    struct work *work; /* owned; NULL: not needed yet */
};

/* As work_submit; opens the thread when it is first needed. */
MUST_USE bool helper_submit(struct helper *helper, struct work_job *job);
/* Before those that it serves. No done is called any more. */
void helper_close(struct helper *helper);

#endif
