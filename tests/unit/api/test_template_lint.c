/* Templates that lint judges without a server. */
#include "api/api.h"

#include "check_cmocka.h"

#include <string.h>

enum { TEMPLATES_MAX = 4 };

/* Names of findings: "alias locale source pointer line:column level code
 * where (example);" */
static void on_finding(void *ctx, const struct api_finding *finding)
{
    struct buf *out = ctx;

    buf_addf(out, "%.*s %.*s ", STR_ARG(finding->alias),
             STR_ARG(finding->locale.len > 0 ? finding->locale : S("-")));
    if (!str_eq(finding->source, finding->alias))
        buf_addf(out, "%.*s:", STR_ARG(finding->source));
    buf_addf(out, "%.*s", STR_ARG(finding->pointer));
    if (finding->line > 0)
        buf_addf(out, ":%u:%u", finding->line, finding->column);
    buf_addf(out, " %s %.*s", finding->level, STR_ARG(finding->code));
    if (!str_eq(finding->pointer, finding->where))
        buf_addf(out, " %.*s", STR_ARG(finding->where));
    if (finding->example.len > 0)
        buf_addf(out, " (%.*s)", STR_ARG(finding->example));
    buf_add_char(out, ';');
}

#define NAMED(members) "{\"name\":\"T\",\"alias\":null," members "}"
#define MAIL(html)     NAMED("\"subject\":\"Hello\",\"html\":\"" html "\"")
#define WITH_A(html)                                                           \
    NAMED("\"subject\":\"Hello\",\"html\":\"" html "\",\"variables\":[{"       \
          "\"key\":\"a\",\"type\":\"string\"}]")

struct row {
    const char *name;
    struct {
        const char *alias; /* "-alias": it is not wanted */
        const char *body;
    } templates[TEMPLATES_MAX];
    const char *findings;
};

