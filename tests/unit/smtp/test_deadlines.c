/* The clock and the mark: what must not leave any more. */
#include "stage.h"

static void late_at_once(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mail = {.delivery = {.deadline_ms = WALL_MS}};

    (void)state;
    stage_open(stage);
    send_one(stage, &mail);
    assert_int_equal(mail.result.unsent, SMTP_UNSENT_DEADLINE);
    stage_destroy(stage);
}

/* Each script moves the clock past the deadline at another place. */
static const char *const *const LATE[] = {
    SCRIPT("!move 5000", HELLO, "<QUIT"),
    SCRIPT(HELLO, MAIL, "!move 5000", ">250 a", "<RSET", ">250 r", "<QUIT"),
    SCRIPT(HELLO, MAIL, ">250 a", RCPT, "!move 5000", ">250 b", "<RSET",
           ">250 r", "<QUIT"),
    SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA", "!move 5000",
           ">354 c"),
    SCRIPT("!move 5000", "!close"),
    SCRIPT(HELLO, MAIL, "!move 5000", "!close"),
};

static void never_late(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(LATE); i++) {
        struct stage *stage = stage_create(i < 4 ? 1 : 2);
        struct mail mail = {.delivery = {.deadline_ms = WALL_MS + 5000}};

        print_message("  %zu\n", i);
        play_add(&stage->plays[0], LATE[i]);
        stage_open(stage);
        send_one(stage, &mail);
        assert_int_equal(mail.result.verdict, SMTP_UNSENT);
        assert_int_equal(mail.result.unsent, SMTP_UNSENT_DEADLINE);
        stage_settle(stage);
        smtp_close(&stage->smtp);
        stage_settle(stage);
        play_assert_over(&stage->plays[0]);
        stage_destroy(stage);
    }
}

/* The server is silent; what it says in the end is for nobody. */
static const char *const *const SILENT[] = {
    SCRIPT(HELLO, MAIL, "!hold", ">250 a", "<RSET", ">250 r", "<QUIT"),
    SCRIPT(HELLO, MAIL, ">250 a", RCPT, "!hold", ">250 b", "<RSET", ">250 r",
           "<QUIT"),
    SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", "!hold"),
    SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA", "!hold"),
};

static void a_silent_server_keeps_no_mail_beyond_its_deadline(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SILENT); i++) {
        struct stage *stage = stage_create(1);
        struct mail mail = {.delivery = {.deadline_ms = WALL_MS + 5000}};

        print_message("  %zu\n", i);
        play_add(&stage->plays[0], SILENT[i]);
        stage_open(stage);
        stage_deliver(stage, &mail);
        stage_settle(stage);
        play_move_clock(4999);
        stage_settle(stage);
        assert_int_equal(mail.dones, 0);
        play_move_clock(1);
        stage_until(stage, &mail.dones, 1);
        assert_int_equal(mail.result.unsent, SMTP_UNSENT_DEADLINE);
        play_go_on(&stage->plays[0]);
        stage_settle(stage);
        smtp_close(&stage->smtp);
        stage_settle(stage);
        play_assert_over(&stage->plays[0]);
        stage_destroy(stage);
    }
}

/* Nor does one that does not even greet. */
static void nor_is_one_kept_waiting_for_a_session(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mail = {.delivery = {.deadline_ms = WALL_MS + 5000}};

    (void)state;
    play_add(&stage->plays[0], SCRIPT("!hold"));
    stage_open(stage);
    stage_deliver(stage, &mail);
    for (int s = 0; s < 5; s++) {
        assert_int_equal(mail.dones, 0);
        stage_settle(stage);
        play_move_clock(1000);
    }
    stage_until(stage, &mail.dones, 1);
    assert_int_equal(mail.result.unsent, SMTP_UNSENT_DEADLINE);
    stage_destroy(stage);
}

static void stop(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[3] = {{.answer = MARKS_BY_HAND}};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED, "<QUIT"));
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, "!hold", ">250 a", "<RSET",
                                      ">250 r", "<QUIT"));
    stage_open(stage);
    stage_deliver(stage, &mails[0]);
    stage_until(stage, &mails[0].marks, 1);
    stage_deliver(stage, &mails[1]);
    stage_settle(stage);
    stage_deliver(stage, &mails[2]);
    smtp_stop(stage->smtp);
    assert_int_equal(mails[1].dones, 0); /* not from inside */
    stage_until(stage, &mails[1].dones, 1);
    stage_until(stage, &mails[2].dones, 1);
    assert_int_equal(mails[1].result.unsent, SMTP_UNSENT_STOPPED);
    assert_int_equal(mails[2].result.unsent, SMTP_UNSENT_STOPPED);
    assert_int_equal(smtp_in_hand(stage->smtp), 1);
    assert_false(smtp_cancel(&mails[0].delivery));
    answer_mark(&mails[0]);
    stage_until(stage, &mails[0].dones, 1);
    assert_int_equal(mails[0].result.verdict, SMTP_SENT);
    play_go_on(&stage->plays[0]);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

