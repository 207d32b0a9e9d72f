#include "queue/events.h"

#include "check_cmocka.h"

#define EMAIL "01930000-0000-7000-8000-0000000000aa"
#define AT    "2026-11-24T12:00:00.000Z"
enum { MAX = 16 * 1024 };
static const int64_t at_ms = 1795521600000;

static struct str TO[] = {STR("Ann <ann@example.com>"),
                          STR("\"Bo <b\\\"> x\" <bo@example.org>")};
static struct str BCC[] = {STR("cy@example.net")};

static struct summary summary(void)
{
    return (struct summary){
        .email = {EMAIL},
        .owner = S("default"),
        .from = S("Shop <shop@example.com>"),
        .to = TO,
        .to_count = 2,
        .bcc = BCC,
        .bcc_count = 1,
        .subject = S("Your code"),
        .mail_class = CLASS_VERIFICATION,
        .message_id = S("<m1@example.com>"),
        .created_ms = at_ms - 1500,
        .scheduled_ms = at_ms + 60000,
    };
}

static struct event event(enum event_type type, int number)
{
    return (struct event){
        .type = type,
        .email = {EMAIL},
        .number = number,
        .generation = 1,
        .ordinal = 1,
        .sequence = 3,
        .at_ms = at_ms,
    };
}

static struct event_detail full_detail(void)
{
    return (struct event_detail){
        .code = 550,
        .enhanced_code = S("5.1.1"),
        .response = S("no such \"user\""),
        .upstream = S("main"),
        .mx = S("mx.example.org"),
        .tls = S("TLSv1.3 TLS_AES_256_GCM_SHA384"),
        .reason = S("why"),
        .bounce_type = S("Permanent"),
        .bounce_subtype = S("NoEmail"),
        .queued_ms = 2,
        .total_ms = 40,
        .url = S("https://example.com/"),
    };
}

static void assert_bytes(struct buf *buf, const char *expected)
{
    assert_false(buf->full);
    assert_int_equal(buf->len, strlen(expected));
    assert_memory_equal(buf->data == NULL ? "" : buf->data, expected, buf->len);
    buf_finish(buf);
}

#define DETAIL                                                                 \
    ",\"c\":550,\"ec\":\"5.1.1\",\"r\":\"no such \\\"user\\\"\","              \
    "\"u\":\"main\",\"mx\":\"mx.example.org\","                                \
    "\"tls\":\"TLSv1.3 TLS_AES_256_GCM_SHA384\",\"why\":\"why\","              \
    "\"bt\":\"Permanent\",\"bs\":\"NoEmail\",\"q\":2,\"ms\":40,"               \
    "\"url\":\"https://example.com/\""

static void a_detail_is_members_to_join(void **state)
{
    struct event_detail detail = full_detail();
    struct buf out;

    (void)state;
    buf_init(&out, MAX);
    event_detail_write(&detail, &out);
    assert_bytes(&out, DETAIL);
    buf_init(&out, MAX);
    buf_add_cstr(&out, "before");
    event_detail_write(&(struct event_detail){0}, &out);
    assert_bytes(&out, "before");
}

static void a_record_has_a_fixed_order(void **state)
{
    struct event full = event(EVENT_BOUNCED, 1);
    struct event bare = event(EVENT_QUEUED, -1);
    struct buf out;

    (void)state;
    full.attempt = 2;
    full.possible_duplicate = true;
    full.next_attempt_ms = at_ms + 1;
    full.detail = full_detail();
    buf_init(&out, MAX);
    event_write(&full, &out);
    assert_bytes(&out, "{\"t\":\"email.bounced\",\"e\":\"" EMAIL "\",\"n\":1,"
                       "\"g\":1,\"o\":1,\"s\":3,\"at\":1795521600000,\"a\":2,"
                       "\"dup\":1,\"next\":1795521600001" DETAIL "}");
    buf_init(&out, MAX);
    event_write(&bare, &out);
    assert_bytes(&out, "{\"t\":\"email.queued\",\"e\":\"" EMAIL "\",\"n\":-1,"
                       "\"g\":1,\"o\":1,\"s\":3,\"at\":1795521600000}");
}

static void what_was_written_reads_the_same(void **state)
{
    struct arena *arena = arena_create();
    struct event before = event(EVENT_BOUNCED, 1);
    struct event after;
    struct buf first;
    struct buf second;

    (void)state;
    before.attempt = 2;
    before.possible_duplicate = true;
    before.next_attempt_ms = at_ms + 1;
    before.detail = full_detail();
    before.detail.mailbox = S("ann@example.com");
    before.detail.origin = S("bounce");
    before.detail.source = S(EMAIL);
    before.detail.created_ms = at_ms;
    buf_init(&first, MAX);
    buf_init(&second, MAX);
    event_write(&before, &first);
    assert_true(event_read(buf_str(&first), arena, &after));
    event_write(&after, &second);
    assert_true(str_eq(buf_str(&first), buf_str(&second)));
    buf_finish(&first);
    buf_finish(&second);
    arena_destroy(&arena);
}

