/* A walk by chance through all that may happen to two upstreams at once:
 * mails with and without deadlines, hedged and cancelled ones, servers that
 * refuse, break off and fall silent, pauses, other shares, rates. At each step
 * the books are those that a walk over all lists finds, no mail waits that
 * could go, and in the end nothing is left.
 *
 *     WALK_FROM=n   the first round
 *     WALK_ROUNDS=n so many
 *
 * Upstreams of the same priority are picked by another chance, so that two
 * walks of a round differ. */
#include "smtp/engine.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include "peer.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAILS = 64, /* at a time */
    ROUNDS = 8,
    STEPS = 3000,
    STEPS_TO_END = 20000,
    SHARE_MAX = 4,
    START_MS = 1000000,
    LATE_MAX_MS = 1000, /* those that wait are looked at so often */
};

struct walk;

struct mail {
    struct walk *walk;
    struct smtp_delivery delivery;
    char rcpt[32];
    size_t serial;
    bool is_out;   /* with the engine */
    bool is_asked; /* for its mark */
};

/* What became of each that was handed in. */
struct fate {
    unsigned taken; /* by a server, it may be after it was told of */
    unsigned told;
    enum smtp_verdict verdict;
};

struct walk {
    struct loop *loop;
    struct smtp *smtp;
    struct peers peers;
    struct mail mails[MAILS];
    bool is_asked; /* for tokens, of the first upstream */
    bool is_calm;  /* nothing goes wrong any more */
    struct fate fates[STEPS * 2];
    size_t count; /* of fates */
};

/* --- the servers --- */

struct server {
    struct peer peer;
    bool in_data;
    bool has_recipient;
    size_t serial; /* of the recipient */
};

static struct walk *walk_of(const struct server *server)
{
    return CONTAINER_OF(server->peer.peers, struct walk, peers);
}

static void say(struct server *server, const char *line)
{
    assert_true(stream_write(server->peer.stream, str_of(line)));
}

/* False: said instead of the right answer; the connection may be gone. */
static bool behaves(struct server *server)
{
    static const char *const REFUSALS[] = {
        "451 4.3.0 later\r\n",          "450 4.7.28 too many messages\r\n",
        "421 too many connections\r\n", "421 bye\r\n",
        "550 5.1.1 no such\r\n",        "530 log in\r\n",
    };
    unsigned dice = chance(150);

    if (walk_of(server)->is_calm || dice > 8)
        return true;
    if (dice == 5 && chance(4) != 0) /* it pauses the upstream */
        return true;
    if (dice < COUNT_OF(REFUSALS)) {
        say(server, REFUSALS[dice]);
        return false;
    }
    if (dice == COUNT_OF(REFUSALS)) {
        server->peer.is_deaf = true;
        return true;
    }
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
    if (!behaves(server))
        return;
    walk_of(server)->fates[server->serial].taken++;
    say(server, "250 2.0.0 taken\r\n");
}

static void take_command(struct server *server, struct str line)
{
    uint64_t number = 0;

    if (str_eq(line, S("QUIT"))) {
        peer_close(&server->peer);
        return;
    }
    if (str_starts(line, S("MAIL")))
        server->has_recipient = false;
    if (!behaves(server))
        return;
    if (str_starts(line, S("EHLO"))) {
        say(server, "250-walk\r\n250 PIPELINING\r\n");
    } else if (str_eq(line, S("DATA"))) {
        server->in_data = server->has_recipient;
        say(server, server->in_data ? "354 go\r\n" : "554 no recipients\r\n");
    } else if (str_starts(line, S("RCPT TO:<n"))) {
        assert_true(str_to_u64(
            str_slice(line, 10, (size_t)str_index(line, '@', 0) - 10),
            &number));
        server->has_recipient = true;
        server->serial = (size_t)number;
        say(server, "250 ok\r\n");
    } else {
        say(server, "250 ok\r\n");
    }
}

static void hear(struct peer *peer, struct str line)
{
    struct server *server = CONTAINER_OF(peer, struct server, peer);

    if (!server->in_data)
        take_command(server, line);
    else if (str_eq(line, S(".")))
        end_of_data(server);
}

static void greet(struct peer *peer)
{
    struct server *server = CONTAINER_OF(peer, struct server, peer);

    if (behaves(server))
        say(server, "220 walk\r\n");
}

/* --- the books --- */

static size_t length(const struct list *list)
{
    size_t count = 0;

    list_each (link, list)
        count++;
    return count;
}

