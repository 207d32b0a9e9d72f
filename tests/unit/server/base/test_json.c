#include "server/base/json.h"

#include "check_cmocka.h"
#include "server/base/json_quick.h"

enum { OUT_MAX = 1 << 16 };

/* What is refused, and the place and words it is refused with. */
static const struct bad_case {
    struct str text;
    const char *error;
} BAD[] = {
    {STR(""), "line 1, column 1: empty"},
    {STR("{"), "line 1, column 1: string or '}' expected"},
    {STR("{\"a\":1"), "line 1, column 6: '}' expected"},
    {STR("{\"a\":1}x"), "line 1, column 8: end of file expected"},
    {STR("{\"a\":1} {}"), "line 1, column 9: end of file expected"},
    {STR("{\"a\":1}\0"), "line 1, column 8: end of file expected"},
    {STR("\xef\xbb\xbf{}"), "line 1, column 1: begins with a byte order mark"},
    {STR("\xff\xfe{\0}\0"), "line 1, column 0: not in UTF-8"},
    {STR("{\n \"a\": 1,\n \"a\": 2}"),
     "line 3, column 4: duplicate object key near '\"a\"'"},
    {STR("{\"to\":1,\"t\\u006f\":2}"),
     "line 1, column 17: duplicate object key near '\"t\\u006f\"'"},
    {STR("[\"\\u0000\"]"), "line 1, column 9: \\u0000 is not allowed"},
    {STR("[\"\\ud800\"]"), "line 1, column 9: invalid Unicode '\\uD800'"},
    {STR("[\"\\udc00\"]"), "line 1, column 9: invalid Unicode '\\uDC00'"},
    {STR("[\"\xc0\xaf\"]"), "line 1, column 2: not in UTF-8"},
    {STR("[\"\xed\xa0\x80\"]"), "line 1, column 2: not in UTF-8"},
    {STR("[\"a\nb\"]"), "line 1, column 3: unexpected newline"},
    {STR("[\"a\x01\"]"), "line 1, column 3: control character 0x1"},
    {STR("[1e999]"), "line 1, column 6: real number overflow"},
    {STR("[123456789012345678901]"), "line 1, column 22: too big integer"},
    {STR("[NaN]"), "line 1, column 4: invalid token"},
    {STR("['a']"), "line 1, column 2: invalid token"},
    {STR("[1,]"), "line 1, column 4: unexpected token"},
    {STR("[01]"), "line 1, column 2: invalid token"},
    {STR("// x\n{}"), "line 1, column 1: invalid token"},
    {STR("{\"code\":\"481902\" 7}"), "line 1, column 18: '}' expected"},
};

static void bad_texts_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        struct error err = {0};

        assert_null(json_parse(BAD[i].text, &err));
        assert_int_equal(err.kind, ERR_INPUT);
        assert_string_equal(err.text, BAD[i].error);
        assert_null(json_parse(BAD[i].text, NULL));
    }
}

static struct str nested(struct buf *buf, size_t depth)
{
    buf_clear(buf);
    buf_add_cstr(buf, "[\"[[\\\"[[\",\n");
    for (size_t i = 1; i < depth; i++)
        buf_add_char(buf, '[');
    for (size_t i = 1; i < depth; i++)
        buf_add_char(buf, ']');
    buf_add_char(buf, ']');
    return buf_str(buf);
}

static void depth_is_limited(void **state)
{
    struct error err = {0};
    struct json *root;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    root = json_parse(nested(&buf, JSON_DEPTH_MAX), &err);
    assert_non_null(root);
    json_destroy(&root);
    assert_null(root);
    assert_null(json_parse(nested(&buf, JSON_DEPTH_MAX + 1), &err));
    assert_string_equal(err.text, "line 2, column 32: nested too deep");
    assert_null(json_parse(nested(&buf, 100000), &err));
    buf_finish(&buf);
}

/* "[0,0,0]": count values, the list among them. */
static struct str many(struct buf *buf, size_t count)
{
    buf_clear(buf);
    buf_add_cstr(buf, "[0");
    for (size_t i = 2; i < count; i++)
        buf_add_cstr(buf, ",0");
    buf_add_cstr(buf, "]");
    return buf_str(buf);
}

/* Each takes up to 230 bytes, whatever it took in the text. */
static void their_number_is_limited(void **state)
{
    struct error err = {0};
    struct json *root;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    root = json_parse(many(&buf, JSON_VALUES_MAX), &err);
    assert_int_equal(json_count(root), JSON_VALUES_MAX - 1);
    json_destroy(&root);
    assert_null(json_parse(many(&buf, JSON_VALUES_MAX + 1), &err));
    assert_string_equal(err.text,
                        "line 1, column 524287: more than 262144 values");
    /* What stands in a string is none. */
    buf_clear(&buf);
    buf_add_char(&buf, '"');
    for (size_t i = 0; i < JSON_VALUES_MAX; i++)
        buf_add_cstr(&buf, "[,");
    buf_add_char(&buf, '"');
    root = json_parse(buf_str(&buf), &err);
    assert_int_equal(json_str(root).len, 2 * JSON_VALUES_MAX);
    json_destroy(&root);
    buf_finish(&buf);
}

