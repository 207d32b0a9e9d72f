/* What the rules of Mustache (test_template_spec.c) do not say: errors,
 * strictness, escaping, limits, filters. */
#include "smtp/message/template.h"

#include "server/base/mem.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <stdlib.h>

/* --- what is no template --- */

static const struct {
    const char *source;
    const char *error;
} BROKEN[] = {
    {"Dear {{name", "line 1, column 6: found {{name, which is never closed; "
                    "want }}"},
    {"{{{name}}", "line 1, column 1: found {{{name}}, which is never closed; "
                  "want }}}"},
    {"a\n\xc3\xa9 {{}}", "line 2, column 3: found {{}}, which has no name; "
                         "want {{name}}"},
    {"{{first name}}",
     "line 1, column 1: found {{first name}}; a name holds no blanks: write "
     "first_name, or user.name for a name in an object"},
    {"{{a..b}}", "line 1, column 1: found {{a..b}}, with nothing before or "
                 "behind a dot; want names joined by single dots, like "
                 "user.name"},
    {"\n{{#a}}x", "line 2, column 1: found {{#a}}, which is never ended; want "
                  "{{/a}}"},
    {"{{#a}}\n{{/b}}", "line 2, column 1: found {{/b}}; want {{/a}}, which "
                       "ends {{#a}} of line 1"},
    {"x{{/b}}", "line 1, column 2: found {{/b}}, but nothing is open here; "
                "take it away, or open it before"},
    {"{{#a}}{{#b}}{{/a}}{{/b}}", "line 1, column 13: found {{/a}}; want "
                                 "{{/b}}, which ends {{#b}} of line 1"},
    {"{{=a=}}", "line 1, column 1: found {{=a=}}; want two delimiters with a "
                "blank between them, of 1 to 16 characters without = and "
                "blanks: {{=<% %>=}}"},
    {"{{<p}}{{name}}{{/p}}", "line 1, column 7: found {{name}} within {{<p}}; "
                             "only blocks ({{$name}}) may stand there"},
    {"{{a|dat}}", "line 1, column 1: there is no filter \"dat\" (did you mean "
                  "date?); want date, time, number, currency, url, "
                  "choose, filled, link, mailto, color or contrast"},
    {"{{a|currency}}", "line 1, column 1: found \"\" behind the filter "
                       "currency:; it takes three capital letters like "
                       "\"EUR\""},
    {"{{a|url|url|url|url|url}}",
     "line 1, column 1: more than 4 filters for one value"},
    {"\xff", "is not valid UTF-8"},
};

static void broken_templates_are_explained(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BROKEN); i++) {
        struct error err = {0};

        assert_null(template_compile(str_of(BROKEN[i].source), true, &err));
        assert_int_equal(err.kind, ERR_INPUT);
        assert_string_equal(err.text, BROKEN[i].error);
    }
}

static void size_and_depth_are_bounded(void **state)
{
    static const char open[] = "{{#a}}";
    char *big = xcalloc(1, TEMPLATE_SOURCE_MAX + 1);
    struct error err = {0};
    struct buf deep;

    (void)state;
    memset(big, 'a', TEMPLATE_SOURCE_MAX + 1);
    assert_null(
        template_compile(str_make(big, TEMPLATE_SOURCE_MAX + 1), false, &err));
    assert_string_equal(err.text, "has 524289 bytes; want at most 524288");
    free(big);
    buf_init(&deep, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_add(&deep, str_of(open));
    err = (struct error){0};
    assert_null(template_compile(
        str_slice(buf_str(&deep), 0, 33 * (sizeof open - 1)), false, &err));
    assert_non_null(strstr(err.text, "line 1, column 193: {{#a}} is nested "
                                     "deeper than 32"));
    buf_finish(&deep);
}

static void tags_and_names_are_bounded(void **state)
{
    static const char tag[] = "{{a}}";
    struct template *program;
    struct error err = {0};
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < TEMPLATE_TAGS_MAX; i++)
        buf_add(&text, str_of(tag));
    program = template_compile(buf_str(&text), false, &err);
    assert_non_null(program);
    template_destroy(&program);
    buf_add(&text, str_of(tag));
    assert_null(template_compile(buf_str(&text), false, &err));
    assert_string_equal(err.text,
                        "line 1, column 100001: more than 20000 tags; a "
                        "section over a list ({{#items}}) or a partial "
                        "({{>name}}) needs fewer");
    buf_clear(&text);
    buf_addf(&text, "{{%0129d}}", 0);
    assert_null(template_compile(buf_str(&text), false, &err));
    assert_non_null(strstr(err.text, "whose name has 129 bytes; want at most "
                                     "128"));
    buf_finish(&text);
}

