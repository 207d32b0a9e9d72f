/* Counting: whatever happens to a delivery keeps the counters even; whatever
 * is broken by hand is noticed, and put back. */
#include "queue/reconcile.h"

#include "script_fixture.h"

#include "worker_fixture.h"

static char id[80];
static char token[64];

static const char *reconcile(struct world *world, const char *what,
                             const char *cursor)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_RECONCILE, 0);
    command_add_cstr(&command, "e1");
    command_add_int(&command, 1);
    command_add_cstr(&command, what);
    command_add_cstr(&command, cursor);
    script_send(world, &command);
    return script_answer.parts[0];
}

static void assert_even(struct world *world, const char *when)
{
    if (strcmp(reconcile(world, "check", ""), "even") != 0)
        fail_msg("%s: %s: %s open, %s leftovers, %s in places", when,
                 script_answer.parts[0], script_answer.parts[1],
                 script_answer.parts[2], script_answer.parts[3]);
}

/* The alarm, then the walk to its end. How many were put back. */
static unsigned mend(struct world *world)
{
    char cursor[64] = "f 0 0";
    unsigned repaired = 0;

    redis_do("DEL ph:{0}:reconcile");
    assert_string_equal(reconcile(world, "count", ""), "odd");
    while (strcmp(reconcile(world, "walk", cursor), "more") == 0) {
        snprintf(cursor, sizeof cursor, "%.60s", script_answer.parts[1]);
        repaired += (unsigned)strtoul(script_answer.parts[2], NULL, 10);
    }
    assert_string_equal(script_answer.parts[0], "done");
    repaired += (unsigned)strtoul(script_answer.parts[2], NULL, 10);
    assert_string_equal(
        redis_ask("EXISTS ph:{0}:walk ph:{0}:walkflows ph:{0}:reconcile"), "0");
    return repaired;
}

static void store(struct world *world, struct mail *mail)
{
    mail_store(world, mail);
    snprintf(id, sizeof id, "%s:0", mail->id.text);
}

static void claim_one(struct world *world)
{
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 1);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
}

static void result(struct world *world, const char *kind, int64_t due_ms)
{
    do_turn(world, &(struct turn){.epoch = "e1",
                                  .id = id,
                                  .token = token,
                                  .kind = kind,
                                  .due_ms = due_ms,
                                  .outcome = "450,\"\",\"later\""});
}

/* --- even --- */

static void a_life_stays_even(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL, .recipients = 3};
    struct mail held = {.mail_class = CLASS_TRANSACTIONAL,
                        .on_unknown = ON_UNKNOWN_HOLD};
    struct mail late = {.mail_class = CLASS_TRANSACTIONAL,
                        .deadline_ms = clock_wall_ms() + 3600000};

    assert_even(world, "empty");
    store(world, &mail);
    assert_even(world, "stored");
    claim_one(world);
    assert_even(world, "claimed");
    result(world, "o", clock_wall_ms() + 60000);
    assert_even(world, "due");
    do_cancel(world, mail.id.text);
    assert_even(world, "canceled, with leftovers in its flow");
    assert_string_equal(redis_ask("HGET ph:{0}:n leftovers"), "2");
    do_retry(world, mail.id.text);
    assert_even(world, "made again");
    do_claim(world, "e1", "main", 10);
    assert_even(world, "leftovers were dropped");
    store(world, &late);
    redis_do("HSET ph:{0}:d:%s x 1", id);
    redis_do("ZADD ph:{0}:exp 1 %s", id);
    do_turn(world, &(struct turn){.epoch = "e1"});
    assert_even(world, "expired by the sweep");
    store(world, &held);
    do_claim(world, "e1", "main", 10);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_true(do_mark(world, "e1", id, token));
    result(world, "u", 0);
    assert_even(world, "held");
    do_release(world, "e1");
    assert_even(world, "released");
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 10);
    assert_string_equal(redis_ask("HGET ph:{0}:n leftovers"), "0");
    assert_even(world, "in the end");
    assert_string_equal(redis_ask("HGET ph:{0}:n odd"), "nil");
}

