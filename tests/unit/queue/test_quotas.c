/* The rates of an upstream, leased. */
#include "mail_fixture.h"

#include "queue/upstreams.h"

static const struct str MAIN = STR("main");

/* Hours and days end far enough from the test; the clock of the script is
 * that of the upstream's prefix, as of any partition's (prelude.lua). */
static const struct config_rate HOUR[] = {{1000, 3600000}};
static const struct config_rate BOTH[] = {{1000, 3600000}, {1200, 86400000}};
static const struct config_rate ONE[] = {{1, 86400000}};

struct leased {
    unsigned count;
    struct quota_lease lease;
};

static void on_lease(void *ctx, const struct quota_lease *lease)
{
    struct leased *leased = ctx;

    leased->count++;
    leased->lease = *lease;
}

static struct quota_lease lease_of(struct world *world, struct str name,
                                   const struct config_rate *rates,
                                   size_t count, int64_t urgent, int64_t other)
{
    const struct config_rate_list list = {rates, count};
    const struct quota_ask ask = {.urgent = urgent, .other = other};
    struct leased leased = {0};

    queue_quota_lease(world->queue, name, &list, &ask, on_lease, &leased);
    until(world->loop, leased.count > 0);
    assert_int_equal(leased.lease.status, QUEUE_OK);
    return leased.lease;
}

static void give_back(struct world *world, int64_t back, int64_t stamp)
{
    const struct config_rate_list list = {HOUR, 1};
    const struct quota_ask ask = {.back = back, .stamp = stamp};
    struct leased leased = {0};

    queue_quota_lease(world->queue, MAIN, &list, &ask, on_lease, &leased);
    until(world->loop, leased.count > 0);
    assert_int_equal(leased.lease.urgent + leased.lease.other, 0);
}

/* To the beginning of a window of a day, and so far into it. */
static void set_clock(int64_t into_ms)
{
    int64_t day_ms = INT64_C(86400000);
    int64_t offset_ms = day_ms - clock_wall_ms() % day_ms + into_ms;
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)offset_ms);
    redis_do("HSET ph:u:{main}: test_offset_ms %s", text);
}

static void a_window_gives_its_limit_and_no_more(void **state)
{
    struct world *world = *state;
    struct quota_lease lease;

    set_clock(60000);
    lease = lease_of(world, MAIN, HOUR, 1, 0, 300);
    assert_int_equal(lease.other, 300);
    assert_int_equal(lease.other_used_up_until_ms, 0);
    assert_true(lease.until_ms > clock_now_ms());
    assert_true(lease.until_ms <= clock_now_ms() + 1000);
    lease = lease_of(world, MAIN, HOUR, 1, 0, 5000);
    assert_int_equal(lease.other, 680); /* a fiftieth is for lanes 0 and 1 */
    assert_true(lease.other_used_up_until_ms > clock_now_ms() + 3500000);
    assert_int_equal(lease.urgent_used_up_until_ms, 0);
    lease = lease_of(world, MAIN, HOUR, 1, 50, 10);
    assert_int_equal(lease.urgent, 20);
    assert_int_equal(lease.other, 0);
    assert_true(lease.urgent_used_up_until_ms > clock_now_ms() + 3500000);

    set_clock(3600000);
    lease = lease_of(world, MAIN, HOUR, 1, 5, 10);
    assert_int_equal(lease.urgent, 5);
    assert_int_equal(lease.other, 10);
}

static void all_windows_count(void **state)
{
    struct world *world = *state;
    struct quota_lease lease;

    set_clock(60000);
    lease = lease_of(world, MAIN, BOTH, 2, 900, 0);
    assert_int_equal(lease.urgent, 900);
    set_clock(3600000 + 60000);
    lease = lease_of(world, MAIN, BOTH, 2, 0, 900); /* of the day, 24 kept */
    assert_int_equal(lease.other, 276);
    assert_true(lease.other_used_up_until_ms > clock_now_ms() + 80000000);
    set_clock(86400000 + 60000);
    lease = lease_of(world, MAIN, BOTH, 2, 0, 900);
    assert_int_equal(lease.other, 900);
}

