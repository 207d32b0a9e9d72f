/* An upstream's addresses, and how many mails it has room for. */
#include "smtp/upstream.h"

#include "server/base/clock.h"

#include "check_cmocka.h"

enum { START_MS = 1000000, HOUR_MS = 3600 * 1000 };

static struct address address_of(const char *text)
{
    struct address address;

    assert_true(address_parse(str_of(text), 25, &address));
    return address;
}

static struct dns_answer found(const char *one, const char *two, uint32_t ttl_s)
{
    struct dns_answer answer = {
        .status = DNS_FOUND,
        .reason = "",
        .count = two == NULL ? 1 : 2,
        .ttl_s = ttl_s,
    };

    answer.addresses[0] = address_of(one);
    if (two != NULL)
        answer.addresses[1] = address_of(two);
    return answer;
}

static bool take(struct smtp_upstream *upstream,
                 const struct dns_answer *answer, enum smtp_trouble *trouble)
{
    const char *words;

    return upstream_take_answer(upstream, answer, trouble, &words);
}

static void addresses_live_as_long_as_dns_says(void **state)
{
    struct smtp_upstream upstream = {0};
    struct dns_answer answer = found("192.0.2.1", NULL, 30);
    enum smtp_trouble trouble;

    (void)state;
    clock_set(START_MS, START_MS);
    assert_false(upstream_addresses_fresh(&upstream));
    assert_true(take(&upstream, &answer, &trouble));
    clock_set(START_MS + 29999, START_MS);
    assert_true(upstream_addresses_fresh(&upstream));
    clock_set(START_MS + 30000, START_MS);
    assert_false(upstream_addresses_fresh(&upstream));
}

static void failed_look_ups_fall_back(void **state)
{
    struct smtp_upstream upstream = {0};
    struct dns_answer good = found("192.0.2.1", NULL, 0);
    struct dns_answer failed = {.status = DNS_FAILED, .reason = "servfail"};
    struct dns_answer none = {.status = DNS_NOT_FOUND, .reason = "nxdomain"};
    struct dns_answer lacking = {
        .status = DNS_FAILED, .is_lacking = true, .reason = "no socket"};
    enum smtp_trouble trouble;

    (void)state;
    clock_set(START_MS, START_MS);
    assert_false(take(&upstream, &failed, &trouble));
    assert_int_equal(trouble, TROUBLE_NO_DNS);
    assert_false(take(&upstream, &lacking, &trouble));
    assert_int_equal(trouble, TROUBLE_LACKING);
    assert_true(take(&upstream, &good, &trouble));
    clock_set(START_MS + HOUR_MS - 1, START_MS);
    assert_true(take(&upstream, &failed, &trouble));
    assert_false(take(&upstream, &none, &trouble));
    assert_int_equal(trouble, TROUBLE_NO_NAME);
    clock_set(START_MS + HOUR_MS, START_MS);
    assert_false(take(&upstream, &failed, &trouble));
}

static void the_address_that_worked_goes_first(void **state)
{
    struct smtp_upstream upstream = {0};
    struct dns_answer answer = found("192.0.2.1", "2001:db8::1", 30);
    struct address two = address_of("2001:db8::1");
    struct address tries[4];
    enum smtp_trouble trouble;

    (void)state;
    assert_true(take(&upstream, &answer, &trouble));
    assert_int_equal(upstream_tries(&upstream, tries, 4), 2);
    assert_true(address_eq(&tries[1], &answer.addresses[0])); /* last first */
    upstream_note_address(&upstream, &two, NULL, 0);
    assert_int_equal(upstream_tries(&upstream, tries, 4), 2);
    assert_true(address_eq(&tries[1], &two));
    assert_int_equal(upstream_tries(&upstream, tries, 1), 1);
    assert_true(address_eq(&tries[0], &two));
    answer = found("2001:db8::1", "192.0.2.1", 30); /* in another order */
    assert_true(take(&upstream, &answer, &trouble));
    assert_int_equal(upstream_tries(&upstream, tries, 4), 2);
    assert_true(address_eq(&tries[1], &two));
    answer = found("192.0.2.9", NULL, 30);
    assert_true(take(&upstream, &answer, &trouble));
    assert_int_equal(upstream_tries(&upstream, tries, 4), 1);
}

