#include "api/email_request.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <stdlib.h>

/* 2026-11-24T12:00:00Z */
#define NOW_MS  INT64_C(1795521600000)
#define HOUR_MS INT64_C(3600000)

static const struct config CONFIG = {
    .worker = {.message_ttl_ms = 72 * HOUR_MS},
};

#define FROM          "\"from\":\"App <app@sender.test>\""
#define TO            "\"to\":\"ada@inbox.test\""
#define SUBJECT       "\"subject\":\"Hello\""
#define TEXT          "\"text\":\"Hello.\""
#define WITH(members) "{" FROM "," TO "," SUBJECT "," TEXT "," members "}"

struct world {
    struct arena *arena;
    struct email_request request;
    struct faults faults;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    world->arena = arena_create();
    faults_init(&world->faults, world->arena);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    email_request_finish(&world->request);
    arena_destroy(&world->arena);
    free(world);
    return 0;
}

static bool read_str(struct world *world, struct str body)
{
    email_request_finish(&world->request);
    faults_init(&world->faults, world->arena);
    return email_request_open(&world->request, world->arena, body,
                              &world->faults) &&
           email_request_read(&world->request, body, NULL, &CONFIG, NOW_MS,
                              &world->faults);
}

static bool read_body(struct world *world, const char *body)
{
    return read_str(world, str_of(body));
}

static void must_read(struct world *world, const char *body)
{
    if (!read_body(world, body))
        fail_msg("%s: %.*s", body, STR_ARG(world->faults.items[0].message));
}

/* One line a fault: pointer, blank, code. */
static struct str faults_text(const struct world *world)
{
    struct str text = S("");

    for (size_t i = 0; i < world->faults.count; i++)
        text = arena_printf(world->arena, "%.*s%s%.*s %.*s", STR_ARG(text),
                            i == 0 ? "" : "\n",
                            STR_ARG(world->faults.items[i].pointer),
                            STR_ARG(world->faults.items[i].code));
    return text;
}

