/* Servers that greet well and badly; every byte we say is compared. */
#include "smtp/greet.h"

#include "say.h"

#define EHLO    "EHLO me.example\r\n"
#define OK      "220 mx\r\n"
#define TLS_NOW "TLS" /* a handshake takes place here */

static const struct script {
    const char *name;
    enum config_tls tls;
    enum config_auth auth;
    bool auth_in_clear;
    const char *username;
    const char *replies[9]; /* in order, NULL ends */
    const char *wire;       /* all that is said */
    enum greet_state state;
    enum smtp_stage stage; /* of the failure */
    enum smtp_trouble trouble;
    unsigned code;
} SCRIPTS[] = {
    {
        .name = "in the clear, without a login",
        .tls = TLS_OFF,
        .replies = {OK, "250-mx\r\n250 AUTH PLAIN\r\n"},
        .wire = EHLO,
        .state = GREET_READY,
    },
    {
        .name = "talks only when the banner has come",
        .tls = TLS_OFF,
        .replies = {NULL},
        .wire = "",
        .state = GREET_GOING,
    },
    {
        .name = "banner 421",
        .tls = TLS_OFF,
        .replies = {"421 busy\r\n"},
        .wire = "",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_BANNER,
        .code = 421,
    },
    {
        .name = "banner 354 makes no sense",
        .tls = TLS_OFF,
        .replies = {"354 go\r\n"},
        .wire = "",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_BANNER,
        .trouble = TROUBLE_PROTOCOL,
    },
    {
        .name = "EHLO unknown: HELO",
        .tls = TLS_OFF,
        .replies = {OK, "502 what?\r\n", "250 mx\r\n"},
        .wire = EHLO "HELO me.example\r\n",
        .state = GREET_READY,
    },
    {
        .name = "EHLO unknown, but TLS demanded",
        .tls = TLS_STARTTLS,
        .replies = {OK, "500 what?\r\n", "250 mx\r\n"},
        .wire = EHLO "HELO me.example\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_STARTTLS,
        .trouble = TROUBLE_TLS_MISSING,
    },
    {
        .name = "EHLO refused",
        .tls = TLS_OFF,
        .replies = {OK, "550 not you\r\n"},
        .wire = EHLO,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_EHLO,
        .code = 550,
    },
    {
        .name = "STARTTLS, then AUTH PLAIN as seen under TLS",
        .tls = TLS_STARTTLS,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250-AUTH LOGIN\r\n250 STARTTLS\r\n",
                    "220 go\r\n", TLS_NOW, "250-mx\r\n250 AUTH PLAIN\r\n",
                    "235 ok\r\n"},
        .wire = EHLO "STARTTLS\r\n" EHLO "AUTH PLAIN AGpvZQBzZXNhbWU=\r\n",
        .state = GREET_READY,
    },
    {
        .name = "AUTH seen in the clear is not believed",
        .tls = TLS_STARTTLS,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
                    "220 go\r\n", TLS_NOW, "250 mx\r\n"},
        .wire = EHLO "STARTTLS\r\n" EHLO,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_MISSING,
    },
    {
        .name = "no STARTTLS: nothing is said in the clear",
        .tls = TLS_STARTTLS,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH PLAIN\r\n"},
        .wire = EHLO,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_STARTTLS,
        .trouble = TROUBLE_TLS_MISSING,
    },
    {
        .name = "STARTTLS refused",
        .tls = TLS_STARTTLS,
        .replies = {OK, "250-mx\r\n250 STARTTLS\r\n", "454 not now\r\n"},
        .wire = EHLO "STARTTLS\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_STARTTLS,
        .code = 454,
    },
    {
        .name = "STARTTLS refused, and it was a wish only",
        .tls = TLS_OPPORTUNISTIC,
        .replies = {OK, "250-mx\r\n250 STARTTLS\r\n", "454 not now\r\n"},
        .wire = EHLO "STARTTLS\r\n",
        .state = GREET_READY,
    },
    {
        .name = "opportunistic and not offered",
        .tls = TLS_OPPORTUNISTIC,
        .replies = {OK, "250 mx\r\n"},
        .wire = EHLO,
        .state = GREET_READY,
    },
    {
        .name = "implicit TLS comes before the banner",
        .tls = TLS_IMPLICIT,
        .replies = {TLS_NOW, OK, "250-mx\r\n250 STARTTLS\r\n"},
        .wire = EHLO,
        .state = GREET_READY,
    },
    {
        .name = "AUTH LOGIN",
        .tls = TLS_OFF,
        .auth = AUTH_LOGIN,
        .auth_in_clear = true,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH LOGIN PLAIN\r\n",
                    "334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n",
                    "235 ok\r\n"},
        .wire = EHLO "AUTH LOGIN\r\nam9l\r\nc2VzYW1l\r\n",
        .state = GREET_READY,
    },
    {
        .name = "AUTH CRAM-MD5 may go in the clear",
        .tls = TLS_OFF,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH PLAIN CRAM-MD5\r\n",
                    "334 PDEuMkBteD4=\r\n", "235 ok\r\n"},
        .wire = EHLO "AUTH CRAM-MD5\r\n"
                     "am9lIDc3YjQzYmRiYTIzNjIwMjMzMjY2NWFiMDE3MGZjNDg4\r\n",
        .state = GREET_READY,
    },
    {
        .name = "a password in the clear only if told so",
        .tls = TLS_OFF,
        .auth = AUTH_PLAIN,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH PLAIN\r\n"},
        .wire = EHLO,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_MISSING,
    },
    {
        .name = "AUTH refused",
        .tls = TLS_OFF,
        .auth = AUTH_PLAIN,
        .auth_in_clear = true,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH PLAIN\r\n", "535 5.7.8 no\r\n"},
        .wire = EHLO "AUTH PLAIN AGpvZQBzZXNhbWU=\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
    },
    {
        .name = "a challenge that is no base64: star",
        .tls = TLS_OFF,
        .auth = AUTH_CRAM_MD5,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH CRAM-MD5\r\n", "334 ???\r\n",
                    "501 ok\r\n"},
        .wire = EHLO "AUTH CRAM-MD5\r\n*\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_CHALLENGE,
    },
    {
        .name = "a third challenge of LOGIN: star",
        .tls = TLS_OFF,
        .auth = AUTH_LOGIN,
        .auth_in_clear = true,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH LOGIN\r\n", "334 \r\n", "334 \r\n",
                    "334 \r\n", "501 ok\r\n"},
        .wire = EHLO "AUTH LOGIN\r\nam9l\r\nc2VzYW1l\r\n*\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_CHALLENGE,
    },
    {
        .name = "AUTH answered by 250: not logged in",
        .tls = TLS_OFF,
        .auth = AUTH_PLAIN,
        .auth_in_clear = true,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH PLAIN\r\n", "250 ok\r\n"},
        .wire = EHLO "AUTH PLAIN AGpvZQBzZXNhbWU=\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_PROTOCOL,
    },
};

