/* The engine against scripted servers: what it says, and what it reports. */
#include "stage.h"

#include <linux/filter.h>
#include <netinet/tcp.h>

/* --- scenes: one mail, scripts, a result --- */

static const struct scene {
    const char *name;
    const char *const *scripts[3]; /* of upstream one, a connection each */
    const char *const *other;      /* of upstream two; NULL: there is none */
    enum config_tls tls;
    const char *cert; /* NULL: none */
    const char *username;
    int64_t holds_ms[2]; /* how long each !hold lasts; behind the last one a
                            millisecond more is too much */
    enum mark_answer answer;
    unsigned marks;
    enum smtp_verdict verdict;
    enum smtp_unsent unsent;
    enum smtp_stage stage;
    unsigned code;
    const char *text; /* part of it; NULL: any */
    bool alarm;
    bool is_two; /* the result is of upstream two */
} SCENES[] = {
    {
        .name = "accepted",
        .scripts = {SCRIPT(HELLO, ACCEPTED)},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
        .text = "queued",
    },
    {
        .name = "accepted, pipelined",
        .scripts = {SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a", ">250 b",
                           ">354 c", BODY, "<.", ">250 d")},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
    },
    {
        .name = "replies in drips",
        .scripts = {SCRIPT("=2", "=20-o", "=ne\r\n22", "=0 one\r\n",
                           "<EHLO me.example", "=250 one\n", ACCEPTED)},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
    },
    {
        .name = "closes at accept",
        .scripts = {SCRIPT("!close")},
        .tls = TLS_OFF,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_BANNER,
    },
    {
        .name = "banner never: 60 s",
        .holds_ms = {59999},
        .scripts = {SCRIPT("!hold")},
        .tls = TLS_OFF,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_BANNER,
        .text = "did not reply",
    },
    {
        .name = "banner a byte at a time: the time is for the whole reply",
        .holds_ms = {30000, 29999},
        .scripts = {SCRIPT("=2", "!hold", "=2", "!hold")},
        .tls = TLS_OFF,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_BANNER,
        .text = "did not reply",
    },
    {
        .name = "answers as HTTP",
        .scripts = {SCRIPT(">HTTP/1.1 400 Bad Request")},
        .tls = TLS_OFF,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_BANNER,
        .text = "no SMTP reply",
    },
    {
        .name = "banner 554: the mail waits",
        .scripts = {SCRIPT(">554 go away")},
        .tls = TLS_OFF,
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_ALARM,
        .stage = SMTP_STAGE_BANNER,
        .code = 554,
        .alarm = true,
    },
    {
        .name = "two replies to one EHLO",
        .scripts = {SCRIPT(">220 one", "<EHLO me.example",
                           "=250 one\r\n250 two\r\n")},
        .tls = TLS_OFF,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_EHLO,
        .text = "asked for",
    },
    {
        .name = "refused recipient: the mark of the flight counts for nothing",
        .scripts = {SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a",
                           ">550 5.1.1 no such user", ">554 no valid", "<RSET",
                           ">250 r")},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_HARD,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
        .text = "no such user",
    },
    {
        .name = "refused recipient, yet 354: a lone dot",
        .scripts = {SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a",
                           ">550 5.1.1 no such user", ">354 c", "<.",
                           ">554 no valid", "<RSET", ">250 r")},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_HARD,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
    },
    {
        .name = "not pipelined: no mark before RCPT was accepted",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">450 greylisted",
                           "<RSET", ">250 r")},
        .tls = TLS_OFF,
        .marks = 0,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_RCPT,
        .code = 450,
    },
    {
        .name = "mark refused: closed without a dot",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA")},
        .tls = TLS_OFF,
        .answer = MARKS_NO,
        .marks = 1,
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_MARK,
    },
    {
        .name = "mark too old and taken: closed without a dot",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA",
                           ">354 c", BODY)},
        .tls = TLS_OFF,
        .answer = MARKS_LATE_THEN_NO,
        .marks = 2,
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_MARK,
    },
    {
        .name = "mark too old and still ours: marked anew",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA",
                           ">354 c", BODY, "<.", ">250 d")},
        .tls = TLS_OFF,
        .answer = MARKS_LATE_THEN_YES,
        .marks = 2,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
    },
    {
        .name = "lost between RCPT and DATA's reply",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA",
                           "!close")},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_DATA,
    },
    {
        .name = "lost in the body: surely unsent",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA",
                           ">354 c", BODY, "!close")},
        .tls = TLS_OFF,
        .answer = MARKS_BY_HAND,
        .marks = 1,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_BODY,
    },
    {
        .name = "lost after the dot: unknown",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA",
                           ">354 c", BODY, "<.", "!close")},
        .other = SCRIPT("<never"), /* nobody comes here after a dot */
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_UNKNOWN,
        .stage = SMTP_STAGE_DOT,
    },
    {
        .name = "silent after the dot: unknown, after 600 s",
        .holds_ms = {599999},
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA",
                           ">354 c", BODY, "<.", "!hold")},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_UNKNOWN,
        .stage = SMTP_STAGE_DOT,
    },
    {
        .name = "half a reply after the dot is none",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA",
                           ">354 c", BODY, "<.", "=250 o", "!close")},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_UNKNOWN,
        .stage = SMTP_STAGE_DOT,
    },
    {
        .name = "250, then closes: sent",
        .scripts = {SCRIPT(HELLO, ACCEPTED, "!close")},
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
    },
    {
        .name = "answers the body before its end",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b", "<DATA",
                           ">354 c", BODY, ">552 5.3.4 too big")},
        .tls = TLS_OFF,
        .answer = MARKS_BY_HAND,
        .marks = 1,
        .verdict = SMTP_HARD,
        .stage = SMTP_STAGE_BODY,
        .code = 552,
    },
    {
        .name = "421 before the dot: the next upstream takes it",
        .scripts = {SCRIPT(HELLO, MAIL, ">421 bye")},
        .other = SCRIPT(HELLO, ACCEPTED),
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
        .is_two = true,
    },
    {
        .name = "lost behind the mark: the next one goes on with that mark",
        .scripts = {SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", "!close")},
        .other = SCRIPT(HELLO, ACCEPTED),
        .tls = TLS_OFF,
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
        .is_two = true,
    },
    {
        .name = "a refused recipient is not tried elsewhere",
        .scripts = {SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">550 5.1.1 no",
                           "<RSET", ">250 r")},
        .other = SCRIPT("<never"),
        .tls = TLS_OFF,
        .verdict = SMTP_HARD,
        .stage = SMTP_STAGE_RCPT,
        .code = 550,
    },
    {
        .name = "STARTTLS, verified",
        .scripts = {SCRIPT(">220 one", "<EHLO me.example", ">250-one",
                           ">250 STARTTLS", "<STARTTLS", ">220 go", "!tls",
                           "<EHLO me.example", ">250 one", ACCEPTED)},
        .tls = TLS_STARTTLS,
        .cert = "good",
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
    },
    {
        .name = "implicit TLS with a login",
        .scripts = {SCRIPT("!tls", ">220 one", "<EHLO me.example", ">250-one",
                           ">250 AUTH PLAIN LOGIN",
                           "<AUTH PLAIN AGpvZQBzZXNhbWU=", ">235 ok",
                           ACCEPTED)},
        .tls = TLS_IMPLICIT,
        .cert = "good",
        .username = "joe",
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
    },
    {
        .name = "self-signed: not trusted",
        .scripts = {SCRIPT("!tls")},
        .tls = TLS_IMPLICIT,
        .cert = "alone",
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_ALARM,
        .stage = SMTP_STAGE_TLS,
        .text = "self-signed",
        .alarm = true,
    },
    {
        .name = "wrong name: not trusted",
        .scripts = {SCRIPT("!tls")},
        .tls = TLS_IMPLICIT,
        .cert = "other",
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_ALARM,
        .stage = SMTP_STAGE_TLS,
        .alarm = true,
    },
    {
        .name = "expired: not trusted, but the next upstream will do",
        .scripts = {SCRIPT("!tls")},
        .other = SCRIPT("!tls", HELLO, ACCEPTED),
        .tls = TLS_IMPLICIT,
        .cert = "expired",
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
        .is_two = true,
    },
    {
        .name = "self-signed will do when TLS is a wish only",
        .scripts = {SCRIPT(">220 one", "<EHLO me.example", ">250-one",
                           ">250 STARTTLS", "<STARTTLS", ">220 go", "!tls",
                           "<EHLO me.example", ">250 one", ACCEPTED)},
        .tls = TLS_OPPORTUNISTIC,
        .cert = "alone",
        .marks = 1,
        .verdict = SMTP_SENT,
        .stage = SMTP_STAGE_DOT,
        .code = 250,
    },
    {
        .name = "plaintext behind the 220 of STARTTLS",
        .scripts = {SCRIPT(">220 one", "<EHLO me.example", ">250-one",
                           ">250 STARTTLS", "<STARTTLS",
                           "=220 go\r\n250-one\r\n250 AUTH PLAIN\r\n")},
        .tls = TLS_STARTTLS,
        .cert = "good",
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_TLS,
        .text = "in the clear",
        .alarm = true,
    },
    {
        .name = "two replies to MAIL: nobody knows what the next ones answer",
        .scripts = {SCRIPT(HELLO, MAIL, "=250 a\r\n250 b\r\n")},
        .tls = TLS_OFF,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_RCPT,
        .text = "nobody asked for",
    },
    {
        .name = "two banners",
        .scripts = {SCRIPT("=220 one\r\n220 two\r\n")},
        .tls = TLS_OFF,
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_EHLO,
        .text = "nobody asked for",
    },
    {
        .name = "no TLS where it is demanded",
        .scripts = {SCRIPT(HELLO)},
        .tls = TLS_STARTTLS,
        .cert = "good",
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_ALARM,
        .stage = SMTP_STAGE_STARTTLS,
        .alarm = true,
    },
    {
        .name = "closes in the handshake",
        .scripts = {SCRIPT(">220 one", "<EHLO me.example", ">250-one",
                           ">250 STARTTLS", "<STARTTLS", ">220 go", "!close")},
        .tls = TLS_STARTTLS,
        .cert = "good",
        .verdict = SMTP_SOFT,
        .stage = SMTP_STAGE_TLS,
    },
    {
        .name = "login refused: no fault of the mail",
        .scripts = {SCRIPT("!tls", ">220 one", "<EHLO me.example", ">250-one",
                           ">250 AUTH PLAIN",
                           "<AUTH PLAIN AGpvZQBzZXNhbWU=", ">535 5.7.8 no")},
        .tls = TLS_IMPLICIT,
        .cert = "good",
        .username = "joe",
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_ALARM,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
        .alarm = true,
    },
    {
        .name = "login in the clear: not with a password",
        .scripts = {SCRIPT(">220 one", "<EHLO me.example", ">250-one",
                           ">250 AUTH PLAIN")},
        .tls = TLS_OFF,
        .username = "joe",
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_ALARM,
        .stage = SMTP_STAGE_AUTH,
        .alarm = true,
    },
    {
        .name = "530 at MAIL",
        .scripts = {SCRIPT(HELLO, MAIL, ">530 5.7.0 log in")},
        .tls = TLS_OFF,
        .verdict = SMTP_UNSENT,
        .unsent = SMTP_UNSENT_ALARM,
        .stage = SMTP_STAGE_MAIL,
        .code = 530,
        .alarm = true,
    },
};

