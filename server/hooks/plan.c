#include "server/hooks/plan.h"

/* What a server may ask for at most: a day. */
enum { RETRY_AFTER_MAX_S = 24 * 60 * 60, JITTER_PERMILLE = 200 };

/* value, give or take a fifth. */
static int64_t jittered(int64_t value, uint32_t random)
{
    int64_t permille =
        1000 - JITTER_PERMILLE + (int64_t)(random % (2 * JITTER_PERMILLE + 1));

    return value / 1000 * permille + value % 1000 * permille / 1000;
}

struct plan plan_after(const struct config_webhook *policy, unsigned attempt,
                       int status, int64_t retry_after_s, uint32_t random)
{
    struct plan plan = {
        .outcome = retry_after_s > 0 ? TASK_BUSY : TASK_AGAIN,
    };

    if (status >= 200 && status <= 299)
        return (struct plan){.outcome = TASK_DONE};
    if (status == 410)
        return (struct plan){.outcome = TASK_GONE};
    if (attempt >= policy->retry.count)
        return (struct plan){.outcome = TASK_FAILED};
    plan.retry_in_ms = jittered(policy->retry.items_ms[attempt], random);
    if (retry_after_s > RETRY_AFTER_MAX_S)
        retry_after_s = RETRY_AFTER_MAX_S;
    if (retry_after_s * 1000 > plan.retry_in_ms)
        plan.retry_in_ms = retry_after_s * 1000;
    return plan;
}
