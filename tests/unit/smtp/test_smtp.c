/* The engine against scripted servers: what it says, and what it reports. */
#include "smtp/smtp.h"

#include "server/io/dns.h"
#include "smtp/upstream.h"

#include "certs.h"
#include "play.h"

#include <fcntl.h>
#include <stdio.h>

enum { TURNS_MAX = 500, TURN_MS = 20, START_MS = 1000000 };
enum { WALL_MS = 1700000000 };
#define DAY 86400L

static const struct cert_spec CERTS[] = {
    {"good", "IP:127.0.0.1", -DAY, DAY, 0},
    {"other", "DNS:other.test", -DAY, DAY, 0},
    {"expired", "IP:127.0.0.1", -2 * DAY, -DAY, 0},
    {"alone", "IP:127.0.0.1", -DAY, DAY, 1},
};
static struct certs certs;
static char ca_file[160];

/* --- a stage: an engine, two upstreams, mails --- */

enum mark_answer {
    MARKS_YES,
    MARKS_NO,
    MARKS_LATE_THEN_YES, /* the time of the first answer has run out */
    MARKS_LATE_THEN_NO,
    MARKS_BY_HAND,
};

struct stage {
    struct loop *loop;
    struct dns *dns;
    struct play plays[2];
    struct config_upstream upstreams[2];
    const char *names[2];
    struct config_route route;
    struct config config;
    struct smtp *smtp;
    unsigned rooms; /* calls of on_room */
};

struct mail {
    struct smtp_delivery delivery;
    enum mark_answer answer;
    struct loop *loop;
    struct task mark_task;
    unsigned marks;            /* calls of on_mark */
    unsigned dones;            /* of on_done */
    struct smtp_result result; /* its texts point below */
    char text[REPLY_TEXT_MAX + 1];
    char enhanced[16];
    char upstream[16];
    bool has_tls;
};

static void answer_mark(void *ctx)
{
    struct mail *mail = ctx;

    bool is_late = mail->marks == 1 && (mail->answer == MARKS_LATE_THEN_YES ||
                                        mail->answer == MARKS_LATE_THEN_NO);
    bool is_no = mail->answer == MARKS_NO ||
                 (mail->answer == MARKS_LATE_THEN_NO && mail->marks > 1);

    smtp_delivery_marked(&mail->delivery, !is_no,
                         clock_now_ms() + (is_late ? 0 : 5000));
}

static void on_mark(void *ctx)
{
    struct mail *mail = ctx;

    mail->marks++;
    if (mail->answer != MARKS_BY_HAND)
        task_run_soon(mail->loop, &mail->mark_task);
}

static void on_done(void *ctx, const struct smtp_result *result)
{
    struct mail *mail = ctx;

    mail->dones++;
    mail->result = *result;
    snprintf(mail->text, sizeof mail->text, "%s", result->text);
    snprintf(mail->enhanced, sizeof mail->enhanced, "%s", result->enhanced);
    snprintf(mail->upstream, sizeof mail->upstream, "%s", result->upstream);
    mail->has_tls = result->tls_version[0] != '\0';
}

static void on_room(void *ctx)
{
    struct stage *stage = ctx;

    stage->rooms++;
}

static void init_upstream(struct stage *stage, size_t i)
{
    static const char *const NAMES[] = {"one", "two"};

    play_open(&stage->plays[i], stage->loop);
    stage->names[i] = NAMES[i];
    stage->upstreams[i] = (struct config_upstream){
        .name = NAMES[i],
        .host = "127.0.0.1",
        .port = stage->plays[i].port,
        .tls = TLS_OFF,
        .tls_ca_file = ca_file,
        .auth = AUTH_AUTO,
        .username = "",
        .password = "sesame",
        .max_sessions = 4,
        .messages_per_session = 100,
        .weight = 10,
        .priority = (int64_t)i,
        .connect_timeout_ms = 30000,
        .banner_timeout_ms = 60000,
        .command_timeout_ms = 300000,
        .data_timeout_ms = 120000,
        .block_timeout_ms = 180000,
        .dot_timeout_ms = 600000,
        .session_timeout_ms = 1800000,
        .idle_timeout_ms = 300000,
    };
}

/* count: of upstreams in the route. */
static struct stage *stage_create(size_t count)
{
    struct stage *stage = xcalloc(1, sizeof *stage);

    clock_set(START_MS, WALL_MS);
    stage->loop = loop_create();
    stage->dns = dns_open(stage->loop, NULL, NULL);
    assert_non_null(stage->dns);
    for (size_t i = 0; i < count; i++)
        init_upstream(stage, i);
    stage->route = (struct config_route){
        .name = "all",
        .class = "",
        .from_domain = "",
        .to_domain = "",
        .tag = "",
        .upstreams = {stage->names, count},
    };
    stage->config = (struct config){
        .upstreams = stage->upstreams,
        .upstream_count = count,
        .routes = &stage->route,
        .route_count = 1,
    };
    return stage;
}

/* Once the configuration is as the test wants it. */
static void stage_open(struct stage *stage)
{
    const struct smtp_settings settings = {
        .child_count = 1,
        .hello_name = "me.example",
        .on_room = on_room,
        .ctx = stage,
    };
    struct error err;

    stage->smtp =
        smtp_open(stage->loop, stage->dns, &stage->config, &settings, &err);
    if (stage->smtp == NULL)
        fail_msg("%s", err.text);
}

static void stage_destroy(struct stage *stage)
{
    smtp_close(&stage->smtp);
    for (size_t i = 0; i < stage->config.upstream_count; i++)
        play_close(&stage->plays[i]);
    dns_close(&stage->dns);
    loop_turn(stage->loop, 0);
    loop_destroy(&stage->loop);
    free(stage);
    clock_set(-1, -1);
}

