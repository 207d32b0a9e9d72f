/* Which mechanism is taken, and what it says. */
#include "smtp/auth.h"

#include "smtp/ehlo.h"

#include "say.h"

#define NONCE "AAAABBBBCCCCDDDDEEEEFFFF"

enum {
    ALL = OFFERS_PLAIN | OFFERS_LOGIN | OFFERS_CRAM_MD5 | OFFERS_SCRAM_SHA_1 |
          OFFERS_SCRAM_SHA_1_PLUS | OFFERS_SCRAM_SHA_256 |
          OFFERS_SCRAM_SHA_256_PLUS | OFFERS_OAUTHBEARER | OFFERS_XOAUTH2,
    OAUTH = OFFERS_OAUTHBEARER | OFFERS_XOAUTH2,
};

static const struct auth_login JOE = {.username = STR("joe"),
                                      .password = STR("sesame")};
static const struct auth_login ZOE = {.username = STR("zo\xc3\xab"),
                                      .password = STR("sesame")};
static const struct auth_login BOTH = {
    .username = STR("joe"), .password = STR("sesame"), .has_token = true};
static const struct auth_login BEARER = {.username = STR("joe"),
                                         .has_token = true};
static const struct auth_login NAMELESS = {.has_token = true};

static const struct choice {
    struct auth_terms terms;
    const struct auth_login *login;
    const char *name; /* NULL: none */
} CHOICES[] = {
    {{AUTH_AUTO, ALL, 0, true, true}, &JOE, "SCRAM-SHA-256-PLUS"},
    {{AUTH_AUTO, ALL & ~OFFERS_SCRAM_SHA_256_PLUS, 0, true, true},
     &JOE,
     "SCRAM-SHA-1-PLUS"},
    {{AUTH_AUTO, ALL, 0, true, false}, &JOE, "SCRAM-SHA-256"},
    {{AUTH_AUTO, ALL & ~OFFERS_SCRAM_SHA_256, 0, true, false},
     &JOE,
     "SCRAM-SHA-1"},
    {{AUTH_AUTO, ALL, 0, true, true}, &ZOE, "PLAIN"},
    {{AUTH_AUTO, ALL, 0, false, false}, &ZOE, "CRAM-MD5"},
    {{AUTH_AUTO, ALL, 0, false, false}, &JOE, "SCRAM-SHA-256"},
    {{AUTH_AUTO, OFFERS_LOGIN | OFFERS_PLAIN | OFFERS_CRAM_MD5, 0, true, true},
     &JOE,
     "PLAIN"},
    {{AUTH_AUTO, OFFERS_LOGIN | OFFERS_CRAM_MD5, 0, true, true}, &JOE, "LOGIN"},
    {{AUTH_AUTO, OFFERS_LOGIN | OFFERS_CRAM_MD5, 0, false, true},
     &JOE,
     "CRAM-MD5"},
    {{AUTH_AUTO, OFFERS_LOGIN | OFFERS_PLAIN, 0, false, true}, &JOE, NULL},
    {{AUTH_AUTO, 0, 0, true, true}, &JOE, NULL},
    {{AUTH_AUTO, ALL, OFFERS_SCRAM_SHA_256_PLUS, true, true},
     &JOE,
     "SCRAM-SHA-1-PLUS"},
    {{AUTH_AUTO, OFFERS_SCRAM_SHA_256 | OFFERS_LOGIN, OFFERS_SCRAM_SHA_256,
      true, true},
     &JOE,
     "LOGIN"},
    {{AUTH_AUTO, OFFERS_SCRAM_SHA_256_PLUS, 0, true, false}, &JOE, NULL},
    {{AUTH_SCRAM_SHA_1, ALL, 0, true, true}, &JOE, "SCRAM-SHA-1-PLUS"},
    {{AUTH_SCRAM_SHA_1, ALL, 0, true, false}, &JOE, "SCRAM-SHA-1"},
    {{AUTH_SCRAM_SHA_256, OFFERS_SCRAM_SHA_1, 0, true, true}, &JOE, NULL},
    {{AUTH_PLAIN, ALL, 0, true, true}, &JOE, "PLAIN"},
    {{AUTH_PLAIN, ALL, 0, false, true}, &JOE, NULL},
    {{AUTH_CRAM_MD5, ALL, 0, true, true}, &JOE, "CRAM-MD5"},
    {{AUTH_AUTO, ALL, 0, true, true}, &BOTH, "OAUTHBEARER"},
    {{AUTH_AUTO, ALL & ~OFFERS_OAUTHBEARER, 0, true, true}, &BOTH, "XOAUTH2"},
    {{AUTH_AUTO, ALL & ~OAUTH, 0, true, true}, &BOTH, "SCRAM-SHA-256-PLUS"},
    {{AUTH_AUTO, OAUTH | OFFERS_CRAM_MD5, 0, false, false}, &BOTH, "CRAM-MD5"},
    {{AUTH_AUTO, OAUTH, 0, false, false}, &BEARER, NULL},
    {{AUTH_AUTO, ALL & ~OAUTH, 0, true, true}, &BEARER, NULL},
    {{AUTH_AUTO, OAUTH, 0, true, true}, &JOE, NULL},
    {{AUTH_AUTO, OAUTH, 0, true, true}, &NAMELESS, "OAUTHBEARER"},
    {{AUTH_AUTO, OFFERS_XOAUTH2, 0, true, true}, &NAMELESS, NULL},
    {{AUTH_XOAUTH2, ALL, 0, true, true}, &BOTH, "XOAUTH2"},
    {{AUTH_OAUTHBEARER, OFFERS_XOAUTH2, 0, true, true}, &BOTH, NULL},
};

