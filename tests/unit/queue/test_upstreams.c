/* What workers say of upstreams, and what operators want of them. */
#include "mail_fixture.h"

#include "queue/upstreams.h"

static const struct str NAMES[] = {STR("main"), STR("0")};

/* A worker that says what it is told to, and remembers what it heard. */
struct teller {
    struct upstream_side side;
    struct upstream_report report[2];
    unsigned asked;
    unsigned heard[2];
    bool is_paused[2];
};

static void on_report(void *ctx, size_t index, struct upstream_report *out)
{
    struct teller *teller = ctx;

    teller->asked++;
    *out = teller->report[index];
}

static void on_pause(void *ctx, size_t index, bool is_paused)
{
    struct teller *teller = ctx;

    teller->heard[index]++;
    teller->is_paused[index] = is_paused;
}

static void teller_init(struct teller *teller)
{
    *teller = (struct teller){
        .side = {.ctx = teller,
                 .count = 2,
                 .names = NAMES,
                 .report = on_report,
                 .pause = on_pause},
    };
}

static void teller_start(struct world *world, struct queue *queue,
                         struct teller *teller)
{
    queue_upstreams_start(queue, &teller->side);
    until(world->loop, teller->heard[0] > 0 && teller->heard[1] > 0);
}

struct seen {
    bool is_there;
    enum queue_status status;
    struct queue_upstream upstreams[2];
    char why[64];
};

static void on_seen(void *ctx, const struct queue_upstreams *upstreams)
{
    struct seen *seen = ctx;

    seen->is_there = true;
    seen->status = upstreams->status;
    assert_int_equal(upstreams->count, 2);
    memcpy(seen->upstreams, upstreams->upstreams, sizeof seen->upstreams);
    snprintf(seen->why, sizeof seen->why, "%.*s",
             STR_ARG(upstreams->upstreams[0].all.why));
}

static void look(struct world *world, struct seen *seen)
{
    *seen = (struct seen){0};
    queue_upstreams_get(world->queue, NAMES, 2, on_seen, seen);
    until(world->loop, seen->is_there);
}

static void steer(struct world *world,
                  void (*fn)(struct queue *queue, struct str name,
                             queue_answer_fn done, void *ctx),
                  struct str name)
{
    struct answered answered = {0};

    fn(world->queue, name, on_answered, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_OK);
}

static struct queue *another(struct world *world)
{
    struct queue *queue = queue_open(world->loop, &fixture.config, NULL);

    until(world->loop, queue->health.known);
    return queue;
}

static void nobody_tells_of_an_upstream(void **state)
{
    struct world *world = *state;
    struct seen seen;

    look(world, &seen);
    assert_int_equal(seen.status, QUEUE_OK);
    assert_int_equal(seen.upstreams[0].workers, 0);
    assert_int_equal(seen.upstreams[0].paused_ms, 0);
}

static void what_workers_say_is_added_up(void **state)
{
    struct world *world = *state;
    struct queue *second = another(world);
    struct teller tellers[2];
    struct seen seen;

    for (size_t i = 0; i < 2; i++)
        teller_init(&tellers[i]);
    tellers[0].report[0] =
        (struct upstream_report){.trouble = 1,
                                 .why = STR("a \"small\" one"),
                                 .sessions = 3,
                                 .busy = 1,
                                 .limit = 4,
                                 .waiting = 5,
                                 .sent_rate = 1500};
    tellers[1].report[0] = (struct upstream_report){.trouble = 2,
                                                    .why = STR("a big one"),
                                                    .sessions = 2,
                                                    .limit = 4,
                                                    .sent_rate = 250};
    teller_start(world, world->queue, &tellers[0]);
    teller_start(world, second, &tellers[1]);
    look(world, &seen);
    assert_int_equal(seen.upstreams[0].workers, 2);
    assert_int_equal(seen.upstreams[0].all.trouble, 2);
    assert_string_equal(seen.why, "a big one");
    assert_int_equal(seen.upstreams[0].all.sessions, 5);
    assert_int_equal(seen.upstreams[0].all.busy, 1);
    assert_int_equal(seen.upstreams[0].all.limit, 8);
    assert_int_equal(seen.upstreams[0].all.waiting, 5);
    assert_int_equal(seen.upstreams[0].all.sent_rate, 1750);
    assert_int_equal(seen.upstreams[1].workers, 2);
    assert_int_equal(seen.upstreams[1].all.trouble, 0);

    queue_upstreams_stop(second);
    until(world->loop, strcmp(redis_ask("ZCARD ph:u:{main}:alive"), "1") == 0);
    look(world, &seen);
    assert_int_equal(seen.upstreams[0].workers, 1);
    assert_string_equal(seen.why, "a \"small\" one");
    assert_string_equal(redis_ask("HLEN ph:u:{main}:said"), "1");
    queue_close(&second);
}

static void who_died_is_forgotten(void **state)
{
    struct world *world = *state;
    struct teller teller;
    struct seen seen;

    redis_do("ZADD ph:u:{main}:alive 1 dead");
    redis_do("HSET ph:u:{main}:said dead {\"sessions\":7}");
    look(world, &seen);
    assert_int_equal(seen.upstreams[0].workers, 0);
    assert_int_equal(seen.upstreams[0].all.sessions, 0);
    teller_init(&teller);
    teller_start(world, world->queue, &teller);
    assert_string_equal(redis_ask("HLEN ph:u:{main}:said"), "1");
    assert_string_equal(redis_ask("ZCARD ph:u:{main}:alive"), "1");
}

static void a_pause_reaches_who_works_and_who_starts(void **state)
{
    struct world *world = *state;
    struct queue *second = another(world);
    struct teller tellers[2];
    struct seen seen;
    int64_t paused_ms;

    for (size_t i = 0; i < 2; i++)
        teller_init(&tellers[i]);
    teller_start(world, world->queue, &tellers[0]);
    assert_false(tellers[0].is_paused[0]);
    steer(world, queue_upstream_pause, NAMES[0]);
    until(world->loop, tellers[0].is_paused[0]);
    assert_int_equal(tellers[0].heard[0], 2);
    assert_int_equal(tellers[0].heard[1], 1); /* the other one is not */
    teller_start(world, second, &tellers[1]);
    assert_true(tellers[1].is_paused[0]);
    assert_false(tellers[1].is_paused[1]);

    look(world, &seen);
    paused_ms = seen.upstreams[0].paused_ms;
    assert_true(paused_ms > 0);
    steer(world, queue_upstream_pause, NAMES[0]); /* the first time counts */
    look(world, &seen);
    assert_int_equal(seen.upstreams[0].paused_ms, paused_ms);

    steer(world, queue_upstream_resume, NAMES[0]);
    until(world->loop, !tellers[0].is_paused[0] && !tellers[1].is_paused[0]);
    steer(world, queue_upstream_resume, NAMES[0]);
    look(world, &seen);
    assert_int_equal(seen.upstreams[0].paused_ms, 0);
    queue_close(&second);
}

#define UPSTREAM_TEST(fn)                                                      \
    cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(nobody_tells_of_an_upstream),
        UPSTREAM_TEST(what_workers_say_is_added_up),
        UPSTREAM_TEST(who_died_is_forgotten),
        UPSTREAM_TEST(a_pause_reaches_who_works_and_who_starts),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
