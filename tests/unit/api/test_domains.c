/* Domains over HTTP: what is made, shown, refused; private halves of keys leave
 * sealed to the workers. */
#include "api_world.h"

#include "check_cmocka.h"
#include "server/base/seal.h"

#include <stdio.h>
#include <unistd.h>

#define KEY "019300a0-0000-7000-8000-0000000000aa"

static char worker_key[128];

static int setup_key(void **state)
{
    char path[64];
    struct seal_public key;
    struct error err;
    struct buf text;

    (void)state;
    snprintf(path, sizeof path, "/tmp/posthaste-worker-%d", (int)getpid());
    assert_true(seal_keys_create(path, &key, &err));
    unlink(path);
    buf_init(&text, sizeof worker_key);
    seal_public_add(&key, &text);
    snprintf(worker_key, sizeof worker_key, "%.*s", STR_ARG(buf_str(&text)));
    buf_finish(&text);
    return 0;
}

static struct world *with_key(void **state)
{
    struct world *world = *state;

    world->config.secrets.worker_public_key = worker_key;
    world->config.sending.spf_include = "spf.relay.test";
    world->config.sending.bounce_mx = "bounces.relay.test";
    world->config.sending.bounce_domain = "";
    return world;
}

static struct sender_key key_of(unsigned generation)
{
    struct sender_key key = {
        .generation = generation,
        .rsa_selector = S("phaaaar1"),
        .ed25519_selector = S("phaaaae1"),
        .rsa_public = S("MIIB"),
        .ed25519_public = S("11qY"),
        .created_ms = WALL_MS,
        .signs_ms = WALL_MS,
    };

    CHECK(id_parse(S(KEY), &key.id));
    return key;
}

static void give_domain(const char *status)
{
    fake.domain = (struct sender_domain){
        .name = S("sender.test"),
        .return_path = S("send"),
        .region = S("eu-west-1"),
        .status = str_of(status),
        .created_ms = WALL_MS,
        .keys = {key_of(1)},
        .key_count = 1,
        .version = 3,
    };
    CHECK(id_parse(S(ID), &fake.domain.id));
    fake.domain_count = 1;
}

static void seen(const char *text)
{
    if (strstr(fake.seen.data, text) == NULL)
        fail_msg("no %s in %s", text, fake.seen.data);
}

static void one_is_added_with_its_records(void **state)
{
    struct world *world = with_key(state);

    assert_int_equal(ask(world, "POST /domains",
                         "{\"name\":\"B\xc3\xbc"
                         "cher.Test\",\"region\":\"eu-west-1\","
                         "\"capabilities\":{\"sending\":\"enabled\","
                         "\"receiving\":\"disabled\"},\"open_tracking\":false,"
                         "\"tls\":\"opportunistic\"}"),
                     201);
    expect(world, "{\"object\":\"domain\",\"id\":\"");
    expect(world, "\"name\":\"xn--bcher-kva.test\",\"status\":\"not_started\","
                  "\"created_at\":\"2026-11-24T12:00:00.000Z\","
                  "\"region\":\"eu-west-1\",\"records\":[{\"record\":\"DKIM\"");
    expect(world, "\"value\":\"v=DKIM1; k=rsa; p=MIIB");
    expect(world, "\"value\":\"v=DKIM1; k=ed25519; p=");
    expect(world, "\"record\":\"SPF\",\"name\":\"send\",\"type\":\"MX\","
                  "\"ttl\":\"Auto\",\"status\":\"not_started\","
                  "\"value\":\"bounces.relay.test\",\"priority\":10");
    expect(world, "\"record\":\"DMARC\"");
    expect(world, "\"state\":\"signing\"");
    seen("\"n\":\"xn--bcher-kva.test\"");
    seen("\ndomain.created \"name\":\"xn--bcher-kva.test\"");
    assert_null(strstr(fake.seen.data, "PRIVATE"));
}

static void without_a_key_of_the_workers_there_is_none(void **state)
{
    struct world *world = *state;

    world->config.secrets.worker_public_key = "";
    assert_int_equal(ask(world, "POST /domains", "{\"name\":\"sender.test\"}"),
                     503);
    expect(world, "posthaste keyring create-worker");
    expect(world, "\"code\":\"worker_key_missing\"");
}

#define LABEL_60 "a12345678901234567890123456789012345678901234567890123456789."

static void what_cannot_be_is_refused(void **state)
{
    static const struct {
        const char *body;
        const char *text;
    } CASES[] = {
        {"{}", "\"pointer\":\"/name\""},
        {"{\"name\":\"localhost\"}", "must be the name of a domain"},
        {"{\"name\":\"\"}", "must be the name of a domain"},
        {"{\"name\":\"a b.test\"}", "\"pointer\":\"/name\""},
        {"{\"name\":\"" LABEL_60 LABEL_60 LABEL_60 "abcde.test\"}",
         "must be at most 189 bytes long"},
        {"{\"name\":\"[192.0.2.1]\"}", "\"pointer\":\"/name\""},
        {"{\"name\":\"a.test\",\"open_tracking\":true}",
         "\"pointer\":\"/open_tracking\""},
        {"{\"name\":\"a.test\",\"tls\":\"enforced\"}", "\"pointer\":\"/tls\""},
        {"{\"name\":\"a.test\",\"capabilities\":{\"receiving\":\"enabled\"}}",
         "\"pointer\":\"/capabilities/receiving\""},
        {"{\"name\":\"a.test\",\"custom_return_path\":\"a.b\"}",
         "\"pointer\":\"/custom_return_path\""},
        {"{\"name\":\"a.test\",\"region\":\"mars\"}",
         "\"pointer\":\"/region\""},
    };
    struct world *world = with_key(state);

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        assert_int_equal(ask(world, "POST /domains", CASES[i].body), 422);
        expect(world, CASES[i].text);
    }
    give_domain("verified");
    assert_int_equal(ask(world, "POST /domains", "{\"name\":\"sender.test\"}"),
                     409);
    expect(world, "\"code\":\"domain_taken\"");
}

