/* A template of a whole mail: languages, parts, what is wrong with a source. */
#include "smtp/message/mail_template.h"

#include "check_cmocka.h"

#include <string.h>

#define DOTS "\u2022\u2022\u2022\u2022\u2022\u2022"

/* --- a source --- */

static char told[1024]; /* "pointer: text;" each */

static void on_flaw(void *ctx, struct str pointer, const char *text)
{
    size_t len = strlen(told);

    (void)ctx;
    snprintf(told + len, sizeof told - len, "%.*s: %s;", STR_ARG(pointer),
             text);
}

static struct mail_template *compile(const char *source)
{
    told[0] = '\0';
    return mail_template_compile(str_of(source), on_flaw, NULL);
}

static const struct {
    const char *source;
    const char *flaws; /* begins with it */
} BROKEN[] = {
    {"[]", "/: is no template;"},
    {"{\"subject\":\"a\"}", "/html: or `text` must be given;"},
    {"{\"html\":\"{{#a}}\",\"text\":\"{{/b}}\"}", "/html: line 1, column 1: "},
    {"{\"html\":\"a\",\"locales\":{\"zh\":{\"html\":\"\\n{{\"}}}",
     "/locales/zh/html: line 2, column 1: "},
    {"{\"html\":\"a\",\"locales\":{\"zh\":{}}}",
     "/locales/zh/html: or `text` must be given;"},
    {"{\"html\":\"a\",\"locales\":{\"EN\":{\"html\":\"a\"}}}",
     "/locales: names a language twice, or the default one;"},
    {"{\"html\":\"a\",\"locales\":{\"a/b\":{\"html\":\"a\"}}}",
     "/locales: must have names like \"zh\" or \"pt-BR\" (BCP 47);"},
    {"{\"html\":\"a\",\"variables\":[{\"name\":\"a\",\"type\":\"text\"}]}",
     "/variables/0: a has no right type; want string, number, boolean, date, "
     "list or object;"},
    {"{\"html\":\"a\",\"variables\":[{\"name\":\"a\",\"type\":\"string\","
     "\"sensitive\":1}]}",
     "/variables/0: sensitive of a is neither true nor false;"},
};

static void what_is_no_source(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(BROKEN); i++) {
        struct mail_template *mail = compile(BROKEN[i].source);

        assert_null(mail);
        if (strncmp(told, BROKEN[i].flaws, strlen(BROKEN[i].flaws)) != 0)
            fail_msg("%s: %s", BROKEN[i].source, told);
    }
}

/* --- renderings --- */

static const struct mail_template *partial;
static char asked[64]; /* what find was asked for last */

static const struct mail_template *find(void *ctx, struct str name)
{
    (void)ctx;
    snprintf(asked, sizeof asked, "%.*s", STR_ARG(name));
    return partial;
}

/* "subject|html|text|shown|locale dir", or "! name name: error". */
static const char *render_as(struct mail_template *mail, const char *variables,
                             const char *locale, bool with_examples)
{
    static char all[1024];
    struct json *data = json_parse(str_of(variables), NULL);
    struct mail_template_request request = {.mail = mail,
                                            .variables = data,
                                            .locale = str_of(locale),
                                            .with_examples = with_examples,
                                            .find = find};
    struct mail_rendering out;
    struct error err = {0};
    size_t len;

    assert_non_null(mail);
    if (mail_template_render(&request, &out, &err)) {
        snprintf(all, sizeof all, "%.*s|%.*s|%.*s|%.*s|%.*s %s",
                 STR_ARG(buf_str(&out.subject)), STR_ARG(buf_str(&out.html)),
                 STR_ARG(out.has_text ? buf_str(&out.text) : S("-")),
                 STR_ARG(buf_str(&out.shown)), STR_ARG(out.locale), out.dir);
    } else {
        snprintf(all, sizeof all, "!");
        for (size_t i = 0; i < out.flaws.count; i++) {
            len = strlen(all);
            snprintf(all + len, sizeof all - len, " %.*s",
                     STR_ARG(out.flaws.rows[i].name));
        }
        len = strlen(all);
        snprintf(all + len, sizeof all - len, ": %s", err.text);
    }
    mail_rendering_finish(&out);
    json_destroy(&data);
    return all;
}

static const char *render(struct mail_template *mail, const char *variables,
                          const char *locale)
{
    return render_as(mail, variables, locale, false);
}

