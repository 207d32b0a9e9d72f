/* Templates over HTTP: what is stored, what is refused and where, what comes
 * out of them, in previews and in mails. */
#include "api_world.h"

#include "check_cmocka.h"

#include <string.h>

/* --- what is stored --- */

static void a_source_has_one_form(void **state)
{
    static const struct {
        const char *body;
        const char *stored;
    } rows[] = {
        {"{\"name\":\"A\",\"html\":\"<b>\",\"text\":null}",
         "|A|{\"html\":\"<b>\"}"},
        {"{\"text\":\"t\",\"name\":\"A\",\"alias\":\"a.b_c-1\",\"subject\":"
         "\"s\",\"from\":\"a@b.test\",\"reply_to\":\"c@d.test\",\"strict\":"
         "true}",
         "a.b_c-1|A|{\"from\":\"a@b.test\",\"reply_to\":[\"c@d.test\"],"
         "\"subject\":\"s\",\"text\":\"t\"}"},
        {"{\"name\":\"A\",\"html\":\"h\",\"strict\":false,\"locales\":{\"zh\":"
         "{\"text\":\"t\",\"html\":\"z\",\"subject\":null}},\"variables\":[{"
         "\"name\":\"a\",\"default\":1,\"type\":\"number\",\"required\":true,"
         "\"sensitive\":true},{\"key\":\"b\",\"type\":\"string\","
         "\"fallback_value\":null,\"required\":false,\"example\":\"x\"}]}",
         "|A|{\"html\":\"h\",\"locales\":{\"zh\":{\"html\":\"z\",\"text\":"
         "\"t\"}},\"variables\":[{\"key\":\"a\",\"type\":\"number\","
         "\"fallback_value\":1,\"sensitive\":true},{\"key\":\"b\",\"type\":"
         "\"string\",\"required\":false,\"example\":\"x\"}],\"strict\":false}"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(ask(world, "POST /v1/templates", rows[i].body), 200);
        assert_string_equal(fake.stored.data, rows[i].stored);
    }
}

static void a_change_is_of_what_it_names(void **state)
{
    struct world *world = *state;

    fake.template_source = "{\"subject\":\"s\",\"html\":\"h\",\"text\":\"t\"}";
    assert_int_equal(
        ask(world, "PATCH /v1/templates/hello",
            "{\"html\":\"new\",\"text\":null,\"current_version_id\":\"v1\"}"),
        200);
    assert_string_equal(fake.stored.data,
                        "hello|Hello|{\"subject\":\"s\",\"html\":\"new\"}");
    assert_int_equal(ask(world, "PATCH /v1/templates/hello",
                         "{\"name\":\"N\",\"alias\":null,\"html\":\"h\"}"),
                     200);
    assert_string_equal(fake.stored.data, "|N|");
    assert_int_equal(ask(world, "PATCH /v1/templates/hello",
                         "{\"html\":\"x\",\"current_version_id\":\"v0\"}"),
                     409);
    expect(world, "\"code\":\"template_changed\"");
}

/* --- what is refused --- */

static const struct {
    const char *body;
    const char *error; /* pointer and code */
} REFUSED[] = {
    {"{}", "\"/name\",\"code\":\"required\""},
    {"{\"name\":\"\",\"html\":\"h\"}", "\"/name\",\"code\":\"bad_name\""},
    {"{\"name\":\"a\"}", "\"/html\",\"code\":\"bad_template\""},
    {"{\"name\":\"a\",\"html\":\"{{#a}}\"}",
     "\"/html\",\"code\":\"bad_template\",\"message\":\"`html` line 1, column "
     "1: "},
    {"{\"name\":\"a\",\"html\":\"h\",\"locales\":{\"zh\":{\"html\":\"{{\"}}}",
     "\"/locales/zh/html\",\"code\":\"bad_template\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"locales\":{\"zh\":{\"htm\":\"{{\"}}}",
     "\"/locales/zh/htm\",\"code\":\"unknown_field\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"locales\":{\"zh\":1}}",
     "\"/locales/zh\",\"code\":\"type\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"alias\":\"-\"}",
     "\"/alias\",\"code\":\"bad_alias\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"alias\":\"" ID "\"}",
     "\"/alias\",\"code\":\"bad_alias\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"from\":\"nobody\"}", "\"/from\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"reply_to\":[\"a@b.test\",\"x\"]}",
     "\"/reply_to/1\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"subject\":\"a\\nb\"}", "\"/subject\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"default_locale\":\"e n\"}",
     "\"/default_locale\",\"code\":\"bad_locale\""},
    {"{\"name\":\"a\",\"html\":\"h\",\"variables\":[{\"key\":\"a\",\"type\":"
     "\"text\"}]}",
     "\"/variables/0\",\"code\":\"bad_template\""},
};

static void what_is_no_template(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(REFUSED); i++) {
        assert_int_equal(ask(world, "POST /v1/templates", REFUSED[i].body),
                         422);
        expect(world, REFUSED[i].error);
    }
    fake.status = QUEUE_REFUSED;
    assert_int_equal(
        ask(world, "POST /v1/templates", "{\"name\":\"a\",\"html\":\"h\"}"),
        422);
    expect(world, "\"/alias\",\"code\":\"taken\"");
}

