/* What receivers shall do with mail that passes neither DKIM nor SPF. */
#include "server/domain/checks.h"
#include "server/domain/dmarc.h"
#include "server/domain/names.h"

static void say_outcome(struct checks *checks, struct domain_finding *finding,
                        const struct dmarc_result *dmarc)
{
    enum domain_state failed = DOMAIN_FAILED;

    switch (dmarc->outcome) {
    case DMARC_GOOD:
    case DMARC_UNKNOWN:
        break;
    case DMARC_NONE:
        checks_say(checks, finding, failed,
                   "There is no DMARC record at %.*s, nor at a domain above "
                   "it. Large receivers want one: publish it, p=none is "
                   "enough.",
                   STR_ARG(dmarc->at));
        break;
    case DMARC_SEVERAL:
        checks_say(checks, finding, failed,
                   "There are several DMARC records at %.*s, so receivers use "
                   "none. Keep one of them.",
                   STR_ARG(dmarc->at));
        break;
    case DMARC_MALFORMED:
        checks_say(checks, finding, failed,
                   "The DMARC record at %.*s is not valid (\"%.*s\"), so "
                   "receivers may not use it. Correct that part.",
                   STR_ARG(dmarc->at), STR_ARG(dmarc->detail));
        break;
    case DMARC_FAILED:
        checks_failed_for_now(checks, finding, dmarc->at, dmarc->detail);
        break;
    }
}

/* Whether a foreign domain takes reports of this one (RFC 7489 section 7.1).
 * 1 yes, 0 no, -1 not known. */
static int takes_reports(struct checks *checks,
                         const struct dmarc_result *dmarc, struct str target)
{
    struct str of = str_from(dmarc->at, sizeof "_dmarc." - 1);
    const struct dns_reply *reply =
        answers_get(checks->answers,
                    arena_printf(checks->arena, "%.*s._report._dmarc.%.*s",
                                 STR_ARG(of), STR_ARG(target)),
                    DNS_TXT);

    if (reply == NULL || reply->status == DNS_FAILED)
        return -1;
    for (size_t i = 0; i < reply->records.count; i++)
        if (dmarc_is_record(reply->records.records[i].data))
            return 1;
    return 0;
}

/* The first domain that would not take the reports; empty: none. */
static struct str refusing_target(struct checks *checks,
                                  const struct dmarc_result *dmarc)
{
    const struct dmarc_record *record = &dmarc->record;

    for (size_t i = 0; i < record->report_count; i++)
        if (!name_is_within(record->reports[i], dmarc->org) &&
            takes_reports(checks, dmarc, record->reports[i]) == 0)
            return record->reports[i];
    return S("");
}

static void judge(struct checks *checks, struct domain_finding *finding,
                  const struct dmarc_result *dmarc)
{
    const struct dmarc_record *record = &dmarc->record;
    struct str refusing = refusing_target(checks, dmarc);

    if (refusing.len > 0)
        checks_warn(checks, finding,
                    "Reports of this domain are not sent to %.*s, since it "
                    "does not say that it takes them: it has to publish "
                    "\"v=DMARC1\" at %.*s._report._dmarc.%.*s.",
                    STR_ARG(refusing),
                    STR_ARG(str_from(dmarc->at, sizeof "_dmarc." - 1)),
                    STR_ARG(refusing));
    else if (record->percent < 100)
        checks_warn(checks, finding,
                    "pct=%u is no longer part of DMARC (RFC 9989): receivers "
                    "may apply the policy to all mail. Take it out, or write "
                    "t=y while you test.",
                    record->percent);
    else if (record->is_strict_dkim && dmarc->is_inherited)
        checks_warn(checks, finding,
                    "adkim=s is inherited from %.*s: mail passes only with "
                    "exactly this domain in From, not with one below it.",
                    STR_ARG(dmarc->org));
    else
        checks_fine(checks, finding);
}

void checks_dmarc(struct checks *checks)
{
    struct dmarc_result dmarc =
        dmarc_find(checks->answers, checks->arena, checks->setup->name);
    struct domain_finding finding = checks_begin(
        DOMAIN_CHECK_DMARC, DOMAIN_RECOMMENDED,
        name_below(checks->arena, S("_dmarc"), checks->setup->name), DNS_TXT);

    if (dmarc.outcome == DMARC_UNKNOWN)
        return;
    finding.wanted = S("v=DMARC1; p=none;");
    if (dmarc.is_inherited)
        checks_found_text(checks, &finding,
                          arena_printf(checks->arena, "%.*s: %.*s",
                                       STR_ARG(dmarc.at), STR_ARG(dmarc.text)));
    else
        checks_found_text(checks, &finding, dmarc.text);
    if (dmarc.outcome == DMARC_GOOD)
        judge(checks, &finding, &dmarc);
    else
        say_outcome(checks, &finding, &dmarc);
}
