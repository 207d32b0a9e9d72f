/* The engine, and upstreams that want an OAuth token. */
#include "stage.h"

#include "smtp/engine.h"

#include <stdio.h>

/* user=joe, ^A, auth=Bearer one, ^A, ^A; and two. */
#define AUTH_ONE "<AUTH XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgb25lAQE="
#define AUTH_TWO "<AUTH XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgdHdvAQE="
#define HELLO_AUTH                                                             \
    ">220 one", "<EHLO me.example", ">250-one", ">250 AUTH XOAUTH2"

/* Prints "one" the first time, "two" from then on. */
#define TURNS                                                                  \
    "if test -e \"$0\"; then echo two; else touch \"$0\"; echo one; fi"

static char trail[64];

static struct stage *open_stage(const char **words, size_t count)
{
    struct stage *stage = stage_create(1);

    stage->upstreams[0].username = "joe";
    stage->upstreams[0].auth_in_clear = true;
    stage->upstreams[0].token_command = (struct config_list){words, count};
    stage_open(stage);
    return stage;
}

static struct stage *open_by(const char *script)
{
    static const char *words[] = {"/bin/sh", "-c", NULL, trail};

    snprintf(trail, sizeof trail, "/tmp/login-%d", (int)getpid());
    unlink(trail);
    words[2] = script;
    return open_stage(words, COUNT_OF(words));
}

static void close_stage(struct stage *stage)
{
    stage_destroy(stage);
    unlink(trail);
}

static struct smtp_upstream_view look(const struct stage *stage)
{
    struct smtp_upstream_view view;

    smtp_upstream_look(stage->smtp, 0, &view);
    return view;
}

static void a_mail_goes_by_a_token(void **state)
{
    struct stage *stage = open_by("echo one");
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(HELLO_AUTH, AUTH_ONE, ">235 ok", ACCEPTED));
    send_one(stage, &mail);
    assert_int_equal(mail.result.verdict, SMTP_SENT);
    close_stage(stage);
}

static void a_token_that_grew_old_costs_nothing(void **state)
{
    struct stage *stage = open_by(TURNS);
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO_AUTH, AUTH_ONE, ">535 5.7.8 old",
                                      AUTH_TWO, ">235 ok", ACCEPTED));
    send_one(stage, &mail);
    assert_int_equal(mail.result.verdict, SMTP_SENT);
    assert_int_equal(look(stage).health, SMTP_HEALTH_UP);
    close_stage(stage);
}

/* The mail waits, no attempt counted; a second later it goes. */
static void a_server_that_hangs_up_with_its_refusal(void **state)
{
    struct stage *stage = open_by(TURNS);
    struct mail mail = {0};
    struct mail next = {0};

    (void)state;
    play_add(&stage->plays[0],
             SCRIPT(HELLO_AUTH, AUTH_ONE, ">535 5.7.8 old", "!close"));
    play_add(&stage->plays[0],
             SCRIPT(HELLO_AUTH, AUTH_TWO, ">235 ok", ACCEPTED));
    send_one(stage, &mail);
    assert_int_equal(mail.result.verdict, SMTP_UNSENT);
    assert_int_equal(mail.result.unsent, SMTP_UNSENT_ALARM);
    assert_int_equal(look(stage).health, SMTP_HEALTH_RESTING);
    assert_string_equal(look(stage).why, "AUTH: old");
    for (int i = 0;
         i < TURNS_MAX && stage->smtp->upstreams[0].tokens.is_fetching; i++)
        loop_turn(stage->loop, TURN_MS);
    play_move_clock(1001);
    stage_settle(stage);
    send_one(stage, &next);
    assert_int_equal(next.result.verdict, SMTP_SENT);
    close_stage(stage);
}

static void without_a_token_the_upstream_rests(void **state)
{
    struct stage *stage = open_by("echo 'no grant' >&2; exit 4");
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO_AUTH));
    send_one(stage, &mail);
    assert_int_equal(mail.result.verdict, SMTP_UNSENT);
    assert_int_equal(mail.result.unsent, SMTP_UNSENT_ALARM);
    assert_true(mail.result.alarm);
    assert_int_equal(look(stage).health, SMTP_HEALTH_RESTING);
    assert_string_equal(look(stage).why,
                        "AUTH: /bin/sh: exited with 4: no grant");
    close_stage(stage);
}

/* The session, the wait and the command go with the engine. */
static void the_engine_ends_while_a_session_waits(void **state)
{
    static const char *words[] = {"/bin/sleep", "100"};
    struct stage *stage = open_stage(words, COUNT_OF(words));
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO_AUTH, "!hold"));
    stage_deliver(stage, &mail);
    stage_until_held(stage, 1);
    stage_settle(stage);
    assert_false(list_is_empty(&stage->smtp->upstreams[0].tokens.waits));
    stage_destroy(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_goes_by_a_token),
        cmocka_unit_test(a_token_that_grew_old_costs_nothing),
        cmocka_unit_test(a_server_that_hangs_up_with_its_refusal),
        cmocka_unit_test(without_a_token_the_upstream_rests),
        cmocka_unit_test(the_engine_ends_while_a_session_waits),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
