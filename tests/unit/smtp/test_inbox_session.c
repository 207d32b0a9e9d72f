#include "smtp/inbox_session.h"

#include "check_cmocka.h"

#include <stdio.h>

static const struct inbox_policy OPEN = {
    .name = STR("inbox.test"), .mail_max = 1000, .offers_tls = true};
static const struct inbox_policy GUARDED = {.name = STR("inbox.test"),
                                            .mail_max = 1000,
                                            .demands_auth = true,
                                            .username = STR("app"),
                                            .password = STR("secret")};

#define GREETING "220 inbox.test ESMTP captures mail, delivers none\r\n"
#define HELLO    "EHLO me\r\n"
#define HELLO_TAIL                                                             \
    "250-AUTH PLAIN LOGIN\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
#define HELLO_HEAD                                                             \
    "250-inbox.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"
#define HELLO_OK  HELLO_HEAD "250-STARTTLS\r\n" HELLO_TAIL
#define NO_TLS_OK HELLO_HEAD HELLO_TAIL
#define MAIL      "MAIL FROM:<a@b.test>\r\n"
#define MAIL_OK   "250 2.1.0 sender noted\r\n"
#define RCPT      "RCPT TO:<c@d.test>\r\n"
#define RCPT_OK   "250 2.1.5 recipient noted\r\n"
#define DATA_OK   "354 go on, end with a dot\r\n"
#define KEPT      "250 2.0.0 captured as 1\r\n"
#define QUIT_OK   "221 2.0.0 bye\r\n"
#define NOT_NOW   "503 5.5.1 not now\r\n"

/* What a client says is given whole and then byte by byte: the same must
 * come out. mail: "from>to,to:bytes|" for each mail that was captured. */
