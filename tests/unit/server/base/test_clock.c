#include "server/base/clock.h"

#include "check_cmocka.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const struct timespec *wall; /* that the system tells; NULL: the true */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    if (wall == NULL || id != CLOCK_REALTIME)
        return (int)syscall(SYS_clock_gettime, id, ts);
    *ts = *wall;
    return 0;
}

static const struct time_case {
    struct str text;
    int64_t wall_ms; /* -1: no such time */
} CASES[] = {
    {STR("1970-01-01T00:00:00Z"), 0},
    {STR("2026-11-24T12:00:00Z"), 1795521600000},
    {STR("2026-11-24t12:00:00z"), 1795521600000},
    {STR("2026-11-24 12:00:00Z"), 1795521600000},
    {STR("2026-11-24T12:00:00.1Z"), 1795521600100},
    {STR("2026-11-24T12:00:00.123Z"), 1795521600123},
    {STR("2026-11-24T12:00:00.123999999Z"), 1795521600123},
    {STR("2026-11-24T12:00:00+00:00"), 1795521600000},
    {STR("2026-11-24T20:00:00+08:00"), 1795521600000},
    {STR("2026-11-24T06:30:00-05:30"), 1795521600000},
    {STR("2024-02-29T00:00:00Z"), 1709164800000},
    {STR("2000-02-29T00:00:00Z"), 951782400000},
    {STR("9999-12-31T23:59:59.999Z"), 253402300799999},

    {STR(""), -1},
    {STR("2026-11-24"), -1},
    {STR("2026-11-24T12:00:00"), -1}, /* local time: whose? */
    {STR("2026-11-24T12:00Z"), -1},
    {STR("2026-11-24T12:00:00.Z"), -1},
    {STR("2026-11-24T12:00:00Zx"), -1},
    {STR("2026-11-24T12:00:00Z\0"), -1},
    {STR(" 2026-11-24T12:00:00Z"), -1},
    {STR("2026-11-24T12:00:00+8:00"), -1},
    {STR("2026-11-24T12:00:00+0800"), -1},
    {STR("2026-11-24T12:00:00+24:00"), -1},
    {STR("2026-11-24T12:00:00+08:60"), -1},
    {STR("2026-11-24T24:00:00Z"), -1},
    {STR("2026-11-24T12:60:00Z"), -1},
    {STR("2026-11-24T12:00:60Z"), -1},
    {STR("2026-13-01T12:00:00Z"), -1},
    {STR("2026-00-01T12:00:00Z"), -1},
    {STR("2026-11-31T12:00:00Z"), -1},
    {STR("2026-11-00T12:00:00Z"), -1},
    {STR("2023-02-29T12:00:00Z"), -1},
    {STR("2100-02-29T12:00:00Z"), -1},
    {STR("1969-12-31T23:59:59Z"), -1},
    {STR("1970-01-01T00:00:00+01:00"), -1},
    {STR("-026-11-24T12:00:00Z"), -1},
    {STR("20261124T120000Z"), -1},
};

static void times_are_parsed_exactly(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        int64_t wall_ms = -1;

        if (clock_parse(CASES[i].text, &wall_ms) != (CASES[i].wall_ms >= 0))
            fail_msg("%s", CASES[i].text.ptr);
        if (CASES[i].wall_ms >= 0)
            assert_true(wall_ms == CASES[i].wall_ms);
    }
}

static void times_are_written_and_read_again(void **state)
{
    static const int64_t times[] = {0, 1, 999, 1795521600123, 253402300799999};
    char text[CLOCK_RFC3339_SIZE];
    int64_t again;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        clock_format(times[i], text);
        assert_int_equal(strlen(text), CLOCK_RFC3339_SIZE - 1);
        assert_true(clock_parse(str_of(text), &again));
        assert_true(again == times[i]);
    }
    clock_format(1795521600007, text);
    assert_string_equal(text, "2026-11-24T12:00:00.007Z");
}

static void http_has_a_form_of_its_own(void **state)
{
    char text[CLOCK_HTTP_SIZE];

    (void)state;
    clock_format_http(784111777999, text); /* RFC 9110 section 5.6.7 */
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static void clocks_stand_where_they_were_set(void **state)
{
    (void)state;
    clock_set(5, 7);
    clock_tick();
    assert_int_equal(clock_now_ms(), 5);
    assert_int_equal(clock_wall_ms(), 7);
    clock_set(-1, -1);
    assert_true(clock_wall_ms() > 1600000000000);
}

static void clocks_are_cached_until_the_tick(void **state)
{
    struct timespec ts;
    int64_t before;
    int64_t real_ms;

    (void)state;
    clock_set(-1, -1);
    before = clock_now_ms();
    do {
        assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
        real_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    } while (real_ms == before);
    assert_true(clock_now_ms() == before);
    clock_tick();
    assert_true(clock_now_ms() >= real_ms);
}

static void the_shared_clock_goes_on_by_itself(void **state)
{
    (void)state;
    clock_set(1000, 500000);
    assert_int_equal(clock_shared_ms(), 500000); /* nobody told another one */
    clock_set(-1, -1);
    clock_share(7000000, clock_now_ms() - 40);
    assert_int_equal(clock_shared_ms(), 7000040);
    assert_true(clock_wall_ms() > 1600000000000);
}

/* On a machine whose clock nobody has set yet. */
static void a_time_before_1970_is_taken_for_1970(void **state)
{
    static const struct timespec EARLY = {.tv_sec = -157766400};
    char text[CLOCK_RFC3339_SIZE];

    (void)state;
    wall = &EARLY;
    clock_tick();
    clock_format(clock_wall_ms(), text);
    assert_string_equal(text, "1970-01-01T00:00:00.001Z");
    wall = NULL;
    clock_tick();
    assert_true(clock_wall_ms() > 1600000000000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_parsed_exactly),
        cmocka_unit_test(times_are_written_and_read_again),
        cmocka_unit_test(http_has_a_form_of_its_own),
        cmocka_unit_test(clocks_stand_where_they_were_set),
        cmocka_unit_test(clocks_are_cached_until_the_tick),
        cmocka_unit_test(the_shared_clock_goes_on_by_itself),
        cmocka_unit_test(a_time_before_1970_is_taken_for_1970),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
