/* Mails that are offered to two upstreams, which take their time at any stage,
 * refuse, break off and fall silent by chance, while mails are cancelled and
 * marks refused. Whatever comes: no mail is begun at both, none is taken twice,
 * every mail is told of, and who lost hears RSET before the next MAIL.
 *
 *   smtp_test_hedges [COUNT]    of mails that two were asked for; 1,000 */
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/io/dns.h"
#include "smtp/engine.h"

#include "peer.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    IN_HAND = 12,
    START_MS = 1000000,
    TURNS_MAX = 1000, /* for each mail that two are asked for */
    REPLIES_MAX = 8,  /* of a peer, not said yet */
    USUAL_MS = 20,    /* what is longer is slow */
    NEVER_MS = 100 * 1000,
};

static unsigned wanted = 1000;

/* --- the servers --- */

struct mail {
    struct list link; /* of cast.again */
    struct cast *cast;
    struct smtp_delivery delivery;
    struct task mark_task;
    char rcpt[32];
    char message[64];
    bool is_out;  /* with the engine */
    bool is_over; /* sent, refused for good, or cancelled */
    unsigned tries;
    bool is_no;     /* its mark was refused in this attempt */
    uint64_t begun; /* tries in which its message came: a bit each */
    unsigned taken; /* dots, ever */
};

struct cast {
    struct loop *loop;
    struct peers peers;
    struct list again; /* mails that came back */
    struct smtp *smtp;
    struct mail *mails;
    size_t mail_count;
    size_t next; /* that was not handed in yet */
    size_t over;
    unsigned hedged; /* attempts that two were asked for */
    unsigned by_second;
    unsigned sent;
    unsigned resets;
    unsigned refused; /* offers, by a server */
};

struct reply {
    const char *line; /* NULL: it breaks off */
    int64_t at_ms;
};

struct server {
    struct peer peer;
    struct timer timer;
    struct reply replies[REPLIES_MAX];
    size_t reply_count;
    bool is_open; /* MAIL was taken, and nothing has ended that */
    bool in_data;
    struct mail *mail; /* whose recipient was taken */
    uint64_t try;      /* of its, a bit */
    unsigned lines;    /* of the message */
};

static struct server *server_of(struct peer *peer)
{
    return CONTAINER_OF(peer, struct server, peer);
}

static struct cast *cast_of(const struct server *server)
{
    return CONTAINER_OF(server->peer.peers, struct cast, peers);
}

static void on_reply(void *ctx)
{
    struct server *server = ctx;
    size_t said = 0;

    while (said < server->reply_count &&
           server->replies[said].at_ms <= clock_now_ms()) {
        const char *line = server->replies[said++].line;

        if (line == NULL) {
            peer_close(&server->peer);
            return;
        }
        assert_true(stream_write(server->peer.stream, str_of(line)));
    }
    server->reply_count -= said;
    memmove(server->replies, server->replies + said,
            server->reply_count * sizeof server->replies[0]);
    if (server->reply_count > 0)
        timer_set_at(cast_of(server)->loop, &server->timer,
                     server->replies[0].at_ms);
}

/* At once, soon, late, or never. */
static int64_t whim_ms(void)
{
    unsigned dice = chance(200);

    if (dice == 0)
        return NEVER_MS;
    return dice < 120 ? 0 : dice < 180 ? chance(30) : chance(400);
}

static void say_after(struct server *server, const char *line, int64_t ms)
{
    int64_t at_ms = clock_now_ms() + ms;

    assert_true(server->reply_count < REPLIES_MAX);
    if (server->reply_count > 0 &&
        server->replies[server->reply_count - 1].at_ms > at_ms)
        at_ms = server->replies[server->reply_count - 1].at_ms;
    server->replies[server->reply_count++] = (struct reply){line, at_ms};
    timer_set_at(cast_of(server)->loop, &server->timer,
                 server->replies[0].at_ms);
}

static void say(struct server *server, const char *line)
{
    say_after(server, line, whim_ms());
}

/* Once the message was begun it is taken, however late. */
static void say_surely(struct server *server, const char *line)
{
    say_after(server, line, chance(100));
}

