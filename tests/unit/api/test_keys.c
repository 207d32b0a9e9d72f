/* Who may do what, and how often. */
#include "api_world.h"

#include "api/call.h"

#include <stdio.h>

static void strangers_are_told_which_way_they_are_wrong(void **state)
{
    struct world *world = *state;
    char fields[600];

    assert_int_equal(ask_with(world, "POST /emails", "", MAIL), 401);
    expect(world, "\"name\":\"missing_api_key\"");
    expect(world, "WWW-Authenticate: Bearer\r\n");
    assert_int_equal(
        ask_with(world, "POST /emails", "Authorization: Basic YTpi\r\n", MAIL),
        403);
    expect(world, "\"name\":\"invalid_api_key\"");
    snprintf(fields, sizeof fields, "Authorization: Bearer %sx\r\n",
             fake.token);
    assert_int_equal(ask_with(world, "POST /emails", fields, MAIL), 403);
    assert_int_equal(fake.key_lookups, 0); /* none was worth asking for */
    fake.key_is_known = false;
    assert_int_equal(ask(world, "POST /emails", MAIL), 403);
    expect(world, "\"name\":\"invalid_api_key\"");
    assert_int_equal(fake.key_lookups, 1);
    fake.key_status = QUEUE_AWAY;
    assert_int_equal(ask(world, "POST /emails", MAIL), 503);
    assert_int_equal(fake.enqueued, 0);
}

static void a_key_is_asked_for_every_five_seconds(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.key_lookups, 1);
    pass_ms(world, 4999);
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.key_lookups, 1);
    pass_ms(world, 1);
    fake.key_is_known = false;
    assert_int_equal(ask(world, "POST /emails", MAIL), 403);
    assert_int_equal(fake.key_lookups, 2);
}

static void permissions_open_their_doors_only(void **state)
{
    static const struct {
        const char *request;
        const char *body;
        bool sending;
        bool reading;
    } CASES[] = {
        {"POST /emails", MAIL, true, false},
        {"GET /emails/" ID, NULL, false, true},
        {"PATCH /emails/" ID, "{\"scheduled_at\":\"in 1 hour\"}", false, false},
        {"POST /emails/" ID "/cancel", NULL, false, false},
        {"POST /emails/" ID "/retry", NULL, false, false},
        {"GET /queue", NULL, false, true},
        {"GET /webhooks", NULL, false, true},
        {"GET /events", NULL, false, true},
        {"GET /emails", NULL, false, true},
        {"DELETE /webhooks/" ID, NULL, false, false},
        {"POST /api-keys", "{\"name\":\"x\"}", false, false},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        fake.key.permission = KEY_SENDING_ACCESS;
        pass_ms(world, 5000);
        assert_int_equal(ask(world, CASES[i].request, CASES[i].body) != 401,
                         CASES[i].sending);
        fake.key.permission = KEY_READ_ACCESS;
        pass_ms(world, 5000);
        assert_int_equal(ask(world, CASES[i].request, CASES[i].body) != 401,
                         CASES[i].reading);
    }
    expect(world, "\"name\":\"restricted_api_key\"");
}

static void rates_are_told_and_kept(void **state)
{
    struct world *world = *state;

    world->config.limits.rate = 5;
    world->config.limits.rate_per_ms = 1000;
    fake.rate_left = 1;
    fake.rate_needs_lease = true;
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    expect(world, "ratelimit-limit: 5\r\n");
    expect(world, "ratelimit-remaining: 0\r\n");
    expect(world, "ratelimit-reset: 1\r\n");
    expect(world, "ratelimit-policy: 5;w=1\r\n");
    assert_int_equal(ask(world, "POST /emails", MAIL), 429);
    expect(world, "\"name\":\"rate_limit_exceeded\"");
    expect(world, "Retry-After: 1\r\n");
    expect(world, "ratelimit-limit: 5\r\n");
    assert_int_equal(fake.enqueued, 1);
}