static void stage_deliver(struct stage *stage, struct mail *mail)
{
    mail->loop = stage->loop;
    task_init(&mail->mark_task, answer_mark, mail);
    mail->delivery.id = S("job");
    mail->delivery.mail_from = S("a@me.example");
    mail->delivery.rcpt_to = S("b@you.example");
    if (mail->delivery.message.ptr == NULL)
        mail->delivery.message = S("Subject: x\r\n\r\nHi\r\n");
    mail->delivery.route = smtp_route_named(stage->smtp, S("all"));
    mail->delivery.on_mark = on_mark;
    mail->delivery.on_done = on_done;
    mail->delivery.ctx = mail;
    smtp_deliver(stage->smtp, &mail->delivery);
}

/* Turns until *count is at least want. */
static void stage_until(struct stage *stage, const unsigned *count,
                        unsigned want)
{
    for (int i = 0; i < TURNS_MAX && *count < want; i++)
        loop_turn(stage->loop, TURN_MS);
    assert_int_equal(*count, want);
}

/* Whatever is on its way arrives. */
static void stage_settle(struct stage *stage)
{
    for (int i = 0; i < 5; i++)
        loop_turn(stage->loop, 5);
}

/* Turns until so many connections of upstream one hold. */
static void stage_until_held(struct stage *stage, size_t want)
{
    size_t count = 0;

    for (int i = 0; i < TURNS_MAX && count < want; i++) {
        loop_turn(stage->loop, TURN_MS);
        count = 0;
        list_each (link, &stage->plays[0].actors)
            count += LIST_MEMBER(link, struct actor, link)->holds;
    }
    assert_int_equal(count, want);
}

static void send_one(struct stage *stage, struct mail *mail)
{
    stage_deliver(stage, mail);
    assert_int_equal(mail->marks + mail->dones, 0); /* not from inside */
    stage_until(stage, &mail->dones, 1);
}

/* --- scenes: one mail, scripts, a result --- */

#define HELLO      ">220 one", "<EHLO me.example", ">250 one"
#define HELLO_PIPE ">220 one", "<EHLO me.example", ">250-one", ">250 PIPELINING"
#define MAIL       "<MAIL FROM:<a@me.example>"
#define RCPT       "<RCPT TO:<b@you.example>"
#define BODY       "<Subject: x", "<", "<Hi"
#define ACCEPTED                                                               \
    MAIL, ">250 a", RCPT, ">250 b", "<DATA", ">354 c", BODY, "<.",             \
        ">250 2.0.0 queued"

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
#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})
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
        .alarm = true,
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

static void use_cert(struct play *play, const char *name)
{
    play->tls = tls_server_create(certs_path(&certs, name, "pem"),
                                  certs_path(&certs, name, "key"), NULL);
    assert_non_null(play->tls);
}

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

/* --- the pool --- */

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

/* "Too many connections": half of them, then slowly more again. */
static void too_many_connections(void **state)
{
    /* One of them takes the mail of the fourth as well. */
    static const char *const served[] = {
        HELLO, MAIL, "!hold", ">450 later", MAIL, ">450 later", NULL};
    struct stage *stage = stage_create(1);
    const struct smtp_route *route;
    struct mail mails[4] = {0};

    (void)state;
    stage->upstreams[0].max_sessions = 8;
    for (size_t i = 0; i < 3; i++)
        play_add(&stage->plays[0], served);
    play_add(&stage->plays[0], SCRIPT("!hold", ">421 too many connections"));
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    for (size_t i = 0; i < 4; i++)
        stage_deliver(stage, &mails[i]);
    stage_until_held(stage, 4);
    play_go_on(&stage->plays[0]);
    for (size_t i = 0; i < 4; i++)
        stage_until(stage, &mails[i].dones, 1);
    stage_settle(stage);
    play_move_clock(1000);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 2);
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

/* --- deadlines, stopping --- */

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
        struct mail mail = {.delivery = {.message = buf_str(&message)}};

        mail.answer = i % 2 == 0 ? MARKS_YES : MARKS_BY_HAND;
        if (message.len == 0)
            mail.delivery.message = S("");
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
    struct mail mail = {.delivery = {.message = buf_str(&message)}};

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

/* --- --- */

static int group_setup(void **state)
{
    (void)state;
    certs_make(&certs, CERTS, COUNT_OF(CERTS));
    snprintf(ca_file, sizeof ca_file, "%s", certs_path(&certs, "ca", "pem"));
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    certs_remove(&certs, CERTS, COUNT_OF(CERTS));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenes),
        cmocka_unit_test(reuse),
        cmocka_unit_test(worn_sessions),
        cmocka_unit_test(a_session_that_clears_up_is_waited_for),
        cmocka_unit_test(idle_and_old_sessions_end),
        cmocka_unit_test(sessions_are_shared_out),
        cmocka_unit_test(room),
        cmocka_unit_test(ahead),
        cmocka_unit_test(ahead_of_a_halt),
        cmocka_unit_test(too_many_connections),
        cmocka_unit_test(urgent_mail_goes_first),
        cmocka_unit_test(refused_connects),
        cmocka_unit_test(login_trouble_pauses),
        cmocka_unit_test(late_at_once),
        cmocka_unit_test(never_late),
        cmocka_unit_test(stop),
        cmocka_unit_test(a_dot_that_is_late_does_not_leave),
        cmocka_unit_test(a_result_waits_for_the_mark),
        cmocka_unit_test(long_messages_arrive_whole),
        cmocka_unit_test(a_peer_that_does_not_read),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