/* Lets the time of a hold pass. */
static void sit_out(struct stage *stage, const struct mail *mail,
                    const int64_t *holds_ms)
{
    struct play *play = &stage->plays[0];

    for (size_t i = 0; i < 2 && holds_ms[i] > 0; i++) {
        stage_until_held(stage, 1);
        stage_settle(stage);
        play_move_clock(holds_ms[i]);
        play_go_on(play);
        stage_settle(stage);
        assert_int_equal(mail->dones, 0); /* not a moment sooner */
    }
    if (holds_ms[0] > 0)
        play_move_clock(1);
}

static void run_to_end(struct stage *stage, struct mail *mail,
                       const int64_t *holds_ms)
{
    stage_deliver(stage, mail);
    sit_out(stage, mail, holds_ms);
    for (int i = 0; i < TURNS_MAX && mail->dones == 0; i++) {
        loop_turn(stage->loop, TURN_MS);
        if (mail->answer == MARKS_BY_HAND && mail->marks > 0 && i > 10) {
            mail->answer = MARKS_YES;
            answer_mark(mail);
        }
    }
    assert_int_equal(mail->dones, 1);
    stage_settle(stage);
}

static void check_scene(const struct scene *scene)
{
    struct stage *stage = stage_create(scene->other == NULL ? 1 : 2);
    struct mail mail = {.answer = scene->answer};

    print_message("  %s\n", scene->name);
    for (size_t i = 0; scene->scripts[i] != NULL; i++)
        play_add(&stage->plays[0], scene->scripts[i]);
    if (scene->other != NULL && strcmp(scene->other[0], "<never") != 0)
        play_add(&stage->plays[1], scene->other);
    for (size_t i = 0; i < stage->config.upstream_count; i++) {
        stage->upstreams[i].tls = scene->tls;
        stage->upstreams[i].username =
            scene->username == NULL ? "" : scene->username;
    }
    if (scene->cert != NULL)
        use_cert(&stage->plays[0], scene->cert);
    if (scene->cert != NULL && scene->other != NULL)
        use_cert(&stage->plays[1], "good");
    stage_open(stage);
    run_to_end(stage, &mail, scene->holds_ms);
    assert_int_equal(mail.marks, scene->marks);
    assert_int_equal(mail.result.verdict, scene->verdict);
    assert_int_equal(mail.result.unsent, scene->unsent);
    assert_int_equal(mail.result.stage, scene->stage);
    assert_int_equal(mail.result.code, scene->code);
    assert_int_equal(mail.result.alarm, scene->alarm);
    if (scene->stage != SMTP_STAGE_NONE)
        assert_string_equal(mail.upstream, scene->is_two ? "two" : "one");
    if (scene->text != NULL && strstr(mail.text, scene->text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", scene->text, mail.text);
    if (scene->verdict == SMTP_SENT)
        assert_int_equal(mail.has_tls, scene->cert != NULL);
    assert_int_equal(smtp_in_hand(stage->smtp), 0);
    for (size_t i = 0; i < stage->config.upstream_count; i++)
        play_assert_over(&stage->plays[i]);
    stage_destroy(stage);
}

static void scenes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SCENES); i++)
        check_scene(&SCENES[i]);
}

