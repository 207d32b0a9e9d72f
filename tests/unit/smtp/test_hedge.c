/* A mail that is offered to a second upstream while the first is slow. */
#include "smtp/engine.h"

#include "stage.h"

#define ASKED    MAIL, RCPT
#define TAKES    ">250 a", ">250 b"
#define MESSAGE  "<DATA", ">354 c", BODY, "<.", ">250 2.0.0 queued"
#define RESET    "<RSET", ">250 r"
#define SLOW     "!move 1001", "!hold"
#define REFUSES  ">250 a", ">550 5.1.1 no such user"
#define PUTS_OFF ">250 a", ">451 4.3.0 later"

/* What is done, one letter each:
 *   a b    the first, the second upstream holds
 *   A B    it goes on
 *   d      the mail is done
 *   x s p  it is cancelled, the engine stops, the first upstream is paused
 *   t      its deadline passes
 */
static const struct scene {
    const char *name;
    const char *const *scripts[2];
    const char *acts;
    enum smtp_verdict verdict;
    enum smtp_unsent unsent;
    unsigned code;
    const char *upstream;
    unsigned marks;
    bool is_alone;            /* no second one was asked */
    const char *const *later; /* of the first upstream, its next session */
} SCENES[] = {
    {
        .name = "accepts in time",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, TAKES, MESSAGE)},
        .acts = "d",
        .code = 250,
        .upstream = "one",
        .marks = 1,
        .is_alone = true,
    },
    {
        .name = "refuses in time",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, REFUSES, RESET)},
        .acts = "d",
        .verdict = SMTP_HARD,
        .code = 550,
        .upstream = "one",
        .is_alone = true,
    },
    {
        .name = "the second accepts: it gets the message",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, TAKES, MESSAGE)},
        .acts = "adA",
        .code = 250,
        .upstream = "two",
        .marks = 1,
    },
    {
        .name = "the first accepts after all",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, MESSAGE),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, RESET)},
        .acts = "abAdB",
        .code = 250,
        .upstream = "one",
        .marks = 1,
    },
    {
        .name = "without PIPELINING",
        .scripts = {SCRIPT(HELLO, MAIL, SLOW, ">250 a", RESET),
                    SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", MESSAGE)},
        .acts = "adA",
        .code = 250,
        .upstream = "two",
        .marks = 1,
    },
    {
        .name = "the loser refuses the recipient: nobody asks",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, REFUSES, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, TAKES, MESSAGE)},
        .acts = "adA",
        .code = 250,
        .upstream = "two",
        .marks = 1,
    },
    {
        .name = "the loser refuses the sender: no RSET",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, ">550 no", ">503 no"),
                    SCRIPT(HELLO_PIPE, ASKED, TAKES, MESSAGE)},
        .acts = "adA",
        .code = 250,
        .upstream = "two",
        .marks = 1,
    },
    {
        .name = "the first has not even a banner: no MAIL goes there",
        .scripts = {SCRIPT(SLOW, HELLO_PIPE),
                    SCRIPT(HELLO_PIPE, ASKED, TAKES, MESSAGE)},
        .acts = "adA",
        .code = 250,
        .upstream = "two",
        .marks = 1,
    },
    {
        .name = "the second has not even a banner",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, MESSAGE),
                    SCRIPT("!hold", HELLO_PIPE)},
        .acts = "abAdB",
        .code = 250,
        .upstream = "one",
        .marks = 1,
    },
    {
        .name = "refused for good by the first: that is its end",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, REFUSES, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, RESET)},
        .acts = "abAdB",
        .verdict = SMTP_HARD,
        .code = 550,
        .upstream = "one",
    },
    {
        .name = "refused for good by the second",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, REFUSES, RESET)},
        .acts = "adA",
        .verdict = SMTP_HARD,
        .code = 550,
        .upstream = "two",
    },
    {
        .name = "put off by the first: the second may take it",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, PUTS_OFF, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, MESSAGE)},
        .acts = "abABd",
        .code = 250,
        .upstream = "two",
        .marks = 1,
    },
    {
        .name = "put off by the second: the first may take it",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, MESSAGE),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", PUTS_OFF, RESET)},
        .acts = "abBAd",
        .code = 250,
        .upstream = "one",
        .marks = 1,
    },
    {
        .name = "put off by both: an attempt",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, PUTS_OFF, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", PUTS_OFF, RESET)},
        .acts = "abBAd",
        .verdict = SMTP_SOFT,
        .code = 451,
        .upstream = "one",
    },
    {
        .name = "the first breaks off",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, "!close"),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, MESSAGE)},
        .acts = "abABd",
        .code = 250,
        .upstream = "two",
        .marks = 1,
    },
    {
        .name = "the second breaks off",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, MESSAGE),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", "!close")},
        .acts = "abBAd",
        .code = 250,
        .upstream = "one",
        .marks = 1,
    },
    {
        .name = "both break off",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, "!close"),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", "!close")},
        .acts = "abABd",
        .verdict = SMTP_SOFT,
        .upstream = "two",
    },
    {
        .name = "the one that was chosen breaks off in the message: as ever",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, TAKES, "<DATA", "!close")},
        .acts = "ad",
        .code = 250,
        .upstream = "one",
        .marks = 1,
        .later = SCRIPT(HELLO_PIPE, ASKED, "<DATA", TAKES, ">354 c", BODY, "<.",
                        ">250 d"),
    },
    {
        .name = "its deadline passes at both",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, RESET)},
        .acts = "abtdAB",
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_DEADLINE,
        .upstream = "",
    },
    {
        .name = "cancelled at both",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, RESET),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, RESET)},
        .acts = "abxdAB",
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_STOPPED,
        .upstream = "",
    },
    {
        .name = "the engine stops",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, RESET, "<QUIT"),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, RESET, "<QUIT")},
        .acts = "absdAB",
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_STOPPED,
        .upstream = "",
    },
    {
        .name = "the first is paused while it is opened: the second goes on",
        .scripts = {SCRIPT(SLOW, HELLO_PIPE, "<QUIT"),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, MESSAGE)},
        .acts = "abpBdA",
        .code = 250,
        .upstream = "two",
        .marks = 1,
    },
    {
        .name = "surplus bytes are no acceptance",
        .scripts = {SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, MESSAGE),
                    SCRIPT(HELLO_PIPE, ASKED, "!hold",
                           "=250 a\r\n250 b\r\n354 c\r\n")},
        .acts = "abBAd",
        .code = 250,
        .upstream = "one",
        .marks = 1,
    },
};

