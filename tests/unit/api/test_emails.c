/* POST, GET and PATCH of emails: stored, shown, listed, sent again. */
#include "api_world.h"

#include "server/base/json.h"

#include <stdio.h>

static void a_mail_is_stored_and_answered(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /v1/emails", MAIL), 200);
    assert_string_equal(fake.seen.data,
                        "transactional owned subject=Hello due=0 key=0 0:main");
    expect(world, fake.answer);
    expect(world, "\"status\":\"queued\"");
    expect(world, "@sender.test>\"");
    expect(world, "Content-Type: application/json; charset=utf-8\r\n");
    expect(world, "X-Request-Id: ");
    assert_int_equal(ask(world, "POST //emails", MAIL), 200);
    assert_int_equal(fake.enqueued, 2);
}

static void a_sensitive_subject_is_masked(void **state)
{
    struct world *world = *state;

    assert_int_equal(
        ask(world, "POST /emails",
            "{\"from\":\"app@sender.test\",\"to\":\"ada@inbox.test\","
            "\"subject\":\"483921 is your code\",\"text\":\"x\","
            "\"class\":\"verification\",\"scheduled_at\":\"in 5 minutes\"}"),
        200);
    assert_null(strstr(fake.seen.data, "483921"));
    assert_non_null(strstr(fake.seen.data, " is your code sensitive due=1"));
    expect(world, "\"status\":\"scheduled\"");
}

static void a_large_body_is_read_by_a_helper(void **state)
{
    struct world *world = *state;
    char fields[300];
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_add_cstr(&body, "{\"from\":\"app@sender.test\",\"to\":\"a@b.test\","
                        "\"subject\":\"s\",\"text\":\"");
    for (int i = 0; i < 500000; i++)
        buf_add_char(&body, 'x');
    buf_add_cstr(&body, "\"}");
    snprintf(fields, sizeof fields, "%sIdempotency-Key: large\r\n",
             key_field());
    assert_int_equal(ask_with(world, "POST /emails", fields, body.data), 200);
    body.data[body.len - 1] = ' ';
    assert_int_equal(ask(world, "POST /emails", body.data), 400);
    expect(world, "bad_json");
    assert_int_equal(fake.enqueued, 1);
    buf_finish(&body);
}

static void a_mail_without_a_route_is_not_taken(void **state)
{
    struct world *world = *state;

    world->route.class = "bulk";
    assert_int_equal(ask(world, "POST /emails", MAIL), 503);
    expect(world, "\"code\":\"no_route\"");
    assert_int_equal(fake.enqueued, 0);
}

static void an_email_is_shown(void **state)
{
    struct world *world = *state;
    struct error err;

    fake.record.job_root = json_parse(S("{\"html\":\"<p>x</p>\"}"), &err);
    fake.record.job.mail = fake.record.job_root;
    fake.delivery_count = 1;
    fake.deliveries[0] = (struct queue_delivery){.state = DELIVERY_DUE,
                                                 .attempts = 2,
                                                 .code = 451,
                                                 .enhanced_code = S("4.3.0"),
                                                 .response = S("come back"),
                                                 .next_attempt_ms = WALL_MS};
    assert_int_equal(ask(world, "GET /v1/emails/" ID, NULL), 200);
    expect(world, "{\"object\":\"email\",\"id\":\"" ID "\","
                  "\"message_id\":\"<1@sender.test>\","
                  "\"to\":[\"Ada <ada@inbox.test>\"],"
                  "\"from\":\"App <app@sender.test>\","
                  "\"created_at\":\"2026-11-24T12:00:00.000Z\","
                  "\"subject\":\"Hello\",\"html\":\"<p>x</p>\",\"text\":null,"
                  "\"cc\":null,\"bcc\":null,\"reply_to\":null,"
                  "\"last_event\":\"delivery_delayed\","
                  "\"scheduled_at\":null,\"tags\":[],\"status\":\"deferred\","
                  "\"class\":\"transactional\",\"sensitive\":false,"
                  "\"expires_at\":null,\"metadata\":{},\"recipients\":[{"
                  "\"address\":\"ada@inbox.test\",\"kind\":\"to\","
                  "\"status\":\"deferred\",\"code\":451,"
                  "\"enhanced_code\":\"4.3.0\",\"response\":\"come back\","
                  "\"attempts\":2,"
                  "\"next_attempt_at\":\"2026-11-24T12:00:00.000Z\"}]}");
    fake.record.summary.sensitive = true;
    assert_int_equal(ask(world, "GET /emails/" ID, NULL), 200);
    expect(world, "\"html\":null");
    json_destroy(&fake.record.job_root);
}

