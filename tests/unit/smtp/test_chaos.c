/* Hundreds of mails against a server that refuses, lies and breaks off by
 * chance. Whatever it does: every mail is told of once, "sent" means that the
 * server took it in this attempt, and anything else but "unknown" that it did
 * not. */
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/io/dns.h"
#include "smtp/engine.h"

#include "peer.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAILS = 300, ROUNDS = 4, TURNS_MAX = 200000, START_MS = 1000000 };

/* --- the server --- */

struct chaos {
    struct peers peers;
    unsigned taken[MAILS]; /* how often each mail was taken */
    unsigned rage;         /* of 100 replies, so many go wrong */
    size_t pairs;          /* dots with commands behind them */
};

struct server {
    struct peer peer;
    bool in_data;
    bool has_recipient;
    unsigned number; /* of the recipient */
};

static struct chaos *chaos_of(const struct server *server)
{
    return CONTAINER_OF(server->peer.peers, struct chaos, peers);
}

static void say(struct server *server, const char *line)
{
    size_t cut = strlen(line) - chance(3);

    if (!stream_write(server->peer.stream, str_make(line, cut)))
        fail_msg("the client does not read");
    if (chance(4) == 0)
        stream_flush(server->peer.stream); /* the reply comes in two pieces */
    assert_true(stream_write(server->peer.stream, str_from(str_of(line), cut)));
}

/* False: said instead of the right answer; the connection may be gone. */
static bool behaves(struct server *server)
{
    static const char *const REFUSALS[] = {
        "451 4.3.0 later\r\n", "450 greylisted\r\n",    "550 5.1.1 no such\r\n",
        "554 no\r\n",          "530 log in\r\n",        "999 what\r\n",
        "220 hello\r\n",       "250-half\r\n550 x\r\n",
    };
    unsigned dice;

    if (chance(100) >= chaos_of(server)->rage)
        return true;
    dice = chance(12);
    if (dice < COUNT_OF(REFUSALS)) {
        say(server, REFUSALS[dice]);
        return false;
    }
    if (dice == 8)
        say(server, "421 bye\r\n");
    else if (dice == 9)
        say(server, "250-and no m");
    peer_close(&server->peer);
    return false;
}

static void end_of_data(struct server *server)
{
    server->in_data = false;
    if (!server->has_recipient) {
        say(server, "554 no valid recipients\r\n");
        return;
    }
    server->has_recipient = false;
    if (chance(100) < chaos_of(server)->rage && chance(2) == 0) {
        say(server, chance(2) == 0 ? "452 full\r\n" : "554 spam\r\n");
        return;
    }
    chaos_of(server)->taken[server->number]++;
    if (chance(100) < chaos_of(server)->rage)
        peer_close(&server->peer); /* took it, and does not tell */
    else
        say(server, "250 2.0.0 taken\r\n");
}

static void take_command(struct server *server, struct str line)
{
    bool is_rcpt = str_starts(line, S("RCPT TO:<n"));
    uint64_t number = 0;

    if (is_rcpt)
        assert_true(str_to_u64(
            str_slice(line, 10, (size_t)str_index(line, '@', 0) - 10),
            &number));
    if (str_eq(line, S("QUIT"))) {
        peer_close(&server->peer);
        return;
    }
    if (str_starts(line, S("MAIL")))
        server->has_recipient = false;
    if (!behaves(server))
        return;
    if (str_starts(line, S("EHLO"))) {
        say(server, chance(2) == 0 ? "250-chaos\r\n250 PIPELINING\r\n"
                                   : "250 chaos\r\n");
    } else if (str_eq(line, S("DATA"))) {
        server->in_data = server->has_recipient || chance(4) == 0;
        say(server, server->in_data ? "354 go\r\n" : "554 no recipients\r\n");
    } else if (is_rcpt) {
        server->has_recipient = true;
        server->number = (unsigned)number;
        say(server, "250 ok\r\n");
    } else {
        say(server, str_starts(line, S("MAIL")) || str_eq(line, S("RSET"))
                        ? "250 ok\r\n"
                        : "500 what\r\n");
    }
}

static void hear(struct peer *peer, struct str line)
{
    struct server *server = CONTAINER_OF(peer, struct server, peer);

    if (!server->in_data) {
        take_command(server, line);
    } else if (str_eq(line, S("."))) {
        chaos_of(server)->pairs += str_starts(peer_unheard(peer), S("MAIL"));
        end_of_data(server);
    }
}

static void greet(struct peer *peer)
{
    struct server *server = CONTAINER_OF(peer, struct server, peer);

    if (behaves(server))
        say(server, "220 chaos\r\n");
}

/* --- the client --- */

struct client {
    struct chaos chaos;
    struct smtp *smtp;
    struct mail *mails;
    size_t ended; /* sent, refused for good, or unknown */
    size_t sent;
    size_t attempts;
};

struct mail {
    struct client *client;
    struct smtp_delivery delivery;
    struct task mark_task;
    char rcpt[32];
    unsigned taken_before;
    bool is_marked_no;
    bool is_out; /* with the engine */
    bool is_over;
};

static void answer_mark(void *ctx)
{
    struct mail *mail = ctx;
    unsigned dice = chance(20);

    mail->is_marked_no = dice < 2;
    smtp_delivery_marked(&mail->delivery, dice != 0,
                         clock_now_ms() + (dice == 1 ? 0 : 5000));
}

static void on_mark(void *ctx)
{
    struct mail *mail = ctx;

    task_run_soon(mail->client->chaos.peers.loop, &mail->mark_task);
}

