/* What mail of a domain rests on besides: replies, traps, and what good
 * senders publish. */
#include "server/domain/checks.h"
#include "server/domain/dmarc.h"
#include "server/domain/names.h"
#include "server/domain/tags.h"

/* --- replies to From --- */

/* RFC 5321 section 5.1: without MX the domain's own address takes mail. */
static void say_no_mx(struct checks *checks, struct domain_finding *finding)
{
    const struct dns_reply *four =
        answers_get(checks->answers, finding->name, DNS_A);
    const struct dns_reply *six =
        answers_get(checks->answers, finding->name, DNS_AAAA);

    if (four == NULL || six == NULL)
        return;
    if (four->status == DNS_FOUND || six->status == DNS_FOUND)
        checks_warn(checks, finding,
                    "%.*s has no MX record, so replies go to its own address. "
                    "If no mail server listens there, they are lost.",
                    STR_ARG(finding->name));
    else
        checks_say(checks, finding, DOMAIN_FAILED,
                   "%.*s can receive no mail (no MX record and no address): "
                   "replies are lost, and some receivers refuse mail of such "
                   "a domain. Publish an MX record.",
                   STR_ARG(finding->name));
}

static void check_from_mx(struct checks *checks)
{
    struct domain_finding finding = checks_begin(
        DOMAIN_CHECK_FROM_MX, DOMAIN_RECOMMENDED, checks->setup->name, DNS_MX);
    const struct dns_reply *reply = checks_ask(checks, &finding);

    if (reply == NULL)
        return;
    checks_found(checks, &finding, reply);
    if (reply->status != DNS_FOUND)
        say_no_mx(checks, &finding);
    else if (str_eq(reply->records.records[0].data, S(".")))
        checks_say(checks, &finding, DOMAIN_FAILED,
                   "%.*s says that it takes no mail (null MX, RFC 7505): "
                   "replies are lost, and some receivers refuse mail of such "
                   "a domain. Publish an MX record, or send from another "
                   "domain.",
                   STR_ARG(finding.name));
    else
        checks_fine(checks, &finding);
}

/* --- wildcards --- */

/* A name that nobody publishes. */
static void check_wildcard(struct checks *checks)
{
    struct domain_finding finding = checks_begin(
        DOMAIN_CHECK_WILDCARD, DOMAIN_ADVICE,
        name_below(checks->arena, S("posthaste-asks-for-no-such-name"),
                   checks->setup->name),
        DNS_TXT);
    const struct dns_reply *reply = checks_ask(checks, &finding);

    if (reply == NULL)
        return;
    checks_found(checks, &finding, reply);
    if (reply->status == DNS_FOUND)
        checks_say(checks, &finding, DOMAIN_FAILED,
                   "A wildcard record (*) answers for every name below %.*s, "
                   "so records for DKIM, DMARC and others seem to be where "
                   "none are. Delete it, if nothing needs it.",
                   STR_ARG(checks->setup->name));
    else
        checks_fine(checks, &finding);
}

/* --- records of one version tag --- */

bool checks_read_tags(struct checks *checks, struct domain_finding *finding,
                      const char *version, const char *use, struct tags *tags)
{
    const struct dns_reply *reply = checks_ask(checks, finding);
    struct str text = {0};
    size_t count = 0;

    if (reply == NULL)
        return false;
    for (size_t i = 0; i < reply->records.count; i++)
        if (tags_claim(reply->records.records[i].data, version) && count++ == 0)
            text = reply->records.records[i].data;
    checks_found_text(checks, finding, text);
    if (count == 0)
        checks_say(checks, finding, DOMAIN_NOT_STARTED, "Not in use. %s", use);
    else if (count > 1)
        checks_say(checks, finding, DOMAIN_FAILED,
                   "There are several records v=%s at %.*s, so none counts. "
                   "Keep one of them.",
                   version, STR_ARG(finding->name));
    else if (!tags_read(text, tags))
        checks_say(checks, finding, DOMAIN_FAILED,
                   "The record at %.*s cannot be read at \"%.*s\".",
                   STR_ARG(finding->name), STR_ARG(tags->bad));
    else
        return true;
    return false;
}

struct domain_finding checks_begin_below(struct checks *checks,
                                         enum domain_check check,
                                         struct str label)
{
    return checks_begin(check, DOMAIN_ADVICE,
                        name_below(checks->arena, label, checks->setup->name),
                        DNS_TXT);
}

static void check_tls_rpt(struct checks *checks)
{
    struct domain_finding finding =
        checks_begin_below(checks, DOMAIN_CHECK_TLS_RPT, S("_smtp._tls"));
    const struct str *reports;
    struct tags tags;

    if (!checks_read_tags(
            checks, &finding, "TLSRPTv1",
            "TLS-RPT brings reports about TLS of mail to this domain.", &tags))
        return;
    reports = tags_get(&tags, "rua");
    if (reports == NULL || (!str_starts_nocase(*reports, S("mailto:")) &&
                            !str_starts_nocase(*reports, S("https:"))))
        checks_say(checks, &finding, DOMAIN_FAILED,
                   "rua= is missing or neither mailto: nor https:, so no "
                   "reports come.");
    else
        checks_fine(checks, &finding);
}

static bool is_enforced(const struct dmarc_result *dmarc)
{
    const struct dmarc_record *record = &dmarc->record;
    enum dmarc_policy policy =
        dmarc->is_inherited ? record->sub_policy : record->policy;

    return dmarc->outcome == DMARC_GOOD && policy != DMARC_POLICY_NONE &&
           record->sub_policy != DMARC_POLICY_NONE && record->percent == 100 &&
           !record->is_testing;
}

static void judge_logo(struct checks *checks, struct domain_finding *finding,
                       const struct str *logo)
{
    if (logo == NULL ||
        (logo->len > 0 && !str_starts_nocase(*logo, S("https://"))))
        checks_say(checks, finding, DOMAIN_FAILED,
                   "l= is missing or not an https:// address of an SVG file.");
    else if (logo->len == 0)
        checks_say(checks, finding, DOMAIN_NOT_STARTED,
                   "l= is empty, which says that no logo is to be shown.");
    else
        checks_fine(checks, finding);
}

static void check_bimi(struct checks *checks)
{
    struct domain_finding finding =
        checks_begin_below(checks, DOMAIN_CHECK_BIMI, S("default._bimi"));
    struct dmarc_result dmarc;
    struct tags tags;

    if (!checks_read_tags(
            checks, &finding, "BIMI1",
            "BIMI shows your logo beside your mail, where DMARC is "
            "enforced (p=quarantine or p=reject).",
            &tags))
        return;
    dmarc = dmarc_find(checks->answers, checks->arena, checks->setup->name);
    if (dmarc.outcome == DMARC_UNKNOWN)
        return;
    if (!is_enforced(&dmarc))
        checks_say(checks, &finding, DOMAIN_FAILED,
                   "The logo is not shown, since DMARC is not enforced: it "
                   "needs p=quarantine or p=reject, for all mail.");
    else
        judge_logo(checks, &finding, tags_get(&tags, "l"));
}

void checks_advice(struct checks *checks)
{
    check_from_mx(checks);
    check_wildcard(checks);
    checks_mta_sts(checks);
    check_tls_rpt(checks);
    check_bimi(checks);
}
