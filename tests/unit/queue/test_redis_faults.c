/* What each fault of Redis means to who sends a mail, and to a worker: for
 * both the same table of faults, as docs/queue.md tells it. */
#include "redis_proxy.h"
#include "worker_fixture.h"

#include "queue/claims_core.h"
#include "queue/redis_core.h"

#include <sys/mman.h>

enum {
    ANSWER_MS = 1000,  /* a caller hears of it */
    RECOVER_MS = 2000, /* all goes on */
    BACKOFF_MS = 500,  /* the longest; half of it is chance */
};

struct fault {
    const char *name;
    struct spoil spoil;
    enum queue_status status; /* to who sends */
    const char *why;
    bool drops; /* the connection */
};

#define ANSWERS(bytes)                                                         \
    {                                                                          \
        .word = "EVALSHA", .answer = bytes                                     \
    }

static const struct fault FAULTS[] = {
    {
        .name = "MISCONF: it cannot write its file",
        .spoil = ANSWERS("-MISCONF Errors writing to the AOF file: No space "
                         "left on device\r\n"),
        .status = QUEUE_NOT_READY,
        .why = "redis: MISCONF Errors writing to the AOF file: No space left "
               "on device",
    },
    {
        .name = "OOM: maxmemory is reached",
        .spoil = ANSWERS("-OOM command not allowed when used memory > "
                         "'maxmemory'.\r\n"),
        .status = QUEUE_FULL,
        .why = "redis: OOM command not allowed when used memory > "
               "'maxmemory'.",
    },
    {
        .name = "LOADING: it reads its file",
        .spoil = ANSWERS("-LOADING Redis is loading the dataset in memory\r\n"),
        .status = QUEUE_NOT_READY,
        .why = "redis: LOADING Redis is loading the dataset in memory",
    },
    {
        .name = "READONLY: a failover made it a replica",
        .spoil = ANSWERS("-READONLY You can't write against a read only "
                         "replica.\r\n"),
        .status = QUEUE_NOT_READY,
        .why = "redis: READONLY You can't write against a read only replica.",
        .drops = true,
    },
    {
        .name = "BUSY: a script runs too long",
        .spoil = ANSWERS("-BUSY Redis is busy running a script.\r\n"),
        .status = QUEUE_NOT_READY,
        .why = "redis: BUSY Redis is busy running a script.",
    },
    {
        .name = "NOREPLICAS: min-replicas-to-write",
        .spoil = ANSWERS("-NOREPLICAS Not enough good replicas to write.\r\n"),
        .status = QUEUE_NOT_READY,
        .why = "redis: NOREPLICAS Not enough good replicas to write.",
    },
    {
        .name = "NOPERM: the ACL lacks a command",
        .spoil = ANSWERS("-NOPERM this user has no permissions\r\n"),
        .status = QUEUE_NOT_READY,
        .why = "redis: NOPERM this user has no permissions",
    },
    {
        .name = "an error in the script",
        .spoil = ANSWERS("-ERR user_script:7: it is broken\r\n"),
        .status = QUEUE_NOT_READY,
        .why = "redis: ERR user_script:7: it is broken",
    },
    {
        .name = "an answer that no script gives",
        .spoil = ANSWERS("*1\r\n*1\r\n$4\r\nwhat\r\n"),
        .status = QUEUE_AWAY,
        .why = "redis: an answer that no script gives",
    },
    {
        .name = "an answer that is too short",
        .spoil = ANSWERS("*0\r\n"),
        .status = QUEUE_AWAY,
        .why = "redis: an answer that no script gives",
    },
    {
        .name = "cut off in the middle of an answer",
        .spoil = {.word = "EVALSHA",
                  .answer = "*1\r\n*1\r\n$2\r\no",
                  .closes = true},
        .status = QUEUE_AWAY,
        .why = "redis: Server closed the connection",
        .drops = true,
    },
    {
        .name = "cut off before the answer",
        .spoil = {.word = "EVALSHA", .closes = true},
        .status = QUEUE_AWAY,
        .why = "redis: Server closed the connection",
        .drops = true,
    },
    {
        .name = "no protocol at all",
        .spoil = ANSWERS("HTTP/1.1 400 Bad Request\r\n\r\n"),
        .status = QUEUE_AWAY,
        .why = "redis: Protocol error, got \"H\" as reply type byte",
        .drops = true,
    },
    {
        .name = "half-open: nothing comes any more",
        .spoil = {.word = "EVALSHA"},
        .status = QUEUE_AWAY,
        .why = "redis: no answer in time",
        .drops = true,
    },
    {
        .name = "half-open behind the command, which was executed",
        .spoil = {.word = "EVALSHA", .passes = true},
        .status = QUEUE_AWAY,
        .why = "redis: no answer in time",
        .drops = true,
    },
    {
        .name = "cut off behind the command, which was executed",
        .spoil = {.word = "EVALSHA", .passes = true, .closes = true},
        .status = QUEUE_AWAY,
        .why = "redis: Server closed the connection",
        .drops = true,
    },
};

