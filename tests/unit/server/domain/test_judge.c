#include "server/domain/judge.h"

#include "check_cmocka.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define BEGIN  INT64_C(1795000000000)

/* A domain with both keys and a return path, checked again and again. */
struct life {
    struct arena *arena;
    struct domain_report report;
    int64_t now_ms;
};

static void begin(struct life *life)
{
    *life = (struct life){
        .arena = arena_create(),
        .report = {.since_ms = BEGIN},
        .now_ms = BEGIN,
    };
}

static void add(struct domain_report *report, enum domain_check check,
                enum domain_weight weight, const char *name, const char *wanted,
                char raw)
{
    static const char LETTERS[] = "-.VFT";

    report->findings[report->count++] = (struct domain_finding){
        .check = check,
        .weight = weight,
        .name = str_of(name),
        .type = S("TXT"),
        .wanted = str_of(wanted),
        .state = (enum domain_state)(strchr(LETTERS, raw) - LETTERS),
    };
}

/* raw: V verified, F failed, T for now, - not in use: of RSA, Ed25519, SPF,
 * DMARC, MTA-STS. The past goes through its text. */
static void check(struct life *life, int64_t later_ms, const char *raw)
{
    struct domain_report past;
    struct domain_past since = {.since_ms = life->report.since_ms,
                                .checks = life->report.checks};
    struct buf text;

    buf_init(&text, DOMAIN_REPORT_MAX);
    domain_report_write(&life->report, &text);
    domain_report_read(buf_str(&text), life->arena, &past);
    buf_finish(&text);
    life->now_ms += later_ms;
    life->report = (struct domain_report){0};
    add(&life->report, DOMAIN_CHECK_DKIM, DOMAIN_REQUIRED, "r", "k=rsa; p=x",
        raw[0]);
    add(&life->report, DOMAIN_CHECK_DKIM, DOMAIN_REQUIRED, "e",
        "k=ed25519; p=x", raw[1]);
    add(&life->report, DOMAIN_CHECK_RETURN_PATH_SPF, DOMAIN_REQUIRED, "s",
        "spf", raw[2]);
    add(&life->report, DOMAIN_CHECK_DMARC, DOMAIN_RECOMMENDED, "d", "dmarc",
        raw[3]);
    add(&life->report, DOMAIN_CHECK_MTA_STS, DOMAIN_ADVICE, "m", "", raw[4]);
    judge(&life->report, &past, &since, life->now_ms);
}

/* v verified, p pending, f failed, t temporary, - not started. */
static void expect(const struct life *life, const char *states,
                   enum domain_status status, int64_t next_ms)
{
    static const char LETTERS[] = "-pvft";
    char got[DOMAIN_FINDINGS_MAX + 1] = "";

    for (size_t i = 0; i < life->report.count; i++)
        got[i] = LETTERS[life->report.findings[i].state];
    assert_string_equal(got, states);
    assert_string_equal(domain_status_name(life->report.status),
                        domain_status_name(status));
    assert_int_equal(life->report.next_ms - life->now_ms, next_ms);
}

static void records_are_waited_for(void **state)
{
    struct life life;

    (void)state;
    begin(&life);
    check(&life, 0, "FFFFF");
    expect(&life, "ppppf", DOMAIN_STATUS_PENDING, MINUTE);
    check(&life, MINUTE, "VFFF-");
    expect(&life, "vppp-", DOMAIN_STATUS_PARTIALLY_VERIFIED, MINUTE);
    check(&life, MINUTE, "VVTFV");
    expect(&life, "vvppv", DOMAIN_STATUS_PARTIALLY_VERIFIED, 2 * MINUTE);
    check(&life, MINUTE, "VVVFV");
    expect(&life, "vvvpv", DOMAIN_STATUS_VERIFIED, 5 * MINUTE);
    check(&life, 5 * MINUTE, "VVVV-");
    expect(&life, "vvvv-", DOMAIN_STATUS_VERIFIED, 24 * HOUR);
    assert_int_equal(life.report.checks, 0);
    assert_int_equal(life.report.findings[0].since_ms, BEGIN + MINUTE);
    assert_int_equal(life.report.findings[0].verified_ms, life.now_ms);
    arena_destroy(&life.arena);
}

static void what_never_comes_has_failed(void **state)
{
    struct life life;

    (void)state;
    begin(&life);
    check(&life, 0, "FVVV-");
    for (int i = 0; i < 15; i++)
        check(&life, 4 * HOUR, "FVVV-");
    expect(&life, "pvvv-", DOMAIN_STATUS_PENDING, 4 * HOUR);
    check(&life, 12 * HOUR, "FVVV-");
    expect(&life, "fvvv-", DOMAIN_STATUS_FAILED, 24 * HOUR);
    check(&life, 24 * HOUR, "VVVV-"); /* it is looked for daily */
    expect(&life, "vvvv-", DOMAIN_STATUS_VERIFIED, 24 * HOUR);
    arena_destroy(&life.arena);
}

