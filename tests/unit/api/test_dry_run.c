/* POST /emails?dry_run=true, and the same without a server. */
#include "api_world.h"

#include "check_cmocka.h"

#define CODE                                                                   \
    "{\"from\":\"App <app@sender.test>\",\"to\":\"ada@inbox.test\",\"bcc\":["  \
    "\"bob@inbox.test\"],\"subject\":\"Your code\",\"text\":\"Your code:\\n"   \
    "\\n483920\\n\",\"class\":\"verification\"}"

static void nothing_is_stored_and_all_is_shown(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /v1/emails?dry_run=true", CODE), 200);
    assert_int_equal(fake.enqueued, 0);
    expect(world, "{\"object\":\"dry_run\",\"class\":\"verification\","
                  "\"sensitive\":true,\"template_id\":null,\"locale\":null,");
    expect(world, "\"retry_delays\":[5,15,30,60],");
    expect(world, "{\"address\":\"ada@inbox.test\",\"kind\":\"to\",\"route\":");
    expect(world, "{\"address\":\"bob@inbox.test\",\"kind\":\"bcc\",");
    expect(world, "\"lint\":[{\"code\":\"code_not_in_subject\",\"level\":"
                  "\"warning\",\"where\":\"/subject\",");
    expect(world,
           "\"mime_is_cut\":false,\"mime\":\"From: App "
           "<app@sender.test>\\r\\nTo: ada@inbox.test\\r\\nSubject: Your "
           "code\\r\\n");
    expect(world, "\\r\\nYour code:\\r\\n\\r\\n483920\\r\\n\"}");
}

static void what_is_wrong_is_refused_as_ever(void **state)
{
    struct world *world = *state;

    assert_int_equal(
        ask(world, "POST /v1/emails?dry_run=true", "{\"from\":\"x\"}"), 422);
    assert_int_equal(ask(world, "POST /v1/emails?dry_run=false", MAIL), 200);
    assert_int_equal(fake.enqueued, 1);
    assert_int_equal(ask(world, "POST /v1/emails?dry_run=1", MAIL), 422);
    expect(world, "`dry_run` must be true or false.");
    assert_int_equal(ask(world, "POST /v1/emails?dry_run", MAIL), 422);
    assert_int_equal(fake.enqueued, 1);
}

static void without_a_server_it_is_the_same(void **state)
{
    struct world *world = *state;
    struct buf out;
    struct buf problems;

    buf_init(&out, 1 << 20);
    buf_init(&problems, 1 << 16);
    assert_true(
        api_dry_run(S(CODE), &world->config, 1764000000000, &out, &problems));
    assert_non_null(strstr(out.data, "{\"address\":\"bob@inbox.test\",\"kind\":"
                                     "\"bcc\"}]"));
    assert_non_null(strstr(out.data, "\"code\":\"code_not_in_subject\""));
    assert_non_null(strstr(out.data, "\"signing_domain\":null,\"signing\":{"
                                     "\"domain\":null,\"reason\":\"which "
                                     "domains there are is known to a server"));
    assert_non_null(strstr(out.data, "<00000000-0000-7000-8000-000000000000@"
                                     "sender.test>"));
    assert_false(api_dry_run(S("{\"from\":\"App\"}"), &world->config, 1, &out,
                             &problems));
    assert_non_null(strstr(problems.data, "Missing `to` field.\n"));
    assert_non_null(strstr(problems.data, "`from` is no e-mail address"));
    assert_false(api_dry_run(S("{\"from\":\"a@b.test\",\"to\":\"c@d.test\","
                               "\"template\":{\"id\":\"x\"}}"),
                             &world->config, 1, &out, &problems));
    assert_non_null(strstr(problems.data, "`template` is known to a server"));
    buf_finish(&problems);
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(nothing_is_stored_and_all_is_shown),
        API_TEST(what_is_wrong_is_refused_as_ever),
        API_TEST(without_a_server_it_is_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