static void check_sessions(const struct smtp_upstream *upstream)
{
    size_t carried[LANE_COUNT] = {0};
    size_t following[LANE_COUNT] = {0};
    size_t owing = 0;

    for (size_t i = 0; i < SESSION_STATE_COUNT; i++) {
        assert_int_equal(upstream->counts[i], length(&upstream->sessions[i]));
        list_each (link, &upstream->sessions[i]) {
            const struct smtp_session *session =
                LIST_MEMBER(link, struct smtp_session, link);

            assert_true(!session->is_owing || i == SESSION_BUSY);
            owing += session->is_owing;
            for (size_t s = 0; s < COUNT_OF(session->seats); s++) {
                const struct session_mail *seat = &session->seats[s];

                if (seat->delivery == NULL)
                    continue;
                assert_int_equal(i, SESSION_BUSY);
                assert_false(session->is_owing);
                assert_ptr_equal(seat->delivery->mail, seat);
                ++*(seat->is_second ? &following[seat->delivery->lane]
                                    : &carried[seat->delivery->lane]);
            }
        }
    }
    assert_int_equal(upstream->owing, owing);
    assert_memory_equal(upstream->carried, carried, sizeof carried);
    assert_memory_equal(upstream->following, following, sizeof following);
}

/* Of a session for urgent mail: one is about to be free, or to open; or no more
 * may be opened. */
static bool has_prospect(const struct smtp_upstream *upstream, size_t carried)
{
    return upstream->counts[SESSION_OPENING] > 0 ||
           upstream->counts[SESSION_BUSY] > carried + upstream->owing ||
           upstream_session_count(upstream) >= upstream_capacity(upstream) ||
           upstream->quota.is_asked ||
           !quota_has(&upstream->quota, 0, clock_now_ms());
}

/* What waits has something to wait for. */
static void check_waiting(const struct smtp_upstream *upstream)
{
    size_t waiting = 0;
    size_t carried = 0;

    for (size_t i = 0; i < LANE_COUNT; i++) {
        assert_int_equal(upstream->waiting_count[i],
                         length(&upstream->waiting[i]));
        waiting += upstream->waiting_count[i];
        carried += upstream->carried[i];
    }
    if (waiting == 0)
        return;
    assert_true(timer_is_set(&upstream->patience_timer));
    assert_true(upstream_capacity(upstream) > 0);
    assert_true(upstream->waiting_count[0] + upstream->waiting_count[1] == 0 ||
                has_prospect(upstream, carried));
}

/* A dot that is out is waited for, and so is the answer to a mark; what was
 * refused is told when the server has said all. */
static void check_deadline(const struct mail *mail)
{
    const struct smtp_delivery *delivery = &mail->delivery;
    bool is_settled =
        delivery->mail != NULL &&
        (delivery->mail->txn.is_dotted || delivery->mail->txn.is_decided);

    if (!mail->is_out || mail->is_asked || is_settled ||
        delivery->deadline_ms == 0)
        return;
    assert_true(clock_wall_ms() <= delivery->deadline_ms + LATE_MAX_MS);
}

static void check_books(struct walk *walk)
{
    size_t out = 0;

    for (size_t i = 0; i < walk->smtp->upstream_count; i++) {
        const struct smtp_upstream *upstream = &walk->smtp->upstreams[i];

        check_sessions(upstream);
        check_waiting(upstream);
        assert_true(upstream->limit <= upstream->share);
        assert_true(upstream->limit > 0 || upstream->share == 0);
        assert_true(upstream->slowed.count <= SLOWED_MAX);
    }
    for (size_t i = 0; i < MAILS; i++) {
        out += walk->mails[i].is_out;
        check_deadline(&walk->mails[i]);
    }
    assert_int_equal(smtp_in_hand(walk->smtp), out);
}

/* --- what happens --- */

static void on_mark(void *ctx)
{
    struct mail *mail = ctx;

    assert_true(mail->is_out && !mail->is_asked);
    mail->is_asked = true;
}

static void on_done(void *ctx, const struct smtp_result *result)
{
    struct mail *mail = ctx;

    assert_true(mail->is_out && !mail->is_asked);
    mail->is_out = false;
    mail->walk->fates[mail->serial].told++;
    mail->walk->fates[mail->serial].verdict = result->verdict;
}

