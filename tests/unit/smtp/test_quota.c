/* Tokens of an upstream's rate. */
#include "smtp/quota.h"

#include "check_cmocka.h"

static const struct config_rate RATES[] = {{500, 1000}, {200, 60000}};
static const struct config_rate_list LIST = {RATES, 2};

static struct quota limited(void)
{
    struct quota quota;

    quota_init(&quota, &LIST);
    return quota;
}

static void grant(struct quota *quota, size_t urgent, size_t other)
{
    quota_grant(quota, &(struct smtp_quota_grant){
                           .tokens = {urgent, other},
                           .until_ms = 2000,
                           .stamp = 77,
                           .used_up_until_ms = {0, 5000},
                       });
}

static void without_a_rate_all_may_go(void **state)
{
    const struct config_rate_list none = {NULL, 0};
    struct quota quota;

    (void)state;
    quota_init(&quota, &none);
    assert_true(quota_has(&quota, 3, 1000));
    quota_take(&quota, 3, 1000);
    assert_false(quota_is_used_up(&quota, 3, 1000));
    assert_int_equal(quota_room(&quota, 3, 12345, 1000), 12345);
    assert_int_equal(quota_ends_ms(&quota, 1000), 0);
}

static void no_more_are_handed_in_than_a_window_has(void **state)
{
    struct quota quota = limited();

    (void)state;
    assert_int_equal(quota_room(&quota, 2, 1000, 1000), 200);
    assert_int_equal(quota_room(&quota, 2, 20, 1000), 20);
    assert_false(quota_has(&quota, 2, 1000));
}

static void a_few_more_are_leased_than_wait(void **state)
{
    const size_t waiting[] = {3, 5};
    const size_t none[] = {0, 0};
    struct quota quota = limited();
    struct smtp_quota_ask ask;

    (void)state;
    quota_ask(&quota, waiting, &ask);
    assert_true(quota.is_asked);
    assert_int_equal(ask.wanted[SMTP_QUOTA_URGENT], 3);
    assert_int_equal(ask.wanted[SMTP_QUOTA_OTHER], 5 + 2);
    assert_int_equal(ask.back, 0);
    grant(&quota, 3, 7);
    assert_false(quota.is_asked);
    quota_take(&quota, 0, 1000);
    quota_ask(&quota, none, &ask);
    assert_int_equal(ask.wanted[SMTP_QUOTA_OTHER], 0);
    assert_int_equal(ask.back, 2 + 7);
    assert_int_equal(ask.stamp, 77);
    assert_false(quota_has(&quota, 0, 1000));
}

static void urgent_mail_takes_the_tokens_of_others_too(void **state)
{
    struct quota quota = limited();

    (void)state;
    grant(&quota, 1, 2);
    assert_int_equal(quota_room(&quota, 3, 99, 1999), 2);
    assert_int_equal(quota_room(&quota, 1, 99, 1999), 99);
    quota_take(&quota, 1, 1999);
    quota_take(&quota, 0, 1999);
    quota_take(&quota, 3, 1999);
    assert_false(quota_has(&quota, 3, 1999));
    assert_false(quota_has(&quota, 0, 1999));
    assert_true(quota_is_used_up(&quota, 3, 4999));
    assert_false(quota_is_used_up(&quota, 3, 5000));
    assert_false(quota_is_used_up(&quota, 0, 1999));
    assert_int_equal(quota_room(&quota, 3, 99, 1999), 0);
    assert_int_equal(quota_room(&quota, 3, 99, 5000), 99);
}

static void tokens_grow_old(void **state)
{
    struct quota quota = limited();

    (void)state;
    grant(&quota, 0, 2);
    assert_int_equal(quota_ends_ms(&quota, 1000), 2000);
    assert_true(quota_has(&quota, 3, 1999));
    assert_false(quota_is_stale(&quota, 1999));
    assert_false(quota_has(&quota, 3, 2000));
    assert_true(quota_is_stale(&quota, 2000));
    quota_take(&quota, 3, 1999);
    quota_take(&quota, 3, 1999);
    assert_false(quota_is_stale(&quota, 2000));
    assert_int_equal(quota_ends_ms(&quota, 2000), 5000);
    assert_int_equal(quota_ends_ms(&quota, 5000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_rate_all_may_go),
        cmocka_unit_test(no_more_are_handed_in_than_a_window_has),
        cmocka_unit_test(a_few_more_are_leased_than_wait),
        cmocka_unit_test(urgent_mail_takes_the_tokens_of_others_too),
        cmocka_unit_test(tokens_grow_old),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
