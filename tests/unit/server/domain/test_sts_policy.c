#include "server/domain/sts_policy.h"

#include "check_cmocka.h"

#define GOOD "version: STSv1\nmode: enforce\nmax_age: 86400\n"

static const struct {
    const char *name;
    const char *text;
    enum sts_flaw flaw;
    const char *detail;
} CASES[] = {
    {"the example of the RFC",
     "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\n"
     "mx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800",
     STS_GOOD, ""},
    {"in another order", "mx: a.test\nmax_age:0\nmode:none\nversion:STSv1",
     STS_GOOD, ""},
    {"blanks", "version: \t STSv1 \t\r\n" GOOD "mx: a.test \r\n\r\n", STS_GOOD,
     ""},
    {"unknown keys", GOOD "mx: a.test\nx-y_z.1: whatever: it is\n", STS_GOOD,
     ""},
    {"the first one counts",
     GOOD "mx: a.test\nmode: testing\nversion: no\nmax_age: x", STS_GOOD, ""},
    {"the first one counts, if it is wrong", "mode: strict\n" GOOD "mx: a.test",
     STS_NO_MODE, "strict"},
    {"the longest age", "max_age: 31557600\n" GOOD "mx: a.test", STS_GOOD, ""},
    {"a longer one", "max_age: 31557601\n" GOOD "mx: a.test", STS_NO_MAX_AGE,
     "31557601"},
    {"much longer", "max_age: 99999999999999999999\n" GOOD, STS_NO_MAX_AGE,
     "99999999999999999999"},
    {"a negative one", "max_age: -1\n" GOOD, STS_NO_MAX_AGE, "-1"},
    {"no number", "max_age: 1d\n" GOOD, STS_NO_MAX_AGE, "1d"},
    {"an empty one", "max_age:\n" GOOD, STS_NO_MAX_AGE, ""},
    {"nothing", "", STS_NO_VERSION, ""},
    {"empty lines", "\n\r\n \n", STS_NO_VERSION, ""},
    {"another version", "version: STSv10\n" GOOD, STS_NO_VERSION, "STSv10"},
    {"case counts", "Version: STSv1\nmode: none\nmax_age: 1", STS_NO_VERSION,
     ""},
    {"of a mode, too", "mode: Enforce\n" GOOD, STS_NO_MODE, "Enforce"},
    {"no mx", GOOD, STS_NO_MX, ""},
    {"no mx, and none is needed", "mode: none\n" GOOD, STS_GOOD, ""},
    {"a page", "<html>\n" GOOD, STS_BAD_LINE, "<html>"},
    {"no key", ": x\n" GOOD, STS_BAD_LINE, ": x"},
    {"a key with a blank", "max age: 1\n" GOOD, STS_BAD_LINE, "max age: 1"},
    {"a lone CR", "version: STSv1\rmode: none", STS_NO_VERSION,
     "STSv1\rmode: none"},
    {"an mx with a star within", GOOD "mx: a.*.test", STS_BAD_MX, "a.*.test"},
    {"two stars", GOOD "mx: *.*.test", STS_BAD_MX, "*.*.test"},
    {"a star alone", GOOD "mx: *", STS_BAD_MX, "*"},
    {"an address", GOOD "mx: [192.0.2.1]", STS_BAD_MX, "[192.0.2.1]"},
    {"an empty mx", GOOD "mx:\n", STS_BAD_MX, ""},
};

static void policies_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct sts_policy policy;
        enum sts_flaw flaw = sts_policy_read(str_of(CASES[i].text), &policy);

        if (flaw != CASES[i].flaw ||
            !str_eq(policy.detail, str_of(CASES[i].detail)))
            fail_msg("%s: %d, \"%.*s\"", CASES[i].name, flaw,
                     STR_ARG(policy.detail));
    }
}

static void what_it_says_is_kept(void **state)
{
    struct sts_policy policy;

    (void)state;
    assert_int_equal(
        sts_policy_read(S("version: STSv1\nmode: testing\nmax_age: 604800\n"
                          "mx: a.test\nmx: b.test"),
                        &policy),
        STS_GOOD);
    assert_int_equal(policy.mode, STS_TESTING);
    assert_int_equal(policy.max_age_s, 604800);
    assert_int_equal(policy.mx_count, 2);
}

static void hosts_are_allowed(void **state)
{
    static const struct {
        const char *host;
        bool is_allowed;
    } HOSTS[] = {
        {"mail.example.com", true},    {"MAIL.Example.com.", true},
        {"x.mail.example.com", false}, {"example.net", false},
        {"a.example.net", true},       {"A.EXAMPLE.NET", true},
        {"a.b.example.net", false},    {"aexample.net", false},
        {"example.com", false},        {"", false},
        {".example.net", true}, /* no host has such a name */
    };
    struct sts_policy policy;

    (void)state;
    assert_int_equal(sts_policy_read(S(GOOD "mx: mail.example.com\r\n"
                                            "x: mx: example.com\n"
                                            "mx: *.Example.net"),
                                     &policy),
                     STS_GOOD);
    for (size_t i = 0; i < COUNT_OF(HOSTS); i++)
        if (sts_policy_allows(&policy, str_of(HOSTS[i].host)) !=
            HOSTS[i].is_allowed)
            fail_msg("%s", HOSTS[i].host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_read),
        cmocka_unit_test(what_it_says_is_kept),
        cmocka_unit_test(hosts_are_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
