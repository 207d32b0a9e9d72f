/* Tokens as files and commands give them. */
#include "smtp/token.h"

#include "check_cmocka.h"

static const struct fact {
    struct str text;
    const char *token; /* NULL: refused */
    int64_t life_s;
    const char *why;
} FACTS[] = {
    {STR("ya29.a-b_c~d+e/f=="), "ya29.a-b_c~d+e/f==", 0, NULL},
    {STR(" \t abc\r\n\n"), "abc", 0, NULL},
    {STR("{\"access_token\":\"abc\",\"token_type\":\"Bearer\","
         "\"expires_in\":3599,\"scope\":\"x\",\"refresh_token\":\"r\"}\n"),
     "abc", 3599, NULL},
    {STR("{\"access_token\":\"abc\"}"), "abc", 0, NULL},
    /* Microsoft's first endpoint. */
    {STR("{\"token_type\":\"bearer\",\"expires_in\":\"3600\","
         "\"access_token\":\"abc\"}"),
     "abc", 3600, NULL},
    {STR("{\"access_token\":\"abc\",\"expires_in\":99999999999}"), "abc",
     TOKEN_LIFE_MAX_S, NULL},

    {STR(""), NULL, 0, "there is no token in it"},
    {STR(" \n"), NULL, 0, "there is no token in it"},
    {STR("one two"), NULL, 0, "a token is of printable ASCII without blanks"},
    {STR("one\ntwo"), NULL, 0, "a token is of printable ASCII without blanks"},
    {STR("one\1two"), NULL, 0, "a token is of printable ASCII without blanks"},
    {STR("\0"), NULL, 0, "a token is of printable ASCII without blanks"},
    {STR("zo\xc3\xab"), NULL, 0,
     "a token is of printable ASCII without blanks"},
    {STR("{\"access_token\":\"a\\u0001auth=Bearer b\"}"), NULL, 0,
     "a token is of printable ASCII without blanks"},
    {STR("{\"access_token\":\"\"}"), NULL, 0, "there is no token in it"},
    {STR("{\"access_token\":7}"), NULL, 0, "the JSON has no access_token"},
    {STR("{}"), NULL, 0, "the JSON has no access_token"},
    {STR("{\"access_token\":\"abc\""), NULL, 0, "begins with { and is no JSON"},
    {STR("{\"access_token\":\"abc\",\"token_type\":\"mac\"}"), NULL, 0,
     "its token_type is not Bearer"},
    {STR("{\"access_token\":\"abc\",\"expires_in\":0}"), NULL, 0,
     "its expires_in is no number of seconds above 0"},
    {STR("{\"access_token\":\"abc\",\"expires_in\":-7}"), NULL, 0,
     "its expires_in is no number of seconds above 0"},
    {STR("{\"access_token\":\"abc\",\"expires_in\":\"soon\"}"), NULL, 0,
     "its expires_in is no number of seconds above 0"},
    {STR("{\"error\":\"invalid_grant\",\"error_description\":\"abc\"}"), NULL,
     0, "no token, but the error \"invalid_grant\""},
    {STR("{\"error\":\"bad ya29.vF9dft4qmTc2Nvb3RlckBhd\\u0007\"}"), NULL, 0,
     "no token, but the error \"bad "
     "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"
     "?\""},
};

static void facts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(FACTS); i++) {
        struct token token;
        struct error err = {0};
        bool ok = token_read(FACTS[i].text, &token, &err);

        assert_int_equal(ok, FACTS[i].token != NULL);
        if (ok) {
            assert_string_equal(token.text.data, FACTS[i].token);
            assert_int_equal(token.life_s, FACTS[i].life_s);
        } else {
            assert_string_equal(err.text, FACTS[i].why);
        }
        token_finish(&token);
    }
}

static void the_longest(void **state)
{
    char text[TOKEN_MAX + 1];
    struct token token;
    struct error err;

    (void)state;
    memset(text, 'x', sizeof text);
    assert_true(token_read(str_make(text, TOKEN_MAX), &token, &err));
    token_finish(&token);
    assert_false(token_read(str_make(text, sizeof text), &token, &err));
    assert_string_equal(err.text,
                        "the token has 8001 bytes, and 8000 are the most");
}

static void when_the_next_is_fetched(void **state)
{
    static const int64_t TIMES_S[][2] = {
        {3600, 3240}, {599, 539}, {600, 540}, {300, 240},
        {120, 60},    {60, 30},   {2, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(TIMES_S); i++)
        assert_int_equal(token_refresh_ms(TIMES_S[i][0] * 1000),
                         TIMES_S[i][1] * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts),
        cmocka_unit_test(the_longest),
        cmocka_unit_test(when_the_next_is_fetched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
