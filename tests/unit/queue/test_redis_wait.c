/* redis.wait_replicas, on a master with a replica that stops and goes on. */
#include "queue/journal.h"

#include "free_port.h"
#include "worker_fixture.h"

enum { ANSWER_MS = 1000, RECOVER_MS = 2000 };

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct config config;
static pid_t replica;

static void replica_start(void)
{
    char port[16];
    char log[128];
    char path[128];
    unsigned number = free_port();

    redis_do("CONFIG SET port %u", number);
    redis_do("CONFIG SET repl-diskless-sync-delay 0");
    snprintf(port, sizeof port, "%u", number);
    snprintf(log, sizeof log, "%s/replica.log", fixture.dir);
    snprintf(path, sizeof path, "%s/replica.sock", fixture.dir);
    replica = fork();
    assert_true(replica >= 0);
    if (replica == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
               path, "--save", "", "--dir", fixture.dir, "--logfile", log,
               "--replicaof", "127.0.0.1", port, (char *)NULL);
        _exit(127);
    }
    while (strstr(redis_ask("INFO replication"), "state=online") == NULL)
        assert_int_equal(waitpid(replica, NULL, WNOHANG), 0);
}

static int group_setup(void **state)
{
    int failed = fixture_group_setup(state);

    if (failed == 0)
        replica_start();
    return failed;
}

static int group_teardown(void **state)
{
    kill(replica, SIGKILL);
    waitpid(replica, NULL, 0);
    return fixture_group_teardown(state);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    redis_do("FLUSHALL");
    config = fixture.config;
    config.redis.wait_replicas = 1;
    config.worker.lease_ms = 2400;
    world->loop = loop_create();
    world->queue = queue_open(world->loop, &config, NULL);
    until(world->loop, queue_is_ready(world->queue, NULL));
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    kill(replica, SIGCONT);
    return world_teardown(state);
}

static void send_in_time(struct world *world, const char *key,
                         struct answered *answered)
{
    int64_t start = real_ms();

    *answered = (struct answered){0};
    mail_send(world->queue, &(struct mail){.key = key}, answered);
    until(world->loop, answered->count > 0);
    assert_in_range(real_ms() - start, 0, ANSWER_MS);
}

static void replica_goes_on(struct world *world)
{
    int64_t start = real_ms();

    kill(replica, SIGCONT);
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_in_range(real_ms() - start, 0, RECOVER_MS);
}

static void a_mail_is_stored_when_the_replica_has_it(void **state)
{
    struct world *world = *state;
    struct answered answered;

    send_in_time(world, "one", &answered);
    assert_int_equal(answered.status, QUEUE_OK);
    send_in_time(world, "one", &answered);
    assert_int_equal(answered.status, QUEUE_REPLAY);
    assert_string_equal(answered.answer, "{\"id\":\"first\"}");
}

/* First unknown, then refused at once, then one mail. */
static void without_the_replica_nothing_is_acknowledged(void **state)
{
    struct world *world = *state;
    struct answered answered;
    struct error why;

    kill(replica, SIGSTOP);
    send_in_time(world, "two", &answered);
    assert_int_equal(answered.status, QUEUE_AWAY);
    assert_string_equal(answered.why.text,
                        "redis: 0 of the 1 replicas that redis.wait_replicas "
                        "asks for have it");
    assert_false(queue_is_ready(world->queue, &why));
    assert_non_null(strstr(why.text, "redis.wait_replicas"));
    send_in_time(world, "three", &answered);
    assert_int_equal(answered.status, QUEUE_NOT_READY);
    assert_true(redis_link_is_up(world->queue->main)); /* never dropped */
    replica_goes_on(world);
    send_in_time(world, "two", &answered);
    assert_int_equal(answered.status, QUEUE_REPLAY);
    send_in_time(world, "three", &answered);
    assert_int_equal(answered.status, QUEUE_OK);
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "2");
}

/* A script's answer is there, but the connection goes before the replica's
 * word: unknown, too, and its memory is freed. */
static void what_waits_when_the_link_goes_is_unknown(void **state)
{
    struct world *world = *state;
    struct answered answered = {0};
    struct redis_link *link = world->queue->main;
    size_t before = redis_link_in_flight(link);

    kill(replica, SIGSTOP);
    mail_send(world->queue, &(struct mail){.key = "four"}, &answered);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n accepted"), "1") == 0);
    loop_turn(world->loop, 0);
    assert_true(redis_link_in_flight(link) > before);
    redis_link_reset(link, "test");
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_AWAY);
    assert_string_equal(answered.why.text, "redis: test");
    assert_int_equal(redis_link_in_flight(link), 0);
}