static void choices(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CHOICES); i++) {
        const struct auth_mechanism *chosen =
            auth_choose(&CHOICES[i].terms, CHOICES[i].login);

        if (CHOICES[i].name == NULL)
            assert_null(chosen);
        else
            assert_string_equal(auth_name(chosen), CHOICES[i].name);
    }
}

static void begin(struct auth_exchange *exchange,
                  const struct auth_terms *terms,
                  const struct auth_login *login, struct buf *out)
{
    static const struct tls_binding BINDING = {.name = "tls-exporter",
                                               .len = 1};
    const struct auth_mechanism *mechanism = auth_choose(terms, login);

    assert_non_null(mechanism);
    *exchange = (struct auth_exchange){0};
    auth_begin(exchange, mechanism, terms, login, &BINDING, NONCE, out);
}

/* RFC 4954: a secret that would make the line too long waits for the 334. */
static void long_secret(void **state)
{
    const struct auth_terms terms = {AUTH_PLAIN, ALL, 0, true, false};
    struct auth_exchange exchange;
    char password[401];
    struct auth_login login = {.username = S("joe"),
                               .password = {password, 400}};
    struct buf out;

    (void)state;
    memset(password, 'x', sizeof password);
    buf_init(&out, 4096);
    begin(&exchange, &terms, &login, &out);
    assert_said(&out, "AUTH PLAIN\r\n");
    assert_int_equal(auth_answer(&exchange, S(""), &out), AUTH_ANSWERED);
    assert_int_equal(out.len, (400 + 5 + 2) / 3 * 4 + 2);
    assert_int_equal(auth_answer(&exchange, S(""), &out), AUTH_STUCK);
    auth_finish(&exchange);
    buf_finish(&out);
}

/* 510 bytes and CRLF are the limit. */
static void longest_command(void **state)
{
    const struct auth_terms terms = {AUTH_PLAIN, ALL, 0, true, false};
    struct auth_exchange exchange;
    char password[400];
    struct buf out;

    (void)state;
    memset(password, 'x', sizeof password);
    buf_init(&out, 4096);
    for (size_t len = 360; len < 380; len++) {
        struct auth_login login = {.username = S("joe"),
                                   .password = {password, len}};
        size_t whole = sizeof "AUTH PLAIN" + (len + 5 + 2) / 3 * 4 + 2;

        begin(&exchange, &terms, &login, &out);
        assert_int_equal(out.len,
                         whole <= 512 ? whole : sizeof "AUTH PLAIN\r\n" - 1);
        auth_finish(&exchange);
        buf_clear(&out);
    }
    buf_finish(&out);
}

/* The example of RFC 2195 section 2. */
static void cram_md5(void **state)
{
    const struct auth_terms terms = {AUTH_CRAM_MD5, ALL, 0, true, false};
    static const struct auth_login LOGIN = {
        .username = STR("tim"), .password = STR("tanstaaftanstaaf")};
    struct auth_exchange exchange;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    begin(&exchange, &terms, &LOGIN, &out);
    assert_said(&out, "AUTH CRAM-MD5\r\n");
    assert_int_equal(
        auth_answer(
            &exchange,
            S("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"),
            &out),
        AUTH_ANSWERED);
    assert_said(&out, "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n");
    assert_true(auth_may_end(&exchange));
    auth_finish(&exchange);
    buf_finish(&out);
}

/* RFC 5802 section 6: what is said of the binding depends on what the server
 * offers of any -PLUS. */
