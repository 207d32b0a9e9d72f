/* Who is served first. */
#include "worker_fixture.h"

#include "queue/claims_core.h"

static void store(struct world *world, const char *owner,
                  enum mail_class mail_class, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct mail mail = {.owner = owner, .mail_class = mail_class};

        mail_store(world, &mail);
    }
}

static unsigned count_claims(const struct worker *worker, const char *owner,
                             unsigned lane)
{
    unsigned count = 0;

    for (size_t i = 0; i < worker->count; i++)
        if (worker->claims[i]->lane == lane &&
            (owner == NULL ||
             str_eq(worker->claims[i]->record->summary.owner, str_of(owner))))
            count++;
    return count;
}

static void lanes_are_served_in_their_order(void **state)
{
    struct world *world = *state;
    struct worker worker;

    store(world, NULL, CLASS_BULK, 40);
    store(world, NULL, CLASS_VERIFICATION, 40);
    store(world, NULL, CLASS_TRANSACTIONAL, 40);
    worker_start(&worker, world->queue, 48);
    until(world->loop, worker.count == 48);
    assert_int_equal(count_claims(&worker, NULL, 0), 40);
    /* A sixteenth for each lower lane, the rest by order. */
    assert_int_equal(count_claims(&worker, NULL, 3), 3);
    assert_int_equal(count_claims(&worker, NULL, 2), 5);
}

/* Sessions that are kept for urgent lanes are not given to bulk. */
static void room_of_a_lane_counts_those_behind_it(void **state)
{
    struct world *world = *state;
    struct worker worker;

    store(world, NULL, CLASS_BULK, 20);
    store(world, NULL, CLASS_TRANSACTIONAL, 4);
    store(world, NULL, CLASS_ALERT, 2);
    worker_init(&worker, world->queue, 10);
    worker.room[2] = worker.room[3] = 6;
    queue_worker_start(world->queue, &worker.side);
    until(world->loop, worker.count == 8);
    assert_int_equal(count_claims(&worker, NULL, 1), 2);
    assert_int_equal(count_claims(&worker, NULL, 2), 4);
    assert_int_equal(count_claims(&worker, NULL, 3), 2);
}

/* Claims of one turn: those that are told in one turn of the loop. */
static size_t next_step(struct world *world, struct worker *worker)
{
    size_t before = worker->count;

    until(world->loop, worker->count > before);
    return worker->count - before;
}

/* A code that comes now waits for no more than that. */
static void bulk_is_claimed_in_steps(void **state)
{
    struct world *world = *state;
    struct worker worker;

    store(world, NULL, CLASS_BULK, 100);
    worker_start(&worker, world->queue, 500);
    assert_int_equal(next_step(world, &worker), 32);
    assert_int_equal(next_step(world, &worker), 32);
    until(world->loop, worker.count == 100);
}

/* Small steps, with pauses in which codes are claimed and nothing else, until
 * five seconds have passed without one. */
static void bulk_makes_way_for_codes(void **state)
{
    struct world *world = *state;
    struct worker worker;
    size_t codes;

    store(world, NULL, CLASS_BULK, 60);
    store(world, NULL, CLASS_VERIFICATION, 2);
    worker_start(&worker, world->queue, 500);
    next_step(world, &worker); /* nothing was known of codes */
    assert_int_equal(worker.claims[0]->lane, 0);
    assert_int_equal(worker.claims[1]->lane, 0);
    codes = count_claims(&worker, NULL, 0);
    assert_int_equal(next_step(world, &worker), 8);
    assert_true(pace_rests(&world->queue->claimer->pace));
    assert_int_equal(next_step(world, &worker), 8);
    store(world, NULL, CLASS_VERIFICATION, 1);
    until(world->loop, count_claims(&worker, NULL, 0) == codes + 1);
    until(world->loop, worker.count == 63);
}

