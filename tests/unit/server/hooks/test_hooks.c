#include "server/hooks/hooks.h"

#include "server/hooks/sign.h"

#include "queue/webhook_fixture.h"
#include "receiver.h"

static struct loop *loop;
static struct dns *dns;
static struct config config;
static int64_t delays[] = {0, 20};
static struct queue *queue;
static struct hooks *hooks;
static struct receiver receiver;
static bool drained;

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void open_child(void)
{
    struct error err;

    queue = queue_open(loop, &config, keyring);
    hooks = hooks_open(loop, &config, queue, dns, &err);
}

static int setup(void **state)
{
    (void)state;
    webhooks_begin();
    config = fixture.config;
    config.worker.lease_ms = 250;
    config.secrets.keyring_file = keyring_file;
    config.webhook = (struct config_webhook){
        .timeout_ms = 10000,
        .retry = {delays, COUNT_OF(delays)},
        .allow_private = true,
    };
    drained = false;
    loop = loop_create();
    dns = dns_open(loop, NULL, NULL);
    assert_non_null(dns);
    receiver_open(&receiver, loop);
    receiver.answer = OK;
    open_child();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hooks_close(&hooks);
    assert_null(hooks);
    queue_close(&queue);
    dns_close(&dns);
    receiver_close(&receiver);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    webhooks_finish();
    return 0;
}

static struct id endpoint_of(const struct receiver *at, const char *events)
{
    char url[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%u/hook", at->port);
    return endpoint_at(url, events);
}

static bool backlog_is_empty(void)
{
    return strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0;
}

static const char *attempts_of(const struct id *id)
{
    return redis_ask("XRANGE ph:{0}:wa:%s - +", id->text);
}

static struct str header(const char *name)
{
    struct str rest = buf_str(&receiver.last);
    struct str line;

    while (str_cut(&rest, '\n', &line)) {
        struct str key;

        if (str_cut(&line, ':', &key) && str_eq_nocase(key, str_of(name)))
            return str_trim(str_slice(line, 0, line.len - 1));
    }
    fail_msg("no header %s", name);
    return S("");
}

static void an_event_comes_signed(void **state)
{
    static const char *const names[] = {"webhook", "svix"};
    struct id id = endpoint_of(&receiver, "email.sent");
    struct str body;
    struct buf expected;
    uint64_t time_s;
    char name[64];

    (void)state;
    raise_events(EVENT_SENT, 1);
    until(loop, receiver.requests == 1);
    body = buf_str(&receiver.last);
    body = str_from(body, (size_t)str_find(body, S("\r\n\r\n"), 0) + 4);
    assert_true(str_starts(body, S("{\"type\":\"email.sent\",")));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct str webhook_id;

        snprintf(name, sizeof name, "%s-timestamp", names[i]);
        assert_true(str_to_u64(header(name), &time_s));
        snprintf(name, sizeof name, "%s-id", names[i]);
        webhook_id = header(name);
        buf_init(&expected, 256);
        assert_true(sign_webhook(S(SECRET), webhook_id, (int64_t)time_s, body,
                                 &expected));
        snprintf(name, sizeof name, "%s-signature", names[i]);
        assert_true(str_eq(header(name), buf_str(&expected)));
        buf_finish(&expected);
    }
    until(loop, backlog_is_empty());
    assert_non_null(strstr(attempts_of(&id),
                           "{\"n\":1,\"status\":200,\"response\":\"ok\","));
}

static char first_id[64];

/* 500 to the first request, 200 to the next. */
static void fail_first(struct receiver *at)
{
    struct str id = header("webhook-id");

    if (at->requests == 1) {
        snprintf(first_id, sizeof first_id, "%.*s", STR_ARG(id));
        at->answer = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
        return;
    }
    assert_true(str_eq(id, str_of(first_id)));
    at->answer = OK;
}

static void a_refused_event_comes_again_under_its_id(void **state)
{
    struct id id = endpoint_of(&receiver, "email.sent");

    (void)state;
    receiver.on_request = fail_first;
    raise_events(EVENT_SENT, 1);
    until(loop, receiver.requests == 2 && backlog_is_empty());
    assert_non_null(strstr(attempts_of(&id), "{\"n\":1,\"status\":500,"));
    assert_non_null(strstr(attempts_of(&id), "{\"n\":2,\"status\":200,"));
}

static void the_schedule_has_an_end(void **state)
{
    struct id id = endpoint_of(&receiver, "email.sent");

    (void)state;
    receiver.answer = "HTTP/1.1 302 No\r\nLocation: /\r\n"
                      "Content-Length: 0\r\n\r\n";
    raise_events(EVENT_SENT, 1);
    until(loop, receiver.requests == 2 && backlog_is_empty());
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s enabled", id.text), "1");
}