static void urgent_mail_goes_first(void **state)
{
    struct world *world = *state;
    struct quota_lease lease;

    set_clock(60000);
    lease = lease_of(world, MAIN, HOUR, 1, 990, 990);
    assert_int_equal(lease.urgent, 990);
    assert_int_equal(lease.other, 0);
}

static void a_limit_of_one_keeps_nothing_back(void **state)
{
    struct world *world = *state;
    struct quota_lease lease;

    set_clock(60000);
    lease = lease_of(world, MAIN, ONE, 1, 0, 3);
    assert_int_equal(lease.other, 1);
    assert_true(lease.urgent_used_up_until_ms > clock_now_ms());
}

static void unused_tokens_go_back_to_their_window(void **state)
{
    struct world *world = *state;
    struct quota_lease lease;

    set_clock(60000);
    lease = lease_of(world, MAIN, HOUR, 1, 1000, 0);
    give_back(world, 30, lease.stamp);
    assert_int_equal(lease_of(world, MAIN, HOUR, 1, 50, 0).urgent, 30);
    set_clock(3600000 + 60000);
    assert_int_equal(lease_of(world, MAIN, HOUR, 1, 990, 0).urgent, 990);
    give_back(world, 500, lease.stamp); /* that window has ended */
    assert_int_equal(lease_of(world, MAIN, HOUR, 1, 50, 0).urgent, 10);
}

static void upstreams_have_windows_of_their_own(void **state)
{
    struct world *world = *state;

    set_clock(60000);
    assert_int_equal(lease_of(world, MAIN, ONE, 1, 1, 0).urgent, 1);
    assert_int_equal(lease_of(world, S("other"), ONE, 1, 1, 0).urgent, 1);
    assert_int_equal(lease_of(world, MAIN, ONE, 1, 1, 0).urgent, 0);
    assert_true(strtoll(redis_ask("PTTL ph:u:{main}:rate"), NULL, 10) > 0);
}

static void on_seen(void *ctx, const struct queue_upstreams *upstreams)
{
    struct queue_upstream *seen = ctx;

    assert_int_equal(upstreams->status, QUEUE_OK);
    *seen = upstreams->upstreams[0];
    seen->workers = 1;
}

static void what_is_used_is_told(void **state)
{
    struct world *world = *state;
    struct queue_upstream seen = {0};

    set_clock(60000);
    lease_of(world, MAIN, BOTH, 2, 0, 7);
    queue_upstreams_get(world->queue, &MAIN, 1, on_seen, &seen);
    until(world->loop, seen.workers == 1);
    assert_int_equal(seen.window_count, 2);
    assert_int_equal(seen.windows[0].used, 7);
    set_clock(3600000 + 60000);
    seen.workers = 0;
    queue_upstreams_get(world->queue, &MAIN, 1, on_seen, &seen);
    until(world->loop, seen.workers == 1);
    assert_int_equal(seen.window_count, 1);
    assert_int_equal(seen.windows[0].ms, 86400000);
}

static void nothing_is_leased_without_redis(void **state)
{
    const struct config_rate_list list = {HOUR, 1};
    const struct quota_ask ask = {.other = 1};
    struct world *world = *state;
    struct leased leased = {0};

    redis_link_reset(world->queue->main, "test");
    queue_quota_lease(world->queue, MAIN, &list, &ask, on_lease, &leased);
    until(world->loop, leased.count > 0);
    assert_int_equal(leased.lease.status, QUEUE_AWAY);
    assert_int_equal(leased.lease.other, 0);
    assert_true(leased.lease.other_used_up_until_ms > clock_now_ms());
}

#define QUOTA_TEST(fn)                                                         \
    cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUOTA_TEST(a_window_gives_its_limit_and_no_more),
        QUOTA_TEST(all_windows_count),
        QUOTA_TEST(urgent_mail_goes_first),
        QUOTA_TEST(a_limit_of_one_keeps_nothing_back),
        QUOTA_TEST(unused_tokens_go_back_to_their_window),
        QUOTA_TEST(upstreams_have_windows_of_their_own),
        QUOTA_TEST(what_is_used_is_told),
        QUOTA_TEST(nothing_is_leased_without_redis),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
