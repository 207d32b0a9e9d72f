/* What is the same for each call, and the end of the API. */
#include "api_world.h"

#include "api/call.h"
#include "server/base/mem.h"

#include <stdio.h>

static void problems_have_their_shape(void **state)
{
    struct world *world = *state;
    char fields[300];

    snprintf(fields, sizeof fields, "%sX-Request-Id: r-1\r\n", key_field());
    assert_int_equal(
        ask_with(world, "POST /v1/emails", fields,
                 "{\"from\":\"app@sender.test\",\"to\":[\"a@b@c\"],"
                 "\"subject\":\"s\",\"txt\":\"x\"}"),
        422);
    expect(world, "{\"statusCode\":422,\"name\":\"validation_error\","
                  "\"message\":\"`txt` is not a known field; did you mean "
                  "`text`? (And 2 more: see errors.)\","
                  "\"type\":\"about:blank\","
                  "\"title\":\"Unprocessable Content\",\"status\":422,"
                  "\"detail\":\"`txt` is not a known field; did you mean "
                  "`text`? (And 2 more: see errors.)\","
                  "\"instance\":\"/v1/emails\","
                  "\"code\":\"validation_error\",\"errors\":[{\"pointer\":"
                  "\"/txt\",\"code\":\"unknown_field\",\"message\":");
    expect(world, "{\"pointer\":\"/to/0\",\"code\":\"address_two_at\",");
    expect(world, "{\"pointer\":\"/html\",\"code\":\"required\",");
    expect(world, "\"request_id\":\"r-1\"}");
    assert_int_equal(ask_with(world, "GET /nothing",
                              "Accept: application/problem+json\r\n", NULL),
                     404);
    expect(world, "Content-Type: application/problem+json\r\n");
}

/* Bytes that JSON cannot hold never get into an answer. */
static void any_path_may_be_wrong(void **state)
{
    static const struct str REQUESTS[] = {
        STR("GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n"),
        STR("GET /\xff\x01 HTTP/1.1\r\n\r\n"),
        STR("GET /%ff HTTP/1.1\r\n\r\n"),
        STR("GET /%00\"\\ HTTP/1.1\r\n\r\n"),
        STR("\xff\xfe / HTTP/1.1\r\n\r\n"),
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(REQUESTS); i++) {
        struct client *client = client_open(world->loop, &world->address, NULL);

        say(client, REQUESTS[i]);
        turn_until_heard(client, "HTTP/1.1 400 ", 1);
        turn_until_heard(client, "\"request_id\"", 1);
        assert_false(has(client, "\xff"));
        client_close(client);
    }
    assert_int_equal(ask(world, "GET /\xc3\xa9\"\\", NULL), 404);
    expect(world, "\"instance\":\"/\xc3\xa9\\\"\\\\\"");
}

/* Paths that there are have their documented form, others the one that was
 * asked for. */
static void problems_name_the_path(void **state)
{
    static const struct {
        const char *line;
        unsigned status;
        const char *instance;
    } CASES[] = {
        {"GET /v1/nothing", 404, "/v1/nothing"},
        {"GET //v1//nothing/", 404, "/v1/nothing"},
        {"GET /nothing", 404, "/nothing"},
        {"GET /nothing/v1", 404, "/nothing/v1"},
        {"GET /v1/v1", 404, "/v1/v1"},
        {"GET /v1", 404, "/v1/"},
        {"GET /", 404, "/"},
        {"PUT /v1/emails", 405, "/v1/emails"},
        {"PUT /emails", 405, "/v1/emails"},
        {"GET /emails/17", 422, "/v1/emails/17"},
        {"GET /v1/emails?x=%ff", 400, "/v1/emails"},
        {"GET /v1/%ff", 400, ""},
    };
    struct world *world = *state;
    char text[100];

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        assert_int_equal(ask(world, CASES[i].line, NULL), CASES[i].status);
        snprintf(text, sizeof text, "\"instance\":\"%s\"", CASES[i].instance);
        expect(world, text);
    }
}

