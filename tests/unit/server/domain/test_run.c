#include "server/base/clock.h"
#include "server/domain/domain.h"
#include "server/io/dns.h"

#include "check_cmocka.h"
#include "name_server.h"

/* Of 2048 bits: its record is over 512 bytes, so it comes by TCP. */
#define RSA_1                                                                  \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArxtd57z67vHK640Q44/"          \
    "RZtRYbzEQcdIfGJ0BOV0an5bozk0P+l1JpL6N598Muzytuh8Q1ExOa4H4B/"              \
    "CeuHXwcFWNo4pUeky2792wY4NBz48O5gkT6+arikjIKXKwkfFF5C+"                    \
    "dor90QUpahvRdRnJbCndBOODW"
#define RSA_2                                                                  \
    "FGrN24ByzgoVPC9IVA6o6MA6BR0PX5kjRopn63vWlaMUygyaD3L624dXehDYjXCXIN/"      \
    "qWeetlgIW98prIwrrOz0FeeYHl/"                                              \
    "PtnPR0mHMFZVr8qTD6Vu9vPMNzHTYnQmOqM4UO0FTwasuOiTQgpM2vqJzAQ2thbJUy7sALMe" \
    "dGOLFCTZOjajJIpDrPzQIDAQAB"
#define ED25519 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

/* The keys and the return path of NAME. */
#define RSA_AT(name)                                                           \
    "r1._domainkey." name " TXT \"v=DKIM1; k=rsa; p=" RSA_1 "\" \"" RSA_2 "\"" \
    "\n"
#define ED25519_AT(name)                                                       \
    "e1._domainkey." name " TXT \"v=DKIM1; k=ed25519; p=" ED25519 "\"\n"
#define KEYS_AT(name)                                                          \
    "r1._domainkey." name " CNAME r1.relay\n"                                  \
    "e1._domainkey." name " CNAME e1.relay\n"
#define MX_AT(name) "send." name " MX 10 bounce.relay\n"
#define SPF_AT(name)                                                           \
    "send." name " TXT \"v=spf1 include:spf.relay.test ~all\"\n"
#define DMARC_AT(name) "_dmarc." name " TXT \"v=DMARC1; p=none\"\n"
#define REST_AT(name)                                                          \
    MX_AT(name) SPF_AT(name) DMARC_AT(name) name " MX 10 mx.relay\n"

static const char ZONE[] =
    "bounce.relay A 192.0.2.7\n"
    "mx.relay A 192.0.2.8\n"
    "spf.relay TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n"
    "r1.relay TXT \"v=DKIM1; k=rsa; p=" RSA_1 "\" \"" RSA_2 "\"\n"
    "e1.relay TXT \"v=DKIM1; k=ed25519; p=" ED25519 "\"\n"
    /* all is well */
    RSA_AT("good") ED25519_AT("good") REST_AT("good")
    /* the keys of another */
    KEYS_AT("alias") REST_AT(
        "alias") "r1._domainkey.dangling CNAME nowhere\n" ED25519_AT("dangling")
        REST_AT("dangling")
    /* a policy of MTA-STS */
    KEYS_AT("sts") REST_AT("sts") "_mta-sts.sts TXT \"v=STSv1; id=1\"\n"
    /* several records */
    RSA_AT("double") "r1._domainkey.double TXT \"v=DKIM1; p=\"\n" ED25519_AT(
        "double") REST_AT("double") "send.double TXT \"v=spf1 -all\"\n"
    /* look-ups */
    KEYS_AT("eleven") MX_AT("eleven") DMARC_AT(
        "eleven") "send.eleven TXT \"v=spf1 include:five.relay.test "
                  "include:five.relay.test"
                  " -all\"\n"
                  "five.relay TXT \"v=spf1 a:mx.relay.test a:mx.relay.test "
                  "a:mx.relay.test"
                  " a:mx.relay.test include:spf.relay.test -all\"\n" KEYS_AT(
                      "void") MX_AT("void")
                      DMARC_AT("void") "send.void TXT \"v=spf1 a:a.void.test "
                                       "mx:b.void.test exists:c.void.test"
                                       " include:spf.relay.test -all\"\n"
    /* DMARC above */
    KEYS_AT("news.parent") MX_AT("news.parent")
        SPF_AT("news.parent") "_dmarc.parent TXT \"v=DMARC1; p=reject\"\n"
                              /* a wildcard */
                              "*.wild TXT \"v=spf1 -all\"\n"
    /* a name server that fails in part */
    KEYS_AT("half") MX_AT("half")
        DMARC_AT("half") "send.half TXT \"v=spf1 include:spf.broken.test "
                         "-all\"\n" KEYS_AT("late") MX_AT("late") DMARC_AT(
                             "late") "send.late TXT \"v=spf1 "
                                     "include:spf.silent.test -all\"\n";

