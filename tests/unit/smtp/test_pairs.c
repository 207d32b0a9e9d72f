/* Commands of one mail behind the final dot of another. */
#include "smtp/engine.h"

#include "stage.h"

#define NEXT                                                                   \
    MAIL, "<RCPT TO:<c@you.example>", "<DATA" /* behind the dot, unanswered */
#define OKS        ">250 a", ">250 b", ">354 c"
#define PIPED      MAIL, RCPT, "<DATA", OKS, BODY, "<."
#define PIPED_TO_C NEXT, OKS, BODY, "<.", ">250 d"
#define WARM       HELLO_PIPE, PIPED, ">250 d"

/* On one session, a mail makes the upstream known as a fast one, then two are
 * handed in at once. */
static const struct pair {
    const char *name;
    const char *const *scripts[2];
    struct {
        enum smtp_verdict verdict;
        enum smtp_unsent unsent;
        enum smtp_stage stage;
        unsigned code;
        unsigned marks;
    } first, second;
    bool is_apart; /* nothing goes behind a dot to it any more */
    /* What is out of the ordinary. */
    int64_t hold_ms; /* until play goes on, or something happens */
    bool is_over_in_hold;
    int64_t deadline_ms; /* of the second, from the start */
    enum mark_answer answer;
    size_t padding; /* of the second */
    int64_t messages_per_session;
} PAIRS[] = {
#define TAKEN(marks)                                                           \
    {                                                                          \
        SMTP_SENT, SMTP_UNSENT_NONE, SMTP_STAGE_DOT, 250, marks                \
    }
#define UNSENT(why)                                                            \
    {                                                                          \
        SMTP_UNSENT, SMTP_UNSENT_##why, SMTP_STAGE_NONE, 0, 1                  \
    }
    {
        .name = "both accepted",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", OKS, BODY, "<.",
                           ">250 d")},
        .first = TAKEN(1),
        .second = TAKEN(1),
    },
    {
        .name = "first refused after its dot: no RSET, the second goes on",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">554 5.7.1 spam", OKS, BODY,
                           "<.", ">250 d")},
        .first = {SMTP_HARD, 0, SMTP_STAGE_DOT, 554, 1},
        .second = TAKEN(1),
    },
    {
        .name = "first put off after its dot",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">451 4.3.0 later", OKS, BODY,
                           "<.", ">250 d")},
        .first = {SMTP_SOFT, 0, SMTP_STAGE_DOT, 451, 1},
        .second = TAKEN(1),
    },
    {
        .name = "421 to the first's dot: the second goes elsewhere",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">421 4.3.2 bye", "!close"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = {SMTP_SOFT, 0, SMTP_STAGE_DOT, 421, 1},
        .second = TAKEN(1),
    },
    {
        .name = "421 to the second's MAIL: no attempt",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", ">421 enough",
                           "!close"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = TAKEN(1),
        .second = TAKEN(1),
    },
    {
        .name = "closes with the dot unanswered: only the first is unknown",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, "!close"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = {SMTP_UNKNOWN, 0, SMTP_STAGE_DOT, 0, 1},
        .second = TAKEN(1),
        .is_apart = true,
    },
    {
        .name = "closes behind the answer to the dot",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", "!close"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = TAKEN(1),
        .second = TAKEN(1),
        .is_apart = true,
    },
    {
        .name = "closes in the second's envelope: as ever",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", ">250 a", "!close"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = TAKEN(1),
        .second = TAKEN(1),
    },
    {
        .name = "second's sender refused, all three answered",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", ">550 5.7.1 no",
                           ">503 no", ">503 no")},
        .first = TAKEN(1),
        .second = {SMTP_HARD, 0, SMTP_STAGE_MAIL, 550, 1},
    },
    {
        .name = "second's recipient refused, yet 354: a lone dot, RSET",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", ">250 a",
                           ">550 5.1.1 no", ">354 c", "<.", ">554 no", "<RSET",
                           ">250 r")},
        .first = TAKEN(1),
        .second = {SMTP_HARD, 0, SMTP_STAGE_RCPT, 550, 1},
    },
    {
        .name = "second's DATA refused: RSET",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", ">250 a", ">250 b",
                           ">451 4.3.0 no", "<RSET", ">250 r")},
        .first = TAKEN(1),
        .second = {SMTP_SOFT, 0, SMTP_STAGE_DATA, 451, 1},
    },
    {
        .name = "nested MAIL, says the server",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">554 no", ">503 5.5.1 nested",
                           ">250 b", ">354 c"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = {SMTP_HARD, 0, SMTP_STAGE_DOT, 554, 1},
        .second = TAKEN(1),
        .is_apart = true,
    },
    {
        .name = "improper pipelining, says the server",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d",
                           ">554 SMTP synchronization error", "!close"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = TAKEN(1),
        .second = TAKEN(1),
        .is_apart = true,
    },
    {
        .name = "two replies to one dot: DATA's is none of its own",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", ">250 d", OKS),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = TAKEN(1),
        .second = TAKEN(1),
        .is_apart = true,
    },
    {
        .name = "what came behind the dot was thrown away: 5 s",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", "!hold"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = TAKEN(1),
        .second = TAKEN(2), /* the first mark grew old */
        .is_apart = true,
        .hold_ms = 5000,
        .is_over_in_hold = true,
    },
    {
        .name = "the dot is not answered for a second: the second leaves",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, "!hold", ">250 d")},
        .first = TAKEN(1),
        .second = UNSENT(ROOM),
        .hold_ms = 1000,
    },
    {
        .name = "the second's deadline passes behind the first's dot",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, "!hold", ">250 d", OKS)},
        .first = TAKEN(1),
        .second = UNSENT(DEADLINE),
        .hold_ms = 900,
        .deadline_ms = 900,
    },
    {
        .name = "the second's mark is refused: closed behind the first's reply",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, "!hold", ">250 d", OKS)},
        .first = TAKEN(1),
        .second = UNSENT(MARK),
        .answer = MARKS_NO,
        .hold_ms = 1,
    },
    {
        .name = "a mark that grew too old behind the first's dot: anew",
        .scripts = {SCRIPT(WARM, PIPED, NEXT, ">250 d", OKS, BODY, "<.",
                           ">250 d")},
        .first = TAKEN(1),
        .second = TAKEN(2),
        .answer = MARKS_LATE_THEN_YES,
    },
    {
        .name = "larger than the server takes: not behind a dot",
        .scripts = {SCRIPT(">220 one", "<EHLO me.example", ">250-PIPELINING",
                           ">250-PIPELINING", ">250 SIZE 50",
                           "<MAIL FROM:<a@me.example> SIZE=18", RCPT, "<DATA",
                           OKS, BODY, "<.", ">250 d",
                           "<MAIL FROM:<a@me.example> SIZE=18", RCPT, "<DATA",
                           OKS, BODY, "<.", ">250 d")},
        .first = TAKEN(1),
        .second = {SMTP_HARD, 0, SMTP_STAGE_MAIL, 0, 0},
        .padding = 100,
    },
    {
        .name = "the session's last mail has none behind it",
        .scripts = {SCRIPT(WARM, PIPED, ">250 d", "<QUIT"),
                    SCRIPT(HELLO_PIPE, PIPED_TO_C)},
        .first = TAKEN(1),
        .second = TAKEN(1),
        .messages_per_session = 2,
    },
    {
        .name = "not offered, not done",
        .scripts = {SCRIPT(HELLO, ACCEPTED, ACCEPTED, MAIL, ">250 a",
                           "<RCPT TO:<c@you.example>", ">250 b", "<DATA",
                           ">354 c", BODY, "<.", ">250 d")},
        .first = TAKEN(1),
        .second = TAKEN(1),
    },
};

