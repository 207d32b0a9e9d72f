#include "smtp/quotes.h"

#include "check_cmocka.h"

#define DOTS "\u2022\u2022\u2022\u2022\u2022\u2022"

static const struct auth_login JOE = {.username = STR("joe"),
                                      .password = STR("sesame")};
static const struct auth_login ANN = {.username = STR("ann@example.net"),
                                      .password = STR("rate")};
static const struct auth_login NOBODY = {.username = STR("")};

static const struct {
    const struct auth_login *login;
    const char *words;
    const char *shown; /* NULL: the same */
} CASES[] = {
    {&JOE, "2.0.0 Ok: queued as 4WxYz1", NULL},
    {&JOE, "", NULL},
    {&JOE, "joe is not welcome", NULL},
    {&JOE, "sesame", DOTS},
    {&JOE, "open sesame, sesamesesame!", "open " DOTS ", " DOTS DOTS "!"},
    {&JOE, "no: c2VzYW1l", "no: " DOTS},
    {&JOE, "no: AGpvZQBzZXNhbWU=.", "no: " DOTS "."},
    {&JOE, "cut: AGpvZQBzZX", "cut: " DOTS},
    {&JOE, "cut: AGpvZQBz", "cut: " DOTS},
    {&JOE, "two\nlines of sesame\nand more",
     "two\nlines of " DOTS "\nand more"},
    {&ANN, "4.7.1 your rate is too high", NULL}, /* a word like others */
    {&ANN, "you said cmF0ZQ==", "you said " DOTS},
    {&ANN, "AGFubkBleGFtcGxlLm5ldAByYXRl", DOTS},
    {&NOBODY, "AAA= sesame", NULL},
};

static void what_quotes_a_login_is_hidden(void **state)
{
    struct quotes quotes;
    struct buf shown;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct str words = str_of(CASES[i].words);

        print_message("  %s\n", CASES[i].words);
        quotes_init(&quotes, CASES[i].login);
        assert_int_equal(quotes_are_in(&quotes, words), CASES[i].shown != NULL);
        buf_init(&shown, 1000);
        quotes_hide(&quotes, words, &shown);
        assert_true(str_eq(buf_str(&shown), CASES[i].shown == NULL
                                                ? words
                                                : str_of(CASES[i].shown)));
        buf_finish(&shown);
        quotes_finish(&quotes);
    }
}

/* A reply that is nothing else grows, and fits. */
static void quotes_without_end_fit(void **state)
{
    struct quotes quotes;
    struct buf words;
    struct buf shown;

    (void)state;
    quotes_init(&quotes, &JOE);
    buf_init(&words, REPLY_SIZE_MAX);
    buf_init(&shown, QUOTES_HIDDEN_MAX);
    while (words.len + JOE.password.len <= REPLY_SIZE_MAX)
        buf_add(&words, JOE.password);
    quotes_hide(&quotes, buf_str(&words), &shown);
    assert_false(shown.full);
    assert_int_equal(shown.len, 3 * words.len);
    buf_finish(&words);
    buf_finish(&shown);
    quotes_finish(&quotes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_quotes_a_login_is_hidden),
        cmocka_unit_test(quotes_without_end_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
