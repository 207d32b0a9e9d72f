/* Sessions: who gets one, how many there are, when they end. */
#include "smtp/engine.h"

#include "stage.h"

#include <fcntl.h>

static void reuse(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[3] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED, ACCEPTED, "<QUIT"));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage->upstreams[0].messages_per_session = 2;
    stage_open(stage);
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        send_one(stage, &mails[i]);
        assert_int_equal(mails[i].result.verdict, SMTP_SENT);
        assert_int_equal(mails[i].result.reused, i == 1);
    }
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* Each of these is a session that served one mail and is then of no use: the
 * next mail must not suffer. */
static const char *const *const WORN[] = {
    SCRIPT(HELLO, ACCEPTED, "!close"),
    SCRIPT(HELLO, ACCEPTED, ">421 idle too long", "!close"),
    SCRIPT(HELLO, ACCEPTED, ">250 again"),
    SCRIPT(HELLO, ACCEPTED, MAIL, ">421 enough"),
    SCRIPT(HELLO, ACCEPTED, MAIL, "!close"),
    SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a", ">250 b", ">354 c", BODY,
           "<.", ">250 d", MAIL, ">421 enough", "<RCPT TO:<b@you.example>",
           "<DATA"),
    SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a", ">250 b", ">354 c", BODY,
           "<.", ">250 d", MAIL, RCPT, "<DATA", "!close"),
};

static void worn_sessions(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(WORN); i++) {
        struct stage *stage = stage_create(1);
        struct mail mails[2] = {0};

        print_message("  %zu\n", i);
        play_add(&stage->plays[0], WORN[i]);
        play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
        stage_open(stage);
        send_one(stage, &mails[0]);
        if (i < 3)
            stage_settle(stage);
        send_one(stage, &mails[1]);
        assert_int_equal(mails[1].result.verdict, SMTP_SENT);
        assert_int_equal(mails[1].marks, 1);
        stage_settle(stage);
        play_assert_over(&stage->plays[0]);
        stage_destroy(stage);
    }
}

/* One that is still at its RSET will do for the next mail. */
static void a_session_that_clears_up_is_waited_for(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[2] = {0};

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">550 5.1.1 no", "<RSET",
                    "!hold", ">250 r", ACCEPTED));
    stage_open(stage);
    send_one(stage, &mails[0]);
    stage_deliver(stage, &mails[1]);
    stage_until_held(stage, 1);
    stage_settle(stage);
    play_go_on(&stage->plays[0]);
    stage_until(stage, &mails[1].dones, 1);
    assert_int_equal(mails[1].result.verdict, SMTP_SENT);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

static void idle_and_old_sessions_end(void **state)
{
    static const int64_t STEPS_MS[] = {300000, 900000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(STEPS_MS); i++) {
        struct stage *stage = stage_create(1);
        struct mail mails[2] = {0};

        play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED, "<QUIT"));
        play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
        if (i == 1)
            stage->upstreams[0].idle_timeout_ms = 3600000;
        stage_open(stage);
        send_one(stage, &mails[0]);
        play_move_clock(STEPS_MS[i]);
        stage_settle(stage);
        send_one(stage, &mails[1]);
        stage_settle(stage);
        if (i == 0)
            play_assert_over(&stage->plays[0]);
        stage_destroy(stage);
    }
}

/* It took more than half of its time to open, as the next one would. */
static void a_session_that_opens_slowly_carries_one(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[2] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT("!move 6000", HELLO, ACCEPTED, "<QUIT"));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage->upstreams[0].session_timeout_ms = 10000;
    stage_open(stage);
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        send_one(stage, &mails[i]);
        assert_int_equal(mails[i].result.verdict, SMTP_SENT);
        assert_false(mails[i].result.reused);
    }
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

static void sessions_are_shared_out(void **state)
{
    (void)state;
    assert_int_equal(upstream_share(8, 0, 3), 3);
    assert_int_equal(upstream_share(8, 1, 3), 3);
    assert_int_equal(upstream_share(8, 2, 3), 2);
    assert_int_equal(upstream_share(2, 2, 3), 0);
    assert_int_equal(upstream_share(8, 0, 1), 8);
}

