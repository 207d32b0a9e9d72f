/* Which route a mail takes, and which upstream of it. */
#include "smtp/route.h"
#include "smtp/smtp.h"

#include "check_cmocka.h"

/* Members of config_route: name, class, from, to, tag. */
#define ROUTE(name, class, from, to, tag)                                      \
    {                                                                          \
        name, class, from, to, tag, {NULL, 0}, false, 0                        \
    }

static struct config_route ROUTES[] = {
    ROUTE("codes", "verification", "", "", ""),
    ROUTE("us", "", "us.example", "", ""),
    ROUTE("below", "", "", "*.big.example", ""),
    ROUTE("big", "", "", "big.example", ""),
    ROUTE("news-red", "", "", "", "news=red"),
    ROUTE("news", "", "", "", "news"),
    ROUTE("both", "bulk", "", "x.example", ""),
    ROUTE("rest", "", "", "", ""),
};

static const struct fact {
    enum mail_class mail_class;
    const char *from;
    const char *to;
    const char *tag;
    const char *value;
    const char *route;
} FACTS[] = {
    {CLASS_VERIFICATION, "us.example", "big.example", "", "", "codes"},
    {CLASS_RESET, "us.example", "big.example", "", "", "us"},
    {CLASS_RESET, "US.Example", "a", "", "", "us"},
    {CLASS_RESET, "sub.us.example", "a", "", "", "rest"},
    {CLASS_RESET, "a", "big.example", "", "", "big"},
    {CLASS_RESET, "a", "mx.big.example", "", "", "below"},
    {CLASS_RESET, "a", "a.b.BIG.example", "", "", "below"},
    {CLASS_RESET, "a", "notbig.example", "", "", "rest"},
    {CLASS_RESET, "a", ".big.example", "", "", "rest"},
    {CLASS_RESET, "a", "b", "news", "red", "news-red"},
    {CLASS_RESET, "a", "b", "news", "blue", "news"},
    {CLASS_RESET, "a", "b", "News", "red", "rest"},
    {CLASS_RESET, "a", "b", "new", "s=red", "rest"},
    {CLASS_BULK, "a", "x.example", "", "", "both"},
    {CLASS_RESET, "a", "x.example", "", "", "rest"},
};

static void first_match(void **state)
{
    const struct config config = {.routes = ROUTES,
                                  .route_count = COUNT_OF(ROUTES)};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(FACTS); i++) {
        const struct smtp_tag tag = {str_of(FACTS[i].tag),
                                     str_of(FACTS[i].value)};
        const struct smtp_route_query query = {
            .mail_class = FACTS[i].mail_class,
            .from_domain = str_of(FACTS[i].from),
            .to_domain = str_of(FACTS[i].to),
            .tags = &tag,
            .tag_count = FACTS[i].tag[0] != '\0',
        };

        print_message("  %zu %s\n", i, FACTS[i].route);
        assert_string_equal(smtp_route_find(&config, &query)->name,
                            FACTS[i].route);
    }
}

static void no_match(void **state)
{
    const struct config config = {.routes = ROUTES, .route_count = 1};
    const struct smtp_route_query query = {.mail_class = CLASS_BULK};

    (void)state;
    assert_null(smtp_route_find(&config, &query));
}

static void lowest_priority_first(void **state)
{
    struct route_choice choices[] = {
        {.priority = 10, .weight = 100, .is_usable = true},
        {.priority = 5, .weight = 1, .is_usable = true},
        {.priority = 0, .weight = 1, .is_usable = false},
    };

    (void)state;
    for (uint32_t random = 0; random < 300; random++)
        assert_int_equal(route_choose(choices, 3, random), 1);
    choices[1].is_usable = false;
    assert_int_equal(route_choose(choices, 3, 7), 0);
    choices[0].is_usable = false;
    assert_int_equal(route_choose(choices, 3, 7), ROUTE_NO_CHOICE);
    assert_int_equal(route_choose(choices, 0, 7), ROUTE_NO_CHOICE);
}

static void shares_by_weight(void **state)
{
    const struct route_choice choices[] = {
        {.weight = 3, .is_usable = true},
        {.weight = 0, .is_usable = true},
        {.weight = 1, .is_usable = true},
        {.weight = 6, .is_usable = true},
    };
    unsigned counts[4] = {0};

    (void)state;
    for (uint32_t random = 0; random < 1000; random++)
        counts[route_choose(choices, 4, random)]++;
    assert_int_equal(counts[0], 300);
    assert_int_equal(counts[1], 0);
    assert_int_equal(counts[2], 100);
    assert_int_equal(counts[3], 600);
    assert_int_equal(route_choose(&choices[1], 1, 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_match),
        cmocka_unit_test(no_match),
        cmocka_unit_test(lowest_priority_first),
        cmocka_unit_test(shares_by_weight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