static struct config config;

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    redis_do("FLUSHALL");
    config = fixture.config;
    config.redis.url = proxy.url;
    config.worker.lease_ms = 2400; /* a third of it bounds a script's call */
    world->loop = loop_create();
    world->queue = queue_open(world->loop, &config, NULL);
    until(world->loop, queue_is_ready(world->queue, NULL));
    *state = world;
    return 0;
}

/* What goes wrong is a script's answer, not the INFO of every second. */
static unsigned begin(struct world *world, const struct fault *fault)
{
    timer_clear(world->loop, &world->queue->health.timer);
    loop_turn(world->loop, 0);
    until(world->loop, redis_link_in_flight(world->queue->main) == 0);
    proxy_set(&fault->spoil);
    return proxy.connections;
}

static void end(struct world *world, const struct fault *fault, unsigned before)
{
    bool dropped;
    int64_t start = real_ms();

    proxy_set(NULL);
    until(world->loop, queue_is_ready(world->queue, NULL));
    if (real_ms() - start > RECOVER_MS)
        fail_msg("%s: back after %lld ms", fault->name,
                 (long long)(real_ms() - start));
    dropped = proxy.connections > before;
    if (dropped != fault->drops)
        fail_msg("%s: the connection was %s", fault->name,
                 dropped ? "dropped" : "kept");
}

static void to_who_sends(struct world *world, const struct fault *fault,
                         const char *key)
{
    unsigned before = begin(world, fault);
    struct mail mail = {.key = key};
    struct answered answered = {0};
    struct answered again = {0};
    int64_t start = real_ms();

    mail_send(world->queue, &mail, &answered);
    until(world->loop, answered.count > 0);
    if (real_ms() - start > ANSWER_MS)
        fail_msg("%s: an answer after %lld ms", fault->name,
                 (long long)(real_ms() - start));
    if (answered.status != fault->status)
        fail_msg("%s: status %d, %s", fault->name, answered.status,
                 answered.why.text);
    assert_string_equal(answered.why.text, fault->why);
    end(world, fault, before);
    /* One mail, whether or not the first call was executed. */
    mail.id.text[0] = '\0';
    mail_send(world->queue, &mail, &again);
    until(world->loop, again.count > 0);
    if (again.status != (fault->spoil.passes ? QUEUE_REPLAY : QUEUE_OK))
        fail_msg("%s: then status %d, %s", fault->name, again.status,
                 again.why.text);
}

static void who_sends_hears_in_time(void **state)
{
    for (size_t i = 0; i < COUNT_OF(FAULTS); i++) {
        char key[32];

        snprintf(key, sizeof key, "key %zu", i);
        to_who_sends(*state, &FAULTS[i], key);
    }
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "16");
}

/* A mail is claimed, marked and sent while Redis fails to take its result. */
static void to_a_worker(struct world *world, struct worker *worker,
                        const struct fault *fault)
{
    struct mail mail = {.max_age_ms = 60000};
    size_t last = worker->count;
    unsigned before;
    int64_t start;

    mail_store(world, &mail);
    until(world->loop, worker->count > last);
    assert_true(worker_mark(world, worker, last));
    before = begin(world, fault);
    proxy.spoiled = 0;
    worker_report(worker, last, OUTCOME_SENT, 0);
    until(world->loop, proxy.spoiled > 0);
    if (fault->drops)
        until(world->loop, !redis_link_is_up(world->queue->main));
    else
        until(world->loop, redis_link_in_flight(world->queue->main) == 0);
    start = real_ms();
    end(world, fault, before);
    until(world->loop,
          strcmp(redis_ask("EXISTS ph:{0}:h:%s", mail.id.text), "1") == 0);
    if (real_ms() - start > RECOVER_MS)
        fail_msg("%s: the result came after %lld ms", fault->name,
                 (long long)(real_ms() - start));
    if (worker->count != last + 1)
        fail_msg("%s: claimed once more", fault->name);
    assert_non_null(strstr(redis_ask("GET ph:{0}:h:%s", mail.id.text),
                           "\"d\":[[0,\"S\",1,1,"));
}

