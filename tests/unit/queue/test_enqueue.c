#include "mail_fixture.h"

#include "queue/chunks.h"

/* --- what is stored --- */

static void stores_all_in_one_step(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL,
                        .max_age_ms = 60000,
                        .recipients = 3};
    const char *id = mail.id.text;

    mail_store(world, &mail);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s:0 s left m sq l", id),
                        "q 3 3 1 nil");
    assert_non_null(
        strstr(redis_ask("HGET ph:{0}:d:%s:0 i", id), " 2 default main"));
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s:2 s left m", id),
                        "q nil nil");
    assert_string_equal(redis_ask("OBJECT ENCODING ph:{0}:d:%s:0", id),
                        "listpack");
    assert_string_equal(redis_ask("LLEN ph:{0}:q:2:default:main"), "3");
    assert_string_equal(redis_ask("LRANGE ph:{0}:ring:2:main 0 -1"), "default");
    assert_string_equal(redis_ask("SMEMBERS ph:{0}:routes"), "main");
    assert_string_equal(redis_ask("LLEN ph:{0}:wake:2:main"), "1");
    assert_string_equal(redis_ask("LRANGE ph:{0}:evring 0 -1"), "default");
    assert_string_equal(redis_ask("LLEN ph:{0}:hwake"), "1");
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "3");
    assert_string_equal(redis_ask("EXISTS ph:{0}:exp ph:{0}:due:2"), "0");
    assert_string_equal(redis_ask("TTL ph:{0}:c:%s", id), "-1");
}

static void raises_one_event_for_the_email(void **state)
{
    struct world *world = *state;
    struct mail mail = {.recipients = 2};
    redisReply *reply;
    redisReply *entry;

    mail_store(world, &mail);
    reply = redis_raw("XRANGE ph:{0}:ev:default - +");
    assert_int_equal(reply->elements, 1);
    entry = reply->element[0]->element[1];
    assert_string_equal(entry->element[0]->str, "e");
    assert_non_null(
        strstr(entry->element[1]->str, "{\"t\":\"email.queued\",\"e\":\""));
    assert_non_null(strstr(entry->element[1]->str,
                           "\",\"n\":-1,\"g\":1,\"o\":1,\"s\":1,\"at\":1"));
    freeReplyObject(reply);
}

static void a_second_mail_pushes_no_second_token(void **state)
{
    struct world *world = *state;
    struct mail mails[2] = {{.route = "main"}, {.route = "main"}};

    mail_store(world, &mails[0]);
    redis_do("DEL ph:{0}:wake:0:main"); /* taken by a child that is at it */
    mail_store(world, &mails[1]);
    assert_string_equal(redis_ask("LLEN ph:{0}:wake:0:main"), "0");
    assert_string_equal(redis_ask("LLEN ph:{0}:q:0:default:main"), "2");
    assert_string_equal(redis_ask("LLEN ph:{0}:ring:0:main"), "1");
}

static void scheduled_mail_waits_in_due(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_ALERT};

    mail.due_ms = clock_wall_ms() + 3600000;
    mail.deadline_ms = mail.due_ms + 1000;
    mail_store(world, &mail);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 s", mail.id.text), "u");
    assert_string_equal(redis_ask("EXISTS ph:{0}:q:1:default:main"), "0");
    assert_string_equal(redis_ask("ZCARD ph:{0}:due:1"), "1");
    assert_string_equal(redis_ask("ZCARD ph:{0}:exp"), "1");
    /* The earliest of all, so one who sleeps until a later time is woken. */
    assert_string_equal(redis_ask("LLEN ph:{0}:wake:1:main"), "1");
    assert_non_null(strstr(redis_ask("XRANGE ph:{0}:ev:default - +"),
                           "\"t\":\"email.scheduled\""));
}

static void a_time_in_the_past_means_now(void **state)
{
    struct world *world = *state;
    struct mail mail = {.due_ms = 1000};

    mail_store(world, &mail);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 s", mail.id.text), "q");
}

/* 17 us with 7 calls, 32 us with 16: the count is watched. */
static void is_lean(void **state)
{
    struct world *world = *state;
    struct mail first = {.max_age_ms = 1000, .key = "a"};
    struct mail second = {.max_age_ms = 1000, .key = "b"};
    char stats[65536];
    unsigned calls = 0;

    mail_store(world, &first);
    redis_do("CONFIG RESETSTAT");
    mail_store(world, &second);
    snprintf(stats, sizeof stats, "%s", redis_ask("INFO commandstats"));
    for (char *at = stats; (at = strstr(at, "cmdstat_")) != NULL; at++) {
        if (strncmp(at, "cmdstat_config", 14) != 0 &&
            strncmp(at, "cmdstat_info", 12) != 0 &&
            strncmp(at, "cmdstat_evalsha", 15) != 0)
            calls += (unsigned)strtoul(strstr(at, "calls=") + 6, NULL, 10);
    }
    assert_in_range(calls, 1, 9);
}

