/* Records that strangers publish. The input is lines: each look-up of a check
 * is answered by the next one, again and again, so that it stands for a key, a
 * policy, an include or a host. Whatever they say, a check ends within its
 * look-ups, and what it says is bounded, clean, and read again as written. */
#include "server/base/codec.h"
#include "server/base/mem.h"
#include "server/domain/answers.h"
#include "server/domain/checks.h"
#include "server/domain/dkim_record.h"
#include "server/domain/dmarc.h"
#include "server/domain/judge.h"
#include "server/domain/spf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ED25519 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
static const struct domain_key KEYS[] = {
    {STR("r1"), DKIM_RSA, STR("MIGfMA0GCSqGSIb3DQEB"), DOMAIN_KEY_SIGNS},
    {STR("e1"), DKIM_ED25519, STR(ED25519), DOMAIN_KEY_SIGNS},
    {STR("r0"), DKIM_RSA, STR("MIGfMA0GCSqGSIb3DQEB"), DOMAIN_KEY_PAST},
};
static const struct str ADDRESSES[] = {STR("192.0.2.1"), STR("2001:db8::1")};
static const struct str ZONES[] = {STR("bl.test")};
static const struct domain_setup SETUP = {
    .name = STR("mail.example.test"),
    .return_path = STR("send"),
    .keys = KEYS,
    .key_count = COUNT_OF(KEYS),
    .spf_include = STR("spf.relay.test"),
    .bounce_mx = STR("bounce.relay.test"),
    .addresses = ADDRESSES,
    .address_count = COUNT_OF(ADDRESSES),
    .zones = ZONES,
    .zone_count = COUNT_OF(ZONES),
};

/* "!" fails, an empty line is not there, "a TAB b" is two records. */
static void answer(struct answers *answers, const char *name,
                   enum dns_type type, struct str line)
{
    struct dns_record records[DNS_RECORDS_MAX];
    struct dns_reply reply = {
        .status = DNS_FOUND, .reason = "", .records = {.records = records}};
    struct str rest = line;
    struct str piece;

    while (reply.records.count < DNS_RECORDS_MAX &&
           str_cut(&rest, '\t', &piece))
        records[reply.records.count++] = (struct dns_record){piece, 10};
    if (line.len == 0)
        reply.status = DNS_NOT_FOUND;
    if (str_eq(line, S("!"))) {
        reply.status = DNS_FAILED;
        reply.records.count = 0;
    }
    answers_put(answers, name, type, &reply);
}

/* As above; else the line is a policy, with TABs for the ends of its lines. */
static void answer_policy(struct answers *answers, struct str line)
{
    char *body = xmemdup0(line.ptr, line.len);
    struct policy_reply reply = {
        .why = "", .status = 200, .type = S("text/plain")};

    for (size_t i = 0; i < line.len; i++)
        if (body[i] == '\t')
            body[i] = '\n';
    reply.body = str_make(body, line.len);
    if (line.len == 0 || str_eq(line, S("!")))
        reply = (struct policy_reply){.why = "none"};
    answers_put_policy(answers, &reply);
    free(body);
}

static void check_text(struct str text)
{
    CHECK(text.len <= DOMAIN_TEXT_MAX && utf8_is_valid(text) &&
          !str_has_control(text));
}

static void check_report(struct domain_report *report, struct arena *arena)
{
    struct domain_report *past = ARENA_NEW(arena, struct domain_report);
    const struct domain_past since = {0};
    struct buf text;
    struct buf again;

    CHECK(report->count > 0 && report->count <= DOMAIN_FINDINGS_MAX);
    for (size_t i = 0; i < report->count; i++) {
        check_text(report->findings[i].found);
        check_text(report->findings[i].wanted);
        check_text(report->findings[i].reason);
    }
    judge(report, past, &since, 1);
    buf_init(&text, DOMAIN_REPORT_MAX);
    buf_init(&again, DOMAIN_REPORT_MAX);
    domain_report_write(report, &text);
    CHECK(!text.full);
    domain_report_read(buf_str(&text), arena, past);
    domain_report_write(past, &again);
    CHECK(str_eq(buf_str(&text), buf_str(&again)));
    buf_finish(&text);
    buf_finish(&again);
}

static struct str next_line(struct str *rest, struct str input)
{
    struct str line;

    if (str_cut(rest, '\n', &line))
        return line;
    *rest = input;
    return S("");
}

static void run(struct str input)
{
    struct answers *answers = answers_create();
    struct arena *arena = arena_create();
    struct domain_report *report = ARENA_NEW(arena, struct domain_report);
    struct str rest = input;
    struct str line;
    const char *name;
    enum dns_type type;
    size_t asked = 0;
    bool is_missing;

    do {
        checks_run(&SETUP, answers, arena, report);
        is_missing = answers_are_missing(answers);
        if (answers_take_policy(answers, &line))
            answer_policy(answers, next_line(&rest, input));
        while (answers_take_wanted(answers, &name, &type)) {
            answer(answers, name, type, next_line(&rest, input));
            CHECK(++asked <= ANSWERS_MAX);
        }
    } while (is_missing);
    check_report(report, arena);
    arena_destroy(&arena);
    answers_destroy(&answers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size);
    struct dmarc_record record;
    struct str bad;

    (void)dkim_record_read(text, &KEYS[0]);
    if (!dmarc_read(text, &record, &bad))
        CHECK(bad.len > 0);
    CHECK(record.report_count <= DMARC_URIS_MAX);
    run(text);
    return 0;
}