static void on_quota(void *ctx, size_t upstream,
                     const struct smtp_quota_ask *ask)
{
    struct walk *walk = ctx;

    assert_int_equal(upstream, 0);
    assert_false(walk->is_asked);
    (void)ask;
    walk->is_asked = true;
}

static void answer_quota(struct walk *walk)
{
    bool is_used_up = !walk->is_calm && chance(3) == 0;
    int64_t now_ms = clock_now_ms();
    int64_t used_up_ms = is_used_up ? now_ms + 1 + chance(3000) : 0;
    const struct smtp_quota_grant grant = {
        .tokens = {is_used_up ? 0 : 1 + chance(3), 1 + chance(5)},
        .until_ms = now_ms + 1000,
        .used_up_until_ms = {used_up_ms, used_up_ms},
    };

    if (!walk->is_asked)
        return;
    walk->is_asked = false;
    smtp_upstream_grant(walk->smtp, 0, &grant);
}

static void hand_in(struct walk *walk, size_t number)
{
    struct mail *mail = &walk->mails[number];
    struct smtp_route *route = smtp_route_named(walk->smtp, S("all"));
    unsigned lane = chance(LANE_COUNT);
    int len;

    if (mail->is_out || smtp_room(walk->smtp, route, lane) == 0)
        return;
    len = snprintf(mail->rcpt, sizeof mail->rcpt, "n%zu@d%u.example",
                   walk->count, chance(3));
    mail->walk = walk;
    mail->is_out = true;
    mail->serial = walk->count++;
    mail->delivery = (struct smtp_delivery){
        .id = S("job"),
        .mail_from = S("a@me.example"),
        .rcpt_to = str_make(mail->rcpt, (size_t)len),
        .message = {.frame = S("Subject: x\r\n\r\nHi\r\n")},
        .route = route,
        .lane = lane,
        .may_hedge = lane == 0,
        .deadline_ms = chance(3) == 0 ? clock_wall_ms() + chance(5000) : 0,
        .on_mark = on_mark,
        .on_done = on_done,
        .ctx = mail,
    };
    smtp_deliver(walk->smtp, &mail->delivery);
}

static void answer_mark(struct mail *mail)
{
    if (!mail->is_asked)
        return;
    mail->is_asked = false;
    smtp_delivery_marked(&mail->delivery, mail->walk->is_calm || chance(10) > 0,
                         clock_now_ms() + (chance(10) > 0 ? 5000 : 0));
}

static void stir_peers(struct walk *walk)
{
    list_each_safe (link, &walk->peers.list) {
        struct peer *peer = LIST_MEMBER(link, struct peer, link);

        if (peer->is_deaf && (walk->is_calm || chance(40) == 0)) {
            peer_listen(peer);
        } else if (!walk->is_calm && peer->stream != NULL && chance(400) == 0) {
            if (chance(2) == 0) /* unasked, it may be */
                say(CONTAINER_OF(peer, struct server, peer), "421 bye\r\n");
            peer_close(peer);
        }
    }
    peers_free_closed(&walk->peers);
}

static void move_clock(int64_t ms)
{
    clock_set(clock_now_ms() + ms, clock_wall_ms() + ms);
}

static void steer(struct walk *walk)
{
    size_t index = chance(2);

    switch (chance(60)) {
    case 0:
        smtp_upstream_pause(walk->smtp, index, true);
        break;
    case 1:
    case 2:
        smtp_upstream_pause(walk->smtp, index, false);
        break;
    case 3:
        smtp_upstream_share(walk->smtp, index, chance(SHARE_MAX + 1));
        break;
    case 4:
    case 5:
        smtp_upstream_share(walk->smtp, index, SHARE_MAX);
        break;
    case 6:
        move_clock(chance(2000));
        break;
    case 7:
        if (chance(4) == 0 && !walk->is_calm)
            move_clock(70000);
        break;
    default:
        move_clock(chance(20));
    }
}

static void step(struct walk *walk)
{
    size_t number = chance(MAILS);

    stir_peers(walk);
    if (!walk->is_calm) {
        steer(walk);
        hand_in(walk, chance(MAILS));
        hand_in(walk, chance(MAILS));
        if (chance(30) == 0 && walk->mails[number].is_out)
            (void)smtp_cancel(&walk->mails[number].delivery);
    } else {
        move_clock(50);
    }
    for (size_t i = 0; i < MAILS; i++)
        if (walk->is_calm || chance(3) == 0)
            answer_mark(&walk->mails[i]);
    if (chance(3) == 0)
        answer_quota(walk);
    loop_turn(walk->loop, 0);
    check_books(walk);
}