static const struct {
    const char *name;
    const char *body;
    const char *faults; /* in order, one a line */
} REFUSED[] = {
    {"nothing", "", " bad_json"},
    {"half", "{\"to\":", " bad_json"},
    {"doubled member", "{\"to\":\"a@b.test\",\"to\":\"a@b.test\"}",
     " bad_json"},
    {"too deep",
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
     " bad_json"},
    {"not a map", "[]", " type"},
    {"an empty map", "{}",
     "/to required\n/from required\n/subject required\n/html required"},
    {"null is absent", "{" FROM ",\"to\":null," SUBJECT "," TEXT "}",
     "/to required"},
    {"no body", "{" FROM "," TO "," SUBJECT "}", "/html required"},
    {"null bodies", "{" FROM "," TO "," SUBJECT ",\"html\":null,\"text\":null}",
     "/html required"},
    {"wrong types", "{\"from\":1,\"to\":{},\"subject\":[],\"text\":true}",
     "/from type\n/to type\n/subject type\n/text type"},
    {"an empty list of recipients", "{" FROM ",\"to\":[]," SUBJECT "," TEXT "}",
     "/to empty"},
    {"elements of the wrong type",
     "{" FROM ",\"to\":[\"a@b.test\",1,null]," SUBJECT "," TEXT "}",
     "/to/1 type\n/to/2 type"},
    {"unknown members", WITH("\"subjekt\":1,\"zzz\":2"),
     "/subjekt unknown_field\n/zzz unknown_field"},
    {"everything at once",
     "{\"from\":\"nobody\",\"to\":7,\"cc\":\"x@@y\"," SUBJECT "," TEXT
     ",\"clas\":\"alert\",\"tags\":[{\"name\":\"a b\",\"value\":\"1\"}],"
     "\"scheduled_at\":\"soon\",\"sensitive\":1}",
     "/to type\n/sensitive type\n/clas unknown_field\n/from address_no_at\n"
     "/tags/0/name tag\n/scheduled_at bad_time"},
    {"a member with a slash", WITH("\"a/b~c\":1"), "/a~1b~0c unknown_field"},
    {"all addresses at once",
     "{\"from\":\"nobody\",\"to\":[\"a@b@c\",\"ok@b.test\",\"\"]," SUBJECT
     "," TEXT "}",
     "/from address_no_at\n/to/0 address_two_at\n/to/2 empty"},
    {"line ends",
     "{\"from\":\"a@b.test\\r\\nBcc: e@evil.test\",\"to\":\"a@b.test\\n\","
     "\"subject\":\"a\\rb\"," TEXT "}",
     "/from control_character\n/to control_character\n"
     "/subject control_character"},
    {"headers that are ours",
     WITH("\"headers\":{\"From\":\"x\",\"X-A\":"
          "\"1\\r\\nEvil: 1\",\"X B\":\"2\"}"),
     "/headers/From header_reserved\n/headers/X-A control_character\n"
     "/headers/X B header_name"},
    {"a header that is no text", WITH("\"headers\":{\"X-A\":1}"),
     "/headers/X-A type"},
    {"a bad Message-ID", WITH("\"headers\":{\"Message-ID\":\"x\"}"),
     "/headers/Message-ID header_message_id"},
    {"tags",
     WITH("\"tags\":[{\"name\":\"a b\",\"value\":\"1\"},"
          "{\"name\":\"a\"},7]"),
     "/tags/1/value required\n/tags/2 type"},
    {"names of tags", WITH("\"tags\":[{\"name\":\"a b\",\"value\":\"\"}]"),
     "/tags/0/name tag\n/tags/0/value tag"},
    {"metadata that is no text", WITH("\"metadata\":{\"a\":1}"),
     "/metadata/a type"},
    {"an attachment without content",
     WITH("\"attachments\":[{\"filename\":\"a.txt\"}]"),
     "/attachments/0 no_content"},
    {"an attachment to fetch",
     WITH("\"attachments\":[{\"path\":\"https://a.test/x\"}]"),
     "/attachments/0/path not_supported"},
    {"bad base64",
     WITH("\"attachments\":[{\"content\":\"YQ==\"},{\"content\":\"YQ=\"},"
          "{\"content\":\"*\"},{\"content\":\"Y\\nQ==\"}]"),
     "/attachments/1/content bad_base64\n/attachments/2/content bad_base64\n"
     "/attachments/3/content bad_base64"},
    {"names of attachments",
     WITH("\"attachments\":[{\"content\":\"YQ==\",\"filename\":\"a\\u0007\","
          "\"content_type\":\"nonsense\",\"content_id\":\"a b\"}]"),
     "/attachments/0/filename control_character\n"
     "/attachments/0/content_type content_type\n"
     "/attachments/0/content_id content_id"},
    {"unknown class", WITH("\"class\":\"verificaton\""),
     "/class unknown_value"},
    {"what is to come", WITH("\"collapse_key\":\"k\",\"upstream\":\"u\""),
     "/collapse_key not_supported\n/upstream not_supported"},
    {"a template and a text", WITH("\"template\":{\"id\":\"x\"}"),
     "/text either_or"},
    {"a template that is none",
     WITH("\"template\":{\"id\":\"\",\"variables\":[],\"lang\":\"\"}"),
     "/template/variables type\n/template/lang unknown_field\n"
     "/text either_or"},
    {"no time", WITH("\"scheduled_at\":\"tomorrow at 9am\""),
     "/scheduled_at bad_time"},
    {"a day that is none", WITH("\"scheduled_at\":\"2027-02-30T00:00:00Z\""),
     "/scheduled_at bad_time"},
    {"31 days ahead", WITH("\"scheduled_at\":\"in 31 days\""),
     "/scheduled_at too_late"},
    {"two deadlines",
     WITH("\"expires_in\":60,\"expires_at\":\"2026-11-24T13:00:00Z\""),
     "/expires_at either_or"},
    {"no seconds", WITH("\"expires_in\":0"), "/expires_in out_of_range"},
    {"seconds as text", WITH("\"expires_in\":\"60\""), "/expires_in type"},
    {"half a second", WITH("\"expires_in\":1.5"), "/expires_in type"},
    {"a deadline in the past", WITH("\"expires_at\":\"2026-11-24T12:00:00Z\""),
     "/expires_at in_the_past"},
    {"a deadline before the schedule",
     WITH("\"expires_at\":\"2026-11-24T13:00:00Z\","
          "\"scheduled_at\":\"2026-11-24T14:00:00Z\""),
     "/expires_at before_schedule"},
    {"a deadline beyond the time to live", WITH("\"expires_in\":259201"),
     "/expires_in too_late"},
    {"word for a truth value", WITH("\"sensitive\":\"yes\""),
     "/sensitive type"},
};

