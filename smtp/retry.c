#include "smtp/retry.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static const struct smtp_plan PLANS[CLASS_COUNT] = {
    [CLASS_VERIFICATION] =
        {
            .delays_ms = {5 * SECOND, 15 * SECOND, 30 * SECOND, 60 * SECOND},
            .delay_count = 4,
            .deadline_ms = 10 * MINUTE,
            .age_max_ms = 10 * MINUTE,
        },
    [CLASS_RESET] =
        {
            .delays_ms = {10 * SECOND, 30 * SECOND, 60 * SECOND, 2 * MINUTE,
                          5 * MINUTE},
            .delay_count = 5,
            .deadline_ms = HOUR,
            .age_max_ms = HOUR,
        },
    [CLASS_ALERT] =
        {
            .delays_ms = {15 * SECOND, 60 * SECOND, 5 * MINUTE, 15 * MINUTE,
                          30 * MINUTE, HOUR},
            .delay_count = 6,
            .deadline_ms = 24 * HOUR,
            .age_max_ms = 24 * HOUR,
        },
    [CLASS_TRANSACTIONAL] =
        {
            .delays_ms = {60 * SECOND, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE,
                          HOUR, 2 * HOUR, 4 * HOUR},
            .delay_count = 7,
        },
    [CLASS_BULK] =
        {
            .delays_ms = {5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR},
            .delay_count = 5,
        },
};

const struct smtp_plan *smtp_retry_plan(enum mail_class mail_class)
{
    CHECK(mail_class < CLASS_COUNT);
    return &PLANS[mail_class];
}

static int64_t pick(const int64_t *delays_ms, size_t count, unsigned attempt)
{
    return delays_ms[attempt > count ? count - 1 : attempt - 1];
}

static int64_t planned_ms(const struct smtp_retry *retry)
{
    const struct config_duration_list *own = &retry->worker->retry;
    const struct smtp_plan *plan = smtp_retry_plan(retry->mail_class);

    if (own->count > 0)
        return pick(own->items_ms, own->count, retry->attempt);
    return pick(plan->delays_ms, plan->delay_count, retry->attempt);
}

/* At least so long, whatever the plan says. */
static int64_t floor_ms(const struct smtp_retry *retry)
{
    static const int64_t FREQUENCY_MS[] = {10 * MINUTE, HOUR, 24 * HOUR};

    switch (retry->pace) {
    case SMTP_PACE_GREYLIST:
        return MINUTE;
    case SMTP_PACE_FREQUENCY:
        return pick(FREQUENCY_MS, COUNT_OF(FREQUENCY_MS), retry->attempt);
    case SMTP_PACE_PLAN:
    case SMTP_PACE_RATE:
        break;
    }
    return 0;
}

/* From 80 % to 120 %. */
static int64_t jitter_ms(int64_t delay_ms, uint32_t random)
{
    int64_t span_ms = delay_ms / 5;

    return delay_ms - span_ms +
           (int64_t)((uint64_t)random % (uint64_t)(2 * span_ms + 1));
}

int64_t smtp_expires_ms(enum mail_class mail_class,
                        const struct config_worker *worker,
                        int64_t first_due_ms, int64_t deadline_ms)
{
    int64_t age_ms = smtp_retry_plan(mail_class)->age_max_ms;

    if (deadline_ms > 0)
        return deadline_ms;
    if (age_ms == 0 || worker->retry.count > 0)
        age_ms = worker->message_ttl_ms;
    return first_due_ms + age_ms;
}

int64_t smtp_retry_at_ms(const struct smtp_retry *retry)
{
    int64_t delay_ms;
    int64_t at_ms;

    CHECK(retry->attempt > 0);
    delay_ms = jitter_ms(planned_ms(retry), retry->random);
    if (delay_ms < floor_ms(retry))
        delay_ms = floor_ms(retry);
    at_ms = retry->now_ms + delay_ms;
    return at_ms < smtp_expires_ms(retry->mail_class, retry->worker,
                                   retry->first_due_ms, retry->deadline_ms)
               ? at_ms
               : 0;
}
