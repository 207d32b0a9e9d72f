/* Poison: the delivery that a dead child had its hands on is suspect, is
 * claimed alone, and is dead when it has killed its child five times so. */
#include "script_fixture.h"

#include "worker_fixture.h"

static char email[64];
static char id[80];
static char token[64];

static void store(struct world *world, struct mail *mail)
{
    mail_store(world, mail);
    snprintf(email, sizeof email, "%s", mail->id.text);
    snprintf(id, sizeof id, "%s:0", email);
}

static void note_token(void)
{
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
}

static const char *alone(struct world *world, const char *epoch,
                         const char *what)
{
    static unsigned number;
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_ALONE, 0);
    command_add_cstr(&command, epoch);
    command_add_int(&command, LEASE_MS);
    command_add_int(&command, KEEP_BODIES_MS);
    command_add_cstr(&command, what);
    command_add_int(&command, ++number);
    script_send(world, &command);
    return script_answer.parts[0];
}

/* A mail whose child died with its hands on it. */
static void make_suspect(struct world *world, struct mail *mail)
{
    store(world, mail);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 10);
    do_release_suspect(world, "e1", id);
    assert_string_equal(script_answer.parts[3], id);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s sc", id), "q 0");
}

/* It is claimed alone, and its child dies again. */
static void crash_alone(struct world *world)
{
    do_register(world, "e2", "", NULL, NULL);
    assert_string_equal(alone(world, "e2", "look"), "quiet");
    assert_string_equal(alone(world, "e2", "claim"), "claim");
    note_token();
    do_release_suspect(world, "e2", id);
    assert_string_equal(redis_ask("EXISTS ph:{0}:alone"), "0");
}

static void only_the_one_in_hand_is_suspect(void **state)
{
    struct world *world = *state;
    struct mail other = {.mail_class = CLASS_TRANSACTIONAL};
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    mail_store(world, &other);
    make_suspect(world, &mail);
    assert_string_equal(redis_ask("LRANGE ph:{0}:suspect 0 -1"), id);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 sc", other.id.text),
                        "nil");
    /* The others flow, it does not. */
    do_register(world, "e2", "", NULL, NULL);
    do_claim(world, "e2", "main", 10);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 s", other.id.text), "c");
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s s", id), "q");
    /* Nor when a leftover of it stands in a flow. */
    redis_do("RPUSH ph:{0}:q:2:default:main %s", id);
    redis_do("RPUSH ph:{0}:ring:2:main default");
    do_claim(world, "e2", "main", 10);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s s", id), "q");
}

static void one_child_has_the_duty(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    do_register(world, "e2", "", NULL, NULL);
    do_register(world, "e3", "", NULL, NULL);
    assert_string_equal(alone(world, "e2", "look"), "none");
    make_suspect(world, &mail);
    assert_string_equal(alone(world, "e9", "look"), "none"); /* unknown */
    assert_string_equal(alone(world, "e2", "look"), "quiet");
    assert_string_equal(alone(world, "e3", "look"), "none");
    assert_string_equal(alone(world, "e3", "claim"), "none");
    assert_string_equal(alone(world, "e2", "look"), "quiet");
    assert_string_equal(alone(world, "e2", "leave"), "none");
    assert_string_equal(alone(world, "e3", "look"), "quiet");
    assert_string_equal(alone(world, "e3", "claim"), "claim");
    assert_non_null(strstr(script_answer.parts[1], " 2 1 1 0 r "));
    assert_string_equal(redis_ask("SMEMBERS ph:{0}:own:e3"), id);
    assert_string_equal(redis_ask("EXISTS ph:{0}:suspect"), "0");
    assert_string_equal(alone(world, "e3", "claim"), "none");
    assert_string_equal(redis_ask("EXISTS ph:{0}:alone"), "0");
}

static void five_crashes_alone_are_the_end(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL,
                        .deadline_ms = clock_wall_ms() + 3600000};

    make_suspect(world, &mail);
    for (unsigned i = 1; i <= 4; i++) {
        char sc[16];

        crash_alone(world);
        snprintf(sc, sizeof sc, "q %u", i);
        assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s sc", id), sc);
    }
    crash_alone(world);
    assert_string_equal(script_answer.parts[4], id);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s sc", id), "k 5");
    assert_string_equal(redis_ask("EXISTS ph:{0}:suspect ph:{0}:own:e2"), "0");
    assert_int_equal(strtoll(redis_ask("ZSCORE ph:{0}:dead %s", id), NULL, 10),
                     mail.deadline_ms);
    assert_string_equal(redis_ask("OBJECT ENCODING ph:{0}:d:%s", id),
                        "listpack");
    /* It ends as a dead one does. */
    redis_do("HSET ph:{0}:d:%s x 1", id);
    redis_do("ZADD ph:{0}:dead 1 %s", id);
    do_register(world, "e3", "", NULL, NULL);
    do_turn(world, &(struct turn){.epoch = "e3"});
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"t\":\"email.failed\""));
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"why\":\"poison\""));
}