static void each_part_in_its_way(void **state)
{
    struct mail_template *mail =
        compile("{\"subject\":\"Hi {{n}}\",\"html\":\"<b>{{n}}</b>{{{n}}}\","
                "\"text\":\"{{n}}\"}");

    (void)state;
    assert_string_equal(render(mail, "{\"n\":\"<A>\"}", ""),
                        "Hi <A>|<b>&lt;A&gt;</b><A>|<A>|Hi <A>|en ltr");
    mail_template_destroy(&mail);
}

static void the_nearest_language(void **state)
{
    static const struct {
        const char *asked;
        const char *got;
    } rows[] = {
        {"", "S|en|-|S|en ltr"},          {"en", "S|en|-|S|en ltr"},
        {"fr", "S|en|-|S|en ltr"},        {"zh", "Z|zh zh|-|Z|zh ltr"},
        {"ZH_tw", "Z|zh zh|-|Z|zh ltr"},  {"ar-EG", "S|ar|-|S|ar rtl"},
        {"zh-x-a", "Z|zh zh|-|Z|zh ltr"}, {"zhx", "S|en|-|S|en ltr"},
    };
    struct mail_template *mail = compile(
        "{\"subject\":\"S\",\"html\":\"en\",\"locales\":{\"zh\":{\"subject\":"
        "\"Z\",\"html\":\"zh {{locale}}\"},\"ar\":{\"html\":\"ar\"}}}");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_string_equal(render(mail, "{}", rows[i].asked), rows[i].got);
    mail_template_destroy(&mail);
    mail = compile("{\"text\":\"{{dir}} {{locale}}\",\"default_locale\":"
                   "\"he\",\"subject\":\"1\"}");
    assert_string_equal(render(mail, "{}", "en"), "1||rtl he|1|he rtl");
    assert_string_equal(render(mail, "{\"dir\":\"up\"}", ""),
                        "1||up he|1|he rtl");
    mail_template_destroy(&mail);
    mail = compile("{\"text\":\"{{n|number}}\",\"default_locale\":\"de\","
                   "\"subject\":\"1\",\"locales\":{\"en-GB\":{\"text\":\"gb\"},"
                   "\"EN\":{\"text\":\"{{n|number}}\"}}}");
    assert_string_equal(render(mail, "{\"n\":1.5}", "zh-Hant-TW"),
                        "1||1.5|1|EN ltr");
    assert_string_equal(render(mail, "{\"n\":1.5}", "de-AT"),
                        "1||1,5|1|de ltr");
    assert_string_equal(render(mail, "{\"n\":1.5}", ""), "1||1,5|1|de ltr");
    mail_template_destroy(&mail);
}

static void all_that_is_missing(void **state)
{
    struct mail_template *mail = compile(
        "{\"subject\":\"{{a}}\",\"html\":\"{{a}}{{b}}\",\"text\":\"{{c}}{{d}}"
        "{{e}}\",\"variables\":[{\"name\":\"d\",\"type\":\"number\"},{\"name\":"
        "\"e\",\"type\":\"number\",\"default\":5},{\"name\":\"f\",\"type\":"
        "\"string\"}]}");

    (void)state;
    assert_string_equal(render(mail, "{}", ""), "! d f a b c: ");
    assert_string_equal(render(mail, "{\"d\":\"x\",\"f\":\"y\"}", ""),
                        "! d a b c: ");
    assert_string_equal(render_as(mail, "{\"a\":1,\"b\":2,\"c\":3}", "", true),
                        "1|12|315|1|en ltr");
    mail_template_destroy(&mail);
}

static void one_that_is_not_strict(void **state)
{
    struct mail_template *mail =
        compile("{\"subject\":\"s{{a}}\",\"html\":\"h{{b}}\",\"strict\":false,"
                "\"variables\":[{\"name\":\"a\",\"type\":\"number\"}]}");

    (void)state;
    assert_string_equal(render(mail, "{}", ""), "s|h|-|s|en ltr");
    assert_string_equal(render(mail, "{\"a\":\"x\"}", ""), "! a: ");
    mail_template_destroy(&mail);
}

static void a_subject_hides_what_is_sensitive(void **state)
{
    static const struct {
        const char *subject;
        const char *variables;
        const char *shown;
    } rows[] = {
        {"{{code}} for {{n}}", "\"sensitive\":true", "|" DOTS " for A1|"},
        {"{{code | number}} for {{n}}", "\"sensitive\":true", "|" DOTS "|"},
        {"{{code}} for {{n}}", "\"sensitive\":false", "|" DOTS " for A1|"},
        {"{{n}}", "\"sensitive\":true", "|A1|"},
    };
    char source[512];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mail_template *mail;

        snprintf(source, sizeof source,
                 "{\"subject\":\"%s\",\"html\":\"h\",\"variables\":[{\"name\":"
                 "\"code\",\"type\":\"string\",%s}]}",
                 rows[i].subject, rows[i].variables);
        mail = compile(source);
        assert_int_equal(mail_template_is_sensitive(mail), i != 2);
        assert_non_null(
            strstr(render(mail, "{\"code\":\"4839\",\"n\":\"A1\"}", ""),
                   rows[i].shown));
        mail_template_destroy(&mail);
    }
}