/* --- idempotency --- */

static void an_equal_request_gets_the_first_answer(void **state)
{
    struct world *world = *state;
    struct mail mail = {.key = "k1"};
    struct mail again = {.key = "k1"};
    struct answered answered = {0};

    mail_store(world, &mail);
    mail_send(world->queue, &again, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_REPLAY);
    assert_int_equal(answered.http_status, 200);
    assert_string_equal(answered.answer, "{\"id\":\"first\"}");
    assert_string_equal(redis_ask("EXISTS ph:{0}:c:%s", again.id.text), "0");
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "1");
}

static void another_request_is_a_conflict(void **state)
{
    struct world *world = *state;
    struct mail mail = {.key = "k1"};
    struct mail other = {.key = "k1", .fingerprint = "other"};
    struct answered answered = {0};

    mail_store(world, &mail);
    mail_send(world->queue, &other, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_CONFLICT);
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "1");
}

static void keys_belong_to_their_owner(void **state)
{
    struct world *world = *state;
    struct mail mail = {.key = "k1"};
    struct mail other = {.key = "k1", .owner = "another"};

    mail_store(world, &mail);
    mail_store(world, &other);
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "2");
}

/* Many at once over two processes' links: one mail. */
static void a_race_makes_one_mail(void **state)
{
    enum { RACERS = 40 };
    struct world *world = *state;
    struct queue *other = queue_open(world->loop, &fixture.config, NULL);
    struct mail mails[RACERS];
    struct answered answered[RACERS] = {{0}};
    unsigned stored = 0;
    unsigned done = 0;

    until(world->loop, queue_is_ready(other, NULL));
    for (unsigned i = 0; i < RACERS; i++) {
        mails[i] = (struct mail){.key = "race"};
        mail_send(i % 2 == 0 ? world->queue : other, &mails[i], &answered[i]);
    }
    while (done < RACERS) {
        loop_turn(world->loop, 50);
        done = 0;
        for (unsigned i = 0; i < RACERS; i++)
            done += answered[i].count;
    }
    for (unsigned i = 0; i < RACERS; i++) {
        stored += answered[i].status == QUEUE_OK;
        assert_true(answered[i].status == QUEUE_OK ||
                    answered[i].status == QUEUE_REPLAY);
    }
    assert_int_equal(stored, 1);
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "1");
    queue_close(&other);
}

/* --- the mails of one turn of the loop --- */

static void one_call_stores_all(void **state)
{
    struct world *world = *state;
    struct mail mails[] = {
        {.key = "k1"},
        {.key = "k1", .fingerprint = "other"},
        {.owner = "moving"},
        {.recipients = 3},
    };
    enum queue_status statuses[] = {QUEUE_OK, QUEUE_CONFLICT, QUEUE_FROZEN,
                                    QUEUE_OK};
    struct answered answered[COUNT_OF(mails)] = {{0}};

    redis_do("HSET ph:{0}:o:moving frozen 1");
    redis_do("CONFIG RESETSTAT");
    for (size_t i = 0; i < COUNT_OF(mails); i++)
        mail_send(world->queue, &mails[i], &answered[i]);
    until(world->loop, answered[3].count > 0);
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        assert_int_equal(answered[i].count, 1);
        assert_int_equal(answered[i].status, statuses[i]);
    }
    assert_non_null(
        strstr(redis_ask("INFO commandstats"), "cmdstat_evalsha:calls=1,"));
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "4");
    assert_string_equal(redis_ask("LLEN ph:{0}:q:0:default:main"), "4");
}

/* More than a call may hold: they go in several, each mail once. */
static void a_call_is_bounded(void **state)
{
    enum { MAILS = 100 };
    struct world *world = *state;
    struct mail mails[MAILS];
    struct answered answered[MAILS] = {{0}};

    redis_do("CONFIG RESETSTAT");
    for (size_t i = 0; i < MAILS; i++) {
        mails[i] = (struct mail){.recipients = 1};
        mail_send(world->queue, &mails[i], &answered[i]);
    }
    until(world->loop, answered[MAILS - 1].count > 0);
    for (size_t i = 0; i < MAILS; i++)
        assert_int_equal(answered[i].status, QUEUE_OK);
    assert_non_null(
        strstr(redis_ask("INFO commandstats"), "cmdstat_evalsha:calls=2,"));
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "100");
}

