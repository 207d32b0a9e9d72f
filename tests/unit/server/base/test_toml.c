#include "server/base/toml.h"

#include "server/base/buf.h"

#include "check_cmocka.h"

#include <stdio.h>

enum { OUT_MAX = 1 << 16 };

static struct buf out;

static int setup(void **state)
{
    *state = arena_create();
    buf_init(&out, OUT_MAX);
    return 0;
}

static int teardown(void **state)
{
    struct arena *arena = *state;

    arena_destroy(&arena);
    buf_finish(&out);
    return 0;
}

static void note_problem(void *ctx, struct toml_place place, const char *text)
{
    (void)ctx;
    buf_addf(&out, "%u:%u %s\n", place.line, place.column, text);
}

/* The problems, and then what was understood, one member a line. */
static const char *parsed(struct arena *arena, struct str text)
{
    struct toml_table *table;

    buf_clear(&out);
    table = toml_parse(text, arena, note_problem, NULL);
    for (; table != NULL; table = table->next) {
        if (table->name.len > 0)
            buf_addf(&out, table->is_repeated ? "[[%.*s]]\n" : "[%.*s]\n",
                     STR_ARG(table->name));
        for (struct toml_member *m = table->members; m != NULL; m = m->next) {
            buf_addf(&out, "%.*s=", STR_ARG(m->name));
            toml_write(&m->value, &out);
            buf_add_char(&out, '\n');
        }
    }
    return out.len == 0 ? "" : out.data;
}

