#include "server/domain/judge.h"

#include "server/domain/names.h"

#define MINUTE_MS (INT64_C(60) * 1000)
#define HOUR_MS   (60 * MINUTE_MS)

/* For so long a domain waits for its records, and a record that was seen
 * outlasts a DNS that does not answer. */
#define PATIENCE_MS (72 * HOUR_MS)
/* What is settled is looked at once a day. */
#define DAILY_MS (24 * HOUR_MS)

enum {
    MISSES_MAX = 2 /* one answer may come of a server that is being changed */
};

/* 72 hours are over after 27 of them. */
static const int64_t DELAYS_MS[] = {
    MINUTE_MS,      MINUTE_MS,      2 * MINUTE_MS,  5 * MINUTE_MS,
    10 * MINUTE_MS, 15 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS,
    HOUR_MS,        2 * HOUR_MS,    3 * HOUR_MS,    4 * HOUR_MS,
};

static const struct domain_finding *find(const struct domain_report *past,
                                         const struct domain_finding *finding)
{
    for (size_t i = 0; i < past->count; i++) {
        const struct domain_finding *before = &past->findings[i];

        if (before->check == finding->check &&
            name_eq(before->name, finding->name) &&
            str_eq(before->wanted, finding->wanted))
            return before;
    }
    return NULL;
}

/* It was never seen: it is waited for, as long as that makes sense. */
static enum domain_state never_seen(const struct domain_finding *finding,
                                    bool is_waiting)
{
    if (finding->weight == DOMAIN_ADVICE)
        return finding->state;
    return is_waiting ? DOMAIN_PENDING : DOMAIN_FAILED;
}

/* It was seen once. */
static enum domain_state seen(const struct domain_finding *finding,
                              const struct domain_finding *before,
                              int64_t now_ms)
{
    if (before->state == DOMAIN_FAILED || finding->misses >= MISSES_MAX)
        return DOMAIN_FAILED;
    return now_ms - finding->verified_ms < PATIENCE_MS ? DOMAIN_TEMPORARY
                                                       : DOMAIN_FAILED;
}

static void judge_finding(struct domain_finding *finding,
                          const struct domain_finding *before, bool is_waiting,
                          int64_t now_ms)
{
    static const struct domain_finding NEVER = {.state = DOMAIN_NOT_STARTED};

    if (before == NULL)
        before = &NEVER;
    finding->verified_ms = before->verified_ms;
    finding->misses = before->misses;
    if (finding->state == DOMAIN_VERIFIED) {
        finding->verified_ms = now_ms;
        finding->misses = 0;
    } else if (finding->state != DOMAIN_NOT_STARTED) {
        if (finding->state == DOMAIN_FAILED)
            finding->misses++;
        finding->state = finding->verified_ms == 0
                             ? never_seen(finding, is_waiting)
                             : seen(finding, before, now_ms);
    }
    finding->since_ms = before->state == finding->state && before->since_ms > 0
                            ? before->since_ms
                            : now_ms;
}

/* --- the domain --- */

struct tally {
    unsigned good; /* seen, or seen lately */
    unsigned pending;
    unsigned failed;
};

static void count(struct tally *tally, enum domain_state state)
{
    if (state == DOMAIN_VERIFIED || state == DOMAIN_TEMPORARY)
        tally->good++;
    else if (state == DOMAIN_FAILED)
        tally->failed++;
    else
        tally->pending++;
}

/* DKIM decides, and of its keys RSA: Ed25519 is not verified everywhere. */
static bool decides(const struct domain_finding *finding)
{
    return finding->check == DOMAIN_CHECK_DKIM &&
           str_contains(finding->wanted, S("k=rsa;"));
}

static enum domain_status status_of(const struct domain_report *report)
{
    struct tally deciding = {0};
    struct tally others = {0};

    for (size_t i = 0; i < report->count; i++) {
        const struct domain_finding *finding = &report->findings[i];

        if (finding->weight == DOMAIN_REQUIRED)
            count(decides(finding) ? &deciding : &others, finding->state);
    }
    if (deciding.failed > 0)
        return DOMAIN_STATUS_FAILED;
    if (deciding.pending > 0 || deciding.good == 0)
        return DOMAIN_STATUS_PENDING;
    if (others.failed > 0)
        return DOMAIN_STATUS_PARTIALLY_FAILED;
    return others.pending > 0 ? DOMAIN_STATUS_PARTIALLY_VERIFIED
                              : DOMAIN_STATUS_VERIFIED;
}

bool domain_may_send(enum domain_status status)
{
    return status == DOMAIN_STATUS_VERIFIED ||
           status == DOMAIN_STATUS_PARTIALLY_VERIFIED ||
           status == DOMAIN_STATUS_PARTIALLY_FAILED;
}

/* Advice is waited for by nobody. */
static bool is_unsettled(const struct domain_finding *finding)
{
    return finding->weight != DOMAIN_ADVICE &&
           finding->state != DOMAIN_VERIFIED;
}

static int64_t delay_ms(unsigned checks)
{
    size_t last = COUNT_OF(DELAYS_MS) - 1;

    return DELAYS_MS[checks < last ? checks : last];
}

static void plan(struct domain_report *report, bool has_unsettled)
{
    bool is_waiting = report->checked_ms - report->since_ms < PATIENCE_MS;

    report->next_ms =
        report->checked_ms +
        (has_unsettled && is_waiting ? delay_ms(report->checks) : DAILY_MS);
    report->checks = has_unsettled ? report->checks + 1 : 0;
}

void judge(struct domain_report *report, const struct domain_report *past,
           const struct domain_past *since, int64_t now_ms)
{
    bool is_waiting = now_ms - since->since_ms < PATIENCE_MS;
    bool has_unsettled = false;

    report->checked_ms = now_ms;
    report->since_ms = since->since_ms;
    report->checks = since->checks;
    for (size_t i = 0; i < report->count; i++) {
        struct domain_finding *finding = &report->findings[i];
        const struct domain_finding *before = find(past, finding);

        judge_finding(finding, before, is_waiting, now_ms);
        if (!is_unsettled(finding))
            continue;
        has_unsettled = true;
        if (before == NULL || before->state != DOMAIN_VERIFIED)
            continue;
        report->since_ms = now_ms; /* it broke: look often again */
        report->checks = 0;
    }
    report->status = status_of(report);
    plan(report, has_unsettled);
}