static void values_are_found_and_typed(void **state)
{
    struct json *root = json_parse(
        S("{\"s\":\"a\\u00e9\",\"i\":-7,\"r\":1.5,\"t\":true,\"f\":false,"
          "\"n\":null,\"l\":[1,\"x\"],\"m\":{\"k\":9}}"),
        NULL);
    const struct json *list = json_get(root, "l");

    (void)state;
    assert_int_equal(json_type_of(root), JSON_MAP);
    assert_int_equal(json_count(root), 8);
    assert_true(str_eq(json_get_str(root, "s"), S("a\xc3\xa9")));
    assert_int_equal(json_get_int(root, "i"), -7);
    assert_true(json_get_bool(root, "t"));
    assert_false(json_get_bool(root, "f"));
    assert_int_equal(json_type_of(json_get(root, "f")), JSON_BOOL);
    assert_int_equal(json_type_of(json_get(root, "n")), JSON_NULL_VALUE);
    assert_int_equal(json_type_of(json_get(root, "r")), JSON_NUMBER);
    assert_int_equal(json_type_of(json_get(root, "i")), JSON_INT);
    assert_int_equal(json_count(list), 2);
    assert_int_equal(json_int(json_at(list, 0)), 1);
    assert_true(str_eq(json_str(json_at(list, 1)), S("x")));
    assert_int_equal(json_get_int(json_get(root, "m"), "k"), 9);
    assert_string_equal(json_type_name(json_type_of(list)), "array");
    json_destroy(&root);
}

static void what_is_missing_is_empty(void **state)
{
    struct json *root = json_parse(S("[7]"), NULL);
    const struct json *none = json_get(root, "a");
    void *at = NULL;
    struct str name;

    (void)state;
    assert_null(none);
    assert_int_equal(json_type_of(none), JSON_MISSING);
    assert_null(json_get(none, "b"));
    assert_null(json_at(none, 0));
    assert_null(json_at(root, 1));
    assert_int_equal(json_count(none), 0);
    assert_int_equal(json_str(none).len, 0);
    assert_int_equal(json_str(json_at(root, 0)).len, 0);
    assert_int_equal(json_int(none), 0);
    assert_false(json_bool(json_at(root, 0)));
    assert_false(json_next(root, &at, &name, &none));
    json_destroy(&root);
    json_destroy(&root);
}

static void a_root_may_be_any_value(void **state)
{
    struct json *root = json_parse(S(" \"x\" "), NULL);

    (void)state;
    assert_int_equal(json_type_of(root), JSON_TEXT);
    json_destroy(&root);
}

static void members_come_in_their_order(void **state)
{
    static const char *const want[] = {"z", "a", "m", "b", "y", "c"};
    struct json *root = json_parse(
        S("{\"z\":0,\"a\":1,\"m\":2,\"b\":3,\"y\":4,\"c\":5}"), NULL);
    const struct json *value;
    struct str name;
    void *at = NULL;
    int64_t count = 0;

    (void)state;
    while (json_next(root, &at, &name, &value)) {
        assert_true(str_eq(name, str_of(want[count])));
        assert_int_equal(json_int(value), count);
        count++;
    }
    assert_int_equal(count, 6);
    json_destroy(&root);
}

static void fractions_are_dumped_short(void **state)
{
    static const char text[] = "[1.1,0.1,2.2,1.21,5.5,0.30000000000000004]";
    struct error err = {0};
    struct json *root = json_parse(str_of(text), &err);
    struct buf buf;

    (void)state;
    buf_init(&buf, 1024);
    json_dump(root, &buf);
    assert_string_equal(buf.data, text);
    buf_finish(&buf);
    json_destroy(&root);
}

static void dumping_gives_the_text_again(void **state)
{
    static const char text[] =
        "{\"z\":[1,-2,0.5,1e100,true,false,null,\"\",{},[]],"
        "\"a\":{\"\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f\"},"
        "\"u\":\"\xe2\x80\xa8\xf0\x9f\x98\x80\"}";
    struct json *root = json_parse(str_of(text), NULL);
    struct buf buf;

    (void)state;
    buf_init(&buf, OUT_MAX);
    json_dump(root, &buf);
    assert_string_equal(buf.data, text);
    json_destroy(&root);
    buf_finish(&buf);
}