/* --- rendering --- */

struct outcome {
    bool is_right;
    struct buf out;
    struct template_flaws flaws;
    struct error err;
};

static const struct template *find_itself(void *ctx, struct str name)
{
    return str_eq(name, S("self")) ? *(struct template **)ctx : NULL;
}

static struct outcome render(const char *source, const char *data,
                             struct template_options options)
{
    struct outcome outcome = {0};
    struct template *program =
        template_compile(str_of(source), true, &outcome.err);
    struct json *root = json_parse(str_of(data), &outcome.err);

    CHECK(program != NULL && root != NULL);
    options.find = find_itself;
    options.find_ctx = &program;
    buf_init(&outcome.out, 1 << 16);
    outcome.is_right = template_render(program, root, &options, &outcome.out,
                                       &outcome.flaws, &outcome.err);
    buf_add_char(&outcome.out, '\0');
    json_destroy(&root);
    template_destroy(&program);
    return outcome;
}

static void check_output(const char *source, const char *data,
                         struct template_options options, const char *wanted)
{
    struct outcome outcome = render(source, data, options);

    assert_string_equal(outcome.err.text, "");
    assert_true(outcome.is_right);
    assert_string_equal(outcome.out.data, wanted);
    buf_finish(&outcome.out);
}

static void check_refusal(const char *source, const char *data,
                          const char *error)
{
    struct outcome outcome = render(source, data, (struct template_options){0});

    assert_false(outcome.is_right);
    assert_int_equal(outcome.err.kind, ERR_INPUT);
    assert_string_equal(outcome.err.text, error);
    buf_finish(&outcome.out);
}

static void every_missing_variable_is_told(void **state)
{
    struct outcome outcome;

    (void)state;
    check_refusal("{{code}} {{user.name}} {{code}} {{nil}} {{list}} {{>no}}",
                  "{\"nil\":null,\"list\":[1],\"user\":{}}",
                  "code is missing; user.name is missing; nil is null; list "
                  "is an array or object, not a text or number; no is no "
                  "known partial");
    check_refusal("{{#rows}}{{k}}{{/rows}}", "{\"rows\":[{\"k\":1},{}]}",
                  "k is missing");
    check_refusal("{{>*which}}", "{}", "which is missing");
    outcome = render("a\n {{x}}{{y}}", "{}", (struct template_options){0});
    assert_int_equal(outcome.flaws.count, 2);
    assert_int_equal(outcome.flaws.rows[1].line, 2);
    assert_int_equal(outcome.flaws.rows[1].column, 9);
    buf_finish(&outcome.out);
}

static void many_missing_variables_are_counted(void **state)
{
    struct buf source;
    struct outcome outcome;

    (void)state;
    buf_init(&source, 1 << 16);
    for (int i = 0; i < TEMPLATE_FLAWS_MAX + 6; i++)
        buf_addf(&source, "{{variable_%d}}", i);
    outcome = render(source.data, "{}", (struct template_options){0});
    assert_false(outcome.is_right);
    assert_int_equal(outcome.flaws.count, TEMPLATE_FLAWS_MAX);
    assert_int_equal(outcome.flaws.more, 6);
    assert_non_null(strstr(outcome.err.text, "variable_9 is missing; "));
    assert_non_null(strstr(outcome.err.text, " more"));
    buf_finish(&outcome.out);
    buf_finish(&source);
}

/* A section asks; it does not demand. */
static void sections_may_ask_for_what_is_missing(void **state)
{
    (void)state;
    check_output("{{#a}}{{b}}{{/a}}{{^a}}no{{/a}}", "{}",
                 (struct template_options){0}, "no");
    check_output("[{{a}}]", "{}", (struct template_options){.is_lenient = true},
                 "[]");
    check_output("[{{a}}]", "{\"a\":\"\"}", (struct template_options){0}, "[]");
}

static void each_part_of_a_mail_escapes_its_way(void **state)
{
    static const char source[] = "{{a}}|{{{a}}}";
    static const char data[] = "{\"a\":\"<'1'&\\r\\n\\u007f\\\"2\\\">\"}";

    (void)state;
    check_output(source, data, (struct template_options){0},
                 "&lt;&#39;1&#39;&amp;\r\n\x7f&quot;2&quot;&gt;|"
                 "<'1'&\r\n\x7f\"2\">");
    check_output(source, data,
                 (struct template_options){.escape = TEMPLATE_TEXT},
                 "<'1'&\r\n\x7f\"2\">|<'1'&\r\n\x7f\"2\">");
    check_output(source, data,
                 (struct template_options){.escape = TEMPLATE_LINE},
                 "<'1'&   \"2\">|<'1'&   \"2\">");
}