/* What the queue says, and what the caller hears. */
static const struct {
    enum queue_status status;
    unsigned http_status;
    const char *text;
} STATUSES[] = {
    {QUEUE_AWAY, 503, "\"name\":\"application_error\""},
    {QUEUE_NOT_READY, 503, "Retry-After: 1\r\n"},
    {QUEUE_FULL, 503, "\"code\":\"service_unavailable\""},
    {QUEUE_FROZEN, 503, "\"name\":\"application_error\""},
    {QUEUE_MOVED, 503, "\"name\":\"application_error\""}, /* and again */
    {QUEUE_NO_KEYRING, 503, "posthaste keyring create"},
    {QUEUE_OWNER_FULL, 429, "\"name\":\"rate_limit_exceeded\""},
    {QUEUE_CONFLICT, 409, "\"name\":\"invalid_idempotent_request\""},
    {QUEUE_REPLAY, 200, "Idempotent-Replayed: true\r\n"},
};

static void the_queues_answers_become_statuses(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(STATUSES); i++) {
        fake.status = STATUSES[i].status;
        assert_int_equal(ask(world, "POST /emails", MAIL),
                         STATUSES[i].http_status);
        expect(world, STATUSES[i].text);
    }
    expect(world, "{\"id\":\"the first\"}");
}

static void idempotency_keys_are_vetted(void **state)
{
    struct world *world = *state;
    char fields[600];
    char key[258];

    memset(key, 'k', sizeof key);
    key[257] = '\0';
    for (int len = 256; len <= 257; len++) {
        snprintf(fields, sizeof fields, "%sIdempotency-Key: \"%.*s\"\r\n",
                 key_field(), len, key);
        assert_int_equal(ask_with(world, "POST /emails", fields, MAIL),
                         len == 256 ? 200 : 400);
    }
    expect(world, "\"name\":\"invalid_idempotency_key\"");
    assert_non_null(strstr(fake.seen.data, "key=64"));
    snprintf(fields, sizeof fields, "%sIdempotency-Key:\r\n", key_field());
    assert_int_equal(ask_with(world, "POST /emails", fields, MAIL), 400);
    snprintf(fields, sizeof fields, "%sIdempotency-Key: \xc3\xa9\r\n",
             key_field());
    assert_int_equal(ask_with(world, "POST /emails", fields, MAIL), 400);
}

static void what_waits_is_shown_by_lane(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /v1/queue", NULL), 200);
    expect(world,
           "{\"object\":\"queue\",\"queued\":5,\"oldest_ms\":20,"
           "\"accepted_per_s\":1.500,\"delivered_per_s\":0.000,\"lanes\":["
           "{\"lane\":\"verification\",\"queued\":1,\"oldest_ms\":20,"
           "\"accepted_per_s\":1.500,\"delivered_per_s\":0.000},");
    expect(world, "\"delivered_per_s\":0.005}]}");
    fake.status = QUEUE_AWAY;
    assert_int_equal(ask(world, "GET /queue", NULL), 503);
}

static void upstreams_are_shown_and_steered(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /v1/upstreams", NULL), 200);
    expect(world, "{\"object\":\"list\",\"data\":[{\"object\":\"upstream\","
                  "\"name\":\"main\",\"host\":\"smtp.example\",\"port\":587,"
                  "\"state\":\"resting\",\"why\":\"CONNECT: refused\","
                  "\"paused_at\":null,\"workers\":2,\"sessions\":{\"open\":3,"
                  "\"busy\":1,\"limit\":8,\"max\":9},\"rates\":[{\"limit\":50,"
                  "\"window_s\":1,\"used\":0},{\"limit\":2000,\"window_s\":"
                  "86400,\"used\":12}],\"waiting\":4,"
                  "\"slowed_domains\":2,\"sent_per_s\":1.500}]}");
    assert_int_equal(ask(world, "POST /v1/upstreams/main/pause", NULL), 200);
    expect(world, "\"state\":\"paused\",\"why\":null,"
                  "\"paused_at\":\"2026-11-24T12:00:00.000Z\"");
    assert_true(fake.upstream_is_paused);
    assert_int_equal(ask(world, "POST /v1/upstreams/main/resume", NULL), 200);
    assert_false(fake.upstream_is_paused);
    assert_int_equal(ask(world, "POST /v1/upstreams/other/pause", NULL), 404);
    assert_int_equal(ask(world, "GET /v1/upstreams/main/pause", NULL), 405);
    assert_false(fake.upstream_is_paused);
}