static const struct domain_key KEYS[] = {
    {STR("r1"), DKIM_RSA, STR(RSA_1 RSA_2), DOMAIN_KEY_SIGNS},
    {STR("e1"), DKIM_ED25519, STR(ED25519), DOMAIN_KEY_SIGNS},
};

static struct name_server server;
static struct loop *loop;
static struct dns *dns;

static int group_setup(void **state)
{
    struct error err;

    (void)state;
    name_server_start(&server, ZONE);
    loop = loop_create();
    dns = dns_open(loop, server.address, &err);
    return dns == NULL ? -1 : 0;
}

static int group_teardown(void **state)
{
    (void)state;
    dns_close(&dns);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    name_server_stop(&server);
    return 0;
}

/* A web server that is late, for one domain. */
static domain_fetched_fn fetched;
static void *fetched_ctx;
static unsigned fetches;
static unsigned cancelled_fetches;

static void *fetch(void *self, struct str url, domain_fetched_fn fn, void *ctx)
{
    assert_ptr_equal(self, &fetches);
    assert_true(
        str_eq(url, S("https://mta-sts.sts.test/.well-known/mta-sts.txt")));
    fetches++;
    fetched = fn;
    fetched_ctx = ctx;
    return &fetched;
}

static void fetch_cancel(void *self, void *handle)
{
    assert_ptr_equal(self, &fetches);
    assert_ptr_equal(handle, &fetched);
    cancelled_fetches++;
}

static const struct domain_fetcher FETCHER = {fetch, fetch_cancel, &fetches};

struct told {
    unsigned calls;
    struct arena *arena;
    struct domain_report report;
    struct domain_run *cancels;
};

static void on_checked(void *ctx, const struct domain_report *report)
{
    struct told *told = ctx;
    struct buf text;

    told->calls++;
    buf_init(&text, DOMAIN_REPORT_MAX);
    domain_report_write(report, &text);
    domain_report_read(buf_str(&text), told->arena, &told->report);
    buf_finish(&text);
    domain_check_cancel(&told->cancels);
}

static struct domain_run *start(const char *name, struct told *told)
{
    const struct domain_setup setup = {
        .name = str_of(name),
        .return_path = S("send"),
        .keys = KEYS,
        .key_count = COUNT_OF(KEYS),
        .spf_include = S("spf.relay.test"),
        .bounce_mx = S("bounce.relay.test"),
    };
    const struct domain_past past = {.since_ms = clock_shared_ms()};

    *told = (struct told){.arena = arena_create()};
    return domain_check(loop, dns, &FETCHER, &setup, &past, on_checked, told);
}

/* A word for each finding that matters here. */
static void shown(const struct domain_report *report, char out[64])
{
    static const char STATES[] = "-pvft";
    static const char CHECKS[] = "DMSsdmwatb";
    size_t len = 0;

    for (size_t i = 0; i < report->count; i++) {
        const struct domain_finding *finding = &report->findings[i];

        if (finding->check > DOMAIN_CHECK_WILDCARD ||
            finding->check == DOMAIN_CHECK_SPF)
            continue;
        out[len++] = CHECKS[finding->check];
        out[len++] = STATES[finding->state];
    }
    out[len] = '\0';
}

static const struct {
    const char *domain;
    const char *states; /* DKIM twice, MX and SPF of the return path, DMARC,
                         * mail to From, wildcard */
    enum domain_status status;
    const char *reason; /* that one of them gives */
} CASES[] = {
    {"good.test", "DvDvMvSvdvmvwv", DOMAIN_STATUS_VERIFIED, NULL},
    {"alias.test", "DvDvMvSvdvmvwv", DOMAIN_STATUS_VERIFIED, NULL},
    {"dangling.test", "DpDvMvSvdvmvwv", DOMAIN_STATUS_PENDING, "alias (CNAME)"},
    {"double.test", "DpDvMvSpdvmvwv", DOMAIN_STATUS_PENDING,
     "several SPF records"},
    {"eleven.test", "DvDvMvSpdvmpwv", DOMAIN_STATUS_PARTIALLY_VERIFIED,
     "takes 12 DNS look-ups"},
    {"void.test", "DvDvMvSpdvmpwv", DOMAIN_STATUS_PARTIALLY_VERIFIED,
     "3 names in the SPF record do not exist"},
    {"news.parent.test", "DvDvMvSvdvmpwv", DOMAIN_STATUS_VERIFIED, NULL},
    {"wild.test", "DpDpMpSpdpmpwf", DOMAIN_STATUS_PENDING, "wildcard"},
    {"none.test", "DpDpMpSpdpmpwv", DOMAIN_STATUS_PENDING,
     "There is no TXT record at r1._domainkey.none.test"},
    {"half.test", "DvDvMvSpdvmpwv", DOMAIN_STATUS_PARTIALLY_VERIFIED,
     "gave no answer for spf.broken.test"},
    {"x.broken.test", "DpDpMpSpdpmpwt", DOMAIN_STATUS_PENDING,
     "gave no answer for"},
};