static void a_gone_endpoint_is_asked_once(void **state)
{
    struct id id = endpoint_of(&receiver, "email.sent");

    (void)state;
    receiver.answer = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n";
    raise_events(EVENT_SENT, 1);
    until(loop, backlog_is_empty());
    assert_int_equal(receiver.requests, 1);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s enabled", id.text), "0");
}

static void a_private_address_is_never_asked(void **state)
{
    struct id id = endpoint_of(&receiver, "email.sent");

    (void)state;
    config.webhook.allow_private = false;
    raise_events(EVENT_SENT, 1);
    until(loop, backlog_is_empty());
    assert_int_equal(receiver.connections, 0);
    assert_non_null(strstr(attempts_of(&id),
                           "\"status\":0,\"error\":"
                           "\"the host is a loopback address\""));
}

static void a_secret_that_is_none_fails_the_task(void **state)
{
    struct id id = endpoint_of(&receiver, "email.sent");
    struct buf sealed;

    (void)state;
    buf_init(&sealed, 1024);
    keyring_seal(keyring, "webhook", id_str(&id), S("whsec_"), &sealed);
    redis_do("HSET ph:{0}:we:%s secret %b", id.text, sealed.data, sealed.len);
    buf_finish(&sealed);
    raise_events(EVENT_SENT, 1);
    until(loop, backlog_is_empty());
    assert_int_equal(receiver.connections, 0);
    assert_non_null(strstr(attempts_of(&id), "the secret is not usable"));
}

/* Eight requests hang at one endpoint; 200 events pass it by. */
static void one_slow_endpoint_delays_nobody(void **state)
{
    struct receiver slow;

    (void)state;
    receiver_open(&slow, loop);
    endpoint_of(&slow, "email.sent");
    endpoint_of(&receiver, "email.sent");
    raise_events(EVENT_SENT, 200);
    until(loop, receiver.requests == 200);
    assert_true(slow.requests <= 8);
    receiver_close(&slow);
}

static void on_drained(void *ctx)
{
    assert_null(ctx);
    drained = true;
}

static void a_drain_waits_for_the_answer(void **state)
{
    (void)state;
    endpoint_of(&receiver, "email.sent");
    receiver.answer = NULL;
    raise_events(EVENT_SENT, 1);
    until(loop, receiver.requests == 1);
    hooks_drain(hooks, on_drained, NULL);
    loop_turn(loop, 20);
    assert_false(drained);
    receiver_close(&receiver); /* hangs up */
    until(loop, drained);
    assert_string_equal(redis_ask("ZCARD ph:{0}:wdue"), "1");
    receiver_open(&receiver, loop);
}

/* The clock is moved beyond the limit of a drain. The next child sends what
 * was broken off, as its first attempt. */
static void a_drain_has_an_end(void **state)
{
    struct id id = endpoint_of(&receiver, "email.sent");

    (void)state;
    receiver.answer = NULL;
    raise_events(EVENT_SENT, 1);
    until(loop, receiver.requests == 1);
    hooks_drain(hooks, on_drained, NULL);
    loop_turn(loop, 20);
    assert_false(drained);
    clock_set(clock_now_ms() + 9000, clock_wall_ms() + 9000);
    until(loop, drained);
    clock_set(-1, -1);
    hooks_close(&hooks);
    queue_close(&queue);
    receiver.answer = OK;
    open_child();
    until(loop, receiver.requests == 2 && backlog_is_empty());
    assert_non_null(strstr(attempts_of(&id), "{\"n\":1,\"status\":200,"));
}

static void closed_in_the_middle_it_is_silent(void **state)
{
    (void)state;
    endpoint_of(&receiver, "email.sent");
    receiver.answer = NULL;
    raise_events(EVENT_SENT, 8);
    until(loop, receiver.requests == 8);
    hooks_close(&hooks);
    loop_turn(loop, 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_event_comes_signed),
        TEST(a_refused_event_comes_again_under_its_id),
        TEST(the_schedule_has_an_end),
        TEST(a_gone_endpoint_is_asked_once),
        TEST(a_private_address_is_never_asked),
        TEST(a_secret_that_is_none_fails_the_task),
        TEST(one_slow_endpoint_delays_nobody),
        TEST(a_drain_waits_for_the_answer),
        TEST(a_drain_has_an_end),
        TEST(closed_in_the_middle_it_is_silent),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