/* --- the whole --- */

static void check_fates(const struct walk *walk)
{
    size_t sent = 0;

    for (size_t i = 0; i < walk->count; i++) {
        const struct fate *fate = &walk->fates[i];

        assert_int_equal(fate->told, 1);
        if (fate->verdict == SMTP_UNKNOWN)
            assert_in_range(fate->taken, 0, 1);
        else
            assert_int_equal(fate->taken, fate->verdict == SMTP_SENT);
        sent += fate->verdict == SMTP_SENT;
    }
    assert_true(sent > 0);
}

static void run(struct walk *walk)
{
    for (int i = 0; i < STEPS; i++)
        step(walk);
    walk->is_calm = true;
    if (chance(2) == 0)
        smtp_stop(walk->smtp);
    for (size_t i = 0; i < walk->smtp->upstream_count; i++) {
        smtp_upstream_pause(walk->smtp, i, false);
        smtp_upstream_share(walk->smtp, i, SHARE_MAX);
    }
    for (int i = 0; i < STEPS_TO_END && smtp_in_hand(walk->smtp) > 0; i++)
        step(walk);
    assert_int_equal(smtp_in_hand(walk->smtp), 0);
    for (int i = 0; i < 2000; i++)
        step(walk); /* the idle time passes, and tokens go back */
    for (size_t i = 0; i < walk->smtp->upstream_count; i++) {
        const struct smtp_upstream *upstream = &walk->smtp->upstreams[i];

        assert_int_equal(upstream_session_count(upstream), 0);
        assert_int_equal(upstream->owing, 0);
        assert_false(timer_is_set(&upstream->patience_timer));
    }
    assert_true(list_is_empty(&walk->smtp->hedges));
    assert_true(list_is_empty(&walk->smtp->losers));
    check_fates(walk);
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
        .max_sessions = SHARE_MAX,
        .messages_per_session = 1 + chance(5),
        .pipeline_next = true,
        .weight = 1,
        .priority = chance(2),
        .connect_timeout_ms = 5000,
        .banner_timeout_ms = 5000,
        .command_timeout_ms = 10000,
        .data_timeout_ms = 10000,
        .block_timeout_ms = 10000,
        .dot_timeout_ms = 20000,
        .session_timeout_ms = 1000 + chance(60000),
        .idle_timeout_ms = 5000,
    };
}

static void walk_round(unsigned round)
{
    static const char *names[] = {"one", "two"};
    static const struct config_rate PER_MINUTE[] = {{300, 60000}};
    struct config_upstream upstreams[2];
    struct config_route route = {"all", "", "", "", "", {names, 2}, false, 50};
    const struct config config = {.upstreams = upstreams,
                                  .upstream_count = 2,
                                  .routes = &route,
                                  .route_count = 1};
    struct walk *walk = xcalloc(1, sizeof *walk);
    const struct smtp_settings settings = {.child_count = 1,
                                           .hello_name = "me.example",
                                           .on_quota = on_quota,
                                           .ctx = walk};
    struct loop *loop = loop_create();
    struct dns *dns = dns_open(loop, NULL, NULL);

    seed = 2463534242u + round * 7919;
    clock_set(START_MS, START_MS);
    walk->loop = loop;
    walk->peers = (struct peers){.loop = loop,
                                 .size = sizeof(struct server),
                                 .greet = greet,
                                 .hear = hear};
    peers_open(&walk->peers);
    for (size_t i = 0; i < 2; i++)
        init_upstream(&upstreams[i], names[i], walk->peers.port);
    if (round % 2 == 0)
        upstreams[0].rate = (struct config_rate_list){PER_MINUTE, 1};
    walk->smtp = smtp_open(loop, dns, &config, &settings, NULL);
    run(walk);
    smtp_close(&walk->smtp);
    peers_close(&walk->peers);
    dns_close(&dns);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    free(walk);
}

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : (unsigned)strtoul(text, NULL, 10);
}

static void walks(void **state)
{
    unsigned first = number_of("WALK_FROM", 0);
    unsigned end = first + number_of("WALK_ROUNDS", ROUNDS);

    (void)state;
    log_setup(LOG_ERROR + 1, LOG_AUTO, "test");
    for (unsigned round = first; round < end; round++) {
        print_message("  round %u\n", round);
        walk_round(round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(walks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
