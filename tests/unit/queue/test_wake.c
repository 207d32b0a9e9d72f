/* Wake tokens, and due times: each way to sleep for too long. */
#include "worker_fixture.h"

#include "queue/claims_core.h"

static void a_mail_wakes_an_idle_child(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {0};

    worker_start(&worker, world->queue, 8);
    until(world->loop, is_blocked("1"));
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
}

/* The trap: a token comes while a turn that only reports is under way, and
 * that turn's answer says that nothing was there. */
static void a_wake_during_a_turn_is_not_lost(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[2] = {{.route = "main"}, {.route = "other"}};
    struct answered answered = {0};

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mails[0]);
    until(world->loop, worker.count == 1 && is_blocked("1"));
    /* The report's turn looks at the routes before the mail is there ... */
    worker_report(&worker, 0, OUTCOME_SENT, 0);
    while (redis_link_in_flight(world->queue->main) == 0)
        loop_turn(world->loop, 10);
    /* ... which is stored behind it, in the same write. */
    mail_send(world->queue, &mails[1], &answered);
    until(world->loop, answered.count > 0);
    until(world->loop, worker.count == 2);
}

/* No room: the child waits for nothing, and asks by itself when it has. */
static void room_again_asks_by_itself(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[3] = {
        {.route = "main"}, {.route = "main"}, {.route = "main"}};

    worker_start(&worker, world->queue, 1);
    for (size_t i = 0; i < 3; i++)
        mail_store(world, &mails[i]);
    until(world->loop, worker.count == 1);
    for (size_t i = 0; i < 2; i++) {
        worker_report(&worker, i, OUTCOME_SENT, 0);
        until(world->loop, worker.count == i + 2);
    }
    assert_string_equal(redis_ask("LLEN ph:{0}:q:0:default:main"), "0");
}

static unsigned turn_count(const struct world *world)
{
    return LIST_FIRST(&world->queue->claimer->claims, struct claims, link)
        ->turns;
}

/* At a low rate that would be a turn or two of each mail. */
static void room_that_was_there_asks_nothing(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {0};
    unsigned turns;

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mail);
    until(world->loop, worker.count == 1 && is_blocked("1"));
    turns = turn_count(world);
    queue_worker_hungry(world->queue);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(world->loop, 1);
    assert_int_equal(turn_count(world), turns);
}

/* Too little room for one lane is asked for again, whatever others have. */
static void room_of_one_lane_asks_again(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[2] = {{.mail_class = CLASS_BULK},
                            {.mail_class = CLASS_BULK}};

    mail_store(world, &mails[0]);
    mail_store(world, &mails[1]);
    worker_init(&worker, world->queue, 8);
    worker.room[3] = 1;
    queue_worker_start(world->queue, &worker.side);
    until(world->loop, worker.count == 1 && is_blocked("1"));
    worker.room[3] = 8;
    queue_worker_hungry(world->queue);
    until(world->loop, worker.count == 2);
}

/* A child takes what it can, and passes a token on for the rest. */
static void what_is_left_wakes_the_next_child(void **state)
{
    struct world *world = *state;
    struct queue *other = queue_open(world->loop, &fixture.config, NULL);
    struct worker workers[2];
    struct mail mails[2] = {{.route = "main"}, {.route = "main"}};
    struct answered answered[2] = {{0}};

    worker_start(&workers[0], world->queue, 1);
    worker_start(&workers[1], other, 1);
    until(world->loop, is_blocked("2"));
    mail_send(world->queue, &mails[0], &answered[0]);
    mail_send(world->queue, &mails[1], &answered[1]);
    until(world->loop, workers[0].count == 1 && workers[1].count == 1);
    queue_close(&other);
}

/* The token came, but the room has gone meanwhile: another child gets it. */
static void a_token_without_room_is_handed_back(void **state)
{
    struct world *world = *state;
    struct queue *other = queue_open(world->loop, &fixture.config, NULL);
    struct worker full;
    struct worker idle;
    struct mail mail = {.route = "main"};

    worker_start(&full, world->queue, 1);
    until(world->loop, is_blocked("1"));
    full.room[0] = full.room[1] = full.room[2] = full.room[3] = 0;
    worker_start(&idle, other, 1);
    until(world->loop, is_blocked("2"));
    mail_store(world, &mail); /* Redis serves who waited longest: full */
    until(world->loop, idle.count == 1);
    assert_int_equal(full.count, 0);
    queue_close(&other);
}