static void what_is_wrong_is_told_all_at_once(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(REFUSED); i++) {
        struct str found;

        if (read_body(world, REFUSED[i].body))
            fail_msg("%s: accepted", REFUSED[i].name);
        found = faults_text(world);
        if (!str_eq(found, str_of(REFUSED[i].faults)))
            fail_msg("%s: %.*s", REFUSED[i].name, STR_ARG(found));
    }
}

static void faults_have_a_kind_and_a_sentence(void **state)
{
    static const struct {
        const char *body;
        enum problem_kind kind;
        const char *message;
    } CASES[] = {
        {"{" FROM "," TO "," TEXT "}", PROBLEM_MISSING_REQUIRED_FIELD,
         "Missing `subject` field."},
        {"{\"from\":\"nobody\"," TO "," SUBJECT "," TEXT "}",
         PROBLEM_INVALID_FROM_ADDRESS,
         "`from` is no e-mail address: there is no @ (want name@domain or "
         "Name <name@domain>)."},
        {WITH("\"attachments\":[{}]"), PROBLEM_INVALID_ATTACHMENT,
         "`attachments[0]` needs `content`, in base64."},
        {WITH("\"subjekt\":\"x\""), PROBLEM_VALIDATION_ERROR,
         "`subjekt` is not a known field; did you mean `subject`?"},
        {WITH("\"class\":\"verificaton\""), PROBLEM_VALIDATION_ERROR,
         "`class` must be one of verification, reset, alert, transactional, "
         "bulk; did you mean \"verification\"?"},
        {WITH("\"tags\":[{\"name\":\"a b\",\"value\":\"1\"}]"),
         PROBLEM_VALIDATION_ERROR,
         "`tags[0].name` may hold 1 to 256 ASCII letters, digits, underscores "
         "and dashes only."},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        assert_false(read_body(world, CASES[i].body));
        assert_int_equal(world->faults.items[0].kind, CASES[i].kind);
        if (!str_eq(world->faults.items[0].message, str_of(CASES[i].message)))
            fail_msg("%.*s", STR_ARG(world->faults.items[0].message));
    }
}

static void recipients_are_numbered_and_mailed_once(void **state)
{
    struct world *world = *state;
    const struct email_request *request = &world->request;

    must_read(world, "{" FROM "," SUBJECT "," TEXT
                     ",\"to\":[\"Ada <ada@inbox.test>\",\"b@inbox.test\"],"
                     "\"cc\":\"ADA@INBOX.test\","
                     "\"bcc\":[\"c@inbox.test\",\"b@inbox.test\"],"
                     "\"reply_to\":\"help@sender.test\"}");
    assert_int_equal(request->recipient_count, 3);
    assert_int_equal(request->recipients[0].number, 0);
    assert_int_equal(request->recipients[1].number, 1);
    assert_int_equal(request->recipients[2].number, 3);
    assert_true(str_eq(request->recipients[2].box->address, S("c@inbox.test")));
    assert_int_equal(request->bcc.count, 2);
    assert_true(str_eq(request->to.texts[0], S("Ada <ada@inbox.test>")));
    assert_int_equal(request->reply_to.count, 1);
    assert_true(str_eq(request->from.domain, S("sender.test")));
}

static void fifty_recipients_are_the_most(void **state)
{
    struct world *world = *state;
    struct buf body;

    for (int count = 50; count <= 51; count++) {
        buf_init(&body, 1 << 16);
        buf_add_cstr(&body, "{" FROM "," SUBJECT "," TEXT ",\"to\":[");
        for (int i = 0; i < 20; i++)
            buf_addf(&body, "%s\"a%d@inbox.test\"", i == 0 ? "" : ",", i);
        buf_add_cstr(&body, "],\"bcc\":[");
        for (int i = 20; i < count; i++)
            buf_addf(&body, "%s\"a%d@inbox.test\"", i == 20 ? "" : ",", i);
        buf_add_cstr(&body, "]}");
        if (count == 50) {
            assert_true(read_str(world, buf_str(&body)));
            assert_int_equal(world->request.recipient_count, 50);
        } else {
            assert_false(read_str(world, buf_str(&body)));
            assert_true(
                str_eq(faults_text(world), S("/to too_many_recipients")));
        }
        email_request_finish(&world->request);
        buf_finish(&body);
    }
}