static void assert_fate(const struct mail *mail, enum smtp_verdict verdict,
                        enum smtp_unsent unsent, enum smtp_stage stage,
                        unsigned code, unsigned marks)
{
    assert_int_equal(mail->result.verdict, verdict);
    assert_int_equal(mail->result.unsent, unsent);
    assert_int_equal(mail->result.stage, stage);
    assert_int_equal(mail->result.code, code);
    assert_int_equal(mail->marks, marks);
    assert_int_equal(mail->dones, 1);
}

static struct stage *stage_of_pair(const struct pair *pair)
{
    struct stage *stage = stage_create(1);

    for (size_t i = 0; i < 2 && pair->scripts[i] != NULL; i++)
        play_add(&stage->plays[0], pair->scripts[i]);
    stage->upstreams[0].max_sessions = 1;
    if (pair->messages_per_session > 0)
        stage->upstreams[0].messages_per_session = pair->messages_per_session;
    stage_open(stage);
    return stage;
}

/* The clock moves on, to a millisecond before and then to the moment. */
static void hold_pair(struct stage *stage, const struct pair *pair,
                      const struct mail *second)
{
    if (pair->hold_ms == 0)
        return;
    stage_until_held(stage, 1);
    stage_settle(stage);
    play_move_clock(pair->hold_ms - 1);
    stage_settle(stage);
    if (pair->answer != MARKS_NO)
        assert_int_equal(second->dones, 0);
    play_move_clock(1);
    stage_settle(stage);
    if (!pair->is_over_in_hold)
        play_go_on(&stage->plays[0]);
}

