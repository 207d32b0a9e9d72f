#include "server/worker/refusals.h"

#include "check_cmocka.h"

#include <stdio.h>

static enum refusals_word note(struct refusals *refusals, const char *domain,
                               bool refused)
{
    return refusals_note(refusals, S("main"), str_of(domain), refused);
}

static void thirty_of_the_last_hundred_are_many(void **state)
{
    struct refusals *refusals = refusals_create();

    (void)state;
    for (unsigned i = 1; i < REFUSALS_MAX; i++)
        assert_int_equal(note(refusals, "example.net", true), REFUSALS_FEW);
    assert_int_equal(note(refusals, "EXAMPLE.net", true), REFUSALS_MANY_NOW);
    assert_int_equal(note(refusals, "example.net", true), REFUSALS_MANY);
    assert_int_equal(note(refusals, "example.com", true), REFUSALS_FEW);
    assert_int_equal(
        refusals_note(refusals, S("other"), S("example.net"), true),
        REFUSALS_FEW);
    refusals_destroy(&refusals);
}

static void the_oldest_are_forgotten(void **state)
{
    struct refusals *refusals = refusals_create();

    (void)state;
    for (unsigned i = 0; i < REFUSALS_MAX; i++)
        note(refusals, "example.net", true);
    for (unsigned i = REFUSALS_MAX; i < REFUSALS_WINDOW; i++)
        assert_int_equal(note(refusals, "example.net", false), REFUSALS_MANY);
    assert_int_equal(note(refusals, "example.net", false), REFUSALS_FEW);
    assert_int_equal(note(refusals, "example.net", true), REFUSALS_FEW);
    for (unsigned i = 0; i < REFUSALS_WINDOW; i++)
        note(refusals, "example.net", false);
    for (unsigned i = 1; i < REFUSALS_MAX; i++)
        assert_int_equal(note(refusals, "example.net", true), REFUSALS_FEW);
    assert_int_equal(note(refusals, "example.net", true), REFUSALS_MANY_NOW);
    refusals_destroy(&refusals);
}

/* A hundred times as many pairs as there is room for; the one that is in use
 * stays. */
static void a_pair_in_use_stays(void **state)
{
    struct refusals *refusals = refusals_create();
    char domain[32];

    (void)state;
    for (unsigned i = 0; i < REFUSALS_MAX; i++)
        note(refusals, "example.net", true);
    for (unsigned i = 0; i < 100 * REFUSALS_PAIRS; i++) {
        snprintf(domain, sizeof domain, "%u.example", i);
        assert_int_equal(note(refusals, domain, true), REFUSALS_FEW);
        assert_int_equal(note(refusals, "example.net", true), REFUSALS_MANY);
    }
    refusals_destroy(&refusals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thirty_of_the_last_hundred_are_many),
        cmocka_unit_test(the_oldest_are_forgotten),
        cmocka_unit_test(a_pair_in_use_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