static size_t held(const struct play *play)
{
    size_t count = 0;

    list_each (link, &play->actors)
        count += LIST_MEMBER(link, struct actor, link)->holds;
    return count;
}

static void until_held(struct stage *stage, size_t which)
{
    for (int i = 0; i < TURNS_MAX && held(&stage->plays[which]) == 0; i++)
        loop_turn(stage->loop, TURN_MS);
    assert_int_equal(held(&stage->plays[which]), 1);
}

static void act(struct stage *stage, struct mail *mail, char what)
{
    switch (what) {
    case 'a':
    case 'b':
        until_held(stage, (size_t)(what - 'a'));
        break;
    case 'A':
    case 'B':
        play_go_on(&stage->plays[what - 'A']);
        stage_settle(stage);
        break;
    case 'd':
        stage_until(stage, &mail->dones, 1);
        break;
    case 'x':
        assert_true(smtp_cancel(&mail->delivery));
        break;
    case 's':
        smtp_stop(stage->smtp);
        break;
    case 'p':
        smtp_upstream_pause(stage->smtp, 0, true);
        break;
    default:
        play_move_clock(60000);
        break;
    }
}

/* One more mail is paid for. */
static void stage_begin(struct stage *stage, int64_t percent)
{
    stage->route.hedge_percent = percent;
    stage_open(stage);
    smtp_route_named(stage->smtp, S("all"))->hedge_credit = 100;
}

static void assert_empty(const struct stage *stage)
{
    assert_int_equal(smtp_in_hand(stage->smtp), 0);
    assert_true(list_is_empty(&stage->smtp->hedges));
    assert_true(list_is_empty(&stage->smtp->losers));
    assert_true(list_is_empty(&stage->smtp->active));
    for (size_t i = 0; i < 2; i++) {
        const struct smtp_upstream *upstream = &stage->smtp->upstreams[i];

        assert_int_equal(upstream->waiting_count[0], 0);
        assert_int_equal(upstream->carried[0], 0);
        assert_int_equal(upstream->owing, 0);
    }
}

