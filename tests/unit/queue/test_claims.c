/* The worker's side, on a real Redis. The state table itself is the matter
 * of test_states.c. */
#include "worker_fixture.h"

#include "queue/chunks.h"
#include "queue/claims_core.h"

static enum queue_status canceled;

static void on_canceled(void *ctx, const struct queue_email *email)
{
    (void)ctx;
    canceled = email->status;
}

static const char *state_of(const struct mail *mail)
{
    return redis_ask("HGET ph:{0}:d:%s:0 s", mail->id.text);
}

/* --- the way of a mail --- */

static void from_claim_to_history(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.mail_class = CLASS_ALERT, .max_age_ms = 60000};
    const char *history;

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    assert_string_equal(state_of(&mail), "c");
    assert_string_equal(worker.claims[0]->email.text, mail.id.text);
    assert_int_equal(worker.claims[0]->number, 0);
    assert_int_equal(worker.claims[0]->lane, 1);
    assert_int_equal(worker.claims[0]->attempt, 1);
    assert_int_equal(worker.claims[0]->generation, 1);
    assert_int_equal(worker.claims[0]->deadline_ms, 0);
    assert_int_equal(
        worker.claims[0]->expires_ms - worker.claims[0]->accepted_ms, 60000);
    assert_true(str_eq(worker.claims[0]->route, S("main")));
    assert_true(
        str_eq(worker.claims[0]->record->summary.subject, S("Your order")));
    assert_true(worker_mark(world, &worker, 0));
    assert_string_equal(state_of(&mail), "x");
    worker_report(&worker, 0, OUTCOME_SENT, 0);
    until(world->loop,
          strcmp(redis_ask("EXISTS ph:{0}:h:%s", mail.id.text), "1") == 0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s:0", mail.id.text), "0");
    history = redis_ask("GET ph:{0}:h:%s", mail.id.text);
    assert_non_null(strstr(history, "{\"q\":2,\"d\":[[0,\"S\",1,1,1"));
    assert_non_null(
        strstr(history, ",250,\"2.0.0\",\"2.0.0 \\\"Ok\\\"\"]]}\n1 - "));
    assert_in_range(strlen(history), 100, 400);
    assert_string_equal(redis_ask("LLEN ph:{0}:ended"), "1");
    assert_string_equal(redis_ask("HMGET ph:{0}:n accepted final"), "1 1");
    assert_string_equal(redis_ask("SCARD ph:{0}:own:%s",
                                  world->queue->claimer != NULL
                                      ? queue_worker_epoch(world->queue).ptr
                                      : ""),
                        "0");
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"t\":\"email.sent\""));
}

/* --- wake tokens: each way to lose one --- */

/* Longer than a test runs: nothing happens by heartbeat. */
enum { NO_HEARTBEAT_MS = 600000 };

static int slow_setup(void **state)
{
    fixture.config.worker.lease_ms = NO_HEARTBEAT_MS;
    return world_setup(state);
}

static int slow_teardown(void **state)
{
    fixture.config.worker.lease_ms = 10000;
    return world_teardown(state);
}

/* A child waits once its BLPOP is there. */
static bool is_blocked(const char *clients)
{
    char want[64];

    snprintf(want, sizeof want, "blocked_clients:%s", clients);
    return strstr(redis_ask("INFO clients"), want) != NULL;
}

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

/* --- lost connections --- */

static void a_child_goes_on_after_an_outage(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[2] = {{.route = "main"}, {.route = "main"}};
    char epoch[32];

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mails[0]);
    until(world->loop, worker.count == 1);
    snprintf(epoch, sizeof epoch, "%.*s",
             STR_ARG(queue_worker_epoch(world->queue)));
    fixture_stop();
    until(world->loop, !queue_is_ready(world->queue, NULL));
    worker_report(&worker, 0, OUTCOME_BOUNCED, 0); /* kept until it is back */
    fixture_start();
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_false(str_eq(queue_worker_epoch(world->queue), str_of(epoch)));
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "1") == 0);
    assert_string_equal(redis_ask("ZCARD ph:{0}:workers"), "1");
    mail_store(world, &mails[1]);
    until(world->loop, worker.count == 2);
}

