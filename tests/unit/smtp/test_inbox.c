#include "smtp/inbox.h"

#include "server/base/arena.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/io/loop.h"
#include "server/io/stream.h"
#include "server/io/tls.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <unistd.h>

static struct loop *loop;
static struct inbox *inbox;

static int setup(void **state)
{
    (void)state;
    loop = loop_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    inbox_close(&inbox);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    clock_set(-1, -1);
    return 0;
}

#define turn_until(condition)                                                  \
    do {                                                                       \
        for (int turns_ = 0; !(condition); turns_++) {                         \
            assert_true(turns_ < 100000);                                      \
            loop_turn(loop, 10000);                                            \
        }                                                                      \
    } while (0)

/* A client that gathers what it is told. */
struct client {
    struct stream *stream;
    struct buf got;
    bool opened;
    bool secured;
    bool ended;
    enum stream_end end;
    bool deaf; /* takes nothing in */
};

static void on_readable(void *ctx, struct buf *input)
{
    struct client *client = ctx;

    if (client->deaf)
        return;
    buf_add(&client->got, buf_str(input));
    buf_consume(input, input->len);
}

static void on_opened(void *ctx)
{
    struct client *client = ctx;

    client->opened = true;
}

static void on_secured(void *ctx)
{
    struct client *client = ctx;

    client->secured = true;
}

static void on_ended(void *ctx, enum stream_end end, const char *reason)
{
    struct client *client = ctx;

    (void)reason;
    client->ended = true;
    client->end = end;
}

static void client_open(struct client *client)
{
    static const struct stream_events events = {.opened = on_opened,
                                                .readable = on_readable,
                                                .secured = on_secured,
                                                .ended = on_ended};
    struct stream_options options = {&events, client, 1 << 16, 1 << 26};
    struct address address;

    *client = (struct client){0};
    buf_init(&client->got, 1 << 24);
    inbox_address(inbox, &address);
    client->stream = stream_connect(loop, &options, &address, NULL);
}

static void client_close(struct client *client)
{
    stream_close(&client->stream);
    buf_finish(&client->got);
}

static void say(struct client *client, const char *text)
{
    assert_true(stream_write(client->stream, str_of(text)));
}

static bool heard(const struct client *client, const char *text)
{
    return str_contains(buf_str(&client->got), str_of(text));
}

static void open_inbox(const struct inbox_options *options)
{
    struct error err;

    inbox = inbox_open(loop, options, &err);
    if (inbox == NULL)
        fail_msg("%s", err.text);
}

static void send_mail(struct client *client, const char *to, const char *text)
{
    char envelope[400];

    snprintf(envelope, sizeof envelope,
             "MAIL FROM:<a@b.test>\r\nRCPT TO:<%s>\r\nDATA\r\n", to);
    say(client, envelope);
    say(client, text);
    say(client, "\r\n.\r\n");
}

static void a_mail_is_captured_with_its_envelope(void **state)
{
    const struct inbox_mail *mail;
    struct client client;

    (void)state;
    clock_set(5000, 1800000000000);
    open_inbox(&(struct inbox_options){.name = "here.test"});
    client_open(&client);
    say(&client, "EHLO me.test\r\nAUTH PLAIN AGFwcABzZWNyZXQ=\r\n");
    send_mail(&client, "Ann@d.test", "Subject: code\r\n\r\n123456");
    say(&client, "QUIT\r\n");
    turn_until(client.ended);
    assert_int_equal(client.end, STREAM_EOF);
    assert_true(heard(&client, "220 here.test "));
    assert_true(heard(&client, "250 2.0.0 captured as 1\r\n221 "));
    assert_int_equal(inbox_count(inbox), 1);
    mail = inbox_newest(inbox, S("ann@D.test"));
    assert_non_null(mail);
    assert_true(str_eq(mail->raw, S("Subject: code\r\n\r\n123456\r\n")));
    assert_true(str_eq(mail->mail_from, S("a@b.test")));
    assert_true(str_eq(mail->hello, S("me.test")));
    assert_true(str_eq(mail->username, S("app")));
    assert_true(str_starts(mail->peer, S("127.0.0.1:")));
    assert_int_equal(mail->at_ms, 1800000000000);
    assert_false(mail->tls);
    assert_null(inbox_newest(inbox, S("bob@d.test")));
    client_close(&client);
}

