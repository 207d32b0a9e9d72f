/* Two releases on one Redis: the next one is this one that plays it. */
#include "worker_fixture.h"

static struct queue *opened(struct world *world, const char *level)
{
    struct queue *queue;

    setenv("POSTHASTE_LEVEL", level, 1);
    queue = queue_open(world->loop, &fixture.config, NULL);
    until(world->loop, queue->health.known);
    return queue;
}

static int level_teardown(void **state)
{
    unsetenv("POSTHASTE_LEVEL");
    return world_teardown(state);
}

static const char *level_of(const struct mail *mail)
{
    static char level[2];

    level[0] = redis_ask("GET ph:{0}:c:%s", mail->id.text)[0];
    return level;
}

static void on_levels(void *ctx, const struct queue_levels *levels)
{
    struct buf *said = ctx;

    assert_int_equal(levels->status, QUEUE_OK);
    buf_addf(said, "write %u", levels->write);
    for (size_t i = 0; i < levels->count; i++)
        buf_addf(said, ", %.*s reads %u", STR_ARG(levels->processes[i].role),
                 levels->processes[i].newest);
}

static void assert_levels(struct world *world, const char *expected)
{
    struct buf said;

    buf_init(&said, 1024);
    queue_levels_get(world->queue, on_levels, &said);
    until(world->loop, said.len > 0);
    assert_string_equal(said.data, expected);
    buf_finish(&said);
}

static void raise_level(struct world *world, unsigned level)
{
    struct answered answered = {0};

    queue_levels_raise(world->queue, level, on_answered, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_OK);
}

static void an_empty_redis_gets_our_level(void **state)
{
    (void)state;
    assert_string_equal(redis_ask("HGET ph:meta write_level"), "1");
}

static void the_next_release_writes_what_this_one_reads(void **state)
{
    struct world *world = *state;
    struct queue *first = world->queue;
    struct mail before = {0};
    struct mail after = {0};

    world->queue = opened(world, "2");
    assert_true(queue_is_ready(world->queue, NULL));
    mail_store(world, &before);
    assert_string_equal(level_of(&before), "1");

    raise_level(world, 2);
    queue_join(world->queue, "api"); /* looks at once */
    until(world->loop, world->queue->levels.write == 2);
    mail_store(world, &after);
    assert_string_equal(level_of(&after), "2");
    queue_close(&world->queue);
    world->queue = first;
}

static void an_old_release_is_not_ready_behind_a_migration(void **state)
{
    struct world *world = *state;
    struct queue *old;
    struct error why;

    raise_level(world, 2);
    queue_join(world->queue, "api");
    until(world->loop, !queue_is_ready(world->queue, &why));
    assert_non_null(strstr(why.text, "level 2"));
    old = opened(world, "1");
    assert_false(queue_is_ready(old, &why));
    assert_non_null(strstr(why.text, "reads 1 to 1: run a newer one"));
    queue_close(&old);
}

static void two_releases_behind_is_too_far(void **state)
{
    struct world *world = *state;
    struct queue *newer = opened(world, "3");
    struct error why;

    assert_false(queue_is_ready(newer, &why));
    assert_non_null(strstr(why.text, "reads 2 to 3"));
    queue_close(&newer);
}

static void a_worker_gives_back_what_it_cannot_read(void **state)
{
    struct world *world = *state;
    struct queue *next = opened(world, "2");
    struct queue *old = world->queue;
    struct mail mail = {0};
    struct worker worker;
    char key[128];

    setenv("POSTHASTE_LEVEL", "2", 1);
    raise_level(world, 2);
    queue_join(next, "api");
    until(world->loop, next->levels.write == 2);
    world->queue = next;
    mail_store(world, &mail);
    world->queue = old;

    setenv("POSTHASTE_LEVEL", "1", 1);
    worker_start(&worker, old, 8);
    snprintf(key, sizeof key, "HGET ph:{0}:d:%s:0 s", mail.id.text);
    until(world->loop, strcmp(redis_ask(key), "u") == 0); /* waits, unsent */
    assert_int_equal(worker.count, 0);
    snprintf(key, sizeof key, "HEXISTS ph:{0}:d:%s:0 a", mail.id.text);
    assert_string_equal(redis_ask(key), "0"); /* no attempt */
    queue_close(&next);
}

