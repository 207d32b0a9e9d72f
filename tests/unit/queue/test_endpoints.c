#include "redis_fixture.h"

/* Where a callback leaves what it got, as text. */
static char got[4096];
static size_t answers;

static struct loop *loop;
static struct queue *queue;
static struct keyring *keyring;
static struct config config;

static void open_queue(const struct keyring *with)
{
    loop = loop_create();
    queue = queue_open(loop, &config, with);
    until(loop, queue_is_ready(queue, NULL));
}

static int setup(void **state)
{
    char path[128];
    struct error err;

    (void)state;
    redis_do("FLUSHALL");
    snprintf(path, sizeof path, "%s/keyring", fixture.dir);
    unlink(path);
    assert_true(keyring_create(path, &err));
    keyring = keyring_load(path, &err);
    assert_non_null(keyring);
    config = fixture.config;
    open_queue(keyring);
    answers = 0;
    got[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    queue_close(&queue);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    keyring_destroy(&keyring);
    return 0;
}

static void note(const char *format, ...) PRINTF_LIKE(1, 2);
static void note(const char *format, ...)
{
    size_t len = strlen(got);
    va_list args;

    va_start(args, format);
    vsnprintf(got + len, sizeof got - len, format, args);
    va_end(args);
}

static void on_answer(void *ctx, const struct queue_answer *answer)
{
    assert_null(ctx);
    answers++;
    note("%d %d %.*s;", answer->status, answer->http_status,
         STR_ARG(answer->answer));
}

static void on_list(void *ctx, const struct queue_endpoints *list)
{
    assert_null(ctx);
    answers++;
    note("%d%s:", list->status, list->has_more ? "+" : "");
    for (size_t i = 0; i < list->count; i++) {
        const struct endpoint *endpoint = &list->endpoints[i];

        assert_int_equal(endpoint->secret.len, 0);
        note(" %.*s %s%.*s", STR_ARG(endpoint->url),
             endpoint->enabled ? "on" : "off",
             STR_ARG(endpoint->disabled_reason));
        for (size_t j = 0; j < endpoint->event_count; j++)
            note(" %.*s", STR_ARG(endpoint->events[j]));
    }
    note(";");
}

static const char *answered(void)
{
    static char text[sizeof got];

    until(loop, answers > 0);
    answers = 0;
    memcpy(text, got, sizeof got);
    got[0] = '\0';
    return text;
}

static int status_of(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static struct id create(const char *owner, const char *url, struct str *events,
                        size_t count, const char *key, const char *print)
{
    struct endpoint endpoint = {
        .id = id_new(0),
        .owner = str_of(owner),
        .url = str_of(url),
        .events = events,
        .event_count = count,
        .enabled = true,
        .secret = S("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        .created_ms = 1795521600000,
    };
    struct idempotency idempotency = {str_of(key), str_of(print)};

    queue_endpoint_create(queue, &endpoint, &idempotency, S("{\"id\":1}"),
                          on_answer, NULL);
    assert_int_equal(answers, 0);
    return endpoint.id;
}

static void one_without_a_key_is_made(void **state)
{
    struct endpoint endpoint = {
        .id = id_new(0),
        .owner = S("a"),
        .url = S("https://one.example"),
        .secret = S("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    };

    (void)state;
    queue_endpoint_create(queue, &endpoint, NULL, S("{}"), on_answer, NULL);
    assert_string_equal(answered(), "0 0 ;");
}

static const char *all_of(const char *owner)
{
    queue_endpoint_list(queue, owner_of(owner),
                        &(struct queue_page){.limit = 100}, on_list, NULL);
    return answered();
}

static void a_new_endpoint_is_listed_newest_first(void **state)
{
    struct str events[] = {STR("email.sent"), STR("email.expired")};

    (void)state;
    assert_string_equal(all_of("a"), "0:;");
    create("a", "https://one.example", NULL, 0, "", "");
    assert_string_equal(answered(), "0 0 ;");
    create("a", "https://two.example", events, 2, "", "");
    assert_string_equal(answered(), "0 0 ;");
    assert_string_equal(all_of("a"), "0: https://two.example on email.sent "
                                     "email.expired https://one.example on;");
    assert_string_equal(all_of("b"), "0:;");
}

static void the_secret_is_sealed_at_rest(void **state)
{
    struct id id = create("a", "https://one.example", NULL, 0, "", "");
    const char *sealed;
    struct buf plain;

    (void)state;
    answered();
    sealed = redis_ask("HGET ph:{0}:we:%s secret", id.text);
    assert_null(strstr(sealed, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    buf_init(&plain, 256);
    assert_int_equal(
        keyring_open(keyring, "webhook", id_str(&id), str_of(sealed), &plain),
        KEYRING_OK);
    assert_true(
        str_eq(buf_str(&plain), S("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")));
    buf_finish(&plain);
}

static void without_a_keyring_nothing_is_stored(void **state)
{
    (void)state;
    queue_close(&queue);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    open_queue(NULL);
    create("a", "https://one.example", NULL, 0, "", "");
    assert_int_equal(status_of(answered()), QUEUE_NO_KEYRING);
    assert_string_equal(all_of("a"), "0:;");
}

static void a_key_makes_one_endpoint(void **state)
{
    char expected[64];

    (void)state;
    create("a", "https://one.example", NULL, 0, "k1", "f1");
    assert_string_equal(answered(), "0 0 ;");
    create("a", "https://one.example", NULL, 0, "k1", "f1");
    snprintf(expected, sizeof expected, "%d 201 {\"id\":1};", QUEUE_REPLAY);
    assert_string_equal(answered(), expected);
    create("a", "https://one.example", NULL, 0, "k1", "f2");
    assert_int_equal(status_of(answered()), QUEUE_CONFLICT);
    create("b", "https://one.example", NULL, 0, "k1", "f2");
    assert_string_equal(answered(), "0 0 ;");
    assert_string_equal(all_of("a"), "0: https://one.example on;");
}

static void an_owner_has_a_hundred_at_most(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        create("a", "https://one.example", NULL, 0, "", "");
        assert_string_equal(answered(), "0 0 ;");
    }
    create("a", "https://one.example", NULL, 0, "", "");
    assert_int_equal(status_of(answered()), QUEUE_OWNER_FULL);
}

static void another_owners_endpoint_is_not_found(void **state)
{
    struct id id = create("a", "https://one.example", NULL, 0, "", "");
    struct id unknown = id_new(0);

    (void)state;
    answered();
    queue_endpoint_get(queue, owner_of("a"), &id, on_list, NULL);
    assert_string_equal(answered(), "0: https://one.example on;");
    queue_endpoint_get(queue, owner_of("b"), &id, on_list, NULL);
    assert_int_equal(status_of(answered()), QUEUE_NOT_FOUND);
    queue_endpoint_get(queue, owner_of("a"), &unknown, on_list, NULL);
    assert_int_equal(status_of(answered()), QUEUE_NOT_FOUND);
    queue_endpoint_delete(queue, owner_of("b"), &id, on_answer, NULL);
    assert_int_equal(status_of(answered()), QUEUE_NOT_FOUND);
    queue_endpoint_update(queue, owner_of("b"), &id,
                          &(struct endpoint_change){0}, on_answer, NULL);
    assert_int_equal(status_of(answered()), QUEUE_NOT_FOUND);
}

static void a_change_changes_what_it_names(void **state)
{
    struct id id = create("a", "https://one.example", NULL, 0, "", "");
    struct str url = S("https://new.example");
    struct str events[] = {STR("email.bounced")};
    bool enabled = false;

    (void)state;
    answered();
    queue_endpoint_update(queue, owner_of("a"), &id,
                          &(struct endpoint_change){.url = &url}, on_answer,
                          NULL);
    assert_string_equal(answered(), "0 0 ;");
    assert_string_equal(all_of("a"), "0: https://new.example on;");
    queue_endpoint_update(queue, owner_of("a"), &id,
                          &(struct endpoint_change){.events = events,
                                                    .event_count = 1,
                                                    .enabled = &enabled},
                          on_answer, NULL);
    answered();
    assert_string_equal(all_of("a"), "0: https://new.example off "
                                     "email.bounced;");
    redis_do("HSET ph:{0}:we:%s reason gone", id.text);
    assert_string_equal(all_of("a"), "0: https://new.example offgone "
                                     "email.bounced;");
    enabled = true;
    queue_endpoint_update(queue, owner_of("a"), &id,
                          &(struct endpoint_change){.enabled = &enabled},
                          on_answer, NULL);
    answered();
    assert_string_equal(all_of("a"), "0: https://new.example on "
                                     "email.bounced;");
}

static void a_deleted_endpoint_leaves_nothing(void **state)
{
    struct id id = create("a", "https://one.example", NULL, 0, "", "");

    (void)state;
    answered();
    redis_do("RPUSH ph:{0}:w:%s 1-1 1-2", id.text);
    queue_endpoint_delete(queue, owner_of("a"), &id, on_answer, NULL);
    assert_string_equal(answered(), "0 0 ;");
    assert_string_equal(redis_ask("KEYS ph:{0}:w*"), "");
    assert_string_equal(redis_ask("KEYS ph:{0}:r:*"), "");
    queue_endpoint_delete(queue, owner_of("a"), &id, on_answer, NULL);
    assert_int_equal(status_of(answered()), QUEUE_NOT_FOUND);
}

static void pages_follow_each_other(void **state)
{
    static const char *const urls[] = {"u1", "u2", "u3", "u4", "u5"};
    struct id ids[5];
    struct queue_page page = {.limit = 2};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        ids[i] = create("a", urls[i], NULL, 0, "", "");
        answered();
    }
    queue_endpoint_list(queue, owner_of("a"), &page, on_list, NULL);
    assert_string_equal(answered(), "0+: u5 on u4 on;");
    page.after = id_str(&ids[3]);
    queue_endpoint_list(queue, owner_of("a"), &page, on_list, NULL);
    assert_string_equal(answered(), "0+: u3 on u2 on;");
    page.after = id_str(&ids[1]);
    queue_endpoint_list(queue, owner_of("a"), &page, on_list, NULL);
    assert_string_equal(answered(), "0: u1 on;");
    page.after = id_str(&ids[0]);
    queue_endpoint_list(queue, owner_of("a"), &page, on_list, NULL);
    assert_string_equal(answered(), "0:;");
    page = (struct queue_page){.limit = 2, .before = id_str(&ids[0])};
    queue_endpoint_list(queue, owner_of("a"), &page, on_list, NULL);
    assert_string_equal(answered(), "0+: u3 on u2 on;");
    page.before = id_str(&ids[3]);
    queue_endpoint_list(queue, owner_of("a"), &page, on_list, NULL);
    assert_string_equal(answered(), "0: u5 on;");
}

static void a_caller_hears_nothing_after_close(void **state)
{
    (void)state;
    create("a", "https://one.example", NULL, 0, "", "");
    queue_close(&queue);
    loop_turn(loop, 20);
    assert_int_equal(answers, 0);
}

static void a_secret_is_fresh_and_long(void **state)
{
    struct buf first;
    struct buf second;

    (void)state;
    buf_init(&first, 100);
    buf_init(&second, 100);
    endpoint_secret_new(&first);
    endpoint_secret_new(&second);
    assert_int_equal(first.len, 6 + 44);
    assert_true(str_starts(buf_str(&first), S("whsec_")));
    assert_false(str_eq(buf_str(&first), buf_str(&second)));
    buf_finish(&first);
    buf_finish(&second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_endpoint_is_listed_newest_first),
        TEST(the_secret_is_sealed_at_rest),
        TEST(without_a_keyring_nothing_is_stored),
        TEST(one_without_a_key_is_made),
        TEST(a_key_makes_one_endpoint),
        TEST(an_owner_has_a_hundred_at_most),
        TEST(another_owners_endpoint_is_not_found),
        TEST(a_change_changes_what_it_names),
        TEST(a_deleted_endpoint_leaves_nothing),
        TEST(pages_follow_each_other),
        TEST(a_caller_hears_nothing_after_close),
        TEST(a_secret_is_fresh_and_long),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