static void a_worker_tells_its_results_once(void **state)
{
    struct world *world = *state;
    struct worker worker;

    worker_start(&worker, world->queue, 4);
    for (size_t i = 0; i < COUNT_OF(FAULTS); i++)
        to_a_worker(world, &worker, &FAULTS[i]);
    assert_int_equal(worker.count, COUNT_OF(FAULTS));
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:default"),
                        "32"); /* queued and sent, of each */
}

/* No dot without an answer to the mark. */
static void a_mark_that_fails_is_refused(void **state)
{
    struct world *world = *state;
    struct worker worker;

    worker_start(&worker, world->queue, 1);
    for (size_t i = 0; i < COUNT_OF(FAULTS); i++) {
        struct mail mail = {.max_age_ms = 60000};
        unsigned before;

        mail_store(world, &mail);
        until(world->loop, worker.held == 1);
        before = begin(world, &FAULTS[i]);
        if (worker_mark(world, &worker, worker.count - 1))
            fail_msg("%s: it may go", FAULTS[i].name);
        end(world, &FAULTS[i], before);
        worker_report(&worker, worker.count - 1, OUTCOME_UNSENT, 0);
        until(world->loop, worker.held == 1);
        /* Given back and claimed again: no attempt, no word of a duplicate. */
        assert_int_equal(worker.claims[worker.count - 1]->attempt, 1);
        assert_false(worker.claims[worker.count - 1]->possible_duplicate);
        assert_true(worker_mark(world, &worker, worker.count - 1));
        worker_report(&worker, worker.count - 1, OUTCOME_SENT, 0);
        until(world->loop,
              strcmp(redis_ask("EXISTS ph:{0}:h:%s", mail.id.text), "1") == 0);
    }
}

/* The answer to a turn is lost, and behind it the word that another epoch took
 * over: what was claimed comes at once, and not when a lease ends. */
static void what_was_claimed_in_vain_comes_back(void **state)
{
    static const struct spoil unheard = {.word = "EVALSHA", .passes = true};
    static const struct spoil silence = {.word = "EVALSHA"};
    struct world *world = *state;
    struct mail mail = {0};
    struct worker worker;
    int64_t start;

    worker_start(&worker, world->queue, 0);
    mail_store(world, &mail);
    until(world->loop, redis_link_in_flight(world->queue->main) == 0);
    proxy_set(&unheard);
    for (unsigned lane = 0; lane < LANE_COUNT; lane++)
        worker.room[lane] = 4;
    queue_worker_hungry(world->queue);
    until(world->loop,
          strcmp(redis_ask("HGET ph:{0}:d:%s:0 s", mail.id.text), "c") == 0);
    proxy_set(&silence);
    redis_link_reset(world->queue->main, "test");
    proxy.spoiled = 0;
    until(world->loop, proxy.spoiled > 0);
    proxy_set(NULL);
    redis_link_reset(world->queue->main, "test");
    start = real_ms();
    until(world->loop, worker.count == 1);
    if (real_ms() - start > RECOVER_MS)
        fail_msg("claimed after %lld ms", (long long)(real_ms() - start));
    worker_report(&worker, 0, OUTCOME_SENT, 0);
}

static void on_canceled(void *ctx, const struct queue_email *email)
{
    struct answered *answered = ctx;

    answered->count++;
    answered->status = email->status;
}

/* It is done, and what became of the mail cannot be told: to say that nothing
 * was kept would be a lie. */
