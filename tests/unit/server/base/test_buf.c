#include "server/base/buf.h"

#include "check_cmocka.h"

#include <stdlib.h>

static void bytes_are_appended(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    assert_null(buf.data); /* no memory before the first byte */
    assert_int_equal(buf_str(&buf).len, 0);
    buf_add(&buf, S("a\0b"));
    buf_add_char(&buf, 'c');
    buf_add_cstr(&buf, "de");
    buf_addf(&buf, "%d-%s", 42, "x");
    buf_add(&buf, (struct str){NULL, 0});
    assert_int_equal(buf.len, 10);
    assert_memory_equal(buf.data, "a\0bcde42-x", 11); /* with its NUL */
    assert_false(buf.full);
    buf_finish(&buf);
    assert_null(buf.data);
}

static void what_does_not_fit_is_not_added(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 5);
    buf_add_cstr(&buf, "abc");
    buf_add_cstr(&buf, "def");
    assert_true(buf.full);
    assert_string_equal(buf.data, "abc");
    buf_add_cstr(&buf, "de"); /* still room for less */
    assert_string_equal(buf.data, "abcde");
    assert_true(buf.full); /* and it is not forgotten */
    buf_addf(&buf, "%s", "f");
    assert_string_equal(buf.data, "abcde");
    buf_clear(&buf);
    assert_false(buf.full);
    assert_int_equal(buf.len, 0);
    buf_add_cstr(&buf, "12345");
    assert_false(buf.full);
    buf_finish(&buf);
}

static void no_size_wraps_round(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    buf_add_cstr(&buf, "abc");
    assert_null(buf_space(&buf, SIZE_MAX));
    assert_null(buf_space(&buf, SIZE_MAX - 2));
    assert_true(buf.full);
    assert_string_equal(buf.data, "abc");
    buf_finish(&buf);
}

static void space_is_written_in_place(void **state)
{
    struct buf buf;
    char *space;

    (void)state;
    buf_init(&buf, 10);
    space = buf_space(&buf, 10);
    assert_non_null(space);
    memcpy(space, "0123456789", 10);
    buf_grown(&buf, 10);
    assert_string_equal(buf.data, "0123456789");
    assert_non_null(buf_space(&buf, 0));
    assert_null(buf_space(&buf, 1));
    buf_finish(&buf);
}

static void the_front_and_the_end_are_dropped(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    buf_consume(&buf, 0);
    buf_truncate(&buf, 0);
    buf_add_cstr(&buf, "abcdef");
    buf_consume(&buf, 2);
    assert_string_equal(buf.data, "cdef");
    buf_truncate(&buf, 3);
    assert_string_equal(buf.data, "cde");
    buf_consume(&buf, 3);
    assert_string_equal(buf.data, "");
    buf_finish(&buf);
}

static void bytes_are_put_in_between(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 8);
    buf_insert(&buf, 0, S(""));
    buf_insert(&buf, 0, S("cd"));
    buf_insert(&buf, 0, S("ab"));
    buf_insert(&buf, 4, S("ef"));
    buf_insert(&buf, 2, S("--"));
    assert_string_equal(buf.data, "ab--cdef");
    buf_insert(&buf, 1, S("x"));
    assert_true(buf.full);
    assert_string_equal(buf.data, "ab--cdef");
    buf_finish(&buf);
}

static void it_grows_to_its_maximum_and_no_further(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100000);
    for (int i = 0; i < 100001; i++)
        buf_add_char(&buf, (char)('a' + i % 26));
    assert_int_equal(buf.len, 100000);
    assert_true(buf.full);
    assert_int_equal(buf.data[99999], 'a' + 99999 % 26);
    buf_finish(&buf);
}

static void bytes_are_handed_over(void **state)
{
    struct buf buf;
    size_t len;
    char *data;

    (void)state;
    buf_init(&buf, 100);
    data = buf_take(&buf, &len);
    assert_string_equal(data, "");
    assert_int_equal(len, 0);
    free(data);
    buf_add_cstr(&buf, "abc");
    data = buf_take(&buf, &len);
    assert_string_equal(data, "abc");
    assert_int_equal(len, 3);
    free(data);
    assert_int_equal(buf.len, 0);
    buf_add_cstr(&buf, "again");
    assert_string_equal(buf.data, "again");
    buf_finish(&buf);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_appended),
        cmocka_unit_test(what_does_not_fit_is_not_added),
        cmocka_unit_test(no_size_wraps_round),
        cmocka_unit_test(space_is_written_in_place),
        cmocka_unit_test(the_front_and_the_end_are_dropped),
        cmocka_unit_test(bytes_are_put_in_between),
        cmocka_unit_test(it_grows_to_its_maximum_and_no_further),
        cmocka_unit_test(bytes_are_handed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