static void a_late_250_leaves_an_entry(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    store(world, &mail);
    claim_one(world);
    assert_true(do_mark(world, "e1", id, token));
    redis_do("ZADD ph:{0}:workers 1 e1");
    do_register(world, "e2", "", NULL, NULL);
    do_turn(world, &(struct turn){.epoch = "e2"});
    do_turn(world, &(struct turn){
                       .epoch = "e2", .id = id, .token = token, .kind = "s"});
    assert_even(world, "sent, and still in its flow");
    assert_string_equal(redis_ask("HGET ph:{0}:n leftovers"), "1");
    do_claim(world, "e2", "main", 1);
    assert_even(world, "dropped");
}

static void a_suspect_is_counted(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    store(world, &mail);
    claim_one(world);
    do_release_suspect(world, "e1", id);
    assert_even(world, "suspect");
    do_cancel(world, mail.id.text);
    assert_even(world, "canceled among the suspects");
}

static void only_one_counts_at_a_time(void **state)
{
    struct world *world = *state;

    redis_do("SET ph:{0}:reconcile other PX 10000");
    assert_string_equal(reconcile(world, "count", ""), "later");
    assert_string_equal(reconcile(world, "walk", "f 0 0"), "done");
}

/* --- broken by hand --- */

static const struct wound {
    const char *name;
    char state; /* of the delivery */
    const char *command;
} WOUNDS[] = {
    {"not in its flow", 'q', "DEL ph:{0}:q:2:default:main"},
    {"not in due", 'u', "DEL ph:{0}:due:2"},
    {"claimed, and held by nobody", 'c', "DEL ph:{0}:own:e1"},
    {"claimed by a child that is forgotten", 'c', "ZREM ph:{0}:workers e1"},
    {"marked, and held by nobody", 'x', "DEL ph:{0}:own:e1"},
    {"not in held", 'h', "DEL ph:{0}:held"},
    {"not in dead", 'k', "DEL ph:{0}:dead"},
    {"not among the suspects", 's', "DEL ph:{0}:suspect"},
};

static void into(struct world *world, char state)
{
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL,
                        .on_unknown =
                            state == 'h' ? ON_UNKNOWN_HOLD : ON_UNKNOWN_RETRY};

    redis_do("FLUSHDB");
    store(world, &mail);
    if (state == 'q') {
        do_register(world, "e1", "", NULL, NULL);
        return;
    }
    claim_one(world);
    if (state == 'u')
        result(world, "o", clock_wall_ms() + 60000);
    if (state == 'x' || state == 'h')
        assert_true(do_mark(world, "e1", id, token));
    if (state == 'h')
        result(world, "u", 0);
    if (state == 'k')
        redis_do("HSET ph:{0}:d:%s sc 4 al %s", id, token);
    if (state == 'k' || state == 's') {
        do_release_suspect(world, "e1", id);
        do_register(world, "e1", "", NULL, NULL);
    }
    assert_even(world, "as it should be");
}

static void what_is_nowhere_is_put_back(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(WOUNDS); i++) {
        const struct wound *wound = &WOUNDS[i];

        into(world, wound->state);
        redis_do(wound->command);
        if (mend(world) != 1)
            fail_msg("%s: not put back", wound->name);
        assert_string_equal(script_answer.parts[3], "0");
        assert_even(world, wound->name);
        assert_string_equal(redis_ask("HGET ph:{0}:n odd"), "1");
        redis_do("DEL ph:{0}:reconcile");
        assert_string_equal(reconcile(world, "count", ""), "even");
    }
}

/* Put back, it goes on as ever. */
static void what_was_lost_is_claimed(void **state)
{
    struct world *world = *state;

    into(world, 'q');
    redis_do("DEL ph:{0}:q:2:default:main ph:{0}:ring:2:main");
    assert_int_equal(mend(world), 1);
    do_claim(world, "e1", "main", 1);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s s", id), "c");
    into(world, 'c');
    redis_do("DEL ph:{0}:own:e1");
    redis_do("ZREM ph:{0}:workers e1");
    assert_int_equal(mend(world), 1);
    do_register(world, "e2", "", NULL, NULL);
    do_turn(world, &(struct turn){.epoch = "e2"});
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s s", id), "q");
}

