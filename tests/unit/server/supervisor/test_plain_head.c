#include "server/supervisor/plain_head.h"

#include "check_cmocka.h"

static const struct {
    const char *name;
    struct str bytes;
    unsigned status;
    const char *method; /* of a 200 */
    const char *path;
} CASES[] = {
    {"plain", STR("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"), 200, "GET",
     "/livez"},
    {"without fields", STR("GET /livez HTTP/1.0\r\n\r\n"), 200, "GET",
     "/livez"},
    {"with a query", STR("HEAD /livez?x=/y HTTP/1.1\r\n\r\n"), 200, "HEAD",
     "/livez"},
    {"whole URL", STR("GET http://h:1/livez HTTP/1.1\r\n\r\n"), 200, "GET",
     "/livez"},
    {"whole URL without a path", STR("GET HTTP://h HTTP/1.1\r\n\r\n"), 200,
     "GET", "/"},
    {"lines that end in LF alone", STR("GET /livez HTTP/1.1\nHost: h\n\n"), 200,
     "GET", "/livez"},
    {"empty lines in front", STR("\r\n\r\nGET /livez HTTP/1.1\r\n\r\n"), 200,
     "GET", "/livez"},
    {"behind it a body", STR("POST /livez HTTP/1.1\r\n\r\nGET / HTTP/1.1"), 200,
     "POST", "/livez"},
    {"nothing", STR(""), 0, NULL, NULL},
    {"half a line", STR("GET /live"), 0, NULL, NULL},
    {"one line", STR("GET /livez HTTP/1.1\r\n"), 0, NULL, NULL},
    {"fields without their end", STR("GET /livez HTTP/1.1\r\nHost: h\r\n"), 0,
     NULL, NULL},
    {"no version", STR("GET /livez\r\n\r\n"), 400, NULL, NULL},
    {"one word", STR("GET\r\n\r\n"), 400, NULL, NULL},
    {"four words", STR("GET /livez HTTP/1.1 x\r\n\r\n"), 400, NULL, NULL},
    {"two blanks", STR("GET  /livez HTTP/1.1\r\n\r\n"), 400, NULL, NULL},
    {"no method", STR(" /livez HTTP/1.1\r\n\r\n"), 400, NULL, NULL},
    {"no path", STR("GET livez HTTP/1.1\r\n\r\n"), 400, NULL, NULL},
    {"NUL", STR("GET /livez\0 HTTP/1.1\r\n\r\n"), 400, NULL, NULL},
    {"not HTTP", STR("EHLO me you SMTP\r\n\r\n"), 400, NULL, NULL},
    {"another HTTP", STR("PRI / HTTP/2.0\r\n\r\n"), 505, NULL, NULL},
};

static void heads_are_read_or_refused(void **state)
{
    struct plain_head head;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        if (plain_head_read(CASES[i].bytes, &head) != CASES[i].status)
            fail_msg("%s", CASES[i].name);
        if (CASES[i].status == 200 &&
            (!str_eq(head.method, str_of(CASES[i].method)) ||
             !str_eq(head.path, str_of(CASES[i].path))))
            fail_msg("%s: %.*s of %.*s", CASES[i].name, STR_ARG(head.method),
                     STR_ARG(head.path));
    }
}

static void the_first_accept_is_read(void **state)
{
    static const struct {
        struct str bytes;
        const char *accept;
    } FIELDS[] = {
        {STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), ""},
        {STR("GET / HTTP/1.1\r\nHost: h\r\nACCEPT:\t a/b;q=1 \r\n\r\n"),
         "a/b;q=1"},
        {STR("GET / HTTP/1.1\nAccept-Encoding: gzip\nAccept: a\nAccept: b\n\n"),
         "a"},
        {STR("GET / HTTP/1.1\r\nAccept\r\n\r\nAccept: a"), ""},
    };
    struct plain_head head;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(FIELDS); i++) {
        assert_int_equal(plain_head_read(FIELDS[i].bytes, &head), 200);
        assert_true(str_eq(head.accept, str_of(FIELDS[i].accept)));
    }
}

static void no_head_is_longer_than_its_limit(void **state)
{
    static char bytes[PLAIN_HEAD_MAX];
    struct plain_head head;

    (void)state;
    memset(bytes, '\n', sizeof bytes);
    assert_int_equal(plain_head_read(str_make(bytes, sizeof bytes - 1), &head),
                     0);
    assert_int_equal(plain_head_read(str_make(bytes, sizeof bytes), &head),
                     431);
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(plain_head_read(str_make(bytes, sizeof bytes - 1), &head),
                     0);
    assert_int_equal(plain_head_read(str_make(bytes, sizeof bytes), &head),
                     431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_read_or_refused),
        cmocka_unit_test(the_first_accept_is_read),
        cmocka_unit_test(no_head_is_longer_than_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