static const struct dialogue {
    const char *name;
    const struct inbox_policy *policy; /* NULL: OPEN */
    const char *client;
    const char *server; /* behind the greeting */
    const char *mail;
    const char *end; /* 'c' closed, 't' STARTTLS, "" still open */
} DIALOGUES[] = {
    {
        .name = "a mail, pipelined",
        .client =
            HELLO MAIL RCPT "DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n",
        .server = HELLO_OK MAIL_OK RCPT_OK DATA_OK KEPT QUIT_OK,
        .mail = "a@b.test>c@d.test:Subject: x\r\n\r\nhi\r\n|",
        .end = "c",
    },
    {
        .name = "HELO, lower case, several recipients, empty sender and mail",
        .client = "helo me\r\nmail from:<>\r\nrcpt to:<c@d.test>\r\n"
                  "rcpt to:<Postmaster>\r\ndata\r\n.\r\nquit\r\n",
        .server =
            "250 inbox.test\r\n" MAIL_OK RCPT_OK RCPT_OK DATA_OK KEPT QUIT_OK,
        .mail = ">c@d.test,Postmaster:|",
        .end = "c",
    },
    {
        .name = "dots are unstuffed at line starts only",
        .client =
            HELLO MAIL RCPT "DATA\r\n..\r\n...a\r\nb.\r\n.c\r\n. \r\n.\r\n",
        .server = HELLO_OK MAIL_OK RCPT_OK DATA_OK KEPT,
        .mail = "a@b.test>c@d.test:.\r\n..a\r\nb.\r\nc\r\n \r\n|",
        .end = "",
    },
    {
        .name = "no smuggling: bare LF and CR end nothing",
        .client = HELLO MAIL RCPT "DATA\r\n1\n.\n2\r.\r3\r\n.\n4\n.\r\n5\r\n."
                                  "\r6\r\r\n.\r\n",
        .server = HELLO_OK MAIL_OK RCPT_OK DATA_OK KEPT,
        .mail = "a@b.test>c@d.test:1\n.\n2\r.\r3\r\n\n4\n.\r\n5\r\n\r6\r\r\n|",
        .end = "",
    },
    {
        .name = "two mails in a session",
        .client =
            HELLO MAIL RCPT "DATA\r\n1\r\n.\r\n" MAIL RCPT "DATA\r\n2\r\n.\r\n",
        .server = HELLO_OK MAIL_OK RCPT_OK DATA_OK KEPT MAIL_OK RCPT_OK DATA_OK
        "250 2.0.0 captured as 2\r\n",
        .mail = "a@b.test>c@d.test:1\r\n|a@b.test>c@d.test:2\r\n|",
        .end = "",
    },
    {
        .name = "order matters",
        .client = MAIL RCPT "DATA\r\n" HELLO RCPT "DATA\r\n" MAIL
                            "DATA\r\n" MAIL RCPT MAIL "RSET\r\nDATA\r\n",
        .server = "503 5.5.1 say EHLO first\r\n503 5.5.1 say EHLO first\r\n"
                  "503 5.5.1 say EHLO first\r\n" HELLO_OK NOT_NOW NOT_NOW
                      MAIL_OK NOT_NOW NOT_NOW RCPT_OK NOT_NOW
                  "250 2.0.0 forgotten\r\n" NOT_NOW,
        .end = "",
    },
    {
        .name = "EHLO begins anew",
        .client = HELLO MAIL RCPT HELLO "DATA\r\n",
        .server = HELLO_OK MAIL_OK RCPT_OK HELLO_OK NOT_NOW,
        .end = "",
    },
    {
        .name = "other verbs",
        .client = "NOOP x\r\nVRFY y\r\nEXPN z\r\n\r\nQUIT now\r\nRSET\r\n",
        .server = "250 2.0.0 nothing done\r\n252 2.5.2 send it and see\r\n"
                  "500 5.5.1 command not known\r\n500 5.5.1 command not "
                  "known\r\n501 5.5.4 takes no argument\r\n"
                  "250 2.0.0 forgotten\r\n",
        .end = "",
    },
    {
        .name = "parameters of MAIL",
        .client = HELLO
        "MAIL FROM:<a@b.test> SIZE=1000 BODY=8BITMIME SMTPUTF8 AUTH=<>\r\n"
        "RSET\r\nMAIL FROM:<a@b.test> SIZE=1001\r\n"
        "MAIL FROM:<a@b.test> SIZE=x\r\nMAIL FROM:<a@b.test> "
        "BODY=BINARYMIME\r\n"
        "MAIL FROM:<a@b.test> SMTPUTF8=1\r\nMAIL FROM:<a@b.test> RET=HDRS\r\n"
        "MAIL FROM:<a@b.test>SIZE=1\r\nMAIL FROM: <@x,@y:a@b.test>\r\n"
        "RCPT TO:<c@d.test> NOTIFY=NEVER\r\n",
        .server = HELLO_OK MAIL_OK
        "250 2.0.0 forgotten\r\n552 5.3.4 mail too large\r\n"
        "501 5.5.4 SIZE wants a number\r\n"
        "501 5.5.4 BODY is 7BIT or 8BITMIME\r\n"
        "501 5.5.4 SMTPUTF8 takes no value\r\n"
        "555 5.5.4 parameter not supported\r\n"
        "501 5.5.4 MAIL FROM:<address>\r\n" MAIL_OK
        "555 5.5.4 parameter not supported\r\n",
        .end = "",
    },
    {
        .name = "addresses",
        .client = HELLO MAIL
        "RCPT TO:<\"a > b\"@d.test>\r\nRCPT TO:<a@[127.0.0.1]>\r\n"
        "RCPT TO:<>\r\nRCPT TO:<a>\r\nRCPT TO:<a@>\r\nRCPT TO:<@d>\r\n"
        "RCPT TO:<a..b@d.test>\r\nRCPT TO:<a b@d.test>\r\n"
        "RCPT TO:c@d.test\r\nRCPT TO:<c@d.test\r\nRCPT TO:<c@d e>\r\n"
        "RCPT TO:<\xc3\xbc@d.test>\r\n",
        .server = HELLO_OK MAIL_OK RCPT_OK RCPT_OK
        "501 5.1.3 not an address\r\n501 5.1.3 not an address\r\n"
        "501 5.1.3 not an address\r\n501 5.1.3 not an address\r\n"
        "501 5.1.3 not an address\r\n501 5.1.3 not an address\r\n"
        "501 5.5.4 RCPT TO:<address>\r\n501 5.5.4 RCPT TO:<address>\r\n"
        "501 5.1.3 not an address\r\n553 5.6.7 address needs SMTPUTF8\r\n",
        .end = "",
    },
    {
        .name = "SMTPUTF8",
        .client = HELLO "MAIL FROM:<\xc3\xbc@b.test> SMTPUTF8\r\n"
                        "RCPT TO:<\xc3\xa4@\xc3\xb6.test>\r\n"
                        "RCPT TO:<\xff@d.test>\r\nDATA\r\n.\r\n",
        .server = HELLO_OK MAIL_OK RCPT_OK
        "501 5.1.3 address is not UTF-8\r\n" DATA_OK KEPT,
        .mail = "\xc3\xbc@b.test>\xc3\xa4@\xc3\xb6.test:|",
        .end = "",
    },
    {
        .name = "a command line ends in CRLF and holds no control",
        .client = "NOOP\nEHLO a\rb\r\nEHLO a\tb\r\nNOOP\r\n",
        .server = "500 5.5.2 lines end in CRLF\r\n"
                  "500 5.5.2 control character in a command\r\n"
                  "500 5.5.2 control character in a command\r\n"
                  "250 2.0.0 nothing done\r\n",
        .end = "",
    },
    {
        .name = "AUTH PLAIN at once, name kept",
        .policy = &GUARDED,
        .client = HELLO MAIL "AUTH PLAIN AGFwcABzZWNyZXQ=\r\n"
                             "AUTH PLAIN\r\n" MAIL,
        .server = NO_TLS_OK "530 5.7.0 authentication required\r\n"
                            "235 2.7.0 welcome\r\n"
                            "503 5.5.1 authenticated already\r\n" MAIL_OK,
        .end = "",
    },
    {
        .name = "AUTH PLAIN in two steps, LOGIN in three and in two",
        .policy = &GUARDED,
        .client = HELLO "AUTH PLAIN\r\nAGFwcAB3cm9uZw==\r\n"
                        "AUTH LOGIN\r\nYXBw\r\nd3Jvbmc=\r\n"
                        "AUTH LOGIN YXBw\r\nc2VjcmV0\r\n",
        .server = NO_TLS_OK "334 \r\n535 5.7.8 wrong username or password\r\n"
                            "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"
                            "535 5.7.8 wrong username or password\r\n"
                            "334 UGFzc3dvcmQ6\r\n235 2.7.0 welcome\r\n",
        .end = "",
    },
    {
        .name = "AUTH given up, broken, unknown, empty",
        .client = HELLO "AUTH PLAIN\r\n*\r\nAUTH PLAIN !!\r\nAUTH\r\n"
                        "AUTH CRAM-MD5\r\nAUTH PLAIN =\r\nAUTH LOGIN\r\nYXBw\n"
                        "NOOP\r\n",
        .server =
            HELLO_OK "334 \r\n501 5.7.0 authentication canceled\r\n"
                     "501 5.5.2 not base64\r\n504 5.5.4 PLAIN or LOGIN\r\n"
                     "504 5.5.4 PLAIN or LOGIN\r\n"
                     "535 5.7.8 wrong username or password\r\n"
                     "334 VXNlcm5hbWU6\r\n500 5.5.2 lines end in CRLF\r\n"
                     "250 2.0.0 nothing done\r\n",
        .end = "",
    },
    {
        .name = "any pair is fine where none is configured",
        .client = HELLO "AUTH LOGIN\r\neA==\r\neQ==\r\n" HELLO,
        .server = HELLO_OK "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"
                           "235 2.7.0 welcome\r\n" HELLO_HEAD
                           "250-STARTTLS\r\n250-SMTPUTF8\r\n"
                           "250 ENHANCEDSTATUSCODES\r\n",
        .end = "",
    },
    {
        .name = "STARTTLS stops the dialogue",
        .client = HELLO "STARTTLS\r\n" MAIL,
        .server = HELLO_OK "220 2.0.0 begin TLS\r\n",
        .end = "t",
    },
    {
        .name = "STARTTLS where there is none",
        .policy = &GUARDED,
        .client = HELLO "STARTTLS\r\n",
        .server = NO_TLS_OK "502 5.5.1 no TLS here\r\n",
        .end = "",
    },
    {
        .name = "errors without end",
        .client = "x\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\n"
                  "x\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\n",
        .server =
#define UNKNOWN "500 5.5.1 command not known\r\n"
            UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN
                UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN UNKNOWN
                    UNKNOWN UNKNOWN UNKNOWN UNKNOWN
        "421 4.7.0 too many errors\r\n",
        .end = "c",
    },
};

