#include "server/base/codec.h"

#include "check_cmocka.h"

enum { OUT_MAX = 4096 };

static void assert_bytes(const struct buf *buf, struct str want)
{
    assert_int_equal(buf->len, want.len);
    assert_memory_equal(buf->data, want.ptr, want.len);
}

/* RFC 4648 section 10, and the two digits in which the alphabets differ. */
static const struct base64_case {
    struct str plain;
    struct str text;
    struct str url;
} BASE64_CASES[] = {
    {STR(""), STR(""), STR("")},
    {STR("f"), STR("Zg=="), STR("Zg")},
    {STR("fo"), STR("Zm8="), STR("Zm8")},
    {STR("foo"), STR("Zm9v"), STR("Zm9v")},
    {STR("foob"), STR("Zm9vYg=="), STR("Zm9vYg")},
    {STR("fooba"), STR("Zm9vYmE="), STR("Zm9vYmE")},
    {STR("foobar"), STR("Zm9vYmFy"), STR("Zm9vYmFy")},
    {STR("\xfb\xff\xbf"), STR("+/+/"), STR("-_-_")},
    {STR("\0\0"), STR("AAA="), STR("AAA")},
};

static void base64_goes_both_ways(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < COUNT_OF(BASE64_CASES); i++) {
        const struct base64_case *c = &BASE64_CASES[i];

        buf_clear(&out);
        codec_base64_add(&out, c->plain);
        assert_true(str_eq(buf_str(&out), c->text));
        buf_clear(&out);
        codec_base64url_add(&out, c->plain);
        assert_true(str_eq(buf_str(&out), c->url));
        buf_clear(&out);
        assert_true(codec_base64_decode(c->text, &out));
        assert_true(str_eq(buf_str(&out), c->plain));
        buf_clear(&out);
        assert_true(codec_base64url_decode(c->url, &out));
        assert_true(str_eq(buf_str(&out), c->plain));
    }
    buf_finish(&out);
}

static void base64_refuses_what_is_not_exact(void **state)
{
    static const struct str bad[] = {
        STR("Z"),        STR("Zg"),       STR("Zg="),       STR("Zg==="),
        STR("Zh=="),     STR("Zm9="),     STR("Zm9v\n"),    STR("Zm9v Zm9v"),
        STR("Zm9-"),     STR("Zm9_"),     STR("=Zm9"),      STR("Zg==Zg=="),
        STR("===="),     STR("Zm\0v"),    STR("Zm9\xc3"),   STR("Zm9v\r\nZm9v"),
        STR("Zm9vZ==="), STR("data:Zm9"), STR("Zm9v====="),
    };
    static const struct str bad_url[] = {
        STR("Z"),    STR("Zg=="), STR("Zm8="),  STR("Zm9+"),
        STR("Zm9/"), STR("Zh"),   STR("Zm9vY"), STR("Zm9v "),
    };
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    buf_add_cstr(&out, "before");
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(codec_base64_decode(bad[i], &out));
    for (size_t i = 0; i < COUNT_OF(bad_url); i++)
        assert_false(codec_base64url_decode(bad_url[i], &out));
    assert_bytes(&out, S("before"));
    buf_finish(&out);
}

static void decoding_stays_within_the_maximum(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 5);
    assert_false(codec_base64_decode(S("Zm9vYmFy"), &out));
    assert_true(out.full);
    assert_int_equal(out.len, 0);
    buf_clear(&out);
    assert_true(codec_base64_decode(S("Zm9vYmE="), &out));
    buf_finish(&out);
}

static void hex_goes_both_ways(void **state)
{
    static const struct str bad[] = {STR("0"), STR("0g"), STR("0x"), STR("a b"),
                                     STR("\0\0")};
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    codec_hex_add(&out, S("\0\x7f\xff"));
    assert_bytes(&out, S("007fff"));
    buf_clear(&out);
    assert_true(codec_hex_decode(S("007FfF"), &out));
    assert_bytes(&out, S("\0\x7f\xff"));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(codec_hex_decode(bad[i], &out));
    assert_bytes(&out, S("\0\x7f\xff"));
    buf_finish(&out);
}

static void percent_is_decoded(void **state)
{
    static const struct str bad[] = {STR("%"), STR("%4"), STR("a%4"),
                                     STR("%zz"), STR("%%41")};
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    assert_true(codec_percent_decode(S("a+b%20c%2Fd%c3%a9%00"), &out));
    assert_bytes(&out, S("a+b c/d\xc3\xa9\0"));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(codec_percent_decode(bad[i], &out));
    assert_bytes(&out, S("a+b c/d\xc3\xa9\0"));
    buf_finish(&out);
}