static void room(void **state)
{
    static const char *const silent[] = {"!hold", NULL};
    struct stage *stage = stage_create(2);
    const struct smtp_route *route;
    struct mail mails[8] = {0};
    unsigned rooms;

    (void)state;
    stage->upstreams[1].max_sessions = 1;
    for (size_t i = 0; i < 4; i++)
        play_add(&stage->plays[0], silent);
    play_add(&stage->plays[1], silent);
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    assert_null(smtp_route_named(stage->smtp, S("none")));
    /* 4 and 1 sessions; the larger keeps one for the urgent lanes. */
    assert_int_equal(smtp_room(stage->smtp, route, 0), 5);
    assert_int_equal(smtp_room(stage->smtp, route, 2), 4);
    for (size_t i = 0; i < 4; i++) {
        mails[i].delivery.lane = 3;
        stage_deliver(stage, &mails[i]);
    }
    loop_turn(stage->loop, TURN_MS);
    assert_int_equal(smtp_room(stage->smtp, route, 3), 0);
    assert_int_equal(smtp_room(stage->smtp, route, 2), 0);
    assert_int_equal(smtp_room(stage->smtp, route, 1), 1);
    /* One more of a late lane finds no room and comes back at once. */
    mails[4].delivery.lane = 2;
    send_one(stage, &mails[4]);
    assert_int_equal(mails[4].result.unsent, SMTP_UNSENT_ROOM);
    mails[5].delivery.lane = 0;
    stage_deliver(stage, &mails[5]);
    stage_settle(stage);
    assert_int_equal(mails[5].dones, 0);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    assert_int_equal(stage->plays[0].accepted, 4);
    assert_int_equal(stage->plays[1].accepted, 1);
    rooms = stage->rooms;
    smtp_cancel(&mails[0].delivery);
    stage_settle(stage);
    assert_int_equal(mails[0].dones, 1);
    assert_int_equal(mails[0].result.unsent, SMTP_UNSENT_STOPPED);
    assert_true(stage->rooms > rooms);
    stage_destroy(stage);
}

/* Fast upstreams get mails ahead, and all arrive on few sessions. */
static void ahead(void **state)
{
    struct stage *stage = stage_create(1);
    const struct smtp_route *route;
    struct mail mails[5] = {0};

    (void)state;
    stage->upstreams[0].max_sessions = 1;
    play_add(&stage->plays[0],
             SCRIPT(HELLO, ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED));
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    assert_int_equal(smtp_room(stage->smtp, route, 2), 1);
    send_one(stage, &mails[0]);
    assert_int_equal(smtp_room(stage->smtp, route, 2), 5);
    for (size_t i = 1; i < 5; i++)
        stage_deliver(stage, &mails[i]);
    for (size_t i = 1; i < 5; i++) {
        stage_until(stage, &mails[i].dones, 1);
        assert_int_equal(mails[i].result.verdict, SMTP_SENT);
    }
    stage_destroy(stage);
}

/* A fast upstream comes to a halt: what was taken ahead is given back. */
static void ahead_of_a_halt(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[4] = {0};

    (void)state;
    stage->upstreams[0].max_sessions = 1;
    play_add(&stage->plays[0],
             SCRIPT(HELLO, ACCEPTED, MAIL, "!hold", ">421 bye"));
    stage_open(stage);
    send_one(stage, &mails[0]);
    for (size_t i = 1; i < 4; i++)
        stage_deliver(stage, &mails[i]);
    stage_settle(stage);
    play_move_clock(999);
    stage_settle(stage);
    assert_int_equal(mails[2].dones, 0);
    play_move_clock(1);
    for (size_t i = 2; i < 4; i++) {
        stage_until(stage, &mails[i].dones, 1);
        assert_int_equal(mails[i].result.unsent, SMTP_UNSENT_ROOM);
    }
    assert_int_equal(mails[1].dones, 0);
    stage_destroy(stage);
}

