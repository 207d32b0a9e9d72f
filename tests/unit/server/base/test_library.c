#include "server/base/library.h"

#include "check_cmocka.h"

static double (*cosine)(double angle);
static void (*nothing)(void);

static void functions_are_found(void **state)
{
    static const struct library_function FUNCTIONS[] = {{"cos", &cosine}};
    static const struct library LIBRARY = {"libm.so.6", "this test needs libm",
                                           FUNCTIONS, COUNT_OF(FUNCTIONS)};
    struct error err;

    (void)state;
    assert_true(library_load(&LIBRARY, &err));
    assert_true(cosine(0) == 1);
}

static void what_is_missing_is_named(void **state)
{
    static const struct library_function FUNCTIONS[] = {
        {"posthaste_no_such_function", &nothing}};
    static const struct library NO_FUNCTION = {
        "libm.so.6", "this test needs libm", FUNCTIONS, COUNT_OF(FUNCTIONS)};
    static const struct library NO_FILE = {
        "libposthaste-none.so.1", "this test needs none (package libnone1)",
        FUNCTIONS, COUNT_OF(FUNCTIONS)};
    struct error err;

    (void)state;
    assert_false(library_load(&NO_FILE, &err));
    assert_int_equal(err.kind, ERR_SYSTEM);
    assert_string_equal(err.text,
                        "this test needs none (package libnone1): "
                        "libposthaste-none.so.1: cannot open shared object "
                        "file: No such file or directory");
    assert_false(library_load(&NO_FUNCTION, &err));
    assert_non_null(strstr(err.text, "posthaste_no_such_function"));
    assert_null(nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_found),
        cmocka_unit_test(what_is_missing_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
