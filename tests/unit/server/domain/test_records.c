#include "server/domain/domain.h"
#include "server/domain/names.h"

#include "check_cmocka.h"

/* As long as RSA-2048 is: 392 characters. */
#define SIXTEEN "MIIBIjANBgkqhkiG"
#define HUNDRED SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN "abcd"
#define RSA                                                                    \
    HUNDRED HUNDRED HUNDRED SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN            \
        "QIDAQAB+/xxx"
#define ED25519 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static const struct domain_key KEYS[] = {
    {STR("ph1r1"), DKIM_RSA, STR(RSA), DOMAIN_KEY_SIGNS},
    {STR("ph1e1"), DKIM_ED25519, STR(ED25519), DOMAIN_KEY_SIGNS},
    {STR("ph2e1"), DKIM_ED25519, STR(ED25519), DOMAIN_KEY_NEXT},
};

static const struct domain_setup FULL = {
    .name = STR("example.com"),
    .return_path = STR("send"),
    .keys = KEYS,
    .key_count = COUNT_OF(KEYS),
    .spf_include = STR("spf.relay.test"),
    .bounce_mx = STR("bounce.relay.test"),
};

/* One line a record: what a page or a command shows of it. */
static struct str shown(const struct domain_setup *setup, struct arena *arena)
{
    struct domain_record records[DOMAIN_RECORDS_MAX];
    size_t count = domain_records(setup, arena, records);
    struct buf out;
    struct str text;

    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < count; i++)
        buf_addf(&out, "%s %s %s %.*s (%.*s) %s %u %.*s\n", records[i].record,
                 domain_check_name(records[i].check),
                 domain_weight_name(records[i].weight),
                 STR_ARG(records[i].name), STR_ARG(records[i].fqdn),
                 records[i].type, records[i].priority,
                 STR_ARG(records[i].value));
    text = arena_copy(arena, buf_str(&out));
    buf_finish(&out);
    return text;
}

static void expect(const struct domain_setup *setup, const char *wanted)
{
    struct arena *arena = arena_create();
    char *got = arena_cstr(arena, shown(setup, arena));

    assert_string_equal(got, wanted);
    arena_destroy(&arena);
}

#define DMARC                                                                  \
    "DMARC dmarc recommended _dmarc (_dmarc.example.com) TXT 0 "               \
    "v=DMARC1; p=none;\n"

static void all_records_of_a_domain(void **state)
{
    (void)state;
    expect(&FULL,
           "DKIM dkim required ph1r1._domainkey (ph1r1._domainkey.example.com) "
           "TXT 0 v=DKIM1; k=rsa; p=" RSA "\n"
           "DKIM dkim required ph1e1._domainkey (ph1e1._domainkey.example.com) "
           "TXT 0 v=DKIM1; k=ed25519; p=" ED25519 "\n"
           "DKIM dkim recommended ph2e1._domainkey "
           "(ph2e1._domainkey.example.com) "
           "TXT 0 v=DKIM1; k=ed25519; p=" ED25519 "\n"
           "SPF return_path_mx required send (send.example.com) MX 10 "
           "bounce.relay.test\n"
           "SPF return_path_spf required send (send.example.com) TXT 0 "
           "v=spf1 include:spf.relay.test ~all\n" DMARC);
}

static void a_compromised_key_is_to_go(void **state)
{
    static const struct domain_key keys[] = {
        {STR("ph1e1"), DKIM_ED25519, STR(""), DOMAIN_KEY_COMPROMISED},
        {STR("ph2e1"), DKIM_ED25519, STR(""), DOMAIN_KEY_PAST},
    };
    struct domain_setup setup = {.name = STR("example.com"),
                                 .keys = keys,
                                 .key_count = COUNT_OF(keys),
                                 .bounce_domain = STR("b.test")};

    (void)state;
    expect(&setup, "DKIM dkim recommended ph1e1._domainkey "
                   "(ph1e1._domainkey.example.com) TXT 0 "
                   "v=DKIM1; k=ed25519; p=\n"
                   "DKIM dkim advice ph2e1._domainkey "
                   "(ph2e1._domainkey.example.com) TXT 0 "
                   "v=DKIM1; k=ed25519; p=\n" DMARC);
}