static void binding_words(void **state)
{
    static const struct {
        struct auth_terms terms;
        const char *said;
    } WORDS[] = {
        /* p=tls-exporter,,n=joe,r=... */
        {{AUTH_AUTO, OFFERS_SCRAM_SHA_256_PLUS, 0, true, true},
         "AUTH SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIsLG49am9lLHI9QUFBQUJCQkJD"
         "Q0NDREREREVFRUVGRkZG\r\n"},
        /* y,, */
        {{AUTH_AUTO, OFFERS_SCRAM_SHA_256, 0, true, true},
         "AUTH SCRAM-SHA-256 eSwsbj1qb2Uscj1BQUFBQkJCQkNDQ0NERERERUVFRUZGRkY="
         "\r\n"},
        /* n,, */
        {{AUTH_AUTO, OFFERS_SCRAM_SHA_256, 0, true, false},
         "AUTH SCRAM-SHA-256 biwsbj1qb2Uscj1BQUFBQkJCQkNDQ0NERERERUVFRUZGRkY="
         "\r\n"},
        {{AUTH_SCRAM_SHA_256, OFFERS_SCRAM_SHA_256 | OFFERS_SCRAM_SHA_1_PLUS, 0,
          true, true},
         "AUTH SCRAM-SHA-256 biwsbj1qb2Uscj1BQUFBQkJCQkNDQ0NERERERUVFRUZGRkY="
         "\r\n"},
    };
    struct auth_exchange exchange;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < COUNT_OF(WORDS); i++) {
        begin(&exchange, &WORDS[i].terms, &JOE, &out);
        assert_said(&out, WORDS[i].said);
        assert_false(auth_may_end(&exchange));
        auth_finish(&exchange);
    }
    buf_finish(&out);
}

/* As a whole, in base64, and what a server cuts off behind some letters. */
static const struct {
    unsigned offered;
    const char *challenge; /* NULL: none */
    const char *words;
    bool is_quoted;
} QUOTES[] = {
    {OFFERS_PLAIN, NULL, "sesame is wrong", true},
    {OFFERS_PLAIN, NULL, "no: AGpvZQBzZXNhbWU=", true},
    {OFFERS_PLAIN, NULL, "no: AUTH PLAIN AGpvZQBzZ", true},
    {OFFERS_PLAIN, NULL, "joe is not welcome", false},
    {OFFERS_LOGIN, "VXNlcm5hbWU6", "no: c2VzYW1l", true},
    {OFFERS_LOGIN, "VXNlcm5hbWU6", "no: c2VzY", true},
    {OFFERS_LOGIN, "VXNlcm5hbWU6", "Username and Password not accepted", false},
    {OFFERS_CRAM_MD5, "PDEuMkBteD4=", "no: am9lIGI5MT", true},
};

static void quoted_logins(void **state)
{
    struct auth_exchange exchange = {0};
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_false(auth_is_quoted(&exchange, S("no")));
    for (size_t i = 0; i < COUNT_OF(QUOTES); i++) {
        const struct auth_terms terms = {AUTH_AUTO, QUOTES[i].offered, 0, true,
                                         false};

        print_message("  %s\n", QUOTES[i].words);
        begin(&exchange, &terms, &JOE, &out);
        for (int n = 0; n < 2 && QUOTES[i].challenge != NULL; n++)
            (void)auth_answer(&exchange, str_of(QUOTES[i].challenge), &out);
        assert_int_equal(auth_is_quoted(&exchange, str_of(QUOTES[i].words)),
                         QUOTES[i].is_quoted);
        auth_finish(&exchange);
    }
    buf_finish(&out);
}

/* RFC 7628 section 4.1, and what Google's and Microsoft's manuals show. */
#define RFC_TOKEN "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
#define RFC_HOST                                                               \
    .has_token = true, .token = STR(RFC_TOKEN),                                \
    .host = STR("server.example.com"), .port = 587