static const char *const *const SILENT_AT_DATA[] = {
    SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA"),
    SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a", ">250 b"),
};

/* It is marked, and a server that says no 354 is not waited for until the
 * process is killed. */
static void stop_before_the_dot(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SILENT_AT_DATA); i++) {
        struct stage *stage = stage_create(1);
        struct mail mail = {0};

        play_add(&stage->plays[0], SILENT_AT_DATA[i]);
        stage_open(stage);
        stage_deliver(stage, &mail);
        stage_until(stage, &mail.marks, 1);
        stage_settle(stage);
        smtp_stop(stage->smtp);
        play_move_clock(9999);
        stage_settle(stage);
        assert_int_equal(mail.dones, 0);
        play_move_clock(1);
        stage_until(stage, &mail.dones, 1);
        assert_int_equal(mail.result.verdict, SMTP_UNSENT);
        assert_int_equal(mail.result.unsent, SMTP_UNSENT_STOPPED);
        assert_int_equal(smtp_in_hand(stage->smtp), 0);
        stage_destroy(stage);
    }
}

static void stop_behind_the_dot(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA", ">354 c",
                    BODY, "<.", "!hold", ">250 d"));
    stage_open(stage);
    stage_deliver(stage, &mail);
    stage_until_held(stage, 1);
    smtp_stop(stage->smtp);
    play_move_clock(10000);
    stage_settle(stage);
    assert_int_equal(mail.dones, 0);
    play_go_on(&stage->plays[0]);
    stage_until(stage, &mail.dones, 1);
    assert_int_equal(mail.result.verdict, SMTP_SENT);
    stage_destroy(stage);
}

static void freeze(void *ctx)
{
    (void)ctx;
    clock_set(clock_now_ms() + 5000, clock_wall_ms() + 5000);
}

/* The dot is decided on, then the process sleeps before the turn ends. */
static void a_dot_that_is_late_does_not_leave(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mail = {.answer = MARKS_BY_HAND};
    struct task freezing;

    (void)state;
    task_init(&freezing, freeze, NULL);
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b",
                                      "<DATA", ">354 c", BODY));
    stage_open(stage);
    stage_deliver(stage, &mail);
    stage_until(stage, &mail.marks, 1);
    stage_settle(stage);
    answer_mark(&mail);
    task_run_soon(stage->loop, &freezing); /* behind the engine's */
    stage_until(stage, &mail.dones, 1);
    assert_int_equal(mail.marks, 1);
    assert_int_equal(mail.result.verdict, SMTP_UNSENT);
    assert_int_equal(mail.result.unsent, SMTP_UNSENT_MARK);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* Nor was a message taken whose end the server has not read; whoever says so
 * is not asked again on that session. */
static void an_answer_that_comes_before_the_dot_is_none(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mail = {0};
    struct task freezing;

    (void)state;
    task_init(&freezing, freeze, NULL);
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b",
                                      "<DATA", "!hold", ">354 c", ">250 d"));
    stage_open(stage);
    stage_deliver(stage, &mail);
    stage_until_held(stage, 1);
    play_go_on(&stage->plays[0]);
    loop_turn(stage->loop, 0); /* both replies lie there */
    task_run_soon(stage->loop, &freezing);
    stage_until(stage, &mail.dones, 1);
    assert_int_equal(mail.result.verdict, SMTP_SOFT);
    assert_int_equal(mail.result.stage, SMTP_STAGE_BODY);
    assert_string_equal(mail.text, "the message was answered before its end");
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

static void a_result_waits_for_the_mark(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mail = {.answer = MARKS_BY_HAND};

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a", ">550 5.1.1 no",
                    ">554 no", "<RSET", ">250 r"));
    stage_open(stage);
    stage_deliver(stage, &mail);
    stage_until(stage, &mail.marks, 1);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    assert_int_equal(mail.dones, 0);
    answer_mark(&mail);
    assert_int_equal(mail.dones, 0);
    stage_until(stage, &mail.dones, 1);
    assert_int_equal(mail.result.verdict, SMTP_HARD);
    assert_true(mail.result.suppress);
    stage_destroy(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_at_once),
        cmocka_unit_test(never_late),
        cmocka_unit_test(a_silent_server_keeps_no_mail_beyond_its_deadline),
        cmocka_unit_test(nor_is_one_kept_waiting_for_a_session),
        cmocka_unit_test(stop),
        cmocka_unit_test(stop_before_the_dot),
        cmocka_unit_test(stop_behind_the_dot),
        cmocka_unit_test(a_dot_that_is_late_does_not_leave),
        cmocka_unit_test(an_answer_that_comes_before_the_dot_is_none),
        cmocka_unit_test(a_result_waits_for_the_mark),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
