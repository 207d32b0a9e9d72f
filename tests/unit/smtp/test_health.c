/* How long an upstream is left alone. */
#include "smtp/health.h"

#include "check_cmocka.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static void failures_double_up_to_a_minute(void **state)
{
    static const int64_t RESTS_MS[] = {1000,  2000,  4000,  8000,
                                       16000, 32000, 60000, 60000};
    struct health health = {0};
    int64_t now_ms = 5000;

    (void)state;
    assert_false(health_is_probed(&health, now_ms));
    for (size_t i = 0; i < sizeof RESTS_MS / sizeof RESTS_MS[0]; i++) {
        health_failed(&health, now_ms);
        health_failed(&health, now_ms); /* those that fail together count one */
        assert_true(health_is_resting(&health, now_ms + RESTS_MS[i] - 1));
        assert_false(health_is_probed(&health, now_ms + RESTS_MS[i] - 1));
        now_ms += RESTS_MS[i];
        assert_false(health_is_resting(&health, now_ms));
        assert_true(health_is_probed(&health, now_ms));
    }
    health_reached(&health);
    assert_false(health_is_probed(&health, now_ms));
    health_failed(&health, now_ms);
    assert_false(health_is_resting(&health, now_ms + 1000));
}

/* A session that opens is no news then; a recipient that is taken is. */
static void transactions_that_break_off_are_failures_at_last(void **state)
{
    struct health health = {0};
    int64_t now_ms = 5000;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        health_broke_off(&health, now_ms);
        health_reached(&health);
        assert_false(health_is_resting(&health, now_ms));
        assert_false(health_is_probed(&health, now_ms));
    }
    for (int64_t rest_ms = 1000; rest_ms <= 4000; rest_ms *= 2) {
        health_broke_off(&health, now_ms);
        health_broke_off(&health, now_ms); /* together they count one */
        health_reached(&health);
        assert_true(health_is_resting(&health, now_ms + rest_ms - 1));
        now_ms += rest_ms;
        health_reached(&health);
        assert_true(health_is_probed(&health, now_ms));
    }
    assert_true(health_well(&health, now_ms));
    assert_false(health_is_probed(&health, now_ms));
    health_broke_off(&health, now_ms);
    assert_false(health_is_resting(&health, now_ms));
}

static void pauses_last_minutes(void **state)
{
    static const int64_t RESTS_MS[] = {MINUTE, 5 * MINUTE, 15 * MINUTE,
                                       15 * MINUTE};
    struct health health = {0};
    int64_t now_ms = 5000;

    (void)state;
    for (size_t i = 0; i < sizeof RESTS_MS / sizeof RESTS_MS[0]; i++) {
        health_paused(&health, now_ms);
        health_paused(&health, now_ms);
        health_failed(&health, now_ms);
        health_reached(&health); /* a login alone does not end it */
        assert_true(health_is_resting(&health, now_ms + RESTS_MS[i] - 1));
        now_ms += RESTS_MS[i];
        assert_true(health_is_probed(&health, now_ms));
    }
    assert_true(health_well(&health, now_ms));
    assert_false(health_is_probed(&health, now_ms));
    health_paused(&health, now_ms);
    assert_false(health_is_resting(&health, now_ms + MINUTE));
}

/* A session that was there before says nothing of those that fail since. */
static void a_session_from_before_is_no_news(void **state)
{
    struct health health = {0};

    (void)state;
    health_failed(&health, 5000);
    assert_false(health_well(&health, 4000));
    assert_false(health_well(&health, 5000)); /* begun together */
    assert_true(health_is_resting(&health, 5999));
    health_failed(&health, 6000);
    assert_false(health_well(&health, 4000));
    assert_true(health_is_resting(&health, 7999)); /* the second in a row */
    health_paused(&health, 7000);
    assert_false(health_well(&health, 6000));
    assert_true(health_is_resting(&health, 66999));
    assert_true(health_well(&health, 67000));
    assert_false(health_is_probed(&health, 67000));
    for (unsigned i = 0; i < 4; i++)
        health_broke_off(&health, 70000);
    assert_true(health_well(&health, 69000)); /* of transactions it is */
    health_broke_off(&health, 70000);
    assert_false(health_is_resting(&health, 70000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_double_up_to_a_minute),
        cmocka_unit_test(transactions_that_break_off_are_failures_at_last),
        cmocka_unit_test(pauses_last_minutes),
        cmocka_unit_test(a_session_from_before_is_no_news),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