static void the_state_of_many_is_told_in_one_word(void **state)
{
    static const struct {
        enum delivery_state states[3];
        const char *status;
        const char *last_event;
    } CASES[] = {
        {{DELIVERY_SENT, DELIVERY_SENT, DELIVERY_SENT}, "sent", "sent"},
        {{DELIVERY_SENT, DELIVERY_BOUNCED, DELIVERY_SENT}, "partial", "sent"},
        {{DELIVERY_SENT, DELIVERY_CLAIMED, DELIVERY_SENT}, "sending", "sent"},
        {{DELIVERY_EXPIRED, DELIVERY_EXPIRED, DELIVERY_EXPIRED},
         "expired",
         "failed"},
        {{DELIVERY_CANCELED, DELIVERY_CANCELED, DELIVERY_CANCELED},
         "canceled",
         "canceled"},
        {{DELIVERY_HELD, DELIVERY_SENT, DELIVERY_BOUNCED}, "held", "bounced"},
        {{DELIVERY_DUE, DELIVERY_DUE, DELIVERY_DUE}, "scheduled", "scheduled"},
    };
    struct world *world = *state;
    char text[128];

    fake.delivery_count = 3;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        for (unsigned n = 0; n < 3; n++)
            fake.deliveries[n] = (struct queue_delivery){
                .number = 0,
                .state = CASES[i].states[n],
                .ended_ms =
                    CASES[i].states[n] >= DELIVERY_SENT ? WALL_MS + n : 0};
        assert_int_equal(ask(world, "GET /emails/" ID, NULL), 200);
        snprintf(text, sizeof text, "\"last_event\":\"%s\"",
                 CASES[i].last_event);
        expect(world, text);
        snprintf(text, sizeof text, "\"tags\":[],\"status\":\"%s\"",
                 CASES[i].status);
        expect(world, text);
    }
}

static void a_timeline_is_shown(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /emails/" ID "/events", NULL), 200);
    expect(world, "{\"object\":\"list\",\"has_more\":false,\"data\":[{\"ms\":0,"
                  "\"type\":\"email.queued\",");
    expect(world, "{\"ms\":12,\"type\":\"email.sent\",");
}

static void attempts_are_shown(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /emails/" ID "/attempts", NULL), 200);
    expect(world, "\"attempt\":1,\"outcome\":\"deferred\"");
    expect(world, "\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":"
                  "\"TLS_AES_256_GCM_SHA384\",\"verified\":false,"
                  "\"certificate_subject\":\"CN=mx\","
                  "\"certificate_expires_at\":null}");
    expect(world, "\"connect_ms\":1,\"tls_ms\":2,\"auth_ms\":3,\"mail_ms\":4,"
                  "\"rcpt_ms\":5,\"data_ms\":6,\"dot_ms\":7}");
    expect(world, "\"transcript\":\"     0 S: 451 later\\n\"");
    expect(world, "\"hedged_with\":\"spare\",\"session_reused\":true,"
                  "\"tls\":null");
    expect(world, "\"connect_ms\":null,\"tls_ms\":null,\"auth_ms\":null,"
                  "\"mail_ms\":4");
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(ask(world, "GET /emails/" ID "/attempts", NULL), 404);
}