static void what_a_key_may_not_do_counts_too(void **state)
{
    struct world *world = *state;

    world->config.limits.rate = 5;
    world->config.limits.rate_per_ms = 1000;
    fake.key.permission = KEY_SENDING_ACCESS;
    fake.rate_left = 1;
    assert_int_equal(ask(world, "GET /webhooks", NULL), 401);
    expect(world, "\"name\":\"restricted_api_key\"");
    expect(world, "ratelimit-limit: 5\r\n");
    expect(world, "ratelimit-remaining: 0\r\n");
    assert_int_equal(ask(world, "GET /webhooks", NULL), 429);
    expect(world, "Retry-After: 1\r\n");
}

static void keys_are_made_listed_and_deleted(void **state)
{
    struct world *world = *state;
    struct str token;
    ptrdiff_t at;

    assert_int_equal(ask(world, "POST /api-keys",
                         "{\"name\":\"web\",\"permission\":\"read_access\"}"),
                     201);
    assert_string_equal(fake.answer, "read_access ");
    at = str_find(buf_str(&world->client->in), S("ph_live_"), 0);
    assert_true(at > 0);
    token =
        str_slice(buf_str(&world->client->in), (size_t)at, API_TOKEN_SIZE - 1);
    assert_true(api_token_is_sound(token));
    assert_int_equal(ask(world, "GET /api-keys?limit=7", NULL), 200);
    expect(world, "\"last_used_at\":null,\"permission\":\"full_access\","
                  "\"prefix\":\"ph_live_abcd\",\"domain_id\":null,"
                  "\"domain\":null}");
    assert_int_equal(
        ask(world, "PATCH /api-keys/" ID, "{\"name\":\"web app\"}"), 200);
    expect(world, "{\"object\":\"api_key\",\"id\":\"" ID "\"}");
    assert_string_equal(fake.answer, ID " is web app");
    assert_int_equal(ask(world, "PATCH /api-keys/" ID, "{\"name\":\"\"}"), 422);
    assert_int_equal(ask(world, "PATCH /api-keys/" ID, "{}"), 422);
    expect(world, "\"name\":\"missing_required_field\"");
    assert_int_equal(ask(world, "PATCH /api-keys/" ID,
                         "{\"name\":\"a\",\"permission\":\"full_access\"}"),
                     422);
    assert_int_equal(ask(world, "DELETE /api-keys/" ID, NULL), 200);
    expect(world,
           "{\"object\":\"api_key\",\"id\":\"" ID "\",\"deleted\":true}");
    /* It was the key of this very connection. */
    fake.key_is_known = false;
    assert_int_equal(ask(world, "GET /api-keys?limit=7", NULL), 403);
}

#define DOMAIN_ID "019300a0-0000-7000-8000-0000000000dd"
#define FOR_ONE                                                                \
    "{\"name\":\"web\",\"permission\":\"sending_access\","                     \
    "\"domain_id\":\"" DOMAIN_ID "\"}"

static void give_domain(const char *name, const char *id)
{
    fake.domain =
        (struct sender_domain){.name = str_of(name), .status = S("verified")};
    CHECK(id_parse(str_of(id), &fake.domain.id));
    fake.domain_count = 1;
}