static void closing_forgets_what_waits(void **state)
{
    struct world *world = *state;
    struct mail mails[2] = {{.key = "k1"}, {.key = "k2"}};
    struct answered answered[2] = {{0}};

    mail_send(world->queue, &mails[0], &answered[0]);
    loop_turn(world->loop, 0); /* on its way */
    mail_send(world->queue, &mails[1], &answered[1]);
    queue_close(&world->queue);
    loop_turn(world->loop, 20);
    assert_int_equal(answered[0].count + answered[1].count, 0);
}

/* --- big values --- */

static void big_values_travel_in_chunks(void **state)
{
    struct world *world = *state;
    size_t size = CHUNK_SIZE * 2 + 5;
    char *bytes = calloc(1, size);
    struct mail mail = {.body_size = 100000};

    memset(bytes, 'a', size);
    mail.attachment = str_make(bytes, size);
    mail_store(world, &mail);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s:0 b bj", mail.id.text),
                        "4 1");
    assert_string_equal(redis_ask("TTL ph:{0}:b:%s:0", mail.id.text), "-1");
    assert_string_equal(redis_ask("STRLEN ph:{0}:b:%s:1", mail.id.text),
                        "524288");
    assert_string_equal(redis_ask("STRLEN ph:{0}:b:%s:3", mail.id.text), "5");
    assert_string_equal(redis_ask("EXISTS ph:{0}:b:%s:4", mail.id.text), "0");
    free(bytes);
}

/* Each of two steps has a limit, and the caller has one for both. His bytes
 * may be gone when he was answered, and his second try is the only one. */
static void a_caller_waits_no_longer_than_his_patience(void **state)
{
    static const size_t SIZES[] = {0, CHUNK_SIZE * 9};
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        char *bytes = calloc(1, SIZES[i] + 1);
        struct mail mail = {.key = i == 0 ? "small" : "large",
                            .patience_ms = 100};
        struct answered first = {0};
        int64_t start = real_ms();

        mail.attachment = str_make(bytes, SIZES[i]);
        redis_do("CLIENT PAUSE 60000 WRITE");
        mail_send(world->queue, &mail, &first);
        until(world->loop, first.count > 0);
        assert_true(real_ms() - start < 700); /* before any link gives up */
        assert_int_equal(first.status, QUEUE_AWAY);
        redis_do("CLIENT UNPAUSE");
        memset(bytes, 'x', SIZES[i]);
        free(bytes);
        until(world->loop, redis_link_in_flight(world->queue->main) == 0 &&
                               redis_link_in_flight(world->queue->bulk) == 0);
        assert_int_equal(first.count, 1);
    }
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "1");
}

static void on_raw(void *ctx, const struct reply *reply,
                   const struct error *why)
{
    struct answered *answered = ctx;

    (void)why;
    answered->count++;
    snprintf(answered->answer, sizeof answered->answer, "%.*s",
             STR_ARG(reply_str(reply_at(reply_at(reply, 0), 0))));
}

static void missing_chunks_store_nothing(void **state)
{
    static const char *const args[] = {"default",
                                       "01890000-0000-7000-8000-000000000000",
                                       "2",
                                       "0",
                                       "0",
                                       "0",
                                       "r",
                                       "",
                                       "",
                                       "",
                                       "1 - 2\n{}{}",
                                       "2",
                                       "0",
                                       "1",
                                       "",
                                       "1",
                                       "0",
                                       "main",
                                       "AbCdEfGhIjKlMnOp"};
    struct world *world = *state;
    struct redis_command command;
    struct answered answered = {0};

    command_init_partition(&command, world->queue, SCRIPT_ENQUEUE, 0);
    command_add_cstr(&command, "0"); /* no limits */
    command_add_cstr(&command, "0");
    command_add_cstr(&command, "0"); /* keep_bodies */
    for (size_t i = 0; i < COUNT_OF(args); i++)
        command_add_cstr(&command, args[i]);
    redis_send(world->queue->main, &command, 1000, on_raw, &answered);
    until(world->loop, answered.count > 0);
    assert_string_equal(answered.answer, "missing");
    assert_string_equal(redis_ask("KEYS ph:{0}:*"), "");
}

/* --- when nothing may be stored --- */

static void expect_refused(struct world *world, struct mail *mail,
                           enum queue_status status, const char *why)
{
    struct answered answered = {0};

    mail_send(world->queue, mail, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, status);
    if (strstr(answered.why.text, why) == NULL)
        fail_msg("%s", answered.why.text);
    assert_string_equal(redis_ask("EXISTS ph:{0}:c:%s", mail->id.text), "0");
}