static void an_upstream_is_tested(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /v1/upstreams/main/test", NULL), 200);
    expect(world, "{\"object\":\"upstream_test\",\"passed\":true}");
    assert_int_equal(ask(world, "POST /v1/upstreams/other/test", NULL), 404);
    fake.has_no_worker = true;
    assert_int_equal(ask(world, "POST /v1/upstreams/main/test", NULL), 503);
    expect(world, "No worker has taken the test");
    fake.status = QUEUE_AWAY;
    assert_int_equal(ask(world, "POST /v1/upstreams/main/test", NULL), 503);
}

static void upstreams_are_the_operators(void **state)
{
    static const char *const LINES[] = {
        "GET /v1/upstreams",
        "POST /v1/upstreams/main/pause",
        "POST /v1/upstreams/main/resume",
        "POST /v1/upstreams/main/test",
    };
    static const char *const OTHERS[] = {"", "default"};
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(LINES); i++)
        for (size_t k = 0; k < COUNT_OF(OTHERS); k++) {
            world->config.api.operator= OTHERS[k];
            assert_int_equal(ask(world, LINES[i], NULL), 401);
            expect(world, "\"name\":\"restricted_api_key\"");
        }
    assert_false(fake.upstream_is_paused);
}

static void pages_are_vetted(void **state)
{
    static const char *const BAD[] = {
        "limit=0", "limit=101", "limit=x",
        "limit=",  "after=x",   "after=" ID "&before=" ID,
    };
    struct world *world = *state;
    char line[200];

    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        snprintf(line, sizeof line, "GET /webhooks?%s", BAD[i]);
        assert_int_equal(ask(world, line, NULL), 422);
        expect(world, "\"name\":\"invalid_parameter\"");
    }
}

/* Bodies that are taken; what is not here takes none, or any. */
static const char *body_of(const struct endpoint_row *row)
{
    static const struct {
        const char *method;
        const char *path;
        const char *body;
    } BODIES[] = {
        {"POST", "/emails", MAIL},
        {"PATCH", "/emails/{id}", "{\"scheduled_at\":\"in 1 hour\"}"},
        {"POST", "/webhooks",
         "{\"endpoint\":\"https://hooks.example.com/x\","
         "\"events\":\"email.sent\"}"},
        {"PATCH", "/webhooks/{id}", "{\"status\":\"disabled\"}"},
        {"POST", "/suppressions", "{\"email\":\"ada@example.net\"}"},
        {"POST", "/suppressions/batch/add",
         "{\"emails\":[\"ada@example.net\"]}"},
        {"POST", "/suppressions/batch/remove",
         "{\"emails\":[\"ada@example.net\"]}"},
        {"POST", "/templates", "{\"name\":\"a\",\"html\":\"b\"}"},
        {"PATCH", "/templates/{id}", "{\"name\":\"a\"}"},
        {"POST", "/domains", "{\"name\":\"sender.test\"}"},
        {"PATCH", "/domains/{id}", "{\"custom_return_path\":\"b\"}"},
        {"POST", "/api-keys", "{\"name\":\"web\"}"},
        {"PATCH", "/api-keys/{id}", "{\"name\":\"web\"}"},
    };

    if (strcmp(row->path, "/feedback") == 0)
        return fake_bounce();
    for (size_t i = 0; i < COUNT_OF(BODIES); i++)
        if (strcmp(row->method, BODIES[i].method) == 0 &&
            strcmp(row->path, BODIES[i].path) == 0)
            return BODIES[i].body;
    return row->takes_body ? "" : NULL;
}

static void say_row(struct world *world, const struct endpoint_row *row,
                    const char *query)
{
    const char *param = strchr(row->path, '{');
    char line[200];

    if (param != NULL)
        snprintf(line, sizeof line, "%s %.*s%s%s%s", row->method,
                 (int)(param - row->path), row->path,
                 param[1] == 'i' ? ID : "main", strchr(param, '}') + 1, query);
    else
        snprintf(line, sizeof line, "%s %s%s", row->method, row->path, query);
    say_call(world, line, key_field(), body_of(row));
}