static void run(const struct script *script)
{
    const struct greet_policy policy = {
        .hello_name = "me.example",
        .tls = script->tls,
        .auth = script->auth,
        .auth_in_clear = script->auth_in_clear,
        .login = {str_of(script->username), S("sesame")},
    };
    struct greet greet;
    struct buf out;

    print_message("  %s\n", script->name);
    buf_init(&out, 4096);
    greet_init(&greet, &policy);
    greet_write(&greet, &out);
    for (size_t i = 0; script->replies[i] != NULL; i++) {
        if (strcmp(script->replies[i], TLS_NOW) == 0) {
            assert_int_equal(greet.state, GREET_HANDSHAKE);
            greet_secured(&greet);
            greet_write(&greet, &out);
        } else {
            assert_true(greet_reply(&greet, say(script->replies[i]), &out));
        }
    }
    assert_said(&out, script->wire);
    assert_int_equal(greet.state, script->state);
    if (script->state == GREET_FAILED) {
        assert_int_equal(greet.finding.stage, script->stage);
        assert_int_equal(greet.finding.trouble, script->trouble);
        assert_int_equal(greet.finding.code, script->code);
        (void)smtp_judge(&greet.finding); /* there is a rule for it */
    }
    buf_finish(&out);
}

static void scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SCRIPTS); i++)
        run(&SCRIPTS[i]);
}

static void unasked(void **state)
{
    const struct greet_policy policy = {.hello_name = "me",
                                        .tls = TLS_IMPLICIT};
    struct greet greet;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    greet_init(&greet, &policy);
    assert_false(greet_reply(&greet, say(OK), &out));
    greet_secured(&greet);
    greet_write(&greet, &out);
    assert_true(greet_reply(&greet, say(OK), &out));
    assert_true(greet_reply(&greet, say("250 mx\r\n"), &out));
    assert_int_equal(greet.state, GREET_READY);
    assert_false(greet_reply(&greet, say(OK), &out));
    buf_finish(&out);
}

/* RFC 4954: a secret that would make the line too long waits for the 334. */
static void long_secret(void **state)
{
    char password[401];
    struct auth_login login = {S("joe"), {password, 400}};
    struct buf out;

    (void)state;
    memset(password, 'x', sizeof password);
    buf_init(&out, 4096);
    auth_add_command(AUTH_PLAIN, &login, &out);
    assert_said(&out, "AUTH PLAIN\r\n");
    assert_true(auth_add_answer(AUTH_PLAIN, 0, S(""), &login, &out));
    assert_int_equal(out.len, (400 + 5 + 2) / 3 * 4 + 2);
    buf_finish(&out);
}

/* The example of RFC 2195 section 2. */
static void cram_md5(void **state)
{
    struct auth_login login = {S("tim"), S("tanstaaftanstaaf")};
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_true(auth_add_answer(
        AUTH_CRAM_MD5, 0,
        S("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"), &login,
        &out));
    assert_said(&out, "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n");
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts),
        cmocka_unit_test(unasked),
        cmocka_unit_test(long_secret),
        cmocka_unit_test(cram_md5),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