struct run {
    struct inbox_session *session;
    struct buf in;
    struct buf out;
    struct buf mail;
    char end[2];
    unsigned number;
};

static void run_begin(struct run *run, const struct inbox_policy *policy)
{
    memset(run, 0, sizeof *run);
    run->session = inbox_session_create(policy == NULL ? &OPEN : policy, false);
    buf_init(&run->in, 1 << 20);
    buf_init(&run->out, 1 << 20);
    buf_init(&run->mail, 1 << 20);
    inbox_session_greet(run->session, &run->out);
    assert_string_equal(run->out.data, GREETING);
    buf_clear(&run->out);
}

static void run_take(struct run *run)
{
    struct inbox_envelope envelope;

    inbox_session_envelope(run->session, &envelope);
    buf_add(&run->mail, envelope.mail_from);
    for (size_t i = 0; i < envelope.rcpt_count; i++) {
        buf_add_char(&run->mail, i == 0 ? '>' : ',');
        buf_add(&run->mail, envelope.rcpt_to[i]);
    }
    buf_add_char(&run->mail, ':');
    buf_add(&run->mail, buf_str(inbox_session_mail(run->session)));
    buf_add_char(&run->mail, '|');
    inbox_session_answer(run->session, ++run->number, &run->out);
}

static void run_feed(struct run *run, struct str bytes)
{
    enum inbox_event event = INBOX_ON;
    struct str rest;
    size_t replied;

    if (run->end[0] != '\0')
        return;
    buf_add(&run->in, bytes);
    rest = buf_str(&run->in);
    while (event == INBOX_ON || event == INBOX_MAIL) {
        replied = run->out.len;
        event = inbox_session_step(run->session, &rest, &run->out);
        assert_true(run->out.len - replied <= INBOX_REPLY_MAX);
        if (event == INBOX_MAIL)
            run_take(run);
    }
    buf_consume(&run->in, run->in.len - rest.len);
    run->end[0] = event == INBOX_CLOSE       ? 'c'
                  : event == INBOX_START_TLS ? 't'
                                             : '\0';
}