static void a_kept_response_ends_on_a_code_point(void **state)
{
    struct event_detail detail = {0};
    char text[130];
    struct buf out;

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text + 119, "\xc3\xa9", 2);
    detail.response = str_make(text, sizeof text);
    buf_init(&out, MAX);
    event_detail_write(&detail, &out);
    assert_int_equal(out.len, strlen(",\"r\":\"\"") + 119);
    buf_finish(&out);
}

static void foreign_records_are_refused(void **state)
{
    static const char *const RECORDS[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"t\":\"email.unknown\",\"e\":\"" EMAIL "\"}",
        "{\"t\":\"email.sent\",\"e\":\"x\"}",
        "{\"t\":\"email.sent\",\"e\":\"" EMAIL "\",\"n\":-2}",
        "{\"t\":\"email.sent\",\"e\":\"" EMAIL "\",\"n\":4294967296}",
        "{\"t\":\"email.sent\",\"e\":\"" EMAIL "\",\"s\":-1}",
        "{\"t\":\"email.sent\",\"e\":\"" EMAIL "\",\"c\":99999999999}",
    };
    struct arena *arena = arena_create();
    struct event read;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(RECORDS); i++)
        assert_false(event_read(str_of(RECORDS[i]), arena, &read));
    arena_destroy(&arena);
}

static void every_type_has_a_name_of_its_own(void **state)
{
    enum event_type type;

    (void)state;
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++) {
        assert_true(event_type_parse(
            str_of(event_type_name((enum event_type)i)), &type));
        assert_int_equal(type, i);
    }
    assert_false(event_type_parse(S("email.SENT"), &type));
}

static void a_webhook_id_depends_on_its_four_parts_only(void **state)
{
    struct event base = event(EVENT_SENT, 0);
    struct event others[] = {base, base, base, base};
    struct buf id;
    struct buf other;

    (void)state;
    buf_init(&id, MAX);
    event_webhook_id(&base, &id);
    assert_int_equal(id.len, EVENT_WEBHOOK_ID_LEN);
    assert_memory_equal(id.data, "msg_", 4);
    others[0].number = 1;
    others[1].generation = 2;
    others[2].type = EVENT_DELIVERED;
    others[3].ordinal = 2;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        buf_init(&other, MAX);
        event_webhook_id(&others[i], &other);
        assert_false(str_eq(buf_str(&id), buf_str(&other)));
        buf_finish(&other);
    }
    base.at_ms = 1;
    base.sequence = 99;
    base.attempt = 4;
    buf_init(&other, MAX);
    event_webhook_id(&base, &other);
    assert_true(str_eq(buf_str(&id), buf_str(&other)));
    buf_finish(&id);
    buf_finish(&other);
}

#define HEAD(type) "{\"type\":\"" type "\",\"created_at\":\"" AT "\",\"data\":{"
#define EMAIL_OF(to)                                                           \
    "\"email_id\":\"" EMAIL "\","                                              \
    "\"created_at\":\"2026-11-24T11:59:58.500Z\","                             \
    "\"from\":\"Shop <shop@example.com>\",\"to\":[" to "],"                    \
    "\"subject\":\"Your code\",\"message_id\":\"<m1@example.com>\""
#define TAIL                                                                   \
    ",\"timestamp\":\"" AT "\",\"sequence\":3,\"class\":\"verification\""
#define ANN "\"Ann <ann@example.com>\""
#define BO  "\"\\\"Bo <b\\\\\\\"> x\\\" <bo@example.org>\""

static void assert_payload(const struct event *given,
                           const struct summary *about, const char *expected)
{
    struct buf out;

    buf_init(&out, MAX);
    event_payload(given, about, &out);
    assert_bytes(&out, expected);
}