/* --- long messages --- */

static struct buf long_message(size_t size)
{
    struct buf message;

    buf_init(&message, size + 100);
    while (message.len < size)
        buf_add_cstr(&message, "..0123456789 and so on, to some seventy "
                               "columns or a few more, then\r\n");
    return message;
}

/* In pieces, with the mark answered early or late, in the clear and not. */
static void long_messages_arrive_whole(void **state)
{
    static const size_t SIZES[] = {0, 65534, 65536, 65537, 3 * 1024 * 1024};

    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(SIZES); i++) {
        struct stage *stage = stage_create(1);
        struct buf message = long_message(SIZES[i / 2]);
        struct mail mail = {
            .delivery = {.message = {.frame = buf_str(&message)}}};

        mail.answer = i % 2 == 0 ? MARKS_YES : MARKS_BY_HAND;
        if (message.len == 0)
            mail.delivery.message = octets_of(S(""));
        play_add(&stage->plays[0],
                 SCRIPT("!tls", HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a",
                        ">250 b", ">354 c", "<(message)", ">250 d"));
        use_cert(&stage->plays[0], "good");
        stage->upstreams[0].tls = TLS_IMPLICIT;
        stage_open(stage);
        stage_deliver(stage, &mail);
        if (mail.answer == MARKS_BY_HAND) {
            stage_until(stage, &mail.marks, 1);
            for (int turns = 0; turns < 20; turns++)
                loop_turn(stage->loop, 5);
            answer_mark(&mail);
        }
        stage_until(stage, &mail.dones, 1);
        assert_int_equal(mail.result.verdict, SMTP_SENT);
        assert_true(
            str_eq(buf_str(&stage->plays[0].message), buf_str(&message)));
        stage_destroy(stage);
        buf_finish(&message);
    }
}

