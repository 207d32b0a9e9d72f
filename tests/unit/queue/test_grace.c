/* Time in scripts, and the grace that living children get when Redis was away
 * or its clock stepped: a test for each sentence of docs/queue.md about it.
 * And what another master makes of claims. */
#include "script_fixture.h"

static char id[80]; /* of a delivery that e1 holds, and e1 is silent */
static char token[64];
static int64_t offset_ms; /* of Redis' clock */

static void step(int64_t ms)
{
    offset_ms += ms;
    redis_do("HSET ph:meta test_offset_ms %lld", (long long)offset_ms);
}

/* A heartbeat; answers Redis' time. */
static int64_t beat(struct world *world, const char *epoch)
{
    do_turn(world, &(struct turn){.epoch = epoch});
    return strtoll(script_answer.parts[T_NOW], NULL, 10);
}

static const char *state_now(void)
{
    return redis_ask("HGET ph:{0}:d:%s s", id);
}

static int64_t expiry_of(const char *epoch)
{
    return strtoll(redis_ask("ZSCORE ph:{0}:workers %s", epoch), NULL, 10);
}

/* e1 holds a delivery in that state ('c' or 'x'), e2 is alive. */
static void begin(struct world *world, char state)
{
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL,
                        .max_age_ms = 259200000};

    redis_do("FLUSHDB");
    offset_ms = 0;
    mail_store(world, &mail);
    snprintf(id, sizeof id, "%s:0", mail.id.text);
    do_register(world, "e1", "", NULL, NULL);
    do_register(world, "e2", "", NULL, NULL);
    do_claim(world, "e1", "main", 1);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    if (state == 'x')
        assert_true(do_mark(world, "e1", id, token));
    beat(world, "e2");
}

/* Until just behind the end of e1's lease, with heartbeats of another. */
static void let_lease_end(struct world *world, const char *living)
{
    for (int i = 0; i <= 5; i++) {
        step(LEASE_MS / 5 + 1);
        beat(world, living);
    }
}

/* Nobody was heard for so long; then e2's child is e3. Answers Redis' time. */
static int64_t be_away(struct world *world, int64_t ms)
{
    step(ms);
    do_register(world, "e3", "e2", NULL, NULL);
    return beat(world, "e3");
}

/* e1's child is e4, and says that its delivery was sent: that counts. */
static void tell_sent(struct world *world)
{
    do_register(world, "e4", "e1", id, token);
    do_turn(world, &(struct turn){.epoch = "e4",
                                  .id = id,
                                  .token = token,
                                  .kind = "s",
                                  .outcome = "250,\"\",\"\""});
    assert_string_equal(script_answer.parts[T_REFUSED], "0");
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s", id), "0"); /* final */
}

static void without_grace_a_lease_ends(void **state)
{
    struct world *world = *state;

    begin(world, 'x');
    let_lease_end(world, "e2");
    assert_string_equal(state_now(), "q");
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s dup", id), "1");
}

/* "Behind by more: until then no dotted delivery is taken back." */
static void an_outage_beyond_the_lease_takes_nothing_marked(void **state)
{
    struct world *world = *state;
    int64_t now;

    begin(world, 'x');
    now = be_away(world, 90000);
    assert_string_equal(state_now(), "x");
    for (int i = 0; i < 10; i++) { /* two leases */
        step(LEASE_MS / 5 - 100);
        beat(world, "e3");
        assert_string_equal(state_now(), "x");
    }
    step(1001);
    assert_true(beat(world, "e3") >= now + 2 * LEASE_MS);
    assert_string_equal(state_now(), "q");
}

/* Its worker comes back within the grace, with what it had in hand. */
static void who_comes_back_keeps_what_it_marked(void **state)
{
    struct world *world = *state;

    begin(world, 'x');
    be_away(world, 90000);
    tell_sent(world);
}

/* "Claimed ones may be taken back: the mark fences them." */
static void an_outage_gives_back_what_was_only_claimed(void **state)
{
    struct world *world = *state;

    begin(world, 'c');
    be_away(world, 90000);
    assert_string_equal(state_now(), "q");
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s dup", id), "nil");
    do_register(world, "e4", "e1", id, token);
    do_claim(world, "e3", "main", 1);
    assert_false(do_mark(world, "e4", id, token));
}

/* "Behind it by at most 1 s: beat counts." */
static void a_little_back_is_no_step(void **state)
{
    struct world *world = *state;
    int64_t before;

    begin(world, 'x');
    step(3000);
    before = beat(world, "e2");
    step(-900);
    assert_int_equal(beat(world, "e2"), before);
    step(900);
    let_lease_end(world, "e2");
    assert_string_equal(state_now(), "q");
}

/* "Behind by more: beat is set to TIME; a worker's expiry beyond now + lease
 * is cut to it." */
static void a_step_back_gives_grace_and_cuts_leases(void **state)
{
    struct world *world = *state;
    int64_t before;
    int64_t now;

    begin(world, 'x');
    before = beat(world, "e2");
    step(-3600000);
    now = beat(world, "e2");
    assert_true(now < before - 3000000);
    assert_int_equal(expiry_of("e1"), now + LEASE_MS);
    assert_int_equal(expiry_of("e2"), now + LEASE_MS);
    let_lease_end(world, "e2"); /* a lease, not an hour and a lease */
    assert_string_equal(state_now(), "x");
    let_lease_end(world, "e2");
    assert_string_equal(state_now(), "q");
}

/* "Or ahead by more than lease/3." */
static void a_step_ahead_gives_grace(void **state)
{
    struct world *world = *state;

    begin(world, 'x');
    be_away(world, 3600000);
    assert_string_equal(state_now(), "x");
}