static void a_mark_without_an_answer_is_no(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {0};
    struct marked marked = {0};

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    kill(fixture.pid, SIGSTOP);
    queue_mark(world->queue, worker.claims[0], on_marked, &marked);
    until(world->loop, marked.count > 0);
    assert_false(marked.may_go);
    kill(fixture.pid, SIGCONT);
    worker_report(&worker, 0, OUTCOME_UNSENT, 0);
    until(world->loop, worker.count == 2); /* whatever became of the mark */
    assert_false(worker.claims[1]->possible_duplicate);
    /* While Redis is away, at once. */
    fixture_stop();
    until(world->loop, !queue_is_ready(world->queue, NULL));
    marked.count = 0;
    queue_mark(world->queue, worker.claims[1], on_marked, &marked);
    assert_int_equal(marked.count, 0);
    loop_turn(world->loop, 0);
    assert_int_equal(marked.count, 1);
    assert_false(marked.may_go);
    fixture_start();
}

/* Redis lost everything, or the lease ran out. */
static void an_unknown_epoch_registers_again(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {0};

    worker_start(&worker, world->queue, 8);
    until(world->loop, strcmp(redis_ask("ZCARD ph:{0}:workers"), "1") == 0);
    redis_do("DEL ph:{0}:workers");
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    assert_string_equal(redis_ask("ZCARD ph:{0}:workers"), "1");
}

/* --- marks --- */

static unsigned calls_of_script(void)
{
    const char *at = strstr(redis_ask("INFO commandstats"), "cmdstat_evalsha");

    return at == NULL ? 0
                      : (unsigned)strtoul(strstr(at, "calls=") + 6, NULL, 10);
}

static void marks_of_a_turn_go_in_one_call(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[5];
    struct marked marked[5] = {{0}};
    int64_t start;

    worker_start(&worker, world->queue, 8);
    for (size_t i = 0; i < 5; i++) {
        mails[i] = (struct mail){.route = "main"};
        mail_store(world, &mails[i]);
    }
    until(world->loop,
          worker.count == 5 && redis_link_in_flight(world->queue->main) == 0);
    redis_do("CONFIG RESETSTAT");
    start = clock_now_ms();
    for (size_t i = 0; i < 5; i++)
        queue_mark(world->queue, worker.claims[i], on_marked, &marked[i]);
    until(world->loop, marked[4].count > 0);
    assert_int_equal(calls_of_script(), 1);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(marked[i].count, 1);
        assert_true(marked[i].may_go);
        assert_in_range(marked[i].valid_until_ms - start, NO_HEARTBEAT_MS / 2,
                        NO_HEARTBEAT_MS / 2 + 1000);
    }
    redis_do("CONFIG RESETSTAT");
    for (size_t i = 0; i < 5; i++)
        worker_report(&worker, i, OUTCOME_SENT, 0);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "5") == 0);
    assert_int_equal(calls_of_script(), 1); /* and so do reports */
}

/* Cancel and mark race: whoever comes first to Redis. */
static void cancel_wins_until_the_mark(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[2] = {{.route = "main"}, {.route = "main"}};
    struct marked marked[2] = {{0}};

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mails[0]);
    mail_store(world, &mails[1]);
    until(world->loop, worker.count == 2);
    queue_email_cancel(world->queue, owner_of("default"), &mails[0].id,
                       on_canceled, NULL);
    queue_mark(world->queue, worker.claims[0], on_marked, &marked[0]);
    queue_mark(world->queue, worker.claims[1], on_marked, &marked[1]);
    until(world->loop, marked[1].count > 0);
    assert_false(marked[0].may_go);
    assert_true(marked[1].may_go);
    canceled = QUEUE_OK;
    queue_email_cancel(world->queue, owner_of("default"), &mails[1].id,
                       on_canceled, NULL);
    until(world->loop, canceled == QUEUE_REFUSED);
    assert_string_equal(state_of(&mails[1]), "x");
}

