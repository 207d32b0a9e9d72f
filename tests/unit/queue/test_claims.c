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
    queue_email_cancel(world->queue, owner_of("default"), &mails[0].id, NULL,
                       on_canceled, NULL);
    queue_mark(world->queue, worker.claims[0], on_marked, &marked[0]);
    queue_mark(world->queue, worker.claims[1], on_marked, &marked[1]);
    until(world->loop, marked[1].count > 0);
    assert_false(marked[0].may_go);
    assert_true(marked[1].may_go);
    canceled = QUEUE_OK;
    queue_email_cancel(world->queue, owner_of("default"), &mails[1].id, NULL,
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

/* Whatever is claimed, a process holds 64 MiB of it at a time. */
static void big_values_take_turns(void **state)
{
    enum { MAILS = 3, SIZE = 33 << 20 };
    struct world *world = *state;
    struct worker worker;
    char *bytes = calloc(1, SIZE);
    struct mail mails[MAILS];
    struct mail small = {0};

    for (size_t i = 0; i < MAILS; i++) {
        mails[i] = (struct mail){.attachment = str_make(bytes, SIZE)};
        mail_store(world, &mails[i]);
    }
    free(bytes);
    worker_start(&worker, world->queue, MAILS + 1);
    until(world->loop, worker.count == 1);
    mail_store(world, &small);
    until(world->loop, worker.count == 2); /* it needs no turn */
    assert_true(worker.claims[1]->attachments == NULL ||
                worker.claims[1]->record->job.attachment_count == 0);
    for (size_t i = 0; i < MAILS; i++) {
        for (size_t other = i + 1; other < MAILS; other++)
            assert_string_equal(state_of(&mails[other]), "c");
        worker_report(&worker, i == 0 ? 0 : i + 1, OUTCOME_BOUNCED, 0);
        until(world->loop, worker.count == (i + 1 < MAILS ? i + 3 : MAILS + 1));
    }
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "3") == 0);
}

/* Those whose turn comes meanwhile go back, and are claimed again. */
static void big_values_outlast_a_redis_that_is_away(void **state)
{
    enum { MAILS = 3, SIZE = 33 << 20 };
    struct world *world = *state;
    struct worker worker;
    char *bytes = calloc(1, SIZE);
    size_t told = 0;

    for (size_t i = 0; i < MAILS; i++) {
        struct mail mail = {.attachment = str_make(bytes, SIZE)};

        mail_store(world, &mail);
    }
    free(bytes);
    worker_start(&worker, world->queue, MAILS);
    until(world->loop, worker.count == 1);
    fixture_stop();
    worker_report(&worker, told++, OUTCOME_BOUNCED, 0);
    for (int i = 0; i < 100; i++)
        loop_turn(world->loop, 1);
    assert_int_equal(worker.count, 1);
    fixture_start();
    while (told < MAILS) {
        until(world->loop, worker.count > told);
        worker_report(&worker, told++, OUTCOME_BOUNCED, 0);
    }
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "3") == 0);
    assert_int_equal(world->queue->content_bytes, 0);
    assert_true(list_is_empty(&world->queue->contents_waiting));
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

/* Servers whose replies are long and full of quotation marks, and several of
 * them for each mail: more than one command to Redis may hold. */
static void much_to_tell_takes_several_turns(void **state)
{
    enum { MAILS = 40, ATTEMPTS = 7 };
    struct world *world = *state;
    struct worker worker;
    char transcript[ATTEMPT_TRANSCRIPT_MAX];

    memset(transcript, '"', sizeof transcript);
    worker_start(&worker, world->queue, MAILS);
    for (int i = 0; i < MAILS; i++)
        mail_store(world, &(struct mail){.max_age_ms = 60000});
    until(world->loop, worker.count == MAILS);
    for (size_t i = 0; i < MAILS; i++) {
        for (int n = 0; n < ATTEMPTS; n++)
            queue_report_attempt(
                worker.claims[i],
                &(struct attempt){.attempt = 1,
                                  .transcript =
                                      str_make(transcript, sizeof transcript)});
        worker_report(&worker, i, OUTCOME_BOUNCED, 0);
    }
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "40") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(from_claim_to_history),
        WORLD_TEST(a_child_goes_on_after_an_outage),
        WORLD_TEST(a_mark_without_an_answer_is_no),
        SLOW_TEST(an_unknown_epoch_registers_again),
        SLOW_TEST(marks_of_a_turn_go_in_one_call),
        SLOW_TEST(much_to_tell_takes_several_turns),
        SLOW_TEST(cancel_wins_until_the_mark),
        SLOW_TEST(a_report_ends_the_mark),
        SLOW_TEST(recipients_share_one_record),
        SLOW_TEST(big_values_are_fetched),
        SLOW_TEST(big_values_take_turns),
        SLOW_TEST(big_values_outlast_a_redis_that_is_away),
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