/* What was answered before, by another process, may be news to the replica:
 * an answer that writes nothing waits for it all the same. */
static void a_replay_waits_for_the_replica_too(void **state)
{
    struct world *world = *state;
    struct queue *other = queue_open(world->loop, &config, NULL);
    struct answered answered = {0};
    struct answered again = {0};

    until(world->loop, queue_is_ready(other, NULL));
    kill(replica, SIGSTOP);
    mail_send(world->queue, &(struct mail){.key = "six"}, &answered);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n accepted"), "1") == 0);
    mail_send(other, &(struct mail){.key = "six"}, &again);
    until(world->loop, answered.count > 0 && again.count > 0);
    assert_int_equal(answered.status, QUEUE_AWAY);
    assert_int_equal(again.status, QUEUE_AWAY);
    queue_close(&other);
}

/* --- small writes --- */

static void on_answer(void *ctx, const struct queue_answer *answer)
{
    struct answered *answered = ctx;

    answered->count++;
    answered->status = answer->status;
}

static const struct api_key KEY = {
    .id = {"019ab000-0000-7000-8000-000000000001"},
    .owner = STR("acme"),
    .name = STR("shop"),
    .prefix = STR("ph_live_abcd"),
};

static void make_key(struct queue *queue, struct answered *answered)
{
    queue_key_create(queue, &KEY, S(HASH), NULL, S("{}"), on_answer, answered);
}

static void revoke_key(struct queue *queue, struct answered *answered)
{
    queue_key_delete(queue, owner_of("acme"), &KEY.id, on_answer, answered);
}

static void freeze(struct queue *queue, struct answered *answered)
{
    queue_owner_freeze(queue, S("acme"), true, on_answer, answered);
}

static void thaw(struct queue *queue, struct answered *answered)
{
    queue_owner_freeze(queue, S("acme"), false, on_answer, answered);
}

static void add_partition(struct queue *queue, struct answered *answered)
{
    queue_partition_add(queue, on_answer, answered);
}

static void raise_level(struct queue *queue, struct answered *answered)
{
    queue_levels_raise(queue, level_newest(), on_answer, answered);
}

/* In an order in which each finds what it needs. */
static const struct small_write {
    const char *name;
    void (*ask)(struct queue *queue, struct answered *answered);
} SMALL_WRITES[] = {
    {"a key is made", make_key},        {"an owner is frozen", freeze},
    {"an owner is thawed", thaw},       {"a key is revoked", revoke_key},
    {"a level is raised", raise_level}, {"a partition is added", add_partition},
};

static enum queue_status small_write(struct world *world, size_t i)
{
    struct answered answered = {0};

    SMALL_WRITES[i].ask(world->queue, &answered);
    until(world->loop, answered.count > 0);
    return answered.status;
}

static void no_small_write_is_acknowledged_without_the_replica(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(SMALL_WRITES); i++) {
        kill(replica, SIGSTOP);
        if (small_write(world, i) != QUEUE_AWAY)
            fail_msg("%s, and the replica does not know", SMALL_WRITES[i].name);
        replica_goes_on(world);
        if (small_write(world, i) != QUEUE_OK &&
            SMALL_WRITES[i].ask != revoke_key) /* it went at the first */
            fail_msg("%s, and is not told", SMALL_WRITES[i].name);
    }
}

/* That a command writes is Redis' word, not ours. */
static void every_command_that_writes_waits(void **state)
{
    FILE *acl = fopen("deploy/redis/users.acl", "r");
    char word[64];
    unsigned writes = 0;

    (void)state;
    assert_non_null(acl);
    while (fscanf(acl, "%63s", word) == 1) {
        struct redis_command command;

        if (word[0] != '+' || strchr(word, '|') != NULL)
            continue;
        for (char *at = word; *at != '\0'; at++)
            *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
        if (strstr(redis_ask("COMMAND INFO %s", word + 1), "write") == NULL)
            continue;
        command_init(&command, word + 1);
        if (!command.lasts)
            fail_msg("%s does not wait for replicas", word + 1);
        command_finish(&command);
        writes++;
    }
    fclose(acl);
    assert_in_range(writes, 20, 100); /* it was read at all */
}