static const struct row ROWS[] = {
    {"nothing is wrong", {{"m", WITH_A("<p>{{a}}</p>")}}, ""},
    {"what is no JSON, and what is no template",
     {{"a", "{"}, {"b", "[]"}, {"c", NAMED("\"subject\":\"s\"")}},
     "a -  error bad_json;b -  error type;c en /html error bad_template;"},
    {"what the server would refuse, and where",
     {{"m", NAMED("\"from\":\"nobody\",\"htm\":1,\"html\":\"h\"")}},
     "m - /htm error unknown_field;"},
    {"tags that are none, in two languages",
     {{"m",
       "{\"name\":\"T\",\"default_locale\":\"de\",\"html\":\"{{#a}}\","
       "\"locales\":{\"zh\":{\"html\":\"\\n {{/b}}\",\"text\":\"{{a\"}}}"}},
     "m de /html:1:1 error bad_template;m zh /locales/zh/html:2:2 error "
     "bad_template /html;m zh /locales/zh/text:1:1 error bad_template /text;"},
    {"an example that its filter refuses",
     {{"m", NAMED("\"subject\":\"s\",\"html\":\"<p>{{a | link}}</p>\","
                  "\"variables\":[{\"key\":\"a\",\"type\":\"string\","
                  "\"example\":\"x\"}]")}},
     "m en /html:1:6 error bad_variable /variables/a;"},
    {"a variable that nobody gives is told once, and as an error",
     {{"m", MAIL("<p>{{b}} {{b}}</p>")}},
     "m en /html:1:6 error missing_variable /variables/b;"},
    {"one where the examples do not lead",
     {{"m", WITH_A("<p>Hello{{^a}}{{b}}{{/a}}</p>")}},
     "m en /html:1:17 warning undeclared  (b);"},
    {"one that is declared and not used",
     {{"m", WITH_A("<p>Hello</p>")}},
     "m - /variables/0 advice unused (a);"},
    {"used in one language is used",
     {{"m", NAMED("\"subject\":\"s\",\"text\":\"t\",\"locales\":{\"zh\":{"
                  "\"text\":\"{{a}}\"}},\"variables\":[{\"key\":\"a\","
                  "\"type\":\"string\"}]")}},
     ""},
    {"what lint finds, by the source that it is made from",
     {{"m", NAMED("\"from\":\"noreply@a.test\",\"html\":\"<a "
                  "href='/x'>h</a>\",\"locales\":{\"zh\":{\"text\":\"t\"}}")}},
     "m en /html error link_relative (/x);m en /subject warning "
     "subject_empty;m en /from advice no_reply;m zh /subject warning "
     "subject_empty;m zh /from advice no_reply;"},
    {"a part is judged where it is used, and it alone when it is asked for",
     {{"frame", NAMED("\"html\":\"<b>{{$x}}{{/x}}{{c}}</b>\"")},
      {"m", WITH_A("{{<frame}}{{$x}}<p>{{a}}</p>{{/x}}{{/frame}}")}},
     "m en frame:/html:1:18 error missing_variable /variables/c;"},
    {"without those who use it it is a mail",
     {{"frame", NAMED("\"html\":\"<b>{{$x}}words{{/x}}</b>\"")},
      {"-m", WITH_A("{{<frame}}{{$x}}<p>{{a}}</p>{{/x}}{{/frame}}")}},
     "frame en /subject warning subject_empty;"},
    {"a part that there is not, though the examples do not lead to it",
     {{"m", WITH_A("<p>{{^a}}{{>foot}}{{/a}}{{a}}</p>")}},
     "m en /html:1:10 error no_partial  (foot);"},
    {"what a part uses whose name only real data have is not known",
     {{"m", NAMED("\"subject\":\"s\",\"html\":\"<p>Hi{{#l}}{{>*k}}{{/l}}</p>"
                  "\",\"variables\":[{\"key\":\"l\",\"type\":\"list\"},{"
                  "\"key\":\"a\",\"type\":\"string\"}]")}},
     ""},
    {"a part that is none, of one that is wanted",
     {{"-foot", NAMED("\"html\":\"{{\"")},
      {"-other", NAMED("\"html\":\"{{\"")},
      {"m", WITH_A("<p>{{>foot}}</p>")}},
     "foot en /html:1:1 error bad_template;"},
    {"the parent of built-in templates is there",
     {{"m", WITH_A("{{<builtin-layout}}{{$bar}}#fff{{/bar}}{{$words}}{{a}}"
                   "{{/words}}{{/builtin-layout}}")}},
     ""},
    {"one within itself cannot be rendered",
     {{"m", MAIL("<p>{{>m}}</p>")}},
     "m en  error not_rendered;"},
    {"what is lenient has no more than undeclared ones",
     {{"m", NAMED("\"subject\":\"s\",\"html\":\"<p>H {{b}}</p>\",\"strict\":"
                  "false")}},
     "m en /html:1:8 warning undeclared  (b);"},
};

static void each_row_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct api_template templates[TEMPLATES_MAX];
        size_t count = 0;
        struct buf out;

        for (; count < TEMPLATES_MAX; count++) {
            const char *alias = ROWS[i].templates[count].alias;

            if (alias == NULL)
                break;
            templates[count] = (struct api_template){
                .alias = str_of(alias[0] == '-' ? alias + 1 : alias),
                .body = str_of(ROWS[i].templates[count].body),
                .is_wanted = alias[0] != '-',
            };
        }
        buf_init(&out, 1 << 16);
        api_lint_templates(templates, count, CLASS_TRANSACTIONAL, on_finding,
                           &out);
        if (!str_eq(buf_str(&out), str_of(ROWS[i].findings)))
            fail_msg("%s:\n%.*s\n%s", ROWS[i].name, STR_ARG(buf_str(&out)),
                     ROWS[i].findings);
        buf_finish(&out);
    }
}

/* What is wrong with a code is known by the class alone. */
static void the_class_is_the_callers(void **state)
{
    const struct api_template one = {
        .alias = S("m"),
        .body = S(NAMED("\"subject\":\"Your code\",\"text\":\"Your "
                        "code:\\n\\n483920\\n\"")),
        .is_wanted = true,
    };
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    api_lint_templates(&one, 1, CLASS_TRANSACTIONAL, on_finding, &out);
    assert_int_equal(out.len, 0);
    api_lint_templates(&one, 1, CLASS_VERIFICATION, on_finding, &out);
    assert_string_equal(out.data, "m en /subject warning code_not_in_subject;");
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_told),
        cmocka_unit_test(the_class_is_the_callers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