static const struct toml_case {
    const char *name;
    struct str text;
    const char *parsed;
} CASES[] = {
    {"nothing", STR(""), ""},
    {"blank lines and comments", STR("\n \t\n# x\n  # y\r\n"), ""},
    {"a key", STR("a = 1"), "a=1\n"},
    {"no blanks", STR("a=1\nb=2"), "a=1\nb=2\n"},
    {"bare keys", STR("A-b_9 = 1"), "A-b_9=1\n"},
    {"a numeric key", STR("12 = 1"), "12=1\n"},
    {"CRLF", STR("a = 1\r\n[t]\r\nb = 2\r\n"), "a=1\n[t]\nb=2\n"},
    {"comment behind a value", STR("a = 1 # one\n"), "a=1\n"},
    {"a hash in a string", STR("a = \"#\" # one\n"), "a=\"#\"\n"},
    {"tables", STR("[a]\nx=1\n[b] # b\n[ c ]\nx=2\n"),
     "[a]\nx=1\n[b]\n[c]\nx=2\n"},
    {"repeated tables", STR("[[a]]\nx=1\n[[a]]\nx=2\n"),
     "[[a]]\nx=1\n[[a]]\nx=2\n"},
    {"integers", STR("a=0\nb=-0\nc=+7\nd=1_000\ne=9223372036854775807"),
     "a=0\nb=0\nc=7\nd=1000\ne=9223372036854775807\n"},
    {"booleans", STR("a=true\nb=false"), "a=true\nb=false\n"},
    {"basic string",
     STR("a=\"x\\t\\n\\\"\\\\\\u00e9\\u20AC\\U0001F600 \xc3\xa9\""),
     "a=\"x\\u0009\\u000a\\\"\\\\\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 "
     "\xc3\xa9\"\n"},
    {"literal string", STR("a='x\\n\"'"), "a=\"x\\\\n\\\"\"\n"},
    {"empty strings", STR("a=\"\"\nb=''"), "a=\"\"\nb=\"\"\n"},
    {"a list", STR("a = [1, \"b\", true, [], [ 'c', ], ]"),
     "a=[1, \"b\", true, [], [\"c\"]]\n"},
    {"a list over lines", STR("a = [ # first\n  1,\r\n\n  2 # two\n  , 3\n]"),
     "a=[1, 2, 3]\n"},

    {"key twice", STR("a=1\nb=2\n a=3\n"),
     "3:2 \"a\" was already set in line 1\na=1\nb=2\n"},
    {"same key in two tables", STR("[t]\na=1\n[u]\na=1\n"),
     "[t]\na=1\n[u]\na=1\n"},
    {"table twice", STR("[t]\na=1\n[t]\nb=2\n"),
     "3:2 [t] was already defined in line 1\n[t]\na=1\n"},
    {"table and repeated table", STR("[t]\n[[t]]\na=1"),
     "2:3 [t] was already defined in line 1\n[t]\n"},
    {"repeated table and table", STR("[[t]]\n[t]\n"),
     "2:2 [t] was already defined in line 1\n[[t]]\n"},
    {"header not closed", STR("[t\na=1\n[u]\n"), "1:3 expected ]\n[u]\n"},
    {"repeated header half closed", STR("[[t]\n"), "1:4 expected ]]\n"},
    {"empty header", STR("[]\n"), "1:2 expected a key\n"},
    {"text behind a header", STR("[t] x\na=1\n[u]"),
     "1:5 expected the end of the line\n[u]\n"},
    {"dotted header", STR("[a.b]\n"),
     "1:3 dotted keys are not supported here\n"},
    {"dotted key", STR("a.b = 1\nc=1"),
     "1:2 dotted keys are not supported here\nc=1\n"},
    {"quoted key", STR("\"a\" = 1\n"),
     "1:1 quoted keys are not supported here\n"},
    {"no equals sign", STR("a\nb=1"), "1:2 expected = after \"a\"\nb=1\n"},
    {"colon", STR("a: 1\n"), "1:2 expected = after \"a\"\n"},
    {"no value", STR("a =\nb=1\n"), "1:4 expected a value\nb=1\n"},
    {"no value, but a comment", STR("a = # x\n"), "1:5 expected a value\n"},
    {"two values", STR("a = 1 2\nb=1"),
     "1:7 expected the end of the line\nb=1\n"},
    {"no key", STR("= 1\n"), "1:1 expected a key\n"},
    {"bare text", STR("a = starttls\n"), "1:5 text is written in quotes\n"},
    {"capital boolean", STR("a = True\n"), "1:5 text is written in quotes\n"},
    {"float", STR("a = 1.5\n"),
     "1:5 not a decimal integer; durations, sizes and the like are written in "
     "quotes\n"},
    {"duration without quotes", STR("a = 10s\n"),
     "1:5 not a decimal integer; durations, sizes and the like are written in "
     "quotes\n"},
    {"leading zero", STR("a = 007\n"),
     "1:5 not a decimal integer; durations, sizes and the like are written in "
     "quotes\n"},
    {"hexadecimal", STR("a = 0x10\n"),
     "1:5 not a decimal integer; durations, sizes and the like are written in "
     "quotes\n"},
    {"underscores at the edges", STR("a = 1_\n"),
     "1:5 not a decimal integer; durations, sizes and the like are written in "
     "quotes\n"},
    {"too big", STR("a = 9223372036854775808\n"),
     "1:5 not a decimal integer; durations, sizes and the like are written in "
     "quotes\n"},
    {"date", STR("a = 2026-11-24T12:00:00Z\n"),
     "1:5 not a decimal integer; durations, sizes and the like are written in "
     "quotes\n"},
    {"inline table", STR("a = { b = 1 }\nc=1"),
     "1:5 inline tables are not supported here\nc=1\n"},
    {"multi-line string", STR("a = \"\"\"\nx\"\"\"\nb=1"),
     "1:5 multi-line strings are not supported here\nb=1\n"},
    {"string not closed", STR("a = \"x\nb=1\n"),
     "1:5 string without closing \"\nb=1\n"},
    {"literal not closed", STR("a = 'x"), "1:5 string without closing '\n"},
    {"unknown escape", STR("a = \"C:\\dir\"\n"),
     "1:8 unknown escape; write \\\\ for a backslash\n"},
    {"short \\u", STR("a = \"\\u12\"\n"), "1:10 expected 4 hex digits\n"},
    {"surrogate", STR("a = \"\\ud800\"\n"),
     "1:8 not a character that may stand here\n"},
    {"NUL by escape", STR("a = \"\\u0000\"\n"),
     "1:8 not a character that may stand here\n"},
    {"control in a string", STR("a = \"\x1b\"\n"),
     "1:6 control character in a string\n"},
    {"control in a comment", STR("a = 1 # \x01\n"),
     "1:9 control character in a comment\n"},
    {"lone CR", STR("a = 1\rb = 2\n"), "1:6 expected the end of the line\n"},
    {"list not closed", STR("a = [1,\n2\n"),
     "3:1 expected , or ] after an item\n"},
    {"list ends with the text", STR("a = [1,\n"),
     "1:5 array without closing ]\n"},
    {"list without comma", STR("a = [1 2]\nb=1"),
     "1:8 expected , or ] after an item\nb=1\n"},
    {"two commas", STR("a = [1,,2]\n"), "1:8 expected a value\n"},
    {"bad item over lines: one problem, then on at the next key",
     STR("a = [\n  \"x\",\n  y,\n  [\"z\"],\n]\nb = 1\n"),
     "3:3 text is written in quotes\nb=1\n"},
    {"lists too deep", STR("a = [[[[[1]]]]]\n"),
     "1:9 arrays nested too deep\n"},
    {"columns count characters", STR("\xc3\xa9\xe2\x82\xac = 1\n"),
     "1:1 expected a key\n"},
    {"columns behind characters", STR("a = \"\xc3\xa9\xe2\x82\xac\" x\n"),
     "1:10 expected the end of the line\n"},
    {"several problems", STR("a = x\n[b\nc = 1\n d = y\n[e]\nf = 1 1\n"),
     "1:5 text is written in quotes\n2:3 expected ]\n"
     "4:6 text is written in quotes\n6:7 expected the end of the line\n[e]\n"},
    {"byte order mark",
     STR("\xef\xbb\xbf"
         "a = 1\n"),
     "1:1 begins with a byte order mark\n"},
    {"not UTF-8", STR("a = 1\nb = \"\xc3\xa9\xff\"\n"), "2:7 not UTF-8 text\n"},
    {"NUL", STR("a = 1\n\0"), "2:1 not UTF-8 text\n"},
};