/* What the quick reader takes, and what it leaves to the library. */
static const struct quick_case {
    const char *text;
    bool is_quick;
} QUICK[] = {
    {"{\"from\":\"Shop <a@example.com>\",\"to\":[\"b@example.org\"]}", true},
    {" { \"a\" : [ ] ,\n\t\"b\" : { } , \"c\" : [ { } , [ ] ] } \r\n", true},
    {"[\"\",\"a\\nb\",\"\\r\\t\\b\\f\\/\\\\\\\"\",\"\\n\"]", true},
    {"[\"\xe2\x80\xa8\xf0\x9f\x98\x80\x7f\"]", true},
    {"[0,-0,1,-1,999999999999999999,-999999999999999999]", true},
    {"[true,false,null]", true},
    {"\"x\"", true},
    {"-7", true},
    {"[\"\\u00e9\"]", false},
    {"{\"a\\n\":1}", false},
    {"[1.5,1e3,2E-1]", false},
    {"[1000000000000000000,-9223372036854775808]", false},
};

/* The same text inside a list that the library must read. */
static struct json *by_library(const char *text)
{
    struct json *root;
    struct buf buf;

    buf_init(&buf, OUT_MAX);
    buf_addf(&buf, "[0.5,%s]", text);
    assert_null(json_quick(buf_str(&buf)));
    root = json_parse(buf_str(&buf), NULL);
    assert_non_null(root);
    buf_finish(&buf);
    return root;
}

static void both_readers_read_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(QUICK); i++) {
        struct json *quick = json_quick(str_of(QUICK[i].text));
        struct json *root = by_library(QUICK[i].text);
        struct buf ours;
        struct buf theirs;

        assert_int_equal(quick != NULL, QUICK[i].is_quick);
        buf_init(&ours, OUT_MAX);
        buf_init(&theirs, OUT_MAX);
        json_dump(quick, &ours);
        json_dump(json_at(root, 1), &theirs);
        if (QUICK[i].is_quick)
            assert_string_equal(ours.data, theirs.data);
        json_destroy(&quick);
        json_destroy(&root);
        buf_finish(&ours);
        buf_finish(&theirs);
    }
}

/* Faults are the library's to tell. */
static void the_quick_reader_takes_nothing_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++)
        assert_null(json_quick(BAD[i].text));
}

static void writing_nests_and_separates(void **state)
{
    struct json_out out;
    struct buf buf;

    (void)state;
    buf_init(&buf, OUT_MAX);
    json_out_init(&out, &buf);
    json_open_map(&out);
    json_add_cstr(&out, "object", "list");
    json_name(&out, "data");
    json_open_list(&out);
    json_open_map(&out);
    json_close_map(&out);
    json_open_map(&out);
    json_add_int(&out, "min", INT64_MIN);
    json_add_bool(&out, "ok", true);
    json_close_map(&out);
    json_open_list(&out);
    json_close_list(&out);
    json_put_str(&out, S("a\0b"));
    json_put_raw(&out, S("{\"raw\":1}"));
    json_put_int(&out, 2);
    json_close_list(&out);
    json_add_null(&out, "none");
    json_add_time(&out, "at", 1795521600123);
    json_add_str(&out, "q\"", S("\x1f"));
    json_close_map(&out);
    assert_string_equal(
        buf.data, "{\"object\":\"list\",\"data\":[{},"
                  "{\"min\":-9223372036854775808,\"ok\":true},[],"
                  "\"a\\u0000b\",{\"raw\":1},2],\"none\":null,"
                  "\"at\":\"2026-11-24T12:00:00.123Z\",\"q\\\"\":\"\\u001f\"}");
    buf_finish(&buf);
}

/* Each byte at each place of a word: what is written is read again. */
static void every_byte_is_escaped_wherever_it_stands(void **state)
{
    struct json *root;
    struct buf buf;
    char text[24];

    (void)state;
    buf_init(&buf, OUT_MAX);
    for (int c = 1; c < 0x80; c++) {
        for (size_t at = 0; at < 16; at++) {
            struct json_out out;

            memset(text, 'a', sizeof text);
            text[at] = (char)c;
            text[at + 7] = (char)c;
            buf_clear(&buf);
            json_out_init(&out, &buf);
            json_put_str(&out, str_make(text, sizeof text));
            root = json_parse(buf_str(&buf), NULL);
            assert_true(str_eq(json_str(root), str_make(text, sizeof text)));
            assert_false(str_has_control(buf_str(&buf)));
            json_destroy(&root);
        }
    }
    buf_finish(&buf);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(their_number_is_limited),
        cmocka_unit_test(values_are_found_and_typed),
        cmocka_unit_test(what_is_missing_is_empty),
        cmocka_unit_test(a_root_may_be_any_value),
        cmocka_unit_test(members_come_in_their_order),
        cmocka_unit_test(dumping_gives_the_text_again),
        cmocka_unit_test(fractions_are_dumped_short),
        cmocka_unit_test(both_readers_read_the_same),
        cmocka_unit_test(the_quick_reader_takes_nothing_bad),
        cmocka_unit_test(writing_nests_and_separates),
        cmocka_unit_test(every_byte_is_escaped_wherever_it_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