/* Room on one more lane than the BLPOP under way covers. */
static void new_room_widens_the_wait(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail bulk = {.mail_class = CLASS_BULK};
    int64_t start;

    worker_init(&worker, world->queue, 1);
    worker.room[3] = 0;
    queue_worker_start(world->queue, &worker.side);
    until(world->loop, is_blocked("1"));
    worker.room[3] = 1;
    queue_worker_hungry(world->queue);
    until(world->loop, redis_link_in_flight(world->queue->main) > 0);
    until(world->loop, redis_link_in_flight(world->queue->main) == 0);
    mail_store(world, &bulk);
    start = real_ms();
    until(world->loop, worker.count == 1);
    assert_true(real_ms() - start < 3000); /* not by the end of the wait */
}

/* A due time nearer than the one that the child sleeps until. */
static void an_earlier_due_time_wakes(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.mail_class = CLASS_BULK};

    worker_start(&worker, world->queue, 8);
    until(world->loop, is_blocked("1"));
    mail.due_ms = clock_wall_ms() + 30;
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    assert_true(clock_wall_ms() >= mail.due_ms);
}

static bool plan_soon(void *ctx, const struct queue_email *email,
                      struct queue_reschedule *out)
{
    (void)email;
    *out = (struct queue_reschedule){.due_ms = *(const int64_t *)ctx,
                                     .ends_ms = *(const int64_t *)ctx + 60000};
    return true;
}

static void on_moved(void *ctx, const struct queue_email *email)
{
    (void)ctx;
    assert_int_equal(email->status, QUEUE_OK);
}

/* One that was moved there by hand does so as well. */
static void an_earlier_time_by_hand_wakes(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.mail_class = CLASS_BULK,
                        .due_ms = clock_wall_ms() + 3600000};
    int64_t soon_ms;

    mail_store(world, &mail);
    worker_start(&worker, world->queue, 8);
    until(world->loop, is_blocked("1"));
    soon_ms = clock_wall_ms() + 50;
    queue_email_reschedule(world->queue, owner_of("default"), &mail.id,
                           plan_soon, on_moved, &soon_ms);
    until(world->loop, worker.count == 1);
    assert_true(clock_wall_ms() >= soon_ms);
}

/* Promoted, with no other reason for a turn: by the time of the answer. */
static void a_retry_comes_when_it_is_due(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.mail_class = CLASS_BULK, .max_age_ms = 100000};
    int64_t retry_ms;

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    retry_ms = clock_wall_ms() + 30;
    worker_report(&worker, 0, OUTCOME_SOFT, retry_ms);
    until(world->loop, worker.count == 2);
    assert_true(clock_wall_ms() >= retry_ms);
    assert_int_equal(worker.claims[1]->attempt, 2);
}

/* Redis' clock decides, not ours: builds with fault points can move it. */
static void redis_clock_decides(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[2] = {{.route = "main"}, {.route = "main"}};

#ifndef FAULT_POINTS
    skip();
#endif
    mails[0].due_ms = clock_wall_ms() + 3600000;
    mails[1].deadline_ms = clock_wall_ms() + 1800000;
    worker_start(&worker, world->queue, 0);
    mail_store(world, &mails[0]);
    mail_store(world, &mails[1]);
    redis_do("HSET ph:meta test_offset_ms 3600000");
    worker.room[0] = worker.room[1] = worker.room[2] = worker.room[3] = 8;
    queue_worker_hungry(world->queue);
    until(world->loop, worker.count == 1);
    assert_string_equal(worker.claims[0]->email.text, mails[0].id.text);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "1") == 0);
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "email.expired"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SLOW_TEST(a_mail_wakes_an_idle_child),
        SLOW_TEST(a_wake_during_a_turn_is_not_lost),
        SLOW_TEST(room_again_asks_by_itself),
        SLOW_TEST(room_that_was_there_asks_nothing),
        SLOW_TEST(room_of_one_lane_asks_again),
        SLOW_TEST(what_is_left_wakes_the_next_child),
        SLOW_TEST(a_token_without_room_is_handed_back),
        SLOW_TEST(new_room_widens_the_wait),
        SLOW_TEST(an_earlier_due_time_wakes),
        SLOW_TEST(an_earlier_time_by_hand_wakes),
        SLOW_TEST(a_retry_comes_when_it_is_due),
        SLOW_TEST(redis_clock_decides),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