static void only_what_makes_sense(void **state)
{
    struct domain_setup setup = FULL;

    (void)state;
    setup.key_count = 0;
    setup.bounce_mx = S("");
    expect(&setup, "SPF spf required @ (example.com) TXT 0 "
                   "v=spf1 include:spf.relay.test ~all\n" DMARC);
    setup.spf_include = S("");
    expect(&setup, DMARC);
    setup.bounce_mx = S("bounce.relay.test");
    expect(&setup, "SPF return_path_mx required send (send.example.com) MX 10 "
                   "bounce.relay.test\n" DMARC);
    setup.return_path = S("");
    expect(&setup, DMARC);
}

static void long_ones_are_split(void **state)
{
    struct arena *arena = arena_create();
    struct domain_record records[DOMAIN_RECORDS_MAX];
    struct str joined = {0};
    struct str rest;
    struct str piece;
    size_t strings = 0;

    (void)state;
    domain_records(&FULL, arena, records);
    rest = records[0].split;
    assert_true(str_starts(rest, S("\"")) && str_ends(rest, S("\"")));
    rest = str_slice(rest, 1, rest.len - 2);
    while (rest.len > 0) {
        ptrdiff_t end = str_find(rest, S("\" \""), 0);

        piece = end < 0 ? rest : str_slice(rest, 0, (size_t)end);
        rest = end < 0 ? S("") : str_from(rest, (size_t)end + 3);
        assert_true(piece.len <= 255);
        joined =
            arena_printf(arena, "%.*s%.*s", STR_ARG(joined), STR_ARG(piece));
        strings++;
    }
    assert_int_equal(strings, 2);
    assert_true(str_eq(joined, records[0].value));
    assert_true(str_eq(records[3].split, S("10 bounce.relay.test.")));
    assert_true(
        str_eq(records[4].split, S("\"v=spf1 include:spf.relay.test ~all\"")));
    arena_destroy(&arena);
}

static void names_of_the_dns(void **state)
{
    char long_label[64];

    (void)state;
    memset(long_label, 'a', sizeof long_label);
    assert_true(name_is_valid(S("example.com")));
    assert_true(name_is_valid(S("_dmarc.example.com.")));
    assert_true(name_is_valid(str_make(long_label, 63)));
    assert_false(name_is_valid(str_make(long_label, 64)));
    assert_false(name_is_valid(S("")));
    assert_false(name_is_valid(S(".")));
    assert_false(name_is_valid(S("a..b")));
    assert_false(name_is_valid(S(".a")));
    assert_false(name_is_valid(S("a..")));
    assert_false(name_is_valid(S("a b.test")));
    assert_true(name_eq(S("Example.com."), S("example.COM")));
    assert_true(name_is_within(S("a.example.com"), S("example.com.")));
    assert_true(name_is_within(S("EXAMPLE.com"), S("example.com")));
    assert_false(name_is_within(S("badexample.com"), S("example.com")));
    assert_false(name_is_within(S("com"), S("example.com")));
    assert_int_equal(name_labels(S("a.b.c.")), 3);
    assert_int_equal(name_labels(S("")), 0);
    assert_true(str_eq(name_parent(S("a.b.c")), S("b.c")));
    assert_true(str_eq(name_parent(S("c")), S("")));
}

static void words_are_read_again(void **state)
{
    enum domain_status status;

    (void)state;
    for (size_t i = 0; i < DOMAIN_STATUS_COUNT; i++) {
        assert_true(domain_status_of(
            str_of(domain_status_name((enum domain_status)i)), &status));
        assert_int_equal(status, i);
    }
    assert_false(domain_status_of(S("fine"), &status));
    assert_string_equal(domain_state_name(DOMAIN_TEMPORARY),
                        "temporary_failure");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_records_of_a_domain),
        cmocka_unit_test(a_compromised_key_is_to_go),
        cmocka_unit_test(only_what_makes_sense),
        cmocka_unit_test(long_ones_are_split),
        cmocka_unit_test(names_of_the_dns),
        cmocka_unit_test(words_are_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
