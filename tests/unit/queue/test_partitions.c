#include "mail_fixture.h"
#include "worker_fixture.h"

#include "queue/claims_core.h"

enum { PARTITIONS = 3 };

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    redis_do("FLUSHALL");
    redis_do("HSET ph:meta partitions %d", PARTITIONS);
    fixture.config.worker.lease_ms = NO_HEARTBEAT_MS;
    world->loop = loop_create();
    world->queue = queue_open(world->loop, &fixture.config, NULL);
    until(world->loop, queue_is_ready(world->queue, NULL));
    *state = world;
    return 0;
}

static void store_in(struct world *world, unsigned partition, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mail mail = {.id = id_new(partition)};

        mail_store(world, &mail);
    }
}

static size_t final_in(unsigned partition)
{
    return (size_t)strtoul(redis_ask("HGET ph:{%u}:n final", partition), NULL,
                           10);
}

static bool are_workers_in_all(void)
{
    for (unsigned i = 0; i < PARTITIONS; i++)
        if (strcmp(redis_ask("ZCARD ph:{%u}:workers", i), "1") != 0)
            return false;
    return true;
}

static void a_child_serves_all_partitions(void **state)
{
    struct world *world = *state;
    struct worker worker;

    worker_start(&worker, world->queue, 8);
    until(world->loop, are_workers_in_all());
    for (unsigned i = 0; i < PARTITIONS; i++) {
        size_t before = worker.count;

        store_in(world, i, 1);
        until(world->loop, worker.count == before + 1);
        assert_int_equal(id_partition(&worker.claims[before]->email), i);
        assert_true(worker_mark(world, &worker, before));
        worker_report(&worker, before, OUTCOME_SENT, 0);
        until(world->loop, final_in(i) == 1);
    }
}

/* Checked at each claim: turns of several partitions are under way at once. */
struct bounded {
    struct worker worker;
    size_t bound;
};

static void claimed_within_bounds(void *ctx, struct queue_claim *claim)
{
    struct worker *worker = ctx;
    struct bounded *bounded = CONTAINER_OF(worker, struct bounded, worker);

    worker_claimed(worker, claim);
    assert_in_range(worker->held, 1, bounded->bound);
}

static void check_shared_room(struct world *world, size_t room, size_t each)
{
    struct bounded bounded = {.bound = room};
    struct worker *worker = &bounded.worker;
    size_t done = 0;

    for (unsigned i = 0; i < PARTITIONS; i++)
        store_in(world, i, each);
    worker_init(worker, world->queue, room);
    worker->side.claimed = claimed_within_bounds;
    queue_worker_start(world->queue, &worker->side);
    while (done < PARTITIONS * each) {
        until(world->loop, worker->count > done);
        while (done < worker->count)
            worker_report(worker, done++, OUTCOME_BOUNCED, 0);
        queue_worker_hungry(world->queue);
    }
    for (unsigned i = 0; i < PARTITIONS; i++)
        until(world->loop, final_in(i) == each);
}

static void partitions_share_the_room(void **state)
{
    check_shared_room(*state, 5, 40);
}

static void room_for_one_serves_all_in_turn(void **state)
{
    check_shared_room(*state, 1, 8);
}

static void a_new_partition_is_noticed(void **state)
{
    struct world *world = *state;
    struct worker worker;

    worker_start(&worker, world->queue, 8);
    redis_do("HINCRBY ph:meta partitions 1");
    until(world->loop, world->queue->partitions.count == PARTITIONS + 1);
    until(world->loop,
          strcmp(redis_ask("ZCARD ph:{%d}:workers", PARTITIONS), "1") == 0);
    store_in(world, PARTITIONS, 1);
    until(world->loop, worker.count == 1);
}

static void on_release(void *ctx, bool ok)
{
    *(int *)ctx = ok ? 1 : -1;
}

static void a_dead_childs_claims_go_back_everywhere(void **state)
{
    struct world *world = *state;
    struct queue *child = queue_open(world->loop, &fixture.config, NULL);
    struct worker dead;
    struct worker living;
    char epoch[32];
    int released = 0;

    worker_start(&dead, child, PARTITIONS);
    for (unsigned i = 0; i < PARTITIONS; i++)
        store_in(world, i, 1);
    until(world->loop, dead.count == PARTITIONS);
    snprintf(epoch, sizeof epoch, "%.*s", STR_ARG(queue_worker_epoch(child)));
    queue_close(&child); /* as a crash */
    worker_start(&living, world->queue, PARTITIONS);
    queue_release(world->queue, str_of(epoch), S(""), on_release, &released);
    until(world->loop, released == 1);
    until(world->loop, living.count == PARTITIONS);
}

