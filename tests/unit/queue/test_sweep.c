/* What is kept of finished mail, for how long, and what is counted of it:
 * sweep.lua and those that write what it takes away. */
#include "script_fixture.h"

static const char KEEP_EVENTS_MS[] = "7200000";

enum { S_WORD, S_AGAIN, S_BYTES, S_SWEPT, S_ABOVE };

static void do_sweep(struct world *world, long long limit)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_SWEEP, 0);
    command_add_int(&command, KEEP_BODIES_MS);
    command_add_cstr(&command, KEEP_EVENTS_MS);
    command_add_int(&command, limit);
    script_send(world, &command);
    assert_string_equal(script_answer.parts[S_WORD], "ok");
}

static void do_project(struct world *world, const char *owner)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_PROJECT, 0);
    command_add_cstr(&command, owner);
    command_add_cstr(&command, "200");
    command_add_cstr(&command, "86400000");
    redis_send(world->queue->main, &command, 5000, NULL, NULL);
    redis_do("PING");
    do_sweep(world, 0); /* behind it on the same connection */
}

static void do_fan_out(struct world *world)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_FANOUT, 0);
    command_add_cstr(&command, "email.queued email.canceled");
    command_add_cstr(&command, "200");
    script_send(world, &command);
}

static void clock_ahead(long long ms)
{
    redis_do("HSET ph:meta test_offset_ms %lld", ms);
}

static long long history_bytes(void)
{
    return strtoll(redis_ask("HGET ph:{0}:n history_bytes"), NULL, 10);
}

/* A mail that is over. */
static struct id ended(struct world *world, struct mail mail)
{
    mail_store(world, &mail);
    do_cancel(world, mail.id.text);
    return mail.id;
}

static bool is_there(const char *key, const struct id *id)
{
    return strcmp(redis_ask("EXISTS ph:{0}:%s:%s", key, id->text), "1") == 0;
}

static long long events(void)
{
    return strtoll(redis_ask("XLEN ph:{0}:ev:default"), NULL, 10);
}

/* --- by time --- */

static void all_goes_when_its_time_is_over(void **state)
{
    struct world *world = *state;
    struct id id = ended(world, (struct mail){.recipients = 3});

    do_fan_out(world);
    do_project(world, "default");
    assert_string_equal(redis_ask("TTL ph:{0}:h:%s", id.text), "-1");
    assert_true(is_there("c", &id));
    assert_true(is_there("t", &id));
    assert_true(history_bytes() > 1000);
    clock_ahead(KEEP_BODIES_MS + 1000);
    do_sweep(world, 0);
    assert_false(is_there("c", &id));
    assert_true(is_there("h", &id));
    assert_int_equal(events(), 4);
    clock_ahead(7201000);
    do_sweep(world, 0);
    assert_string_equal(script_answer.parts[S_SWEPT], "1");
    assert_false(is_there("h", &id));
    assert_false(is_there("t", &id));
    assert_int_equal(events(), 0);
    assert_string_equal(redis_ask("KEYS ph:{0}:x:*"), "");
    assert_string_equal(redis_ask("ZCARD ph:{0}:evold"), "0");
    assert_int_equal(history_bytes(), 0);
}

static void an_open_mail_is_not_history(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    mail_store(world, &mail);
    assert_int_equal(history_bytes(), 0);
    do_fan_out(world);
    do_project(world, "default");
    clock_ahead(7201000);
    do_sweep(world, 0);
    assert_true(is_there("c", &mail.id));
    assert_true(is_there("t", &mail.id));
    assert_int_equal(events(), 0); /* told long ago */
    do_cancel(world, mail.id.text);
    do_fan_out(world);
    do_project(world, "default");
    clock_ahead(3 * 7201000);
    do_sweep(world, 0);
    assert_false(is_there("t", &mail.id));
    assert_int_equal(history_bytes(), 0);
}

/* Its acceptance is charged by its end, if that comes first: what was swept
 * while it was open is neither refunded nor charged. */
static void what_is_not_charged_is_not_refunded(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};
    long long bytes;

    mail_store(world, &mail);
    do_fan_out(world);
    do_project(world, "default");
    bytes = history_bytes();
    clock_ahead(7201000);
    do_sweep(world, 0);
    assert_int_equal(events(), 0);
    assert_int_equal(history_bytes(), bytes);
    do_cancel(world, mail.id.text);
    do_retry(world, mail.id.text);
    do_cancel(world, mail.id.text);
    do_fan_out(world);
    do_project(world, "default");
    clock_ahead(3 * 7201000);
    do_sweep(world, 0);
    assert_false(is_there("h", &mail.id));
    assert_int_equal(history_bytes(), 0);
}