static void a_key_may_be_made_for_one_domain(void **state)
{
    static const struct {
        const char *body;
        const char *fault;
    } BAD[] = {
        {"{\"name\":\"a\",\"domain_id\":\"" DOMAIN_ID "\"}",
         "\"pointer\":\"/domain_id\",\"code\":\"needs_sending_access\""},
        {"{\"name\":\"a\",\"permission\":\"read_access\",\"domain_id\":"
         "\"" DOMAIN_ID "\"}",
         "`domain_id` is for keys of `permission` \\\"sending_access\\\" "
         "alone."},
        {"{\"name\":\"a\",\"permission\":\"sending_access\",\"domain_id\":"
         "\"sender.test\"}",
         "\"pointer\":\"/domain_id\",\"code\":\"bad_id\""},
        {FOR_ONE, "`domain_id` is no domain of this account"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        assert_int_equal(ask(world, "POST /api-keys", BAD[i].body), 422);
        expect(world, BAD[i].fault);
    }
    assert_string_equal(fake.answer, "");
    give_domain("sender.test", DOMAIN_ID);
    assert_int_equal(ask(world, "POST /api-keys", FOR_ONE), 201);
    assert_string_equal(fake.answer,
                        "sending_access of sender.test " DOMAIN_ID);
    fake.status = QUEUE_AWAY;
    assert_int_equal(ask(world, "POST /api-keys", FOR_ONE), 503);
}

/* Its domain may be gone by then. */
static void a_key_that_was_made_is_told_again(void **state)
{
    struct world *world = *state;
    char fields[600];

    snprintf(fields, sizeof fields, "%sIdempotency-Key: once\r\n", key_field());
    fake.acted = (struct queue_answer){.status = QUEUE_REPLAY,
                                       .http_status = 201,
                                       .answer = S("{\"id\":\"" ID "\"}")};
    assert_int_equal(ask_with(world, "POST /api-keys", fields, FOR_ONE), 201);
    expect(world, "Idempotent-Replayed: true\r\n");
    fake.acted.status = QUEUE_OK;
    assert_int_equal(ask_with(world, "POST /api-keys", fields, FOR_ONE), 422);
}

#define FROM(address)                                                          \
    "{\"from\":\"" address "\",\"to\":\"ada@inbox.test\","                     \
    "\"subject\":\"s\",\"text\":\"t\"}"
#define NOT_FROM "This API key is not authorized to send emails from "

static void pin(void)
{
    give_domain("sender.test", DOMAIN_ID);
    fake.key.permission = KEY_SENDING_ACCESS;
    fake.key.domain = S("sender.test");
    fake.key.domain_id = fake.domain.id;
}

static void a_key_of_one_domain_sends_from_that_one(void **state)
{
    static const char *const OTHERS[] = {
        FROM("app@news.sender.test"),
        FROM("app@test"),
        FROM("app@ender.test"),
        FROM("sender.test@other.test"),
        FROM("App sender.test <app@other.test>"),
    };
    struct world *world = *state;

    pin();
    assert_int_equal(ask(world, "POST /emails", FROM("a@SENDER.test")), 200);
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.domain_lookups, 1);
    for (size_t i = 0; i < COUNT_OF(OTHERS); i++) {
        assert_int_equal(ask(world, "POST /emails", OTHERS[i]), 403);
        expect(world, "\"name\":\"validation_error\"");
        expect(world, "\"code\":\"domain_not_allowed\"");
        expect(world, NOT_FROM);
        expect(world, ": it may send from addresses of sender.test only.");
    }
    assert_int_equal(ask(world, "POST /emails?dry_run=true", OTHERS[0]), 403);
    expect(world, NOT_FROM "news.sender.test: ");
    assert_int_equal(fake.domain_lookups, 1);
    assert_int_equal(fake.enqueued, 2);
}

static void a_key_whose_domain_was_removed_sends_nothing(void **state)
{
    static const char AGAIN[] = "019300a0-0000-7000-8000-0000000000ee";
    struct world *world = *state;

    pin();
    for (unsigned i = 0; i < 3; i++) {
        if (i == 0)
            fake.domain_count = 0;
        else if (i == 1)
            give_domain("test", AGAIN); /* the one above it */
        else
            give_domain("sender.test", AGAIN); /* added again: another one */
        assert_int_equal(ask(world, "POST /emails", MAIL), 403);
        expect(world, "\"code\":\"domain_not_allowed\"");
        expect(world, NOT_FROM "sender.test: the domain that it was made for "
                               "was removed.");
        assert_int_equal(ask(world, "POST /emails?dry_run=true", MAIL), 403);
        pass_ms(world, 5000);
    }
    assert_int_equal(fake.enqueued, 0);
}

/* Another process added the domain, and made a key for it. */
static void a_new_domain_is_not_missed_by_its_key(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.domain_lookups, 1);
    key_cache_forget(world->api->keys, &fake.key.id);
    pin();
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.domain_lookups, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(strangers_are_told_which_way_they_are_wrong),
        API_TEST(a_key_is_asked_for_every_five_seconds),
        API_TEST(permissions_open_their_doors_only),
        API_TEST(rates_are_told_and_kept),
        API_TEST(what_a_key_may_not_do_counts_too),
        API_TEST(keys_are_made_listed_and_deleted),
        API_TEST(a_key_may_be_made_for_one_domain),
        API_TEST(a_key_that_was_made_is_told_again),
        API_TEST(a_key_of_one_domain_sends_from_that_one),
        API_TEST(a_key_whose_domain_was_removed_sends_nothing),
        API_TEST(a_new_domain_is_not_missed_by_its_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
