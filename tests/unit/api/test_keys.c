/* Who may do what, and how often. */
#include "api_world.h"

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

static void keys_are_made_listed_and_deleted(void **state)
{
    struct world *world = *state;
    struct str token;
    ptrdiff_t at;

    assert_int_equal(ask(world, "POST /api-keys",
                         "{\"name\":\"web\",\"permission\":\"read_access\"}"),
                     201);
    assert_string_equal(fake.answer, "read_access");
    at = str_find(buf_str(&world->client->in), S("ph_live_"), 0);
    assert_true(at > 0);
    token =
        str_slice(buf_str(&world->client->in), (size_t)at, API_TOKEN_SIZE - 1);
    assert_true(api_token_is_sound(token));
    assert_int_equal(ask(world, "GET /api-keys?limit=7", NULL), 200);
    expect(world, "\"last_used_at\":null,\"permission\":\"full_access\","
                  "\"prefix\":\"ph_live_abcd\"");
    assert_int_equal(ask(world, "DELETE /api-keys/" ID, NULL), 200);
    expect(world,
           "{\"object\":\"api_key\",\"id\":\"" ID "\",\"deleted\":true}");
    /* It was the key of this very connection. */
    fake.key_is_known = false;
    assert_int_equal(ask(world, "GET /api-keys?limit=7", NULL), 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(strangers_are_told_which_way_they_are_wrong),
        API_TEST(a_key_is_asked_for_every_five_seconds),
        API_TEST(permissions_open_their_doors_only),
        API_TEST(rates_are_told_and_kept),
        API_TEST(keys_are_made_listed_and_deleted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