static void play_scene(const struct scene *scene)
{
    struct stage *stage = stage_create(2);
    struct mail mail = {.delivery.may_hedge = true};

    print_message("  %s\n", scene->name);
    for (size_t i = 0; i < 2; i++)
        if (scene->scripts[i] != NULL)
            play_add(&stage->plays[i], scene->scripts[i]);
    if (scene->later != NULL)
        play_add(&stage->plays[0], scene->later);
    mail.delivery.deadline_ms = WALL_MS + 30000;
    stage_begin(stage, 5);
    stage_deliver(stage, &mail);
    for (const char *at = scene->acts; *at != '\0'; at++)
        act(stage, &mail, *at);
    stage_settle(stage);
    assert_int_equal(mail.dones, 1);
    assert_int_equal(mail.marks, scene->marks);
    assert_int_equal(mail.result.verdict, scene->verdict);
    assert_int_equal(mail.result.unsent, scene->unsent);
    assert_int_equal(mail.result.code, scene->code);
    assert_string_equal(mail.upstream, scene->upstream);
    assert_string_equal(mail.result.hedge_upstream,
                        scene->is_alone ? "" : "two");
    if (scene->later != NULL)
        play_go_on(&stage->plays[0]);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    play_assert_over(&stage->plays[1]);
    assert_empty(stage);
    stage_destroy(stage);
}

static void scenes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SCENES); i++)
        play_scene(&SCENES[i]);
}

/* --- who is not hedged: all commands go in one piece --- */

enum bar { NO_CLASS, NO_PERCENT, FINAL, NO_CREDIT, ONE_UPSTREAM, BAR_COUNT };

static void the_others_go_in_one_piece(void **state)
{
    (void)state;
    for (int bar = 0; bar < BAR_COUNT; bar++) {
        struct stage *stage = stage_create(bar == ONE_UPSTREAM ? 1 : 2);
        struct mail mail = {.delivery.may_hedge = bar != NO_CLASS};

        play_add(&stage->plays[0],
                 SCRIPT(HELLO_PIPE, ASKED, "<DATA", "!move 1001", TAKES,
                        ">354 c", BODY, "<.", ">250 d"));
        stage->route.final = bar == FINAL;
        stage_begin(stage, bar == NO_PERCENT ? 0 : 5);
        if (bar == NO_CREDIT || bar == NO_PERCENT)
            smtp_route_named(stage->smtp, S("all"))->hedge_credit = 0;
        send_one(stage, &mail);
        assert_int_equal(mail.result.verdict, SMTP_SENT);
        assert_string_equal(mail.result.hedge_upstream, "");
        play_assert_over(&stage->plays[0]);
        stage_destroy(stage);
    }
}

/* One of twenty, and the first twenty none. */
static void each_mail_brings_its_part(void **state)
{
    struct stage *stage = stage_create(2);
    const char *const *in_time = SCRIPT(HELLO, ACCEPTED, "<QUIT");
    struct mail slow = {.delivery.may_hedge = true};
    const struct smtp_route *route;

    (void)state;
    stage->upstreams[0].messages_per_session = 1;
    stage->route.hedge_percent = 30;
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    for (unsigned i = 0; i < 4; i++) {
        struct mail mail = {.delivery.may_hedge = true};

        play_add(&stage->plays[0], in_time);
        send_one(stage, &mail);
        assert_int_equal(route->hedge_credit, 30 * (i + 1));
    }
    play_add(&stage->plays[0],
             SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, RESET, "<QUIT"));
    play_add(&stage->plays[1], SCRIPT(HELLO_PIPE, ASKED, TAKES, MESSAGE));
    send_one(stage, &slow);
    assert_int_equal(route->hedge_credit, 120 - 100 + 30);
    stage_destroy(stage);
}