static const struct dialogue {
    enum config_auth auth;
    struct auth_login login;
    const char *said;
    const char *challenge; /* NULL: none */
    const char *answer;
    const char *status;
} DIALOGUES[] = {
    {
        .auth = AUTH_OAUTHBEARER,
        .login = {.username = STR("user@example.com"), RFC_HOST},
        .said = "AUTH OAUTHBEARER "
                "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tA"
                "XBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSF"
                "JoZG1semRHRXVZMjl0Q2c9PQEB\r\n",
        .challenge = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxl"
                     "X3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4"
                     "YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9u"
                     "In0=",
        .answer = "AQ==\r\n",
        .status = "invalid_token",
    },
    /* Without a name: n,, */
    {
        .auth = AUTH_OAUTHBEARER,
        .login = {RFC_HOST},
        .said = "AUTH OAUTHBEARER "
                "biwsAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhc"
                "mVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQ"
                "EB\r\n",
    },
    /* n,a=a=2Cb=3Dc, */
    {
        .auth = AUTH_OAUTHBEARER,
        .login = {.username = STR("a,b=c"), RFC_HOST},
        .said = "AUTH OAUTHBEARER "
                "bixhPWE9MkNiPTNEYywBaG9zdD1zZXJ2ZXIuZXhhbXBsZS5jb20BcG9ydD01O"
                "DcBYXV0aD1CZWFyZXIgdkY5ZGZ0NHFtVGMyTnZiM1JsY2tCaGJIUmhkbWx6ZE"
                "dFdVkyOXRDZz09AQE=\r\n",
        /* No JSON at all. */
        .challenge = "bm8=",
        .answer = "AQ==\r\n",
        .status = "",
    },
    {
        .auth = AUTH_XOAUTH2,
        .login = {.username = STR("someuser@example.com"),
                  .has_token = true,
                  .token =
                      STR("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")},
        .said = "AUTH XOAUTH2 "
                "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGO"
                "WRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==\r\n",
        .challenge = "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIG1hYyIsInNj"
                     "b3BlIjoiaHR0cHM6Ly9tYWlsLmdvb2dsZS5jb20vIn0=",
        .answer = "\r\n",
        .status = "401",
    },
    {
        .auth = AUTH_XOAUTH2,
        .login = {.username = STR("test@contoso.onmicrosoft.com"),
                  .has_token = true,
                  .token = STR("EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA")},
        .said = "AUTH XOAUTH2 "
                "dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyI"
                "EV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ=="
                "\r\n",
        /* {"status":400,"schemes":"Bearer"} */
        .challenge = "eyJzdGF0dXMiOjQwMCwic2NoZW1lcyI6IkJlYXJlciJ9",
        .answer = "\r\n",
        .status = "400",
    },
    /* A server that quotes what it was told, and rings the bell. */
    {
        .auth = AUTH_XOAUTH2,
        .login = {.username = STR("u"), .has_token = true, .token = STR("t")},
        .said = "AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==\r\n",
        .challenge = "eyJzdGF0dXMiOiJiYWQgeWEyOS52RjlkZnQ0cW1UYzJOdmIzUmxja0Jo"
                     "ZEhSaGRtbHpkR0V1WTI5dENnIFx1MDAwNyJ9",
        .answer = "\r\n",
        .status = "bad \xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"
                  "\xe2\x80\xa2\xe2\x80\xa2 ?",
    },
};

static void oauth(void **state)
{
    struct auth_exchange exchange;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < COUNT_OF(DIALOGUES); i++) {
        const struct dialogue *d = &DIALOGUES[i];
        const struct auth_terms terms = {d->auth, ALL, 0, true, false};

        begin(&exchange, &terms, &d->login, &out);
        assert_said(&out, d->said);
        if (d->challenge != NULL) {
            assert_int_equal(auth_answer(&exchange, str_of(d->challenge), &out),
                             AUTH_ANSWERED);
            assert_said(&out, d->answer);
            assert_string_equal(exchange.status, d->status);
            assert_int_equal(auth_answer(&exchange, str_of(d->challenge), &out),
                             AUTH_STUCK);
        }
        auth_finish(&exchange);
        buf_clear(&out);
    }
    buf_finish(&out);
}

/* The longest of all, behind an empty 334: a line that servers take. */
static void long_token(void **state)
{
    const struct auth_terms terms = {AUTH_OAUTHBEARER, ALL, 0, true, false};
    struct auth_exchange exchange;
    char text[8000];
    struct auth_login login = {.username = {text, 255},
                               .has_token = true,
                               .token = {text, sizeof text},
                               .host = {text, 253},
                               .port = 65535};
    struct buf out;

    (void)state;
    memset(text, ',', sizeof text);
    buf_init(&out, 32 * 1024);
    begin(&exchange, &terms, &login, &out);
    assert_said(&out, "AUTH OAUTHBEARER\r\n");
    assert_int_equal(auth_answer(&exchange, S(""), &out), AUTH_ANSWERED);
    assert_true(out.len > 12000 && out.len <= 12288);
    buf_clear(&out);
    /* What comes behind it is the server's no. */
    assert_int_equal(auth_answer(&exchange, S("e30="), &out), AUTH_ANSWERED);
    assert_said(&out, "AQ==\r\n");
    auth_finish(&exchange);
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted_logins), cmocka_unit_test(choices),
        cmocka_unit_test(long_secret),   cmocka_unit_test(longest_command),
        cmocka_unit_test(cram_md5),      cmocka_unit_test(binding_words),
        cmocka_unit_test(oauth),         cmocka_unit_test(long_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
