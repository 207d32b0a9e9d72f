/* Domains that get fewer mails at a time. */
#include "smtp/slowed.h"

#include "check_cmocka.h"

#include <stdio.h>

static struct slowed_domains all;

static int setup(void **state)
{
    (void)state;
    slowed_init(&all);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    slowed_finish(&all);
    assert_int_equal(all.count, 0);
    return 0;
}

/* With so many of its mails under way. */
static struct slowed *slow(const char *domain, size_t urgent, size_t others)
{
    struct slowed *slowed = slowed_add(&all, str_of(domain));

    assert_non_null(slowed);
    for (size_t i = 0; i < urgent; i++)
        slowed_enter(slowed, 0);
    for (size_t i = 0; i < others; i++)
        slowed_enter(slowed, 3);
    slowed_suffer(&all, slowed, 1000);
    return slowed;
}

static void domains_are_found_in_any_case(void **state)
{
    struct slowed *slowed = slow("Example.net", 0, 1);

    (void)state;
    assert_true(
        str_eq(slowed_domain(S("\"a@b\"@example.net")), S("example.net")));
    assert_ptr_equal(slowed_find(&all, S("eXample.NET")), slowed);
    assert_null(slowed_find(&all, S("mail.example.net")));
}

static void half_of_what_is_under_way(void **state)
{
    struct slowed *slowed = slow("a.test", 0, 10);

    (void)state;
    for (size_t left = 10; left > 5; left--) {
        assert_true(slowed_holds(slowed, 2));
        slowed_leave(&all, slowed, 3, 2000);
    }
    assert_true(slowed_holds(slowed, 2));
    slowed_leave(&all, slowed, 3, 2000);
    assert_false(slowed_holds(slowed, 2));
    slowed_suffer(&all, slowed, 2000); /* 4 are under way */
    assert_true(slowed_holds(slowed, 2));
    for (size_t i = 0; i < 3; i++)
        slowed_leave(&all, slowed, 3, 2000);
    assert_false(slowed_holds(slowed, 2)); /* 1 of 2 */
    slowed_suffer(&all, slowed, 2000);
    slowed_suffer(&all, slowed, 2000);
    assert_true(slowed_holds(slowed, 2)); /* one at least */
    slowed_leave(&all, slowed, 3, 2000);
    assert_false(slowed_holds(slowed, 2));
}

static void urgent_mail_waits_for_its_own_kind(void **state)
{
    struct slowed *slowed = slow("a.test", 1, 7);

    (void)state;
    assert_true(slowed_holds(slowed, 2));
    assert_false(slowed_holds(slowed, 1));
    for (size_t i = 0; i < 3; i++)
        slowed_enter(slowed, 1);
    assert_true(slowed_holds(slowed, 0));
    assert_int_equal(slowed_hold_ms(slowed, 0, 10, 5000), 500);
}

static void it_recovers_slowly(void **state)
{
    struct slowed *slowed = slow("a.test", 0, 2);

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        assert_true(slowed_holds(slowed, 2));
        slowed_take(slowed);
    }
    assert_true(slowed_holds(slowed, 2)); /* 2 of 2 */
    for (size_t i = 0; i < 16; i++)
        slowed_take(slowed);
    assert_false(slowed_holds(slowed, 2));
}

static void held_mails_stand_in_a_row(void **state)
{
    struct slowed *slowed = slow("a.test", 0, 4); /* two at a time */
    int64_t last_ms = 0;

    (void)state;
    assert_int_equal(slowed_hold_ms(slowed, 3, 200, 5000), 1000);
    assert_int_equal(slowed_hold_ms(slowed, 3, 200, 5000), 1100);
    assert_int_equal(slowed_hold_ms(slowed, 2, 200, 5100), 1100);
    for (size_t i = 0; i < 10000; i++)
        last_ms = slowed_hold_ms(slowed, 3, 200, 5000);
    assert_in_range(last_ms, 300000, 300200); /* no longer than that */
    assert_int_equal(slowed_hold_ms(slowed, 3, 200, 400000), 1000);
}

static void what_is_past_is_forgotten(void **state)
{
    struct slowed *slowed = slow("a.test", 0, 2);

    (void)state;
    slowed_leave(&all, slowed, 3, 601000);
    slowed_leave(&all, slowed, 3, 601000);
    assert_int_equal(all.count, 1);
    slowed_enter(slowed, 3);
    slowed_leave(&all, slowed, 3, 601001);
    assert_int_equal(all.count, 0);
}

static void the_table_is_bounded(void **state)
{
    char domain[32];

    (void)state;
    for (size_t i = 0; i < SLOWED_MAX; i++) {
        snprintf(domain, sizeof domain, "d%zu.test", i);
        slow(domain, 0, i == 0 ? 1 : 0);
    }
    assert_non_null(slowed_add(&all, S("one-more.test")));
    assert_int_equal(all.count, SLOWED_MAX);
    assert_non_null(slowed_find(&all, S("d0.test"))); /* has one under way */
    assert_null(slowed_find(&all, S("d1.test")));     /* the oldest else */
    assert_non_null(slowed_find(&all, S("d2.test")));
}

static void nothing_goes_while_its_mails_are_under_way(void **state)
{
    char domain[32];

    (void)state;
    for (size_t i = 0; i < SLOWED_MAX; i++) {
        snprintf(domain, sizeof domain, "d%zu.test", i);
        slow(domain, 0, 1);
    }
    assert_null(slowed_add(&all, S("one-more.test")));
}

#define SLOWED_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SLOWED_TEST(domains_are_found_in_any_case),
        SLOWED_TEST(half_of_what_is_under_way),
        SLOWED_TEST(urgent_mail_waits_for_its_own_kind),
        SLOWED_TEST(it_recovers_slowly),
        SLOWED_TEST(held_mails_stand_in_a_row),
        SLOWED_TEST(what_is_past_is_forgotten),
        SLOWED_TEST(the_table_is_bounded),
        SLOWED_TEST(nothing_goes_while_its_mails_are_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
