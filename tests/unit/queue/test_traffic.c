/* The rates of what comes and goes, over processes and partitions. */
#include "worker_fixture.h"

static struct queue_stats stats;
static bool is_told;

static void on_stats(void *ctx, const struct queue_stats *told)
{
    (void)ctx;
    is_told = true;
    stats = *told;
}

static void look_at_stats(struct world *world, const char *owner)
{
    is_told = false;
    if (owner == NULL)
        queue_stats_get(world->queue, on_stats, NULL);
    else
        queue_stats_of(world->queue, owner_of(owner), on_stats, NULL);
    until(world->loop, is_told);
    assert_int_equal(stats.status, QUEUE_OK);
}

/* Of n recipients in a window of 60 to 70 s. */
static void assert_rate(int64_t rate, int64_t count)
{
    assert_in_range(rate, count * 1000000 / 70000, count * 1000000 / 60000);
}

/* Two processes count, and a third one, that starts later, tells. */
static void rates_are_of_all_processes(void **state)
{
    struct world *world = *state;
    struct world *other = calloc(1, sizeof *other);
    struct mail code = {.mail_class = CLASS_VERIFICATION, .owner = "acme"};
    struct mail order = {.mail_class = CLASS_TRANSACTIONAL, .recipients = 3};
    struct worker worker;

    other->loop = world->loop;
    other->queue = queue_open(world->loop, &fixture.config, NULL);
    until(world->loop, queue_is_ready(other->queue, NULL));
    mail_store(world, &code);
    mail_store(world, &order);
    order.id = id_new(0);
    mail_store(other, &order);
    worker_start(&worker, other->queue, 1);
    until(world->loop, worker.count == 1);
    assert_int_equal(worker.claims[0]->lane, 0);
    assert_true(worker_mark(world, &worker, 0));
    worker_report(&worker, 0, OUTCOME_SENT, 0);
    do
        look_at_stats(world, NULL);
    while (stats.lanes[0].accepted_rate == 0 ||
           stats.lanes[0].delivered_rate == 0 ||
           stats.lanes[2].accepted_rate < 6 * 1000000 / 70000);
    queue_close(&other->queue);
    queue_close(&world->queue);
    world->queue = queue_open(world->loop, &fixture.config, NULL);
    until(world->loop, queue_is_ready(world->queue, NULL));
    look_at_stats(world, NULL);
    assert_rate(stats.lanes[0].accepted_rate, 1);
    assert_rate(stats.lanes[0].delivered_rate, 1);
    assert_rate(stats.lanes[2].accepted_rate, 6);
    assert_int_equal(stats.lanes[2].delivered_rate, 0);
    assert_int_equal(queue_stats_all(&stats).accepted_rate,
                     stats.lanes[0].accepted_rate +
                         stats.lanes[2].accepted_rate);
    look_at_stats(world, "acme");
    assert_rate(queue_stats_all(&stats).accepted_rate, 1);
    assert_rate(queue_stats_all(&stats).delivered_rate, 1);
#ifdef FAULT_POINTS
    redis_do("HSET ph:meta test_offset_ms 80000");
    look_at_stats(world, NULL);
    assert_int_equal(queue_stats_all(&stats).accepted_rate, 0);
#endif
    assert_in_range(
        strtol(redis_ask("EVAL %s 0",
                         "local k = redis.call('KEYS', 'ph:{0}:tr:*')"
                         " return redis.call('PTTL', k[1])"),
               NULL, 10),
        1, 80000);
    free(other);
}

/* More owners than are kept until the second is over, in two partitions. */
static void every_owner_is_counted(void **state)
{
    struct world *world = *state;
    char name[24];

    redis_do("HSET ph:meta partitions 2");
    queue_close(&world->queue);
    world->queue = queue_open(world->loop, &fixture.config, NULL);
    until(world->loop, queue_is_ready(world->queue, NULL));
    for (unsigned i = 0; i < 1200; i++) {
        struct queue_owner owner = {.home = i % 2};

        snprintf(name, sizeof name, "owner%u", i);
        owner.name = str_of(name);
        traffic_count(world->queue, owner, TRAFFIC_ACCEPTED, i % LANE_COUNT, 2);
    }
    do
        look_at_stats(world, NULL);
    while (queue_stats_all(&stats).accepted_rate < 2400 * 1000000LL / 70000);
    assert_rate(queue_stats_all(&stats).accepted_rate + 8, 2400); /* rounded */
    look_at_stats(world, "owner4");
    assert_rate(stats.lanes[0].accepted_rate, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(rates_are_of_all_processes),
        WORLD_TEST(every_owner_is_counted),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