/* The hooks were away for longer than it is kept. */
static void what_was_swept_gets_no_timeline(void **state)
{
    struct world *world = *state;
    struct id id = ended(world, (struct mail){0});

    clock_ahead(7201000);
    do_sweep(world, 0);
    assert_false(is_there("h", &id));
    assert_int_equal(events(), 2);
    do_fan_out(world);
    do_project(world, "default");
    do_sweep(world, 0);
    assert_false(is_there("t", &id));
    assert_string_equal(redis_ask("KEYS ph:{0}:x:*"), "");
    assert_int_equal(events(), 0);
    assert_int_equal(history_bytes(), 0);
}

static void chunks_count_and_go_with_the_body(void **state)
{
    struct world *world = *state;
    struct id id =
        ended(world, (struct mail){.attachment = STR("attached bytes"),
                                   .body_size = 3000});

    assert_true(history_bytes() > 3000);
    assert_string_equal(redis_ask("EXISTS ph:{0}:b:%s:0", id.text), "1");
    clock_ahead(KEEP_BODIES_MS + 1000);
    do_sweep(world, 0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:b:%s:0", id.text), "0");
    assert_in_range(history_bytes(), 300, 1200);
}

/* --- events, and who still needs them --- */

static const struct needed {
    const char *name;
    const char *how; /* a Lua text; ARGV[1] is the first event */
} NEEDED[] = {
    {"not fanned out", "redis.call('SET', 'ph:{0}:fan:default', '0-0')"},
    {"not projected", "redis.call('SET', 'ph:{0}:prj:default', '0-0')"},
    {"an endpoint is behind",
     "redis.call('HSET', 'ph:{0}:we:w1', 'behind', '0-0')"},
    {"a task waits", "redis.call('RPUSH', 'ph:{0}:w:w1', '9999999999999-1', "
                     "ARGV[1])"},
    {"a task is due",
     "redis.call('HSET', 'ph:{0}:wt:w1:' .. ARGV[1], 'state', 'due')"},
    {"a task is under way",
     "redis.call('HSET', 'ph:{0}:wt:w1:' .. ARGV[1], 'state', 'flying')"},
};

static const char FREE[] =
    "redis.call('DEL', 'ph:{0}:w:w1', 'ph:{0}:we:w1') "
    "redis.call('HSET', 'ph:{0}:wt:w1:' .. ARGV[1], 'state', 'done') "
    "redis.call('SET', 'ph:{0}:fan:default', '9999999999999-0') "
    "redis.call('SET', 'ph:{0}:prj:default', '9999999999999-0')";

static void an_event_stays_while_it_is_needed(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(NEEDED); i++) {
        char first[64];

        redis_do("FLUSHALL");
        ended(world, (struct mail){0});
        snprintf(first, sizeof first, "%.20s",
                 redis_ask("XRANGE ph:{0}:ev:default - + COUNT 1"));
        *strchr(first, ' ') = '\0';
        do_fan_out(world);
        do_project(world, "default");
        redis_do("SADD ph:{0}:r:webhook:default w1");
        redis_do("EVAL %s 0 %s", FREE, first);
        redis_do("EVAL %s 0 %s", NEEDED[i].how, first);
        clock_ahead(7201000);
        do_sweep(world, 0);
        if (events() != 2)
            fail_msg("%s: it went", NEEDED[i].name);
        redis_do("EVAL %s 0 %s", FREE, first);
        do_sweep(world, 0);
        if (events() != 0)
            fail_msg("%s: it stayed", NEEDED[i].name);
    }
}