static void a_drained_child_leaves_all(void **state)
{
    struct world *world = *state;
    struct worker worker;

    worker_start(&worker, world->queue, 8);
    until(world->loop, are_workers_in_all());
    queue_worker_stop(world->queue, on_drained, &worker);
    until(world->loop, worker.drained > 0);
    for (unsigned i = 0; i < PARTITIONS; i++)
        assert_string_equal(redis_ask("ZCARD ph:{%u}:workers", i), "0");
    assert_int_equal(worker.drained, 1);
}

static void an_outage_begins_anew_everywhere(void **state)
{
    struct world *world = *state;
    struct worker worker;

    worker_start(&worker, world->queue, 8);
    store_in(world, 1, 1);
    until(world->loop, worker.count == 1);
    fixture_stop();
    until(world->loop, !queue_is_ready(world->queue, NULL));
    worker_report(&worker, 0, OUTCOME_BOUNCED, 0);
    fixture_start();
    until(world->loop, queue_is_ready(world->queue, NULL));
    until(world->loop, final_in(1) == 1);
    until(world->loop, are_workers_in_all());
}

/* --- owners --- */

static void on_key(void *ctx, const struct queue_answer *answer)
{
    *(int *)ctx = answer->status == QUEUE_OK ? 1 : -1;
}

static void make_key(struct world *world, const char *owner, unsigned number)
{
    struct api_key key = {
        .id = id_new(0),
        .owner = str_of(owner),
        .name = S("shop"),
        .prefix = S("ph_live_abcd"),
        .created_ms = clock_wall_ms(),
    };
    char hash[SHA256_HEX_SIZE];
    int made = 0;

    snprintf(hash, sizeof hash, "%064u", number);
    queue_key_create(world->queue, &key, str_of(hash), NULL, S("{}"), on_key,
                     &made);
    until(world->loop, made != 0);
    assert_int_equal(made, 1);
}

static void owners_are_spread(void **state)
{
    struct world *world = *state;
    char partition[16];

    for (unsigned i = 0; i < 2 * PARTITIONS; i++) {
        char owner[] = {(char)('a' + i), '\0'};

        make_key(world, owner, i);
        snprintf(partition, sizeof partition, "%u", i % PARTITIONS);
        assert_string_equal(redis_ask("HGET ph:o:%s partition", owner),
                            partition);
        assert_string_equal(redis_ask("HGET ph:k:%064u partition", i),
                            partition);
        assert_string_equal(
            redis_ask("ZCARD ph:{%s}:keys:%s", partition, owner), "1");
    }
    make_key(world, "b", 100); /* lives where it did */
    assert_string_equal(redis_ask("HGET ph:k:%064u partition", 100), "1");
    assert_string_equal(redis_ask("HMGET ph:meta owners:0 owners:1 owners:2"),
                        "2 2 2");
}

static void on_email(void *ctx, const struct queue_email *email)
{
    *(enum queue_status *)ctx = email->status;
}

static enum queue_status status_of(struct world *world, const struct id *email)
{
    enum queue_status status = QUEUE_DONE;

    queue_email_get(world->queue, owner_of("default"), email, NULL, on_email,
                    &status);
    until(world->loop, status != QUEUE_DONE);
    return status;
}

static enum queue_status status_of_post(struct world *world)
{
    struct answered answered = {0};
    struct mail mail = {0};

    mail_send(world->queue, &mail, &answered);
    until(world->loop, answered.count > 0);
    return answered.status;
}

static void frozen_and_moved_owners_are_told_apart(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    mail_store(world, &mail);
    redis_do("HSET ph:{0}:o:default frozen 1");
    assert_int_equal(status_of(world, &mail.id), QUEUE_OK);
    assert_int_equal(status_of_post(world), QUEUE_FROZEN);
    redis_do("HSET ph:{0}:o:default frozen moved");
    assert_int_equal(status_of(world, &mail.id), QUEUE_MOVED);
    assert_int_equal(status_of_post(world), QUEUE_MOVED);
}

static void on_stats(void *ctx, const struct queue_stats *stats)
{
    *(struct queue_stats *)ctx = *stats;
}