/* False: it has said something else. */
static bool agrees(struct server *server)
{
    static const char *const NOS[] = {"451 4.3.0 later\r\n",
                                      "450 4.2.0 greylisted\r\n", NULL, NULL,
                                      "550 5.1.1 no such user\r\n"};
    unsigned dice = chance(100);

    if (dice >= COUNT_OF(NOS))
        return true;
    say(server, NOS[dice]);
    cast_of(server)->refused++;
    return false;
}

/* RCPT TO:<n17.3@x.example>: the third try of mail 17. */
static void note_recipient(struct server *server, struct str line)
{
    size_t dot = (size_t)str_index(line, '.', 0);
    size_t at = (size_t)str_index(line, '@', 0);
    uint64_t number = 0;
    uint64_t tries = 0;

    assert_true(str_to_u64(str_slice(line, 10, dot - 10), &number));
    assert_true(str_to_u64(str_slice(line, dot + 1, at - dot - 1), &tries));
    assert_true(number < cast_of(server)->mail_count && tries < 64);
    server->mail = &cast_of(server)->mails[number];
    server->try = (uint64_t)1 << tries;
}

static void take_mail(struct server *server)
{
    assert_false(server->is_open); /* RSET came first */
    server->mail = NULL;
    server->is_open = agrees(server);
    if (server->is_open)
        say(server, "250 sender\r\n");
}

static void take_rcpt(struct server *server, struct str line)
{
    if (!server->is_open) {
        say(server, "503 no sender\r\n");
        return;
    }
    assert_null(server->mail);
    if (!agrees(server))
        return;
    note_recipient(server, line);
    say(server, "250 recipient\r\n");
}

static void take_data(struct server *server)
{
    server->in_data = server->mail != NULL;
    server->lines = 0;
    if (server->in_data)
        say_surely(server, "354 go\r\n");
    else
        say(server, "554 no recipient\r\n");
}

static void take_reset(struct server *server)
{
    cast_of(server)->resets++;
    server->is_open = false;
    server->mail = NULL;
    say(server, "250 reset\r\n");
}

static void take_command(struct server *server, struct str line)
{
    if (str_starts(line, S("EHLO")))
        say(server, "250-sink\r\n250 PIPELINING\r\n");
    else if (str_starts(line, S("MAIL")))
        take_mail(server);
    else if (str_starts(line, S("RCPT")))
        take_rcpt(server, line);
    else if (str_eq(line, S("DATA")))
        take_data(server);
    else if (str_eq(line, S("RSET")))
        take_reset(server);
    else if (str_eq(line, S("QUIT")))
        peer_close(&server->peer);
    else
        fail_msg("a command that is none: %.*s", STR_ARG(line));
}

/* No other server has been given it in this try. */
static void begin_message(struct server *server, struct str line)
{
    struct mail *mail = server->mail;

    assert_true(str_starts(str_of(mail->message), line));
    assert_int_equal(server->reply_count, 0);
    assert_true((mail->begun & server->try) == 0);
    mail->begun |= server->try;
}

static void take_line(struct server *server, struct str line)
{
    struct mail *mail = server->mail;

    if (!str_eq(line, S("."))) {
        if (server->lines++ == 0)
            begin_message(server, line);
        return;
    }
    server->in_data = server->is_open = false;
    assert_false(mail->is_no);
    mail->taken++;
    assert_int_equal(mail->taken, 1);
    say_surely(server, "250 2.0.0 taken\r\n");
}

static void hear(struct peer *peer, struct str line)
{
    struct server *server = server_of(peer);

    if (server->in_data)
        take_line(server, line);
    else
        take_command(server, line);
}

static void greet(struct peer *peer)
{
    struct server *server = server_of(peer);

    timer_init(&server->timer, on_reply, server);
    say(server, "220 sink\r\n");
}

static void hang_up(struct peer *peer)
{
    timer_clear(peer->peers->loop, &server_of(peer)->timer);
}

/* --- the mails --- */

static void answer_mark(void *ctx)
{
    struct mail *mail = ctx;
    unsigned dice = chance(40);

    mail->is_no = dice == 0;
    smtp_delivery_marked(&mail->delivery, dice != 0, clock_now_ms() + 5000);
}

static void on_mark(void *ctx)
{
    struct mail *mail = ctx;

    task_run_soon(mail->cast->loop, &mail->mark_task);
}