static void starttls_and_implicit_tls(void **state)
{
    struct error err;
    struct tls_server *server = tls_server_create_self_signed("in.test", &err);
    struct tls_client *tls = tls_client_create(
        &(struct tls_client_options){.trust = TLS_TRUST_ANY}, &err);
    struct client client;

    (void)state;
    for (int implicit = 0; implicit < 2; implicit++) {
        open_inbox(&(struct inbox_options){.tls = server,
                                           .implicit_tls = implicit == 1});
        client_open(&client);
        turn_until(client.opened);
        if (implicit == 0) {
            say(&client, "EHLO me\r\nSTARTTLS\r\n");
            turn_until(heard(&client, "begin TLS\r\n"));
        }
        assert_true(
            stream_start_tls_client(client.stream, tls, "in.test", NULL));
        turn_until(client.secured);
        buf_clear(&client.got);
        say(&client, "EHLO me\r\n");
        send_mail(&client, "c@d.test", "hi");
        turn_until(heard(&client, "captured"));
        assert_false(heard(&client, "STARTTLS"));
        assert_int_equal(heard(&client, "220 "), implicit == 1);
        assert_true(inbox_newest(inbox, S(""))->tls);
        client_close(&client);
        inbox_close(&inbox);
    }
    tls_client_destroy(&tls);
    tls_server_destroy(&server);
}

static void commands_behind_starttls_end_the_session(void **state)
{
    struct error err;
    struct tls_server *server = tls_server_create_self_signed("in.test", &err);
    struct client client;

    (void)state;
    open_inbox(&(struct inbox_options){.tls = server});
    client_open(&client);
    say(&client, "EHLO me\r\nSTARTTLS\r\nNOOP\r\n");
    turn_until(client.ended);
    client_close(&client);
    tls_server_destroy(&server);
}

static void half_closed_clients_get_all_replies(void **state)
{
    static char many[6000 * 6 + 1];
    struct address address;
    char got[1 << 10];
    ssize_t count;
    size_t total = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    open_inbox(&(struct inbox_options){0});
    inbox_address(inbox, &address);
    assert_int_equal(connect(fd, &address.at.any, address.len), 0);
    for (size_t i = 0; i < 6000; i++)
        memcpy(many + 6 * i, "NOOP\r\n", 7);
    assert_int_equal(write(fd, many, 36000), 36000);
    shutdown(fd, SHUT_WR);
    for (;;) {
        loop_turn(loop, 0);
        count = recv(fd, got, sizeof got, MSG_DONTWAIT);
        if (count == 0)
            break;
        total += count > 0 ? (size_t)count : 0;
    }
    assert_int_equal(total, strlen("220 inbox.localhost ESMTP captures mail, "
                                   "delivers none\r\n") +
                                6000 * strlen("250 2.0.0 nothing done\r\n"));
    close(fd);
}

static void the_oldest_make_room(void **state)
{
    const struct inbox_mail *mail;
    struct client client;

    (void)state;
    open_inbox(&(struct inbox_options){
        .kept_mails_max = 3, .mail_max = 100, .kept_bytes_max = 150});
    client_open(&client);
    say(&client, "EHLO me\r\n");
    for (int i = 0; i < 5; i++)
        send_mail(&client, i % 2 ? "odd@d.test" : "even@d.test", "small");
    turn_until(heard(&client, "captured as 5"));
    assert_int_equal(inbox_count(inbox), 3);
    assert_int_equal(inbox_next(inbox, S(""), 0)->number, 3);
    assert_int_equal(inbox_next(inbox, S("odd@d.test"), 0)->number, 4);
    assert_int_equal(inbox_newest(inbox, S("even@d.test"))->number, 5);
    assert_null(inbox_next(inbox, S(""), 5));

    send_mail(&client, "c@d.test", /* 98 bytes and a line end */
              "0123456789012345678901234567890123456789012345678"
              "0123456789012345678901234567890123456789012345678");
    turn_until(heard(&client, "captured as 6"));
    assert_int_equal(inbox_count(inbox), 3);
    send_mail(&client, "c@d.test",
              "0123456789012345678901234567890123456789012345678"
              "0123456789012345678901234567890123456789012345678");
    turn_until(heard(&client, "captured as 7"));
    assert_int_equal(inbox_count(inbox), 1); /* 200 bytes are too many */
    inbox_clear(inbox);
    assert_int_equal(inbox_count(inbox), 0);
    send_mail(&client, "c@d.test", "x");
    turn_until(heard(&client, "captured as 8"));
    mail = inbox_newest(inbox, S(""));
    assert_int_equal(mail->number, 8);
    client_close(&client);
}

static void more_sessions_than_allowed_are_told(void **state)
{
    struct client first;
    struct client second;

    (void)state;
    open_inbox(&(struct inbox_options){.sessions_max = 1});
    client_open(&first);
    turn_until(heard(&first, "220 "));
    client_open(&second);
    turn_until(second.ended);
    assert_string_equal(second.got.data, "421 4.3.2 too many sessions\r\n");
    client_close(&first);
    client_close(&second);
    client_open(&second);
    turn_until(heard(&second, "220 ") || second.ended);
    client_close(&second);
}