static void living_processes_say_what_they_read(void **state)
{
    struct world *world = *state;
    struct queue *next;

    assert_levels(world, "write 1"); /* a tool is not waited for */
    queue_join(world->queue, "api");
    assert_levels(world, "write 1, api reads 1");
    next = opened(world, "2");
    queue_join(next, "worker");
    until(world->loop,
          strcmp(redis_ask("ZCARD ph:{processes}:alive"), "2") == 0);
    queue_leave(world->queue);
    until(world->loop,
          strcmp(redis_ask("ZCARD ph:{processes}:alive"), "1") == 0);
    assert_levels(world, "write 1, worker reads 2");
    queue_close(&next);
}

static void who_is_silent_is_gone(void **state)
{
    struct world *world = *state;

    redis_do("ZADD ph:{processes}:alive 1 {\"role\":\"worker\",\"level\":1}");
    assert_levels(world, "write 1");
    queue_join(world->queue, "api");
    assert_levels(world, "write 1, api reads 1");
    assert_string_equal(redis_ask("ZCARD ph:{processes}:alive"), "1");
}

#define LEVEL_TEST(fn)                                                         \
    cmocka_unit_test_setup_teardown(fn, world_setup, level_teardown)

/* --- what is not ours, or not whole --- */

static const struct meta {
    const char *is;     /* what an operator or another program did */
    const char *before; /* a command that makes it so; NULL: none */
    const char *why;
} METAS[] = {
    {"DEL ph:meta", "SET ph:meta x",
     "redis: ph:meta is no hash, so it is not of Posthaste: set another "
     "redis.prefix, or another database in redis.url"},
    {"HSET ph:meta schema 2", NULL,
     "redis holds data of schema 2, this release reads 1: run a newer one"},
    {"HSET ph:meta schema mine", NULL,
     "redis: the schema in ph:meta is \"mine\" and not 1, so it is not of "
     "Posthaste: set another redis.prefix, or another database in redis.url"},
    {"HSET ph:meta write_level high", NULL,
     "redis: the write_level in ph:meta is \"high\", which is no level: it "
     "should be 1 to 1"},
    {"HSET ph:meta write_level 2", NULL,
     "redis holds data of level 2, this release reads 1 to 1: run a newer one"},
    {"DEL ph:meta", "ACL SETUSER default -hsetnx",
     "redis: ph:meta has no schema, and takes none: NOPERM this user has no "
     "permissions to run the 'hsetnx' command"},
    {"HDEL ph:meta write_level", "ACL SETUSER default -hsetnx",
     "redis: ph:meta has no write_level, and takes none: NOPERM this user has "
     "no permissions to run the 'hsetnx' command"},
    {"PING", "ACL SETUSER default -hmget",
     "redis: ph:meta: NOPERM this user has no permissions to run the 'hmget' "
     "command"},
};

static void each_meta_says_what_is_wrong(void **state)
{
    struct world *world = *state;
    struct error why;

    for (size_t i = 0; i < COUNT_OF(METAS); i++) {
        struct queue *other;

        redis_do("DEL ph:meta");
        redis_do("HSET ph:meta schema 1 write_level 1 partitions 1");
        redis_do(METAS[i].is);
        if (METAS[i].before != NULL)
            redis_do(METAS[i].before);
        other = opened(world, "1");
        assert_false(queue_is_ready(other, &why));
        assert_string_equal(why.text, METAS[i].why);
        redis_do("ACL SETUSER default +@all");
        redis_do("DEL ph:meta");
        timer_set(world->loop, &other->health.timer, 0);
        until(world->loop, queue_is_ready(other, NULL));
        queue_close(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEVEL_TEST(an_empty_redis_gets_our_level),
        LEVEL_TEST(the_next_release_writes_what_this_one_reads),
        LEVEL_TEST(an_old_release_is_not_ready_behind_a_migration),
        LEVEL_TEST(two_releases_behind_is_too_far),
        LEVEL_TEST(a_worker_gives_back_what_it_cannot_read),
        LEVEL_TEST(living_processes_say_what_they_read),
        LEVEL_TEST(who_is_silent_is_gone),
        LEVEL_TEST(each_meta_says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
