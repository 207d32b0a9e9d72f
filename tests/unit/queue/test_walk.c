/* A random walk through the queue: callers, workers, operators and hooks do
 * what comes into their heads, and behind each step everything in Redis must
 * be in its place, each delivery in a state that the state table allows, and
 * nothing told twice or not at all. At the end all mail ends, and nothing of
 * it stays.
 *
 *     WALK_SEED=n   that walk alone; the same steps each time
 *     WALK_SEEDS=n  n walks, from WALK_SEED on (1)
 *     WALK_STEPS=n  of each walk
 *     WALK_TRACE=1  says what is done
 *
 * walk_world.h   dice, the clock, scripts
 * walk_model.h   what a delivery must be
 * walk_audit.h   what is looked at, walk_audit.lua how
 * walk_mail.h    what callers do
 * walk_worker.h  what children do
 * walk_owner.h   what operators do, moves above all
 * walk_hooks.h   what hooks do, and what sweeps
 */
#include "walk_audit.h"
#include "walk_hooks.h"
#include "walk_mail.h"
#include "walk_owner.h"
#include "walk_worker.h"

/* What tests/run.sh runs: as many walks as fit into some ten seconds. */
enum { SEEDS = 8, STEPS = 500, FIRST_SEED = 1 };

static void op_clock(struct walk *walk)
{
    int64_t ms = TICK_MS;

    if (one_in(walk, 40))
        ms = (1 + (int64_t)roll(walk, 5)) * WALK_DAY_MS;
    else if (one_in(walk, 4))
        ms = some_minutes(walk, 300);
    else if (!one_in(walk, 3)) /* nobody thinks that Redis was away */
        ms = some_minutes(walk, WALK_LEASE_MS / TICK_MS / 4);
    note(walk, NO_EMAIL, "%lld minutes pass", (long long)(ms / TICK_MS));
    pass_time(walk, ms);
}

static const struct op {
    void (*run)(struct walk *walk);
    unsigned weight;
} OPS[] = {
    {op_store, 24},     {op_turn, 30},        {op_mark, 18},
    {op_cancel, 4},     {op_retry, 5},        {op_reschedule, 4},
    {op_parked, 3},     {op_feedback, 2},     {op_keep_off, 1},
    {op_let_in, 2},     {op_register, 3},     {op_die, 4},
    {op_token, 10},     {op_alone, 6},        {op_replay, 2},
    {op_freeze, 2},     {op_limit, 1},        {op_move, 14},
    {op_kill_mover, 2}, {op_move_by_door, 1}, {op_endpoint, 2},
    {op_hooks, 10},     {op_sweep, 3},        {op_reconcile, 1},
    {op_clock, 6},
};

static void run_op(struct walk *walk)
{
    unsigned sum = 0;
    unsigned dice;

    for (size_t i = 0; i < COUNT_OF(OPS); i++)
        sum += OPS[i].weight;
    dice = roll(walk, sum);
    for (size_t i = 0; i < COUNT_OF(OPS); i++) {
        if (dice < OPS[i].weight) {
            OPS[i].run(walk);
            return;
        }
        dice -= OPS[i].weight;
    }
}

static void take_step(struct walk *walk, void (*run)(struct walk *walk))
{
    walk->step++;
    new_dice(walk);
    pass_time(walk, TICK_MS);
    begin_step(walk);
    run(walk);
    audit(walk);
}

/* --- the end --- */

/* Each child tells that all it held was sent. */
static void send_all(struct walk *walk, struct walk_child *child,
                     unsigned partition)
{
    struct walk_turn turn = {.child = child, .partition = partition};

    while (turn.result_count < WALK_RESULTS_MAX && holds(child, partition)) {
        size_t i = child->held_count - 1;

        while (child->held[i].partition != partition)
            i--;
        turn.results[turn.result_count++] =
            (struct walk_result){.claim = child->held[i], .kind = 's'};
        child->held[i] = child->held[--child->held_count];
    }
    for (unsigned route = 0; route < WALK_ROUTES; route++) {
        turn.is_asked[route] = !child->is_alone[partition];
        for (unsigned lane = 0; lane < LANE_COUNT; lane++)
            turn.room[route][lane] = ROOM_FOR_ALL;
    }
    send_turn(walk, &turn);
}

static void drain_turns(struct walk *walk)
{
    unsigned at = walk->step % (WALK_CHILDREN * WALK_PARTITIONS);
    struct walk_child *child = &walk->children[at / WALK_PARTITIONS];
    unsigned partition = at % WALK_PARTITIONS;

    if (child->epoch[partition][0] == '\0')
        register_child(walk, child, partition);
    else
        send_all(walk, child, partition);
}