/* --- looks --- */

static void one_is_shown(void **state)
{
    struct world *world = *state;

    fake.template_source = "{\"html\":\"h\",\"variables\":[{\"key\":\"a\","
                           "\"type\":\"string\"}]}";
    assert_int_equal(ask(world, "GET /v1/templates/hello", NULL), 200);
    expect(world,
           "{\"object\":\"template\",\"id\":\"" ID "\",\"name\":\"Hello\","
           "\"alias\":\"hello\",\"status\":\"published\",\"published_at\":"
           "\"2026-11-24T12:00:00.000Z\",\"created_at\":"
           "\"2026-11-24T12:00:00.000Z\",\"updated_at\":"
           "\"2026-11-24T12:00:00.000Z\",\"current_version_id\":\"v1\","
           "\"published_version_id\":\"v1\",\"has_unpublished_versions\":false,"
           "\"built_in\":false,\"from\":null,\"subject\":null,\"reply_to\":"
           "null,\"html\":\"h\","
           "\"text\":null,\"default_locale\":null,\"locales\":{},\"variables\":"
           "[{\"key\":\"a\",\"type\":\"string\"}],\"strict\":true}");
    assert_int_equal(ask(world, "GET /v1/templates?limit=5", NULL), 200);
    expect(world, "{\"object\":\"list\",\"has_more\":false,\"data\":[{\"id\":");
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(ask(world, "GET /v1/templates/hello", NULL), 404);
    expect(world, "Template not found");
}

static void a_copy_has_another_name(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /v1/templates/hello/duplicate", NULL),
                     200);
    assert_string_equal(fake.stored.data,
                        "|Hello (Copy)|{\"html\":\"<p>Hello\"}");
}

/* By a release that keeps longer ones. */
static void what_is_too_long_is_neither_changed_nor_copied(void **state)
{
    struct world *world = *state;
    char *source = xmalloc(TEMPLATE_VERSION_MAX + 2);

    memset(source, ' ', TEMPLATE_VERSION_MAX + 1);
    source[TEMPLATE_VERSION_MAX + 1] = '\0';
    fake.template_source = source;
    assert_int_equal(ask(world, "POST /v1/templates/hello/duplicate", NULL),
                     503);
    assert_int_equal(ask(world, "PATCH /v1/templates/hello",
                         "{\"name\":\"Other\",\"html\":\"<p>New\"}"),
                     503);
    assert_int_equal(fake.stored.len, 0);
    fake.template_source = NULL;
    free(source);
}

