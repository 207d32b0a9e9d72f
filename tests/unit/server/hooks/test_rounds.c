#include "server/hooks/rounds.h"

#include "check_cmocka.h"

#define NOW    INT64_C(1795000000000)
#define MINUTE INT64_C(60000)
#define HOUR   INT64_C(3600000)
#define DAY_MS (24 * HOUR)

/* One generation that retired 8 days ago, one that signs, one that is to. */
static struct sender_domain stored(void)
{
    struct sender_domain domain = {
        .name = S("example.test"),
        .return_path = S("send"),
        .key_count = 3,
    };
    static const struct {
        const char *rsa;
        const char *ed25519;
        int64_t signs_ms;
        int64_t retires_ms;
    } KEYS[] = {
        {"ph1r1", "ph1e1", NOW - 90 * DAY_MS, NOW - 8 * DAY_MS},
        {"ph2r1", "ph2e1", NOW - 8 * DAY_MS, 0},
        {"ph3r1", "ph3e1", 0, 0},
    };

    for (size_t i = 0; i < COUNT_OF(KEYS); i++)
        domain.keys[i] = (struct sender_key){
            .generation = (unsigned)i + 1,
            .rsa_selector = str_of(KEYS[i].rsa),
            .ed25519_selector = str_of(KEYS[i].ed25519),
            .rsa_public = S("RSA"),
            .ed25519_public = S("ED"),
            .created_ms = NOW - 90 * DAY_MS,
            .signs_ms = KEYS[i].signs_ms,
            .retires_ms = KEYS[i].retires_ms,
        };
    return domain;
}

static void each_generation_is_published_in_its_way(void **state)
{
    static const struct {
        const char *selector;
        enum dkim_algorithm algorithm;
        const char *public_key;
        enum domain_key_use use;
    } WANTED[] = {
        {"ph1r1", DKIM_RSA, "", DOMAIN_KEY_PAST},
        {"ph1e1", DKIM_ED25519, "", DOMAIN_KEY_PAST},
        {"ph2r1", DKIM_RSA, "RSA", DOMAIN_KEY_SIGNS},
        {"ph2e1", DKIM_ED25519, "ED", DOMAIN_KEY_SIGNS},
        {"ph3r1", DKIM_RSA, "RSA", DOMAIN_KEY_NEXT},
        {"ph3e1", DKIM_ED25519, "ED", DOMAIN_KEY_NEXT},
    };
    struct arena *arena = arena_create();
    struct sender_domain domain = stored();
    const char *addresses[] = {"192.0.2.1", "2001:db8::1"};
    const char *zones[] = {"bl.test"};
    const struct config config = {.sending = {.bounce_domain = "b.test",
                                              .spf_include = "s.test",
                                              .bounce_mx = "m.test",
                                              .addresses = {addresses, 2},
                                              .dnsbl = {zones, 1}}};
    struct domain_setup setup = rounds_setup(&domain, &config, NOW, arena);

    (void)state;
    assert_int_equal(setup.key_count, COUNT_OF(WANTED));
    for (size_t i = 0; i < COUNT_OF(WANTED); i++) {
        const struct domain_key *key = &setup.keys[i];

        assert_true(str_eq(key->selector, str_of(WANTED[i].selector)));
        assert_true(str_eq(key->public_key, str_of(WANTED[i].public_key)));
        assert_int_equal(key->algorithm, WANTED[i].algorithm);
        assert_int_equal(key->use, WANTED[i].use);
    }
    assert_true(str_eq(setup.name, S("example.test")));
    assert_true(str_eq(setup.return_path, S("send")));
    assert_true(str_eq(setup.spf_include, S("s.test")));
    assert_true(str_eq(setup.bounce_mx, S("m.test")));
    assert_true(str_eq(setup.bounce_domain, S("b.test")));
    assert_int_equal(setup.address_count, 2);
    assert_true(str_eq(setup.addresses[1], S("2001:db8::1")));
    assert_int_equal(setup.zone_count, 1);
    assert_true(str_eq(setup.zones[0], S("bl.test")));
    arena_destroy(&arena);
}

static struct domain_finding dkim(const char *name, enum domain_state state)
{
    return (struct domain_finding){.check = DOMAIN_CHECK_DKIM,
                                   .name = str_of(name),
                                   .type = S("TXT"),
                                   .state = state};
}

