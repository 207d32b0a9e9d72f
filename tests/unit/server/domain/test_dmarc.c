#include "server/domain/dmarc.h"

#include "check_cmocka.h"
#include "zone.h"

/* p sp pct, t for testing, s s for strict DKIM and SPF, psd. */
static const struct {
    const char *text;
    const char *read; /* or the part that is bad */
    bool is_good;
} RECORDS[] = {
    {"v=DMARC1; p=none", "none none 100 u", true},
    {"v=DMARC1;p=none;", "none none 100 u", true},
    {" v = DMARC1 ; p = Reject ; sp=quarantine", "reject quarantine 100 u",
     true},
    {"v=DMARC1; p=quarantine; pct=20; adkim=s; aspf=S",
     "quarantine quarantine 20 u d s", true},
    {"v=DMARC1; p=reject; t=y; psd=n; np=reject", "reject reject 100 n t",
     true},
    {"v=DMARC1; p=none; rua=mailto:a@x.test, mailto:b@y.test!10m; "
     "ruf=mailto:c@x.test",
     "none none 100 u x.test y.test", true},
    {"v=DMARC1; p=none; rua=https://x.test/r", "none none 100 u", true},
    {"v=DMARC1; p=none; fo=1; rf=afrf; ri=3600; new=thing", "none none 100 u",
     true},

    {"v=DMARC1", "no p=", false},
    {"v=DMARC1; sp=none", "no p=", false},
    {"v=DMARC1; p=block", "p=block", false},
    {"v=DMARC1; p=", "p=", false},
    {"v=DMARC1; p= ; sp=none", "p=", false},
    {"v=DMARC1; p=none; sp=all", "sp=all", false},
    {"v=DMARC1; p=none; np=x", "np=x", false},
    {"v=DMARC1; p=none; pct=101", "pct=101", false},
    {"v=DMARC1; p=none; pct=many", "pct=many", false},
    {"v=DMARC1; p=none; adkim=strict", "adkim=strict", false},
    {"v=DMARC1; p=none; aspf=x", "aspf=x", false},
    {"v=DMARC1; p=none; t=x", "t=x", false},
    {"v=DMARC1; p=none; psd=x", "psd=x", false},
    {"v=DMARC1; p=none; rua=a@x.test", "rua=a@x.test", false},
    {"v=DMARC1; p=none; rua=mailto:nobody", "rua=mailto:nobody", false},
    {"v=DMARC1; p=none; ruf=mailto:a@b..c", "ruf=mailto:a@b..c", false},
    {"v=DMARC1; p=none; p=reject", "p=reject", false},
    {"v=DMARC1; p=none p=reject", "p=none p=reject", false},
    {"v=DMARC1; none", "none", false},
};

static struct str shown(const struct dmarc_record *record, struct arena *arena)
{
    struct str text = arena_printf(
        arena, "%s %s %u %c%s%s%s", dmarc_policy_name(record->policy),
        dmarc_policy_name(record->sub_policy), record->percent, record->psd,
        record->is_testing ? " t" : "", record->is_strict_dkim ? " d" : "",
        record->is_strict_spf ? " s" : "");

    for (size_t i = 0; i < record->report_count; i++)
        text = arena_printf(arena, "%.*s %.*s", STR_ARG(text),
                            STR_ARG(record->reports[i]));
    return text;
}

static void records_are_read_or_the_part_is_named(void **state)
{
    struct arena *arena = arena_create();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(RECORDS); i++) {
        struct dmarc_record record;
        struct str bad = {0};
        bool is_good = dmarc_read(str_of(RECORDS[i].text), &record, &bad);
        struct str got = is_good ? shown(&record, arena) : bad;

        assert_true(dmarc_is_record(str_of(RECORDS[i].text)));
        if (is_good != RECORDS[i].is_good ||
            !str_eq(got, str_of(RECORDS[i].read)))
            fail_msg("%s: %s '%.*s'", RECORDS[i].text, is_good ? "good" : "bad",
                     STR_ARG(got));
    }
    arena_destroy(&arena);
}

static void others_are_no_records(void **state)
{
    static const char *const OTHERS[] = {
        "",       "v=DMARC",        "v=DMARC10; p=none", "v=dmarc1; p=none",
        "p=none", "DMARC1; p=none", "v=spf1 -all",       "p=none; v=DMARC1",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(OTHERS); i++)
        assert_false(dmarc_is_record(str_of(OTHERS[i])));
}

