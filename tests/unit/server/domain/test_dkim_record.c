#include "server/domain/dkim_record.h"

#include "check_cmocka.h"

/* Public keys: ours, another one of 1024 bits, and one of Ed25519. */
#define RSA                                                                    \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDC4vkVGZZsHh4IpQn2FJZ0WvC3nJ1vv6r5" \
    "0ZyE1w5Yl1V2p3rH3s6bYI1nGJ0lP3f1Pp2m2wO9Xg3Y5zvZ6T8kK1d3dXc0bQp9m2x4Jr8v" \
    "a5Yt7S5oE1bqf0uK2ZkV9yW3x7Tt3Zk5dQG6y3fXk8uQ1d5v9wIDAQAB"
#define OTHER                                                                  \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1" \
    "fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR" \
    "+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
#define ED25519 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static const struct domain_key KEY_RSA = {STR("r1"), DKIM_RSA, STR(RSA),
                                          DOMAIN_KEY_SIGNS};
static const struct domain_key KEY_ED25519 = {STR("e1"), DKIM_ED25519,
                                              STR(ED25519), DOMAIN_KEY_SIGNS};

static const struct {
    const char *text;
    const struct domain_key *key;
    enum dkim_flaw flaw;
    const char *detail;
    bool is_testing;
} CASES[] = {
    {"v=DKIM1; k=rsa; p=" RSA, &KEY_RSA, DKIM_GOOD, NULL, false},
    {"v=DKIM1;k=rsa;p=" RSA ";", &KEY_RSA, DKIM_GOOD, NULL, false},
    {" v = DKIM1 ; p = " RSA " ", &KEY_RSA, DKIM_GOOD, NULL, false},
    {"p=" RSA, &KEY_RSA, DKIM_GOOD, NULL, false},
    {"v=DKIM1; p=MIGf MA0G CSqGSIb3DQEBAQUAA4GNADCBiQKBgQDC4vkVGZZsHh4IpQn2FJZ0"
     "WvC3nJ1vv6r50ZyE1w5Yl1V2p3rH3s6bYI1nGJ0lP3f1Pp2m2wO9Xg3Y5zvZ6T8kK1d3dXc0b"
     "Qp9m2x4Jr8va5Yt7S5oE1bqf0uK2ZkV9yW3x7Tt3Zk5dQG6y3fXk8uQ1d5v9wIDAQAB",
     &KEY_RSA, DKIM_GOOD, NULL, false},
    {"v=DKIM1; k=ed25519; p=" ED25519, &KEY_ED25519, DKIM_GOOD, NULL, false},
    {"v=DKIM1; t=y; p=" RSA, &KEY_RSA, DKIM_GOOD, NULL, true},
    {"v=DKIM1; t=s:y; p=" RSA, &KEY_RSA, DKIM_GOOD, NULL, true},
    {"v=DKIM1; t=s; p=" RSA, &KEY_RSA, DKIM_GOOD, NULL, false},
    {"v=DKIM1; h=sha1:sha256; s=email; n=x; p=" RSA, &KEY_RSA, DKIM_GOOD, NULL,
     false},
    {"v=DKIM1; s=*; zz=1; p=" RSA, &KEY_RSA, DKIM_GOOD, NULL, false},

    {"v=DKIM1; p=", &KEY_RSA, DKIM_REVOKED, NULL, false},
    {"v=DKIM1; k=rsa; p= ;", &KEY_RSA, DKIM_REVOKED, NULL, false},
    {"v=DKIM1; k=rsa; p=" OTHER, &KEY_RSA, DKIM_OTHER_KEY, NULL, false},
    {"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GN", &KEY_RSA, DKIM_CUT_OFF,
     NULL, false},
    {"v=DKIM1; k=rsa; p=MIGf!", &KEY_RSA, DKIM_BROKEN_KEY, NULL, false},
    {"v=DKIM1; k=rsa; p=AAAA", &KEY_RSA, DKIM_BROKEN_KEY, NULL, false},
    {"v=DKIM1; k=ed25519; p=" ED25519, &KEY_RSA, DKIM_OTHER_TYPE, "ed25519",
     false},
    {"v=DKIM1; p=" ED25519, &KEY_ED25519, DKIM_OTHER_TYPE, "rsa", false},
    {"v=DKIM1; k=dsa; p=" RSA, &KEY_RSA, DKIM_OTHER_TYPE, "dsa", false},
    {"v=DKIM1; h=sha1; p=" RSA, &KEY_RSA, DKIM_NO_SHA256, "sha1", false},
    {"v=DKIM1; s=tlsrpt; p=" RSA, &KEY_RSA, DKIM_NOT_FOR_MAIL, "tlsrpt", false},

    {"v=DKIM1 k=rsa p=" RSA, &KEY_RSA, DKIM_NOT_A_KEY, NULL, false},
    {"v=DKIM1; k=rsa", &KEY_RSA, DKIM_MALFORMED, "p=", false},
    {"v=DKIM1; rubbish; p=" RSA, &KEY_RSA, DKIM_MALFORMED, "rubbish", false},
    {"v=DKIM1; p=" RSA "; p=" RSA, &KEY_RSA, DKIM_MALFORMED, "p=" RSA, false},
    {"v=DKIM1;; p=" RSA, &KEY_RSA, DKIM_MALFORMED, ";;", false},
    {"\"v=DKIM1; k=rsa; p=" RSA "\"", &KEY_RSA, DKIM_QUOTED, NULL, false},
    {"v=DKIM1\\; k=rsa\\; p=" RSA, &KEY_RSA, DKIM_QUOTED, NULL, false},
    {"k=rsa; v=DKIM1; p=" RSA, &KEY_RSA, DKIM_NOT_A_KEY, NULL, false},
    {"v=DKIM2; p=" RSA, &KEY_RSA, DKIM_NOT_A_KEY, NULL, false},
    {"v=spf1 -all", &KEY_RSA, DKIM_NOT_A_KEY, NULL, false},
    {"", &KEY_RSA, DKIM_NOT_A_KEY, NULL, false},
};

static void records_are_read_against_a_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct dkim_reading got =
            dkim_record_read(str_of(CASES[i].text), CASES[i].key);

        if (got.flaw != CASES[i].flaw ||
            got.is_testing != CASES[i].is_testing ||
            (CASES[i].detail != NULL &&
             !str_eq(got.detail, str_of(CASES[i].detail))))
            fail_msg("%s: flaw %u '%.*s'", CASES[i].text, got.flaw,
                     STR_ARG(got.detail));
        if (got.flaw == DKIM_OTHER_KEY)
            assert_int_equal(got.bits, 1024);
        if (got.flaw == DKIM_CUT_OFF)
            assert_int_equal(got.key_chars, 28);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_against_a_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
