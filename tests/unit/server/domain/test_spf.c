#include "server/domain/spf.h"

#include "server/io/address.h"

#include "check_cmocka.h"
#include "zone.h"

#include <stdio.h>

#define INCLUDE "spf.relay.test"

/* Records of the names that the cases below use. */
static const char *const ZONE[] = {
    "spf.relay.test TXT v=spf1 ip4:192.0.2.0/24 -all",
    "one.test TXT v=spf1 a:host.test -all",
    "five.test TXT v=spf1 a:host.test a:host.test a:host.test a:host.test "
    "a:host.test -all",
    "host.test A 192.0.2.1",
    "six.test AAAA 2001:db8::1",
    "open.test TXT v=spf1 +all",
    "wide.test TXT v=spf1 ip4:0.0.0.0/0 -all",
    "two.test TXT v=spf1 -all",
    "two.test TXT v=spf1 ~all",
    "bad.test TXT v=spf1 ipv4:192.0.2.1 -all",
    "other.test TXT google-site-verification=x",
    "circle.test TXT v=spf1 include:circle.test -all",
    "back.test TXT v=spf1 include:forth.test -all",
    "forth.test TXT v=spf1 include:back.test -all",
    "ours.test TXT v=spf1 include:spf.relay.test -all",
    "fail.test FAIL",
    "mail.test MX 10 host.test",
    "many.test MX 1 a.test",
    "many.test MX 1 b.test",
    "many.test MX 1 c.test",
    "many.test MX 1 d.test",
    "many.test MX 1 e.test",
    "many.test MX 1 f.test",
    "many.test MX 1 g.test",
    "many.test MX 1 h.test",
    "many.test MX 1 i.test",
    "many.test MX 1 j.test",
    "many.test MX 1 k.test",
    "via.test ALIAS spf.relay.test",
    "behind.test TXT v=spf1 ip4:0.0.0.0/0 redirect=tens.test",
    "tens.test TXT v=spf1 include:five.test include:five.test -all",
    NULL,
};