/* Those connections of upstream one that were made first, or the others. */
static void go_on_before(struct stage *stage, size_t number)
{
    list_each (link, &stage->plays[0].actors) {
        struct actor *actor = LIST_MEMBER(link, struct actor, link);

        actor->holds = actor->holds && actor->number >= number;
        actor_play(actor);
    }
}

static void go_on_from(struct stage *stage, size_t number)
{
    list_each (link, &stage->plays[0].actors) {
        struct actor *actor = LIST_MEMBER(link, struct actor, link);

        actor->holds = actor->holds && actor->number < number;
        actor_play(actor);
    }
}

static const char *const LATER[] = {HELLO, MAIL, "!hold", ">450 later", NULL};

/* "Too many connections": half of them, then slowly more again. */
static void too_many_connections(void **state)
{
    struct stage *stage = stage_create(1);
    const struct smtp_route *route;
    struct mail mails[4] = {0};

    (void)state;
    stage->upstreams[0].max_sessions = 8;
    for (size_t i = 0; i < 3; i++)
        play_add(&stage->plays[0], LATER);
    play_add(&stage->plays[0], SCRIPT("!hold", ">421 too many connections"));
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    for (size_t i = 0; i < 4; i++)
        stage_deliver(stage, &mails[i]);
    stage_until_held(stage, 4);
    go_on_from(stage, 3);
    stage_settle(stage);
    assert_int_equal(mails[3].dones, 0); /* it waits for one of the others */
    assert_true(smtp_cancel(&mails[3].delivery));
    play_go_on(&stage->plays[0]);
    for (size_t i = 0; i < 4; i++)
        stage_until(stage, &mails[i].dones, 1);
    stage_settle(stage);
    assert_int_equal(upstream_session_count(&stage->smtp->upstreams[0]), 2);
    play_move_clock(1000);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 2);
    stage_destroy(stage);
}

/* The same while the others rest. */
static void idle_ones_above_the_limit_are_closed(void **state)
{
    struct stage *stage = stage_create(1);
    const struct smtp_upstream *upstream;
    struct mail mails[4] = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        play_add(&stage->plays[0], LATER);
    play_add(&stage->plays[0], SCRIPT("!hold", ">421 too many connections"));
    stage_open(stage);
    upstream = &stage->smtp->upstreams[0];
    for (size_t i = 0; i < 4; i++)
        stage_deliver(stage, &mails[i]);
    stage_until_held(stage, 4);
    assert_true(smtp_cancel(&mails[3].delivery));
    go_on_before(stage, 3);
    for (size_t i = 0; i < 4; i++)
        stage_until(stage, &mails[i].dones, 1);
    stage_settle(stage);
    assert_int_equal(upstream->counts[SESSION_IDLE], 3);
    play_go_on(&stage->plays[0]);
    stage_settle(stage);
    assert_int_equal(upstream->limit, 2);
    assert_int_equal(upstream_session_count(upstream), 2);
    stage_destroy(stage);
}

/* The one that it says so to is one of them. */
static void so_are_they_behind_a_mail(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[4] = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        play_add(&stage->plays[0], LATER);
    play_add(&stage->plays[0],
             SCRIPT(HELLO, MAIL, "!hold", ">421 too many connections"));
    stage_open(stage);
    for (size_t i = 0; i < 4; i++)
        stage_deliver(stage, &mails[i]);
    stage_until_held(stage, 4);
    go_on_before(stage, 3);
    for (size_t i = 0; i < 3; i++)
        stage_until(stage, &mails[i].dones, 1);
    play_go_on(&stage->plays[0]);
    stage_until(stage, &mails[3].dones, 1);
    stage_settle(stage);
    assert_int_equal(stage->smtp->upstreams[0].limit, 2);
    assert_int_equal(upstream_session_count(&stage->smtp->upstreams[0]), 2);
    stage_destroy(stage);
}