static void a_source_reaches_its_own_family(void **state)
{
    struct smtp_upstream upstream = {.source = address_of("2001:db8::9")};
    struct dns_answer both = found("192.0.2.1", "2001:db8::1", 30);
    struct dns_answer other = found("192.0.2.1", NULL, 30);
    struct address tries[4];
    enum smtp_trouble trouble;
    const char *words;

    (void)state;
    assert_true(take(&upstream, &both, &trouble));
    assert_int_equal(upstream_tries(&upstream, tries, 4), 1);
    assert_true(address_eq(&tries[0], &both.addresses[1]));
    assert_false(upstream_take_answer(&upstream, &other, &trouble, &words));
    assert_int_equal(trouble, TROUBLE_NO_NAME);
    assert_non_null(strstr(words, "source_address"));
}

static void who_lost_goes_last(void **state)
{
    struct smtp_upstream upstream = {0};
    struct dns_answer answer = found("2001:db8::1", "192.0.2.1", 30);
    struct address tries[4];
    enum smtp_trouble trouble;

    (void)state;
    clock_set(START_MS, START_MS);
    assert_true(take(&upstream, &answer, &trouble));
    upstream_note_address(&upstream, &answer.addresses[1], &answer.addresses[0],
                          1);
    answer = found("2001:db8::2", "192.0.2.2", 30); /* all new */
    assert_true(take(&upstream, &answer, &trouble));
    assert_int_equal(upstream_tries(&upstream, tries, 4), 2);
    assert_true(address_eq(&tries[1], &answer.addresses[1]));
}

/* A session tries four: of a host with more, those to come try the others. */
static void no_address_is_left_out(void **state)
{
    enum { SIX = 5, FOUR = 4, ALL = SIX + FOUR, AT_ONCE = 4 };
    struct smtp_upstream upstream = {0};
    struct dns_answer answer = {.status = DNS_FOUND, .count = ALL};
    struct address tries[AT_ONCE];
    bool was_tried[ALL] = {false};
    enum smtp_trouble trouble;

    (void)state;
    for (size_t i = 0; i < ALL; i++) {
        char text[32];

        snprintf(text, sizeof text, i < SIX ? "2001:db8::%zu" : "192.0.2.%zu",
                 i + 1);
        answer.addresses[i] = address_of(text);
    }
    assert_true(take(&upstream, &answer, &trouble));
    for (size_t n = 0; n < ALL; n++) {
        size_t count = upstream_tries(&upstream, tries, AT_ONCE);

        assert_int_equal(count, AT_ONCE);
        for (size_t i = 0; i < ALL; i++)
            for (size_t k = 0; k < count; k++)
                was_tried[i] |= address_eq(&tries[k], &answer.addresses[i]);
        upstream_note_unreached(&upstream, count);
    }
    for (size_t i = 0; i < ALL; i++)
        assert_true(was_tried[i]);
}

static void few_addresses_keep_their_order(void **state)
{
    struct smtp_upstream upstream = {0};
    struct dns_answer answer = found("192.0.2.1", "192.0.2.2", 30);
    struct address tries[4];
    enum smtp_trouble trouble;

    (void)state;
    assert_true(take(&upstream, &answer, &trouble));
    upstream_note_unreached(&upstream, 2);
    assert_int_equal(upstream_tries(&upstream, tries, 4), 2);
    assert_true(address_eq(&tries[1], &answer.addresses[0]));
}

