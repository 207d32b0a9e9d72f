#include "server/base/mask.h"

#include "check_cmocka.h"

#define DOTS                                                                   \
    "\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2\xe2\x80\xa2"

static const struct {
    const char *subject;
    const char *masked;
} SUBJECTS[] = {
    {"Your code is 483921", "Your code is " DOTS},
    {"483921 is your code", DOTS " is your code"},
    {"G-483921 is your code", DOTS " is your code"},
    {"483 921 is your code", DOTS " is your code"},
    {"Code: AB12-CD34.", "Code: " DOTS},
    {"\xe9\xaa\x8c\xe8\xaf\x81\xe7\xa0\x81"
     "483921", /* Chinese, no blank */
     "\xe9\xaa\x8c\xe8\xaf\x81\xe7\xa0\x81" DOTS},
    {"\xef\xbc\x94\xef\xbc\x98\xef\xbc\x93\xef\xbc\x99", DOTS}, /* wide */
    {"Reset your password", "Reset your password"},
    {"2FA for v2", "2FA for v2"},
    {"In 10 minutes", "In 10 minutes"},
    {"12 34", DOTS},
    {"12  34", "12  34"},
    {"", ""},
};

static void codes_are_masked_in_subjects(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(SUBJECTS); i++) {
        struct buf out;

        buf_init(&out, 4096);
        mask_subject(str_of(SUBJECTS[i].subject), &out);
        if (!str_eq(buf_str(&out), str_of(SUBJECTS[i].masked)))
            fail_msg("%s: %.*s", SUBJECTS[i].subject, STR_ARG(buf_str(&out)));
        buf_finish(&out);
    }
}

static const struct {
    const char *text;
    const char *subject;
    const char *masked;
} QUOTES[] = {
    {"5.7.1 spam: Your code is 483921", "Your code is 483921",
     "5.7.1 spam: Your code is " DOTS},
    {"483921 and 483921", "483921 is your code", DOTS " and " DOTS},
    {"no 483921, no 483 921", "483 921 is your code", "no " DOTS ", no " DOTS},
    {"AB12-CD34 AB12", "AB12-CD34 or AB12", DOTS " " DOTS},
    {"queued as 12345678", "Your code is 483921", "queued as 12345678"},
    {"2.0.0 Ok: 10 minutes", "In 10 minutes", "2.0.0 Ok: 10 minutes"},
    {"550 no", "", "550 no"},
    {"", "483921", ""},
};

static void a_server_quotes_no_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(QUOTES); i++) {
        struct buf out;

        buf_init(&out, 4096);
        mask_quotes(str_of(QUOTES[i].text), str_of(QUOTES[i].subject), &out);
        if (!str_eq(buf_str(&out), str_of(QUOTES[i].masked)))
            fail_msg("%s: %.*s", QUOTES[i].text, STR_ARG(buf_str(&out)));
        buf_finish(&out);
    }
}

static const struct {
    const char *text;
    const char *masked;
} TOKENS[] = {
    {"curl: (22) error 401", "curl: (22) error 401"},
    {"invalid_grant: AADSTS700016", "invalid_grant: AADSTS700016"},
    {"/usr/lib/google-cloud-sdk/bin/gcloud: no",
     "/usr/lib/google-cloud-sdk/bin/gcloud: no"},
    {"+ echo ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", "+ echo " DOTS},
    {"Bearer EwBAAl3BAAUFFpUAo7J3/e0bj+BWZWCclRC3EoAA==;", "Bearer " DOTS ";"},
    {"0123456789012345678", "0123456789012345678"},
    {"01234567890123456789", DOTS},
    {"", ""},
};

static void no_token_is_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(TOKENS); i++) {
        struct buf out;

        buf_init(&out, 4096);
        mask_tokens(str_of(TOKENS[i].text), &out);
        if (!str_eq(buf_str(&out), str_of(TOKENS[i].masked)))
            fail_msg("%s: %.*s", TOKENS[i].text, STR_ARG(buf_str(&out)));
        buf_finish(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_masked_in_subjects),
        cmocka_unit_test(a_server_quotes_no_code),
        cmocka_unit_test(no_token_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