static void on_done(void *ctx, const struct smtp_result *result)
{
    struct mail *mail = ctx;
    struct cast *cast = mail->cast;

    assert_true(mail->is_out && !mail->is_over);
    assert_int_equal(mail->taken, result->verdict == SMTP_SENT);
    assert_true(result->verdict != SMTP_UNKNOWN);
    mail->is_out = false;
    cast->hedged += result->hedge_upstream[0] != '\0';
    cast->sent += result->verdict == SMTP_SENT;
    cast->by_second += result->hedge_upstream[0] != '\0' &&
                       result->verdict == SMTP_SENT &&
                       strcmp(result->hedge_upstream, result->upstream) == 0;
    mail->is_over = result->verdict == SMTP_SENT ||
                    result->verdict == SMTP_HARD ||
                    result->unsent == SMTP_UNSENT_STOPPED;
    cast->over += mail->is_over;
    if (!mail->is_over)
        list_add_last(&cast->again, &mail->link);
}

static void go(struct cast *cast, struct mail *mail)
{
    size_t number = (size_t)(mail - cast->mails);
    int len = snprintf(mail->rcpt, sizeof mail->rcpt, "n%zu.%u@x.example",
                       number, ++mail->tries);

    snprintf(mail->message, sizeof mail->message,
             "Subject: n%zu\r\n\r\n.Hi\r\n", number);
    mail->cast = cast;
    mail->is_out = true;
    mail->is_no = false;
    task_init(&mail->mark_task, answer_mark, mail);
    mail->delivery = (struct smtp_delivery){
        .id = S("job"),
        .mail_from = S("a@me.example"),
        .rcpt_to = str_make(mail->rcpt, (size_t)len),
        .message = {.frame = str_of(mail->message)},
        .route = smtp_route_named(cast->smtp, S("all")),
        .may_hedge = true,
        .deadline_ms = chance(50) == 0 ? clock_wall_ms() + chance(500) : 0,
        .on_mark = on_mark,
        .on_done = on_done,
        .ctx = mail,
    };
    smtp_deliver(cast->smtp, &mail->delivery);
}

/* What came back first. NULL: there are enough. */
static struct mail *next_mail(struct cast *cast)
{
    struct mail *mail = LIST_FIRST(&cast->again, struct mail, link);

    if (mail != NULL)
        list_remove(&mail->link);
    else if (cast->next < cast->mail_count)
        mail = &cast->mails[cast->next++];
    return mail;
}

static void hand_in(struct cast *cast)
{
    const struct smtp_route *route = smtp_route_named(cast->smtp, S("all"));
    size_t room = smtp_room(cast->smtp, route, 0);
    struct mail *mail;

    while (room-- > 0 && smtp_in_hand(cast->smtp) < IN_HAND &&
           (mail = next_mail(cast)) != NULL)
        go(cast, mail);
}

static void cancel_one(struct cast *cast)
{
    size_t at = cast->next - 1 - chance(IN_HAND);

    if (at < cast->next && cast->mails[at].is_out)
        (void)smtp_cancel(&cast->mails[at].delivery);
}

/* As if all were as quick as ever up to now, and nothing were spent. */
static void make_eager(struct cast *cast)
{
    static struct lag usual;

    while (usual.count < LAG_SAMPLES)
        lag_note(&usual, USUAL_MS);
    for (size_t i = 0; i < cast->smtp->upstream_count; i++)
        cast->smtp->upstreams[i].lag = usual;
    smtp_route_named(cast->smtp, S("all"))->hedge_credit = 1600;
}

static void move_clock(int64_t ms)
{
    clock_set(clock_now_ms() + ms, clock_wall_ms() + ms);
}

/* Until enough were hedged; then until all of these are over. */
static void run(struct cast *cast)
{
    for (unsigned i = 0; i < TURNS_MAX * wanted; i++) {
        make_eager(cast);
        if (cast->hedged >= wanted)
            cast->mail_count = cast->next;
        if (cast->over == cast->mail_count)
            return;
        hand_in(cast);
        if (chance(200) == 0)
            cancel_one(cast);
        peers_free_closed(&cast->peers);
        move_clock(smtp_in_hand(cast->smtp) == 0 ? 1000 : chance(4));
        loop_turn(cast->loop, 0);
    }
    fail_msg("%zu of %zu mails came to no end", cast->mail_count - cast->over,
             cast->mail_count);
}

