/* Which keys a mail is accepted with, and whether it is. */
#include "api_world.h"

#include "api/signing.h"
#include "check_cmocka.h"

#define KEY "019300a0-0000-7000-8000-0000000000aa"

static void give_domain(const char *status)
{
    fake.domain = (struct sender_domain){
        .name = S("sender.test"),
        .status = str_of(status),
        .keys = {{.created_ms = WALL_MS, .signs_ms = WALL_MS}},
        .key_count = 1,
    };
    CHECK(id_parse(S(KEY), &fake.domain.keys[0].id));
    fake.domain_count = 1;
}

static void an_owner_without_domains_pays_one_look(void **state)
{
    struct world *world = *state;

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.domain_lookups, 1);
    assert_null(strstr(fake.seen.data, "signed"));
    pass_ms(world, SIGNING_FRESH_MS);
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.domain_lookups, 2);
}

static void keys_sign_from_their_creation(void **state)
{
    struct world *world = *state;

    give_domain("not_started");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ask(world, "POST /emails", MAIL), 200);
        assert_non_null(
            strstr(fake.seen.data, " signed by " KEY " of sender.test"));
    }
    assert_int_equal(fake.domain_lookups, 1);
}

#define DRY                                                                    \
    "{\"from\":\"App <app@sender.test>\",\"to\":\"ada@inbox.test\","           \
    "\"subject\":\"s\",\"text\":\"t\"}"

static void a_dry_run_says_who_would_sign(void **state)
{
    struct world *world = *state;

    for (unsigned i = 0; i < 2; i++) { /* looked up, and remembered */
        assert_int_equal(ask(world, "POST /emails?dry_run=true", DRY), 200);
        expect(world, "\"signing_domain\":null,\"signing\":{\"domain\":null,"
                      "\"reason\":\"this account has no domain: POST ");
    }
    pass_ms(world, SIGNING_FRESH_MS);
    give_domain("pending");
    fake.domain.keys[0].rsa_selector = S("phabcdr1");
    fake.domain.keys[0].ed25519_selector = S("phabcde1");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ask(world, "POST /emails?dry_run=true", DRY), 200);
        expect(world,
               "\"signing_domain\":\"sender.test\",\"signing\":{\"domain\":"
               "\"sender.test\",\"signatures\":[{\"algorithm\":"
               "\"rsa-sha256\",\"selector\":\"phabcdr1\"},{\"algorithm\":"
               "\"ed25519-sha256\",\"selector\":\"phabcde1\"}],"
               "\"verified\":false,\"return_path\":null}");
    }
    fake.domain.keys[0].signs_ms = 0; /* none that signs yet */
    pass_ms(world, SIGNING_FRESH_MS);
    assert_int_equal(ask(world, "POST /emails?dry_run=true", DRY), 200);
    expect(world, "\"reason\":\"no domain of this account is sender.test or "
                  "above it: POST ");
}

static void
one_that_is_not_verified_is_refused_where_that_is_asked(void **state)
{
    struct world *world = *state;

    world->config.domains.require_verified = true;
    assert_int_equal(ask(world, "POST /emails", MAIL), 403);
    expect(world, "\"name\":\"validation_error\"");
    expect(world, "\"code\":\"domain_not_verified\"");
    expect(world, "The sender.test domain is not verified. Please, add and "
                  "verify your domain");
    pass_ms(world, SIGNING_FRESH_MS);
    give_domain("pending");
    assert_int_equal(ask(world, "POST /emails", MAIL), 403);
    assert_int_equal(fake.enqueued, 0);
    pass_ms(world, SIGNING_FRESH_MS);
    give_domain("verified");
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_non_null(strstr(fake.seen.data, " signed by " KEY));
}

#define VERIFIED "\"2025-11-24T12:00:00.000Z\""
#define FINDING(check, name, status)                                           \
    "{\"check\":\"" check "\",\"weight\":\"required\",\"status\":\"" status    \
    "\",\"name\":\"" name "\",\"type\":\"MX\",\"verified_at\":" VERIFIED "}"
#define REPORT(findings) "{\"status\":\"verified\",\"checks\":[" findings "]}"

/* What the DNS showed of the return path, and whether bounces go there. */
static const struct {
    const char *report;
    bool is_used;
} RETURN_PATHS[] = {
    {"", false},
    {REPORT(""), false},
    {REPORT(FINDING("return_path_mx", "send.sender.test", "verified")), true},
    {REPORT(FINDING("return_path_mx", "send.sender.test", "failed")), false},
    {REPORT(FINDING("return_path_mx", "send.sender.test", "temporary_failure")),
     true},
    {REPORT(FINDING("return_path_mx", "bounce.sender.test", "verified")),
     false}, /* the label was changed since */
    {REPORT(FINDING("return_path_mx", "send.sender.test",
                    "verified") "," FINDING("return_path_spf",
                                            "send.sender.test", "pending")),
     false},
    {REPORT(FINDING("return_path_spf", "send.sender.test",
                    "verified") "," FINDING("return_path_mx",
                                            "send.sender.test", "verified")),
     true},
};

static void bounces_go_where_the_dns_takes_them(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(RETURN_PATHS); i++) {
        give_domain("verified");
        fake.domain.return_path = S("send");
        fake.domain.report = str_of(RETURN_PATHS[i].report);
        for (unsigned j = 0; j < 2; j++) { /* looked up, and remembered */
            assert_int_equal(ask(world, "POST /emails", MAIL), 200);
            assert_int_equal(
                strstr(fake.seen.data, " bounces to send.sender.test") != NULL,
                RETURN_PATHS[i].is_used);
        }
        pass_ms(world, SIGNING_FRESH_MS);
    }
}

static void what_the_store_does_not_tell_is_no_refusal(void **state)
{
    struct world *world = *state;

    world->config.domains.require_verified = true;
    fake.status = QUEUE_AWAY;
    assert_int_equal(ask(world, "POST /emails", MAIL), 503);
    fake.status = QUEUE_OK;
    give_domain("verified");
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(an_owner_without_domains_pays_one_look),
        API_TEST(keys_sign_from_their_creation),
        API_TEST(a_dry_run_says_who_would_sign),
        API_TEST(one_that_is_not_verified_is_refused_where_that_is_asked),
        API_TEST(bounces_go_where_the_dns_takes_them),
        API_TEST(what_the_store_does_not_tell_is_no_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