/* No endpoint leaves out a member that it does not know. */
static void queries_of_every_endpoint_are_vetted(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < api_endpoint_count(); i++) {
        say_row(world, api_endpoint(i), "?pretty");
        turn_until_heard(world->client, "request_id", 1);
        expect(world, "HTTP/1.1 422 ");
        expect(world, "\"name\":\"invalid_parameter\"");
        expect(world, "{\"pointer\":\"/pretty\",\"code\":\"unknown_field\","
                      "\"message\":\"`pretty` is not a known parameter of the "
                      "query: ");
        assert_int_equal(fake.enqueued, 0);
    }
}

static void all_that_is_wrong_with_a_query_is_told(void **state)
{
    static const struct {
        const char *line;
        const char *told[4];
    } CASES[] = {
        {"GET /emails?stauts=sent",
         {"`stauts` is not a known parameter of the query; did you mean "
          "`status`?\"}]"}},
        {"GET /events?before=x",
         {"`before` is not a known parameter of the query: there is limit, "
          "after.\"}]"}},
        {"GET /queue?limit=5",
         {"`limit` is not a known parameter of the query: this request takes "
          "none.\"}]"}},
        {"GET /emails?limit=0&Status=sent&after=x&class=bulky&limit=7",
         {"(And 4 more: see errors.)", "\"pointer\":\"/Status\"",
          "{\"pointer\":\"/limit\",\"code\":\"repeated\",\"message\":"
          "\"`limit` is given more than once in the query; once is enough.\"}",
          "{\"pointer\":\"/after\",\"code\":\"invalid_id\""}},
        {"GET /webhooks?after=" ID "&before=" ID,
         {"`before` cannot stand beside `after`: one of them."}},
        {"GET /suppressions?origin=spite&limit=1e3",
         {"`origin` must be bounce, complaint or manual.",
          "`limit` must be a number from 1 to 100."}},
        {"POST /emails?dry_run=yes&dry-run=1",
         {"`dry_run` must be true or false.", "did you mean `dry_run`?"}},
        {"GET /webhooks?limit=5&=1", {"\"pointer\":\"/\""}},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        bool has_body = CASES[i].line[0] == 'P';

        assert_int_equal(ask(world, CASES[i].line, has_body ? MAIL : NULL),
                         422);
        for (size_t k = 0; k < 4 && CASES[i].told[k] != NULL; k++)
            expect(world, CASES[i].told[k]);
    }
    assert_int_equal(fake.enqueued, 0);
    assert_int_equal(ask(world, "GET /webhooks?limit=5&", NULL), 200);
    assert_int_equal(ask(world, "GET /queue?", NULL), 200);
}

/* Who names recipients to cancel must not lose all the others. */
static void actions_without_a_body_refuse_one(void **state)
{
    static const char *const LINES[] = {"POST /emails/" ID "/cancel",
                                        "POST /emails/" ID "/retry",
                                        "POST /domains/" ID "/verify"};
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(LINES); i++) {
        unsigned bare = ask(world, LINES[i], NULL);

        assert_int_equal(ask(world, LINES[i], "{}"), bare);
        assert_int_equal(ask(world, LINES[i], "[]"), bare);
        assert_int_equal(ask(world, LINES[i], " null"), bare);
        assert_int_equal(ask(world, LINES[i], "{\"to\":\"a\"}"), 422);
        expect(world, "\"pointer\":\"/to\",\"code\":\"unknown_field\"");
        assert_int_equal(ask(world, LINES[i], "{"), 400);
        expect(world, "\"code\":\"bad_json\"");
        assert_int_equal(ask(world, LINES[i], "[1]"), 422);
    }
}

static void methods_that_there_are_are_named(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "PUT /v1/emails", NULL), 405);
    expect(world, "Allow: POST, GET, HEAD\r\n");
    expect(world, "\"message\":\"The path takes only POST, GET, HEAD.\"");
}

static void only_mails_may_be_large(void **state)
{
    struct world *world = *state;
    struct buf body;

    buf_init(&body, 1 << 20);
    for (int i = 0; i < 65537; i++)
        buf_add_char(&body, ' ');
    assert_int_equal(ask(world, "POST /webhooks", body.data), 413);
    expect(world, "\"code\":\"body_too_large\"");
    buf_finish(&body);
}