static void check_pair(const struct pair *pair)
{
    struct buf padding;
    struct stage *stage = stage_of_pair(pair);
    struct mail warm = {0};
    struct mail first = {0};
    struct mail second = {.answer = pair->answer};

    print_message("  %s\n", pair->name);
    buf_init(&padding, 200);
    for (size_t i = 0; i < pair->padding; i++)
        buf_add_char(&padding, 'x');
    send_one(stage, &warm);
    second.delivery.rcpt_to = S("c@you.example");
    if (pair->padding > 0)
        second.delivery.message = octets_of(buf_str(&padding));
    if (pair->deadline_ms > 0)
        second.delivery.deadline_ms = WALL_MS + pair->deadline_ms;
    stage_deliver(stage, &first);
    stage_deliver(stage, &second);
    hold_pair(stage, pair, &second);
    stage_until(stage, &first.dones, 1);
    stage_until(stage, &second.dones, 1);
    stage_settle(stage);
    assert_fate(&first, pair->first.verdict, pair->first.unsent,
                pair->first.stage, pair->first.code, pair->first.marks);
    assert_fate(&second, pair->second.verdict, pair->second.unsent,
                pair->second.stage, pair->second.code, pair->second.marks);
    assert_int_equal(!stage->smtp->upstreams[0].takes_pairs, pair->is_apart);
    assert_int_equal(smtp_in_hand(stage->smtp), 0);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
    buf_finish(&padding);
}

static void pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(PAIRS); i++)
        check_pair(&PAIRS[i]);
}

static void freeze(void *ctx)
{
    (void)ctx;
    play_move_clock(5000);
}

/* The dot is decided on, then the process sleeps before the turn ends. */
static void a_late_dot_takes_what_is_behind_it_along(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[3] = {{.answer = MARKS_YES},
                            {.answer = MARKS_BY_HAND},
                            {.answer = MARKS_YES}};
    struct task freezing;

    (void)state;
    task_init(&freezing, freeze, NULL);
    play_add(&stage->plays[0], SCRIPT(WARM, MAIL, RCPT, "<DATA", OKS, BODY));
    play_add(&stage->plays[0], SCRIPT(HELLO_PIPE, PIPED_TO_C));
    stage->upstreams[0].max_sessions = 1;
    stage_open(stage);
    send_one(stage, &mails[0]);
    stage_deliver(stage, &mails[1]);
    mails[2].delivery.rcpt_to = S("c@you.example");
    stage_deliver(stage, &mails[2]);
    stage_until(stage, &mails[1].marks, 1);
    stage_settle(stage);
    answer_mark(&mails[1]);
    task_run_soon(stage->loop, &freezing); /* behind the engine's */
    stage_until(stage, &mails[1].dones, 1);
    assert_int_equal(mails[1].result.unsent, SMTP_UNSENT_MARK);
    stage_until(stage, &mails[2].dones, 1);
    assert_int_equal(mails[2].result.verdict, SMTP_SENT);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* What is marked goes to its end, behind a dot as well. */
static void stop_with_a_pair(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[4] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(WARM, PIPED, NEXT, "!hold", ">250 d", OKS,
                                      BODY, "<.", ">250 d", "<QUIT"));
    stage->upstreams[0].max_sessions = 1;
    stage_open(stage);
    send_one(stage, &mails[0]);
    mails[2].delivery.rcpt_to = S("c@you.example");
    for (size_t i = 1; i < 4; i++)
        stage_deliver(stage, &mails[i]);
    stage_until_held(stage, 1);
    stage_until(stage, &mails[2].marks, 1);
    smtp_stop(stage->smtp);
    stage_until(stage, &mails[3].dones, 1);
    assert_int_equal(mails[3].result.unsent, SMTP_UNSENT_STOPPED);
    assert_int_equal(smtp_in_hand(stage->smtp), 2);
    play_go_on(&stage->plays[0]);
    for (size_t i = 1; i < 3; i++) {
        stage_until(stage, &mails[i].dones, 1);
        assert_int_equal(mails[i].result.verdict, SMTP_SENT);
    }
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* A mail that is taken raises the limit; another one keeps the session. */
static void a_raised_limit_is_used_at_once(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[4] = {0};
    struct smtp_upstream *upstream;

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(WARM, PIPED, MAIL, RCPT, "<DATA", ">250 d", "!hold", OKS,
                    BODY, "<.", ">250 d"));
    play_add(&stage->plays[0], SCRIPT(HELLO_PIPE, PIPED, ">250 d"));
    stage->upstreams[0].max_sessions = 2;
    stage->upstreams[0].pipeline_next = true;
    stage_open(stage);
    upstream = &stage->smtp->upstreams[0];
    upstream->limit = 1;
    upstream->taken_since_slow = 30; /* of 32 */
    send_one(stage, &mails[0]);
    for (size_t i = 1; i < COUNT_OF(mails); i++)
        stage_deliver(stage, &mails[i]);
    stage_until(stage, &mails[3].dones, 1);
    assert_int_equal(upstream->limit, 2);
    assert_int_equal(mails[2].dones, 0);
    play_go_on(&stage->plays[0]);
    stage_until(stage, &mails[2].dones, 1);
    stage_destroy(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs),
        cmocka_unit_test(a_late_dot_takes_what_is_behind_it_along),
        cmocka_unit_test(stop_with_a_pair),
        cmocka_unit_test(a_raised_limit_is_used_at_once),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
