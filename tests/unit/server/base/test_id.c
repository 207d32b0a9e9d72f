#include "server/base/id.h"

#include "server/base/clock.h"

#include "check_cmocka.h"

static int teardown(void **state)
{
    (void)state;
    clock_set(-1, -1);
    return 0;
}

static void an_id_is_a_uuid_of_version_7(void **state)
{
    struct id id;

    (void)state;
    clock_set(1000, 1795521600123);
    id = id_new(5);
    assert_int_equal(strlen(id.text), ID_LEN);
    assert_memory_equal(id.text, "01a20d6d-5a7b-", 14);
    assert_int_equal(id.text[14], '7');
    assert_non_null(strchr("89ab", id.text[19]));
    assert_true(id_time_ms(&id) == 1795521600123);
}

static void the_partition_is_inside(void **state)
{
    (void)state;
    for (unsigned partition = 0; partition <= ID_PARTITION_MAX; partition++) {
        struct id id = id_new(partition);
        struct id again;

        assert_int_equal(id_partition(&id), partition);
        assert_true(id_parse(id_str(&id), &again));
        assert_int_equal(id_partition(&again), partition);
    }
}

/* More than a millisecond has numbers for, and a clock that steps back. */
static void ids_rise_strictly(void **state)
{
    struct id last;

    (void)state;
    clock_set(1000, 1900000000000);
    last = id_new(1023);
    for (int i = 0; i < 10000; i++) {
        struct id next;

        if (i == 5000)
            clock_set(1000, 1800000000000);
        next = id_new((unsigned)i % 1024);
        assert_true(str_compare(id_str(&last), id_str(&next)) < 0);
        last = next;
    }
}

static void any_uuid_is_taken_and_lowered(void **state)
{
    static const char *const bad[] = {
        "",
        "01A1D8D7-7C7B-7ABC-8DEF-0123456789A",
        "01A1D8D7-7C7B-7ABC-8DEF-0123456789ABC",
        "01A1D8D7-7C7B-7ABC-8DEF-0123456789AG",
        "01A1D8D777C7B-7ABC-8DEF-0123456789AB",
        "{1A1D8D7-7C7B-7ABC-8DEF-0123456789A}",
        "01A1D8D7-7C7B-7ABC-8DEF_0123456789AB",
        "------------------------------------",
    };
    struct id id;

    (void)state;
    assert_true(id_parse(S("01A1D8D7-7C7B-4ABC-8DEF-0123456789AB"), &id));
    assert_string_equal(id.text, "01a1d8d7-7c7b-4abc-8def-0123456789ab");
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(id_parse(str_of(bad[i]), &id));
    assert_false(id_parse(S("01a1d8d7-7c7b-4abc-8def-0123456789a\0"), &id));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_id_is_a_uuid_of_version_7, teardown),
        cmocka_unit_test_teardown(the_partition_is_inside, teardown),
        cmocka_unit_test_teardown(ids_rise_strictly, teardown),
        cmocka_unit_test_teardown(any_uuid_is_taken_and_lowered, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