static void a_report_ends_the_mark(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {0};
    struct marked marked = {0};

    worker_start(&worker, world->queue, 1);
    mail_store(world, &mail);
    until(world->loop, worker.count == 1);
    queue_mark(world->queue, worker.claims[0], on_marked, &marked);
    worker_report(&worker, 0, OUTCOME_UNSENT, 0);
    until(world->loop, worker.count == 2);
    assert_int_equal(marked.count, 0);
}

/* --- order --- */

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
    assert_int_equal(next_step(world, &worker), 8);
    store(world, NULL, CLASS_VERIFICATION, 1);
    until(world->loop, count_claims(&worker, NULL, 0) == codes + 1);
    until(world->loop, worker.count == 63);
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

/* --- contents --- */

static void recipients_share_one_record(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.recipients = 3};

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mail);
    until(world->loop, worker.count == 3);
    assert_ptr_equal(worker.claims[0]->record, worker.claims[1]->record);
    assert_ptr_equal(worker.claims[0]->record, worker.claims[2]->record);
    worker_report(&worker, 0, OUTCOME_UNSENT, 0);
    assert_true(
        str_eq(worker.claims[1]->record->summary.to[1], S("two@example.net")));
}

static void big_values_are_fetched(void **state)
{
    struct world *world = *state;
    struct worker worker;
    size_t size = CHUNK_SIZE * 5 + 7;
    char *bytes = malloc(size);
    struct mail mail = {.body_size = 200000, .recipients = 2};

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + i / 1000);
    mail.attachment = str_make(bytes, size);
    worker_start(&worker, world->queue, 2);
    mail_store(world, &mail);
    until(world->loop, worker.count == 2);
    assert_int_equal(
        json_get_str(worker.claims[0]->record->job.mail, "text").len, 200000);
    assert_int_equal(worker.claims[0]->record->job.attachment_count, 1);
    assert_true(
        str_eq(worker.claims[0]->attachments[0], str_make(bytes, size)));
    assert_ptr_equal(worker.claims[0]->record, worker.claims[1]->record);
    worker_report(&worker, 0, OUTCOME_BOUNCED, 0);
    worker_report(&worker, 1, OUTCOME_BOUNCED, 0);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "2") == 0);
    assert_in_range(
        strtol(redis_ask("TTL ph:{0}:b:%s:6", mail.id.text), NULL, 10), 1,
        86400);
    free(bytes);
}

static void lost_content_fails_the_mail(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.attachment = STR("abc")};

    mail_store(world, &mail);
    redis_do("DEL ph:{0}:b:%s:0", mail.id.text);
    worker_start(&worker, world->queue, 2);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "1") == 0);
    assert_int_equal(worker.count, 0);
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"why\":\"content_lost\""));
}

/* A release that is older, or lacks a key, leaves the mail to others. */
static void what_cannot_be_read_waits_for_others(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {0};

    mail_store(world, &mail);
    redis_do("SET ph:{0}:c:%s %s", mail.id.text, "2 - 2\n{}");
    worker_start(&worker, world->queue, 2);
    until(world->loop, strcmp(state_of(&mail), "u") == 0);
    assert_int_equal(worker.count, 0);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 a", mail.id.text), "nil");
}

/* --- routes of an older configuration --- */

static void an_unknown_route_is_matched_anew(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.route = "gone"};

    mail_store(world, &mail);
    worker_init(&worker, world->queue, 2);
    worker.reroute = "other";
    queue_worker_start(world->queue, &worker.side);
    until(world->loop, worker.count == 1);
    assert_true(str_eq(worker.claims[0]->route, S("other")));
    assert_int_equal(worker.claims[0]->attempt, 1);
}