/* Nor do those stay that were on their way when the limit was lowered. */
static void nor_do_those_stay_that_come_later(void **state)
{
    static const char *const late[] = {"!hold", HELLO, NULL};
    struct stage *stage = stage_create(1);
    const struct smtp_upstream *upstream;
    struct mail mails[2] = {0};

    (void)state;
    for (size_t i = 0; i < 2; i++)
        play_add(&stage->plays[0], late);
    stage_open(stage);
    upstream = &stage->smtp->upstreams[0];
    for (size_t i = 0; i < 2; i++)
        stage_deliver(stage, &mails[i]);
    stage_until_held(stage, 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(smtp_cancel(&mails[i].delivery));
    smtp_upstream_share(stage->smtp, 0, 1);
    assert_int_equal(upstream->counts[SESSION_OPENING], 2);
    play_go_on(&stage->plays[0]);
    stage_settle(stage);
    assert_int_equal(upstream->counts[SESSION_IDLE], 1);
    assert_int_equal(upstream_session_count(upstream), 1);
    stage_destroy(stage);
}

static void urgent_mail_goes_first(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[3] = {0};

    (void)state;
    stage->upstreams[0].max_sessions = 1;
    play_add(&stage->plays[0],
             SCRIPT(HELLO, ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED));
    stage_open(stage);
    send_one(stage, &mails[0]);
    mails[1].delivery.lane = 3;
    mails[1].answer = MARKS_YES;
    mails[2].delivery.lane = 0;
    mails[0] = (struct mail){.answer = MARKS_YES, .delivery = {.lane = 3}};
    stage_deliver(stage, &mails[0]);
    stage_deliver(stage, &mails[1]);
    stage_deliver(stage, &mails[2]);
    stage_until(stage, &mails[2].dones, 1);
    assert_int_equal(mails[1].dones, 0);
    stage_until(stage, &mails[1].dones, 1);
    stage_destroy(stage);
}

/* Its server is silent, and the mail that it had is over: nobody knows when
 * that session comes free, so no mail waits for it. */
static void a_silent_session_is_not_waited_for(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[2] = {{.delivery = {.deadline_ms = WALL_MS + 5000}}};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, "!hold"));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage->upstreams[0].max_sessions = 2;
    stage_open(stage);
    stage_deliver(stage, &mails[0]);
    stage_until_held(stage, 1);
    play_move_clock(5000);
    stage_until(stage, &mails[0].dones, 1);
    assert_int_equal(mails[0].result.unsent, SMTP_UNSENT_DEADLINE);
    assert_int_equal(
        smtp_room(stage->smtp, smtp_route_named(stage->smtp, S("all")), 0), 1);
    send_one(stage, &mails[1]);
    assert_int_equal(mails[1].result.verdict, SMTP_SENT);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* The same of a mail that was behind a dot, and let go: the dot is answered,
 * and then its own commands are not. */
static void nor_is_one_whose_follower_has_gone(void **state)
{
    static const char *const second[] = {HELLO, MAIL, "!hold", NULL};
    struct stage *stage = stage_create(1);
    struct mail mails[4] = {0};

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a", ">250 b",
                    ">354 c", BODY, "<.", ">250 d", MAIL, RCPT, "<DATA",
                    ">250 a", ">250 b", ">354 c", BODY, "<.", MAIL, RCPT,
                    "<DATA", "!hold", ">250 d"));
    play_add(&stage->plays[0], second);
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage->upstreams[0].max_sessions = 1;
    stage_open(stage);
    send_one(stage, &mails[0]);
    stage_deliver(stage, &mails[1]);
    stage_deliver(stage, &mails[2]);
    stage_until_held(stage, 1); /* both are on the only session */
    smtp_upstream_share(stage->smtp, 0, 3);
    play_move_clock(1000);
    stage_until_held(stage, 2); /* the follower is on the second one */
    list_each (link, &stage->plays[0].actors) {
        struct actor *actor = LIST_MEMBER(link, struct actor, link);

        actor->holds = actor->number > 0;
        actor_play(actor);
    }
    stage_until(stage, &mails[1].dones, 1);
    assert_int_equal(mails[2].dones, 0);
    send_one(stage, &mails[3]);
    assert_int_equal(mails[3].result.verdict, SMTP_SENT);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* --- back-off --- */