static void note_drained(void *ctx)
{
    struct world *world = ctx;

    world->drained = true;
}

static void a_drain_waits_for_the_answers(void **state)
{
    struct world *world = *state;

    api_drain(world->api, false, note_drained, world);
    world->listen_fd = -1; /* the drain closes it */
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    for (int i = 0; i < 100 && !world->drained; i++)
        loop_turn(world->loop, 1);
    assert_true(world->drained);
}

static void what_is_under_way_at_the_close_is_answered(void **state)
{
    struct world *world = *state;
    struct buf out;

    fake.silent = true;
    buf_init(&out, 4096);
    buf_addf(&out, "POST /emails HTTP/1.1\r\nHost: h\r\n%s\r\n", key_field());
    say(world->client, buf_str(&out));
    buf_finish(&out);
    for (int i = 0; i < 200 && fake.key_lookups == 0; i++)
        loop_turn(world->loop, 1);
    assert_int_equal(fake.key_lookups, 1);
    api_close(&world->api);
    hear(world->client);
    expect(world, "HTTP/1.1 503 ");
}

/* --- what came back of a mail --- */

static void feedback_says_what_it_made_of_it(void **state)
{
    struct world *world = *state;

    fake.fate = FEEDBACK_TAKEN;
    assert_int_equal(ask(world, "POST /v1/feedback", fake_bounce()), 200);
    expect(world, "{\"object\":\"feedback\",\"outcome\":\"recorded\","
                  "\"email_id\":\"" ID "\",\"type\":\"email.bounced\","
                  "\"suppressed\":true}");
    fake.fate = FEEDBACK_KNOWN;
    assert_int_equal(ask(world, "POST /v1/feedback", fake_bounce()), 200);
    expect(world, "\"outcome\":\"repeated\"");
    fake.fate = FEEDBACK_OPEN;
    assert_int_equal(ask(world, "POST /v1/feedback", fake_bounce()), 409);
    expect(world, "\"code\":\"not_ended\"");
    assert_int_equal(ask(world, "POST /v1/feedback",
                         "{\"message\":\"U3ViamVjdDogaGkN\\nCg==\"}"),
                     200);
    expect(world, "\"reason\":\"not_a_report\"");
    assert_int_equal(ask(world, "POST /v1/feedback", "{\"message\":\"?\"}"),
                     422);
    expect(world, "{\"pointer\":\"/message\",\"code\":\"bad_message\"");
}

/* Of another release, whose texts may be longer. */
static void what_is_too_long_to_be_shown_is_refused(void **state)
{
    struct world *world = *state;
    size_t len = 1 << 20;
    char *name = xcalloc(1, len);

    memset(name, 'a', len);
    fake.key.name = str_make(name, len);
    assert_int_equal(ask(world, "GET /v1/api-keys?limit=7", NULL), 503);
    expect(world, "more than this server can show");
    fake.key.name = S("key");
    assert_int_equal(ask(world, "GET /v1/api-keys?limit=7", NULL), 200);
    free(name);
}

/* --- a queue that does not answer --- */

enum { ANSWER_MS = 800, KEY_FRESH_MS = 5000 };

static const char *query_of(const struct endpoint_row *row)
{
    return row->query != NULL && strcmp(row->query[0], "limit") == 0
               ? "?limit=7"
               : "";
}

static void turn_until_asked(struct world *world)
{
    for (int i = 0; i < 1000 && list_is_empty(&fake.kept); i++)
        loop_turn(world->loop, 1);
    assert_false(list_is_empty(&fake.kept));
}

/* A test waits for an upstream, not for Redis alone. */
static int64_t patience_ms(const struct endpoint_row *row)
{
    return strcmp(row->path, "/upstreams/{name}/test") == 0
               ? UPSTREAM_TEST_MAX_MS + 1000
               : ANSWER_MS;
}

