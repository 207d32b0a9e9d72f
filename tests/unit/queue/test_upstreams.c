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
    unsigned tested[2];
    char test[64];
    bool is_traced[2];
    int64_t max_sessions[2];
    char seat[16];
    size_t share[2];
};

static void on_report(void *ctx, size_t index, struct upstream_report *out)
{
    struct teller *teller = ctx;

    teller->asked++;
    *out = teller->report[index];
}

static void on_share(void *ctx, size_t index, size_t sessions)
{
    struct teller *teller = ctx;

    teller->share[index] = sessions;
}

static void on_pause(void *ctx, size_t index, bool is_paused)
{
    struct teller *teller = ctx;

    teller->heard[index]++;
    teller->is_paused[index] = is_paused;
}

static void on_test(void *ctx, size_t index, struct str test)
{
    struct teller *teller = ctx;

    teller->tested[index]++;
    snprintf(teller->test, sizeof teller->test, "%.*s", STR_ARG(test));
}

static void on_trace(void *ctx, size_t index, bool is_traced)
{
    struct teller *teller = ctx;

    teller->is_traced[index] = is_traced;
}

static void teller_init(struct teller *teller)
{
    static unsigned seats;

    *teller = (struct teller){
        .max_sessions = {8, 1},
        .side = {.ctx = teller,
                 .count = 2,
                 .names = NAMES,
                 .report = on_report,
                 .max_sessions = teller->max_sessions,
                 .seat = teller->seat,
                 .share = on_share,
                 .pause = on_pause,
                 .test = on_test,
                 .trace = on_trace},
    };
    snprintf(teller->seat, sizeof teller->seat, "seat%u", seats++);
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

/* A worker that comes gets sessions as others give them up: never are there
 * more than the limit. */
static void sessions_change_hands(void **state)
{
    struct world *world = *state;
    struct queue *second = another(world);
    struct teller tellers[2];

    for (size_t i = 0; i < 2; i++)
        teller_init(&tellers[i]);
    teller_start(world, world->queue, &tellers[0]);
    assert_int_equal(tellers[0].share[0], 8);
    assert_int_equal(tellers[0].share[1], 1);
    tellers[0].report[0].sessions = 7;
    teller_start(world, second, &tellers[1]);
    assert_int_equal(tellers[1].share[0], 0);
    until(world->loop, tellers[0].share[0] == 4);
    assert_int_equal(tellers[1].share[0], 0); /* 7 are open */
    tellers[0].report[0].sessions = 6;
    until(world->loop, tellers[1].share[0] > 0);
    assert_int_equal(tellers[1].share[0], 2);
    tellers[0].report[0].sessions = 1;
    until(world->loop, tellers[1].share[0] == 4);
    assert_int_equal(tellers[0].share[1] + tellers[1].share[1], 1);

    queue_upstreams_stop(world->queue);
    until(world->loop, tellers[1].share[0] == 8 && tellers[1].share[1] == 1);
    assert_string_equal(redis_ask("HLEN ph:u:{main}:shares"), "1");
    queue_close(&second);
}

/* One that died is not waited for: its sessions died with it. */
static void a_seat_is_taken_over(void **state)
{
    struct world *world = *state;
    struct queue *second = another(world);
    struct teller tellers[2];

    for (size_t i = 0; i < 2; i++)
        teller_init(&tellers[i]);
    memcpy(tellers[1].seat, tellers[0].seat, sizeof tellers[0].seat);
    teller_start(world, world->queue, &tellers[0]);
    teller_start(world, second, &tellers[1]);
    assert_int_equal(tellers[1].share[0], 8);
    queue_upstreams_stop(world->queue); /* as at a reload */
    until(world->loop, strcmp(redis_ask("ZCARD ph:u:{main}:alive"), "1") == 0);
    assert_string_equal(
        redis_ask("HGET ph:u:{main}:shares %s", tellers[1].seat), "8");
    queue_close(&second);
}

struct tested {
    unsigned count;
    enum queue_status status;
    char result[64];
};

static void on_tested(void *ctx, const struct queue_upstream_test *test)
{
    struct tested *tested = ctx;

    tested->count++;
    tested->status = test->status;
    snprintf(tested->result, sizeof tested->result, "%.*s",
             STR_ARG(test->result));
}

/* Two workers, and two who ask within a moment. */
static void one_worker_takes_a_test(void **state)
{
    struct world *world = *state;
    struct queue *second = another(world);
    struct teller tellers[2];
    struct tested tested[2] = {{0}};

    for (size_t i = 0; i < 2; i++)
        teller_init(&tellers[i]);
    teller_start(world, world->queue, &tellers[0]);
    teller_start(world, second, &tellers[1]);
    for (size_t i = 0; i < 2; i++)
        queue_upstream_test(world->queue, NAMES[0], on_tested, &tested[i]);
    until(world->loop, tellers[0].tested[0] + tellers[1].tested[0] > 0);
    queue_upstream_tested(world->queue, NAMES[0],
                          str_of(tellers[tellers[1].tested[0]].test), S("{1}"));
    until(world->loop, tested[0].count + tested[1].count == 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(tested[i].status, QUEUE_OK);
        assert_string_equal(tested[i].result, "{1}");
    }
    assert_int_equal(tellers[0].tested[0] + tellers[1].tested[0], 1);
    assert_int_equal(tellers[0].tested[1] + tellers[1].tested[1], 0);
    queue_close(&second);
}

static void a_test_that_nobody_takes(void **state)
{
    struct world *world = *state;
    struct tested tested = {0};
    int64_t began_ms = clock_now_ms();

    queue_upstream_test(world->queue, NAMES[0], on_tested, &tested);
    until(world->loop, tested.count > 0);
    assert_int_equal(tested.status, QUEUE_OK);
    assert_string_equal(tested.result, "");
    assert_true(clock_now_ms() - began_ms < UPSTREAM_TEST_MAX_MS);
    until(world->loop, redis_ask("KEYS ph:u:*")[0] == '\0');
}

struct traced {
    unsigned count;
    size_t lines;
    char first[64];
    char last[UPSTREAM_TRACE_ID_SIZE];
};

static void on_traced(void *ctx, const struct queue_upstream_trace *trace)
{
    struct traced *traced = ctx;

    assert_int_equal(trace->status, QUEUE_OK);
    traced->count++;
    traced->lines = trace->count;
    if (trace->count > 0)
        snprintf(traced->first, sizeof traced->first, "%.*s",
                 STR_ARG(trace->lines[0]));
    snprintf(traced->last, sizeof traced->last, "%s", trace->last);
}

static void trace(struct world *world, struct traced *traced)
{
    char last[UPSTREAM_TRACE_ID_SIZE];

    snprintf(last, sizeof last, "%s", traced->last);
    traced->count = 0;
    queue_upstream_trace(world->queue, NAMES[0], last, on_traced, traced);
    until(world->loop, traced->count > 0);
}

static void a_trace_is_told_while_somebody_watches(void **state)
{
    struct world *world = *state;
    struct teller teller;
    struct traced traced = {0};

    teller_init(&teller);
    teller_start(world, world->queue, &teller);
    queue_upstream_traced(world->queue, NAMES[0], S("{0}"));
    until(world->loop, strcmp(redis_ask("XLEN ph:u:{main}:trail"), "1") == 0);
    trace(world, &traced);
    until(world->loop, teller.is_traced[0]);
    assert_false(teller.is_traced[1]);
    traced = (struct traced){.last = "1-0"};
    trace(world, &traced);
    assert_int_equal(traced.lines, 1);
    assert_string_equal(traced.first, "{0}");
    queue_upstream_traced(world->queue, NAMES[0], S("{2}"));
    until(world->loop, strcmp(redis_ask("XLEN ph:u:{main}:trail"), "2") == 0);
    trace(world, &traced);
    assert_int_equal(traced.lines, 1);
    assert_string_equal(traced.first, "{2}");
    redis_do("DEL ph:u:{main}:trace"); /* as after 5 s */
    until(world->loop, !teller.is_traced[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(sessions_change_hands),
        UPSTREAM_TEST(a_seat_is_taken_over),
        UPSTREAM_TEST(one_worker_takes_a_test),
        UPSTREAM_TEST(a_test_that_nobody_takes),
        UPSTREAM_TEST(a_trace_is_told_while_somebody_watches),
        UPSTREAM_TEST(nobody_tells_of_an_upstream),
        UPSTREAM_TEST(what_workers_say_is_added_up),
        UPSTREAM_TEST(who_died_is_forgotten),
        UPSTREAM_TEST(a_pause_reaches_who_works_and_who_starts),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
