#include "server/base/nearest.h"

#include "check_cmocka.h"

static void the_nearest_name_is_found(void **state)
{
    static const char *const NAMES[] = {
        "max_sessions", "messages_per_session", "port", "host", "tls", "auth"};
    static const struct {
        const char *wrong;
        const char *nearest;
    } CASES[] = {
        {"max_session", "max_sessions"},
        {"Max_Sessions", "max_sessions"},
        {"maxsessions", "max_sessions"},
        {"prot", "port"},
        {"hots", "host"},
        {"tsl", "tls"},
        {"username", NULL},
        {"", NULL},
        {"x", NULL},
        {"messages", "messages_per_session"},
        {"message", NULL},
        {"message_per_sesion", "messages_per_session"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        const char *got =
            nearest_name(str_of(CASES[i].wrong), NAMES, COUNT_OF(NAMES));

        assert_int_equal(got == NULL, CASES[i].nearest == NULL);
        if (got != NULL)
            assert_string_equal(got, CASES[i].nearest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_name_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