static void refused_connects(void **state)
{
    struct stage *stage = stage_create(1);
    const struct smtp_route *route;
    struct mail mails[4] = {0};

    (void)state;
    acceptor_close(&stage->plays[0].acceptor);
    close(stage->plays[0].fd);
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    for (size_t i = 0; i < 2; i++)
        stage_deliver(stage, &mails[i]);
    for (size_t i = 0; i < 2; i++) {
        stage_until(stage, &mails[i].dones, 1);
        assert_int_equal(mails[i].result.verdict, SMTP_SOFT);
        assert_int_equal(mails[i].result.stage, SMTP_STAGE_CONNECT);
    }
    /* It rests for 1 s, then one mail may probe, then it rests for 2 s. */
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    play_move_clock(999);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    play_move_clock(1);
    stage->rooms = 0;
    stage_until(stage, &stage->rooms, 1);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 1);
    send_one(stage, &mails[2]);
    assert_int_equal(mails[2].result.verdict, SMTP_SOFT);
    play_move_clock(1999);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    play_move_clock(1);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 1);
    stage->plays[0].fd = open("/dev/null", O_RDONLY); /* for play_close */
    stage_destroy(stage);
}

/* It greets well, and breaks off at each mail: one may be the mail's fault,
 * five in a row are not. */
static void broken_off_again_and_again(void **state)
{
    struct stage *stage = stage_create(1);
    const struct smtp_route *route;
    struct mail mails[6] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, "!close"));
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, "!close"));
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, "!close"));
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, "!close"));
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, "!close"));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    for (size_t i = 0; i < 5; i++) {
        assert_true(smtp_room(stage->smtp, route, 0) > 1);
        send_one(stage, &mails[i]);
        assert_int_equal(mails[i].result.verdict, SMTP_SOFT);
    }
    play_move_clock(999);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    play_move_clock(1);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 1);
    send_one(stage, &mails[5]);
    assert_int_equal(mails[5].result.verdict, SMTP_SENT);
    assert_true(smtp_room(stage->smtp, route, 0) > 1);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

static void login_trouble_pauses(void **state)
{
    struct stage *stage = stage_create(1);
    const struct smtp_route *route;
    struct mail mails[3] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, ">530 5.7.0 log in"));
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, ">530 5.7.0 log in"));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    send_one(stage, &mails[0]);
    assert_int_equal(mails[0].result.unsent, SMTP_UNSENT_ALARM);
    play_move_clock(59999);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    play_move_clock(1);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 1);
    send_one(stage, &mails[1]);
    play_move_clock(299999);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    play_move_clock(1);
    send_one(stage, &mails[2]);
    assert_int_equal(mails[2].result.verdict, SMTP_SENT);
    assert_true(smtp_room(stage->smtp, route, 0) >= 4);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* The server has more to say to the mail that it refused, and does not: those
 * that wait for its session go elsewhere all the same. */
static void what_waits_leaves_at_once(void **state)
{
    struct stage *stage = stage_create(2);
    struct mail mails[2] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, ">250 a", RCPT, "!hold",
                                      ">530 5.7.0 log in", "<RSET"));
    play_add(&stage->plays[1], SCRIPT(HELLO, ACCEPTED));
    play_add(&stage->plays[1], SCRIPT(HELLO, ACCEPTED));
    stage->upstreams[0].max_sessions = 1;
    stage_open(stage);
    smtp_upstream_pause(stage->smtp, 1, true); /* both go to the first */
    stage_deliver(stage, &mails[0]);
    stage_until_held(stage, 1);
    stage->smtp->upstreams[0].average_ms = 10; /* the other one waits there */
    stage_deliver(stage, &mails[1]);
    stage_settle(stage);
    smtp_upstream_pause(stage->smtp, 1, false);
    play_go_on(&stage->plays[0]);
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        stage_until(stage, &mails[i].dones, 1);
        assert_int_equal(mails[i].result.verdict, SMTP_SENT);
    }
    play_assert_over(&stage->plays[1]);
    stage_destroy(stage);
}

