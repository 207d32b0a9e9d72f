/* What keeps mail from an upstream that is well: the tokens of its rate, and
 * domains that want fewer at a time. */
#include "smtp/engine.h"

#include "stage.h"

/* --- the rate --- */

static const struct config_rate PER_MINUTE[] = {{300, 60000}};

/* The first of the upstreams has a rate. */
static struct stage *stage_with_rate(size_t count)
{
    struct stage *stage = stage_create(count);

    stage->has_rates = true;
    stage->upstreams[0].rate = (struct config_rate_list){PER_MINUTE, 1};
    return stage;
}

/* until_ms: from now; used_up_ms: the same, 0: more is to be had. */
static void grant(struct stage *stage, size_t urgent, size_t other,
                  int64_t used_up_ms)
{
    int64_t until_ms = used_up_ms == 0 ? 0 : clock_now_ms() + used_up_ms;

    smtp_upstream_grant(stage->smtp, 0,
                        &(struct smtp_quota_grant){
                            .tokens = {urgent, other},
                            .until_ms = clock_now_ms() + 1000,
                            .stamp = 5,
                            .used_up_until_ms = {until_ms, until_ms},
                        });
}

static void no_mail_goes_without_a_token(void **state)
{
    struct stage *stage = stage_with_rate(1);
    const struct smtp_route *route;
    struct mail mails[4] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED, ACCEPTED));
    stage->upstreams[0].max_sessions = 1;
    stage_open(stage);
    route = smtp_route_named(stage->smtp, S("all"));
    for (size_t i = 0; i < 2; i++)
        mails[i].delivery.lane = 2;
    stage_deliver(stage, &mails[0]);
    stage_until(stage, &stage->asks, 1);
    stage_settle(stage);
    assert_int_equal(stage->asks, 1); /* until it is answered */
    assert_int_equal(stage->ask.wanted[SMTP_QUOTA_URGENT], 0);
    assert_int_equal(stage->ask.wanted[SMTP_QUOTA_OTHER], 1 + 3);
    assert_int_equal(mails[0].dones, 0);
    grant(stage, 0, 2, 0);
    stage_until(stage, &mails[0].dones, 1);
    send_one(stage, &mails[1]); /* the other token is at hand */
    assert_int_equal(mails[1].result.verdict, SMTP_SENT);
    assert_int_equal(stage->asks, 1);

    stage_deliver(stage, &mails[2]);
    stage_until(stage, &stage->asks, 2);
    assert_int_equal(stage->ask.wanted[SMTP_QUOTA_URGENT], 1);
    grant(stage, 0, 0, 30000);
    stage_until(stage, &mails[2].dones, 1);
    assert_int_equal(mails[2].result.unsent, SMTP_UNSENT_ROOM);
    assert_int_equal(smtp_room(stage->smtp, route, 0), 0);
    assert_int_equal(smtp_room(stage->smtp, route, 3), 0);
    stage->rooms = 0;
    play_move_clock(30000);
    stage_until(stage, &stage->rooms, 1);
    assert_true(smtp_room(stage->smtp, route, 0) > 0);
    play_assert_over(&stage->plays[0]);
    stage_destroy(stage);
}

static void what_finds_no_token_goes_to_the_next_upstream(void **state)
{
    struct stage *stage = stage_with_rate(2);
    struct mail mails[3] = {0};
    struct mail late = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED)); /* any of them */
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    play_add(&stage->plays[1], SCRIPT(HELLO, ACCEPTED, ACCEPTED));
    stage_open(stage);
    stage_deliver(stage, &mails[0]);
    stage_deliver(stage, &mails[1]);
    stage_until(stage, &stage->asks, 1);
    assert_int_equal(stage->ask.wanted[SMTP_QUOTA_URGENT], 2);
    grant(stage, 1, 0, 60000);
    stage_until(stage, &mails[0].dones, 1);
    stage_until(stage, &mails[1].dones, 1);
    assert_string_equal(mails[0].upstream, stage->names[0]);
    assert_string_equal(mails[1].upstream, stage->names[1]);
    send_one(stage, &late); /* nobody asks while nothing is to be had */
    assert_string_equal(late.upstream, stage->names[1]);
    assert_int_equal(stage->asks, 1);
    stage_destroy(stage);
}

