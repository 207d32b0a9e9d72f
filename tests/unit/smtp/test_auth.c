/* Which mechanism is taken, and what it says. */
#include "smtp/auth.h"

#include "smtp/ehlo.h"

#include "say.h"

#define NONCE "AAAABBBBCCCCDDDDEEEEFFFF"

enum {
    ALL = OFFERS_PLAIN | OFFERS_LOGIN | OFFERS_CRAM_MD5 | OFFERS_SCRAM_SHA_1 |
          OFFERS_SCRAM_SHA_1_PLUS | OFFERS_SCRAM_SHA_256 |
          OFFERS_SCRAM_SHA_256_PLUS,
};

static const struct auth_login JOE = {STR("joe"), STR("sesame")};
static const struct auth_login ZOE = {STR("zo\xc3\xab"), STR("sesame")};

static const struct choice {
    struct auth_terms terms;
    const struct auth_login *login;
    const char *name; /* NULL: none */
} CHOICES[] = {
    {{AUTH_AUTO, ALL, true, true}, &JOE, "SCRAM-SHA-256-PLUS"},
    {{AUTH_AUTO, ALL & ~OFFERS_SCRAM_SHA_256_PLUS, true, true},
     &JOE,
     "SCRAM-SHA-1-PLUS"},
    {{AUTH_AUTO, ALL, true, false}, &JOE, "SCRAM-SHA-256"},
    {{AUTH_AUTO, ALL & ~OFFERS_SCRAM_SHA_256, true, false},
     &JOE,
     "SCRAM-SHA-1"},
    {{AUTH_AUTO, ALL, true, true}, &ZOE, "PLAIN"},
    {{AUTH_AUTO, ALL, false, false}, &ZOE, "CRAM-MD5"},
    {{AUTH_AUTO, ALL, false, false}, &JOE, "SCRAM-SHA-256"},
    {{AUTH_AUTO, OFFERS_LOGIN | OFFERS_PLAIN | OFFERS_CRAM_MD5, true, true},
     &JOE,
     "PLAIN"},
    {{AUTH_AUTO, OFFERS_LOGIN | OFFERS_CRAM_MD5, true, true}, &JOE, "LOGIN"},
    {{AUTH_AUTO, OFFERS_LOGIN | OFFERS_CRAM_MD5, false, true},
     &JOE,
     "CRAM-MD5"},
    {{AUTH_AUTO, OFFERS_LOGIN | OFFERS_PLAIN, false, true}, &JOE, NULL},
    {{AUTH_AUTO, 0, true, true}, &JOE, NULL},
    {{AUTH_AUTO, OFFERS_SCRAM_SHA_256_PLUS, true, false}, &JOE, NULL},
    {{AUTH_SCRAM_SHA_1, ALL, true, true}, &JOE, "SCRAM-SHA-1-PLUS"},
    {{AUTH_SCRAM_SHA_1, ALL, true, false}, &JOE, "SCRAM-SHA-1"},
    {{AUTH_SCRAM_SHA_256, OFFERS_SCRAM_SHA_1, true, true}, &JOE, NULL},
    {{AUTH_PLAIN, ALL, true, true}, &JOE, "PLAIN"},
    {{AUTH_PLAIN, ALL, false, true}, &JOE, NULL},
    {{AUTH_CRAM_MD5, ALL, true, true}, &JOE, "CRAM-MD5"},
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
    const struct auth_terms terms = {AUTH_PLAIN, ALL, true, false};
    struct auth_exchange exchange;
    char password[401];
    struct auth_login login = {S("joe"), {password, 400}};
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
    const struct auth_terms terms = {AUTH_PLAIN, ALL, true, false};
    struct auth_exchange exchange;
    char password[400];
    struct buf out;

    (void)state;
    memset(password, 'x', sizeof password);
    buf_init(&out, 4096);
    for (size_t len = 360; len < 380; len++) {
        struct auth_login login = {S("joe"), {password, len}};
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
    const struct auth_terms terms = {AUTH_CRAM_MD5, ALL, true, false};
    static const struct auth_login LOGIN = {STR("tim"),
                                            STR("tanstaaftanstaaf")};
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
        {{AUTH_AUTO, OFFERS_SCRAM_SHA_256_PLUS, true, true},
         "AUTH SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIsLG49am9lLHI9QUFBQUJCQkJD"
         "Q0NDREREREVFRUVGRkZG\r\n"},
        /* y,, */
        {{AUTH_AUTO, OFFERS_SCRAM_SHA_256, true, true},
         "AUTH SCRAM-SHA-256 eSwsbj1qb2Uscj1BQUFBQkJCQkNDQ0NERERERUVFRUZGRkY="
         "\r\n"},
        /* n,, */
        {{AUTH_AUTO, OFFERS_SCRAM_SHA_256, true, false},
         "AUTH SCRAM-SHA-256 biwsbj1qb2Uscj1BQUFBQkJCQkNDQ0NERERERUVFRUZGRkY="
         "\r\n"},
        {{AUTH_SCRAM_SHA_256, OFFERS_SCRAM_SHA_256 | OFFERS_SCRAM_SHA_1_PLUS,
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

static void quoted_logins(void **state)
{
    (void)state;
    assert_true(auth_is_quoted(&JOE, S("5.7.8 sesame is wrong")));
    assert_true(auth_is_quoted(&JOE, S("no: AGpvZQBzZXNhbWU=")));
    assert_true(auth_is_quoted(&JOE, S("no: c2VzYW1l")));
    assert_false(auth_is_quoted(&JOE, S("5.7.8 joe is not welcome")));
    assert_false(auth_is_quoted(&(struct auth_login){0}, S("5.7.8 no")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted_logins), cmocka_unit_test(choices),
        cmocka_unit_test(long_secret),   cmocka_unit_test(longest_command),
        cmocka_unit_test(cram_md5),      cmocka_unit_test(binding_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