static void crashes_in_company_do_not_count(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    make_suspect(world, &mail);
    crash_alone(world);
    /* Dead hands off it: it is given back, as any other. */
    do_register(world, "e2", "", NULL, NULL);
    assert_string_equal(alone(world, "e2", "look"), "quiet");
    assert_string_equal(alone(world, "e2", "claim"), "claim");
    do_release(world, "e2");
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s sc", id), "q 1");
    assert_string_equal(redis_ask("LLEN ph:{0}:suspect"), "1");
}

/* Once by bad luck: what was reported of it clears it. */
static void a_report_clears_it(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    make_suspect(world, &mail);
    do_register(world, "e2", "", NULL, NULL);
    assert_string_equal(alone(world, "e2", "look"), "quiet");
    assert_string_equal(alone(world, "e2", "claim"), "claim");
    note_token();
    do_turn(world, &(struct turn){.epoch = "e2",
                                  .id = id,
                                  .token = token,
                                  .kind = "o",
                                  .due_ms = clock_wall_ms() + 60000,
                                  .outcome = "450,\"\",\"later\""});
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s sc al", id),
                        "u nil nil");
}

/* Behind its dot it may have been delivered: it waits for the lease, and goes
 * on alone, flagged. */
static void a_marked_one_is_suspect_too(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};

    store(world, &mail);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 1);
    note_token();
    assert_true(do_mark(world, "e1", id, token));
    do_release_suspect(world, "e1", email); /* all of that email */
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s sc", id), "x 0");
    redis_do("ZADD ph:{0}:workers 1 e1");
    do_register(world, "e2", "", NULL, NULL);
    do_turn(world, &(struct turn){.epoch = "e2"});
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s sc dup", id), "q 0 1");
    assert_string_equal(redis_ask("LRANGE ph:{0}:suspect 0 -1"), id);
}

/* Even if no child ever finds the time to be alone. */
static void a_suspect_ends_in_time(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL,
                        .max_age_ms = 3600000};

    make_suspect(world, &mail);
    redis_do("HSET ph:{0}:d:%s x 1", id);
    do_register(world, "e2", "", NULL, NULL);
    assert_string_equal(alone(world, "e2", "look"), "none");
    assert_string_equal(redis_ask("EXISTS ph:{0}:suspect ph:{0}:d:%s", id),
                        "0");
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"t\":\"email.expired\""));
}

/* --- a child --- */

/* It lets go of all it has, takes the suspect alone, and works on. */
static void a_child_takes_it_alone(void **state)
{
    struct world *world = *state;
    struct mail mail = {.mail_class = CLASS_TRANSACTIONAL};
    struct mail others[2] = {{.mail_class = CLASS_TRANSACTIONAL},
                             {.mail_class = CLASS_TRANSACTIONAL}};
    struct worker worker;

    make_suspect(world, &mail);
    redis_do("RENAME ph:{0}:suspect ph:{0}:aside");
    worker_start(&worker, world->queue, 10);
    mail_store(world, &others[0]);
    until(world->loop, worker.count == 1);
    redis_do("RENAME ph:{0}:aside ph:{0}:suspect");
    until(world->loop, strcmp(redis_ask("EXISTS ph:{0}:alone"), "1") == 0);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(world->loop, 1);
    mail_store(world, &others[1]);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(world->loop, 1);
    assert_int_equal(worker.count, 1); /* it claims nothing more */
    worker_report(&worker, 0, OUTCOME_BOUNCED, 0);
    until(world->loop, worker.count == 2);
    assert_string_equal(worker.claims[1]->email.text, email);
    for (unsigned i = 0; i < 20; i++)
        loop_turn(world->loop, 1);
    assert_int_equal(worker.count, 2); /* alone */
    worker_report(&worker, 1, OUTCOME_BOUNCED, 0);
    until(world->loop, worker.count == 3);
    assert_string_equal(worker.claims[2]->email.text, others[1].id.text);
    worker_report(&worker, 2, OUTCOME_BOUNCED, 0);
    until(world->loop, strcmp(redis_ask("HGET ph:{0}:n final"), "3") == 0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:alone"), "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(only_the_one_in_hand_is_suspect),
        WORLD_TEST(one_child_has_the_duty),
        WORLD_TEST(five_crashes_alone_are_the_end),
        WORLD_TEST(crashes_in_company_do_not_count),
        WORLD_TEST(a_report_clears_it),
        WORLD_TEST(a_marked_one_is_suspect_too),
        WORLD_TEST(a_suspect_ends_in_time),
        WORLD_TEST(a_child_takes_it_alone),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