static void urgent_mail_has_the_first_token(void **state)
{
    struct stage *stage = stage_with_rate(1);
    struct mail mails[2] = {{.delivery.lane = 3}, {.delivery.lane = 0}};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage_open(stage);
    stage_deliver(stage, &mails[0]);
    stage_deliver(stage, &mails[1]);
    stage_until(stage, &stage->asks, 1);
    stage_settle(stage);
    grant(stage, 0, 1, 60000);
    stage_until(stage, &mails[1].dones, 1);
    stage_until(stage, &mails[0].dones, 1);
    assert_int_equal(mails[1].result.verdict, SMTP_SENT);
    assert_int_equal(mails[0].result.unsent, SMTP_UNSENT_ROOM);
    stage_destroy(stage);
}

static void unused_tokens_go_back(void **state)
{
    struct stage *stage = stage_with_rate(1);
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage_open(stage);
    stage_deliver(stage, &mail);
    stage_until(stage, &stage->asks, 1);
    grant(stage, 1, 3, 0);
    stage_until(stage, &mail.dones, 1);
    play_move_clock(1000);
    stage_until(stage, &stage->asks, 2);
    assert_int_equal(stage->ask.back, 3);
    assert_int_equal(stage->ask.stamp, 5);
    assert_int_equal(stage->ask.wanted[SMTP_QUOTA_OTHER], 0);
    grant(stage, 0, 0, 0);
    stage_settle(stage);
    assert_int_equal(stage->asks, 2);

    stage_destroy(stage);
}

static void tokens_go_back_at_the_end(void **state)
{
    struct stage *stage = stage_with_rate(1);
    struct mail mail = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO, ACCEPTED));
    stage_open(stage);
    stage_deliver(stage, &mail);
    stage_until(stage, &stage->asks, 1);
    grant(stage, 1, 2, 0);
    stage_until(stage, &mail.dones, 1);
    smtp_stop(stage->smtp);
    assert_int_equal(stage->asks, 2);
    assert_int_equal(stage->ask.back, 2);
    stage_destroy(stage);
}

/* Some with a mark stay behind, for whom no upstream without a rate asks. */
static void nothing_is_asked_where_there_is_no_rate(void **state)
{
    struct stage *stage = stage_create(1);
    struct mail mails[2] = {0};

    (void)state;
    play_add(&stage->plays[0], SCRIPT(HELLO_PIPE, MAIL, RCPT, "<DATA", ">250 a",
                                      ">250 b", ">354 c", BODY, "<.", ">250 d",
                                      MAIL, RCPT, "<DATA", ">250 a", "!close"));
    play_add(&stage->plays[0], SCRIPT("!hold"));
    stage->has_rates = true; /* the upstream has none */
    stage->upstreams[0].max_sessions = 1;
    stage_open(stage);
    send_one(stage, &mails[0]);
    stage_deliver(stage, &mails[1]);
    stage_until_held(stage, 1);
    smtp_stop(stage->smtp);
    stage_settle(stage);
    assert_int_equal(stage->asks, 0);
    stage_destroy(stage);
}

/* --- domains --- */

/* Three mails to one domain on three sessions hold, and a fourth one is
 * refused. */
static struct stage *stage_of_three(struct mail *mails,
                                    const char *const *refusal)
{
    static const char *const HOLDS[] = {
        HELLO,    MAIL, ">250 a", RCPT,     "!hold",  ">250 b", "<DATA",
        ">354 c", BODY, "<.",     ">250 d", ACCEPTED, ACCEPTED, NULL,
    };
    struct stage *stage = stage_create(1);

    for (size_t i = 0; i < 3; i++)
        play_add(&stage->plays[0], HOLDS);
    play_add(&stage->plays[0], refusal);
    stage->upstreams[0].max_sessions = 8;
    stage->upstreams[0].pipeline_next = false;
    stage_open(stage);
    for (size_t i = 0; i < 3; i++)
        stage_deliver(stage, &mails[i]);
    stage_until_held(stage, 3);
    send_one(stage, &mails[3]);
    return stage;
}

