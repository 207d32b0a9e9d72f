/* The small pure ones: times, masks, tokens. */
#include "api/api.h"
#include "api/when.h"

#include "check_cmocka.h"

#define NOW_MS INT64_C(1795521600000) /* 2026-11-24T12:00:00Z */

static const struct {
    const char *text;
    int64_t at_ms; /* 0: none */
} TIMES[] = {
    {"2026-11-24T12:00:01Z", NOW_MS + 1000},
    {"2026-11-24T13:00:01.5+01:00", NOW_MS + 1500},
    {" 2026-11-24T12:00:00Z ", NOW_MS},
    {"in 1 minute", NOW_MS + 60000},
    {"in 10 minutes", NOW_MS + 600000},
    {"In 10 Min", NOW_MS + 600000},
    {"in 90 mins", NOW_MS + 90 * 60000},
    {"in 30s", NOW_MS + 30000},
    {"in 2 hours", NOW_MS + 7200000},
    {"in 1h", NOW_MS + 3600000},
    {"in 3 days", NOW_MS + 3 * INT64_C(86400000)},
    {"in 0 minutes", NOW_MS},
    {"", 0},
    {"in", 0},
    {"in minutes", 0},
    {"in -1 minutes", 0},
    {"in 1.5 hours", 0},
    {"in 10", 0},
    {"in 10 parsecs", 0},
    {"in 500 ms", 0},
    {"in 500ss", 0},
    {"in 99999999999999999999 days", 0},
    {"in 1000001 days", 0},
    {"10 minutes", 0},
    {"tomorrow at 9am", 0},
    {"2026-11-24", 0},
    {"1795521600", 0},
};

static void times_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(TIMES); i++) {
        int64_t at_ms = 0;
        bool ok = when_parse(str_of(TIMES[i].text), NOW_MS, &at_ms);

        if (ok != (TIMES[i].at_ms != 0) || (ok && at_ms != TIMES[i].at_ms))
            fail_msg("%s: %lld", TIMES[i].text, (long long)at_ms);
    }
}

static void a_token_holds_its_own_proof(void **state)
{
    char token[API_TOKEN_SIZE];
    char other[API_TOKEN_SIZE];

    (void)state;
    api_token_create(token);
    api_token_create(other);
    assert_string_not_equal(token, other);
    assert_int_equal(strlen(token), API_TOKEN_SIZE - 1);
    assert_true(api_token_is_sound(str_of(token)));
    for (size_t i = 0; i < API_TOKEN_SIZE - 1; i++) {
        memcpy(other, token, sizeof other);
        other[i] = other[i] == 'a' ? 'b' : 'a';
        assert_false(api_token_is_sound(str_of(other)));
        assert_false(api_token_is_sound(str_make(token, i)));
    }
    assert_false(api_token_is_sound(str_make(token, API_TOKEN_SIZE)));
    assert_false(api_token_is_sound(S("")));
    assert_false(api_token_is_sound(S("ph_test_")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(a_token_holds_its_own_proof),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