/* Heartbeats that come late by less are none. */
static void a_third_of_a_lease_is_no_outage(void **state)
{
    struct world *world = *state;

    begin(world, 'x');
    for (int i = 0; i < 4; i++) {
        step(LEASE_MS / 3 - 100);
        beat(world, "e2");
    }
    assert_string_equal(state_now(), "q");
}

/* "Workers register first after a reconnect": a lease that ended in the
 * outage is one that the turn still knows, a flushed one is not. */
static void a_turn_of_nobody_is_refused(void **state)
{
    struct world *world = *state;
    struct redis_command command;

    begin(world, 'x');
    redis_do("ZREM ph:{0}:workers e2");
    command_init_partition(&command, world->queue, SCRIPT_TURN, 0);
    command_add_cstr(&command, "e2");
    command_add_int(&command, LEASE_MS);
    for (int i = 0; i < 6; i++)
        command_add_cstr(&command, "0");
    script_send(world, &command);
    assert_string_equal(script_answer.parts[0], "unregistered");
    assert_string_equal(state_now(), "x");
}

/* --- another master --- */

static int master_setup(void **state)
{
    script_master = "a:6379";
    return world_setup(state);
}

static int master_teardown(void **state)
{
    script_master = "";
    return world_teardown(state);
}

#define MASTER_TEST(fn)                                                        \
    cmocka_unit_test_setup_teardown(fn, master_setup, master_teardown)

static void fail_over(struct world *world)
{
    script_master = "b:6379";
    do_register(world, "e3", "e2", NULL, NULL);
}

/* A claim of the dead without a mark: the old master may have had the mark. */
static void a_failover_makes_claims_of_the_dead_unknown(void **state)
{
    struct world *world = *state;

    begin(world, 'c');
    fail_over(world);
    let_lease_end(world, "e3");
    assert_string_equal(state_now(), "q");
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s a dup", id), "1 1");
    assert_string_equal(redis_ask("EXISTS ph:{0}:unsure"), "0");
}

static void a_failover_lets_no_claim_go_at_once(void **state)
{
    struct world *world = *state;

    begin(world, 'c');
    fail_over(world);
    do_release(world, "e1");
    assert_string_equal(state_now(), "c");
}

/* Nor is one that has killed its child five times sent again without a word. */
static void a_failover_flags_what_is_dead(void **state)
{
    struct world *world = *state;

    begin(world, 'c');
    redis_do("HSET ph:{0}:d:%s sc 4 al %s", id, token);
    fail_over(world);
    do_release_suspect(world, "e1", id);
    assert_string_equal(state_now(), "k");
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s dup", id), "1");
}

static void the_same_master_lets_claims_go(void **state)
{
    struct world *world = *state;

    begin(world, 'c');
    do_register(world, "e3", "e2", NULL, NULL);
    do_release(world, "e1");
    assert_string_equal(state_now(), "q");
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s dup", id), "nil");
}

/* Who lives knows what it did: its word counts, though the mark is lost. */
static void who_lives_tells_what_became_of_it(void **state)
{
    struct world *world = *state;

    begin(world, 'c');
    fail_over(world);
    tell_sent(world);
}

/* "allow-oom on everything that finishes work, not on enqueue." */
static void a_full_redis_runs_what_finishes_work(void **state)
{
    static const struct {
        enum script script;
        bool runs;
    } rows[] = {
        {SCRIPT_TURN, true},          {SCRIPT_MARK, true},
        {SCRIPT_CANCEL, true},        {SCRIPT_RETRY, true},
        {SCRIPT_RESCHEDULE, true},    {SCRIPT_REGISTER, true},
        {SCRIPT_RELEASE, true},       {SCRIPT_REPLAY, true},
        {SCRIPT_FANOUT, true},        {SCRIPT_PROJECT, true},
        {SCRIPT_SWEEP, true},         {SCRIPT_TASK_TURN, true},
        {SCRIPT_TASK_REGISTER, true}, {SCRIPT_PARKED_MOVE, true},
        {SCRIPT_ENQUEUE, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf text;
        struct str rest;
        struct str line;

        buf_init(&text, 1 << 20);
        script_add_text(rows[i].script, &text);
        rest = buf_str(&text);
        assert_true(str_cut(&rest, '\n', &line));
        if (str_contains(line, S("allow-oom")) != rows[i].runs)
            fail_msg("%s: %.*s", script_name(rows[i].script), STR_ARG(line));
        buf_finish(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(without_grace_a_lease_ends),
        WORLD_TEST(an_outage_beyond_the_lease_takes_nothing_marked),
        WORLD_TEST(who_comes_back_keeps_what_it_marked),
        WORLD_TEST(an_outage_gives_back_what_was_only_claimed),
        WORLD_TEST(a_little_back_is_no_step),
        WORLD_TEST(a_step_back_gives_grace_and_cuts_leases),
        WORLD_TEST(a_step_ahead_gives_grace),
        WORLD_TEST(a_third_of_a_lease_is_no_outage),
        WORLD_TEST(a_turn_of_nobody_is_refused),
        MASTER_TEST(a_failover_makes_claims_of_the_dead_unknown),
        MASTER_TEST(a_failover_lets_no_claim_go_at_once),
        MASTER_TEST(a_failover_flags_what_is_dead),
        MASTER_TEST(the_same_master_lets_claims_go),
        MASTER_TEST(who_lives_tells_what_became_of_it),
        WORLD_TEST(a_full_redis_runs_what_finishes_work),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