static void run_check(struct run *run, const struct dialogue *dialogue)
{
    const char *mail = dialogue->mail == NULL ? "" : dialogue->mail;

    if (strcmp(run->out.len == 0 ? "" : run->out.data, dialogue->server) != 0 ||
        strcmp(run->end, dialogue->end) != 0)
        fail_msg("%s: said\n%swant\n%s", dialogue->name, run->out.data,
                 dialogue->server);
    assert_int_equal(run->mail.len, strlen(mail));
    if (run->mail.len > 0)
        assert_memory_equal(run->mail.data, mail, run->mail.len);
    inbox_session_destroy(&run->session);
    buf_finish(&run->in);
    buf_finish(&run->out);
    buf_finish(&run->mail);
}

static void dialogues_whole_and_byte_by_byte(void **state)
{
    struct run run;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(DIALOGUES); i++) {
        run_begin(&run, DIALOGUES[i].policy);
        run_feed(&run, str_of(DIALOGUES[i].client));
        run_check(&run, &DIALOGUES[i]);
        run_begin(&run, DIALOGUES[i].policy);
        for (const char *c = DIALOGUES[i].client; *c != '\0'; c++)
            run_feed(&run, str_make(c, 1));
        run_check(&run, &DIALOGUES[i]);
    }
}