static void a_peer_that_does_not_read(void **state)
{
    struct stage *stage = stage_create(1);
    struct buf message = long_message(16 * 1024 * 1024);
    struct mail mail = {.delivery = {.message = {.frame = buf_str(&message)}}};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, MAIL, ">250 a", RCPT, ">250 b",
                                      "<DATA", "!deaf", ">354 c"));
    stage_open(stage);
    stage_deliver(stage, &mail);
    for (int i = 0; i < 50; i++)
        loop_turn(stage->loop, 2);
    assert_int_equal(mail.marks, 1);
    assert_int_equal(mail.dones, 0);
    play_move_clock(180000);
    stage_settle(stage);
    play_move_clock(180000);
    stage_until(stage, &mail.dones, 1);
    assert_int_equal(mail.result.verdict, SMTP_SOFT);
    assert_int_equal(mail.result.stage, SMTP_STAGE_BODY);
    stage_destroy(stage);
    buf_finish(&message);
}

/* What the server's socket is sent from now on is lost on the way, and the
 * client's does not wait for long. */
static void cut_the_network(uint16_t port)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = {1, &drop};
    const unsigned wait_ms = 1;
    unsigned cuts = 0;

    for (int fd = 3; fd < 256; fd++) {
        struct address own = {.len = sizeof own.at};
        struct address peer = {.len = sizeof peer.at};

        if (getsockname(fd, &own.at.any, &own.len) != 0 ||
            getpeername(fd, &peer.at.any, &peer.len) != 0)
            continue;
        if (address_port(&own) == port)
            cuts += setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                               sizeof program) == 0;
        else if (address_port(&peer) == port)
            cuts += setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &wait_ms,
                               sizeof wait_ms) == 0;
    }
    assert_int_equal(cuts, 2);
}