static const struct fact {
    const char *name;
    size_t limit;
    size_t late; /* in hand of lanes 2 and 3 */
    size_t urgent;
    double average_ms;
    size_t urgent_room;
    size_t late_room;
    size_t late_room_once;
    bool takes_pairs;
} FACTS[] = {
    {"nothing at all", 0, 0, 0, 0, 0, 0, 0, false},
    {"a single session is everybody's", 1, 0, 0, 0, 1, 1, 1, false},
    {"two: one is kept", 2, 0, 0, 0, 2, 1, 1, false},
    {"two: the late ones have theirs", 2, 1, 0, 0, 1, 0, 0, false},
    {"eight: two are kept", 8, 0, 0, 0, 8, 6, 6, false},
    {"the urgent ones may take all", 8, 0, 8, 0, 0, 0, 0, false},
    {"the late ones what is left", 8, 0, 5, 0, 3, 3, 3, false},
    {"sixteen: four are kept", 16, 12, 0, 0, 4, 0, 0, false},
    {"slow: nothing ahead", 8, 8, 0, 51, 2, 0, 30, false},
    {"50 ms: one ahead of each", 8, 8, 0, 50, 8, 6, 30, false},
    {"fast: four ahead of each", 8, 8, 0, 0.5, 32, 30, 30, false},
    {"far, with pairs: two ahead of the late", 8, 0, 0, 100, 8, 22, 38, true},
    {"which cost the urgent ones nothing", 8, 22, 0, 100, 2, 0, 16, true},
    {"fast, with pairs", 8, 8, 0, 0.5, 32, 30, 30, true},
    {"slow beyond pairs", 8, 0, 0, 251, 8, 6, 38, true},
};

static void room(void **state)
{
    (void)state;
    clock_set(START_MS, START_MS);
    for (size_t i = 0; i < COUNT_OF(FACTS); i++) {
        struct smtp_upstream upstream = {
            .share = FACTS[i].limit,
            .limit = FACTS[i].limit,
            .average_ms = FACTS[i].average_ms,
            .carried = {FACTS[i].urgent, 0, FACTS[i].late, 0},
            .takes_pairs = FACTS[i].takes_pairs,
        };

        print_message("  %s\n", FACTS[i].name);
        assert_int_equal(upstream_room(&upstream, 1), FACTS[i].urgent_room);
        assert_int_equal(upstream_room(&upstream, 2), FACTS[i].late_room);
        assert_int_equal(upstream_room_once(&upstream, 2),
                         FACTS[i].late_room_once);
    }
}

/* After a rest one mail tries the way, of whatever lane it is. */
static void anybody_may_probe(void **state)
{
    struct smtp_upstream upstream = {.share = 8, .limit = 8};

    (void)state;
    clock_set(START_MS, START_MS);
    health_failed(&upstream.health, START_MS);
    assert_int_equal(upstream_room(&upstream, 0), 0);
    assert_int_equal(upstream_room(&upstream, 3), 0);
    clock_set(START_MS + 1000, START_MS);
    assert_int_equal(upstream_room(&upstream, 0), 1);
    assert_int_equal(upstream_room(&upstream, 3), 1);
    upstream.counts[SESSION_OPENING] = 1;
    upstream.carried[3] = 1;
    assert_int_equal(upstream_room(&upstream, 0), 0);
}

static void the_limit_recovers(void **state)
{
    struct smtp_upstream upstream = {.share = 8, .limit = 8};

    (void)state;
    upstream.counts[SESSION_BUSY] = 6;
    upstream_slow_down(&upstream);
    assert_int_equal(upstream.limit, 3);
    upstream_slow_down(&upstream);
    upstream_slow_down(&upstream);
    upstream_slow_down(&upstream);
    assert_int_equal(upstream.limit, 1);
    for (unsigned i = 0; i < 31; i++)
        upstream_note_taken(&upstream, 1);
    assert_int_equal(upstream.limit, 1);
    upstream_note_taken(&upstream, 1);
    assert_int_equal(upstream.limit, 2);
    for (unsigned i = 0; i < 1000; i++)
        upstream_note_taken(&upstream, 1);
    assert_int_equal(upstream.limit, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_live_as_long_as_dns_says),
        cmocka_unit_test(failed_look_ups_fall_back),
        cmocka_unit_test(the_address_that_worked_goes_first),
        cmocka_unit_test(a_source_reaches_its_own_family),
        cmocka_unit_test(who_lost_goes_last),
        cmocka_unit_test(no_address_is_left_out),
        cmocka_unit_test(few_addresses_keep_their_order),
        cmocka_unit_test(room),
        cmocka_unit_test(anybody_may_probe),
        cmocka_unit_test(the_limit_recovers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