/* Who reads the stream must see that something was cut off. */
static void the_last_one_cut_off_is_told(void **state)
{
    struct world *world = *state;
    char last[64];

    ended(world, (struct mail){0});
    snprintf(last, sizeof last, "%.20s",
             redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"));
    *strchr(last, ' ') = '\0';
    do_fan_out(world);
    do_project(world, "default");
    assert_string_equal(redis_ask("HGET ph:{0}:o:default cut"), "nil");
    clock_ahead(7201000);
    do_sweep(world, 0);
    assert_string_equal(redis_ask("HGET ph:{0}:o:default cut"), last);
}

static void a_full_call_asks_for_the_next(void **state)
{
    struct world *world = *state;

    for (unsigned i = 0; i < 60; i++)
        ended(world, (struct mail){0});
    do_fan_out(world);
    do_project(world, "default");
    clock_ahead(7201000);
    do_sweep(world, 0);
    assert_string_equal(script_answer.parts[S_AGAIN], "1");
    assert_string_equal(script_answer.parts[S_SWEPT], "50");
    do_sweep(world, 0);
    assert_string_equal(script_answer.parts[S_AGAIN], "0");
    assert_string_equal(redis_ask("LLEN ph:{0}:ended"), "0");
    assert_int_equal(events(), 0);
    assert_int_equal(history_bytes(), 0);
}

/* A call looks at a few owners; those that are stuck are not always the same
 * few, so all others come up. */
static void every_owner_comes_up(void **state)
{
    struct world *world = *state;
    unsigned calls = 0;
    char owner[16];

    for (unsigned i = 0; i < 40; i++) {
        struct mail mail = {.owner = owner};

        snprintf(owner, sizeof owner, "o%u", i);
        mail_store(world, &mail);
        redis_do("ZADD ph:{0}:evold 1 %s", owner);
        redis_do("SET ph:{0}:fan:%s 9999999999999-0", owner);
        if (i >= 9) /* the others are not projected */
            redis_do("SET ph:{0}:prj:%s 9999999999999-0", owner);
    }
    clock_ahead(7201000);
    while (strcmp(redis_ask("ZCARD ph:{0}:evold"), "9") != 0) {
        do_sweep(world, 0);
        assert_true(++calls < 1000);
    }
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:o8"), "1");
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:o9"), "0");
}

/* --- above the limit --- */

static void sweep_down(struct world *world, long long limit)
{
    for (unsigned i = 0; i < 100; i++) {
        do_sweep(world, limit);
        if (strcmp(script_answer.parts[S_AGAIN], "0") == 0)
            return;
    }
    fail_msg("it does not end");
}

static void bodies_go_first_then_the_oldest(void **state)
{
    struct world *world = *state;
    struct id ids[120];
    long long all;
    long long body;
    long long less; /* than the histories take: bodies differ by some bytes */

    for (unsigned i = 0; i < COUNT_OF(ids); i++)
        ids[i] = ended(world, (struct mail){.body_size = 500});
    do_fan_out(world);
    do_project(world, "default");
    do_sweep(world, 0);
    all = history_bytes();
    do_sweep(world, all - 1);
    assert_false(is_there("c", &ids[0]));
    assert_true(is_there("c", &ids[1]));
    assert_true(is_there("h", &ids[0]));
    body = all - history_bytes();
    assert_in_range(body, 600, 1600);
    less = (all - 120 * body) / 4 * 3;
    sweep_down(world, less);
    assert_false(is_there("c", &ids[119]));
    assert_false(is_there("h", &ids[0]));
    assert_false(is_there("t", &ids[0]));
    assert_true(is_there("h", &ids[119]));
    assert_true(history_bytes() <= less);
    sweep_down(world, 1);
    assert_false(is_there("h", &ids[119]));
    assert_int_equal(events(), 0);
    assert_int_equal(history_bytes(), 0);
}

/* Neither hooks nor a webhook that is behind: the limit is the law. */
static void the_limit_asks_nobody(void **state)
{
    struct world *world = *state;
    struct id id = ended(world, (struct mail){0});

    redis_do("SADD ph:{0}:r:webhook:default w1");
    redis_do("HSET ph:{0}:we:w1 behind 0-0");
    sweep_down(world, 1);
    assert_false(is_there("h", &id));
    assert_int_equal(events(), 0);
    assert_int_equal(history_bytes(), 0);
    assert_string_equal(redis_ask("HGET ph:{0}:n final"), "1");
}

static void every_owner_pays(void **state)
{
    struct world *world = *state;

    for (unsigned i = 0; i < 30; i++)
        ended(world, (struct mail){.owner = "default"});
    for (unsigned i = 0; i < 30; i++) {
        struct mail mail = {.owner = "other"};
        struct redis_command command;

        mail_store(world, &mail);
        command_init_partition(&command, world->queue, SCRIPT_CANCEL, 0);
        command_add_cstr(&command, "other");
        command_add_cstr(&command, mail.id.text);
        command_add_int(&command, KEEP_BODIES_MS);
        idempotency_add(&command, NULL);
        script_send(world, &command);
    }
    sweep_down(world, 1);
    assert_int_equal(events(), 0);
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:other"), "0");
    assert_int_equal(history_bytes(), 0);
}

/* Events alone, of mail that waits, are history too. */
static void mail_that_waits_is_never_taken(void **state)
{
    struct world *world = *state;
    struct mail mail = {0};

    mail_store(world, &mail);
    ended(world, (struct mail){0});
    sweep_down(world, 1);
    assert_true(is_there("c", &mail.id));
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 s", mail.id.text), "q");
}

/* --- what was sent again by hand --- */

static struct id refused(struct world *world, const char *kind,
                         const char *attempts)
{
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};
    char id[64];
    char token[64];

    mail_store(world, &mail);
    snprintf(id, sizeof id, "%s:0", mail.id.text);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 10);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    do_turn(world, &(struct turn){.epoch = "e1",
                                  .id = id,
                                  .token = token,
                                  .kind = kind,
                                  .due_ms = clock_wall_ms() + 3600000,
                                  .outcome = "550,\"5.1.1\",\"no\"",
                                  .attempts = attempts});
    return mail.id;
}