static void what_is_done_is_never_denied(void **state)
{
    struct world *world = *state;
    struct spoil spoil = {.word = world->queue->main->sha[SCRIPT_EMAIL],
                          .answer = "-LOADING Redis is loading\r\n"};
    struct mail mail = {0};
    struct answered answered = {0};

    mail_store(world, &mail);
    proxy_set(&spoil);
    queue_email_cancel(world->queue, owner_of("default"), &mail.id, NULL,
                       on_canceled, &answered);
    until(world->loop, answered.count > 0);
    proxy_set(NULL);
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s:0", mail.id.text), "0");
    assert_int_equal(answered.status, QUEUE_AWAY);
}

/* --- faults that a connection begins with, or that hold on --- */

static void back_in_time(struct world *world, const char *what)
{
    int64_t start = real_ms();

    until(world->loop, queue_is_ready(world->queue, NULL));
    if (real_ms() - start > RECOVER_MS)
        fail_msg("%s: back after %lld ms", what,
                 (long long)(real_ms() - start));
    mail_store(world, &(struct mail){0});
}

static void it_is_loading_when_we_come(void **state)
{
    static const struct spoil loading = {
        .word = "SCRIPT",
        .answer = "-LOADING Redis is loading the dataset in memory\r\n",
    };
    struct world *world = *state;
    struct error why;

    proxy_set(&loading);
    redis_link_reset(world->queue->main, "test");
    until(world->loop, strstr(redis_link_trouble(world->queue->main)->text,
                              "LOADING") != NULL);
    assert_false(queue_is_ready(world->queue, &why));
    proxy_set(NULL);
    back_in_time(world, "LOADING");
}

/* Who waited for an answer that never came asks again at once: behind a
 * network that has lost what was under way, more waiting is more POSTs refused.
 */
static void silence_is_no_back_off(void **state)
{
    static const struct spoil silence = {.word = "SCRIPT"};
    struct world *world = *state;
    struct redis_link *link = world->queue->main;
    int64_t before_ms;

    proxy_set(&silence);
    redis_link_reset(link, "test");
    until(world->loop, link->state == LINK_GREETING);
    before_ms = link->attempted_ms;
    link->backoff_ms = BACKOFF_MS;
    until(world->loop, link->attempted_ms != before_ms);
    assert_true(link->attempted_ms - before_ms <
                CONNECT_BUDGET_MS + BACKOFF_MS / 2);
    proxy_set(NULL);
    back_in_time(world, "silence");
}

/* A network that has lost the main connection has lost the others, which may
 * wait for long before they notice: a worker's waits for tokens of new work. */
static void what_main_lost_the_others_lost(void **state)
{
    static const struct spoil silence = {.word = "EVALSHA"};
    struct world *world = *state;
    const struct redis_link *bulk = world->queue->bulk;
    struct answered answered = {0};
    unsigned before;

    until(world->loop, redis_link_is_up(bulk));
    before = proxy.connections;
    proxy_set(&silence);
    mail_send(world->queue, &(struct mail){0}, &answered);
    until(world->loop, answered.count > 0);
    proxy_set(NULL);
    until(world->loop, !redis_link_is_up(bulk));
    assert_string_equal(redis_link_trouble(bulk)->text,
                        "redis: the main connection had no answer in time");
    back_in_time(world, "silence");
    until(world->loop, redis_link_is_up(bulk));
    assert_int_equal(proxy.connections, before + 2);
}

/* A connection that comes to nothing must not be made anew at once, for ever:
 * each loads all scripts. */
static void a_replica_is_not_besieged(void **state)
{
    struct world *world = *state;
    struct answered answered;
    unsigned before = proxy.connections;
    int64_t start = real_ms();

    redis_do("REPLICAOF 127.0.0.1 1");
    do {
        answered = (struct answered){0};
        mail_send(world->queue, &(struct mail){0}, &answered);
        until(world->loop, answered.count > 0);
        assert_int_not_equal(answered.status, QUEUE_OK);
    } while (real_ms() - start < 2000);
    assert_in_range(proxy.connections - before, 2, 20);
    redis_do("REPLICAOF NO ONE");
    back_in_time(world, "READONLY");
}