static void drain_move(struct walk *walk)
{
    for (unsigned i = 0; i < WALK_OWNERS; i++)
        if (strcmp(redis_ask("HEXISTS ph:meta move:%s", WALK_OWNER[i]), "1") ==
            0)
            move_by_door(walk, i);
}

static void drain_flags(struct walk *walk)
{
    for (unsigned i = 0; i < WALK_OWNERS; i++) {
        struct answered answered = {0};

        queue_owner_freeze(walk->queue, str_of(WALK_OWNER[i]), false,
                           on_answered, &answered);
        walk_until(walk, answered.count > 0);
        if (answered.status != QUEUE_OK)
            walk_fail(walk, NO_EMAIL, "%s cannot be thawed", WALK_OWNER[i]);
    }
}

static void drain_time(struct walk *walk)
{
    pass_time(walk, WALK_LEASE_MS / 8);
}

static bool is_drained(const struct walk *walk)
{
    for (size_t i = 0; i < walk->email_count; i++)
        for (unsigned n = 0; n < walk->emails[i].count; n++)
            if (is_open_state(walk->emails[i].deliveries[n].state))
                return false;
    return true;
}

/* Entries of what was canceled meanwhile are dropped by a look. */
static void drain_suspects(struct walk *walk)
{
    struct walk_child *child = &walk->children[0];

    for (unsigned i = 0; i < WALK_PARTITIONS; i++) {
        if (child->epoch[i][0] == '\0')
            register_child(walk, child, i);
        ask_alone(walk, child, i, "look");
    }
}

enum { DRAIN_ROUNDS = 600 };

static void drain(struct walk *walk)
{
    note(walk, NO_EMAIL, "all ends");
    take_step(walk, drain_move);
    take_step(walk, drain_flags);
    for (unsigned i = 0; i < DRAIN_ROUNDS && !is_drained(walk); i++) {
        for (unsigned k = 0; k < WALK_CHILDREN * WALK_PARTITIONS; k++)
            take_step(walk, drain_turns);
        take_step(walk, op_alone);
        take_step(walk, op_parked);
        take_step(walk, drain_time);
    }
    for (size_t i = 0; i < walk->email_count; i++)
        for (unsigned n = 0; n < walk->emails[i].count; n++)
            if (is_open_state(walk->emails[i].deliveries[n].state))
                walk_fail(walk, i, "e%zu:%u does not end", i, n);
    take_step(walk, drain_suspects);
}

/* Tasks end as they come; at the end their endpoints go. */
static void drain_hooks(struct walk *walk)
{
    char owner[64];

    for (unsigned i = 0; i < WALK_PARTITIONS; i++) {
        do {
            fan_out(walk, i, owner, sizeof owner);
            if (owner[0] != '\0')
                project(walk, i, owner);
        } while (owner[0] != '\0');
    }
}

static void drain_endpoints(struct walk *walk)
{
    struct id id;

    for (unsigned i = 0; i < WALK_OWNERS; i++) {
        while (pick_endpoint(walk, i, &id)) {
            struct answered answered = {0};

            queue_endpoint_delete(walk->queue, walk_owner(walk, i), &id,
                                  on_answered, &answered);
            walk_until(walk, answered.count > 0);
        }
    }
}

static void drain_tasks(struct walk *walk)
{
    struct walk_hook *hook =
        &walk->hooks[walk->step % (WALK_HOOKS * WALK_PARTITIONS)];

    pass_time(walk, WALK_HOUR_MS);
    if (hook->epoch[0] == '\0')
        register_hook(walk, hook);
    else
        turn_hook(walk, hook);
}

static void sweep_all(struct walk *walk)
{
    for (unsigned i = 0; i < WALK_PARTITIONS; i++)
        while (sweep(walk, i, 0))
            continue;
}