static const char *const TOO_MANY[] = {
    HELLO,    MAIL,     ">250 a", RCPT,     ">450 4.7.28 too many messages",
    "<RSET",  ">250 r", MAIL,     ">250 a", "<RCPT TO:<b@other.example>",
    ">250 b", "<DATA",  ">354 c", BODY,     "<.",
    ">250 d", NULL};
static const char *const FREQUENCY[] = {
    HELLO,   MAIL,     ">250 a", RCPT, ">550 Domain frequency limited",
    "<RSET", ">250 r", NULL};
static const char *const FULL[] = {
    HELLO,   MAIL,     ">250 a", RCPT, ">452 4.2.2 mailbox full",
    "<RSET", ">250 r", NULL};

static void a_domain_that_says_too_many_gets_fewer(void **state)
{
    struct mail mails[4] = {0};
    struct mail same = {
        .delivery = {.rcpt_to = STR("c@YOU.example"), .lane = 2}};
    struct mail again = {.delivery = {.lane = 2}};
    struct stage *stage = stage_of_three(mails, TOO_MANY);

    (void)state;
    assert_int_equal(mails[3].result.verdict, SMTP_SOFT);
    assert_int_equal(view_of(stage, 0).slowed_domains, 1);
    assert_int_equal(view_of(stage, 0).limit, 8); /* sessions may be many */
    send_one(stage, &same);
    assert_int_equal(same.result.verdict, SMTP_UNSENT);
    assert_int_equal(same.result.unsent, SMTP_UNSENT_DOMAIN);
    assert_in_range(same.result.hold_ms, 1000, 1100);
    play_go_on(&stage->plays[0]);
    for (size_t i = 0; i < 3; i++)
        stage_until(stage, &mails[i].dones, 1);
    send_one(stage, &again); /* none is under way */
    assert_int_equal(again.result.verdict, SMTP_SENT);
    stage_destroy(stage);
}

static void other_domains_go_on(void **state)
{
    struct mail mails[4] = {0};
    struct mail other = {
        .delivery = {.rcpt_to = STR("b@other.example"), .lane = 2}};
    struct stage *stage = stage_of_three(mails, TOO_MANY);

    (void)state;
    send_one(stage, &other);
    assert_int_equal(other.result.verdict, SMTP_SENT);
    stage_destroy(stage);
}

/* QQ's 550 that means later is said of the domain, not of the address. */
static void a_domain_that_says_frequency_limited_gets_fewer(void **state)
{
    struct mail mails[4] = {0};
    struct stage *stage = stage_of_three(mails, FREQUENCY);

    (void)state;
    assert_int_equal(mails[3].result.verdict, SMTP_SOFT);
    assert_int_equal(mails[3].result.pace, SMTP_PACE_FREQUENCY);
    assert_int_equal(view_of(stage, 0).slowed_domains, 1);
    stage_destroy(stage);
}

static void a_full_mailbox_slows_no_domain(void **state)
{
    struct mail mails[4] = {0};
    struct stage *stage = stage_of_three(mails, FULL);

    (void)state;
    assert_int_equal(mails[3].result.verdict, SMTP_SOFT);
    assert_int_equal(view_of(stage, 0).slowed_domains, 0);
    stage_destroy(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_mail_goes_without_a_token),
        cmocka_unit_test(what_finds_no_token_goes_to_the_next_upstream),
        cmocka_unit_test(urgent_mail_has_the_first_token),
        cmocka_unit_test(unused_tokens_go_back),
        cmocka_unit_test(tokens_go_back_at_the_end),
        cmocka_unit_test(nothing_is_asked_where_there_is_no_rate),
        cmocka_unit_test(a_domain_that_says_too_many_gets_fewer),
        cmocka_unit_test(other_domains_go_on),
        cmocka_unit_test(a_domain_that_says_frequency_limited_gets_fewer),
        cmocka_unit_test(a_full_mailbox_slows_no_domain),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
