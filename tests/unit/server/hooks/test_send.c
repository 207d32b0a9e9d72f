#include "server/hooks/send.h"

#include "server/base/buf.h"
#include "server/io/listen.h"
#include "server/io/stream.h"
#include "server/io/tls.h"

#include "check_cmocka.h"
#include "receiver.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define BODY   "{\"type\":\"email.sent\"}"
#define OK     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct loop *loop;
static struct dns *dns;
static struct dns_stub stub;
static struct receiver receiver;
static struct config_webhook policy;
static struct sender *sender;

/* The last result, its texts copied. */
static struct {
    size_t count;
    struct send_result result;
    char response[SEND_RESPONSE_MAX + 1];
    char error[512];
} got;

static size_t loopback(size_t question, uint32_t addresses[STUB_ADDRESSES_MAX])
{
    (void)question;
    addresses[0] = 0x7f000001;
    return 1;
}

static int setup(void **state)
{
    struct error err;

    (void)state;
    memset(&got, 0, sizeof got);
    loop = loop_create();
    stub.answer = loopback;
    dns_stub_open(&stub, loop);
    dns = dns_open(loop, stub.servers, &err);
    assert_non_null(dns);
    receiver_open(&receiver, loop);
    receiver.answer = OK;
    policy =
        (struct config_webhook){.timeout_ms = 10000, .allow_private = true};
    sender = sender_open(loop, dns, &policy, &err);
    assert_non_null(sender);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sender_close(&sender);
    assert_null(sender);
    receiver_close(&receiver);
    dns_close(&dns);
    dns_stub_close(&stub);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

static void on_done(void *ctx, const struct send_result *result)
{
    assert_null(ctx);
    got.count++;
    got.result = *result;
    snprintf(got.response, sizeof got.response, "%.*s",
             STR_ARG(result->response));
    snprintf(got.error, sizeof got.error, "%s", result->error);
}

static struct send *start(const char *host, const char *path)
{
    struct sign_headers headers;
    char url[200];

    snprintf(url, sizeof url, "http://%s:%u%s", host, receiver.port, path);
    assert_true(
        sign_headers(S(SECRET), S("msg_1"), 1614265330, S(BODY), &headers));
    return send_start(sender,
                      &(struct send_request){
                          .url = str_of(url),
                          .body = S(BODY),
                          .headers = &headers,
                      },
                      on_done, NULL);
}

static void finish(size_t count)
{
    while (got.count < count)
        loop_turn(loop, -1);
}

static void post(const char *host)
{
    size_t before = got.count;

    start(host, "/hook");
    assert_int_equal(got.count, before); /* never inside the call */
    finish(before + 1);
}

static void a_request_is_these_bytes(void **state)
{
    char expected[1000];
    struct sign_headers headers;
    int len;

    (void)state;
    assert_true(
        sign_headers(S(SECRET), S("msg_1"), 1614265330, S(BODY), &headers));
    start("127.0.0.1", "/a/../b?c=%20d");
    finish(1);
    len = snprintf(expected, sizeof expected,
                   "POST /a/../b?c=%%20d HTTP/1.1\r\n"
                   "Host: 127.0.0.1:%u\r\n"
                   "Accept: */*\r\n"
                   "Content-Type: application/json\r\n"
                   "User-Agent: Posthaste-Webhooks\r\n"
                   "%s\r\n%s\r\n%s\r\n%s\r\n%s\r\n%s\r\n"
                   "Content-Length: 21\r\n\r\n" BODY,
                   receiver.port, headers.lines[0], headers.lines[1],
                   headers.lines[2], headers.lines[3], headers.lines[4],
                   headers.lines[5]);
    assert_int_equal(receiver.last.len, len);
    assert_memory_equal(receiver.last.data, expected, receiver.last.len);
    assert_int_equal(got.result.status, 200);
    assert_string_equal(got.response, "ok");
    assert_string_equal(got.error, "");
    assert_false(got.result.refused);
}

static struct {
    unsigned count;
    int status;
    size_t len;
    bool is_cut;
    char type[128];
    char error[512];
} page;

static void on_page(void *ctx, const struct send_result *result)
{
    assert_null(ctx);
    page.count++;
    page.status = result->status;
    page.len = result->response.len;
    page.is_cut = result->is_cut;
    snprintf(page.type, sizeof page.type, "%.*s", STR_ARG(result->type));
    snprintf(page.error, sizeof page.error, "%s", result->error);
}

static void get(const char *answer, size_t more)
{
    char url[64];

    memset(&page, 0, sizeof page);
    receiver.answer = answer;
    receiver.repeat_last = more;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/x", receiver.port);
    send_start(sender,
               &(struct send_request){.url = str_of(url), .body = S("")},
               on_page, NULL);
    while (page.count == 0)
        loop_turn(loop, -1);
}

static void a_page_is_fetched_whole(void **state)
{
    char expected[200];

    (void)state;
    get("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=x\r\n"
        "Content-Length: 5000\r\n\r\n",
        5000);
    snprintf(expected, sizeof expected,
             "GET /x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: */*\r\n"
             "User-Agent: Posthaste\r\n\r\n",
             receiver.port);
    assert_true(str_eq(buf_str(&receiver.last), str_of(expected)));
    assert_int_equal(page.status, 200);
    assert_int_equal(page.len, 5000);
    assert_false(page.is_cut);
    assert_string_equal(page.type, "text/plain; charset=x");
    get("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", 70000);
    assert_int_equal(page.status, 200);
    assert_true(page.is_cut);
    assert_in_range(page.len, 1, SEND_READ_MAX);
    assert_string_equal(page.type, "");
    get("HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", 0);
    assert_int_equal(page.status, 302);
    assert_string_equal(page.error, "");
}

static void a_name_is_resolved_and_pinned(void **state)
{
    char host[64];

    (void)state;
    post("hook.example.com");
    assert_int_equal(got.result.status, 200);
    snprintf(host, sizeof host, "\r\nHost: hook.example.com:%u\r\n",
             receiver.port);
    assert_true(str_contains(buf_str(&receiver.last), str_of(host)));
    assert_int_equal(stub.questions, 1);
}

static void a_connection_is_used_again(void **state)
{
    (void)state;
    post("hook.example.com");
    assert_false(got.result.reused);
    post("hook.example.com");
    assert_true(got.result.reused);
    assert_int_equal(receiver.connections, 1);
    assert_int_equal(receiver.requests, 2);
}

/* Instead of an answer. */
static void hang_up_on_the_second(struct receiver *at)
{
    at->closes = at->requests == 2;
    at->answer = at->closes ? NULL : OK;
}

/* Whoever closes what was idle may do so just when a request is on its way. */
static void a_connection_that_ends_meanwhile_costs_nothing(void **state)
{
    (void)state;
    receiver.on_request = hang_up_on_the_second;
    post("hook.example.com");
    post("hook.example.com");
    assert_int_equal(got.result.status, 200);
    assert_string_equal(got.error, "");
    assert_int_equal(receiver.connections, 2);
    assert_int_equal(receiver.requests, 3);
    assert_true(str_contains(buf_str(&receiver.last), S(BODY)));
}

static void a_redirect_is_not_followed(void **state)
{
    (void)state;
    receiver.answer = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n"
                      "Content-Length: 0\r\n\r\n";
    post("127.0.0.1");
    assert_int_equal(got.result.status, 302);
    assert_int_equal(receiver.requests, 1);
}

static void retry_after_is_read(void **state)
{
    (void)state;
    receiver.answer = "HTTP/1.1 429 Slow\r\nRetry-After: 120\r\n"
                      "Content-Length: 0\r\n\r\n";
    post("127.0.0.1");
    assert_int_equal(got.result.status, 429);
    assert_int_equal(got.result.retry_after_s, 120);
    receiver.answer = "HTTP/1.1 503 Slow\r\n"
                      "Retry-After: Wed, 01 Jan 2098 00:00:00 GMT\r\n"
                      "Content-Length: 0\r\n\r\n";
    post("127.0.0.1");
    assert_true(got.result.retry_after_s > 24 * 60 * 60);
    receiver.answer = OK;
    post("127.0.0.1");
    assert_int_equal(got.result.retry_after_s, 0);
}

static void a_response_is_kept_short_and_clean(void **state)
{
    (void)state;
    receiver.answer = "HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\na\x01\xff"
                      "\nb";
    post("127.0.0.1");
    assert_string_equal(got.response, "a???b");
    receiver.answer = "HTTP/1.1 500 No\r\nContent-Length: 5000\r\n\r\n";
    receiver.repeat_last = 5000;
    post("127.0.0.1");
    assert_int_equal(strlen(got.response), SEND_RESPONSE_MAX);
}

static void a_huge_body_is_cut_and_the_status_counts(void **state)
{
    (void)state;
    receiver.answer = "HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n";
    receiver.repeat_last = 8000000;
    post("127.0.0.1");
    assert_int_equal(got.result.status, 200);
    assert_int_equal(strlen(got.response), SEND_RESPONSE_MAX);
    assert_true(receiver.taken_bytes < 8000000);
}

static void an_endless_head_is_an_error(void **state)
{
    static char head[200000];
    size_t len = (size_t)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n");

    (void)state;
    while (len + 20 < sizeof head)
        len += (size_t)snprintf(head + len, sizeof head - len, "A: b\r\n");
    receiver.answer = head;
    post("127.0.0.1");
    assert_int_equal(got.result.status, 0);
    assert_string_equal(got.error, "the head of the response is too long");
}

/* Bytes keep coming, the end does not. */
static void a_drip_times_out(void **state)
{
    (void)state;
    policy.timeout_ms = 100;
    receiver.answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    post("127.0.0.1");
    assert_int_equal(got.result.status, 0);
    assert_string_equal(got.error, "timeout");
    assert_true(got.result.took_ms >= 100);
}

static void a_silent_server_times_out(void **state)
{
    (void)state;
    policy.timeout_ms = 100;
    receiver.answer = NULL;
    post("127.0.0.1");
    assert_string_equal(got.error, "timeout");
}

static void a_server_that_hangs_up_is_an_error(void **state)
{
    (void)state;
    receiver.answer = NULL;
    receiver.closes = true;
    post("127.0.0.1");
    assert_int_equal(got.result.status, 0);
    assert_true(got.error[0] != '\0');
    assert_false(got.result.refused);
}

static void nobody_there_is_an_error(void **state)
{
    (void)state;
    receiver_close(&receiver);
    post("127.0.0.1");
    assert_int_equal(got.result.status, 0);
    assert_true(got.error[0] != '\0');
    receiver_open(&receiver, loop);
}

static void a_private_address_is_refused(void **state)
{
    (void)state;
    policy.allow_private = false;
    post("127.0.0.1");
    assert_true(got.result.refused);
    assert_string_equal(got.error, "the host is a loopback address");
    post("hook.example.com");
    assert_true(got.result.refused);
    assert_string_equal(got.error, "the host has a loopback address");
    assert_int_equal(receiver.connections, 0);
}

static size_t one_good_one_bad(size_t question,
                               uint32_t addresses[STUB_ADDRESSES_MAX])
{
    (void)question;
    addresses[0] = 0x7f000001;
    addresses[1] = 0xa9fea9fe; /* 169.254.169.254 */
    return 2;
}

static void one_bad_address_condemns_the_name(void **state)
{
    (void)state;
    stub.answer = one_good_one_bad;
    post("hook.example.com");
    assert_true(got.result.refused);
    assert_int_equal(receiver.connections, 0);
}

static size_t first_good_then_bad(size_t question,
                                  uint32_t addresses[STUB_ADDRESSES_MAX])
{
    addresses[0] = question == 1 ? 0x7f000001 : 0xa9fea9fe;
    return 1;
}

/* Resolved anew for each attempt, vetted anew, and never by curl. */
static void a_rebound_name_is_refused(void **state)
{
    (void)state;
    stub.answer = first_good_then_bad;
    receiver.closes = true;
    post("hook.example.com");
    assert_int_equal(got.result.status, 200);
    assert_int_equal(stub.questions, 1);
    post("hook.example.com");
    assert_true(got.result.refused);
    assert_string_equal(got.error, "the host has a link-local address");
    assert_int_equal(receiver.connections, 1);
}

static size_t none(size_t question, uint32_t addresses[STUB_ADDRESSES_MAX])
{
    (void)question;
    (void)addresses;
    return 0;
}

static void a_resolver_that_fails_is_a_refusal(void **state)
{
    (void)state;
    stub.answer = none;
    post("hook.example.com");
    assert_int_equal(got.result.status, 0);
    assert_true(str_starts(str_of(got.error), S("resolving the host: ")));
    assert_int_equal(receiver.connections, 0);
}

/* --- an https server that nobody trusts --- */

static struct {
    struct tls_server *tls;
    struct stream *stream;
    size_t read_bytes;
    bool ended;
} untrusted;

static void on_readable(void *ctx, struct buf *input)
{
    (void)ctx;
    untrusted.read_bytes += input->len;
    buf_consume(input, input->len);
}

static void on_ended(void *ctx, enum stream_end end, const char *reason)
{
    (void)ctx;
    (void)end;
    (void)reason;
    untrusted.ended = true;
}

static void on_accepted(void *ctx, int fd, const struct address *peer)
{
    static const struct stream_events events = {
        .readable = on_readable,
        .ended = on_ended,
    };
    struct error err;

    (void)ctx;
    (void)peer;
    untrusted.stream = stream_accept(loop,
                                     &(struct stream_options){
                                         .events = &events,
                                         .input_max = 65536,
                                         .output_max = 65536,
                                     },
                                     fd);
    assert_true(stream_start_tls_server(untrusted.stream, untrusted.tls, &err));
}

static void an_unknown_certificate_gets_nothing(void **state)
{
    struct error err;
    struct address address;
    struct acceptor *acceptor;
    struct sign_headers headers;
    char url[100];
    int fd = listen_open("127.0.0.1:0", &(struct listen_options){0}, &err);

    (void)state;
    memset(&untrusted, 0, sizeof untrusted);
    untrusted.tls = tls_server_create_self_signed("127.0.0.1", &err);
    assert_non_null(untrusted.tls);
    acceptor = acceptor_open(loop, fd, on_accepted, NULL);
    listen_address(fd, &address);
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", address_port(&address));
    assert_true(sign_headers(S(SECRET), S("msg_1"), 1, S(BODY), &headers));
    send_start(sender,
               &(struct send_request){
                   .url = str_of(url), .body = S(BODY), .headers = &headers},
               on_done, NULL);
    finish(1);
    assert_int_equal(got.result.status, 0);
    assert_true(str_contains(str_of(got.error), S("certificate")));
    while (!untrusted.ended)
        loop_turn(loop, -1);
    assert_int_equal(untrusted.read_bytes, 0);
    stream_close(&untrusted.stream);
    acceptor_close(&acceptor);
    close(fd);
    tls_server_destroy(&untrusted.tls);
}

static void the_environment_has_no_say(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "socks5://127.0.0.1:1", 1);
    post("hook.example.com");
    assert_int_equal(got.result.status, 200);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
}

