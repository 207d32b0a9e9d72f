#include "server/domain/checks.h"

#include "check_cmocka.h"
#include "sound.h"

/* Two hosts of ours, and two lists. */
#define ADDRESS_1 "192.0.2.1"
#define ADDRESS_6 "2001:db8::1"
#define PTR_1     "1.2.0.192.in-addr.arpa"
#define NIBBLES                                                                \
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
#define PTR_6 NIBBLES "ip6.arpa"

static const struct {
    const char *name;
    const char *lines[SOUND_CHANGES_MAX];
    enum domain_check check;
    enum domain_state state;
    bool warns;
    const char *reason;
    const char *found; /* NULL: whatever it is */
} HOSTS[] = {
    {"names that lead back",
     {NULL},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_VERIFIED,
     false,
     NULL,
     ADDRESS_1 " out.relay.test | " ADDRESS_6 " out.relay.test"},
    {"no name",
     {PTR_1 " PTR"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_FAILED,
     true,
     ADDRESS_1 " has no name (PTR record)",
     NULL},
    {"a name that leads elsewhere",
     {"out.relay.test AAAA 2001:db8::2"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_FAILED,
     true,
     "The name of " ADDRESS_6 ", out.relay.test, does not lead back to it (no "
     "such AAAA record)",
     NULL},
    {"the second name leads back",
     {PTR_1 " PTR old.relay.test", PTR_1 " PTR out.relay.test"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_VERIFIED,
     false,
     NULL,
     NULL},
    {"an address written otherwise",
     {"out.relay.test AAAA 2001:DB8:0::0001"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_VERIFIED,
     false,
     NULL,
     NULL},
    {"no answer",
     {PTR_1 " PTR", PTR_1 " FAIL"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_TEMPORARY,
     true,
     "No answer for " PTR_1,
     NULL},
    {"no answer for the name is no flaw of it",
     {"out.relay.test A", "out.relay.test FAIL"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_TEMPORARY,
     true,
     "No answer for out.relay.test",
     NULL},
    {"a flaw weighs more",
     {PTR_1 " PTR", PTR_1 " FAIL", PTR_6 " PTR"},
     DOMAIN_CHECK_SENDING_HOSTS,
     DOMAIN_FAILED,
     true,
     ADDRESS_6 " has no name",
     NULL},
    {"on no list",
     {NULL},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_VERIFIED,
     false,
     NULL,
     ""},
    {"listed",
     {"1.2.0.192.bl.test A 127.0.0.2", "1.2.0.192.bl.test TXT sent spam"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_FAILED,
     true,
     ADDRESS_1 " is listed by bl.test (127.0.0.2): sent spam.",
     "1.2.0.192.bl.test 127.0.0.2"},
    {"listed without a reason, among others",
     {NIBBLES "bl6.test A 127.255.255.254", NIBBLES "bl6.test A 127.0.1.9"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_FAILED,
     true,
     ADDRESS_6 " is listed by bl6.test (127.0.1.9): no reason is given.",
     NULL},
    {"the list refuses",
     {"1.2.0.192.bl.test A 127.255.255.254"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_VERIFIED,
     true,
     "bl.test cannot be asked about " ADDRESS_1 ": it answers 127.255.255.254",
     NULL},
    {"the list is no list",
     {"1.2.0.192.bl.test A 203.0.113.1"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_VERIFIED,
     true,
     "it answers 203.0.113.1, which lists nothing",
     NULL},
    {"nor that, which no list may have",
     {"1.2.0.192.bl.test A 127.0.0.1"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_VERIFIED,
     true,
     "which lists nothing",
     NULL},
    {"the list does not answer",
     {"1.2.0.192.bl.test FAIL"},
     DOMAIN_CHECK_DNSBL,
     DOMAIN_TEMPORARY,
     true,
     "No answer for 1.2.0.192.bl.test",
     NULL},
    {"SPF lets all pass",
     {NULL},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     DOMAIN_VERIFIED,
     false,
     NULL,
     NULL},
    {"SPF refuses one",
     {"spf.relay.test TXT v=spf1 ip4:192.0.2.0/24 -all"},
     DOMAIN_CHECK_RETURN_PATH_SPF,
     DOMAIN_VERIFIED,
     true,
     "as it is wanted, but " ADDRESS_6 ", from where",
     NULL},
    {"SPF of the domain itself is not asked for",
     {MAIL " TXT v=spf1 -all"},
     DOMAIN_CHECK_SPF,
     DOMAIN_VERIFIED,
     false,
     NULL,
     NULL},
};

static void hosts_are_looked_at(void **state)
{
    static const struct str ADDRESSES[] = {STR(ADDRESS_1), STR(ADDRESS_6)};
    static const struct str ZONES[] = {STR("bl.test"), STR("bl6.test")};
    struct domain_setup setup = SOUND_SETUP;
    const char *zone[SOUND_LINES_MAX];

    (void)state;
    setup.addresses = ADDRESSES;
    setup.address_count = COUNT_OF(ADDRESSES);
    setup.zones = ZONES;
    setup.zone_count = COUNT_OF(ZONES);
    for (size_t i = 0; i < COUNT_OF(HOSTS); i++) {
        struct arena *arena = arena_create();
        struct domain_report *report = ARENA_NEW(arena, struct domain_report);
        const struct domain_finding *got;

        sound_zone(HOSTS[i].lines, zone);
        sound_run(&setup, zone, arena, report);
        got = sound_find(report, HOSTS[i].check, NULL);
        assert_non_null(got);
        if (got->state != HOSTS[i].state ||
            got->warns != (HOSTS[i].warns && got->state == DOMAIN_VERIFIED) ||
            (HOSTS[i].reason == NULL
                 ? got->reason.len > 0
                 : !str_contains(got->reason, str_of(HOSTS[i].reason))) ||
            (HOSTS[i].found != NULL &&
             !str_eq(got->found, str_of(HOSTS[i].found))))
            fail_msg("%s: %s: %.*s: %.*s", HOSTS[i].name,
                     domain_state_name(got->state), STR_ARG(got->found),
                     STR_ARG(got->reason));
        arena_destroy(&arena);
    }
}

/* The domain's addresses are the return paths, and its record lists hosts. */
static void our_hosts_pass_the_record_of_the_domain(void **state)
{
    static const struct str ADDRESSES[] = {STR(ADDRESS_1)};
    static const struct {
        const char *line;
        enum domain_state state;
        const char *reason;
    } CASES_OF_SPF[] = {
        {MAIL " TXT v=spf1 ip4:192.0.2.1 -all", DOMAIN_VERIFIED, ""},
        {MAIL " TXT v=spf1 mx -all", DOMAIN_FAILED, ADDRESS_1 ", which does"},
        {MAIL " TXT", DOMAIN_NOT_STARTED, "passes by DKIM alone"},
    };
    struct domain_setup setup = SOUND_SETUP;
    const char *zone[SOUND_LINES_MAX];

    (void)state;
    setup.bounce_mx = setup.spf_include = S("");
    setup.addresses = ADDRESSES;
    setup.address_count = COUNT_OF(ADDRESSES);
    for (size_t i = 0; i < COUNT_OF(CASES_OF_SPF); i++) {
        const char *const lines[SOUND_CHANGES_MAX] = {CASES_OF_SPF[i].line};
        struct arena *arena = arena_create();
        struct domain_report *report = ARENA_NEW(arena, struct domain_report);
        const struct domain_finding *spf;

        sound_zone(lines, zone);
        sound_run(&setup, zone, arena, report);
        spf = sound_find(report, DOMAIN_CHECK_SPF, MAIL);
        assert_int_equal(spf->state, CASES_OF_SPF[i].state);
        assert_int_equal(spf->weight, DOMAIN_ADVICE);
        assert_true(str_contains(spf->reason, str_of(CASES_OF_SPF[i].reason)));
        assert_null(sound_find(report, DOMAIN_CHECK_DNSBL, NULL));
        arena_destroy(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_looked_at),
        cmocka_unit_test(our_hosts_pass_the_record_of_the_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
