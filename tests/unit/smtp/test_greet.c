/* Servers that greet well and badly; every byte we say is compared. */
#include "smtp/greet.h"

#include "say.h"

#define EHLO    "EHLO me.example\r\n"
#define OK      "220 mx\r\n"
#define TLS_NOW "TLS" /* a handshake takes place here */
#define NONCE   "AAAABBBBCCCCDDDDEEEEFFFF"

/* Of joe and sesame; computed apart, by Python's hashlib. */
#define SCRAM_FIRST                                                            \
    "AUTH SCRAM-SHA-256 biwsbj1qb2Uscj1BQUFBQkJCQkNDQ0NERERERUVFRUZGRkY=\r\n"
#define SCRAM_CHALLENGE                                                        \
    "334 cj1BQUFBQkJCQkNDQ0NERERERUVFRUZGRkZ4eXoscz1jMkZzZEhrPSxpPTQwOTY=\r\n"
#define SCRAM_PROOF                                                            \
    "Yz1iaXdzLHI9QUFBQUJCQkJDQ0NDREREREVFRUVGRkZGeHl6LHA9cWlacmpRRkZNU3ZUekh2" \
    "VCs5cldLazBRL1lwTml2YXMrRzN5ZFZLeFEzdz0=\r\n"

/* user=joe, ^A, auth=Bearer one, ^A, ^A; and two. */
#define XOAUTH2_ONE "AUTH XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgb25lAQE=\r\n"
#define XOAUTH2_TWO "AUTH XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgdHdvAQE=\r\n"
#define TOKEN_NO    "334 eyJzdGF0dXMiOiI0MDEifQ==\r\n" /* {"status":"401"} */

static const struct tls_binding BINDING = {
    .name = "tls-exporter", .len = 16, .bytes = "0123456789abcdef"};