static void a_silent_dns_is_borne_for_72_hours(void **state)
{
    struct life life;

    (void)state;
    begin(&life);
    check(&life, 0, "VVVV-");
    check(&life, 24 * HOUR, "TTTT-");
    expect(&life, "tttt-", DOMAIN_STATUS_VERIFIED, MINUTE);
    check(&life, MINUTE, "TTTT-");
    expect(&life, "tttt-", DOMAIN_STATUS_VERIFIED, MINUTE);
    check(&life, 46 * HOUR, "TTTT-");
    expect(&life, "tttt-", DOMAIN_STATUS_VERIFIED, 2 * MINUTE);
    check(&life, 2 * HOUR, "TTTT-");
    expect(&life, "ffff-", DOMAIN_STATUS_FAILED, 5 * MINUTE);
    check(&life, 5 * MINUTE, "VVVV-");
    expect(&life, "vvvv-", DOMAIN_STATUS_VERIFIED, 24 * HOUR);
    arena_destroy(&life.arena);
}

/* One answer may come of a name server that is being changed. */
static void what_is_gone_twice_has_failed(void **state)
{
    struct life life;

    (void)state;
    begin(&life);
    check(&life, 0, "VVVV-");
    check(&life, 24 * HOUR, "FVVV-");
    expect(&life, "tvvv-", DOMAIN_STATUS_VERIFIED, MINUTE);
    check(&life, MINUTE, "TVVV-");
    expect(&life, "tvvv-", DOMAIN_STATUS_VERIFIED, MINUTE);
    check(&life, MINUTE, "FVVV-");
    expect(&life, "fvvv-", DOMAIN_STATUS_FAILED, 2 * MINUTE);
    check(&life, MINUTE, "TVVV-");
    expect(&life, "fvvv-", DOMAIN_STATUS_FAILED, 5 * MINUTE);
    check(&life, MINUTE, "VVVV-");
    check(&life, 24 * HOUR, "FVVV-");
    check(&life, MINUTE, "VVVV-");
    expect(&life, "vvvv-", DOMAIN_STATUS_VERIFIED, 24 * HOUR);
    arena_destroy(&life.arena);
}

static void others_than_rsa_fail_in_part(void **state)
{
    struct life life;

    (void)state;
    begin(&life);
    check(&life, 0, "VVVV-");
    check(&life, HOUR, "VFFF-");
    check(&life, HOUR, "VFFF-");
    expect(&life, "vfff-", DOMAIN_STATUS_PARTIALLY_FAILED, MINUTE);
    assert_true(domain_may_send(life.report.status));
    assert_true(domain_may_send(DOMAIN_STATUS_VERIFIED));
    assert_true(domain_may_send(DOMAIN_STATUS_PARTIALLY_VERIFIED));
    assert_false(domain_may_send(DOMAIN_STATUS_PENDING));
    assert_false(domain_may_send(DOMAIN_STATUS_FAILED));
    assert_false(domain_may_send(DOMAIN_STATUS_NOT_STARTED));
    arena_destroy(&life.arena);
}

static void a_report_is_read_again(void **state)
{
    struct arena *arena = arena_create();
    struct life life;
    struct domain_report again;
    struct buf text;
    struct buf second;
    const struct domain_record record = {.check = DOMAIN_CHECK_DMARC,
                                         .fqdn = S("D.")};

    (void)state;
    begin(&life);
    check(&life, 0, "VFVT-");
    life.report.findings[1].found = S("\"quoted\" \\");
    life.report.findings[1].reason = S("A sentence.");
    life.report.findings[1].warns = true;
    buf_init(&text, DOMAIN_REPORT_MAX);
    buf_init(&second, DOMAIN_REPORT_MAX);
    domain_report_write(&life.report, &text);
    domain_report_read(buf_str(&text), arena, &again);
    domain_report_write(&again, &second);
    assert_string_equal(text.data, second.data);
    assert_int_equal(again.checked_ms, BEGIN);
    assert_ptr_equal(domain_report_find(&again, &record), &again.findings[3]);
    for (size_t len = 0; len < text.len; len++) { /* of anything else: none */
        domain_report_read(str_slice(buf_str(&text), 0, len), arena, &again);
        assert_int_equal(again.count, 0);
        assert_int_equal(again.status, DOMAIN_STATUS_NOT_STARTED);
    }
    buf_finish(&text);
    buf_finish(&second);
    arena_destroy(&life.arena);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_waited_for),
        cmocka_unit_test(what_never_comes_has_failed),
        cmocka_unit_test(a_silent_dns_is_borne_for_72_hours),
        cmocka_unit_test(what_is_gone_twice_has_failed),
        cmocka_unit_test(others_than_rsa_fail_in_part),
        cmocka_unit_test(a_report_is_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