#define LINE(name, text) "_dmarc." name " TXT v=DMARC1; " text

static const struct {
    const char *name;
    const char *domain;
    const char *zone[6];
    enum dmarc_outcome outcome;
    const char *at;
    const char *org;
    bool is_inherited;
} WALKS[] = {
    {"its own",
     "example.test",
     {LINE("example.test", "p=none")},
     DMARC_GOOD,
     "_dmarc.example.test",
     "example.test",
     false},
    {"that of the organization",
     "a.b.example.test",
     {LINE("example.test", "p=none")},
     DMARC_GOOD,
     "_dmarc.example.test",
     "example.test",
     true},
    {"its own before that of the organization",
     "a.example.test",
     {LINE("a.example.test", "p=none"), LINE("example.test", "p=reject")},
     DMARC_GOOD,
     "_dmarc.a.example.test",
     "example.test",
     false},
    {"the highest is the organization's",
     "a.b.example.test",
     {LINE("b.example.test", "p=none"), LINE("example.test", "p=reject")},
     DMARC_GOOD,
     "_dmarc.example.test",
     "example.test",
     true},
    {"psd=n ends the walk",
     "a.b.example.test",
     {LINE("b.example.test", "p=none; psd=n"),
      LINE("example.test", "p=reject")},
     DMARC_GOOD,
     "_dmarc.b.example.test",
     "b.example.test",
     true},
    {"psd=y: the name below",
     "a.example.co.test",
     {LINE("co.test", "p=reject; psd=y"), LINE("example.co.test", "p=none")},
     DMARC_GOOD,
     "_dmarc.example.co.test",
     "example.co.test",
     true},
    {"psd=y alone counts for those below",
     "a.example.co.test",
     {LINE("co.test", "p=reject; psd=y")},
     DMARC_GOOD,
     "_dmarc.co.test",
     "example.co.test",
     true},
    {"none",
     "a.example.test",
     {NULL},
     DMARC_NONE,
     "_dmarc.a.example.test",
     "a.example.test",
     false},
    {"two are none",
     "example.test",
     {LINE("example.test", "p=none"), LINE("example.test", "p=reject")},
     DMARC_SEVERAL,
     "_dmarc.example.test",
     "example.test",
     false},
    {"others beside it do not count",
     "example.test",
     {LINE("example.test", "p=none"), "_dmarc.example.test TXT hello"},
     DMARC_GOOD,
     "_dmarc.example.test",
     "example.test",
     false},
    {"a bad one of its own is not passed by",
     "a.example.test",
     {LINE("a.example.test", "p=bad"), LINE("example.test", "p=none")},
     DMARC_MALFORMED,
     "_dmarc.a.example.test",
     "example.test",
     false},
    {"no answer",
     "example.test",
     {"_dmarc.example.test FAIL"},
     DMARC_FAILED,
     "_dmarc.example.test",
     "",
     false},
    {"no answer above",
     "a.example.test",
     {"_dmarc.example.test FAIL"},
     DMARC_FAILED,
     "_dmarc.example.test",
     "",
     false},
    {"long names go down to seven labels",
     "a.b.c.d.e.f.g.h.example.test",
     {LINE("c.d.e.f.g.h.example.test", "p=reject"),
      LINE("d.e.f.g.h.example.test", "p=none")},
     DMARC_GOOD,
     "_dmarc.d.e.f.g.h.example.test",
     "d.e.f.g.h.example.test",
     true},
};

static void the_record_that_counts_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(WALKS); i++) {
        struct arena *arena = arena_create();
        struct answers *answers = answers_create();
        struct dmarc_result got;
        size_t asked = 0;
        size_t more;

        do {
            got = dmarc_find(answers, arena, str_of(WALKS[i].domain));
            more = zone_answer_all(WALKS[i].zone, answers);
            asked += more;
        } while (more > 0);
        if (got.outcome != WALKS[i].outcome ||
            !str_eq(got.at, str_of(WALKS[i].at)) ||
            !str_eq(got.org, str_of(WALKS[i].org)) ||
            got.is_inherited != WALKS[i].is_inherited)
            fail_msg("%s: outcome %u at %.*s of %.*s", WALKS[i].name,
                     got.outcome, STR_ARG(got.at), STR_ARG(got.org));
        assert_true(asked <= DMARC_WALK_MAX);
        answers_destroy(&answers);
        arena_destroy(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_or_the_part_is_named),
        cmocka_unit_test(others_are_no_records),
        cmocka_unit_test(the_record_that_counts_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