static void expect_late(struct world *world, int64_t patience_ms)
{
    pass_ms(world, patience_ms - 1);
    hear(world->client);
    assert_int_equal(world->client->in.len, 0);
    pass_ms(world, 1);
    turn_until_heard(world->client, "request_id", 1);
    expect(world, "HTTP/1.1 503 ");
    expect(world, "Retry-After: 1\r\n");
    expect(world, "so the outcome is unknown");
}

/* What comes late is for nobody, and harms nobody. */
static void expect_well(struct world *world)
{
    fake_speak();
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
    assert_true(list_is_empty(&fake.kept));
    assert_int_equal(ask(world, "GET /v1/queue", NULL), 200);
    assert_int_equal(times(world->client, "HTTP/1.1 "), 1);
}

/* The key and the rate are known: what is silent is the endpoint's part. */
static void every_endpoint_answers_in_time(void **state)
{
    struct world *world = *state;

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_DUE; /* it may be rescheduled */
    for (size_t i = 0; i < api_endpoint_count(); i++) {
        assert_int_equal(ask(world, "GET /v1/queue", NULL), 200);
        fake.silent = true;
        say_row(world, api_endpoint(i), query_of(api_endpoint(i)));
        turn_until_asked(world);
        expect_late(world, patience_ms(api_endpoint(i)));
        expect_well(world);
    }
}

/* One time for all that a call asks; the rest is not begun. */
static void all_questions_of_a_call_share_its_time(void **state)
{
    struct world *world = *state;

    world->config.limits.rate = 5;
    world->config.limits.rate_per_ms = 1000;
    for (size_t i = 0; i < api_endpoint_count(); i++) {
        pass_ms(world, KEY_FRESH_MS);
        fake.silent = true;
        fake.rate_needs_lease = true;
        fake.enqueued = 0;
        say_row(world, api_endpoint(i), query_of(api_endpoint(i)));
        turn_until_asked(world);
        expect_late(world, ANSWER_MS);
        expect_well(world);

        pass_ms(world, KEY_FRESH_MS);
        fake.silent = true;
        fake.rate_needs_lease = true;
        say_row(world, api_endpoint(i), query_of(api_endpoint(i)));
        turn_until_asked(world);
        pass_ms(world, ANSWER_MS / 2); /* the key comes, the rate does not */
        fake_speak();
        fake.silent = true;
        turn_until_asked(world);
        hear(world->client);
        assert_int_equal(world->client->in.len, 0);
        pass_ms(world, ANSWER_MS / 2);
        turn_until_heard(world->client, "request_id", 1);
        expect(world, "HTTP/1.1 503 ");
        expect_well(world);
        assert_int_equal(fake.enqueued, 0);
    }
}

/* Its caller heard of it; the close has nobody to tell. */
static void what_is_late_at_the_close_is_let_go(void **state)
{
    struct world *world = *state;

    fake.silent = true;
    say_row(world, api_endpoint(0), "");
    turn_until_asked(world);
    expect_late(world, ANSWER_MS);
    api_close(&world->api);
    hear(world->client);
    assert_int_equal(times(world->client, "HTTP/1.1 "), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(problems_have_their_shape),
        API_TEST(any_path_may_be_wrong),
        API_TEST(problems_name_the_path),
        API_TEST(the_queues_answers_become_statuses),
        API_TEST(idempotency_keys_are_vetted),
        API_TEST(what_waits_is_shown_by_lane),
        API_TEST(upstreams_are_shown_and_steered),
        API_TEST(an_upstream_is_tested),
        API_TEST(upstreams_are_the_operators),
        API_TEST(pages_are_vetted),
        API_TEST(queries_of_every_endpoint_are_vetted),
        API_TEST(all_that_is_wrong_with_a_query_is_told),
        API_TEST(actions_without_a_body_refuse_one),
        API_TEST(methods_that_there_are_are_named),
        API_TEST(only_mails_may_be_large),
        API_TEST(a_drain_waits_for_the_answers),
        API_TEST(what_is_under_way_at_the_close_is_answered),
        API_TEST(feedback_says_what_it_made_of_it),
        API_TEST(what_is_too_long_to_be_shown_is_refused),
        API_TEST(every_endpoint_answers_in_time),
        API_TEST(all_questions_of_a_call_share_its_time),
        API_TEST(what_is_late_at_the_close_is_let_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