static void defaults_follow_the_class(void **state)
{
    static const struct {
        const char *class;
        bool sensitive;
        int64_t deadline_ms; /* 0: none */
        int64_t max_age_ms;
    } CASES[] = {
        {"verification", true, 600000, 0},
        {"reset", true, HOUR_MS, 0},
        {"alert", false, 24 * HOUR_MS, 0},
        {"transactional", false, 0, 72 * HOUR_MS},
        {"bulk", false, 0, 72 * HOUR_MS},
    };
    struct world *world = *state;
    const struct email_request *request = &world->request;
    char body[512];

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        snprintf(body, sizeof body, WITH("\"class\":\"%s\""), CASES[i].class);
        must_read(world, body);
        assert_string_equal(mail_class_name(request->mail_class),
                            CASES[i].class);
        assert_int_equal(request->sensitive, CASES[i].sensitive);
        assert_int_equal(
            request->expires_ms,
            CASES[i].deadline_ms == 0 ? 0 : NOW_MS + CASES[i].deadline_ms);
        assert_int_equal(request->max_age_ms, CASES[i].max_age_ms);
        assert_int_equal(request->on_unknown, ON_UNKNOWN_RETRY);
    }
    must_read(world, "{" FROM "," TO "," SUBJECT "," TEXT "}");
    assert_int_equal(request->mail_class, CLASS_TRANSACTIONAL);
    must_read(world, WITH("\"class\":\"verification\",\"sensitive\":false,"
                          "\"on_unknown\":\"hold\""));
    assert_false(request->sensitive);
    assert_int_equal(request->on_unknown, ON_UNKNOWN_HOLD);
}

static void times_count_from_the_schedule(void **state)
{
    struct world *world = *state;
    const struct email_request *request = &world->request;

    must_read(world, WITH("\"scheduled_at\":\"in 2 hours\",\"expires_in\":60"));
    assert_int_equal(request->scheduled_ms, NOW_MS + 2 * HOUR_MS);
    assert_int_equal(request->expires_ms, NOW_MS + 2 * HOUR_MS + 60000);
    assert_int_equal(request->max_age_ms, 0);
    must_read(world, WITH("\"scheduled_at\":\"2026-11-24T13:00:00+01:00\""));
    assert_int_equal(request->scheduled_ms, 0); /* that is now */
    must_read(world, WITH("\"scheduled_at\":\"2020-01-01T00:00:00Z\","
                          "\"class\":\"reset\""));
    assert_int_equal(request->scheduled_ms, 0);
    assert_int_equal(request->expires_ms, NOW_MS + HOUR_MS);
    must_read(world, WITH("\"expires_in\":259200"));
    assert_int_equal(request->expires_ms, NOW_MS + 72 * HOUR_MS);
}

static void the_bytes_of_the_body_are_what_is_stored(void **state)
{
    static const char BODY[] =
        " {" FROM ", " TO ",\n" SUBJECT "," TEXT ", \"topic_id\":null} ";
    struct world *world = *state;

    must_read(world, BODY);
    assert_ptr_equal(world->request.mail_json.ptr, BODY);
    assert_int_equal(world->request.mail_json.len, sizeof BODY - 1);
}

static void attachments_are_stored_apart(void **state)
{
    struct world *world = *state;
    const struct email_request *request = &world->request;
    struct error err;
    struct json *stored;

    must_read(world, WITH("\"attachments\":[{\"content\":\"aGVsbG8=\","
                          "\"filename\":\"h.txt\"},{\"content\":\"\","
                          "\"content_type\":\"image/png\","
                          "\"content_id\":\"logo\"}]"));
    assert_int_equal(request->attachment_count, 2);
    assert_true(str_eq(request->attachment_bytes[0].bytes, S("hello")));
    assert_int_equal(request->attachments[0].size_bytes, 5);
    assert_true(str_eq(request->attachments[0].filename, S("h.txt")));
    assert_int_equal(request->attachments[1].size_bytes, 0);
    assert_true(str_eq(request->attachments[1].content_id, S("logo")));
    stored = json_parse(request->mail_json, &err);
    assert_non_null(stored);
    assert_int_equal(json_type_of(json_get(stored, "attachments")),
                     JSON_MISSING);
    assert_true(str_eq(json_get_str(stored, "text"), S("Hello.")));
    json_destroy(&stored);
}