/* Where the first stands still, its session is nobody's hope. */
static void a_session_that_owes_is_not_waited_for(void **state)
{
    struct stage *stage = stage_create(2);
    struct mail mails[2] = {{.delivery.may_hedge = true}};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO_PIPE, ASKED, SLOW, TAKES, RESET));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    play_add(&stage->plays[1], SCRIPT(HELLO_PIPE, ASKED, TAKES, MESSAGE));
    stage_begin(stage, 5);
    send_one(stage, &mails[0]);
    stage_settle(stage);
    assert_int_equal(stage->smtp->upstreams[0].owing, 1);
    assert_int_equal(upstream_room(&stage->smtp->upstreams[0], 0), 3);
    send_one(stage, &mails[1]);
    assert_string_equal(mails[1].upstream, "one");
    play_go_on(&stage->plays[0]);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    assert_empty(stage);
    stage_destroy(stage);
}

/* The first comes to a halt while mails wait there, and the second one has one
 * of them already, which leaves nothing behind in the first. */
static void who_lost_patience_goes_on_alone(void **state)
{
    struct stage *stage = stage_create(2);
    struct mail mails[4] = {[2].delivery.may_hedge = true};

    (void)state;
    stage->upstreams[0].max_sessions = 1;
    play_add(&stage->plays[0],
             SCRIPT(HELLO, ACCEPTED, MAIL, "!hold", ">421 bye"));
    play_add(&stage->plays[1],
             SCRIPT(HELLO_PIPE, ASKED, "!hold", TAKES, MESSAGE));
    play_add(&stage->plays[1], SCRIPT(HELLO, ACCEPTED));
    stage_begin(stage, 5);
    send_one(stage, &mails[0]);
    for (int i = 0; i < LAG_SAMPLES_MIN; i++)
        lag_note(&stage->smtp->upstreams[0].lag, 30);
    for (size_t i = 1; i < 4; i++)
        stage_deliver(stage, &mails[i]);
    until_held(stage, 0);
    assert_int_equal(stage->smtp->upstreams[0].waiting_count[0], 2);
    play_move_clock(31);
    until_held(stage, 1);
    play_move_clock(1000);
    stage_until(stage, &mails[3].dones, 1);
    assert_string_equal(mails[3].upstream, "two");
    assert_int_equal(stage->smtp->upstreams[0].waiting_count[0], 0);
    assert_int_equal(mails[2].dones, 0);
    play_go_on(&stage->plays[1]);
    stage_until(stage, &mails[2].dones, 1);
    assert_int_equal(mails[2].result.verdict, SMTP_SENT);
    assert_string_equal(mails[2].upstream, "two");
    stage_destroy(stage);
}

static void move_a_second(void *ctx)
{
    (void)ctx;
    play_move_clock(1000);
}

struct owner {
    char *subject;
    unsigned dones;
    enum smtp_unsent unsent;
};

static void free_subject(void *ctx, const struct smtp_result *result)
{
    struct owner *owner = ctx;

    owner->dones++;
    owner->unsent = result->unsent;
    free(owner->subject);
}

/* Its deadline passes while it waits behind a dot, in the very turn in which
 * the second one breaks off: its bytes are the owner's again then. */
static void nothing_is_left_behind_when_it_is_told(void **state)
{
    struct stage *stage = stage_create(2);
    struct mail mails[3] = {
        [1].answer = MARKS_BY_HAND,
        [2].delivery.may_hedge = true,
        [2].delivery.deadline_ms = WALL_MS + 1000,
    };
    struct owner owner = {.subject = xstrdup("123456 is your code")};
    struct task later;

    (void)state;
    mails[2].delivery.secret_subject = str_of(owner.subject);
    stage->upstreams[0].max_sessions = 1;
    play_add(&stage->plays[0],
             SCRIPT(HELLO_PIPE, ASKED, "<DATA", TAKES, ">354 c", BODY, "<.",
                    ">250 d", ASKED, "<DATA", TAKES, ">354 c", BODY, "<.",
                    ">250 d"));
    play_add(&stage->plays[1],
             SCRIPT(HELLO, "!deaf", "!hold", ">250 a", "!close"));
    stage_begin(stage, 5);
    send_one(stage, &mails[0]);
    for (int i = 0; i < LAG_SAMPLES_MIN; i++)
        lag_note(&stage->smtp->upstreams[0].lag, 30);
    stage_deliver(stage, &mails[1]);
    stage_deliver(stage, &mails[2]);
    mails[2].delivery.on_done = free_subject;
    mails[2].delivery.ctx = &owner;
    stage_until(stage, &mails[1].marks, 1);
    play_move_clock(31);
    until_held(stage, 1);
    stage_settle(stage);
    task_init(&later, move_a_second, NULL);
    task_run_soon(stage->loop, &later);
    answer_mark(&mails[1]);
    play_go_on(&stage->plays[1]); /* what it has not read makes that a reset */
    loop_turn(stage->loop, 0);
    assert_int_equal(owner.dones, 1);
    assert_int_equal(owner.unsent, SMTP_UNSENT_DEADLINE);
    stage_until(stage, &mails[1].dones, 1);
    play_assert_over(&stage->plays[0]);
    assert_empty(stage);
    stage_destroy(stage);
}

