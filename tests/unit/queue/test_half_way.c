/* A turn that dies half-way, at a key that holds what it must not: what it had
 * claimed by then nobody hears of, so it goes back. */
#include "script_fixture.h"

static struct mail mails[2];

/* In order, from the head of their flow. */
static void store_two(struct world *world)
{
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        mails[i] = (struct mail){0};
        mail_store(world, &mails[i]);
    }
    do_register(world, "e1", "", NULL, NULL);
}

static const char *state_of(const struct mail *mail)
{
    return redis_ask("HGET ph:{0}:d:%s:0 s", mail->id.text);
}

static void assert_claimed(const struct mail *mail)
{
    assert_string_equal(state_of(mail), "c");
    assert_string_equal(
        redis_ask("SISMEMBER ph:{0}:own:e1 %s:0", mail->id.text), "1");
}

static void on_error(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    (void)why;
    assert_int_equal(reply_type(reply), REPLY_ERROR);
    snprintf(ctx, 256, "%.*s", STR_ARG(reply_str(reply)));
}

/* A heartbeat with room for both. */
static const struct turn BEAT = {.epoch = "e1",
                                 .looks_after_all = true,
                                 .route = "main",
                                 .room = {9, 9, 9, 9}};

static void turn_dies(struct world *world, const struct turn *turn,
                      const char *word)
{
    struct redis_command command;
    char why[256] = "";

    turn_command(world, turn, &command);
    redis_send(world->queue->main, &command, 5000, on_error, why);
    until(world->loop, why[0] != '\0');
    assert_non_null(strstr(why, word));
}

static void assert_even(struct world *world)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_RECONCILE, 0);
    command_add_cstr(&command, "e1");
    command_add_int(&command, 1000);
    command_add_cstr(&command, "check");
    command_add_cstr(&command, "");
    script_send(world, &command);
    assert_string_equal(script_answer.parts[0], "even");
}

/* Keys that are met behind the claims: by the list of what a child holds, and
 * by the look after all routes. */
static const char *const LATER_KEYS[] = {"own:e1", "routes"};

static void what_was_claimed_goes_back(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(LATER_KEYS); i++) {
        redis_do("FLUSHALL");
        store_two(world);
        redis_do("SET ph:{0}:%s spoiled", LATER_KEYS[i]);
        turn_dies(world, &BEAT, "WRONGTYPE");
        turn_dies(world, &BEAT, "WRONGTYPE");
        for (size_t n = 0; n < COUNT_OF(mails); n++)
            assert_string_equal(state_of(&mails[n]), "q");
        redis_do("DEL ph:{0}:%s", LATER_KEYS[i]);
        do_turn(world, &BEAT);
        for (size_t n = 0; n < COUNT_OF(mails); n++)
            assert_claimed(&mails[n]);
        assert_true(strstr(script_answer.parts[T_CLAIMS], mails[0].id.text) <
                    strstr(script_answer.parts[T_CLAIMS], mails[1].id.text));
        assert_even(world);
    }
}

/* The same in the middle of a flow, whose entries are still there then. */
static void so_does_what_stands_in_the_flow_yet(void **state)
{
    struct world *world = *state;

    store_two(world);
    redis_do("HDEL ph:{0}:d:%s:0 ad", mails[0].id.text);
    redis_do("HSET ph:{0}:o:default sup %lld",
             (long long)clock_wall_ms() + 60000);
    redis_do("SET ph:{0}:su:default spoiled");
    turn_dies(world, &BEAT, "WRONGTYPE");
    assert_string_equal(state_of(&mails[0]), "q");
    assert_even(world);
    redis_do("DEL ph:{0}:su:default");
    do_turn(world, &BEAT);
    for (size_t n = 0; n < COUNT_OF(mails); n++)
        assert_claimed(&mails[n]);
    assert_even(world);
}

/* What was told before is whole: its event is announced, it is counted. */
static void what_was_told_stays(void **state)
{
    struct world *world = *state;
    struct turn told = BEAT;
    char id[64];
    char token[64];

    store_two(world);
    do_claim(world, "e1", "main", 1);
    snprintf(id, sizeof id, "%s:0", mails[0].id.text);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_true(do_mark(world, "e1", id, token));
    redis_do("DEL ph:{0}:evring");
    redis_do("HDEL ph:{0}:o:default ev");
    redis_do("SET ph:{0}:routes spoiled");
    told.id = id;
    told.token = token;
    told.kind = "s";
    turn_dies(world, &told, "WRONGTYPE");
    assert_string_equal(redis_ask("HGET ph:{0}:n final"), "1");
    assert_string_equal(redis_ask("LRANGE ph:{0}:evring 0 -1"), "default");
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s", id), "0");
    assert_string_equal(state_of(&mails[1]), "q");
}

/* One key does not keep the others from their way. */
static void what_is_no_delivery_is_passed_by(void **state)
{
    struct world *world = *state;

    store_two(world);
    redis_do("DEL ph:{0}:d:%s:0", mails[0].id.text);
    redis_do("SET ph:{0}:d:%s:0 spoiled", mails[0].id.text);
    do_turn(world, &BEAT);
    assert_claimed(&mails[1]);
    assert_string_equal(redis_ask("EXISTS ph:{0}:q:0:default:main"), "0");
}

/* What may not be read is there all the same. */
static void but_not_what_nobody_can_know(void **state)
{
    struct world *world = *state;

    store_two(world);
    redis_do("ACL SETUSER default -hgetall");
    turn_dies(world, &BEAT, "can't run this command");
    redis_do("ACL SETUSER default +hgetall");
    assert_string_equal(redis_ask("LLEN ph:{0}:q:0:default:main"), "2");
    do_turn(world, &BEAT);
    assert_claimed(&mails[0]);
}

/* Whoever has it asks for its content, and says what is wrong. */
static void a_mail_without_its_content_is_claimed(void **state)
{
    struct world *world = *state;

    store_two(world);
    redis_do("DEL ph:{0}:c:%s", mails[0].id.text);
    redis_do("SADD ph:{0}:c:%s spoiled", mails[0].id.text);
    do_turn(world, &BEAT);
    for (size_t n = 0; n < COUNT_OF(mails); n++)
        assert_claimed(&mails[n]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(what_was_claimed_goes_back),
        WORLD_TEST(so_does_what_stands_in_the_flow_yet),
        WORLD_TEST(what_was_told_stays),
        WORLD_TEST(what_is_no_delivery_is_passed_by),
        WORLD_TEST(but_not_what_nobody_can_know),
        WORLD_TEST(a_mail_without_its_content_is_claimed),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