static void partials_are_of_the_same_part_and_language(void **state)
{
    struct mail_template *layout =
        compile("{\"html\":\"<p>{{$b}}{{/b}}</p>\",\"text\":\"-{{$b}}{{/b}}\","
                "\"locales\":{\"zh\":{\"html\":\"<z>{{$b}}{{/b}}</z>\"}}}");
    struct mail_template *mail = compile(
        "{\"subject\":\"s\",\"html\":\"{{<l}}{{$b}}x{{/b}}{{/l}}\",\"text\":"
        "\"{{<l}}{{$b}}y{{/b}}{{/l}}\"}");

    (void)state;
    partial = layout;
    assert_string_equal(render(mail, "{}", ""), "s|<p>x</p>|-y|s|en ltr");
    assert_string_equal(asked, "l");
    assert_string_equal(render(mail, "{}", "zh"), "! l: ");
    partial = NULL;
    assert_string_equal(render(mail, "{}", ""), "! l: ");
    mail_template_destroy(&mail);
    mail_template_destroy(&layout);
    mail = compile("{\"subject\":\"s\",\"text\":\"{{>l}}\",\"default_locale\":"
                   "\"de\"}");
    partial = layout =
        compile("{\"text\":\"foot\",\"locales\":{\"de\":{\"text\":\"Fuß\"},"
                "\"zh\":{\"text\":\"脚\"}}}");
    assert_string_equal(render(mail, "{}", "zh"), "s||脚|s|de ltr");
    assert_string_equal(render(mail, "{}", "fr"), "s||Fuß|s|de ltr");
    partial = NULL;
    mail_template_destroy(&mail);
    mail_template_destroy(&layout);
}

static void too_much_is_no_flaw(void **state)
{
    struct mail_template *mail = compile(
        "{\"subject\":\"{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}x{{/l}}{{/l}}"
        "{{/l}}{{/l}}{{/l}}{{/l}}\",\"html\":\"h\"}");

    (void)state;
    assert_true(
        strncmp(render(mail, "{\"l\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14]}", ""),
                "!: subject: ", 12) == 0);
    mail_template_destroy(&mail);
}

static void tags_of_languages(void **state)
{
    static const char *const right[] = {"en", "pt-BR", "zh_Hant_TW", "i-x"};
    static const char *const wrong[] = {"",    "-",         "en-",  "en--us",
                                        "a.b", "abcdefghi", "en us"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(right); i++)
        assert_true(locale_tag_is_sound(str_of(right[i])));
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(locale_tag_is_sound(str_of(wrong[i])));
}

/* --- surveys --- */

static void on_survey(void *ctx, const struct template_flaw *flaw)
{
    struct buf *out = ctx;

    buf_addf(out, "%s%.*s %u:%u;", flaw->kind == TEMPLATE_MISSING ? "" : ">",
             STR_ARG(flaw->name), flaw->line, flaw->column);
}

#define DECLARED                                                               \
    ",\"variables\":[{\"key\":\"a\",\"type\":\"string\",\"required\":false},"  \
    "{\"key\":\"l\",\"type\":\"list\"},"                                       \
    "{\"key\":\"o\",\"type\":\"object\",\"required\":false}]}"