/* The record stands at example.test. */
static const struct {
    const char *record;
    enum spf_outcome outcome;
    unsigned lookups;
    unsigned voids;
    const char *detail;
    const char *flags; /* e everybody, n neutral, p ptr, m macro, i include */
} CASES[] = {
    {"v=spf1 -all", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1", SPF_GOOD, 0, 0, "", "n"},
    {"V=SPF1 -ALL", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1  ip4:192.0.2.1   ~all ", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1 ?all", SPF_GOOD, 0, 0, "", "n"},
    {"v=spf1 +all", SPF_GOOD, 0, 0, "", "e"},
    {"v=spf1 all", SPF_GOOD, 0, 0, "", "e"},
    {"v=spf1 ip4:0.0.0.0/0 -all", SPF_GOOD, 0, 0, "", "e"},
    {"v=spf1 ip6:::/0 -all", SPF_GOOD, 0, 0, "", "e"},
    {"v=spf1 -ip4:0.0.0.0/0 -all", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1 include:" INCLUDE " ~all", SPF_GOOD, 1, 0, "", "i"},
    {"v=spf1 INCLUDE:Spf.Relay.Test ~all", SPF_GOOD, 1, 0, "", "i"},
    {"v=spf1 include:ours.test ~all", SPF_GOOD, 2, 0, "", "i"},
    {"v=spf1 -include:" INCLUDE " ~all", SPF_GOOD, 1, 0, "", ""},
    {"v=spf1 -all include:" INCLUDE, SPF_GOOD, 0, 0, "", ""},
    {"v=spf1 redirect=" INCLUDE, SPF_GOOD, 1, 0, "", "i"},
    {"v=spf1 redirect=" INCLUDE " ip4:192.0.2.9", SPF_GOOD, 1, 0, "", "i"},
    {"v=spf1 redirect=" INCLUDE " -all", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1 include:via.test -all", SPF_GOOD, 1, 0, "", ""},
    {"v=spf1 include:open.test -all", SPF_GOOD, 1, 0, "", "e"},
    {"v=spf1 ?include:open.test -all", SPF_GOOD, 1, 0, "", ""},
    {"v=spf1 include:wide.test -all", SPF_GOOD, 1, 0, "", "e"},
    {"v=spf1 redirect=open.test", SPF_GOOD, 1, 0, "", "e"},

    {"v=spf1 a mx -all", SPF_GOOD, 2, 2, "", ""},
    {"v=spf1 a:host.test a:six.test -all", SPF_GOOD, 2, 0, "", ""},
    {"v=spf1 a/24 a//64 a/24//64 -all", SPF_TOO_VOID, 3, 3, "", ""},
    {"v=spf1 a:host.test/24//64 -all", SPF_GOOD, 1, 0, "", ""},
    {"v=spf1 mx:mail.test/28 -all", SPF_GOOD, 1, 0, "", ""},
    {"v=spf1 mx:many.test -all", SPF_TOO_MANY_MX, 1, 0, "", ""},
    {"v=spf1 ptr -all", SPF_GOOD, 1, 0, "", "p"},
    {"v=spf1 ptr:example.test -all", SPF_GOOD, 1, 0, "", "p"},
    {"v=spf1 exists:host.test -all", SPF_GOOD, 1, 0, "", ""},
    {"v=spf1 exists:%{i}._spf.%{d2} -all", SPF_GOOD, 1, 0, "", "m"},
    {"v=spf1 include:%{d}.x.test -all", SPF_GOOD, 1, 0, "", "m"},
    {"v=spf1 a:%{l1r-}.x.test/24 -all", SPF_GOOD, 1, 0, "", "m"},
    {"v=spf1 exists:%%%_%-.test -all", SPF_GOOD, 1, 0, "", "m"},
    {"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1 ip6:::ffff:192.0.2.1 -all", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1 -all exp=explain.test", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1 unknown=whatever -all", SPF_GOOD, 0, 0, "", ""},
    {"v=spf1 moo.cow-far_out=man:dog/cat -all", SPF_GOOD, 0, 0, "", ""},

    {"v=spf1 include:five.test include:five.test -all", SPF_TOO_MANY, 12, 0, "",
     ""},
    {"v=spf1 include:five.test include:one.test include:one.test -all",
     SPF_GOOD, 10, 0, "", ""},
    {"v=spf1 include:five.test include:one.test include:one.test ptr -all",
     SPF_TOO_MANY, 11, 0, "", "p"},
    {"v=spf1 include:five.test include:one.test a:host.test a:host.test -all",
     SPF_GOOD, 10, 0, "", ""},
    {"v=spf1 a:no.test a:no2.test -all", SPF_GOOD, 2, 2, "", ""},
    {"v=spf1 a:no.test mx:no2.test exists:no3.test -all", SPF_TOO_VOID, 3, 3,
     "", ""},
    {"v=spf1 include:none.test -all", SPF_BAD_INCLUDE, 1, 1, "", ""},
    {"v=spf1 include:other.test -all", SPF_BAD_INCLUDE, 1, 0, "", ""},
    {"v=spf1 include:two.test -all", SPF_BAD_INCLUDE, 1, 0, "", ""},
    {"v=spf1 redirect=none.test", SPF_BAD_INCLUDE, 1, 1, "", ""},
    {"v=spf1 include:bad.test -all", SPF_MALFORMED, 1, 0, "ipv4:192.0.2.1", ""},
    {"v=spf1 include:example.test -all", SPF_CIRCLE, 1, 0, "", ""},
    {"v=spf1 include:circle.test -all", SPF_CIRCLE, 2, 0, "", ""},
    {"v=spf1 include:back.test -all", SPF_CIRCLE, 3, 0, "", ""},
    {"v=spf1 include:fail.test -all", SPF_FAILED, 1, 0, "it was told to fail",
     ""},
    {"v=spf1 a:fail.test -all", SPF_FAILED, 1, 0, "it was told to fail", ""},

    {"v=spf1 ip4:192.0.2 -all", SPF_MALFORMED, 0, 0, "ip4:192.0.2", ""},
    {"v=spf1 ip4:192.0.2.256 -all", SPF_MALFORMED, 0, 0, "ip4:192.0.2.256", ""},
    {"v=spf1 ip4:192.0.2.1/33 -all", SPF_MALFORMED, 0, 0, "ip4:192.0.2.1/33",
     ""},
    {"v=spf1 ip4:192.0.2.1/08 -all", SPF_MALFORMED, 0, 0, "ip4:192.0.2.1/08",
     ""},
    {"v=spf1 ip4:192.0.2.1/ -all", SPF_MALFORMED, 0, 0, "ip4:192.0.2.1/", ""},
    {"v=spf1 ip4=192.0.2.1 -all", SPF_GOOD, 0, 0, "", ""}, /* a modifier */
    {"v=spf1 ip4 -all", SPF_MALFORMED, 0, 0, "ip4", ""},
    {"v=spf1 ip6:192.0.2.1 -all", SPF_MALFORMED, 0, 0, "ip6:192.0.2.1", ""},
    {"v=spf1 ip6:2001:db8::1/129 -all", SPF_MALFORMED, 0, 0,
     "ip6:2001:db8::1/129", ""},
    {"v=spf1 ip:192.0.2.1 -all", SPF_MALFORMED, 0, 0, "ip:192.0.2.1", ""},
    {"v=spf1 include -all", SPF_MALFORMED, 0, 0, "include", ""},
    {"v=spf1 include: -all", SPF_MALFORMED, 0, 0, "include:", ""},
    {"v=spf1 include:localhost -all", SPF_MALFORMED, 0, 0, "include:localhost",
     ""},
    {"v=spf1 include:a..test -all", SPF_MALFORMED, 0, 0, "include:a..test", ""},
    {"v=spf1 include:a.test/24 -all", SPF_MALFORMED, 0, 0, "include:a.test/24",
     ""},
    {"v=spf1 a: -all", SPF_MALFORMED, 0, 0, "a:", ""},
    {"v=spf1 a:host.test/33 -all", SPF_MALFORMED, 0, 0, "a:host.test/33", ""},
    {"v=spf1 a//129 -all", SPF_MALFORMED, 0, 0, "a//129", ""},
    {"v=spf1 all:x.test", SPF_MALFORMED, 0, 0, "all:x.test", ""},
    {"v=spf1 -", SPF_MALFORMED, 0, 0, "-", ""},
    {"v=spf1 --all", SPF_MALFORMED, 0, 0, "--all", ""},
    {"v=spf1 -redirect=a.test", SPF_MALFORMED, 0, 0, "-redirect=a.test", ""},
    {"v=spf1 redirect= -all", SPF_MALFORMED, 0, 0, "redirect=", ""},
    {"v=spf1 =x -all", SPF_MALFORMED, 0, 0, "=x", ""},
    {"v=spf1 1x=y -all", SPF_MALFORMED, 0, 0, "1x=y", ""},
    {"v=spf1 redirect=a.test redirect=b.test", SPF_MALFORMED, 0, 0,
     "a second redirect=", ""},
    {"v=spf1 exp=a.test exp=b.test -all", SPF_MALFORMED, 0, 0,
     "a second exp=", ""},
    {"v=spf1 exists:%{z}.test -all", SPF_MALFORMED, 0, 0, "exists:%{z}.test",
     ""},
    {"v=spf1 exists:%{i.test -all", SPF_MALFORMED, 0, 0, "exists:%{i.test", ""},
    {"v=spf1 exists:%i.test -all", SPF_MALFORMED, 0, 0, "exists:%i.test", ""},
    {"v=spf1 x=% -all", SPF_MALFORMED, 0, 0, "x=%", ""},
    {"v=spf1 include:spf.relay.test;-all", SPF_MALFORMED, 0, 0,
     "include:spf.relay.test;-all", ""},
    {"v=spf1 a:host.test -all nonsense", SPF_MALFORMED, 0, 0, "nonsense", ""},
    {"v=spf1 a:host.test\t-all", SPF_MALFORMED, 0, 0, "a:host.test\t-all", ""},

    {"v=spf10 -all", SPF_NONE, 0, 0, "", ""},
    {"v=spf2 -all", SPF_NONE, 0, 0, "", ""},
    {"spf1 -all", SPF_NONE, 0, 0, "", ""},
    {"v=spf1;-all", SPF_NONE, 0, 0, "", ""},
    {"", SPF_NONE, 0, 0, "", ""},
};

static struct spf_result walked(const char *const *zone,
                                struct answers **answers)
{
    struct spf_result result;

    *answers = answers_create();
    do
        result = spf_walk(*answers, S("example.test"), S(INCLUDE));
    while (zone_answer_all(zone, *answers) > 0);
    return result;
}

static void flags_of(const struct spf_result *result, char flags[8])
{
    if (result->lets_everybody)
        *flags++ = 'e';
    if (result->is_neutral)
        *flags++ = 'n';
    if (result->has_ptr)
        *flags++ = 'p';
    if (result->has_macro)
        *flags++ = 'm';
    if (result->includes)
        *flags++ = 'i';
    *flags = '\0';
}

static void records_are_walked_as_receivers_do(void **state)
{
    const char *zone[COUNT_OF(ZONE) + 1];

    (void)state;
    memcpy(&zone[1], ZONE, sizeof ZONE);
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        char line[512];
        char flags[8];
        struct answers *answers;
        struct spf_result got;

        snprintf(line, sizeof line, "example.test TXT %s", CASES[i].record);
        zone[0] = line;
        got = walked(zone, &answers);
        flags_of(&got, flags);
        if (got.outcome != CASES[i].outcome ||
            got.lookups != CASES[i].lookups || got.voids != CASES[i].voids ||
            !str_eq(got.detail, str_of(CASES[i].detail)) ||
            (got.outcome == SPF_GOOD && strcmp(flags, CASES[i].flags) != 0))
            fail_msg("%s: outcome %u, %u look-ups, %u void, '%.*s', '%s'",
                     CASES[i].record, got.outcome, got.lookups, got.voids,
                     STR_ARG(got.detail), flags);
        answers_destroy(&answers);
    }
}

static void two_records_are_none(void **state)
{
    static const char *const TWO[] = {
        "example.test TXT v=spf1 -all",
        "example.test TXT something else",
        "example.test TXT v=spf1 ~all",
        NULL,
    };
    struct answers *answers;

    (void)state;
    assert_int_equal(walked(TWO, &answers).outcome, SPF_SEVERAL);
    answers_destroy(&answers);
}

static void nothing_is_said_before_all_is_known(void **state)
{
    struct answers *answers = answers_create();
    struct spf_result result = spf_walk(answers, S("example.test"), S(INCLUDE));

    (void)state;
    assert_int_equal(result.outcome, SPF_UNKNOWN);
    assert_true(answers_are_missing(answers));
    answers_give_up(answers, "late");
    result = spf_walk(answers, S("example.test"), S(INCLUDE));
    assert_int_equal(result.outcome, SPF_FAILED);
    assert_true(str_eq(result.detail, S("late")));
    answers_destroy(&answers);
}

/* The record at example.test, and who passes it. */
static const struct {
    const char *record;
    const char *client;
    enum spf_verdict verdict;
} CLIENTS[] = {
    {"v=spf1 ip4:192.0.2.1 -all", "192.0.2.1", SPF_PASSES},
    {"v=spf1 ip4:192.0.2.1 -all", "192.0.2.2", SPF_FAILS},
    {"v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.255", SPF_PASSES},
    {"v=spf1 ip4:192.0.2.0/24 -all", "192.0.3.0", SPF_FAILS},
    {"v=spf1 ip4:192.0.2.128/25 -all", "192.0.2.127", SPF_FAILS},
    {"v=spf1 ip4:192.0.2.128/25 -all", "192.0.2.128", SPF_PASSES},
    {"v=spf1 ip4:192.0.2.0/31 -all", "192.0.2.1", SPF_PASSES},
    {"v=spf1 ip6:2001:db8::/33 -all", "2001:db8:7fff::1", SPF_PASSES},
    {"v=spf1 ip6:2001:db8::/33 -all", "2001:db8:8000::1", SPF_FAILS},
    {"v=spf1 ip4:192.0.2.0/24 -all", "2001:db8::1", SPF_FAILS},
    {"v=spf1 ip6:::/0 -all", "192.0.2.1", SPF_FAILS},
    {"v=spf1 ~ip4:192.0.2.1 +all", "192.0.2.1", SPF_FAILS},
    {"v=spf1 ?all", "192.0.2.1", SPF_FAILS},
    {"v=spf1", "192.0.2.1", SPF_FAILS},
    {"v=spf1 +all", "2001:db8::1", SPF_PASSES},
    {"v=spf1 a:host.test -all", "192.0.2.1", SPF_PASSES},
    {"v=spf1 a:host.test -all", "192.0.2.2", SPF_FAILS},
    {"v=spf1 a:host.test/24 -all", "192.0.2.2", SPF_PASSES},
    {"v=spf1 a:host.test -all", "2001:db8::1", SPF_FAILS},
    {"v=spf1 a:six.test -all", "2001:db8::1", SPF_PASSES},
    {"v=spf1 a:six.test//64 -all", "2001:db8::ffff", SPF_PASSES},
    {"v=spf1 a:six.test/8//64 -all", "2001:db8:1::1", SPF_FAILS},
    {"v=spf1 mx:mail.test -all", "192.0.2.1", SPF_PASSES},
    {"v=spf1 mx:mail.test/30 -all", "192.0.2.3", SPF_PASSES},
    {"v=spf1 mx:mail.test -all", "192.0.2.3", SPF_FAILS},
    {"v=spf1 include:spf.relay.test -all", "192.0.2.9", SPF_PASSES},
    {"v=spf1 include:spf.relay.test -all", "198.51.100.9", SPF_FAILS},
    {"v=spf1 -include:spf.relay.test +all", "192.0.2.9", SPF_FAILS},
    {"v=spf1 -include:spf.relay.test +all", "198.51.100.9", SPF_PASSES},
    {"v=spf1 include:ours.test ?all", "192.0.2.9", SPF_PASSES},
    {"v=spf1 redirect=spf.relay.test", "192.0.2.9", SPF_PASSES},
    {"v=spf1 redirect=spf.relay.test", "198.51.100.9", SPF_FAILS},
    {"v=spf1 redirect=spf.relay.test -all", "192.0.2.9", SPF_FAILS},
    {"v=spf1 redirect=%{d}.test", "192.0.2.9", SPF_DEPENDS},
    {"v=spf1 exists:%{i}.test -all", "192.0.2.9", SPF_DEPENDS},
    {"v=spf1 ip4:192.0.2.9 exists:%{i}.test -all", "192.0.2.9", SPF_PASSES},
    {"v=spf1 ptr -all", "192.0.2.9", SPF_DEPENDS},
    {"v=spf1 a:fail.test -all", "192.0.2.9", SPF_DEPENDS},
    /* What the walk has no need to look at is no way to endless look-ups. */
    {"v=spf1 ?include:behind.test -all", "192.0.2.9", SPF_FAILS},
    {"v=spf1 ?include:behind.test -all", "2001:db8::9", SPF_DEPENDS},
};

static void clients_are_judged_as_receivers_do(void **state)
{
    const char *zone[COUNT_OF(ZONE) + 1];

    (void)state;
    memcpy(&zone[1], ZONE, sizeof ZONE);
    for (size_t i = 0; i < COUNT_OF(CLIENTS); i++) {
        struct answers *answers = answers_create();
        enum spf_verdict got;
        struct address client;
        char line[512];

        snprintf(line, sizeof line, "example.test TXT %s", CLIENTS[i].record);
        zone[0] = line;
        assert_true(address_parse(str_of(CLIENTS[i].client), 0, &client));
        do
            got = spf_judge(answers, S("example.test"), &client);
        while (zone_answer_all(zone, answers) > 0);
        if (got != CLIENTS[i].verdict)
            fail_msg("%s: %s: %d", CLIENTS[i].record, CLIENTS[i].client, got);
        answers_destroy(&answers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_walked_as_receivers_do),
        cmocka_unit_test(two_records_are_none),
        cmocka_unit_test(clients_are_judged_as_receivers_do),
        cmocka_unit_test(nothing_is_said_before_all_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