/* What is slow is learnt from the upstream itself. */
static void its_own_times_count(void **state)
{
    struct stage *stage = stage_create(2);
    struct mail mail = {.delivery.may_hedge = true};
    struct lag *lag;

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(HELLO_PIPE, ASKED, "!move 31", "!hold", TAKES, RESET));
    play_add(&stage->plays[1], SCRIPT(HELLO_PIPE, ASKED, TAKES, MESSAGE));
    stage_begin(stage, 5);
    lag = &stage->smtp->upstreams[0].lag;
    for (int i = 0; i < LAG_SAMPLES_MIN; i++)
        lag_note(lag, 30);
    send_one(stage, &mail);
    assert_string_equal(mail.upstream, "two");
    assert_int_equal(lag->count, LAG_SAMPLES_MIN + 1); /* the loser's, too */
    assert_int_equal(lag->sorted_ms[LAG_SAMPLES_MIN], 31);
    assert_int_equal(stage->smtp->upstreams[1].lag.count, 1);
    play_go_on(&stage->plays[0]);
    stage_settle(stage);
    assert_int_equal(lag->count, LAG_SAMPLES_MIN + 1);
    stage_destroy(stage);
}

/* Small ones, too, which else leave with the recipient. */
static void chunks_wait_for_the_recipient(void **state)
{
    struct stage *stage = stage_create(2);
    struct mail mail = {.delivery.may_hedge = true};

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(">220 one", "<EHLO me.example", ">250-one",
                    ">250-PIPELINING", ">250 CHUNKING", ASKED, "!hold", TAKES,
                    "<BDAT 18", BODY, ">250 c", "<BDAT 0 LAST", ">250 d"));
    stage->upstreams[0].chunking = CHUNKING_ALWAYS;
    stage_begin(stage, 5);
    stage_deliver(stage, &mail);
    until_held(stage, 0);
    stage_settle(stage);
    play_go_on(&stage->plays[0]);
    stage_until(stage, &mail.dones, 1);
    assert_int_equal(mail.result.verdict, SMTP_SENT);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* Whatever it waits for; every other time with a second one. */
static const char *const *const FIRSTS[] = {
    SCRIPT("!hold"),
    SCRIPT(SLOW),
    SCRIPT(HELLO_PIPE, ASKED, "!hold"),
    SCRIPT(HELLO_PIPE, ASKED, SLOW),
};

static void the_engine_closes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(FIRSTS); i++) {
        struct stage *stage = stage_create(2);
        struct mail mail = {.delivery.may_hedge = true};

        play_add(&stage->plays[0], FIRSTS[i]);
        play_add(&stage->plays[1], SCRIPT(HELLO_PIPE, ASKED, "!hold"));
        stage_begin(stage, 5);
        stage_deliver(stage, &mail);
        until_held(stage, 0);
        if (i % 2 == 1)
            until_held(stage, 1);
        stage_destroy(stage);
        assert_int_equal(mail.dones, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenes),
        cmocka_unit_test(the_others_go_in_one_piece),
        cmocka_unit_test(each_mail_brings_its_part),
        cmocka_unit_test(a_session_that_owes_is_not_waited_for),
        cmocka_unit_test(who_lost_patience_goes_on_alone),
        cmocka_unit_test(nothing_is_left_behind_when_it_is_told),
        cmocka_unit_test(its_own_times_count),
        cmocka_unit_test(chunks_wait_for_the_recipient),
        cmocka_unit_test(the_engine_closes),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
