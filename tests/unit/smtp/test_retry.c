/* When mails are tried again. */
#include "smtp/retry.h"

#include "check_cmocka.h"

enum { SEC = 1000, M = 60 * SEC, H = 60 * M, NOW = 1000000 };

static const struct config_worker WORKER = {.message_ttl_ms = 72 * H};

/* The random number for which the jitter is none. */
static uint32_t middle(int64_t delay_ms)
{
    return (uint32_t)(delay_ms / 5);
}

static const struct fact {
    enum mail_class mail_class;
    unsigned attempt;
    int64_t delay_ms;
} PLANS[] = {
    {CLASS_VERIFICATION, 1, 5 * SEC},
    {CLASS_VERIFICATION, 2, 15 * SEC},
    {CLASS_VERIFICATION, 3, 30 * SEC},
    {CLASS_VERIFICATION, 4, 60 * SEC},
    {CLASS_VERIFICATION, 5, 60 * SEC},
    {CLASS_VERIFICATION, 99, 60 * SEC},
    {CLASS_RESET, 1, 10 * SEC},
    {CLASS_RESET, 5, 300 * SEC},
    {CLASS_ALERT, 1, 15 * SEC},
    {CLASS_ALERT, 6, H},
    {CLASS_TRANSACTIONAL, 1, 60 * SEC},
    {CLASS_TRANSACTIONAL, 7, 4 * H},
    {CLASS_TRANSACTIONAL, 8, 4 * H},
    {CLASS_BULK, 1, 5 * M},
    {CLASS_BULK, 5, 4 * H},
};

static void plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(PLANS); i++) {
        struct smtp_retry retry = {
            .mail_class = PLANS[i].mail_class,
            .attempt = PLANS[i].attempt,
            .worker = &WORKER,
            .now_ms = NOW,
            .first_due_ms = NOW,
            .random = middle(PLANS[i].delay_ms),
        };

        assert_int_equal(smtp_retry_at_ms(&retry), NOW + PLANS[i].delay_ms);
    }
}

static void jitter_is_a_fifth(void **state)
{
    struct smtp_retry retry = {
        .mail_class = CLASS_TRANSACTIONAL,
        .attempt = 1,
        .worker = &WORKER,
        .now_ms = NOW,
        .first_due_ms = NOW,
    };
    int64_t low = INT64_MAX;
    int64_t high = 0;

    (void)state;
    for (retry.random = 0; retry.random < 100000; retry.random++) {
        int64_t at_ms = smtp_retry_at_ms(&retry);

        low = at_ms < low ? at_ms : low;
        high = at_ms > high ? at_ms : high;
    }
    assert_int_equal(low, NOW + 48 * SEC);
    assert_int_equal(high, NOW + 72 * SEC);
}

static void paces(void **state)
{
    struct smtp_retry retry = {
        .mail_class = CLASS_VERIFICATION,
        .attempt = 1,
        .pace = SMTP_PACE_GREYLIST,
        .worker = &WORKER,
        .now_ms = NOW,
        .first_due_ms = NOW,
        .deadline_ms = NOW + 100 * H,
        .random = middle(5 * SEC),
    };

    (void)state;
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + M);
    retry.pace = SMTP_PACE_RATE;
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + 5 * SEC);
    retry.pace = SMTP_PACE_FREQUENCY;
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + 10 * M);
    retry.attempt = 2;
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + H);
    retry.attempt = 9;
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + 24 * H);
    /* Greylisting does not shorten a longer plan. */
    retry.pace = SMTP_PACE_GREYLIST;
    retry.mail_class = CLASS_BULK;
    retry.random = middle(4 * H);
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + 4 * H);
}

static void overridden(void **state)
{
    int64_t delays_ms[] = {1 * SEC, 2 * SEC};
    struct config_worker worker = {.message_ttl_ms = H,
                                   .retry = {delays_ms, 2}};
    struct smtp_retry retry = {
        .mail_class = CLASS_VERIFICATION,
        .attempt = 1,
        .worker = &worker,
        .now_ms = NOW + 30 * M,
        .first_due_ms = NOW,
        .random = middle(1 * SEC),
    };

    (void)state;
    /* The class's own maximum age goes with its plan. */
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + 30 * M + 1 * SEC);
    retry.attempt = 3;
    retry.random = middle(2 * SEC);
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + 30 * M + 2 * SEC);
    retry.now_ms = NOW + H;
    assert_int_equal(smtp_retry_at_ms(&retry), 0);
}

static void given_up(void **state)
{
    struct smtp_retry retry = {
        .mail_class = CLASS_VERIFICATION,
        .attempt = 1,
        .worker = &WORKER,
        .now_ms = NOW,
        .first_due_ms = NOW,
        .deadline_ms = NOW + 5 * SEC,
        .random = middle(5 * SEC),
    };

    (void)state;
    assert_int_equal(smtp_retry_at_ms(&retry), 0);
    retry.deadline_ms++;
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + 5 * SEC);
    /* No deadline: the maximum age of the class, from the first due time. */
    retry.deadline_ms = 0;
    retry.now_ms = NOW + 10 * M - 5 * SEC;
    assert_int_equal(smtp_retry_at_ms(&retry), 0);
    retry.now_ms--;
    assert_int_equal(smtp_retry_at_ms(&retry), NOW + 10 * M - 1);
    assert_int_equal(smtp_expires_ms(CLASS_BULK, &WORKER, NOW, 0),
                     NOW + (int64_t)72 * H);
    assert_int_equal(smtp_expires_ms(CLASS_BULK, &WORKER, NOW, 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),    cmocka_unit_test(jitter_is_a_fifth),
        cmocka_unit_test(paces),    cmocka_unit_test(overridden),
        cmocka_unit_test(given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