static void a_frozen_owner_stores_nothing(void **state)
{
    struct mail mail = {0};

    redis_do("HSET ph:{0}:o:default frozen 1");
    expect_refused(*state, &mail, QUEUE_FROZEN, "moved");
}

static void sensitive_mail_needs_a_keyring(void **state)
{
    struct mail mail = {.sensitive = true};

    expect_refused(*state, &mail, QUEUE_NO_KEYRING, "posthaste keyring create");
}

static void a_volatile_redis_is_not_trusted(void **state)
{
    static const struct {
        const char *key;
        const char *bad;
        const char *good;
        const char *why;
    } cases[] = {
        {"appendonly", "no", "yes", "set appendonly yes"},
        {"maxmemory-policy", "allkeys-lru", "noeviction", "allkeys-lru"},
        {"maxmemory", "0", "256mb", "no maxmemory"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct mail mail = {0};
        struct error why;

        redis_do("CONFIG SET %s %s", cases[i].key, cases[i].bad);
        until(world->loop, !queue_is_ready(world->queue, &why));
        expect_refused(world, &mail, QUEUE_NOT_READY, cases[i].why);
        redis_do("CONFIG SET %s %s", cases[i].key, cases[i].good);
        until(world->loop, queue_is_ready(world->queue, NULL));
    }
}

static void a_nearly_full_redis_takes_no_mail(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    redis_do("CONFIG SET maxmemory 1mb");
    until(world->loop, !queue_is_ready(world->queue, NULL));
    expect_refused(world, &mail, QUEUE_FULL, "80 %");
    redis_do("CONFIG SET maxmemory 256mb");
    until(world->loop, queue_is_ready(world->queue, NULL));
}

/* Full between two looks at the memory: the script itself is refused. */
static void oom_is_full(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    redis_do("CONFIG SET maxmemory 1mb");
    expect_refused(world, &mail, QUEUE_FULL, "OOM");
    redis_do("CONFIG SET maxmemory 256mb");
    until(world->loop, queue_is_ready(world->queue, NULL));
}

static void a_newer_schema_is_refused(void **state)
{
    struct world *world = *state;
    struct queue *other;
    struct error why;

    redis_do("HSET ph:meta schema 2");
    other = queue_open(world->loop, &fixture.config, NULL);
    until(world->loop, other->health.known);
    assert_false(queue_is_ready(other, &why));
    assert_non_null(strstr(why.text, "schema 2"));
    queue_close(&other);
}

static void no_answer_is_an_unknown_outcome(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};
    struct answered answered = {0};
    int64_t start = real_ms();

    kill(fixture.pid, SIGSTOP);
    mail_send(world->queue, &mail, &answered);
    until(world->loop, answered.count > 0);
    kill(fixture.pid, SIGCONT);
    assert_int_equal(answered.status, QUEUE_AWAY);
    assert_in_range(real_ms() - start, 0, 1000);
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_int_equal(answered.count, 1);
}

static void a_forgotten_script_is_loaded_again(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    redis_do("SCRIPT FLUSH");
    mail_store(world, &mail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(stores_all_in_one_step),
        WORLD_TEST(raises_one_event_for_the_email),
        WORLD_TEST(a_second_mail_pushes_no_second_token),
        WORLD_TEST(scheduled_mail_waits_in_due),
        WORLD_TEST(a_time_in_the_past_means_now),
        WORLD_TEST(is_lean),
        WORLD_TEST(an_equal_request_gets_the_first_answer),
        WORLD_TEST(another_request_is_a_conflict),
        WORLD_TEST(keys_belong_to_their_owner),
        WORLD_TEST(a_race_makes_one_mail),
        WORLD_TEST(one_call_stores_all),
        WORLD_TEST(a_call_is_bounded),
        WORLD_TEST(closing_forgets_what_waits),
        WORLD_TEST(big_values_travel_in_chunks),
        WORLD_TEST(a_caller_waits_no_longer_than_his_patience),
        WORLD_TEST(missing_chunks_store_nothing),
        WORLD_TEST(a_frozen_owner_stores_nothing),
        WORLD_TEST(sensitive_mail_needs_a_keyring),
        WORLD_TEST(a_volatile_redis_is_not_trusted),
        WORLD_TEST(a_nearly_full_redis_takes_no_mail),
        WORLD_TEST(oom_is_full),
        WORLD_TEST(a_newer_schema_is_refused),
        WORLD_TEST(no_answer_is_an_unknown_outcome),
        WORLD_TEST(a_forgotten_script_is_loaded_again),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