static void built_in_ones_are_shown_and_stay(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /v1/templates", NULL), 200);
    expect(world, "],\"built_in\":[{\"alias\":\"verification-code\","
                  "\"locales\":[\"en\",\"zh\"]},{\"alias\":"
                  "\"verification-link\",\"locales\":[\"en\",\"zh\"]},{"
                  "\"alias\":\"password-reset\",\"locales\":[\"en\",\"zh\"]},"
                  "{\"alias\":\"alert\",\"locales\":[\"en\",\"zh\"]}]}");
    assert_int_equal(ask(world, "GET /v1/templates/hello", NULL), 200);
    expect(world, "\"built_in\":false,");
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(ask(world, "GET /v1/templates/alert", NULL), 200);
    expect(world,
           "{\"object\":\"template\",\"id\":\"alert\",\"name\":\"alert\","
           "\"alias\":\"alert\",\"status\":\"published\",\"published_at\":"
           "null,\"created_at\":null,\"updated_at\":null,"
           "\"current_version_id\":\"builtin:alert\","
           "\"published_version_id\":\"builtin:alert\","
           "\"has_unpublished_versions\":false,\"built_in\":true,\"from\":"
           "null,\"subject\":\"");
    assert_int_equal(ask(world, "GET /v1/templates/none", NULL), 404);
    expect(world, "Template not found");
    assert_int_equal(
        ask(world, "PATCH /v1/templates/alert", "{\"subject\":\"x\"}"), 404);
    expect(world, "The template alert is built in. Duplicate it (POST "
                  "/v1/templates/alert/duplicate), give the copy the alias, ");
    assert_int_equal(ask(world, "DELETE /v1/templates/alert", NULL), 404);
    expect(world, "is built in");
    assert_int_equal(ask(world, "POST /v1/templates/alert/publish", NULL), 404);
    expect(world, "is built in");
}

static void a_preview_has_examples(void **state)
{
    struct world *world = *state;

    fake.template_source =
        "{\"subject\":\"{{n}}\",\"html\":\"<p>{{a}}</p>\",\"variables\":[{"
        "\"key\":\"a\",\"type\":\"string\",\"example\":\"<x>\"},{\"key\":\"n\","
        "\"type\":\"number\"}]}";
    assert_int_equal(
        ask(world, "POST /v1/templates/hello/preview", "{\"locale\":\"zh\"}"),
        200);
    expect(world, "{\"object\":\"template_preview\",\"id\":\"" ID
                  "\",\"version_id\":\"v1\",\"locale\":\"en\",\"dir\":\"ltr\","
                  "\"from\":null,\"reply_to\":[],\"signing\":null,"
                  "\"subject\":\"1\",\"html\":\"<p>&lt;x&gt;</p>\",\"text\":"
                  "\"<x>\"");
    assert_int_equal(ask(world, "POST /v1/templates/hello/preview",
                         "{\"variables\":{\"n\":\"x\"}}"),
                     422);
    expect(world, "\"/variables/n\",\"code\":\"bad_variable\"");
}

/* The body's sender, else the template's, is judged as that of a mail. */
static void a_preview_judges_its_sender(void **state)
{
    struct world *world = *state;

    fake.template_source =
        "{\"from\":\"\\\"pay@bank.test\\\" <no-reply@sender.test>\","
        "\"subject\":\"Your code\",\"text\":\"It is\\n\\n483920\"}";
    assert_int_equal(ask(world, "POST /v1/templates/hello/preview", NULL), 200);
    expect(world, "\"from\":\"\\\"pay@bank.test\\\" <no-reply@sender.test>\","
                  "\"reply_to\":[],\"signing\":{\"domain\":null,\"reason\":");
    expect(world, "\"code\":\"name_is_address\"");
    expect(world, "\"code\":\"no_reply\"");
    assert_null(strstr(buf_str(&world->client->in).ptr, "code_not_in_subject"));
    assert_int_equal(
        ask(world, "POST /v1/templates/hello/preview",
            "{\"from\":\"App <app@gmail.com>\",\"class\":\"verification\","
            "\"reply_to\":[\"a@sender.test\"]}"),
        200);
    expect(world, "\"from\":\"App <app@gmail.com>\",\"reply_to\":["
                  "\"a@sender.test\"],");
    expect(world, "\"code\":\"from_free_mail\"");
    expect(world, "\"code\":\"code_not_in_subject\"");
    assert_null(strstr(buf_str(&world->client->in).ptr, "name_is_address"));
    assert_null(strstr(buf_str(&world->client->in).ptr, "no_reply"));
    assert_int_equal(ask(world, "POST /v1/templates/hello/preview",
                         "{\"from\":\"x\",\"reply_to\":[\"a@b.test\",\"y\"],"
                         "\"class\":\"z\"}"),
                     422);
    expect(world, "\"/class\"");
    assert_int_equal(ask(world, "POST /v1/templates/hello/preview",
                         "{\"from\":\"x\",\"reply_to\":[\"a@b.test\",\"y\"]}"),
                     422);
    expect(world, "\"pointer\":\"/from\"");
    expect(world, "\"pointer\":\"/reply_to/1\"");
}