/* A flow without its place in the ring is in no place, with all it holds. */
static void a_flow_that_no_claim_looks_at_is_put_back(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    store(world, &mail);
    store(world, &(struct mail){.mail_class = CLASS_TRANSACTIONAL});
    redis_do("DEL ph:{0}:ring:2:main ph:{0}:routes");
    assert_int_equal(mend(world), 2);
    assert_even(world, "walked");
    assert_string_equal(redis_ask("HGET ph:{0}:n leftovers"), "nil");
    assert_string_equal(redis_ask("SMEMBERS ph:{0}:routes"), "main");
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 2);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s s", id), "c");
}

/* One of an owner who is being moved is off on purpose. */
static void a_flow_that_is_packed_stays_off(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    store(world, &mail);
    redis_do("DEL ph:{0}:ring:2:main");
    redis_do("HSET ph:{0}:o:default frozen leaving");
    assert_int_equal(mend(world), 0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:ring:2:main"), "0");
}

static void an_entry_without_a_delivery_is_booked(void **state)
{
    struct world *world = *state;

    into(world, 'q');
    redis_do("RPUSH ph:{0}:q:2:default:main nothing:0");
    assert_int_equal(mend(world), 0);
    assert_string_equal(script_answer.parts[3], "1");
    assert_even(world, "booked");
    do_claim(world, "e1", "main", 10);
    assert_even(world, "dropped");
    assert_string_equal(redis_ask("HGET ph:{0}:n leftovers"), "0");
}

/* A long flow is walked in steps, and none of its mail is pushed again. */
static void a_long_flow_is_walked(void **state)
{
    struct world *world = *state;

    into(world, 'q');
    redis_do("EVAL %s 1 ph:{0}:",
             "local P = KEYS[1] for i = 1, 12000 do local id = "
             "string.format('0189c000-0000-7000-8000-%012d:0', i) "
             "redis.call('HSET', P .. 'd:' .. id, 's', 'q', 'i', "
             "'0 1 2 default main') redis.call('RPUSH', P .. "
             "'q:2:default:main', id) end redis.call('HINCRBY', P .. 'n', "
             "'accepted', 12000)");
    assert_even(world, "long");
    redis_do("LPOP ph:{0}:q:2:default:main");
    assert_int_equal(mend(world), 1);
    assert_string_equal(redis_ask("LLEN ph:{0}:q:2:default:main"), "12001");
}

/* --- a child does it by itself --- */

static struct queue_check seen;
static bool is_seen;

static void on_check(void *ctx, const struct queue_check *check)
{
    (void)ctx;
    seen = *check;
    is_seen = true;
}

static void check(struct world *world)
{
    is_seen = false;
    queue_check_get(world->queue, on_check, NULL);
    until(world->loop, is_seen);
    assert_int_equal(seen.status, QUEUE_OK);
}

static void a_child_notices(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};
    struct worker worker;

    mail_store(world, &mail);
    check(world);
    assert_true(seen.is_even && seen.is_known);
    assert_int_equal(seen.open, 1);
    assert_int_equal(seen.in_places, 1);
    redis_do("DEL ph:{0}:q:2:default:main ph:{0}:ring:2:main");
    check(world);
    assert_false(seen.is_even);
    assert_int_equal(seen.in_places, 0);
    worker_start(&worker, world->queue, 1);
    until(world->loop, worker.count == 1);
    check(world);
    assert_true(seen.is_even);
    assert_int_equal(seen.odd_count, 1);
    worker_report(&worker, 0, OUTCOME_BOUNCED, 0);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "1") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_life_stays_even),
        WORLD_TEST(a_late_250_leaves_an_entry),
        WORLD_TEST(a_suspect_is_counted),
        WORLD_TEST(only_one_counts_at_a_time),
        WORLD_TEST(what_is_nowhere_is_put_back),
        WORLD_TEST(what_was_lost_is_claimed),
        WORLD_TEST(a_flow_that_no_claim_looks_at_is_put_back),
        WORLD_TEST(a_flow_that_is_packed_stays_off),
        WORLD_TEST(an_entry_without_a_delivery_is_booked),
        WORLD_TEST(a_long_flow_is_walked),
        WORLD_TEST(a_child_notices),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