static const struct script {
    const char *name;
    enum config_tls tls;
    enum config_auth auth;
    bool auth_in_clear;
    bool is_bound; /* the channel of TLS has a binding */
    const char *username;
    const char *tokens[3];  /* that are to be had; NULL ends */
    const char *replies[9]; /* in order, NULL ends */
    const char *wire;       /* all that is said */
    enum greet_state state;
    enum smtp_stage stage; /* of the failure */
    enum smtp_trouble trouble;
    unsigned code;
    const char *text; /* of the failure; NULL: whatever */
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
        .name = "SCRAM, and the server proves itself",
        .tls = TLS_OFF,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n", SCRAM_CHALLENGE,
                    "334 "
                    "dj1UQTh5bFgvVkNJTUR3K05aMWM1a3FVVndjTmNIUmxRNVJYc0R0eGFNTW"
                    "RVPQ==\r\n",
                    "235 ok\r\n"},
        .wire = EHLO SCRAM_FIRST SCRAM_PROOF "\r\n",
        .state = GREET_READY,
    },
    {
        .name = "SCRAM, and the server does not know the password",
        .tls = TLS_OFF,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n", SCRAM_CHALLENGE,
                    "334 "
                    "dj1BQTh5bFgvVkNJTUR3K05aMWM1a3FVVndjTmNIUmxRNVJYc0R0eGFNTW"
                    "RVPQ==\r\n"},
        .wire = EHLO SCRAM_FIRST SCRAM_PROOF,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_FORGED,
    },
    {
        .name = "SCRAM, and a 235 in the place of its proof",
        .tls = TLS_OFF,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n", SCRAM_CHALLENGE,
                    "235 ok\r\n"},
        .wire = EHLO SCRAM_FIRST SCRAM_PROOF,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_FORGED,
    },
    {
        .name = "SCRAM, and a 235 at once",
        .tls = TLS_OFF,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n", "235 ok\r\n"},
        .wire = EHLO SCRAM_FIRST,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_FORGED,
    },
    {
        .name = "SCRAM, and the proof is refused by 535",
        .tls = TLS_OFF,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n", SCRAM_CHALLENGE,
                    "535 5.7.8 no\r\n"},
        .wire = EHLO SCRAM_FIRST SCRAM_PROOF,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
    },
    {
        .name = "SCRAM, and the proof is refused in its own words",
        .tls = TLS_OFF,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n", SCRAM_CHALLENGE,
                    "334 ZT1pbnZhbGlkLXByb29m\r\n", "535 5.7.8 no\r\n"},
        .wire = EHLO SCRAM_FIRST SCRAM_PROOF "*\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_CHALLENGE,
    },
    {
        .name = "SCRAM with too few iterations",
        .tls = TLS_OFF,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies =
            {OK, "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n",
             "334 "
             "cj1BQUFBQkJCQkNDQ0NERERERUVFRUZGRkZ4eXoscz1jMkZzZEhrPSxpPTE=\r\n",
             "501 ok\r\n"},
        .wire = EHLO SCRAM_FIRST "*\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_CHALLENGE,
    },
    {
        .name = "SCRAM, and one more challenge",
        .tls = TLS_OFF,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 AUTH SCRAM-SHA-256\r\n", SCRAM_CHALLENGE,
                    "334 "
                    "dj1UQTh5bFgvVkNJTUR3K05aMWM1a3FVVndjTmNIUmxRNVJYc0R0eGFNTW"
                    "RVPQ==\r\n",
                    "334 \r\n", "501 ok\r\n"},
        .wire = EHLO SCRAM_FIRST SCRAM_PROOF "\r\n*\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_CHALLENGE,
    },
    {
        .name = "SCRAM bound to the channel",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .is_bound = true,
        .username = "joe",
        .replies = {TLS_NOW, OK,
                    "250-mx\r\n"
                    "250 AUTH PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n",
                    SCRAM_CHALLENGE,
                    "334 "
                    "dj04QmhtNjcxam9EbUNSUjBrZ2l0bVQ5QXlicUpuVnNLdndJZGw3SXBtNU"
                    "5vPQ==\r\n",
                    "235 ok\r\n"},
        .wire = EHLO
        "AUTH SCRAM-SHA-256-PLUS "
        "cD10bHMtZXhwb3J0ZXIsLG49am9lLHI9QUFBQUJCQkJDQ0NDREREREVFRUVGRkZG\r\n"
        "Yz1jRDEwYkhNdFpYaHdiM0owWlhJc0xEQXhNak0wTlRZM09EbGhZbU5rWldZPSxyPUFBQU"
        "FCQkJCQ0NDQ0RERERFRUVFRkZGRnh5eixwPThTNWpyOHdXZEQ5SDg1SWQ2N0J4MW0zVnhO"
        "Ry82Sm84RDFIZWM0dFR3aUk9\r\n"
        "\r\n",
        .state = GREET_READY,
    },
    {
        .name = "SCRAM that the server cannot do for this user: PLAIN",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n",
                    "535 5.7.8 no\r\n", "235 ok\r\n"},
        .wire = EHLO SCRAM_FIRST "AUTH PLAIN AGpvZQBzZXNhbWU=\r\n",
        .state = GREET_READY,
    },
    {
        .name = "the same, and PLAIN is refused, too",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n",
                    "535 5.7.8 no\r\n", "535 5.7.8 nor that\r\n"},
        .wire = EHLO SCRAM_FIRST "AUTH PLAIN AGpvZQBzZXNhbWU=\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
        .text = "nor that",
    },
    {
        .name = "SCRAM refused behind its challenge: a wrong password",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n",
                    SCRAM_CHALLENGE, "535 5.7.8 no\r\n"},
        .wire = EHLO SCRAM_FIRST SCRAM_PROOF,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
    },
    {
        .name = "SCRAM by its name is not passed by",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_SCRAM_SHA_256,
        .username = "joe",
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n",
                    "535 5.7.8 no\r\n"},
        .wire = EHLO SCRAM_FIRST,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
    },
    {
        .name = "nor where nobody looked at the certificate",
        .tls = TLS_OPPORTUNISTIC,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {OK, "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n", TLS_NOW,
                    "250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n",
                    "535 5.7.8 no\r\n"},
        .wire = EHLO "STARTTLS\r\n" EHLO SCRAM_FIRST,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
    },
    {
        .name = "SCRAM that is refused for now is not passed by",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n",
                    "454 4.7.0 not now\r\n"},
        .wire = EHLO SCRAM_FIRST,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 454,
    },
    {
        .name = "a token that is taken",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .tokens = {"one"},
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH XOAUTH2 PLAIN\r\n",
                    "235 ok\r\n"},
        .wire = EHLO XOAUTH2_ONE,
        .state = GREET_READY,
    },
    {
        .name = "a token that has grown old, and the next one",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .tokens = {"one", "two"},
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH XOAUTH2\r\n", TOKEN_NO,
                    "535 5.7.8 no\r\n", "235 ok\r\n"},
        .wire = EHLO XOAUTH2_ONE "\r\n" XOAUTH2_TWO,
        .state = GREET_READY,
    },
    {
        .name = "the next token is refused, too",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .tokens = {"one", "two", "three"},
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH XOAUTH2\r\n",
                    "535 5.7.8 no\r\n", TOKEN_NO, "535 5.7.8 no\r\n"},
        .wire = EHLO XOAUTH2_ONE XOAUTH2_TWO "\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
        .text = "no (status 401)",
    },
    {
        .name = "there is no other token than the one that is refused",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .tokens = {"one", "one"},
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH XOAUTH2\r\n", TOKEN_NO,
                    "535 5.7.8 no\r\n"},
        .wire = EHLO XOAUTH2_ONE "\r\n",
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
        .text = "no (status 401)",
    },
    {
        .name = "a token is refused, and no other one is to be had",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_XOAUTH2,
        .username = "joe",
        .tokens = {"one"},
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH XOAUTH2\r\n",
                    "535 5.7.8 no\r\n"},
        .wire = EHLO XOAUTH2_ONE,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 535,
        .text = "no",
    },
    {
        .name = "454 to a token is no word about it",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_XOAUTH2,
        .username = "joe",
        .tokens = {"one", "two"},
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH XOAUTH2\r\n",
                    "454 4.7.0 not now\r\n"},
        .wire = EHLO XOAUTH2_ONE,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .code = 454,
    },
    {
        .name = "no token is to be had",
        .tls = TLS_IMPLICIT,
        .auth = AUTH_AUTO,
        .username = "joe",
        .tokens = {""},
        .replies = {TLS_NOW, OK, "250-mx\r\n250 AUTH XOAUTH2\r\n"},
        .wire = EHLO,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_TOKEN,
        .text = "exited with 1",
    },
    {
        .name = "no token in the clear",
        .tls = TLS_OFF,
        .auth = AUTH_AUTO,
        .tokens = {"one"},
        .replies = {OK, "250-mx\r\n250 AUTH OAUTHBEARER XOAUTH2\r\n"},
        .wire = EHLO,
        .state = GREET_FAILED,
        .stage = SMTP_STAGE_AUTH,
        .trouble = TROUBLE_AUTH_MISSING,
    },
    {
        .name = "a token in the clear if told so",
        .tls = TLS_OFF,
        .auth = AUTH_AUTO,
        .auth_in_clear = true,
        .username = "joe",
        .tokens = {"one"},
        .replies = {OK, "250-mx\r\n250 AUTH XOAUTH2\r\n", "235 ok\r\n"},
        .wire = EHLO XOAUTH2_ONE,
        .state = GREET_READY,
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

static void give_keys(struct greet *greet, struct buf *out)
{
    struct scram_keys keys;

    assert_false(greet_reply(greet, say("334 \r\n"), out));
    scram_derive(greet_recipe(greet), greet->policy->login.password, &keys);
    greet_take_keys(greet, &keys, out);
}

static void give_token(struct greet *greet, const char *token, struct buf *out)
{
    assert_false(greet_reply(greet, say("421 4.4.2 too late\r\n"), out));
    if (token == NULL || token[0] == '\0')
        greet_lack_token(greet, "exited with 1");
    else
        greet_take_token(greet, str_of(token), out);
}

static void run(const struct script *script)
{
    const struct greet_policy policy = {
        .hello_name = "me.example",
        .tls = script->tls,
        .auth = script->auth,
        .auth_in_clear = script->auth_in_clear,
        .login =
            {
                .username = str_of(script->username),
                .password = S("sesame"),
                .has_token = script->tokens[0] != NULL,
                .host = S("mx"),
                .port = 587,
            },
    };
    size_t tokens = 0;
    struct greet greet;
    struct buf out;

    print_message("  %s\n", script->name);
    buf_init(&out, 4096);
    greet_init(&greet, &policy, NONCE);
    greet_write(&greet, &out);
    for (size_t i = 0; script->replies[i] != NULL; i++) {
        if (strcmp(script->replies[i], TLS_NOW) == 0) {
            assert_int_equal(greet.state, GREET_HANDSHAKE);
            greet_secured(&greet, script->is_bound ? &BINDING : NULL);
            greet_write(&greet, &out);
        } else {
            assert_true(greet_reply(&greet, say(script->replies[i]), &out));
        }
        if (greet.state == GREET_KEYS)
            give_keys(&greet, &out);
        if (greet.state == GREET_TOKEN)
            give_token(&greet, script->tokens[tokens++], &out);
    }
    assert_said(&out, script->wire);
    assert_int_equal(greet.state, script->state);
    if (script->state == GREET_FAILED) {
        assert_int_equal(greet.finding.stage, script->stage);
        assert_int_equal(greet.finding.trouble, script->trouble);
        assert_int_equal(greet.finding.code, script->code);
        if (script->text != NULL)
            assert_string_equal(greet.finding.text, script->text);
        (void)smtp_judge(&greet.finding); /* there is a rule for it */
    }
    greet_finish(&greet);
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
    greet_init(&greet, &policy, NONCE);
    assert_false(greet_reply(&greet, say(OK), &out));
    greet_secured(&greet, NULL);
    greet_write(&greet, &out);
    assert_true(greet_reply(&greet, say(OK), &out));
    assert_true(greet_reply(&greet, say("250 mx\r\n"), &out));
    assert_int_equal(greet.state, GREET_READY);
    assert_false(greet_reply(&greet, say(OK), &out));
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts),
        cmocka_unit_test(unasked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