static void one_slow_endpoint_delays_nobody(void **state)
{
    struct send *slow;

    (void)state;
    receiver.answer = NULL;
    slow = start("slow.example.com", "/");
    while (receiver.requests == 0)
        loop_turn(loop, -1);
    receiver.answer = OK;
    post("fast.example.com");
    assert_int_equal(got.result.status, 200);
    send_cancel(&slow);
    assert_null(slow);
    loop_turn(loop, 0);
    assert_int_equal(got.count, 1);
}

static void cancelled_while_resolving(void **state)
{
    struct send *send = start("hook.example.com", "/");

    (void)state;
    send_cancel(&send);
    send_cancel(&send);
    post("127.0.0.1");
    assert_int_equal(got.count, 1);
    assert_int_equal(receiver.requests, 1);
}

static void close_on_done(void *ctx, const struct send_result *result)
{
    (void)ctx;
    assert_int_equal(result->status, 200);
    got.count++;
    sender_close(&sender);
}

static void closed_by_a_callback_others_stay_silent(void **state)
{
    struct sign_headers headers;
    char url[100];

    (void)state;
    assert_true(sign_headers(S(SECRET), S("msg_1"), 1, S(BODY), &headers));
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", receiver.port);
    for (size_t i = 0; i < 5; i++)
        send_start(sender,
                   &(struct send_request){.url = str_of(url),
                                          .body = S(BODY),
                                          .headers = &headers},
                   close_on_done, NULL);
    finish(1);
    loop_turn(loop, 0);
    assert_int_equal(got.count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_these_bytes),
        TEST(a_name_is_resolved_and_pinned),
        TEST(a_connection_is_used_again),
        TEST(a_connection_that_ends_meanwhile_costs_nothing),
        TEST(a_redirect_is_not_followed),
        TEST(a_page_is_fetched_whole),
        TEST(retry_after_is_read),
        TEST(a_response_is_kept_short_and_clean),
        TEST(a_huge_body_is_cut_and_the_status_counts),
        TEST(an_endless_head_is_an_error),
        TEST(a_drip_times_out),
        TEST(a_silent_server_times_out),
        TEST(a_server_that_hangs_up_is_an_error),
        TEST(nobody_there_is_an_error),
        TEST(a_private_address_is_refused),
        TEST(one_bad_address_condemns_the_name),
        TEST(a_rebound_name_is_refused),
        TEST(a_resolver_that_fails_is_a_refusal),
        TEST(an_unknown_certificate_gets_nothing),
        TEST(the_environment_has_no_say),
        TEST(one_slow_endpoint_delays_nobody),
        TEST(cancelled_while_resolving),
        TEST(closed_by_a_callback_others_stay_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