static void without_any_route_the_mail_waits(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.route = "gone"};

    mail.deadline_ms = clock_wall_ms() + 600000;
    mail_store(world, &mail);
    worker_start(&worker, world->queue, 2);
    until(world->loop, strcmp(state_of(&mail), "u") == 0);
    redis_do("ZADD ph:{0}:exp 1 %s:0", mail.id.text); /* its end, */
    redis_do("RPUSH ph:{0}:wake:0:main 1");           /* seen by a turn */
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "1") == 0);
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"why\":\"no_route\""));
}

/* Nobody has room for the route, and the mail has no deadline. */
static void a_stuck_route_expires_its_mail(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {.max_age_ms = 60000};

    mail_store(world, &mail);
    worker_start(&worker, world->queue, 0);
    redis_do("HSET ph:{0}:d:%s:0 x 1", mail.id.text);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "1") == 0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:q:0:default:main "
                                  "ph:{0}:ring:0:main"),
                        "0");
}

/* --- the end of a child --- */

/* A reload behind a start: nothing is in its hand, so nothing is waited for. */
static void a_child_that_never_connected_stops_at_once(void **state)
{
    enum { AT_ONCE_MS = 2000 };
    struct world *world = *state;
    struct queue *child = queue_open(world->loop, &fixture.config, NULL);
    int64_t begun_ms = real_ms();
    struct worker worker;

    worker_start(&worker, child, 1);
    queue_worker_stop(child, on_drained, &worker);
    assert_int_equal(worker.drained, 0); /* not from inside the call */
    until(world->loop, worker.drained == 1);
    assert_in_range(real_ms() - begun_ms, 0, AT_ONCE_MS);
    queue_close(&child);
}

static void a_drained_child_is_gone(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[2] = {{.route = "main"}, {.route = "main"}};

    worker_start(&worker, world->queue, 1);
    mail_store(world, &mails[0]);
    mail_store(world, &mails[1]);
    until(world->loop, worker.count == 1);
    queue_worker_stop(world->queue, on_drained, &worker);
    loop_turn(world->loop, 20);
    assert_int_equal(worker.drained, 0); /* it holds something */
    worker_report(&worker, 0, OUTCOME_UNSENT, 0);
    until(world->loop, worker.drained == 1);
    assert_int_equal(worker.count, 1);
    assert_string_equal(redis_ask("ZCARD ph:{0}:workers"), "0");
    assert_string_equal(redis_ask("LLEN ph:{0}:q:0:default:main"), "2");
    assert_string_equal(redis_ask("LLEN ph:{0}:wake:0:main"), "1");
    assert_true(is_blocked("0")); /* it would take a token with it */
}

/* Redis is there, but refuses: no replica, say. */
static void a_refused_registration_is_tried_again(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mail = {0};

    mail_store(world, &mail);
    redis_do("CONFIG SET min-replicas-to-write 1");
    worker_start(&worker, world->queue, 1);
    while (redis_link_in_flight(world->queue->main) > 0)
        loop_turn(world->loop, 10);
    assert_string_equal(redis_ask("ZCARD ph:{0}:workers"), "0");
    redis_do("CONFIG SET min-replicas-to-write 0");
    until(world->loop, worker.count == 1);
}

static int brisk_setup(void **state)
{
    fixture.config.worker.lease_ms = 1000;
    return world_setup(state);
}

static void on_release(void *ctx, bool ok)
{
    *(int *)ctx = ok ? 1 : -1;
}

static void a_dead_childs_claims_are_released(void **state)
{
    struct world *world = *state;
    struct queue *child = queue_open(world->loop, &fixture.config, NULL);
    struct worker dead;
    struct worker living;
    struct mail mail = {0};
    char epoch[32];
    int released = 0;

    worker_start(&dead, child, 1);
    mail_store(world, &mail);
    until(world->loop, dead.count == 1);
    snprintf(epoch, sizeof epoch, "%.*s", STR_ARG(queue_worker_epoch(child)));
    queue_close(&child); /* as a crash: nothing is told to Redis */
    worker_start(&living, world->queue, 1);
    queue_release(world->queue, str_of(epoch), S(""), on_release, &released);
    until(world->loop, released != 0);
    assert_int_equal(released, 1);
    until(world->loop, living.count == 1);
    assert_string_equal(living.claims[0]->email.text, mail.id.text);
}