static void a_mail_that_is_too_large_is_read_and_refused(void **state)
{
    struct run run;

    (void)state;
    for (size_t body = 998; body <= 1001; body++) {
        run_begin(&run, NULL);
        run_feed(&run, S(HELLO MAIL RCPT "DATA\r\n"));
        for (size_t i = 0; i + 2 < body; i++)
            run_feed(&run, S("x"));
        buf_clear(&run.out);
        run_feed(&run, S("\r\n.\r\nNOOP\r\n"));
        assert_string_equal(run.out.data,
                            body <= 1000 ? KEPT "250 2.0.0 nothing done\r\n"
                                         : "552 5.3.4 mail too large\r\n"
                                           "250 2.0.0 nothing done\r\n");
        inbox_session_destroy(&run.session);
        buf_finish(&run.in);
        buf_finish(&run.out);
        buf_finish(&run.mail);
    }
}

static void limits_of_lines_and_recipients(void **state)
{
    static char line[INBOX_LINE_MAX];
    struct run run;

    (void)state;
    run_begin(&run, NULL);
    run_feed(&run, S(HELLO MAIL));
    for (int i = 0; i < 100; i++)
        run_feed(&run, S(RCPT));
    buf_clear(&run.out);
    run_feed(&run, S(RCPT));
    assert_string_equal(run.out.data, "452 4.5.3 too many recipients\r\n");
    buf_clear(&run.out);
    memset(line, 'x', sizeof line);
    run_feed(&run, str_make(line, sizeof line - 1));
    assert_int_equal(run.out.len, 0);
    run_feed(&run, S("x"));
    assert_string_equal(run.out.data, "500 5.5.2 line too long\r\n");
    assert_string_equal(run.end, "c");
    inbox_session_destroy(&run.session);
    buf_finish(&run.in);
    buf_finish(&run.out);
    buf_finish(&run.mail);
}

static void tls_forgets_what_was_said_before(void **state)
{
    struct inbox_envelope envelope;
    struct run run;

    (void)state;
    run_begin(&run, NULL);
    run_feed(&run, S(HELLO "AUTH PLAIN AGFwcABzZWNyZXQ=\r\nSTARTTLS\r\n"));
    assert_string_equal(run.end, "t");
    run.end[0] = '\0';
    inbox_session_secured(run.session);
    buf_clear(&run.out);
    run_feed(&run, S(MAIL HELLO "STARTTLS\r\n" MAIL RCPT "DATA\r\n"));
    assert_string_equal(run.out.data,
                        "503 5.5.1 say EHLO first\r\n" NO_TLS_OK
                        "503 5.5.1 TLS is active\r\n" MAIL_OK RCPT_OK DATA_OK);
    struct str rest = S(".\r\n");
    assert_int_equal(inbox_session_step(run.session, &rest, &run.out),
                     INBOX_MAIL);
    inbox_session_envelope(run.session, &envelope);
    assert_true(envelope.tls);
    assert_true(str_eq(envelope.hello, S("me")));
    assert_int_equal(envelope.username.len, 0);
    buf_clear(&run.out);
    inbox_session_answer(run.session, 0, &run.out);
    assert_string_equal(run.out.data, "452 4.3.1 no room for it now\r\n");
    inbox_session_destroy(&run.session);
    buf_finish(&run.in);
    buf_finish(&run.out);
    buf_finish(&run.mail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogues_whole_and_byte_by_byte),
        cmocka_unit_test(a_mail_that_is_too_large_is_read_and_refused),
        cmocka_unit_test(limits_of_lines_and_recipients),
        cmocka_unit_test(tls_forgets_what_was_said_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