/* In the clear the system says so, as it does of a connect. */
static void a_network_that_is_gone_loses_a_connection(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT("!hold", ">220 one"));
    stage_open(stage);
    stage_deliver(stage, &mail);
    stage_until_held(stage, 1);
    stage_settle(stage); /* the client has seen that it is connected */
    cut_the_network(stage->plays[0].port);
    play_go_on(&stage->plays[0]);
    stage_until(stage, &mail.dones, 1);
    assert_int_equal(mail.result.verdict, SMTP_SOFT);
    assert_int_equal(mail.result.stage, SMTP_STAGE_EHLO);
    assert_string_equal(mail.text, "Connection timed out");
    stage_destroy(stage);
}

static void an_upstream_that_cannot_be_is_told(void **state)
{
    const struct smtp_settings settings = {.child_count = 1};
    struct stage *stage = stage_create(2);
    struct error err;

    (void)state;
    stage->upstreams[1].tls = TLS_IMPLICIT;
    stage->upstreams[1].tls_ca_file = "/nonexistent";
    assert_null(
        smtp_open(stage->loop, stage->dns, &stage->config, &settings, &err));
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.text, "upstream two: /nonexistent: "));
    stage_destroy(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upstream_that_cannot_be_is_told),
        cmocka_unit_test(scenes),
        cmocka_unit_test(long_messages_arrive_whole),
        cmocka_unit_test(a_peer_that_does_not_read),
        cmocka_unit_test(a_network_that_is_gone_loses_a_connection),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