static void recursion_ends(void **state)
{
    (void)state;
    check_refusal("a{{>self}}", "{}",
                  "partials nest too deep: one within itself?");
    check_refusal(" {{>self}}\n{{<self}}{{$b}}{{/b}}{{/self}}", "{}",
                  "partials nest too deep: one within itself?");
}

static void steps_and_output_are_bounded(void **state)
{
    static const char nested[] =
        "{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{/l}}{{/l}}{{/l}}{{/l}}"
        "{{/l}}{{/l}}{{/l}}";

    (void)state;
    check_refusal(nested, "{\"l\":[1,2,3,4,5,6,7,8,9,10]}",
                  "takes too many steps: over a million tags, look-ups and "
                  "filters");
    /* No output, but much work. */
    check_refusal("{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{a|url|date}}{{/l}}{{/l}}"
                  "{{/l}}{{/l}}{{/l}}",
                  "{\"a\":\"x\",\"l\":[1,2,3,4,5,6,7,8,9,10]}",
                  "takes too many steps: over a million tags, look-ups and "
                  "filters");
    check_refusal("{{#l}}{{#l}}{{#l}}{{#l}}aaaaaaaaaa{{/l}}{{/l}}{{/l}}{{/l}}",
                  "{\"l\":[1,2,3,4,5,6,7,8,9,10]}", "the output is too big");
}

/* --- filters --- */

static const struct {
    const char *source;
    const char *locale;
    const char *output;
} FILTERED[] = {
    {"{{day | date}}", "", "Nov 24, 2026"},
    {"{{day | date:short}}", "en", "11/24/26"},
    {"{{day | date:\"long\"}}", "en-US", "November 24, 2026"},
    {"{{day|date:'full'}}", "en", "Tuesday, November 24, 2026"},
    {"{{day|date:full}}", "EN_gb", "Tuesday, 24 November 2026"},
    {"{{day|date:full}}", "zh-CN", "2026年11月24日星期二"},
    {"{{day|date:short}}", "zh-Hant-TW", "2026/11/24"},
    {"{{day|date:full}}", "de-AT", "Dienstag, 24. November 2026"},
    {"{{day|date:full}}", "fr", "mardi 24 novembre 2026"},
    {"{{day|date:long}}", "es-MX", "24 de noviembre de 2026"},
    {"{{day|date:long}}", "ja", "2026年11月24日"},
    {"{{day|date:long}}", "he", "24 בנובמבר 2026"},
    {"{{day|date:long}}", "ar", "24 نوفمبر 2026"},
    {"{{day|date:long}}", "xx-XX", "November 24, 2026"},
    {"{{time|date:long}} {{time|time}}", "en", "November 25, 2026 12:05 AM"},
    {"{{time|time}}", "de", "00:05"},
    {"{{time|time}}", "zh-TW", "00:05"},
    {"{{time|time}}", "zh-Hant", "上午12:05"},
    {"{{unix|date}} {{unix|time}}", "en", "Jan 1, 1970 1:00 PM"},
    {"{{big|number}}", "en", "1,234,567.891"},
    {"{{big|number:2}}", "de", "1.234.567,89"},
    {"{{big|number:0}}", "fr", "1\u202f234\u202f568"},
    {"{{small|number}} {{big|number:1}}", "es", "1234 1.234.567,9"},
    {"{{nines|number:2}} {{minus|number:0}}", "en", "1,000.00 0"},
    {"{{small|currency:\"USD\"}}", "en", "$1,234.00"},
    {"{{small|currency:EUR}}", "de", "1.234,00\u00a0€"},
    {"{{small|currency:CNY}}", "zh", "¥1,234.00"},
    {"{{small|currency:JPY}}", "en", "¥1,234"},
    {"{{small|currency:CHF}}", "en", "CHF\u00a01,234.00"},
    {"{{small|currency:KWD}}", "fr", "1\u202f234,000\u00a0KWD"},
    {"{{debt|currency:USD}}", "en", "-$12.35"},
    {"https://x.io/?q={{path|url}}", "", "https://x.io/?q=a%2Fb%20%C3%A9%26"},
    {"{{path|url|url}}", "", "a%252Fb%2520%25C3%25A9%2526"},
    {"{{small|choose:\"1=minute,minutes\"}}", "", "minutes"},
    {"{{one|choose:\"1=minute,minutes\"}}", "", "minute"},
    {"{{word|choose:\"low=a,high=b\"}}", "", "b"},
    {"{{word|filled}}", "", "high"},
    {"{{link|link}}", "", "https://x.io/a?b=c&amp;d=%20#e"},
    {"{{{mail|link}}}", "", "mailto:a@b.c"},
    {"{{who|mailto}}", "", "mailto:a%2Bb@x.io"},
    {"{{trick|mailto}}", "", "mailto:a%3Fcc%3D1@x.io"},
    {"{{pale|color}} {{pale|contrast}}", "", "#ffeecc #000000"},
    {"{{deep|color}} {{deep|contrast}}", "", "#0b3d91 #ffffff"},
};