/* Nobody says so: the lease runs out, in the eyes of another child. */
static void a_lease_that_ran_out_is_taken_back(void **state)
{
    struct world *world = *state;
    struct queue *child = queue_open(world->loop, &fixture.config, NULL);
    struct worker dead;
    struct worker living;
    struct mail mail = {0};

    worker_start(&dead, child, 1);
    mail_store(world, &mail);
    until(world->loop, dead.count == 1);
    assert_true(worker_mark(world, &dead, 0));
    redis_do("ZADD ph:{0}:workers 1 %s", queue_worker_epoch(child).ptr);
    queue_close(&child);
    worker_start(&living, world->queue, 1);
    until(world->loop, living.count == 1);
    assert_true(living.claims[0]->possible_duplicate);
    assert_int_equal(living.claims[0]->attempt, 2);
}

static void closing_in_the_middle_leaks_nothing(void **state)
{
    struct world *world = *state;
    struct worker worker;
    struct mail mails[2] = {{.body_size = 200000}, {.route = "main"}};
    struct marked marked = {0};

    worker_start(&worker, world->queue, 8);
    mail_store(world, &mails[1]);
    until(world->loop, worker.count == 1);
    mail_store(world, &mails[0]);
    while (worker.count == 1 && redis_link_in_flight(world->queue->bulk) == 0)
        loop_turn(world->loop, 1);
    queue_mark(world->queue, worker.claims[0], on_marked, &marked);
    loop_turn(world->loop, 0);
    queue_close(&world->queue);
    loop_turn(world->loop, 20);
    assert_int_equal(marked.count, 0);
}

#define SLOW_TEST(fn)                                                          \
    cmocka_unit_test_setup_teardown(fn, slow_setup, slow_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(from_claim_to_history),
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
        WORLD_TEST(a_child_goes_on_after_an_outage),
        WORLD_TEST(a_mark_without_an_answer_is_no),
        SLOW_TEST(an_unknown_epoch_registers_again),
        SLOW_TEST(marks_of_a_turn_go_in_one_call),
        SLOW_TEST(cancel_wins_until_the_mark),
        SLOW_TEST(a_report_ends_the_mark),
        SLOW_TEST(lanes_are_served_in_their_order),
        SLOW_TEST(room_of_a_lane_counts_those_behind_it),
        SLOW_TEST(bulk_is_claimed_in_steps),
        SLOW_TEST(bulk_makes_way_for_codes),
        SLOW_TEST(results_come_through_beside_codes),
        SLOW_TEST(a_flood_holds_nobody_up),
        SLOW_TEST(owners_share_a_lane),
        SLOW_TEST(recipients_share_one_record),
        SLOW_TEST(big_values_are_fetched),
        SLOW_TEST(lost_content_fails_the_mail),
        SLOW_TEST(what_cannot_be_read_waits_for_others),
        SLOW_TEST(an_unknown_route_is_matched_anew),
        SLOW_TEST(without_any_route_the_mail_waits),
        SLOW_TEST(a_stuck_route_expires_its_mail),
        SLOW_TEST(a_child_that_never_connected_stops_at_once),
        SLOW_TEST(a_drained_child_is_gone),
        cmocka_unit_test_setup_teardown(a_refused_registration_is_tried_again,
                                        brisk_setup, slow_teardown),
        SLOW_TEST(a_dead_childs_claims_are_released),
        WORLD_TEST(a_lease_that_ran_out_is_taken_back),
        WORLD_TEST(closing_in_the_middle_leaks_nothing),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
