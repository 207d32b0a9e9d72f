/* Webhooks and the events that they get. */
#include "api_world.h"

#include <stdio.h>

static void events_are_what_webhooks_get(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /events?after=good&limit=100", NULL), 200);
    expect(world, "{\"object\":\"list\",\"has_more\":false,\"data\":[{\"id\":"
                  "\"msg_");
    expect(world, "\"type\":\"email.sent\",\"created_at\":"
                  "\"2026-11-24T12:00:00.000Z\",\"data\":{\"email_id\":\"" ID
                  "\",\"timestamp\":\"2026-11-24T12:00:00.000Z\","
                  "\"sequence\":2}}],\"next\":\"the-next\"}");
    assert_int_equal(ask(world, "GET /events?limit=101", NULL), 422);
    assert_int_equal(ask(world, "GET /events?after=bad", NULL), 422);
    expect(world, "\"pointer\":\"/after\",\"code\":\"invalid_cursor\"");
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(ask(world, "GET /events?after=good", NULL), 422);
    expect(world, "Go on with after=the-next.");
    fake.status = QUEUE_NO_KEYRING;
    assert_int_equal(ask(world, "GET /events", NULL), 503);
}

static void webhooks_are_made_shown_and_changed(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /webhooks",
                         "{\"endpoint\":\"https://hooks.example.com/x\","
                         "\"events\":[\"email.sent\",\"email.*\",\"*\","
                         "\"email.opened\"]}"),
                     201);
    expect(world, "\"signing_secret\":\"whsec_");
    assert_int_equal(ask(world, "GET /webhooks", NULL), 200);
    expect(world,
           "\"status\":\"enabled\",\"endpoint\":"
           "\"https://hooks.example.com/x\",\"events\":[\"email.sent\"]");
    assert_false(has(world->client, "whsec_"));
    assert_int_equal(ask(world, "GET /webhooks/" ID, NULL), 200);
    expect(world, "{\"object\":\"webhook\",\"id\":\"" ID "\"");
    assert_int_equal(
        ask(world, "PATCH /webhooks/" ID, "{\"status\":\"disabled\"}"), 200);
    expect(world, "{\"object\":\"webhook\",\"id\":\"" ID "\"}");
    assert_int_equal(ask(world, "DELETE /webhooks/" ID, NULL), 200);
    expect(world, "\"deleted\":true");
}

static void bad_webhooks_are_refused(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /webhooks",
                         "{\"endpoint\":\"http://127.0.0.1/x\","
                         "\"events\":[\"email.send\"]}"),
                     422);
    expect(world, "\"pointer\":\"/endpoint\",\"code\":\"bad_url\"");
    expect(world, "\"pointer\":\"/events/0\",\"code\":\"unknown_event\","
                  "\"message\":\"`events[0]` is not a known event; did you "
                  "mean \\\"email.sent\\\"?\"");
    assert_int_equal(ask(world, "POST /webhooks", "{}"), 422);
    expect(world, "\"name\":\"missing_required_field\"");
    assert_int_equal(ask(world, "PATCH /webhooks/" ID, "{\"status\":\"on\"}"),
                     422);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(events_are_what_webhooks_get),
        API_TEST(webhooks_are_made_shown_and_changed),
        API_TEST(bad_webhooks_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