static void tags_metadata_and_headers_are_read(void **state)
{
    struct world *world = *state;
    const struct email_request *request = &world->request;

    must_read(world,
              WITH("\"tags\":[{\"name\":\"kind\",\"value\":\"login\"}],"
                   "\"metadata\":{\"order\":\"42\"},"
                   "\"headers\":{\"message-id\":\"<mine@sender.test>\"}"));
    assert_true(str_eq(request->tags_json,
                       S("[{\"name\":\"kind\",\"value\":\"login\"}]")));
    assert_true(str_eq(request->tags[0].value, S("login")));
    assert_true(str_eq(request->metadata_json, S("{\"order\":\"42\"}")));
    assert_true(str_eq(request->message_id, S("<mine@sender.test>")));
    must_read(world, WITH("\"tags\":[],\"metadata\":{},\"headers\":{}"));
    assert_int_equal(request->tags_json.len, 0);
    assert_int_equal(request->metadata_json.len, 0);
    assert_int_equal(request->message_id.len, 0);
}

static void two_kilobytes_of_metadata_are_the_most(void **state)
{
    struct world *world = *state;
    struct buf body;

    for (int len = 2040; len <= 2041; len++) {
        buf_init(&body, 1 << 16);
        buf_add_cstr(&body, "{" FROM "," TO "," SUBJECT "," TEXT
                            ",\"metadata\":{\"a\":\"");
        for (int i = 0; i < len; i++)
            buf_add_char(&body, 'x');
        buf_add_cstr(&body, "\"}}");
        assert_int_equal(read_str(world, buf_str(&body)), len == 2040);
        email_request_finish(&world->request);
        buf_finish(&body);
    }
    assert_true(str_eq(faults_text(world), S("/metadata too_long")));
}

/* 200,000 unknown members cost no more than the first fifty. */
static void faults_are_bounded(void **state)
{
    struct world *world = *state;
    struct buf body;

    buf_init(&body, 1 << 24);
    buf_add_cstr(&body, "{" FROM);
    for (int i = 0; i < 200000; i++)
        buf_addf(&body, ",\"k%d\":%d", i, i);
    buf_add_char(&body, '}');
    assert_false(read_str(world, buf_str(&body)));
    assert_int_equal(world->faults.count, FAULTS_MAX);
    assert_int_equal(world->faults.more, 1);
    email_request_finish(&world->request);
    buf_finish(&body);
}

static void a_mail_that_cannot_be_composed_is_refused(void **state)
{
    struct world *world = *state;
    struct buf body;
    char *page;

    buf_init(&body, 16 << 20);
    buf_add_cstr(&body, "{" FROM "," TO "," SUBJECT ",\"html\":\"");
    page = buf_space(&body, 12 << 20);
    assert_non_null(page);
    memset(page, 'x', 12 << 20);
    buf_grown(&body, 12 << 20);
    buf_add_cstr(&body, "\"}");
    assert_false(read_str(world, buf_str(&body)));
    assert_true(str_eq(faults_text(world), S(" message_too_large")));
    /* With a text of its own there is none to be made of twelve megabytes. */
    buf_truncate(&body, body.len - 1);
    buf_add_cstr(&body, "," TEXT "}");
    assert_true(read_str(world, buf_str(&body)));
    email_request_finish(&world->request);
    buf_finish(&body);
}

/* Of one byte of a body six may be stored, when it is not stored as it came. */
static void a_mail_that_cannot_be_stored_is_refused(void **state)
{
    const size_t len = 12 << 20;
    struct world *world = *state;
    struct buf body;
    char *ignored;

    buf_init(&body, 16 << 20);
    buf_add_cstr(&body, "{" FROM "," TO "," SUBJECT "," TEXT
                        ",\"attachments\":[{\"content\":\"aGVsbG8=\"}],"
                        "\"topic_id\":\"");
    ignored = buf_space(&body, len);
    assert_non_null(ignored);
    memset(ignored, 0x7f, len);
    buf_grown(&body, len);
    buf_add_cstr(&body, "\"}");
    assert_false(read_str(world, buf_str(&body)));
    assert_true(str_eq(faults_text(world), S(" message_too_large")));
    email_request_finish(&world->request);
    buf_finish(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_is_wrong_is_told_all_at_once),
        TEST(faults_have_a_kind_and_a_sentence),
        TEST(recipients_are_numbered_and_mailed_once),
        TEST(fifty_recipients_are_the_most),
        TEST(defaults_follow_the_class),
        TEST(times_count_from_the_schedule),
        TEST(the_bytes_of_the_body_are_what_is_stored),
        TEST(attachments_are_stored_apart),
        TEST(tags_metadata_and_headers_are_read),
        TEST(two_kilobytes_of_metadata_are_the_most),
        TEST(faults_are_bounded),
        TEST(a_mail_that_cannot_be_composed_is_refused),
        TEST(a_mail_that_cannot_be_stored_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