/* What is left when all mail is gone. */
static void check_empty(struct walk *walk)
{
    static const char *const KINDS[] = {
        "c:*",      "d:*",   "h:*",     "q:*",     "ring:*", "due:*",
        "exp",      "held",  "dead",    "suspect", "own:*",  "ended",
        "arrived*", "bag:*", "flows:*", "mo:*",    "t:*",    "a:*",
        "w:*",      "wring", "wdue",    "evold",   "x:*",    "wown:*"};

    for (unsigned i = 0; i < WALK_PARTITIONS; i++) {
        for (size_t k = 0; k < COUNT_OF(KINDS); k++) {
            const char *keys = redis_ask("KEYS ph:{%u}:%s", i, KINDS[k]);

            if (keys[0] != '\0')
                walk_fail(walk, NO_EMAIL, "it stays: %s", keys);
        }
        if (strtoll(redis_ask("HGET ph:{%u}:n history_bytes", i), NULL, 10) !=
            0)
            walk_fail(walk, NO_EMAIL, "{%u}: history of nothing", i);
    }
}

static void sweep_out(struct walk *walk)
{
    take_step(walk, drain_hooks);
    take_step(walk, drain_endpoints);
    for (unsigned i = 0; i < 60; i++)
        take_step(walk, drain_tasks);
    pass_time(walk, 100 * WALK_DAY_MS);
    take_step(walk, sweep_all);
    check_empty(walk);
}

/* --- a walk --- */

static void make_owners(struct walk *walk)
{
    for (unsigned i = 0; i < WALK_OWNERS; i++) {
        walk->owners[i].home = i % WALK_PARTITIONS;
        redis_do("HSET ph:o:%s partition %u", WALK_OWNER[i],
                 walk->owners[i].home);
        redis_do("HINCRBY ph:meta owners:%u 1", walk->owners[i].home);
    }
}

static void make_keyring(struct walk *walk)
{
    char path[128];
    struct error err;

    snprintf(path, sizeof path, "%s/keyring", fixture.dir);
    unlink(path);
    assert_true(keyring_create(path, &err));
    walk->keyring = keyring_load(path, &err);
    assert_non_null(walk->keyring);
}

static struct walk *walk_create(uint32_t seed)
{
    struct walk *walk = calloc(1, sizeof *walk);

    walk->lines = calloc(WALK_LINES_MAX, sizeof *walk->lines);
    walk->seed = seed;
    new_dice(walk);
    walk->now_ms = WALK_BEGIN_MS;
    redis_do("FLUSHALL");
    set_clock(walk);
    redis_do("HSET ph:meta partitions %d", WALK_PARTITIONS);
    make_keyring(walk);
    make_owners(walk);
    for (unsigned i = 0; i < WALK_CHILDREN; i++)
        child_begin(walk, &walk->children[i]);
    for (unsigned i = 0; i < WALK_HOOKS * WALK_PARTITIONS; i++)
        walk->hooks[i] =
            (struct walk_hook){.serial = i, .partition = i % WALK_PARTITIONS};
    walk->loop = loop_create();
    walk->queue = queue_open(walk->loop, &fixture.config, walk->keyring);
    walk_until(walk, queue_is_ready(walk->queue, NULL));
    return walk;
}

static void walk_destroy(struct walk *walk)
{
    queue_close(&walk->queue);
    loop_turn(walk->loop, 0);
    loop_destroy(&walk->loop);
    keyring_destroy(&walk->keyring);
    for (size_t i = 0; i < walk->email_count; i++)
        free(walk->emails[i].deliveries);
    free(walk->lines);
    free(walk);
    clock_set(-1, -1);
}

static void walk_through(uint32_t seed, unsigned steps)
{
    struct walk *walk = walk_create(seed);

    while (walk->step < steps)
        take_step(walk, run_op);
    drain(walk);
    sweep_out(walk);
    walk_destroy(walk);
}

static unsigned setting(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : (unsigned)strtoul(text, NULL, 10);
}

static void nothing_is_lost_on_any_walk(void **state)
{
    bool is_one = getenv("WALK_SEED") != NULL;
    unsigned first = setting("WALK_SEED", FIRST_SEED);
    unsigned count = setting("WALK_SEEDS", is_one ? 1 : SEEDS);
    unsigned steps = setting("WALK_STEPS", STEPS);

    (void)state;
    for (unsigned i = 0; i < count; i++)
        walk_through(first + i, steps);
}

static int group_setup(void **state)
{
    int failed = fixture_group_setup(state);

    /* Nothing of it needs the disk, which would take most of the time. */
    fixture_stop();
    fixture_start_as("no", "256mb", "noeviction");
    fixture.config.redis.allow_volatile = true;
    fixture.config.worker.lease_ms = WALK_LEASE_MS;
    fixture.config.privacy.keep_bodies_ms = WALK_DAY_MS;
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_on_any_walk),
    };

    log_setup(LOG_ERROR + 1, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, group_setup, fixture_group_teardown);
}