static void filters_speak_the_language_of_the_reader(void **state)
{
    static const char data[] =
        "{\"day\":\"2026-11-24\",\"time\":\"2026-11-25T00:05:00+08:00\","
        "\"unix\":46800,\"big\":\"1234567.891\",\"small\":1234,"
        "\"nines\":999.999,\"minus\":-0.4,\"debt\":-12.345,"
        "\"path\":\"a/b \xc3\xa9&\",\"one\":1,\"word\":\"high\","
        "\"link\":\"https://x.io/a?b=c&d=%20#e\",\"mail\":\"mailto:a@b.c\","
        "\"who\":\"a+b@x.io\",\"trick\":\"a?cc=1@x.io\","
        "\"pale\":\"#fec\",\"deep\":\"#0B3D91\"}";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(FILTERED); i++)
        check_output(
            FILTERED[i].source, data,
            (struct template_options){.locale = str_of(FILTERED[i].locale)},
            FILTERED[i].output);
}

static void filters_refuse_what_they_cannot_take(void **state)
{
    (void)state;
    check_refusal("{{a|number}} {{b|currency:EUR}}",
                  "{\"a\":\"many\",\"b\":\"1e9\"}",
                  "a has a wrong value (want a number like 1234.5); b has a "
                  "wrong value (want a number like 1234.5)");
    check_refusal("{{a|date}}", "{\"a\":\"2026-02-30\"}",
                  "a has a wrong value (want a date like 2026-11-24, a time "
                  "like 2026-11-24T09:30:00Z, or seconds since 1970)");
    check_refusal("{{a|number}}", "{}", "a is missing");
    check_refusal("{{a|choose:'x=1,y=2'}}", "{\"a\":\"z\"}",
                  "a has a wrong value (want one of the values that its filter "
                  "choose lists)");
    check_output("[{{a|number}}]", "{\"a\":\"x\"}",
                 (struct template_options){.is_lenient = true}, "[]");
}

/* What must not be blank; what is to stand in an attribute of html and could do
 * more than it should. */
static const struct {
    const char *filter;
    const char *value;
} UNFIT[] = {
    {"filled", ""},
    {"filled", " \\t\\n"},
    {"link", ""},
    {"link", "x.io/a"},
    {"link", "//x.io/a"},
    {"link", "javascript:alert(1)"},
    {"link", " https://x.io"},
    {"link", "https://x.io/a b"},
    {"link", "https://x.io/\\\"x"},
    {"link", "https://x.io/\\nx"},
    {"link", "https://x.io/<x>"},
    {"link", "https:///x"},
    {"link", "https://"},
    {"link", "data:text/html,x"},
    {"link", "mailto:?cc=a@b.c"},
    {"mailto", "x.io"},
    {"mailto", "@x.io"},
    {"mailto", "a@"},
    {"mailto", "a@b@c"},
    {"mailto", "a@x.io,b@x.io"},
    {"mailto", "A <a@x.io>"},
    {"color", "red"},
    {"color", "#12345"},
    {"color", "#12345g"},
    {"color", "#fff;x:y"},
    {"color", "fff"},
    {"contrast", "#ff"},
};

static void filters_refuse_what_is_less_or_more_than_that(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(UNFIT); i++) {
        char source[64];
        char data[64];
        struct outcome outcome;

        snprintf(source, sizeof source, "{{a|%s}}", UNFIT[i].filter);
        snprintf(data, sizeof data, "{\"a\":\"%s\"}", UNFIT[i].value);
        outcome = render(source, data, (struct template_options){0});
        assert_false(outcome.is_right);
        assert_int_equal(outcome.flaws.rows[0].kind, TEMPLATE_BAD_VALUE);
        buf_finish(&outcome.out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_refuse_what_is_less_or_more_than_that),
        cmocka_unit_test(broken_templates_are_explained),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(tags_and_names_are_bounded),
        cmocka_unit_test(every_missing_variable_is_told),
        cmocka_unit_test(many_missing_variables_are_counted),
        cmocka_unit_test(sections_may_ask_for_what_is_missing),
        cmocka_unit_test(each_part_of_a_mail_escapes_its_way),
        cmocka_unit_test(recursion_ends),
        cmocka_unit_test(steps_and_output_are_bounded),
        cmocka_unit_test(filters_speak_the_language_of_the_reader),
        cmocka_unit_test(filters_refuse_what_they_cannot_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