/* Losers get their late answers. */
static void settle(struct cast *cast)
{
    for (int i = 0; i < 2000; i++) {
        move_clock(100);
        loop_turn(cast->loop, 0);
    }
    assert_int_equal(smtp_in_hand(cast->smtp), 0);
    assert_true(list_is_empty(&cast->smtp->hedges));
    assert_true(list_is_empty(&cast->smtp->losers));
    assert_true(list_is_empty(&cast->smtp->active));
    for (size_t i = 0; i < cast->smtp->upstream_count; i++) {
        const struct smtp_upstream *upstream = &cast->smtp->upstreams[i];

        assert_int_equal(upstream->waiting_count[0], 0);
        assert_int_equal(upstream->carried[0], 0);
        assert_int_equal(upstream->following[0], 0);
        assert_int_equal(upstream->owing, 0);
    }
}

static void check(const struct cast *cast)
{
    unsigned taken = 0;

    for (size_t i = 0; i < cast->mail_count; i++) {
        assert_true(cast->mails[i].taken <= 1);
        taken += cast->mails[i].taken;
    }
    print_message("  %zu mails, %u sent, %u offered twice, %u of them taken by "
                  "the second, %u offers refused, %u resets\n",
                  cast->mail_count, cast->sent, cast->hedged, cast->by_second,
                  cast->refused, cast->resets);
    assert_int_equal(taken, cast->sent);
    assert_true(cast->hedged >= wanted);
    assert_true(cast->by_second > 0 && cast->by_second < cast->hedged);
    assert_true(cast->resets > 0);
}

static struct config_upstream upstream_of(const char *name, uint16_t port)
{
    return (struct config_upstream){
        .name = name,
        .tls_cert_file = "",
        .tls_key_file = "",
        .source_address = "",
        .host = "127.0.0.1",
        .port = port,
        .tls = TLS_OFF,
        .tls_ca_file = "",
        .token_file = "",
        .auth = AUTH_NONE,
        .username = "",
        .password = "",
        .max_sessions = 10,
        .messages_per_session = 40,
        .pipeline_next = true,
        .weight = 1,
        .connect_timeout_ms = 20000,
        .banner_timeout_ms = 20000,
        .command_timeout_ms = 20000,
        .data_timeout_ms = 20000,
        .block_timeout_ms = 20000,
        .dot_timeout_ms = 20000,
        .session_timeout_ms = 600000,
        .idle_timeout_ms = 30000,
    };
}

static void no_mail_is_begun_twice(void **state)
{
    static const char *names[] = {"one", "two"};
    struct config_upstream upstreams[2];
    struct config_route route = {"all", "", "", "", "", {names, 2}, false, 100};
    const struct config config = {.upstreams = upstreams,
                                  .upstream_count = 2,
                                  .routes = &route,
                                  .route_count = 1};
    const struct smtp_settings settings = {.child_count = 1,
                                           .hello_name = "me.example"};
    struct cast cast = {.loop = loop_create(), .mail_count = 10 * wanted};
    struct dns *dns = dns_open(cast.loop, NULL, NULL);

    (void)state;
    log_setup(LOG_ERROR, LOG_AUTO, "test");
    seed = 2463534242u;
    clock_set(START_MS, START_MS);
    cast.peers = (struct peers){.loop = cast.loop,
                                .size = sizeof(struct server),
                                .greet = greet,
                                .hear = hear,
                                .close = hang_up};
    peers_open(&cast.peers);
    list_init(&cast.again);
    cast.mails = xcalloc(cast.mail_count, sizeof *cast.mails);
    for (size_t i = 0; i < 2; i++)
        upstreams[i] = upstream_of(names[i], cast.peers.port);
    cast.smtp = smtp_open(cast.loop, dns, &config, &settings, NULL);
    run(&cast);
    settle(&cast);
    check(&cast);
    smtp_close(&cast.smtp);
    peers_close(&cast.peers);
    dns_close(&dns);
    loop_turn(cast.loop, 0);
    loop_destroy(&cast.loop);
    free(cast.mails);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_mail_is_begun_twice)};

    if (argc > 1)
        wanted = (unsigned)strtoul(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