/* The one partial there is has {{a}}, {{q}} and {{#z}}{{y}}{{/z}}. */
static const struct {
    const char *source;
    const char *flaws;
    const char *unused; /* dots: some was left out */
} SURVEYS[] = {
    {"{\"html\":\"{{a}} {{l}} {{o.x.y}}\"", "", ""},
    {"{\"html\":\"{{^a}}{{b}}{{/a}}\"", "b 1:9;", "lo"},
    {"{\"html\":\"{{#a}}{{.}}{{b}}{{/a}}\"", "b 1:14;", "lo"},
    {"{\"html\":\"{{#l}}{{b}}{{a}}{{/l}}{{#o}}{{#c}}{{d}}{{/c}}{{/o}}\"", "",
     ""},
    {"{\"html\":\"{{#b}}{{c}}{{/b}}\\n{{b}} {{locale}}{{dir}}\"", "b 1:4;",
     "alo"},
    {"{\"html\":\"{{b.c}}\",\"text\":\"{{b.c}}\",\"subject\":\"{{a}}\"",
     "b.c 1:3;", "lo"},
    {"{\"html\":\"{{#o}}{{>none}}{{/o}}\",\"text\":\"{{>none}}\"", ">none 1:7;",
     "al"},
    {"{\"html\":\"{{^a}}{{>part}}{{/a}}\"", "q 1:8;", "lo"},
    {"{\"html\":\"{{<part}}{{$x}}{{b}}{{/x}}{{/part}}\"", "q 1:8;b 1:18;",
     "lo"},
    {"{\"html\":\"{{>*a}}{{>*b}}{{#o}}{{>*c}}{{/o}}\"", ">text 1:5;b 1:12;",
     "l..."},
    {"{\"html\":\"{{b}}\",\"strict\":false", "b 1:3;", "alo"},
};

static const struct mail_template *find_part_alone(void *ctx, struct str name)
{
    return str_eq(name, S("part")) ? ctx : NULL;
}

static void what_is_named_and_what_is_declared(void **state)
{
    struct mail_template *part = compile(
        "{\"html\":\"{{a}}{{q}}{{#z}}{{y}}{{/z}}{{$x}}{{/x}}{{>part}}\"}");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(SURVEYS); i++) {
        char source[512];
        struct mail_template_request request = {.find = find_part_alone,
                                                .find_ctx = part};
        struct mail_template *mail;
        bool used[3] = {false};
        bool is_all;
        struct buf unused;
        struct buf told_of;

        snprintf(source, sizeof source, "%s" DECLARED, SURVEYS[i].source);
        mail = compile(source);
        request.mail = mail;
        buf_init(&told_of, 1024);
        buf_init(&unused, 8);
        is_all = mail_template_survey(&request, used, on_survey, &told_of);
        for (size_t v = 0; v < mail_template_variable_count(mail); v++)
            if (!used[v])
                buf_add(&unused, mail_template_variable(mail, v));
        if (!is_all)
            buf_add_cstr(&unused, "...");
        if (!str_eq(buf_str(&told_of), str_of(SURVEYS[i].flaws)) ||
            !str_eq(buf_str(&unused), str_of(SURVEYS[i].unused)))
            fail_msg("%s: %.*s %.*s", source, STR_ARG(buf_str(&told_of)),
                     STR_ARG(buf_str(&unused)));
        buf_finish(&unused);
        buf_finish(&told_of);
        mail_template_destroy(&mail);
    }
    mail_template_destroy(&part);
}

static void where_a_part_stands(void **state)
{
    static const struct {
        const char *locale;
        const char *part;
        const char *pointer;
    } rows[] = {
        {"", "html", "/html"},
        {"fr", "subject", "/subject"},
        {"zh-TW", "text", "/locales/zh/text"},
        {"zh", "subject", "/subject"},
        {"zh", "html", ""},
        {"", "text", ""},
    };
    struct mail_template *mail =
        compile("{\"subject\":\"a\",\"html\":\"a\",\"locales\":{\"zh\":{"
                "\"text\":\"a\"}}}");
    struct mail_template *other = compile("{\"html\":\"a\"}");

    (void)state;
    assert_int_equal(mail_template_locale_count(mail), 2);
    assert_true(str_eq(mail_template_locale(mail, 0), S("en")));
    assert_true(str_eq(mail_template_locale(mail, 1), S("zh")));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct template *program =
            mail_template_part(mail, str_of(rows[i].locale), rows[i].part);
        struct buf out;

        buf_init(&out, 64);
        assert_int_equal(mail_template_pointer(mail, program, &out),
                         rows[i].pointer[0] != '\0');
        assert_true(str_eq(buf_str(&out), str_of(rows[i].pointer)));
        assert_false(mail_template_pointer(other, program, &out));
        buf_finish(&out);
    }
    mail_template_destroy(&other);
    mail_template_destroy(&mail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_source),
        cmocka_unit_test(each_part_in_its_way),
        cmocka_unit_test(the_nearest_language),
        cmocka_unit_test(all_that_is_missing),
        cmocka_unit_test(one_that_is_not_strict),
        cmocka_unit_test(a_subject_hides_what_is_sensitive),
        cmocka_unit_test(partials_are_of_the_same_part_and_language),
        cmocka_unit_test(too_much_is_no_flaw),
        cmocka_unit_test(tags_of_languages),
        cmocka_unit_test(what_is_named_and_what_is_declared),
        cmocka_unit_test(where_a_part_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