static void what_is_not_there_is_404_and_what_is_no_id_422(void **state)
{
    static const char *const REQUESTS[] = {
        "GET /emails/",
        "GET /webhooks/",
        "DELETE /webhooks/",
        "DELETE /api-keys/",
    };
    struct world *world = *state;
    char line[128];

    fake.status = QUEUE_NOT_FOUND;
    for (size_t i = 0; i < COUNT_OF(REQUESTS); i++) {
        snprintf(line, sizeof line, "%s%s", REQUESTS[i], ID);
        assert_int_equal(ask(world, line, NULL), 404);
        expect(world, "\"name\":\"not_found\"");
        snprintf(line, sizeof line, "%snot-an-id", REQUESTS[i]);
        assert_int_equal(ask(world, line, NULL), 422);
        expect(world, "\"name\":\"invalid_parameter\"");
    }
    assert_int_equal(ask(world, "DELETE /emails", NULL), 405);
    expect(world, "Allow: POST, GET, HEAD\r\n");
    expect(world, "\"name\":\"method_not_allowed\"");
}

static void cancel_says_what_was_stopped(void **state)
{
    struct world *world = *state;
    char fields[300];

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_CANCELED;
    assert_int_equal(ask(world, "POST /emails/" ID "/cancel", ""), 200);
    expect(world, "{\"object\":\"email\",\"id\":\"" ID "\",\"recipients\":[{");
    assert_string_equal(fake.finished, "");
    fake.status = QUEUE_REFUSED;
    fake.deliveries[0].state = DELIVERY_SENT;
    snprintf(fields, sizeof fields, "%sIdempotency-Key: a\r\n", key_field());
    assert_int_equal(ask_with(world, "POST /emails/" ID "/cancel", fields, ""),
                     409);
    expect(world, "it is sent.");
    assert_memory_equal(fake.finished, "409 {\"statusCode\":409", 21);
}

/* Its process died, or had no answer, before this could be kept. */
static void a_cancel_that_was_done_is_answered_anew(void **state)
{
    struct world *world = *state;
    char fields[300];

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_CANCELED;
    fake.acted = (struct queue_answer){.status = QUEUE_DONE, .changed = 1};
    snprintf(fields, sizeof fields, "%sIdempotency-Key: a\r\n", key_field());
    assert_int_equal(ask_with(world, "POST /emails/" ID "/cancel", fields, ""),
                     200);
    expect(world, "Idempotent-Replayed: true\r\n");
    expect(world, "\"status\":\"canceled\"");
    assert_memory_equal(fake.finished, "200 {\"object\":\"email\"", 21);
}

/* A mail of that class that asked for what is in its body, sent again. */
static void plan_is(struct world *world, enum mail_class mail_class,
                    int64_t expires_ms, const char *json, const char *plan)
{
    struct json *root = json_parse(str_of(json), NULL);

    fake.record.job.mail = root;
    fake.record.summary.mail_class = mail_class;
    fake.record.summary.expires_ms = expires_ms;
    assert_int_equal(ask(world, "POST /emails/" ID "/retry", ""), 200);
    if (!str_eq(buf_str(&fake.seen), str_of(plan)))
        fail_msg("%.*s, not %s", STR_ARG(buf_str(&fake.seen)), plan);
    fake.record.job.mail = NULL;
    json_destroy(&root);
}

static void a_retry_is_planned_anew(void **state)
{
    struct world *world = *state;

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_QUEUED;
    world->config.worker.message_ttl_ms = 172800000;
    plan_is(world, CLASS_TRANSACTIONAL, 0, "{}",
            "0:main until +172800000 deadline=0 unknown=0");
    /* What lies ahead stays, what has passed is the class's own again. */
    plan_is(world, CLASS_RESET, WALL_MS + 5000, "{\"on_unknown\":\"hold\"}",
            "0:main until +5000 deadline=1 unknown=1");
    plan_is(world, CLASS_RESET, WALL_MS - 5000, "{\"on_unknown\":\"fail\"}",
            "0:main until +3600000 deadline=1 unknown=2");
    expect(world, "{\"object\":\"email\",\"id\":\"" ID "\",\"recipients\":[{");
    expect(world, "\"status\":\"queued\"");
}

