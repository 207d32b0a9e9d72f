/* How many mails an owner, and the service, may have open. */
#include "script_fixture.h"

static int setup(void **state)
{
    fixture.config.limits = (struct config_limits){0};
    return world_setup(state);
}

static void is_refused(struct world *world, struct mail *mail,
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

static void open_is(const char *owner, const char *count)
{
    assert_string_equal(redis_ask("HGET ph:{0}:o:%s open", owner), count);
}

/* Each way out of the queue makes room again, each way back takes it. */
static void an_owner_has_a_limit(void **state)
{
    struct world *world = *state;
    struct mail first = {
        .mail_class = CLASS_TRANSACTIONAL, .recipients = 2, .key = "k"};
    struct mail again = first;
    struct mail second = {.mail_class = CLASS_TRANSACTIONAL};
    struct mail third = {.mail_class = CLASS_TRANSACTIONAL};
    struct mail other = {.owner = "other"};
    struct answered answered = {0};

    fixture.config.limits.owner_queue = 3;
    mail_store(world, &first);
    mail_store(world, &second);
    open_is("default", "3");
    is_refused(world, &third, QUEUE_OWNER_FULL, "3 recipients wait");
    mail_store(world, &other);
    mail_send(world->queue, &again, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_REPLAY);
    do_cancel(world, first.id.text);
    open_is("default", "1");
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 1);
    do_retry(world, second.id.text); /* it is under way: nothing changes */
    open_is("default", "1");
    do_cancel(world, second.id.text);
    open_is("default", "0");
    do_retry(world, second.id.text);
    open_is("default", "1");
    memset(&third.id, 0, sizeof third.id);
    mail_store(world, &third);
    open_is("default", "2");
}

/* What came before there was a limit is not counted, then or later. */
static void a_limit_may_come_and_go(void **state)
{
    struct world *world = *state;
    struct mail before = {0};
    struct mail under = {0};
    struct mail after = {0};

    mail_store(world, &before);
    open_is("default", "nil");
    fixture.config.limits.owner_queue = 1;
    mail_store(world, &under);
    open_is("default", "1");
    fixture.config.limits.owner_queue = 0;
    mail_store(world, &after);
    do_cancel(world, before.id.text);
    do_cancel(world, after.id.text);
    open_is("default", "1");
    do_cancel(world, under.id.text);
    open_is("default", "0");
}

static void the_service_has_a_limit(void **state)
{
    struct world *world = *state;
    struct mail mails[2] = {{.owner = "a"}, {.owner = "b", .key = "k"}};
    struct mail again = mails[1];
    struct mail third = {.owner = "c"};
    struct answered answered = {0};

    fixture.config.limits.queue = 2;
    mail_store(world, &mails[0]);
    mail_store(world, &mails[1]);
    is_refused(world, &third, QUEUE_FULL, "2 recipients wait");
    mail_send(world->queue, &again, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_REPLAY);
}

/* Also within one call. */
static void a_limit_holds_in_a_batch(void **state)
{
    struct world *world = *state;
    struct mail mails[4] = {{0}};
    struct answered answered[4] = {{0}};

    fixture.config.limits.owner_queue = 2;
    for (size_t i = 0; i < 4; i++)
        mail_send(world->queue, &mails[i], &answered[i]);
    until(world->loop, answered[3].count > 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(answered[i].status,
                         i < 2 ? QUEUE_OK : QUEUE_OWNER_FULL);
}

static void on_limited(void *ctx, const struct queue_answer *answer)
{
    *(enum queue_status *)ctx = answer->status;
}

static enum queue_status limit_is(struct world *world, const char *owner,
                                  int64_t limit)
{
    enum queue_status status = QUEUE_DONE;

    queue_owner_limit(world->queue, str_of(owner), limit, on_limited, &status);
    until(world->loop, status != QUEUE_DONE);
    return status;
}

/* Larger or smaller than that of all, none, and the same as all again. */
static void an_owner_may_have_a_limit_of_his_own(void **state)
{
    struct world *world = *state;
    struct mail mails[5] = {{0}};
    struct mail other = {.owner = "other"};
    struct mail again = other;

    redis_do("HSET ph:o:default partition 0");
    redis_do("HSET ph:o:other partition 0");
    assert_int_equal(limit_is(world, "nobody", 5), QUEUE_NOT_FOUND);
    fixture.config.limits.owner_queue = 1;
    assert_int_equal(limit_is(world, "default", 2), QUEUE_OK);
    mail_store(world, &mails[0]);
    mail_store(world, &mails[1]);
    is_refused(world, &mails[2], QUEUE_OWNER_FULL,
               "2 recipients wait, of at most 2");
    mail_store(world, &other);
    is_refused(world, &again, QUEUE_OWNER_FULL,
               "1 recipients wait, of at most 1");
    assert_int_equal(limit_is(world, "default", 0), QUEUE_OK);
    memset(&mails[2].id, 0, sizeof mails[2].id);
    mail_store(world, &mails[2]);
    assert_int_equal(limit_is(world, "default", 3), QUEUE_OK);
    mail_store(world, &mails[3]); /* the one without a limit is not counted */
    is_refused(world, &mails[4], QUEUE_OWNER_FULL,
               "3 recipients wait, of at most 3");
    assert_int_equal(limit_is(world, "default", OWNER_LIMIT_DEFAULT), QUEUE_OK);
    memset(&mails[4].id, 0, sizeof mails[4].id);
    is_refused(world, &mails[4], QUEUE_OWNER_FULL,
               "3 recipients wait, of at most 1");
    fixture.config.limits.owner_queue = 0;
    assert_int_equal(limit_is(world, "other", 1), QUEUE_OK);
    memset(&again.id, 0, sizeof again.id);
    is_refused(world, &again, QUEUE_OWNER_FULL,
               "1 recipients wait, of at most 1");
}

#define LIMIT_TEST(fn)                                                         \
    cmocka_unit_test_setup_teardown(fn, setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIMIT_TEST(an_owner_has_a_limit),
        LIMIT_TEST(a_limit_may_come_and_go),
        LIMIT_TEST(the_service_has_a_limit),
        LIMIT_TEST(a_limit_holds_in_a_batch),
        LIMIT_TEST(an_owner_may_have_a_limit_of_his_own),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