/* For the first while Redis is silent, then it says BUSY. */
static void a_script_of_somebody_else_runs_too_long(void **state)
{
    struct world *world = *state;
    redisContext *other = redisConnectUnix(fixture.socket);
    struct answered answered = {0};
    void *killed;
    int64_t start;

    assert_non_null(other);
    redis_do("CONFIG SET busy-reply-threshold 100");
    redisAppendCommand(other, "EVAL %s 0", "while true do end");
    for (int done = 0; done == 0;)
        assert_int_equal(redisBufferWrite(other, &done), REDIS_OK);
    start = real_ms();
    mail_send(world->queue, &(struct mail){0}, &answered);
    until(world->loop, answered.count > 0);
    assert_true(real_ms() - start < ANSWER_MS);
    assert_in_range(answered.status, QUEUE_AWAY, QUEUE_NOT_READY);
    redis_do("SCRIPT KILL");
    assert_int_equal(redisGetReply(other, &killed), REDIS_OK);
    freeReplyObject(killed);
    redisFree(other);
    back_in_time(world, "BUSY");
}

/* --- a worker that waits for tokens --- */

enum { WATCH_MS = 1000, OFTEN = 50 };

/* How often it was answered in Redis' place. */
static unsigned spoiled_in(struct world *world, const struct spoil *spoil)
{
    int64_t start;

    proxy.spoiled = 0;
    proxy_set(spoil);
    start = real_ms();
    while (real_ms() - start < WATCH_MS)
        loop_turn(world->loop, 10);
    return proxy.spoiled;
}

/* A wait that is refused is tried again with the next turn, and is no reason
 * for one. */
static void a_refused_wait_does_not_spin(void **state)
{
    static const struct spoil refused = {
        .word = "BLPOP",
        .answer = "-NOPERM this user has no permissions\r\n",
    };
    struct world *world = *state;
    struct worker worker;

    proxy_set(&refused);
    worker_start(&worker, world->queue, 1);
    until(world->loop, proxy.spoiled > 0);
    assert_in_range(spoiled_in(world, &refused), 0, OFTEN);
    proxy_set(NULL);
    mail_store(world, &(struct mail){0});
    until(world->loop, worker.count == 1); /* by the next heartbeat */
}

/* The wait cannot be ended early, as it seems: then it ends by itself. */
static void a_wait_that_nobody_knows_does_not_spin(void **state)
{
    static const struct spoil unknown = {.word = "UNBLOCK", .answer = ":0\r\n"};
    struct world *world = *state;
    struct worker worker;
    unsigned often;

    worker_init(&worker, world->queue, 1);
    worker.room[3] = 0;
    queue_worker_start(world->queue, &worker.side);
    until(world->loop, is_blocked("1"));
    timer_clear(world->loop, &world->queue->health.timer);
    until(world->loop, redis_link_in_flight(world->queue->main) == 0);
    worker.room[3] = 1;
    queue_worker_hungry(world->queue);
    often = spoiled_in(world, &unknown);
    assert_in_range(often, 1, OFTEN);
    proxy_set(NULL);
}

/* --- what the operator reads --- */

enum { MINUTE_MS = 60 * 1000 };

static unsigned lines_with(const char *log, const char *word)
{
    unsigned count = 0;

    while ((log = strstr(log, word)) != NULL) {
        log += strlen(word);
        count++;
    }
    return count;
}

/* What was logged while Redis refused turns, and then took one. */
static void log_of_a_refusal(struct world *world, char *out, size_t size)
{
    int saved = dup(STDERR_FILENO);
    int file = memfd_create("log", MFD_CLOEXEC);
    struct claims *claims =
        LIST_FIRST(&world->queue->claimer->claims, struct claims, link);
    ssize_t len;

    dup2(file, STDERR_FILENO);
    log_setup(LOG_INFO, LOG_TEXT, "test");
    redis_do("CONFIG SET min-replicas-to-write 1");
    until(world->loop, claims->refusals == 3);
    claims->refusal_told_ms -= MINUTE_MS;
    until(world->loop, claims->refusals == 5);
    redis_do("CONFIG SET min-replicas-to-write 0");
    until(world->loop, claims->refusals == 0);
    dup2(saved, STDERR_FILENO);
    log_setup(LOG_ERROR, LOG_TEXT, "test");
    len = pread(file, out, size - 1, 0);
    out[len < 0 ? 0 : len] = '\0';
    close(file);
    close(saved);
}