/* What the caller asked for when he sent it, and the end of its life by a new
 * time; "" for one that is refused. */
static void new_time_is(struct world *world, enum mail_class mail_class,
                        const char *mail, const char *time, const char *plan)
{
    struct json *root = json_parse(str_of(mail), NULL);
    char body[128];

    fake.status = QUEUE_OK;
    fake.record.job.mail = root;
    fake.record.summary.mail_class = mail_class;
    snprintf(body, sizeof body, "{\"scheduled_at\":\"%s\"}", time);
    assert_int_equal(ask(world, "PATCH /emails/" ID, body),
                     plan[0] == '\0' ? 422 : 200);
    if (plan[0] != '\0' && !str_eq(buf_str(&fake.seen), str_of(plan)))
        fail_msg("%.*s, not %s", STR_ARG(buf_str(&fake.seen)), plan);
    fake.record.job.mail = NULL;
    json_destroy(&root);
}

static void a_new_time_moves_what_counts_from_it(void **state)
{
    struct world *world = *state;

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_DUE;
    world->config.worker.message_ttl_ms = 172800000;
    new_time_is(world, CLASS_TRANSACTIONAL, "{}", "in 1 hour",
                "at +3600000 until +176400000 deadline=0");
    expect(world, "{\"object\":\"email\",\"id\":\"" ID "\"}");
    new_time_is(world, CLASS_VERIFICATION, "{}", "2026-11-24T14:00:00+01:00",
                "at +3600000 until +4200000 deadline=1");
    new_time_is(world, CLASS_BULK, "{\"expires_in\":60}", "in 1 hour",
                "at +3600000 until +3660000 deadline=1");
    new_time_is(world, CLASS_BULK, "{\"expires_in\":60}",
                "2026-11-24T11:00:00Z", "at +0 until +60000 deadline=1");
    /* One that was named stays. */
    fake.record.summary.expires_ms = WALL_MS + 7200000;
    new_time_is(world, CLASS_BULK, "{\"expires_at\":\"x\"}", "in 1 hour",
                "at +3600000 until +7200000 deadline=1");
    new_time_is(world, CLASS_BULK, "{\"expires_at\":\"x\"}", "in 2 hours", "");
    expect(world, "\"code\":\"behind_deadline\"");
    fake.record.summary.expires_ms = WALL_MS + 180000000;
    new_time_is(world, CLASS_BULK, "{\"expires_at\":\"x\"}", "in 1 hour", "");
    expect(world, "\"code\":\"too_early\"");
}

static void what_may_have_no_new_time_is_refused(void **state)
{
    struct world *world = *state;
    struct json *mail = json_parse(S("{\"expires_at\":\"x\"}"), NULL);

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_SENT;
    assert_int_equal(ask(world, "PATCH /emails/" ID, "{}"), 422);
    expect(world, "Missing `scheduled_at` field.");
    assert_int_equal(
        ask(world, "PATCH /emails/" ID, "{\"scheduled_at\":\"in 31 days\"}"),
        422);
    expect(world, "may be at most 30 days ahead");
    /* Before its deadline, too: no other time would do. */
    fake.record.job.mail = mail;
    fake.record.summary.expires_ms = WALL_MS + 60000;
    assert_int_equal(
        ask(world, "PATCH /emails/" ID, "{\"scheduled_at\":\"in 1 hour\"}"),
        409);
    fake.record.job.mail = NULL;
    json_destroy(&mail);
    fake.status = QUEUE_REFUSED;
    assert_int_equal(
        ask(world, "PATCH /emails/" ID, "{\"scheduled_at\":\"in 1 hour\"}"),
        409);
    expect(world, "\"code\":\"not_reschedulable\"");
    expect(world, "The email cannot be rescheduled any more: it is sent.");
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(
        ask(world, "PATCH /emails/" ID, "{\"scheduled_at\":\"in 1 hour\"}"),
        404);
}