static void on_done(void *ctx, const struct smtp_result *result)
{
    struct mail *mail = ctx;
    struct client *client = mail->client;
    unsigned taken = client->chaos.taken[mail - client->mails];

    assert_true(mail->is_out && !mail->is_over);
    mail->is_out = false;
    client->attempts++;
    if (result->verdict == SMTP_SENT)
        assert_int_equal(taken, mail->taken_before + 1);
    else if (result->verdict == SMTP_UNKNOWN)
        assert_in_range(taken, mail->taken_before, mail->taken_before + 1);
    else
        assert_int_equal(taken, mail->taken_before);
    if (mail->is_marked_no)
        assert_int_equal(taken, mail->taken_before);
    if (result->verdict == SMTP_SOFT || result->verdict == SMTP_UNSENT)
        return; /* once more */
    mail->is_over = true;
    client->ended++;
    client->sent += result->verdict == SMTP_SENT;
}

static void go(struct client *client, struct mail *mail)
{
    size_t number = (size_t)(mail - client->mails);
    int len = snprintf(mail->rcpt, sizeof mail->rcpt, "n%zu@x.example", number);

    mail->client = client;
    mail->is_out = true;
    mail->is_marked_no = false;
    mail->taken_before = client->chaos.taken[number];
    task_init(&mail->mark_task, answer_mark, mail);
    mail->delivery = (struct smtp_delivery){
        .id = S("job"),
        .mail_from = S("a@me.example"),
        .rcpt_to = str_make(mail->rcpt, (size_t)len),
        .message = {.frame = S("Subject: x\r\n\r\n.\r\nHi\r\n")},
        .route = smtp_route_named(client->smtp, S("all")),
        .lane = (unsigned)number % LANE_COUNT,
        .on_mark = on_mark,
        .on_done = on_done,
        .ctx = mail,
    };
    smtp_deliver(client->smtp, &mail->delivery);
}

static void hand_in(struct client *client)
{
    const struct smtp_route *route = smtp_route_named(client->smtp, S("all"));
    size_t room[LANE_COUNT];

    for (unsigned lane = 0; lane < LANE_COUNT; lane++)
        room[lane] = smtp_room(client->smtp, route, lane);
    for (size_t i = 0; i < MAILS; i++) {
        struct mail *mail = &client->mails[i];

        if (!mail->is_out && !mail->is_over && room[i % LANE_COUNT] > 0) {
            room[i % LANE_COUNT]--;
            go(client, mail);
        }
    }
}

static void move_clock(int64_t ms)
{
    clock_set(clock_now_ms() + ms, clock_wall_ms() + ms);
}

static void run(struct client *client)
{
    struct loop *loop = client->chaos.peers.loop;

    for (int i = 0; i < TURNS_MAX && client->ended < MAILS; i++) {
        for (size_t u = 0; u < client->smtp->upstream_count; u++)
            client->smtp->upstreams[u].takes_pairs = true; /* always anew */
        hand_in(client);
        if (smtp_in_hand(client->smtp) == 0)
            move_clock(20000); /* all rest */
        else if (i % 64 == 0)
            move_clock(200); /* patience passes */
        loop_turn(loop, 0);
    }
    print_message("  %zu attempts, %zu sent, %zu pairs\n", client->attempts,
                  client->sent, client->chaos.pairs);
    assert_true(client->chaos.pairs > 0);
    assert_int_equal(client->ended, MAILS);
    assert_int_equal(smtp_in_hand(client->smtp), 0);
}

static void init_upstream(struct config_upstream *upstream, const char *name,
                          uint16_t port)
{
    *upstream = (struct config_upstream){
        .name = name,
        .tls_cert_file = "",
        .tls_key_file = "",
        .source_address = "",
        .host = "127.0.0.1",
        .port = port,
        .tls = TLS_OFF,
        .tls_ca_file = "",
        .auth = AUTH_NONE,
        .username = "",
        .password = "",
        .token_file = "",
        .max_sessions = 3,
        .messages_per_session = 7,
        .pipeline_next = true,
        .weight = 1,
        .connect_timeout_ms = 30000,
        .banner_timeout_ms = 30000,
        .command_timeout_ms = 30000,
        .data_timeout_ms = 30000,
        .block_timeout_ms = 30000,
        .dot_timeout_ms = 30000,
        .session_timeout_ms = 600000,
        .idle_timeout_ms = 30000,
    };
}

static void check_round(unsigned round)
{
    static const char *names[] = {"one", "two"};
    struct config_upstream upstreams[2];
    struct config_route route = {"all", "", "", "", "", {names, 2}, false, 0};
    const struct config config = {.upstreams = upstreams,
                                  .upstream_count = 2,
                                  .routes = &route,
                                  .route_count = 1};
    const struct smtp_settings settings = {.child_count = 1,
                                           .hello_name = "me.example"};
    struct client client = {.mails = xcalloc(MAILS, sizeof *client.mails)};
    struct loop *loop = loop_create();
    struct dns *dns = dns_open(loop, NULL, NULL);

    seed = 2463534242u + round;
    clock_set(START_MS, START_MS);
    client.chaos.rage = 2 + 9 * round;
    client.chaos.peers = (struct peers){.loop = loop,
                                        .size = sizeof(struct server),
                                        .greet = greet,
                                        .hear = hear};
    peers_open(&client.chaos.peers);
    for (size_t i = 0; i < 2; i++)
        init_upstream(&upstreams[i], names[i], client.chaos.peers.port);
    client.smtp = smtp_open(loop, dns, &config, &settings, NULL);
    run(&client);
    smtp_close(&client.smtp);
    peers_close(&client.chaos.peers);
    dns_close(&dns);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    free(client.mails);
}

static void chaos(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_AUTO, "test");
    for (unsigned round = 0; round < ROUNDS; round++)
        check_round(round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chaos)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
