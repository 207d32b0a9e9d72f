/* In which order the addresses of a host are tried. */
#include "smtp/race.h"

#include "check_cmocka.h"

enum { NOW_MS = 5000, LAME_MS = 10 * 60 * 1000, MAX = 8 };

/* Each letter is an address: a to m are IPv4, n to z IPv6. */
static struct address address_of(char letter)
{
    struct address address;
    char text[16];

    snprintf(text, sizeof text, letter < 'n' ? "192.0.2.%d" : "2001:db8::%d",
             letter - 'a');
    assert_true(address_parse(str_of(text), 25, &address));
    return address;
}

static size_t addresses_of(const char *letters, struct address *addresses)
{
    size_t count = 0;

    for (; letters[count] != '\0'; count++)
        addresses[count] = address_of(letters[count]);
    return count;
}

static void assert_order(const struct race *race, const char *letters,
                         size_t first, int64_t now_ms, size_t max,
                         const char *wanted)
{
    struct address addresses[MAX];
    struct address tries[MAX];
    size_t count = addresses_of(letters, addresses);

    print_message("  %s from %zu\n", letters, first);
    assert_int_equal(
        race_order(race, addresses, count, first, now_ms, tries, max),
        strlen(wanted));
    for (size_t i = 0; wanted[i] != '\0'; i++) {
        const struct address want = address_of(wanted[i]);

        assert_true(address_eq(&tries[i], &want));
    }
}

static void families_take_turns(void **state)
{
    const struct race race = {0};

    (void)state;
    assert_order(&race, "a", 0, NOW_MS, 4, "a");
    assert_order(&race, "abc", 0, NOW_MS, 4, "abc");
    assert_order(&race, "abc", 2, NOW_MS, 4, "cab");
    assert_order(&race, "na", 0, NOW_MS, 4, "na");
    assert_order(&race, "nopqab", 0, NOW_MS, 4, "naob");
    assert_order(&race, "nopqab", 4, NOW_MS, 4, "anbo");
    assert_order(&race, "nopqab", 4, NOW_MS, 8, "anbopq");
    assert_order(&race, "nopqa", 2, NOW_MS, 2, "pa");
}

static void a_family_that_lost_goes_last_for_ten_minutes(void **state)
{
    struct race race = {0};
    struct address loser = address_of('n');
    struct address winner = address_of('a');

    (void)state;
    race_note(&race, &winner, &loser, 1, NOW_MS);
    assert_order(&race, "nopab", 0, NOW_MS, 4, "abno");
    assert_order(&race, "nopab", 4, NOW_MS + LAME_MS - 1, 4, "bano");
    assert_order(&race, "nopab", 0, NOW_MS + LAME_MS, 4, "naob");
    assert_order(&race, "nop", 1, NOW_MS, 4, "opn");
}

static void who_comes_through_is_not_lame(void **state)
{
    struct race race = {0};
    struct address v6 = address_of('n');
    struct address v4 = address_of('a');

    (void)state;
    race_note(&race, &v4, &v6, 1, NOW_MS);
    race_note(&race, &v6, NULL, 0, NOW_MS);
    assert_order(&race, "na", 0, NOW_MS, 4, "na");
    race_note(&race, &v4, &v4, 1, NOW_MS); /* lost to its own family */
    assert_order(&race, "na", 0, NOW_MS, 4, "na");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_take_turns),
        cmocka_unit_test(a_family_that_lost_goes_last_for_ten_minutes),
        cmocka_unit_test(who_comes_through_is_not_lame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