static void what_waits_when_the_queue_closes_is_dropped(void **state)
{
    struct world *world = *state;
    struct answered answered = {0};

    kill(replica, SIGSTOP);
    mail_send(world->queue, &(struct mail){.key = "five"}, &answered);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n accepted"), "1") == 0);
    loop_turn(world->loop, 0);
    queue_close(&world->queue);
    loop_turn(world->loop, 20);
    assert_int_equal(answered.count, 0);
}

static long wait_calls(void)
{
    const char *stats =
        strstr(redis_ask("INFO commandstats"), "cmdstat_wait:calls=");

    return stats == NULL ? 0 : strtol(strchr(stats, '=') + 1, NULL, 10);
}

/* No dot, and the mail goes back without an attempt. */
static void a_mark_waits_for_the_replica(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.max_age_ms = 60000};
    long waits;

    worker_start(&worker, world->queue, 1);
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    kill(replica, SIGSTOP);
    assert_false(worker_mark(world, &worker, 0));
    worker_report(&worker, 0, OUTCOME_UNSENT, 0);
    waits = wait_calls();
    until(world->loop, wait_calls() >= waits + 3); /* it looks, in vain */
    assert_int_equal(worker.count, 1);             /* and claims nothing */
    replica_goes_on(world);
    until(world->loop, worker.count == 2);
    assert_int_equal(worker.claims[1]->attempt, 1);
    assert_false(worker.claims[1]->possible_duplicate);
    assert_true(worker_mark(world, &worker, 1));
    worker_report(&worker, 1, OUTCOME_SENT, 0);
    until(world->loop,
          strcmp(redis_ask("EXISTS ph:{0}:h:%s", mail.id.text), "1") == 0);
}

/* A result is told until the replica has it, and counts once. */
static void a_result_waits_for_the_replica(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.max_age_ms = 60000};
    struct mail next = {.max_age_ms = 60000};

    worker_start(&worker, world->queue, 1);
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    assert_true(worker_mark(world, &worker, 0));
    kill(replica, SIGSTOP);
    worker_report(&worker, 0, OUTCOME_SENT, 0);
    until(world->loop, redis_link_lacks_replicas(world->queue->main, S("")));
    assert_string_equal(redis_ask("EXISTS ph:{0}:h:%s", mail.id.text), "1");
    replica_goes_on(world);
    mail_store(world, &next);
    until(world->loop, worker.count == 2);
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:default"), "3");
    assert_string_equal(redis_ask("HGET ph:{0}:n final"), "1");
}

/* --- the journal of a worker that died --- */

static void die_with_a_journal(const char *dir)
{
    static const struct journal_entry entry = {
        .id = STR("019ab4f2-7c1e-7d3a-9a53-0b7f3e6c2d11:0"),
        .token = STR("00112233445566ff:1000"),
        .detail = {.code = 250},
    };
    pid_t pid = fork();

    if (pid == 0) {
        struct error err;

        journal_append(journal_open(dir, &err), &entry);
        _exit(137);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void on_replayed(void *ctx, bool ok)
{
    *(int *)ctx = ok ? 1 : -1;
}

static int replay(struct world *world, const char *dir)
{
    int result = 0;

    queue_journal_replay(world->queue, dir, on_replayed, &result);
    until(world->loop, result != 0);
    return result;
}

/* A failover would lose what it told, so it is told again. */
static void a_journal_stays_until_the_replica_has_it(void **state)
{
    struct world *world = *state;
    char dir[128];

    snprintf(dir, sizeof dir, "%s/journal", fixture.dir);
    die_with_a_journal(dir);
    kill(replica, SIGSTOP);
    assert_int_equal(replay(world, dir), -1);
    assert_true(queue_journal_is_due(dir));
    replica_goes_on(world);
    assert_int_equal(replay(world, dir), 1);
    assert_false(queue_journal_is_due(dir));
}

#define WAIT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(a_mail_is_stored_when_the_replica_has_it),
        WAIT_TEST(without_the_replica_nothing_is_acknowledged),
        WAIT_TEST(a_replay_waits_for_the_replica_too),
        WAIT_TEST(no_small_write_is_acknowledged_without_the_replica),
        WAIT_TEST(every_command_that_writes_waits),
        WAIT_TEST(what_waits_when_the_link_goes_is_unknown),
        WAIT_TEST(what_waits_when_the_queue_closes_is_dropped),
        WAIT_TEST(a_mark_waits_for_the_replica),
        WAIT_TEST(a_result_waits_for_the_replica),
        WAIT_TEST(a_journal_stays_until_the_replica_has_it),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