static void payloads_have_the_known_shapes(void **state)
{
    struct summary about = summary();
    struct event given = event(EVENT_QUEUED, -1);

    (void)state;
    assert_payload(&given, &about,
                   HEAD("email.queued") EMAIL_OF(ANN "," BO) TAIL "}}");

    /* The time of then: the mail's own may be another by now. */
    given = event(EVENT_SCHEDULED, -1);
    given.next_attempt_ms = at_ms + 30000;
    assert_payload(
        &given, &about,
        HEAD("email.scheduled") EMAIL_OF(
            ANN "," BO) ",\"scheduled_at\":\"2026-11-24T12:00:30.000Z\"" TAIL
                        "}}");

    given = event(EVENT_SENT, 1);
    given.attempt = 1;
    given.possible_duplicate = true;
    given.detail = (struct event_detail){.code = 250,
                                         .enhanced_code = S("2.0.0"),
                                         .response = S("ok"),
                                         .upstream = S("main"),
                                         .total_ms = 7};
    assert_payload(&given, &about,
                   HEAD("email.sent") EMAIL_OF(BO) TAIL
                   ",\"recipient\":\"bo@example.org\","
                   "\"possible_duplicate\":true,\"delivery\":{"
                   "\"upstream\":\"main\",\"code\":250,"
                   "\"enhanced_code\":\"2.0.0\",\"response\":\"ok\","
                   "\"attempt\":1,\"queued_ms\":0,\"total_ms\":7}}}");

    given = event(EVENT_BOUNCED, 2);
    given.detail = (struct event_detail){.code = 550,
                                         .enhanced_code = S("5.1.1"),
                                         .response = S("no user"),
                                         .bounce_type = S("Permanent"),
                                         .bounce_subtype = S("NoEmail")};
    assert_payload(
        &given, &about,
        HEAD("email.bounced") EMAIL_OF(
            "\"cy@example.net\"") ",\"bounce\":{\"message\":\"550 5.1.1 no "
                                  "user\","
                                  "\"type\":\"Permanent\",\"subType\":"
                                  "\"NoEmail\","
                                  "\"diagnosticCode\":[\"smtp; 550 5.1.1 no "
                                  "user\"]}" TAIL
                                  ",\"recipient\":\"cy@example.net\"}}");

    given = event(EVENT_BOUNCED, 0);
    assert_payload(
        &given, &about,
        HEAD("email.bounced") EMAIL_OF(
            ANN) ",\"bounce\":{\"message\":\"The server refused the "
                 "recipient.\","
                 "\"type\":\"Undetermined\",\"subType\":\"Undetermined\"}" TAIL
                 ",\"recipient\":\"ann@example.com\"}}");

    given = event(EVENT_FAILED, 0);
    given.detail.reason = S("unknown_outcome");
    assert_payload(&given, &about,
                   HEAD("email.failed") EMAIL_OF(
                       ANN) ",\"failed\":{\"reason\":\"unknown_outcome\"}" TAIL
                            ",\"recipient\":\"ann@example.com\"}}");

    given = event(EVENT_DELIVERY_DELAYED, 0);
    given.next_attempt_ms = at_ms + 5000;
    assert_payload(
        &given, &about,
        HEAD("email.delivery_delayed") EMAIL_OF(
            ANN) ",\"next_attempt_at\":\"2026-11-24T12:00:05.000Z\"" TAIL
                 ",\"recipient\":\"ann@example.com\"}}");

    given = event(EVENT_SUPPRESSED, 0);
    assert_payload(
        &given, &about,
        HEAD("email.suppressed") EMAIL_OF(
            ANN) ",\"suppressed\":{"
                 "\"message\":\"The recipient is on the suppression list.\","
                 "\"type\":\"OnAccountSuppressionList\"}" TAIL
                 ",\"recipient\":\"ann@example.com\"}}");

    given = event(EVENT_EXPIRED, 0);
    assert_payload(&given, &about,
                   HEAD("email.expired") EMAIL_OF(
                       ANN) ",\"expired\":{\"reason\":\"deadline\"}" TAIL
                            ",\"recipient\":\"ann@example.com\"}}");

    given.detail.is_late = true;
    given.detail.late_queue_ms = 4;
    given.detail.late_retry_ms = 60000;
    given.detail.late_upstream_ms = 80;
    assert_payload(
        &given, &about,
        HEAD("email.expired") EMAIL_OF(
            ANN) ",\"expired\":{\"reason\":\"deadline\",\"queue_ms\":4,"
                 "\"retry_ms\":60000,\"upstream_ms\":80}" TAIL
                 ",\"recipient\":\"ann@example.com\"}}");
}

static void tags_become_a_map_and_metadata_stays(void **state)
{
    struct summary about = summary();
    struct event given = event(EVENT_CANCELED, 0);

    (void)state;
    about.tags_json = S("[{\"name\":\"a\",\"value\":\"1\"},"
                        "{\"name\":\"b\",\"value\":\"2\"},"
                        "{\"name\":\"a\",\"value\":\"3\"}]");
    about.metadata_json = S("{\"order\":\"7\"}");
    assert_payload(&given, &about,
                   HEAD("email.canceled")
                       EMAIL_OF(ANN) ",\"tags\":{\"b\":\"2\",\"a\":\"3\"}" TAIL
                                     ",\"recipient\":\"ann@example.com\","
                                     "\"metadata\":{\"order\":\"7\"}}}");
}