static void one_is_shown_by_id_and_by_name(void **state)
{
    struct world *world = with_key(state);

    give_domain("verified");
    assert_int_equal(ask(world, "GET /domains/" ID, NULL), 200);
    expect(world, "\"object\":\"domain\",\"id\":\"" ID "\"");
    assert_int_equal(ask(world, "GET /domains/Sender.Test", NULL), 200);
    assert_int_equal(ask(world, "GET /domains/a%20b", NULL), 422);
    assert_int_equal(ask(world, "GET /domains", NULL), 200);
    expect(world, "{\"object\":\"list\",\"has_more\":false,\"data\":[{\"id\":");
    assert_null(strstr(world->client->in.data, "\"records\""));
    fake.domain_count = 0;
    assert_int_equal(ask(world, "GET /domains/none.test", NULL), 404);
}

static void verifying_begins_anew(void **state)
{
    struct world *world = with_key(state);

    give_domain("failed");
    assert_int_equal(ask(world, "POST /domains/" ID "/verify", NULL), 200);
    expect(world, "{\"object\":\"domain\",\"id\":\"" ID "\"}");
    seen("\"st\":\"pending\"");
    seen("\"d\":1795521600000,\"b\":1795521600000");
    give_domain("verified"); /* mail goes on meanwhile */
    assert_int_equal(ask(world, "POST /domains/" ID "/verify", NULL), 200);
    seen("\"st\":\"verified\"");
}

static void a_rotation_publishes_two_generations(void **state)
{
    struct world *world = with_key(state);

    give_domain("verified");
    assert_int_equal(ask(world, "POST /domains/sender.test/rotate", NULL), 200);
    expect(world, "\"generation\":2");
    expect(world, "\"state\":\"next\"");
    seen("\"g\":1");
    seen("\"g\":2");
    fake.domain.keys[1] = key_of(2);
    fake.domain.keys[1].signs_ms = 0;
    fake.domain.key_count = 2;
    assert_int_equal(ask(world, "POST /domains/sender.test/rotate", NULL), 409);
    expect(world, "\"code\":\"not_rotatable\"");
}

static void compromised_keys_are_replaced_at_any_time(void **state)
{
    struct world *world = with_key(state);

    give_domain("verified");
    fake.domain.keys[1] = key_of(2);
    fake.domain.keys[1].signs_ms = 0;
    fake.domain.key_count = 2;
    assert_int_equal(
        ask(world, "POST /domains/" ID "/rotate", "{\"compromised\":false}"),
        409);
    assert_int_equal(
        ask(world, "POST /domains/" ID "/rotate", "{\"compromised\":true}"),
        200);
    expect(world, "\"generation\":1,\"selectors\":[\"phaaaar1\",\"phaaaae1\"],"
                  "\"state\":\"signing\"");
    expect(world,
           "\"signs_at\":null,\"retires_at\":\"2026-11-24T12:00:00.000Z\","
           "\"compromised_at\":\"2026-11-24T12:00:00.000Z\"},"
           "{\"id\":");
    expect(world, "\"state\":\"next\"");
    expect(world, "\"retires_at\":null,\"compromised_at\":null}]");
    seen("\"g\":2,");
    seen("\"g\":3,");
    seen("\ndomain.updated ");
    seen("\"d\":1795521600000,\"b\":1795521600000");
}

static void a_rotation_names_what_it_does_not_take(void **state)
{
    static const struct {
        const char *body;
        unsigned status;
        const char *text;
    } CASES[] = {
        {"{\"compromised\":\"yes\"}", 422, "\"pointer\":\"/compromised\""},
        {"{\"comprimised\":true}", 422, "\"pointer\":\"/comprimised\""},
        {"[]", 422, "must be a JSON object"},
        {"{", 400, "is not valid JSON"},
        {"{}", 200, "\"state\":\"next\""},
    };
    struct world *world = with_key(state);

    give_domain("verified");
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        assert_int_equal(
            ask(world, "POST /domains/" ID "/rotate", CASES[i].body),
            CASES[i].status);
        expect(world, CASES[i].text);
    }
}

static void one_is_changed_and_removed(void **state)
{
    struct world *world = with_key(state);

    give_domain("verified");
    assert_int_equal(
        ask(world, "PATCH /domains/" ID, "{\"custom_return_path\":\"Back\"}"),
        200);
    seen("\"p\":\"back\"");
    assert_int_equal(
        ask(world, "PATCH /domains/" ID, "{\"click_tracking\":true}"), 422);
    assert_int_equal(ask(world, "DELETE /domains/" ID, NULL), 200);
    expect(world, "{\"object\":\"domain\",\"id\":\"" ID "\",\"deleted\":true}");
    seen("\ndomain.deleted ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(one_is_added_with_its_records),
        API_TEST(without_a_key_of_the_workers_there_is_none),
        API_TEST(what_cannot_be_is_refused),
        API_TEST(one_is_shown_by_id_and_by_name),
        API_TEST(verifying_begins_anew),
        API_TEST(a_rotation_publishes_two_generations),
        API_TEST(compromised_keys_are_replaced_at_any_time),
        API_TEST(a_rotation_names_what_it_does_not_take),
        API_TEST(one_is_changed_and_removed),
    };

    return cmocka_run_group_tests(tests, setup_key, NULL);
}
