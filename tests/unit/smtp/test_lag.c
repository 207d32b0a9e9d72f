/* The 95th percentile of the last 256 times. */
#include "smtp/lag.h"

#include "check_cmocka.h"

#include <stdlib.h>

enum { NOTES = 5000 };

static void a_few_tell_nothing(void **state)
{
    struct lag lag = {0};

    (void)state;
    assert_int_equal(lag_p95_ms(&lag), LAG_UNKNOWN_MS);
    for (int i = 0; i < LAG_SAMPLES_MIN - 1; i++)
        lag_note(&lag, 7);
    assert_int_equal(lag_p95_ms(&lag), LAG_UNKNOWN_MS);
    lag_note(&lag, 7);
    assert_int_equal(lag_p95_ms(&lag), 7);
}

static void what_is_slow(void **state)
{
    struct lag lag = {0};

    (void)state;
    for (int i = 1; i <= 100; i++)
        lag_note(&lag, i);
    assert_int_equal(lag_p95_ms(&lag), 95);
    lag_note_more(&lag, 95); /* may come to be 95, too */
    assert_int_equal(lag.count, 100);
    lag_note_more(&lag, 96);
    assert_int_equal(lag.count, 101);
    assert_int_equal(lag_p95_ms(&lag), 96);
}

static void any_number_is_taken(void **state)
{
    struct lag lag = {0};

    (void)state;
    for (int i = 0; i < LAG_SAMPLES; i++)
        lag_note(&lag, i % 2 == 0 ? -5 : INT64_MAX);
    assert_int_equal(lag.sorted_ms[0], 0);
    assert_int_equal(lag_p95_ms(&lag), UINT32_MAX);
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *left = a;
    const uint32_t *right = b;

    return *left < *right ? -1 : *left > *right;
}

/* Against all of them sorted anew each time. */
static void the_oldest_go(void **state)
{
    static uint32_t all[NOTES];
    struct lag lag = {0};
    uint32_t seed = 2463534242u;

    (void)state;
    for (size_t i = 0; i < NOTES; i++) {
        uint32_t last[LAG_SAMPLES];
        size_t count = i + 1 < LAG_SAMPLES ? i + 1 : LAG_SAMPLES;

        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        all[i] = seed % (i % 3 == 0 ? 10 : 1000);
        lag_note(&lag, all[i]);
        for (size_t k = 0; k < count; k++)
            last[k] = all[i - k];
        qsort(last, count, sizeof last[0], by_size);
        assert_int_equal(lag.count, count);
        assert_memory_equal(lag.sorted_ms, last, count * sizeof last[0]);
    }
    assert_int_equal(lag_p95_ms(&lag), lag.sorted_ms[243]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_tell_nothing),
        cmocka_unit_test(what_is_slow),
        cmocka_unit_test(any_number_is_taken),
        cmocka_unit_test(the_oldest_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