/* Its begin, once a minute while it lasts, and its end. */
static void refused_turns_do_not_fill_the_log(void **state)
{
    static char log[16384];
    struct world *world = *state;
    struct worker worker;

    worker_start(&worker, world->queue, 1);
    until(world->loop, queue_worker_epoch(world->queue).len > 0 &&
                           redis_link_in_flight(world->queue->main) == 0);
    log_of_a_refusal(world, log, sizeof log);
    assert_int_equal(lines_with(log, "queue.turn_failed"), 2);
    assert_int_equal(lines_with(log, "to write.\" times=1\n"), 1);
    assert_int_equal(lines_with(log, "to write.\" times=4\n"), 1);
    assert_int_equal(lines_with(log, "queue.turn_taken times=5\n"), 1);
}

/* --- NOSCRIPT --- */

static void on_stats(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    (void)why;
    assert_int_equal(reply_type(reply), REPLY_LIST);
    ++*(unsigned *)ctx;
}

static void forgotten_scripts_are_loaded_once_for_all(void **state)
{
    struct world *world = *state;
    struct redis_command command;
    unsigned answers = 0;

    redis_do("CONFIG RESETSTAT");
    redis_do("SCRIPT FLUSH");
    for (int i = 0; i < 100; i++) {
        command_init_partition(&command, world->queue, SCRIPT_STATS, 0);
        redis_send(world->queue->main, &command, 1000, on_stats, &answers);
    }
    until(world->loop, answers == 100);
    assert_non_null(
        strstr(redis_ask("INFO commandstats"), "cmdstat_script|load:calls=1,"));
}

/* --- bounds --- */

struct count {
    unsigned refused;
    unsigned unknown;
};

static void on_counted(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct count *count = ctx;

    assert_null(reply);
    count->refused += why->kind == ERR_BUSY;
    count->unknown += why->kind != ERR_BUSY;
}

/* With a frozen Redis nothing piles up: the cap holds, what is beyond it is
 * refused at once, and all else in time. */
static void a_frozen_redis_piles_up_nothing(void **state)
{
    struct world *world = *state;
    struct redis_command command;
    struct count count = {0};
    size_t before;

    timer_clear(world->loop, &world->queue->health.timer);
    until(world->loop, redis_link_in_flight(world->queue->main) == 0);
    before = redis_link_in_flight(world->queue->main);
    kill(fixture.pid, SIGSTOP);
    for (int i = 0; i < 5000; i++) {
        command_init(&command, "PING");
        redis_send(world->queue->main, &command, REDIS_BUDGET_MS, on_counted,
                   &count);
    }
    assert_int_equal(redis_link_in_flight(world->queue->main) - before, 4096);
    until(world->loop, count.refused > 0);
    assert_int_equal(count.refused, 5000 - 4096);
    assert_int_equal(count.unknown, 0);
    until(world->loop, count.unknown > 0);
    assert_int_equal(count.unknown, 4096);
    assert_int_equal(redis_link_in_flight(world->queue->main), 0);
    kill(fixture.pid, SIGCONT);
    back_in_time(world, "frozen");
}

static int group_setup(void **state)
{
    int failed = fixture_group_setup(state);

    if (failed == 0)
        proxy_start();
    return failed;
}

static int group_teardown(void **state)
{
    proxy_stop();
    return fixture_group_teardown(state);
}

#define FAULT_TEST(fn)                                                         \
    cmocka_unit_test_setup_teardown(fn, setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(who_sends_hears_in_time),
        FAULT_TEST(a_worker_tells_its_results_once),
        FAULT_TEST(a_mark_that_fails_is_refused),
        FAULT_TEST(what_is_done_is_never_denied),
        FAULT_TEST(it_is_loading_when_we_come),
        FAULT_TEST(what_was_claimed_in_vain_comes_back),
        FAULT_TEST(silence_is_no_back_off),
        FAULT_TEST(what_main_lost_the_others_lost),
        FAULT_TEST(a_replica_is_not_besieged),
        FAULT_TEST(a_script_of_somebody_else_runs_too_long),
        FAULT_TEST(forgotten_scripts_are_loaded_once_for_all),
        FAULT_TEST(a_frozen_redis_piles_up_nothing),
        FAULT_TEST(a_refused_wait_does_not_spin),
        FAULT_TEST(a_wait_that_nobody_knows_does_not_spin),
        FAULT_TEST(refused_turns_do_not_fill_the_log),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