static struct id bounced(struct world *world, const char *attempts)
{
    struct id id = refused(world, "b", attempts);

    assert_true(is_there("h", &id));
    return id;
}

static void a_reopened_mail_outlives_its_old_line(void **state)
{
    struct world *world = *state;
    struct id id = bounced(world, "");

    do_retry(world, id.text);
    do_fan_out(world);
    do_project(world, "default");
    clock_ahead(7201000);
    do_sweep(world, 0);
    assert_string_equal(redis_ask("LLEN ph:{0}:ended"), "0");
    assert_true(is_there("c", &id));
    assert_true(is_there("t", &id));
    do_cancel(world, id.text);
    assert_true(is_there("h", &id));
    do_sweep(world, 0);
    assert_true(is_there("h", &id));
    do_fan_out(world);
    do_project(world, "default");
    clock_ahead(3 * 7201000);
    do_sweep(world, 0);
    assert_false(is_there("h", &id));
    assert_int_equal(history_bytes(), 0);
}

/* The last ones of an email, counted as long as they are there. */
static void attempts_go_with_the_history(void **state)
{
    struct world *world = *state;
    char records[25 * 200] = "";
    struct id id;

    for (unsigned i = 1; i <= 25; i++)
        snprintf(records + strlen(records), 200, "%u%0*d\n", i, 7 * (int)i, 0);
    id = bounced(world, records);
    assert_string_equal(redis_ask("LLEN ph:{0}:a:%s", id.text), "20");
    assert_int_equal(
        strncmp(redis_ask("LINDEX ph:{0}:a:%s 0", id.text), "60", 2), 0);
    do_fan_out(world);
    do_project(world, "default");
    clock_ahead(7201000);
    do_sweep(world, 0);
    assert_false(is_there("a", &id));
    assert_int_equal(history_bytes(), 0);
}

/* Of mails that wait, so that the sweep cannot help. */
static void attempts_take_a_quarter_of_the_limit(void **state)
{
    struct world *world = *state;
    char record[3000];
    struct id ids[5];

    memset(record, 'x', sizeof record - 1);
    record[sizeof record - 1] = '\0';
    do_sweep(world, 40000);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        if (i == 4)
            do_sweep(world, 80000);
        ids[i] = refused(world, "o", record);
        assert_int_equal(is_there("a", &ids[i]), i != 3);
    }
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        do_cancel(world, ids[i].text);
    do_fan_out(world);
    do_project(world, "default");
    clock_ahead(3 * 7201000);
    do_sweep(world, 80000);
    assert_string_equal(redis_ask("HGET ph:{0}:n attempt_bytes"), "0");
    assert_int_equal(history_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(attempts_take_a_quarter_of_the_limit),
        WORLD_TEST(attempts_go_with_the_history),
        WORLD_TEST(all_goes_when_its_time_is_over),
        WORLD_TEST(an_open_mail_is_not_history),
        WORLD_TEST(what_is_not_charged_is_not_refunded),
        WORLD_TEST(what_was_swept_gets_no_timeline),
        WORLD_TEST(chunks_count_and_go_with_the_body),
        WORLD_TEST(an_event_stays_while_it_is_needed),
        WORLD_TEST(the_last_one_cut_off_is_told),
        WORLD_TEST(a_full_call_asks_for_the_next),
        WORLD_TEST(every_owner_comes_up),
        WORLD_TEST(bodies_go_first_then_the_oldest),
        WORLD_TEST(the_limit_asks_nobody),
        WORLD_TEST(every_owner_pays),
        WORLD_TEST(mail_that_waits_is_never_taken),
        WORLD_TEST(a_reopened_mail_outlives_its_old_line),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
