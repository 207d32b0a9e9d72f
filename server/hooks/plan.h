/* plan.h - what an endpoint's answer means, and when to try again. Pure.
 *
 * 2xx is success; 410 ends the endpoint; all else is a failure that is tried
 * again by the schedule of webhook.retry, with up to 20 % of jitter, but not
 * before the server's Retry-After. A server that names one is busy: nothing
 * else goes there before.
 *
 * Source: Standard Webhooks 1.0.0 (delivery), docs/webhooks.md.
 */
#ifndef HOOKS_PLAN_H
#define HOOKS_PLAN_H

#include "queue/queue.h"
#include "server/base/config.h"

#include <stdint.h>

struct plan {
    enum task_outcome outcome;
    int64_t retry_in_ms; /* TASK_AGAIN, TASK_BUSY */
};

/* attempt: the one that was made, from 1. status: HTTP, 0 for no answer.
 * random: any. */
struct plan plan_after(const struct config_webhook *policy, unsigned attempt,
                       int status, int64_t retry_after_s, uint32_t random);

#endif