/* The table of RFC 3629 section 4, at its edges. */
static const struct utf8_case {
    const char *name;
    struct str text;
    bool valid;
} UTF8_CASES[] = {
    {"empty", STR(""), true},
    {"NUL", STR("\0"), true},
    {"ASCII, longer than a word", STR("0123456789abcdef~"), true},
    {"two bytes, first and last", STR("\xc2\x80\xdf\xbf"), true},
    {"three bytes, first", STR("\xe0\xa0\x80"), true},
    {"before the surrogates", STR("\xed\x9f\xbf"), true},
    {"after the surrogates", STR("\xee\x80\x80\xef\xbf\xbf"), true},
    {"four bytes, first and last", STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
     true},
    {"a lone continuation", STR("\x80"), false},
    {"overlong slash", STR("\xc0\xaf"), false},
    {"overlong in two bytes", STR("\xc1\xbf"), false},
    {"overlong in three bytes", STR("\xe0\x9f\xbf"), false},
    {"overlong in four bytes", STR("\xf0\x8f\xbf\xbf"), false},
    {"first surrogate", STR("\xed\xa0\x80"), false},
    {"last surrogate", STR("\xed\xbf\xbf"), false},
    {"above U+10FFFF", STR("\xf4\x90\x80\x80"), false},
    {"five bytes", STR("\xf8\x88\x80\x80\x80"), false},
    {"cut after one of two", STR("12345678\xc3"), false},
    {"cut after two of three", STR("\xe2\x82"), false},
    {"cut after three of four", STR("\xf0\x9f\x98"), false},
    {"ASCII where a continuation belongs", STR("\xe2\x82z"), false},
    {"0xff", STR("abcdefgh\xff"), false},
};

static void utf8_is_judged_by_rfc_3629(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(UTF8_CASES); i++) {
        const struct utf8_case *c = &UTF8_CASES[i];

        if (utf8_is_valid(c->text) != c->valid)
            fail_msg("%s", c->name);
    }
}

static void utf8_gives_code_points(void **state)
{
    static const uint32_t want[] = {'a', 0xe9, 0x20ac, 0x1f600};
    struct str rest = S("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff");
    uint32_t code;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_true(utf8_next(&rest, &code));
        assert_int_equal(code, want[i]);
    }
    assert_false(utf8_next(&rest, &code));
    assert_int_equal(rest.len, 1);
    rest = S("");
    assert_false(utf8_next(&rest, &code));
}

static void utf8_is_cut_between_code_points(void **state)
{
    struct str text = S("a\xf0\x9f\x98\x80"
                        "b");

    (void)state;
    assert_int_equal(utf8_cut(text, 0), 0);
    for (size_t max = 1; max < 5; max++)
        assert_int_equal(utf8_cut(text, max), 1);
    assert_int_equal(utf8_cut(text, 5), 5);
    assert_int_equal(utf8_cut(text, 6), 6);
    assert_int_equal(utf8_cut(text, 99), 6);
}

static void unclean_text_is_made_fit_to_print(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    utf8_clean_add(&out, S("a\x1b[31m\r\n\x7f\xc2\x9b\xff\xe2\x82\xac\0"), 99);
    assert_bytes(&out, S("a?[31m?????\xe2\x82\xac?"));
    buf_clear(&out);
    utf8_clean_add(&out,
                   S("ab\xe2\x82\xac"
                     "cd"),
                   4);
    assert_bytes(&out, S("ab"));
    buf_finish(&out);
}

static void ascii_is_told_from_the_rest(void **state)
{
    (void)state;
    assert_true(utf8_is_ascii(S("")));
    assert_true(utf8_is_ascii(S("0123456789\x7f")));
    assert_false(utf8_is_ascii(S("01234567\x80")));
    assert_false(utf8_is_ascii(S("\xc3\xa9xxxxxxxxxxx")));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_goes_both_ways),
        cmocka_unit_test(base64_refuses_what_is_not_exact),
        cmocka_unit_test(decoding_stays_within_the_maximum),
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(percent_is_decoded),
        cmocka_unit_test(utf8_is_judged_by_rfc_3629),
        cmocka_unit_test(utf8_gives_code_points),
        cmocka_unit_test(utf8_is_cut_between_code_points),
        cmocka_unit_test(unclean_text_is_made_fit_to_print),
        cmocka_unit_test(ascii_is_told_from_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