static void codes_in_a_reply_are_not_told_twice(void **state)
{
    struct summary about = summary();
    struct event given = event(EVENT_BOUNCED, 0);

    (void)state;
    given.detail = (struct event_detail){.code = 554,
                                         .enhanced_code = S("5.7.1"),
                                         .response = S("554 5.7.1 spam")};
    assert_payload(
        &given, &about,
        HEAD("email.bounced") EMAIL_OF(
            ANN) ",\"bounce\":{\"message\":\"554 5.7.1 spam\","
                 "\"type\":\"Undetermined\",\"subType\":\"Undetermined\","
                 "\"diagnosticCode\":[\"smtp; 554 5.7.1 spam\"]}" TAIL
                 ",\"recipient\":\"ann@example.com\"}}");
}

static void a_disabled_webhook_tells_which_and_why(void **state)
{
    struct event given = event(EVENT_WEBHOOK_DISABLED, -1);

    (void)state;
    given.detail.url = S("https://example.com/hook");
    given.detail.reason = S("gone");
    assert_payload(&given, NULL,
                   HEAD("webhook.disabled") "\"id\":\"" EMAIL "\","
                                            "\"endpoint\":\"https://"
                                            "example.com/hook\","
                                            "\"status\":\"disabled\","
                                            "\"reason\":\"gone\","
                                            "\"timestamp\":\"" AT "\"}}");
}

static void
a_suppression_tells_of_the_address_and_what_put_it_there(void **state)
{
    struct event given = event(EVENT_SUPPRESSION_ADDED, -1);

    (void)state;
    given.detail.mailbox = S("gone@example.com");
    given.detail.origin = S("bounce");
    given.detail.source = S("01930000-0000-7000-8000-0000000000bb");
    given.detail.created_ms = at_ms;
#define SUPPRESSED(origin, source, created)                                    \
    "\"id\":\"" EMAIL "\",\"email\":\"gone@example.com\","                     \
    "\"origin\":\"" origin "\",\"source_id\":" source ","                      \
    "\"created_at\":\"" created "\",\"timestamp\":\"" AT "\"}}"
    assert_payload(
        &given, NULL,
        HEAD("suppression.added") SUPPRESSED(
            "bounce", "\"01930000-0000-7000-8000-0000000000bb\"", AT));
    given.type = EVENT_SUPPRESSION_REMOVED;
    given.detail.origin = S("manual");
    given.detail.source = S("");
    given.detail.created_ms = at_ms - 1000;
    assert_payload(&given, NULL,
                   HEAD("suppression.removed") SUPPRESSED(
                       "manual", "null", "2026-11-24T11:59:59.000Z"));
}

static void a_domain_tells_what_it_has_to_publish(void **state)
{
    struct event given = event(EVENT_DOMAIN_CREATED, -1);

    (void)state;
    given.detail.domain_json =
        S("{\"name\":\"example.com\",\"records\":[{\"ttl\":\"Auto\"}]}");
    assert_payload(&given, NULL,
                   HEAD("domain.created") "\"id\":\"" EMAIL
                                          "\",\"name\":\"example.com\","
                                          "\"records\":[{\"ttl\":\"Auto\"}],"
                                          "\"timestamp\":\"" AT "\"}}");
}

static void only_mail_has_events_of_an_email(void **state)
{
    unsigned others = 0;

    (void)state;
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++)
        others += !event_type_is_of_email((enum event_type)i);
    assert_int_equal(others, 8);
    assert_true(event_type_is_of_email(EVENT_SUPPRESSED));
    assert_false(event_type_is_of_email(EVENT_SUPPRESSION_ADDED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detail_is_members_to_join),
        cmocka_unit_test(a_record_has_a_fixed_order),
        cmocka_unit_test(what_was_written_reads_the_same),
        cmocka_unit_test(a_kept_response_ends_on_a_code_point),
        cmocka_unit_test(foreign_records_are_refused),
        cmocka_unit_test(every_type_has_a_name_of_its_own),
        cmocka_unit_test(a_webhook_id_depends_on_its_four_parts_only),
        cmocka_unit_test(payloads_have_the_known_shapes),
        cmocka_unit_test(tags_become_a_map_and_metadata_stays),
        cmocka_unit_test(codes_in_a_reply_are_not_told_twice),
        cmocka_unit_test(a_disabled_webhook_tells_which_and_why),
        cmocka_unit_test(
            a_suppression_tells_of_the_address_and_what_put_it_there),
        cmocka_unit_test(a_domain_tells_what_it_has_to_publish),
        cmocka_unit_test(only_mail_has_events_of_an_email),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