/* Mails that are under way on sessions from before say nothing of new ones:
 * else each of them would bring another one in vain, at the pace of mails. */
static void old_sessions_end_no_rest(void **state)
{
    const struct {
        const char *const *scripts[2];
        int64_t rest_ms;
        enum smtp_health health;
        size_t sessions; /* that are left */
    } CASES[] = {
        {{SCRIPT(HELLO, MAIL, "!hold", ">250 a", RCPT, ">250 b", "<DATA",
                 ">354 c", BODY, "<.", ">250 d", ACCEPTED),
          SCRIPT(">421 come back later")},
         1000,
         SMTP_HEALTH_RESTING,
         1},
        {{SCRIPT(HELLO, MAIL, "!hold", ">250 a", RCPT, ">250 b", "<DATA",
                 ">354 c", BODY, "<.", ">250 d", "<QUIT"),
          SCRIPT(">554 go away")},
         60000,
         SMTP_HEALTH_ALARM,
         0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct stage *stage = stage_create(1);
        struct mail mails[3] = {0};

        print_message("  %zu\n", i);
        play_add(&stage->plays[0], CASES[i].scripts[0]);
        play_add(&stage->plays[0], CASES[i].scripts[1]);
        play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
        stage_open(stage);
        stage_deliver(stage, &mails[0]);
        stage_until_held(stage, 1);
        stage_deliver(stage, &mails[1]);
        stage_settle(stage);
        assert_int_equal(view_of(stage, 0).health, CASES[i].health);
        play_move_clock(1);
        play_go_on(&stage->plays[0]);
        stage_until(stage, &mails[0].dones, 1);
        stage_until(stage, &mails[1].dones, 1);
        stage_settle(stage);
        assert_int_equal(mails[0].result.verdict, SMTP_SENT);
        assert_int_equal(view_of(stage, 0).health, CASES[i].health);
        assert_int_equal(view_of(stage, 0).sessions, CASES[i].sessions);
        assert_int_not_equal(view_of(stage, 0).why[0], '\0');
        assert_int_equal(stage->plays[0].accepted, 2);
        play_move_clock(CASES[i].rest_ms);
        if (CASES[i].sessions == 0) {
            send_one(stage, &mails[2]);
            assert_int_equal(mails[2].result.verdict, SMTP_SENT);
            assert_int_equal(view_of(stage, 0).health, SMTP_HEALTH_UP);
            assert_string_equal(view_of(stage, 0).why, "");
        }
        stage_destroy(stage);
    }
}

static void a_paused_upstream_begins_nothing(void **state)
{
    struct stage *stage = stage_create(1);
    const struct smtp_route *route;
    struct mail mails[4] = {0};

    (void)state;
    stage->upstreams[0].max_sessions = 1;
    play_add(&stage->plays[0],
             SCRIPT(HELLO, MAIL, ">250 a", "!hold", RCPT, ">250 b", "<DATA",
                    ">354 c", BODY, "<.", ">250 d", "<QUIT"));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    stage_deliver(stage, &mails[0]);
    stage_until_held(stage, 1);
    stage_deliver(stage, &mails[1]); /* waits for the only session */
    stage_settle(stage);
    smtp_upstream_pause(stage->smtp, 0, true);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    stage_until(stage, &mails[1].dones, 1);
    assert_int_equal(mails[1].result.unsent, SMTP_UNSENT_ROOM);
    assert_int_equal(mails[0].dones, 0);
    play_go_on(&stage->plays[0]); /* what has begun comes to its end */
    stage_until(stage, &mails[0].dones, 1);
    assert_int_equal(mails[0].result.verdict, SMTP_SENT);
    stage_settle(stage);
    assert_int_equal(view_of(stage, 0).sessions, 0);
    send_one(stage, &mails[2]);
    assert_int_equal(mails[2].result.unsent, SMTP_UNSENT_ROOM);

    stage->rooms = 0;
    smtp_upstream_pause(stage->smtp, 0, false);
    stage_until(stage, &stage->rooms, 1);
    send_one(stage, &mails[3]);
    assert_int_equal(mails[3].result.verdict, SMTP_SENT);
    assert_int_equal(view_of(stage, 0).taken, 2);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

static void a_pause_sends_mail_to_the_next_upstream(void **state)
{
    struct stage *stage = stage_create(2);
    struct mail mails[3] = {0};

    (void)state;
    stage->upstreams[1].priority = 1;
    stage->upstreams[0].max_sessions = 1;
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, ">250 a", "!hold", RCPT,
                                      ">550 5.1.1 no", "<RSET", ">250 r"));
    play_add(&stage->plays[1], SCRIPT(HELLO, ACCEPTED, ACCEPTED));
    stage_open(stage);
    stage_deliver(stage, &mails[0]);
    stage_until_held(stage, 1);
    smtp_upstream_pause(stage->smtp, 0, true);
    send_one(stage, &mails[1]);
    assert_int_equal(mails[1].result.verdict, SMTP_SENT);
    assert_string_equal(mails[1].upstream, stage->names[1]);
    play_go_on(&stage->plays[0]);
    stage_until(stage, &mails[0].dones, 1);
    send_one(stage, &mails[2]);
    assert_string_equal(mails[2].upstream, stage->names[1]);
    assert_int_equal(view_of(stage, 0).health, SMTP_HEALTH_UP);
    play_assert_over(&stage->plays[1]);
    stage_destroy(stage);
}

