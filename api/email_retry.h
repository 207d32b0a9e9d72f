/* email_retry.h - how a stored mail is sent again. Pure. */
#ifndef API_EMAIL_RETRY_H
#define API_EMAIL_RETRY_H

#include "queue/queue.h"
#include "server/base/arena.h"
#include "server/base/config.h"

/* A deadline that lies ahead stays; one that has passed, or none, gives way
 * to what a mail of this class has that is sent now. Lists live in arena.
 * False: a recipient has no route any more. */
MUST_USE bool email_retry_plan(struct arena *arena, const struct config *config,
                               const struct queue_email *email, int64_t now_ms,
                               struct queue_retry *out);

#endif