/* --- mails --- */

#define SEND(members)                                                          \
    "{\"from\":\"App <app@sender.test>\",\"to\":\"ada@inbox.test\","           \
    "\"template\":{\"id\":\"hello\"" members "}}"

static void a_mail_is_made_of_it(void **state)
{
    struct world *world = *state;

    fake.template_source = "{\"subject\":\"Hi {{n}}\",\"html\":\"<p>{{n}}\"}";
    assert_int_equal(
        ask(world, "POST /emails", SEND(",\"variables\":{\"n\":\"<A>\"}")),
        200);
    if (strstr(fake.seen.data, "subject=Hi <A>") == NULL)
        fail_msg("%s", fake.seen.data);
    assert_int_equal(ask(world, "POST /emails",
                         "{\"to\":\"ada@inbox.test\",\"template\":{\"id\":"
                         "\"hello\",\"variables\":{\"n\":1}}}"),
                     422);
    expect(world, "Missing `from` field.");
}

static void all_that_a_mail_lacks_is_told(void **state)
{
    struct world *world = *state;

    fake.template_source =
        "{\"subject\":\"{{a}}\",\"html\":\"{{b.c}}\",\"variables\":[{"
        "\"key\":\"e\",\"type\":\"number\"}]}";
    fake.enqueued = 0;
    assert_int_equal(ask(world, "POST /emails",
                         "{\"to\":\"ada\",\"template\":{\"id\":\"hello\"}}"),
                     422);
    expect(world, "\"/template/variables/e\",\"code\":\"missing_variable\"");
    expect(world, "\"/template/variables/a\",\"code\":\"missing_variable\"");
    expect(world, "\"/template/variables/b.c\",\"code\":\"missing_variable\"");
    expect(world, "\"/to\"");
    assert_int_equal(fake.enqueued, 0);
    fake.status = QUEUE_NOT_FOUND;
    pass_ms(world, 5000); /* the name is looked up again */
    assert_int_equal(ask(world, "POST /emails", SEND("")), 422);
    expect(world, "\"/template/id\",\"code\":\"no_template\"");
}

static void a_long_rendering_leaves_the_loop(void **state)
{
    struct world *world = *state;

    fake.template_source =
        "{\"subject\":\"s\",\"html\":\"{{#l}}{{#l}}{{#l}}{{#l}}x{{/l}}{{/l}}"
        "{{/l}}{{/l}}\"}";
    assert_int_equal(ask(world, "POST /emails",
                         SEND(",\"variables\":{\"l\":[1,2,3,4,5,6,7,8]}")),
                     200);
    assert_int_equal(
        ask(world, "POST /emails",
            SEND(",\"variables\":{\"l\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,"
                 "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,"
                 "36,37,38,39,40]}")),
        422);
    expect(world, "\"/template\",\"code\":\"not_rendered\"");
}

static void a_sensitive_variable_makes_a_sensitive_mail(void **state)
{
    struct world *world = *state;

    fake.template_source =
        "{\"subject\":\"{{code}} for {{n}}\",\"html\":\"h\",\"variables\":[{"
        "\"key\":\"code\",\"type\":\"string\",\"sensitive\":true}]}";
    assert_int_equal(
        ask(world, "POST /emails",
            SEND(",\"variables\":{\"code\":\"483920\",\"n\":\"A1234\"}")),
        200);
    if (strstr(fake.seen.data,
               "subject=\u2022\u2022\u2022\u2022\u2022\u2022 for A1234") ==
        NULL)
        fail_msg("%s", fake.seen.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(a_source_has_one_form),
        API_TEST(a_change_is_of_what_it_names),
        API_TEST(what_is_no_template),
        API_TEST(one_is_shown),
        API_TEST(a_copy_has_another_name),
        API_TEST(what_is_too_long_is_neither_changed_nor_copied),
        API_TEST(built_in_ones_are_shown_and_stay),
        API_TEST(a_preview_has_examples),
        API_TEST(a_preview_judges_its_sender),
        API_TEST(a_mail_is_made_of_it),
        API_TEST(all_that_a_mail_lacks_is_told),
        API_TEST(a_long_rendering_leaves_the_loop),
        API_TEST(a_sensitive_variable_makes_a_sensitive_mail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
