/* API keys, idempotency and rates, against a real redis-server. */
#include "redis_fixture.h"

static struct loop *loop;
static struct queue *queue;

static int setup(void **state)
{
    (void)state;
    redis_do("FLUSHALL");
    loop = loop_create();
    queue = queue_open(loop, &fixture.config, NULL);
    until(loop, queue_is_ready(queue, NULL));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    queue_close(&queue);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

/* What a callback brought. */
static struct {
    unsigned count;
    enum queue_status status;
    int http_status;
    int64_t changed;
    char answer[8192];
    char ids[512]; /* of keys, joined by blanks */
    char name[64];
    char domain[320];
    int64_t last_used_ms;
    bool has_more;
} got;

static void on_answer(void *ctx, const struct queue_answer *answer)
{
    (void)ctx;
    got.count++;
    got.status = answer->status;
    got.http_status = answer->http_status;
    got.changed = answer->changed;
    snprintf(got.answer, sizeof got.answer, "%.*s", STR_ARG(answer->answer));
}

static void on_keys(void *ctx, const struct queue_keys *keys)
{
    (void)ctx;
    got.count++;
    got.status = keys->status;
    got.has_more = keys->has_more;
    got.ids[0] = '\0';
    for (size_t i = 0; i < keys->count; i++) {
        size_t len = strlen(got.ids);

        snprintf(got.ids + len, sizeof got.ids - len, "%s%.4s",
                 i > 0 ? " " : "", keys->keys[i].id.text + 32);
        snprintf(got.name, sizeof got.name, "%.*s",
                 STR_ARG(keys->keys[i].name));
        snprintf(got.domain, sizeof got.domain, "%.*s %s",
                 STR_ARG(keys->keys[i].domain), keys->keys[i].domain_id.text);
        got.last_used_ms = keys->keys[i].last_used_ms;
    }
}

/* A key whose id and hash end in a number. */
static struct api_key key_of(unsigned number, char hash[SHA256_HEX_SIZE])
{
    struct api_key key = {
        .owner = S("acme"),
        .name = S("shop"),
        .prefix = S("ph_live_abcd"),
        .permission = KEY_SENDING_ACCESS,
        .created_ms = 1764000000000,
    };

    snprintf(key.id.text, sizeof key.id.text,
             "019ab000-0000-7000-8000-00000000%04u", number);
    snprintf(hash, SHA256_HEX_SIZE, "%064u", number);
    return key;
}

static void create(unsigned number, const struct idempotency *idempotency)
{
    char hash[SHA256_HEX_SIZE];
    struct api_key key = key_of(number, hash);

    got.count = 0;
    queue_key_create(queue, &key, str_of(hash), idempotency,
                     S("{\"id\":\"first\"}"), on_answer, NULL);
    assert_int_equal(got.count, 0);
    until(loop, got.count == 1);
}

static void find(unsigned number)
{
    char hash[SHA256_HEX_SIZE];

    (void)key_of(number, hash);
    got.count = 0;
    queue_key_find(queue, str_of(hash), on_keys, NULL);
    until(loop, got.count == 1);
}

static void list(unsigned limit, const char *after, const char *before)
{
    const struct queue_page page = {limit, str_of(after), str_of(before)};

    got.count = 0;
    queue_key_list(queue, owner_of("acme"), &page, on_keys, NULL);
    until(loop, got.count == 1);
    assert_int_equal(got.status, QUEUE_OK);
}

static void drop(unsigned number)
{
    char hash[SHA256_HEX_SIZE];
    struct api_key key = key_of(number, hash);

    got.count = 0;
    queue_key_delete(queue, owner_of("acme"), &key.id, on_answer, NULL);
    until(loop, got.count == 1);
}

static void a_key_is_found_until_it_is_revoked(void **state)
{
    (void)state;
    create(1, NULL);
    assert_int_equal(got.status, QUEUE_OK);
    find(1);
    assert_int_equal(got.status, QUEUE_OK);
    assert_string_equal(got.name, "shop");
    find(2);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    assert_string_equal(redis_ask("HGET ph:o:acme partition"), "0");
    drop(1);
    assert_int_equal(got.status, QUEUE_OK);
    find(1);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    drop(1);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
}

/* A release whose owners may have longer names would write it. */
static void a_key_of_an_owner_who_cannot_be_is_none(void **state)
{
    char hash[SHA256_HEX_SIZE];
    char name[OWNER_NAME_MAX + 2];

    (void)state;
    create(1, NULL);
    (void)key_of(1, hash);
    memset(name, 'a', sizeof name);
    name[OWNER_NAME_MAX + 1] = '\0';
    redis_ask("HSET ph:k:%s owner %s", hash, name);
    find(1);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    name[OWNER_NAME_MAX] = '\0';
    redis_ask("HSET ph:k:%s owner %s", hash, name);
    find(1);
    assert_int_equal(got.status, QUEUE_OK);
}

static void another_owners_key_cannot_be_revoked(void **state)
{
    char hash[SHA256_HEX_SIZE];
    struct api_key key = key_of(1, hash);

    (void)state;
    create(1, NULL);
    got.count = 0;
    queue_key_delete(queue, owner_of("other"), &key.id, on_answer, NULL);
    until(loop, got.count == 1);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    find(1);
    assert_int_equal(got.status, QUEUE_OK);
}

static void a_key_may_be_for_one_domain(void **state)
{
    char hash[SHA256_HEX_SIZE];
    struct api_key key = key_of(1, hash);

    (void)state;
    key.domain = S("sender.test");
    assert_true(
        id_parse(S("019ab000-0000-7000-8000-0000000000dd"), &key.domain_id));
    got.count = 0;
    queue_key_create(queue, &key, str_of(hash), NULL, S("{}"), on_answer, NULL);
    until(loop, got.count == 1);
    create(2, NULL);
    find(1);
    assert_string_equal(got.domain,
                        "sender.test 019ab000-0000-7000-8000-0000000000dd");
    list(1, "", "");
    assert_string_equal(got.domain, " ");
    list(1, "019ab000-0000-7000-8000-000000000002", "");
    assert_string_equal(got.domain,
                        "sender.test 019ab000-0000-7000-8000-0000000000dd");
    /* Of which one is not to be read: it is not for all of them. */
    redis_do("HSET ph:k:%s domain_id x", hash);
    find(1);
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
}

static void rename_to(const char *owner, unsigned number, const char *name)
{
    char hash[SHA256_HEX_SIZE];
    struct api_key key = key_of(number, hash);

    got.count = 0;
    queue_key_rename(queue, owner_of(owner), &key.id, str_of(name), on_answer,
                     NULL);
    until(loop, got.count == 1);
}

static void a_key_gets_another_name(void **state)
{
    char hash[SHA256_HEX_SIZE];

    (void)state;
    create(1, NULL);
    rename_to("acme", 1, "web app");
    assert_int_equal(got.status, QUEUE_OK);
    find(1);
    assert_string_equal(got.name, "web app");
    rename_to("acme", 2, "nobody");
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    rename_to("other", 1, "mine");
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    (void)key_of(1, hash);
    redis_do("DEL ph:k:%s", hash); /* revoked, but still listed */
    rename_to("acme", 1, "ghost");
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
    assert_string_equal(redis_ask("EXISTS ph:k:%s", hash), "0");
}

static void keys_are_listed_page_by_page(void **state)
{
    (void)state;
    list(20, "", "");
    assert_string_equal(got.ids, "");
    for (unsigned i = 1; i <= 5; i++)
        create(i, NULL);
    list(2, "", "");
    assert_string_equal(got.ids, "0005 0004");
    assert_true(got.has_more);
    list(2, "019ab000-0000-7000-8000-000000000004", "");
    assert_string_equal(got.ids, "0003 0002");
    list(2, "019ab000-0000-7000-8000-000000000002", "");
    assert_string_equal(got.ids, "0001");
    assert_false(got.has_more);
    list(2, "", "019ab000-0000-7000-8000-000000000002");
    assert_string_equal(got.ids, "0004 0003");
    assert_true(got.has_more);
}

static void the_time_of_last_use_is_kept_once_a_minute(void **state)
{
    char hash[SHA256_HEX_SIZE];
    struct api_key key = key_of(1, hash);

    (void)state;
    create(1, NULL);
    list(1, "", "");
    assert_int_equal(got.last_used_ms, 0);
    queue_key_used(queue, &key);
    list(1, "", "");
    assert_true(got.last_used_ms > 0);
    redis_do("HSET ph:{0}:used:acme %s 7", key.id.text);
    queue_key_used(queue, &key);
    list(1, "", "");
    assert_int_equal(got.last_used_ms, 7);
}

static const struct idempotency FIRST = {STR("aa"), STR("f1")};
static const struct idempotency OTHER_BODY = {STR("aa"), STR("f2")};

static void a_creation_is_replayed_not_repeated(void **state)
{
    (void)state;
    create(1, &FIRST);
    assert_int_equal(got.status, QUEUE_OK);
    create(2, &FIRST);
    assert_int_equal(got.status, QUEUE_REPLAY);
    assert_int_equal(got.http_status, 201);
    assert_string_equal(got.answer, "{\"id\":\"first\"}");
    create(3, &OTHER_BODY);
    assert_int_equal(got.status, QUEUE_CONFLICT);
    list(20, "", "");
    assert_string_equal(got.ids, "0001");
    find(1);
    assert_int_equal(got.status, QUEUE_OK);
    find(2); /* no record is left of what did not come about */
    assert_int_equal(got.status, QUEUE_NOT_FOUND);
}

static void look(const struct idempotency *idempotency)
{
    got.count = 0;
    queue_idempotency_look(queue, owner_of("acme"), idempotency, on_answer,
                           NULL);
    until(loop, got.count == 1);
}

/* What the script of an action leaves stands in for it (test_emails.c). */
static void an_answer_is_kept_beside_its_action(void **state)
{
    (void)state;
    look(&FIRST);
    assert_int_equal(got.status, QUEUE_OK);
    queue_idempotency_finish(queue, owner_of("acme"), &FIRST, 200, S("{}"));
    look(&FIRST); /* nothing was done, so nothing is kept */
    assert_int_equal(got.status, QUEUE_OK);
    redis_do("SET ph:{0}:i:acme:aa %s PX 5000", "f1 0 3");
    look(&FIRST);
    assert_int_equal(got.status, QUEUE_DONE);
    assert_int_equal(got.changed, 3);
    look(&OTHER_BODY);
    assert_int_equal(got.status, QUEUE_CONFLICT);
    queue_idempotency_finish(queue, owner_of("acme"), &FIRST, 200,
                             S("{\"a\":\"with \\n blanks\"}"));
    look(&FIRST);
    assert_int_equal(got.status, QUEUE_REPLAY);
    assert_int_equal(got.http_status, 200);
    assert_string_equal(got.answer, "{\"a\":\"with \\n blanks\"}");
    assert_in_range(strtol(redis_ask("PTTL ph:{0}:i:acme:aa"), NULL, 10), 1,
                    5000);
}

/* As a retry for fifty recipients is answered. */
static void a_long_answer_is_kept_whole(void **state)
{
    char answer[6001];

    (void)state;
    memset(answer, 'x', sizeof answer - 1);
    answer[sizeof answer - 1] = '\0';
    redis_do("SET ph:{0}:i:acme:aa %s PX 5000", "f1 0 3");
    queue_idempotency_finish(queue, owner_of("acme"), &FIRST, 200,
                             str_of(answer));
    look(&FIRST);
    assert_int_equal(got.status, QUEUE_REPLAY);
    assert_string_equal(got.answer, answer);
}

/* --- rates --- */

static const struct id RATED = {"019ab000-0000-7000-8000-000000000099"};

/* Takes as a request does: asks where it must. */
static bool take(struct queue *from, struct queue_rate *rate)
{
    while (queue_rate_take(from, &RATED, rate) == RATE_ASK) {
        got.count = 0;
        queue_rate_ask(from, &RATED, on_answer, NULL);
        until(loop, got.count == 1);
        assert_int_equal(got.status, QUEUE_OK);
    }
    return rate->allowed;
}

/* A window so long that it does not end under the test. */
static void children_share_one_limit(void **state)
{
    struct queue *second = queue_open(loop, &fixture.config, NULL);
    struct queue_rate rate;
    unsigned allowed = 0;

    (void)state;
    until(loop, queue_is_ready(second, NULL));
    for (unsigned i = 0; i < 200; i++)
        allowed += take(i % 2 ? second : queue, &rate);
    assert_in_range(allowed, 95, 100);
    assert_false(rate.allowed);
    assert_int_equal(rate.limit, 100);
    assert_int_equal(rate.remaining, 0);
    assert_in_range(rate.reset_s, 1, 86400);
    assert_int_equal(rate.window_s, 86400);
    queue_close(&second);
}

static void a_new_window_begins_anew(void **state)
{
    struct queue_rate rate;

    (void)state;
    while (take(queue, &rate))
        continue;
    clock_set(clock_now_ms() + 86400000, clock_wall_ms() + 86400000);
    redis_do("FLUSHALL"); /* as Redis' own clock would have it */
    assert_true(take(queue, &rate));
    assert_in_range(rate.remaining, 98, 99);
    clock_set(-1, -1);
}

static void everybody_who_asks_is_answered_at_once(void **state)
{
    struct queue_rate rate;

    (void)state;
    got.count = 0;
    for (unsigned i = 0; i < 64; i++)
        queue_rate_ask(queue, &RATED, on_answer, NULL);
    until(loop, got.count == 64);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(queue_rate_take(queue, &RATED, &rate), RATE_KNOWN);
    assert_true(rate.allowed);
    assert_int_equal(rate.remaining, 36);
    assert_string_equal(redis_ask("EVAL %s 0",
                                  "return redis.call('GET', "
                                  "'ph:l:019ab000-0000-7000-8000-000000000099'"
                                  "):match(' (.*)')"),
                        "64");
}

static int rated_setup(void **state)
{
    fixture.config.limits.rate_per_ms = 86400000;
    return setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_of_an_owner_who_cannot_be_is_none,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_is_found_until_it_is_revoked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(another_owners_key_cannot_be_revoked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_may_be_for_one_domain, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_key_gets_another_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(keys_are_listed_page_by_page, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            the_time_of_last_use_is_kept_once_a_minute, setup, teardown),
        cmocka_unit_test_setup_teardown(a_creation_is_replayed_not_repeated,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_is_kept_beside_its_action,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_answer_is_kept_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(children_share_one_limit, rated_setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_new_window_begins_anew, rated_setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(everybody_who_asks_is_answered_at_once,
                                        rated_setup, teardown),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
