#include "smtp/message/encode.h"

#include "check_cmocka.h"

#include <string.h>

#define A10  "aaaaaaaaaa"
#define A70  A10 A10 A10 A10 A10 A10 A10
#define A100 A70 A10 A10 A10
#define A998 A100 A100 A100 A100 A100 A100 A100 A100 A100 A70 A10 A10 "aaaaaaaa"

static const struct {
    struct str text;
    struct str canonical;
} LINES[] = {
    {STR(""), STR("")},
    {STR("a"), STR("a")},
    {STR("a\nb\rc\r\nd"), STR("a\r\nb\r\nc\r\nd")},
    {STR("\n\r"), STR("\r\n\r\n")},
    {STR("\r\r\n"), STR("\r\n\r\n")},
    {STR("a\n.\r\n.\n"), STR("a\r\n.\r\n.\r\n")},
};

static void every_line_end_becomes_crlf(void **state)
{
    struct arena *arena = arena_create();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(LINES); i++) {
        struct str copy = canonical_copy(arena, LINES[i].text);

        assert_true(str_eq(copy, LINES[i].canonical));
        assert_int_equal(canonical_len(LINES[i].text), copy.len);
    }
    arena_destroy(&arena);
}

static const struct {
    struct str text;
    bool fits;
} SEVEN_BIT[] = {
    {STR(""), true},
    {STR("a\tb \r\n"), true},
    {STR(A998 "\r\n" A998), true},
    {STR(A998 "a"), false},
    {STR("caf\xc3\xa9"), false},
    {STR("a\0b"), false},
    {STR("a\x1b[0m"), false},
    {STR("a\r\nFrom here"), false},
    {STR("a From here"), true},
};

static void what_is_7bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SEVEN_BIT); i++)
        if (is_7bit(SEVEN_BIT[i].text) != SEVEN_BIT[i].fits)
            fail_msg("row %zu", i);
}

/* Eight bytes are looked at together, so any byte is tried at any place. */
static void a_byte_counts_wherever_it_stands(void **state)
{
    enum { LEN = 19, VALUES = 256 };
    struct arena *arena = arena_create();

    (void)state;
    for (size_t at = 0; at < LEN; at++)
        for (unsigned value = 0; value < VALUES; value++) {
            char text[LEN];
            bool ends = value == '\r' || value == '\n';

            memset(text, 'a', sizeof text);
            text[at] = (char)value;
            assert_int_equal(canonical_copy(arena, str_make(text, LEN)).len,
                             ends ? LEN + 1 : LEN);
            if (!ends)
                assert_int_equal(is_7bit(str_make(text, LEN)),
                                 value == '\t' ||
                                     (value >= ' ' && value <= '~'));
        }
    arena_destroy(&arena);
}

static const struct {
    struct str text;
    const char *encoded;
} QUOTED[] = {
    {STR(""), ""},
    {STR("a=b"), "a=3Db"},
    {STR("caf\xc3\xa9"), "caf=C3=A9"},
    {STR("a \r\nb\t\r\nc "), "a=20\r\nb=09\r\nc=20"},
    {STR("a b\tc"), "a b\tc"},
    {STR(".\r\n.a\r\nb."), "=2E\r\n=2Ea\r\nb."},
    {STR("From a\r\nxFrom b\r\nFromage"), "=46rom a\r\nxFrom b\r\nFromage"},
    {STR("-- \r\nx"), "--=20\r\nx"},
    {STR("a\0\x1b"), "a=00=1B"},
    {STR("\xff\x80"), "=FF=80"},
    /* a line of 76 needs no soft break, one of 77 does */
    {STR(A70 "123456\r\n"), A70 "123456\r\n"},
    {STR(A70 "1234567\r\n"), A70 "12345=\r\n67\r\n"},
    {STR(A70 "123456"), A70 "123456"},
    /* an escape is never torn, nor a character of several bytes */
    {STR(A70 "1234=x"), A70 "1234=\r\n=3Dx"},
    {STR(A70 "123="), A70 "123=3D"},
    {STR(A70 "\xe4\xbd\xa0\xe5\xa5\xbd"), A70 "=\r\n=E4=BD=A0=E5=A5=BD"},
    /* what follows a soft break stands at a line start */
    {STR(A70 "12345.6"), A70 "12345=\r\n=2E6"},
    {STR(A70 "12345From y"), A70 "12345=\r\n=46rom y"},
    {STR(A70 "12345 \r\n"), A70 "12345=\r\n=20\r\n"},
};

static void quoted_printable_is_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(QUOTED); i++) {
        struct buf out;

        buf_init(&out, 1024);
        assert_true(qp_add(&out, QUOTED[i].text, 512));
        buf_add_cstr(&out, "");
        assert_string_equal(out.data, QUOTED[i].encoded);
        buf_finish(&out);
    }
}

static void quoted_printable_gives_up_at_its_limit(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1024);
    buf_add(&out, S("before"));
    assert_false(qp_add(&out, S("\xe4\xbd\xa0\xe5\xa5\xbd"), 17));
    assert_true(str_eq(buf_str(&out), S("before")));
    assert_true(qp_add(&out, S("\xe4\xbd\xa0\xe5\xa5\xbd"), 18));
    buf_finish(&out);
}

static void base64_lines_have_76_characters(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 56, 57, 58, 114, 115, 1000};
    static const char zeros[1000];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct buf out;
        struct str rest;
        struct str line;

        buf_init(&out, 4096);
        base64_lines_add(&out, str_make(zeros, sizes[i]));
        assert_int_equal(out.len, base64_lines_len(sizes[i]));
        rest = buf_str(&out);
        while (str_cut(&rest, '\n', &line))
            assert_true(line.len == 77 || rest.ptr == NULL);
        buf_finish(&out);
    }
}

static const struct {
    struct str text;
    enum encoding encoding;
} CHOICES[] = {
    {STR("plain\r\n"), ENCODING_7BIT},
    {STR("un caf\xc3\xa9, s'il vous pla\xc3\xaet, et l'addition"), ENCODING_QP},
    {STR("\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd"), ENCODING_BASE64},
    {STR(A998 A998), ENCODING_QP},
};

static void the_smallest_form_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CHOICES); i++) {
        struct buf out;

        buf_init(&out, 8192);
        assert_int_equal(encode_text(&out, CHOICES[i].text),
                         CHOICES[i].encoding);
        assert_true(out.len <= base64_lines_len(CHOICES[i].text.len));
        assert_false(out.full);
        buf_finish(&out);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_end_becomes_crlf),
        cmocka_unit_test(what_is_7bit),
        cmocka_unit_test(a_byte_counts_wherever_it_stands),
        cmocka_unit_test(quoted_printable_is_exact),
        cmocka_unit_test(quoted_printable_gives_up_at_its_limit),
        cmocka_unit_test(base64_lines_have_76_characters),
        cmocka_unit_test(the_smallest_form_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
