#include "server/base/error.h"

#include "check_cmocka.h"

static void an_error_has_kind_and_text(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, ERR_REMOTE, "%s: %d", "redis", 7);
    assert_int_equal(err.kind, ERR_REMOTE);
    assert_string_equal(err.text, "redis: 7");
    error_prefix(&err, "start of %s", "api");
    assert_int_equal(err.kind, ERR_REMOTE);
    assert_string_equal(err.text, "start of api: redis: 7");
    error_clear(&err);
    assert_int_equal(err.kind, ERR_NONE);
    assert_string_equal(err.text, "");
    error_set(NULL, ERR_INPUT, "nobody wants to know");
    error_prefix(NULL, "nor this");
}

static void long_texts_are_cut(void **state)
{
    struct error err;
    char big[2000];

    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    error_set(&err, ERR_INPUT, "%s", big);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    error_prefix(&err, "where");
    assert_memory_equal(err.text, "where: xxx", 10);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    error_prefix(&err, "%s", big);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_has_kind_and_text),
        cmocka_unit_test(long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