static void stats_are_of_all_partitions(void **state)
{
    struct world *world = *state;
    struct queue_stats stats = {.status = QUEUE_DONE};

    for (unsigned i = 0; i < PARTITIONS; i++)
        store_in(world, i, i + 1);
    queue_stats_get(world->queue, on_stats, &stats);
    until(world->loop, stats.status != QUEUE_DONE);
    assert_int_equal(stats.status, QUEUE_OK);
    assert_int_equal(stats.accepted, 6);
    assert_int_equal(stats.lanes[0].queued, 6);
}

/* --- for the operator --- */

static struct listed {
    enum queue_status status;
    size_t count;
    struct partition_info infos[PARTITIONS + 1];
} listed;

static void on_list(void *ctx, const struct queue_partitions *partitions)
{
    (void)ctx;
    listed.status = partitions->status;
    listed.count = partitions->count;
    assert_in_range(listed.count, 0, PARTITIONS + 1);
    memcpy(listed.infos, partitions->partitions,
           listed.count * sizeof *listed.infos);
}

static void partitions_are_listed_and_added(void **state)
{
    struct world *world = *state;
    struct answered answered = {0};

    make_key(world, "a", 0);
    store_in(world, 1, 2);
    listed.status = QUEUE_DONE;
    queue_partition_list(world->queue, on_list, NULL);
    until(world->loop, listed.status != QUEUE_DONE);
    assert_int_equal(listed.status, QUEUE_OK);
    assert_int_equal(listed.count, PARTITIONS);
    assert_int_equal(listed.infos[0].owners, 1);
    assert_int_equal(listed.infos[1].open, 2);
    assert_true(listed.infos[2].is_up);
    assert_string_equal(listed.infos[2].host, fixture.socket);
    queue_partition_add(world->queue, on_answered, &answered);
    until(world->loop, answered.count == 1);
    assert_int_equal(answered.status, QUEUE_OK);
    until(world->loop, world->queue->partitions.count == PARTITIONS + 1);
}

static enum queue_status freeze(struct world *world, const char *owner,
                                bool frozen)
{
    struct answered answered = {0};

    queue_owner_freeze(world->queue, str_of(owner), frozen, on_answered,
                       &answered);
    until(world->loop, answered.count == 1);
    return answered.status;
}

static void an_owner_is_frozen_and_thawed(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};
    struct worker worker;

    make_key(world, "default", 0);
    mail_store(world, &mail);
    assert_int_equal(freeze(world, "default", true), QUEUE_OK);
    assert_int_equal(status_of_post(world), QUEUE_FROZEN);
    worker_start(&worker, world->queue, 1);
    until(world->loop, worker.count == 1); /* what is stored goes on */
    assert_int_equal(freeze(world, "default", false), QUEUE_OK);
    assert_int_equal(status_of_post(world), QUEUE_OK);
    assert_int_equal(freeze(world, "nobody", true), QUEUE_NOT_FOUND);
}

/* It stands in names of keys, which have their room. */
static void a_name_may_be_too_long_for_an_owner(void **state)
{
    struct world *world = *state;
    char name[1024];

    memset(name, 'a', sizeof name);
    for (size_t len = OWNER_NAME_MAX; len < sizeof name; len += 255) {
        name[len] = '\0';
        assert_int_equal(freeze(world, name, true), QUEUE_NOT_FOUND);
        name[len] = 'a';
    }
}

#define PARTITION_TEST(fn)                                                     \
    cmocka_unit_test_setup_teardown(fn, setup, slow_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTITION_TEST(a_child_serves_all_partitions),
        PARTITION_TEST(partitions_share_the_room),
        PARTITION_TEST(room_for_one_serves_all_in_turn),
        PARTITION_TEST(a_new_partition_is_noticed),
        PARTITION_TEST(a_dead_childs_claims_go_back_everywhere),
        PARTITION_TEST(a_drained_child_leaves_all),
        PARTITION_TEST(an_outage_begins_anew_everywhere),
        PARTITION_TEST(owners_are_spread),
        PARTITION_TEST(frozen_and_moved_owners_are_told_apart),
        PARTITION_TEST(stats_are_of_all_partitions),
        PARTITION_TEST(partitions_are_listed_and_added),
        PARTITION_TEST(an_owner_is_frozen_and_thawed),
        PARTITION_TEST(a_name_may_be_too_long_for_an_owner),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