static bool says(const struct domain_report *report, const char *reason)
{
    for (size_t i = 0; i < report->count; i++)
        if (str_contains(report->findings[i].reason, str_of(reason)))
            return true;
    return reason == NULL;
}

static void domains_are_checked(void **state)
{
    struct told told[COUNT_OF(CASES)];
    char states[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++)
        start(CASES[i].domain, &told[i]);
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        while (told[i].calls == 0)
            loop_turn(loop, 10000);
        shown(&told[i].report, states);
        if (strcmp(states, CASES[i].states) != 0 ||
            told[i].report.status != CASES[i].status ||
            !says(&told[i].report, CASES[i].reason))
            fail_msg("%s: %s %s", CASES[i].domain, states,
                     domain_status_name(told[i].report.status));
    }
    loop_turn(loop, 0);
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        assert_int_equal(told[i].calls, 1);
        arena_destroy(&told[i].arena);
    }
}

/* Turns until so many milliseconds went by without anything to do. */
static void settle(void)
{
    clock_set(-1, -1);
    for (int i = 0; i < 20; i++)
        loop_turn(loop, 5);
}

static void no_check_outlasts_ten_seconds(void **state)
{
    struct told told;
    char states[64];

    (void)state;
    start("late.test", &told);
    settle();
    assert_int_equal(told.calls, 0);
    clock_set(clock_now_ms() + 10001, clock_wall_ms() + 10001);
    while (told.calls == 0)
        loop_turn(loop, 1000);
    shown(&told.report, states);
    assert_string_equal(states, "DvDvMvSpdvmpwv");
    assert_true(says(&told.report, "no answer within 10 seconds"));
    arena_destroy(&told.arena);
    clock_set(-1, -1);
}

static const struct domain_finding *mta_sts(const struct domain_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->findings[i].check == DOMAIN_CHECK_MTA_STS)
            return &report->findings[i];
    return NULL;
}

static void a_policy_is_one_more_answer(void **state)
{
    const struct policy_reply reply = {
        .status = 200,
        .why = "",
        .type = S("text/plain"),
        .body = S("version: STSv1\r\nmode: enforce\r\nmax_age: 1\r\n"
                  "mx: mx.relay.test\r\n"),
    };
    struct told told;

    (void)state;
    start("sts.test", &told);
    while (fetches == 0)
        loop_turn(loop, 1000);
    settle();
    assert_int_equal(told.calls, 0);
    fetched(fetched_ctx, &reply);
    assert_int_equal(told.calls, 0); /* never inside the call */
    while (told.calls == 0)
        loop_turn(loop, 1000);
    assert_int_equal(mta_sts(&told.report)->state, DOMAIN_VERIFIED);
    assert_true(str_eq(mta_sts(&told.report)->reason, S("")));
    arena_destroy(&told.arena);

    start("sts.test", &told);
    while (fetches == 1)
        loop_turn(loop, 1000);
    clock_set(clock_now_ms() + 10001, clock_wall_ms() + 10001);
    while (told.calls == 0)
        loop_turn(loop, 1000);
    assert_int_equal(mta_sts(&told.report)->state, DOMAIN_TEMPORARY);
    assert_int_equal(cancelled_fetches, 1);
    arena_destroy(&told.arena);
    clock_set(-1, -1);
}

static void cancelled_checks_are_never_told(void **state)
{
    struct told cancelled;
    struct told other;
    struct told told;
    struct domain_run *run;

    (void)state;
    run = start("good.test", &cancelled);
    domain_check_cancel(&run);
    assert_null(run);
    domain_check_cancel(&run);
    arena_destroy(&cancelled.arena);
    run = start("late.test", &other);
    start("good.test", &told);
    told.cancels = run;
    while (told.calls == 0)
        loop_turn(loop, 1000);
    settle();
    assert_int_equal(cancelled.calls + other.calls, 0);
    arena_destroy(&other.arena);
    arena_destroy(&told.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_are_checked),
        cmocka_unit_test(no_check_outlasts_ten_seconds),
        cmocka_unit_test(a_policy_is_one_more_answer),
        cmocka_unit_test(cancelled_checks_are_never_told),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