static void silence_has_an_end(void **state)
{
    struct client client;

    (void)state;
    clock_set(1000, 1000);
    open_inbox(&(struct inbox_options){.idle_timeout_ms = 60000});
    client_open(&client);
    say(&client, "NOOP\r\n");
    turn_until(heard(&client, "250 "));
    clock_set(60999, 1000);
    loop_turn(loop, 0);
    assert_false(client.ended);
    clock_set(61001, 1000);
    turn_until(client.ended);
    assert_true(heard(&client, "421 4.4.2 silent for too long\r\n"));
    client_close(&client);
}

/* One that sends commands and takes no reply is not read any further, and
 * goes when its time is up. */
static void a_deaf_client_is_bounded(void **state)
{
    static char many[1 << 16];
    struct client client;

    (void)state;
    clock_set(1000, 1000);
    open_inbox(&(struct inbox_options){.idle_timeout_ms = 60000});
    client_open(&client);
    client.deaf = true;
    for (size_t i = 0; i + 6 < sizeof many; i += 6)
        memcpy(many + i, "NOOP\r\n", 7);
    for (int i = 0; i < 500; i++)
        assert_true(stream_write(client.stream, str_of(many)));
    for (int i = 0; i < 2000; i++)
        loop_turn(loop, 0);
    assert_true(stream_queued_bytes(client.stream) > 0); /* not read */
    clock_set(62000, 1000);
    turn_until(client.ended);
    client_close(&client);
}

struct waiter {
    unsigned calls;
    uint64_t number;
    char code[16];
    struct inbox_wait *cancels;
    bool closes;
};

static void on_mail(void *ctx, const struct inbox_mail *mail)
{
    struct waiter *waiter = ctx;
    struct arena *arena = arena_create();
    struct inbox_view view;

    waiter->calls++;
    waiter->number = mail->number;
    inbox_view_read(&view, mail->raw, arena);
    snprintf(waiter->code, sizeof waiter->code, "%.*s", STR_ARG(view.code));
    arena_destroy(&arena);
    inbox_cancel(&waiter->cancels);
    if (waiter->closes)
        inbox_close(&inbox);
}

static void waiting_ends_with_the_mail(void **state)
{
    struct waiter ann = {0};
    struct waiter any = {0};
    struct waiter never = {0};
    struct inbox_wait *wait;
    struct client client;

    (void)state;
    open_inbox(&(struct inbox_options){0});
    inbox_wait(inbox, S("ann@d.test"), 0, on_mail, &ann);
    wait = inbox_wait(inbox, S(""), 0, on_mail, &never);
    inbox_cancel(&wait);
    assert_null(wait);
    inbox_cancel(&wait);
    client_open(&client);
    say(&client, "EHLO me\r\n");
    send_mail(&client, "bob@d.test", "Subject: 1111 is your code\r\n");
    turn_until(heard(&client, "captured as 1"));
    assert_int_equal(ann.calls, 0);
    send_mail(&client, "ANN@d.test", "Subject: 2222 is your code\r\n");
    turn_until(ann.calls == 1);
    assert_int_equal(ann.number, 2);
    assert_string_equal(ann.code, "2222");

    inbox_wait(inbox, S(""), 0, on_mail, &any); /* is there already */
    any.cancels = inbox_wait(inbox, S(""), 1, on_mail, &never);
    assert_int_equal(any.calls, 0);
    turn_until(any.calls == 1);
    assert_int_equal(any.number, 1);
    assert_int_equal(never.calls, 0);
    client_close(&client);
}

static void closing_in_a_callback_ends_all(void **state)
{
    struct waiter closer = {.closes = true};
    struct waiter other = {0};
    struct client client;

    (void)state;
    open_inbox(&(struct inbox_options){0});
    inbox_wait(inbox, S(""), 0, on_mail, &closer);
    inbox_wait(inbox, S(""), 0, on_mail, &other);
    client_open(&client);
    say(&client, "EHLO me\r\n");
    send_mail(&client, "c@d.test", "x");
    turn_until(client.ended);
    assert_int_equal(closer.calls, 1);
    assert_int_equal(other.calls, 0);
    assert_null(inbox);
    client_close(&client);
}

static void a_place_that_cannot_be_had_is_told(void **state)
{
    struct error err;

    (void)state;
    assert_null(inbox_open(loop, &(struct inbox_options){.listen = "x"}, &err));
    assert_int_equal(err.kind, ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_mail_is_captured_with_its_envelope),
        TEST(starttls_and_implicit_tls),
        TEST(commands_behind_starttls_end_the_session),
        TEST(half_closed_clients_get_all_replies),
        TEST(the_oldest_make_room),
        TEST(more_sessions_than_allowed_are_told),
        TEST(silence_has_an_end),
        TEST(a_deaf_client_is_bounded),
        TEST(waiting_ends_with_the_mail),
        TEST(closing_in_a_callback_ends_all),
        TEST(a_place_that_cannot_be_had_is_told),
#undef TEST
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