static void a_view_tells_what_an_upstream_suffers(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[3] = {0};
    struct smtp_upstream_view view;

    (void)state;
    play_add(&stage->plays[0], SCRIPT("!close"));
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, ">530 5.7.0 log in"));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage_open(stage);
    assert_string_equal(view_of(stage, 0).why, "");
    send_one(stage, &mails[0]);
    view = view_of(stage, 0);
    assert_int_equal(view.health, SMTP_HEALTH_RESTING);
    assert_non_null(strstr(view.why, "banner: "));
    play_move_clock(1000);
    assert_int_equal(view_of(stage, 0).health, SMTP_HEALTH_PROBING);
    send_one(stage, &mails[1]);
    view = view_of(stage, 0);
    assert_int_equal(view.health, SMTP_HEALTH_ALARM);
    assert_string_equal(view.why, "MAIL FROM: 530 5.7.0 log in");
    play_move_clock(60000);
    send_one(stage, &mails[2]);
    view = view_of(stage, 0);
    assert_int_equal(view.health, SMTP_HEALTH_UP);
    assert_string_equal(view.why, "");
    assert_int_equal(view.sessions, 1);
    stage_destroy(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reuse),
        cmocka_unit_test(worn_sessions),
        cmocka_unit_test(a_session_that_clears_up_is_waited_for),
        cmocka_unit_test(idle_and_old_sessions_end),
        cmocka_unit_test(a_session_that_opens_slowly_carries_one),
        cmocka_unit_test(sessions_are_shared_out),
        cmocka_unit_test(room),
        cmocka_unit_test(ahead),
        cmocka_unit_test(ahead_of_a_halt),
        cmocka_unit_test(too_many_connections),
        cmocka_unit_test(idle_ones_above_the_limit_are_closed),
        cmocka_unit_test(so_are_they_behind_a_mail),
        cmocka_unit_test(nor_do_those_stay_that_come_later),
        cmocka_unit_test(urgent_mail_goes_first),
        cmocka_unit_test(a_silent_session_is_not_waited_for),
        cmocka_unit_test(nor_is_one_whose_follower_has_gone),
        cmocka_unit_test(refused_connects),
        cmocka_unit_test(broken_off_again_and_again),
        cmocka_unit_test(login_trouble_pauses),
        cmocka_unit_test(what_waits_leaves_at_once),
        cmocka_unit_test(old_sessions_end_no_rest),
        cmocka_unit_test(a_paused_upstream_begins_nothing),
        cmocka_unit_test(a_pause_sends_mail_to_the_next_upstream),
        cmocka_unit_test(a_view_tells_what_an_upstream_suffers),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