static void texts_are_understood_or_refused(void **state)
{
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        const char *got = parsed(*state, CASES[i].text);

        if (strcmp(got, CASES[i].parsed) != 0)
            print_error("%s\n", CASES[i].name);
        assert_string_equal(got, CASES[i].parsed);
    }
}

static void sizes_are_limited(void **state)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    for (int i = 0; i < 1002; i++)
        buf_addf(&text, "k%d=1\n", i);
    assert_non_null(strstr(parsed(*state, buf_str(&text)),
                           "1001:1 too many keys in one table\n"));
    buf_clear(&text);
    buf_add_cstr(&text, "a = \"");
    for (int i = 0; i < 70000; i++)
        buf_add_char(&text, 'x');
    buf_add_cstr(&text, "\"\n");
    assert_string_equal(parsed(*state, buf_str(&text)),
                        "1:5 string too long\n");
    buf_clear(&text);
    for (int i = 0; i < 1002; i++)
        buf_addf(&text, "[[t]]\n");
    assert_non_null(
        strstr(parsed(*state, buf_str(&text)), ":3 too many tables\n"));
    buf_finish(&text);
}

static void one_value_can_be_parsed(void **state)
{
    struct toml_value value = {0};

    assert_true(
        toml_parse_value(S(" [1, 'x'] "), *state, &value, note_problem, NULL));
    assert_int_equal(value.count, 2);
    assert_false(
        toml_parse_value(S("1 x"), *state, &value, note_problem, NULL));
    assert_false(toml_parse_value(S(""), *state, &value, note_problem, NULL));
    assert_string_equal(out.data, "1:3 expected the end of the value\n"
                                  "1:1 expected a value\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(texts_are_understood_or_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sizes_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(one_value_can_be_parsed, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