/* Its steps are small, too, but it is not slowed. */
static void transactional_mail_goes_on_beside_codes(void **state)
{
    struct world *world = *state;
    struct worker worker;

    store(world, NULL, CLASS_TRANSACTIONAL, 40);
    store(world, NULL, CLASS_VERIFICATION, 1);
    worker_start(&worker, world->queue, 500);
    next_step(world, &worker);
    assert_int_equal(worker.claims[0]->lane, 0);
    assert_int_equal(next_step(world, &worker), 8);
    assert_false(pace_rests(&world->queue->claimer->pace));
    until(world->loop, worker.count == 41);
}

/* A code that wakes a child is claimed by a turn of its own, whatever bulk
 * there is room for by then. */
static void a_code_comes_alone(void **state)
{
    struct world *world = *state;
    struct answered answered = {0};
    struct worker worker;

    store(world, NULL, CLASS_BULK, 20);
    store(world, NULL, CLASS_VERIFICATION, 1);
    worker_init(&worker, world->queue, 500);
    worker.room[3] = 0;
    queue_worker_start(world->queue, &worker.side);
    until(world->loop, worker.count == 1);
    until(world->loop, wake_is_waiting(world->queue->claimer->wake));
    worker.room[3] = 500;
    mail_send(world->queue, &(struct mail){.mail_class = CLASS_VERIFICATION},
              &answered);
    assert_int_equal(next_step(world, &worker), 1);
    assert_int_equal(worker.claims[1]->lane, 0);
    assert_int_equal(next_step(world, &worker), 8);
    until(world->loop, worker.count == 22);
}

/* What has been sent is told as soon as the pause is over. */
static void results_come_through_beside_codes(void **state)
{
    struct world *world = *state;
    struct worker worker;

    store(world, NULL, CLASS_BULK, 20);
    store(world, NULL, CLASS_VERIFICATION, 1);
    worker_start(&worker, world->queue, 500);
    until(world->loop, worker.count == 21);
    for (size_t i = 0; i < 21; i++) {
        assert_true(worker_mark(world, &worker, i));
        worker_report(&worker, i, OUTCOME_SENT, 0);
    }
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "21") == 0);
}

/* One tenant's newsletter does not hold up another's mails. */
static void a_flood_holds_nobody_up(void **state)
{
    enum { FLOOD = 3000, OTHERS = 10 };
    struct world *world = *state;
    struct worker worker;
    size_t step;

    store(world, "loud", CLASS_BULK, FLOOD);
    for (unsigned i = 0; i < OTHERS; i++) {
        char owner[16];

        snprintf(owner, sizeof owner, "quiet%u", i);
        store(world, owner, CLASS_BULK, 1);
    }
    worker_start(&worker, world->queue, 500);
    step = next_step(world, &worker);
    assert_int_equal(step - count_claims(&worker, "loud", 3), OTHERS);
}

static void owners_share_a_lane(void **state)
{
    struct world *world = *state;
    struct worker worker;

    store(world, "loud", CLASS_TRANSACTIONAL, 100);
    store(world, "quiet", CLASS_TRANSACTIONAL, 4);
    store(world, "third", CLASS_TRANSACTIONAL, 4);
    worker_start(&worker, world->queue, 24);
    until(world->loop, worker.count == 24);
    assert_int_equal(count_claims(&worker, "quiet", 2), 4);
    assert_int_equal(count_claims(&worker, "third", 2), 4);
    assert_int_equal(count_claims(&worker, "loud", 2), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SLOW_TEST(lanes_are_served_in_their_order),
        SLOW_TEST(room_of_a_lane_counts_those_behind_it),
        SLOW_TEST(bulk_is_claimed_in_steps),
        SLOW_TEST(bulk_makes_way_for_codes),
        SLOW_TEST(transactional_mail_goes_on_beside_codes),
        SLOW_TEST(a_code_comes_alone),
        SLOW_TEST(results_come_through_beside_codes),
        SLOW_TEST(a_flood_holds_nobody_up),
        SLOW_TEST(owners_share_a_lane),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