static void what_cannot_be_sent_again_is_refused(void **state)
{
    struct world *world = *state;
    char fields[300];

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_SENT;
    fake.status = QUEUE_REFUSED;
    snprintf(fields, sizeof fields, "%sIdempotency-Key: a\r\n", key_field());
    assert_int_equal(ask_with(world, "POST /emails/" ID "/retry", fields, ""),
                     409);
    expect(world, "\"code\":\"not_retryable\"");
    expect(world, "The email cannot be sent again: it is sent.");
    assert_memory_equal(fake.finished, "409 {\"statusCode\":409", 21);
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(ask(world, "POST /emails/" ID "/retry", ""), 404);
    fake.status = QUEUE_OK;
    world->config.route_count = 0;
    assert_int_equal(ask(world, "POST /emails/" ID "/retry", ""), 503);
    expect(world, "\"code\":\"no_route\"");
}

static void emails_are_listed_by_what_they_are(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /emails?limit=7&after=" ID, NULL), 200);
    assert_string_equal(fake.seen.data, "7 " ID "     0 0 0");
    expect(world, "{\"object\":\"list\",\"has_more\":true,\"data\":[{\"id\":");
    expect(world, "\"last_event\":\"");
    expect(world, "}],\"next\":\"" ID "\"}");
    assert_false(has(world->client, "\"html\""));
    assert_int_equal(
        ask(world,
            "GET /emails?to=Ann%20%3cann%40example.com%3e&tag=kind:order"
            "&since=2026-11-24T12:00:00Z&until=2026-11-24T13:00:00%2b01:00",
            NULL),
        200);
    assert_string_equal(fake.seen.data,
                        "20   ann@example.com kind order 1795521600000 "
                        "1795521600000 0");
    assert_int_equal(ask(world, "GET /emails?status=queued", NULL), 200);
    expect(world, "\"data\":[{");
    assert_int_equal(ask(world, "GET /emails?status=sent", NULL), 200);
    expect(world, "\"data\":[]");
    assert_int_equal(ask(world, "GET /emails?class=bulk", NULL), 200);
    expect(world, "\"data\":[]");
    assert_int_equal(ask(world,
                         "GET /emails?status=x&class=x&to=x&tag=:&since=x"
                         "&until=x",
                         NULL),
                     422);
    expect(world, "\"pointer\":\"/status\"");
    expect(world, "\"pointer\":\"/class\"");
    expect(world, "\"pointer\":\"/to\"");
    expect(world, "\"pointer\":\"/tag\"");
    expect(world, "\"pointer\":\"/since\"");
    expect(world, "\"pointer\":\"/until\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(a_mail_is_stored_and_answered),
        API_TEST(a_sensitive_subject_is_masked),
        API_TEST(a_large_body_is_read_by_a_helper),
        API_TEST(a_mail_without_a_route_is_not_taken),
        API_TEST(an_email_is_shown),
        API_TEST(the_state_of_many_is_told_in_one_word),
        API_TEST(a_timeline_is_shown),
        API_TEST(attempts_are_shown),
        API_TEST(what_is_not_there_is_404_and_what_is_no_id_422),
        API_TEST(cancel_says_what_was_stopped),
        API_TEST(a_cancel_that_was_done_is_answered_anew),
        API_TEST(a_retry_is_planned_anew),
        API_TEST(a_new_time_moves_what_counts_from_it),
        API_TEST(what_may_have_no_new_time_is_refused),
        API_TEST(what_cannot_be_sent_again_is_refused),
        API_TEST(emails_are_listed_by_what_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
