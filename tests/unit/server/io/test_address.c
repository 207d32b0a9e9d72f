#include "server/io/address.h"

#include "check_cmocka.h"

static const struct {
    const char *host;
    const char *text; /* NULL: not numeric */
    const char *bare;
} CASES[] = {
    {"127.0.0.1", "127.0.0.1:25", "127.0.0.1"},
    {"2001:db8::1", "[2001:db8::1]:25", "2001:db8::1"},
    {"[2001:DB8::1]", "[2001:db8::1]:25", "2001:db8::1"},
    {"::ffff:192.0.2.1", "[::ffff:192.0.2.1]:25", "::ffff:192.0.2.1"},
    {"::1%lo", "[::1]:25", "::1"},
    {"::1%nosuch", NULL, NULL},
    {"[127.0.0.1]", NULL, NULL},
    {"127.1", NULL, NULL},
    {"0177.0.0.1", NULL, NULL},
    {"2130706433", NULL, NULL},
    {"1.2.3.4.5", NULL, NULL},
    {"1.2.3.4 ", NULL, NULL},
    {"1.2.3.4\n", NULL, NULL},
    {"mail.test", NULL, NULL},
    {"[", NULL, NULL},
    {"[]", NULL, NULL},
    {"", NULL, NULL},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "a",
     NULL, NULL},
};

static void only_plain_numbers_are_addresses(void **state)
{
    char text[ADDRESS_TEXT_SIZE];
    struct address address;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        bool numeric = address_parse(str_of(CASES[i].host), 25, &address);

        if (numeric != (CASES[i].text != NULL))
            fail_msg("%s", CASES[i].host);
        if (!numeric)
            continue;
        address_format(&address, text);
        assert_string_equal(text, CASES[i].text);
        address_format_host(&address, text);
        assert_string_equal(text, CASES[i].bare);
        assert_int_equal(address_port(&address), 25);
    }
}

static void paths_are_bounded(void **state)
{
    char path[200];
    char text[ADDRESS_TEXT_SIZE];
    struct address address;

    (void)state;
    memset(path, 'p', sizeof path);
    assert_true(address_of_path(str_make(path, 107), &address));
    address_format(&address, text);
    assert_int_equal(strlen(text), strlen("unix:") + 107);
    assert_int_equal(address_port(&address), 0);
    assert_false(address_of_path(str_make(path, 108), &address));
    assert_false(address_of_path(S(""), &address));
    assert_false(address_of_path(S("/a\0b"), &address));
}

static void equal_means_host_and_port(void **state)
{
    struct address a;
    struct address b;

    (void)state;
    assert_true(address_parse(S("192.0.2.1"), 25, &a));
    address_copy(&b, &a.at.any, a.len);
    assert_true(address_eq(&a, &b));
    assert_true(address_parse(S("192.0.2.1"), 26, &b));
    assert_false(address_eq(&a, &b));
    assert_true(address_parse(S("::ffff:192.0.2.1"), 25, &b));
    assert_false(address_eq(&a, &b));
    assert_true(address_parse(S("::ffff:192.0.2.1"), 25, &a));
    assert_true(address_eq(&a, &b));
    assert_true(address_of_path(S("/run/x"), &a));
    assert_true(address_of_path(S("/run/x"), &b));
    assert_true(address_eq(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_plain_numbers_are_addresses),
        cmocka_unit_test(paths_are_bounded),
        cmocka_unit_test(equal_means_host_and_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