static void a_generation_takes_over_when_both_keys_were_seen(void **state)
{
    struct arena *arena = arena_create();
    struct sender_domain domain = stored();
    struct domain_report report = {
        .status = DOMAIN_STATUS_VERIFIED,
        .checked_ms = NOW,
        .next_ms = NOW + DAY_MS,
        .since_ms = NOW - HOUR,
        .checks = 3,
        .count = 2,
        .findings = {dkim("ph3r1._domainkey.example.test", DOMAIN_VERIFIED),
                     dkim("ph3e1._domainkey.example.test", DOMAIN_PENDING)},
    };

    (void)state;
    rounds_apply(&domain, &report, arena);
    assert_int_equal(domain.keys[2].signs_ms, 0);
    assert_int_equal(domain.keys[1].retires_ms, 0);
    report.findings[1].state = DOMAIN_VERIFIED;
    rounds_apply(&domain, &report, arena);
    assert_int_equal(domain.keys[2].signs_ms, NOW + 2 * HOUR);
    assert_int_equal(domain.keys[1].retires_ms, NOW + 2 * HOUR);

    assert_true(str_eq(domain.status, S("verified")));
    assert_int_equal(domain.checked_ms, NOW);
    /* It is looked at right before it signs, and right after. */
    assert_int_equal(domain.due_ms, NOW + 2 * HOUR - 5 * MINUTE);
    assert_int_equal(domain.since_ms, NOW - HOUR);
    assert_int_equal(domain.checks, 3);
    assert_true(str_starts(domain.report, S("{\"status\":\"verified\"")));
    arena_destroy(&arena);
}

static void it_takes_over_at_once_from_one_that_is_compromised(void **state)
{
    struct arena *arena = arena_create();
    struct sender_domain domain = stored();
    const struct config config = {.redis = {.url = ""}};
    struct domain_report report = {
        .checked_ms = NOW,
        .next_ms = NOW + DAY_MS,
        .count = 2,
        .findings = {dkim("ph3r1._domainkey.example.test", DOMAIN_VERIFIED),
                     dkim("ph3e1._domainkey.example.test", DOMAIN_PENDING)},
    };
    struct domain_setup setup;

    (void)state;
    domain.keys[0].compromised_ms = NOW - HOUR;
    domain.keys[1].compromised_ms = NOW - HOUR;
    rounds_apply(&domain, &report, arena);
    assert_int_equal(domain.keys[2].signs_ms, 0);
    setup = rounds_setup(&domain, &config, NOW, arena);
    assert_int_equal(setup.keys[0].use, DOMAIN_KEY_COMPROMISED);
    assert_int_equal(setup.keys[2].use, DOMAIN_KEY_SIGNS); /* still */
    assert_true(str_eq(setup.keys[2].public_key, S("RSA")));

    report.findings[1].state = DOMAIN_VERIFIED;
    rounds_apply(&domain, &report, arena);
    assert_int_equal(domain.keys[2].signs_ms, NOW);
    assert_int_equal(domain.keys[1].retires_ms, NOW);
    assert_int_equal(domain.due_ms, NOW + MINUTE);
    setup = rounds_setup(&domain, &config, NOW, arena);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(setup.keys[i].use, DOMAIN_KEY_COMPROMISED);
        assert_int_equal(setup.keys[i].public_key.len, 0);
    }
    assert_int_equal(setup.keys[4].use, DOMAIN_KEY_SIGNS);
    arena_destroy(&arena);
}

/* Mail signed by a key that is not there is refused. */
static void it_does_not_if_they_are_gone_again(void **state)
{
    struct arena *arena = arena_create();
    struct sender_domain domain = stored();
    struct domain_report report = {
        .checked_ms = NOW,
        .next_ms = NOW + DAY_MS,
        .count = 2,
        .findings = {dkim("ph3r1._domainkey.example.test", DOMAIN_VERIFIED),
                     dkim("ph3e1._domainkey.example.test", DOMAIN_VERIFIED)},
    };

    (void)state;
    rounds_apply(&domain, &report, arena);
    report.checked_ms = NOW + 2 * HOUR - 5 * MINUTE;
    rounds_apply(&domain, &report, arena); /* they stay: so does the time */
    assert_int_equal(domain.keys[2].signs_ms, NOW + 2 * HOUR);
    assert_int_equal(domain.due_ms, NOW + 2 * HOUR + MINUTE);
    report.findings[0].state = DOMAIN_TEMPORARY;
    rounds_apply(&domain, &report, arena);
    assert_int_equal(domain.keys[2].signs_ms, 0);
    assert_int_equal(domain.keys[1].retires_ms, 0);
    assert_int_equal(domain.keys[0].retires_ms, NOW - 8 * DAY_MS);
    assert_int_equal(domain.due_ms, NOW + DAY_MS);

    report.checked_ms = NOW + 3 * HOUR; /* it signs: too late */
    report.findings[0].state = DOMAIN_VERIFIED;
    rounds_apply(&domain, &report, arena);
    report.checked_ms = NOW + 5 * HOUR;
    report.findings[0].state = DOMAIN_FAILED;
    rounds_apply(&domain, &report, arena);
    assert_int_equal(domain.keys[2].signs_ms, NOW + 5 * HOUR);
    assert_int_equal(domain.keys[1].retires_ms, NOW + 5 * HOUR);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_generation_is_published_in_its_way),
        cmocka_unit_test(a_generation_takes_over_when_both_keys_were_seen),
        cmocka_unit_test(it_takes_over_at_once_from_one_that_is_compromised),
        cmocka_unit_test(it_does_not_if_they_are_gone_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
