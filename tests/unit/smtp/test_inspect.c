/* What an operator sees of an upstream: tests and traces. */
#include "stage.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct tested {
    unsigned count;
    struct smtp_result result;
    char text[REPLY_TEXT_MAX + 1];
    char transcript[1024];
};

static void on_tested(void *ctx, const struct smtp_result *result)
{
    struct tested *tested = ctx;

    tested->count++;
    tested->result = *result;
    snprintf(tested->text, sizeof tested->text, "%s", result->text);
    snprintf(tested->transcript, sizeof tested->transcript, "%.*s",
             STR_ARG(result->transcript));
}

static void a_test_opens_a_session_of_its_own(void **state)
{
    struct stage *stage = stage_create(1);
    struct tested tested = {0};
    struct smtp_upstream_view view;

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, "<QUIT"));
    stage_open(stage);
    smtp_upstream_pause(stage->smtp, 0, true);
    smtp_upstream_test(stage->smtp, 0, on_tested, &tested);
    stage_until(stage, &tested.count, 1);
    assert_int_equal(tested.result.verdict, SMTP_SENT);
    assert_string_equal(tested.transcript, "     0 S: 220 one\n"
                                           "     0 C: EHLO me.example\n"
                                           "     0 S: 250 one\n");
    smtp_upstream_look(stage->smtp, 0, &view);
    assert_int_equal(view.sessions, 0);
    stage_settle(stage);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

/* It says why, and mail is not kept from the upstream for it. */
static void a_test_that_fails_changes_nothing(void **state)
{
    struct stage *stage = stage_create(1);
    struct tested tested = {0};
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(">554 not you", "<QUIT"));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage_open(stage);
    smtp_upstream_test(stage->smtp, 0, on_tested, &tested);
    stage_until(stage, &tested.count, 1);
    assert_int_not_equal(tested.result.verdict, SMTP_SENT);
    assert_int_equal(tested.result.stage, SMTP_STAGE_BANNER);
    assert_int_equal(tested.result.code, 554);
    assert_string_equal(tested.text, "not you");
    stage_settle(stage);
    send_one(stage, &mail);
    assert_int_equal(mail.result.verdict, SMTP_SENT);
    stage_destroy(stage);
}

static void a_silent_server_is_not_waited_for_longer(void **state)
{
    struct stage *stage = stage_create(1);
    struct tested tested = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT("!hold", ">220 late"));
    stage_open(stage);
    smtp_upstream_test(stage->smtp, 0, on_tested, &tested);
    stage_until_held(stage, 1);
    clock_set(START_MS + SMTP_TEST_MAX_MS, WALL_MS + SMTP_TEST_MAX_MS);
    stage_until(stage, &tested.count, 1);
    assert_int_equal(tested.result.stage, SMTP_STAGE_BANNER);
    assert_string_equal(tested.text, "not done within 20 s");
    stage_destroy(stage);
}

/* A name server that takes questions and answers none. */
static int be_silent(char where[32])
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    snprintf(where, 32, "127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}

static void nor_is_a_silent_name_server(void **state)
{
    struct stage *stage = stage_create(1);
    struct tested tested = {0};
    char where[32];
    int fd = be_silent(where);

    (void)state;
    stage->upstreams[0].host = "mail.example";
    dns_close(&stage->dns);
    stage->dns = dns_open(stage->loop, where, NULL);
    assert_non_null(stage->dns);
    stage_open(stage);
    smtp_upstream_test(stage->smtp, 0, on_tested, &tested);
    stage_settle(stage);
    clock_set(START_MS + SMTP_TEST_MAX_MS, WALL_MS + SMTP_TEST_MAX_MS);
    stage_until(stage, &tested.count, 1);
    assert_int_not_equal(tested.result.verdict, SMTP_SENT);
    assert_int_equal(tested.result.stage, SMTP_STAGE_DNS);
    assert_string_equal(tested.text, "not done within 20 s");
    stage_destroy(stage);
    close(fd);
}

static void the_engine_closes_in_the_middle(void **state)
{
    struct stage *stage = stage_create(1);
    struct tested tested = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT("!hold", ">220 late"));
    stage_open(stage);
    smtp_upstream_test(stage->smtp, 0, on_tested, &tested);
    stage_until_held(stage, 1);
    stage_destroy(stage);
    assert_int_equal(tested.count, 0);
}

static void a_trace_tells_of_mails_and_of_sessions(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[3] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED, ACCEPTED, "!close"));
    play_add(&stage->plays[0], SCRIPT(">554 not you", "<QUIT"));
    stage_open(stage);
    send_one(stage, &mails[0]);
    assert_int_equal(stage->traces, 0);
    smtp_upstream_trace(stage->smtp, 0, true);
    send_one(stage, &mails[1]);
    assert_int_equal(stage->traces, 1);
    assert_non_null(strstr(stage->trace, "C: MAIL FROM:<a@me.example>"));
    assert_non_null(strstr(stage->trace, "C: [18 bytes]\n"));
    assert_null(strstr(stage->trace, "Hi"));
    assert_null(strstr(stage->trace, "EHLO")); /* of the mail before */
    stage_settle(stage);
    send_one(stage, &mails[2]);
    assert_in_range(stage->traces, 2, 3); /* the session, and who waited */
    assert_non_null(strstr(stage->trace, "S: 554 not you"));
    stage_destroy(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_test_opens_a_session_of_its_own),
        cmocka_unit_test(a_test_that_fails_changes_nothing),
        cmocka_unit_test(a_silent_server_is_not_waited_for_longer),
        cmocka_unit_test(nor_is_a_silent_name_server),
        cmocka_unit_test(the_engine_closes_in_the_middle),
        cmocka_unit_test(a_trace_tells_of_mails_and_of_sessions),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
