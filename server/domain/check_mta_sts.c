/* The record of MTA-STS, the policy that it tells of, and whether mail to the
 * domain is deliverable by it. */
#include "server/domain/checks.h"
#include "server/domain/names.h"
#include "server/domain/sts_policy.h"
#include "server/domain/tags.h"

enum { FOUND_MAX = 4 * DOMAIN_TEXT_MAX }; /* before it is cut */

/* RFC 8461 section 3.1: 1 to 32 letters and digits. */
static bool is_id(const struct str *id)
{
    if (id == NULL || id->len == 0 || id->len > 32)
        return false;
    for (size_t i = 0; i < id->len; i++)
        if (!ascii_is_alnum(id->ptr[i]))
            return false;
    return true;
}

/* The record, and the lines of the policy behind it. */
static void show_policy(struct checks *checks, struct domain_finding *finding,
                        struct str policy)
{
    struct buf out;
    struct str line;

    buf_init(&out, FOUND_MAX);
    buf_add(&out, finding->found);
    policy = str_slice(policy, 0, DOMAIN_TEXT_MAX);
    for (const char *between = " | "; str_cut(&policy, '\n', &line);
         between = "; ") {
        if (str_ends(line, S("\r")))
            line.len--;
        if (line.len == 0)
            continue;
        buf_add_cstr(&out, between);
        buf_add(&out, line);
    }
    checks_found_text(checks, finding, buf_str(&out));
    buf_finish(&out);
}

/* --- getting it --- */

static void say_none(struct checks *checks, struct domain_finding *finding,
                     const struct policy_reply *reply, struct str url)
{
    if (reply->is_late)
        checks_failed_for_now(checks, finding, url, str_of(reply->why));
    else
        checks_say(checks, finding, DOMAIN_FAILED,
                   "The policy could not be had from %.*s (%s), so senders do "
                   "not use it. That host needs a certificate for its name "
                   "that everybody trusts.",
                   STR_ARG(url), reply->why);
}

static void say_status(struct checks *checks, struct domain_finding *finding,
                       const struct policy_reply *reply, struct str url)
{
    checks_say(checks, finding, DOMAIN_FAILED,
               "%.*s answers with HTTP %d where 200 is wanted, so senders do "
               "not use the policy.%s",
               STR_ARG(url), reply->status,
               reply->status >= 300 && reply->status < 400
                   ? " They follow no redirect (RFC 8461 section 3.3): the "
                     "policy must be there itself."
                   : "");
}

/* --- reading it --- */

static void say_flaw(struct checks *checks, struct domain_finding *finding,
                     enum sts_flaw flaw, struct str detail)
{
    const enum domain_state failed = DOMAIN_FAILED;

    switch (flaw) {
    case STS_GOOD:
        break;
    case STS_BAD_LINE:
        checks_say(checks, finding, failed,
                   "The policy cannot be read at \"%.*s\": each line is a "
                   "name, a colon and a value.",
                   STR_ARG(detail));
        break;
    case STS_NO_VERSION:
        checks_say(checks, finding, failed,
                   "The policy has no line \"version: STSv1\", so senders do "
                   "not use it.");
        break;
    case STS_NO_MODE:
        checks_say(checks, finding, failed,
                   "The policy has no mode of enforce, testing or none, so "
                   "senders do not use it.");
        break;
    case STS_NO_MAX_AGE:
        checks_say(checks, finding, failed,
                   "The policy has no max_age of 0 to 31557600 seconds, so "
                   "senders do not use it.");
        break;
    case STS_BAD_MX:
        checks_say(checks, finding, failed,
                   "mx: %.*s in the policy is not the name of a host, with "
                   "*. before it or not.",
                   STR_ARG(detail));
        break;
    case STS_NO_MX:
        checks_say(checks, finding, failed,
                   "The policy names no mx, so no host may take mail for the "
                   "domain.");
        break;
    }
}

/* RFC 8461 section 3.3. */
static bool is_plain_text(struct str type)
{
    struct str bare;

    if (!str_cut(&type, ';', &bare))
        return false;
    while (str_ends(bare, S(" ")))
        bare.len--;
    return str_eq_nocase(bare, S("text/plain"));
}

/* What can be said of a policy that lets all mail through. */
static void say_mode(struct checks *checks, struct domain_finding *finding,
                     const struct sts_policy *policy, struct str type)
{
    if (!is_plain_text(type))
        checks_warn(checks, finding,
                    "The policy comes as \"%.*s\" and not as text/plain, so "
                    "some senders do not use it.",
                    STR_ARG(type));
    else if (policy->mode == STS_TESTING)
        checks_warn(checks, finding,
                    "The mode is testing: senders report what fails (with "
                    "TLS-RPT) and deliver nevertheless. With enforce they "
                    "would not.");
    else if (policy->mode == STS_NONE)
        checks_warn(checks, finding,
                    "The mode is none, which says that the domain has no "
                    "policy.");
    else
        checks_fine(checks, finding);
}

static void say_uncovered(struct checks *checks, struct domain_finding *finding,
                          const struct sts_policy *policy, struct str host)
{
    if (policy->mode == STS_ENFORCE)
        checks_say(checks, finding, DOMAIN_FAILED,
                   "%.*s takes mail for the domain (MX), but no mx of the "
                   "policy allows it, so senders do not deliver there. Add it "
                   "to the policy, and give the record another id=.",
                   STR_ARG(host));
    else
        checks_warn(checks, finding,
                    "%.*s takes mail for the domain (MX), but no mx of the "
                    "policy allows it: with the mode enforce senders would "
                    "not deliver there.",
                    STR_ARG(host));
}

/* A domain without MX is its own (RFC 5321 section 5.1). */
static void judge_hosts(struct checks *checks, struct domain_finding *finding,
                        const struct sts_policy *policy, struct str type)
{
    struct str name = checks->setup->name;
    const struct dns_reply *mx = answers_get(checks->answers, name, DNS_MX);
    const struct dns_record own = {.data = name};
    const struct dns_records hosts = {.records = &own, .count = 1};
    const struct dns_records *all = &hosts;

    if (mx == NULL)
        return;
    if (mx->status == DNS_FAILED) {
        checks_failed_for_now(checks, finding, name, str_of(mx->reason));
        return;
    }
    if (mx->status == DNS_FOUND)
        all = &mx->records;
    for (size_t i = 0; i < all->count; i++) {
        struct str host = all->records[i].data;

        if (policy->mode == STS_NONE || str_eq(host, S(".")) ||
            sts_policy_allows(policy, host))
            continue;
        say_uncovered(checks, finding, policy, host);
        return;
    }
    say_mode(checks, finding, policy, type);
}

static void judge_policy(struct checks *checks, struct domain_finding *finding)
{
    const struct policy_reply *reply =
        answers_get_policy(checks->answers, checks->setup->name);
    struct str url = policy_url(checks->arena, checks->setup->name);
    struct sts_policy policy;
    enum sts_flaw flaw;

    if (reply == NULL)
        return;
    if (reply->status == 0) {
        say_none(checks, finding, reply, url);
        return;
    }
    if (reply->status != 200) {
        say_status(checks, finding, reply, url);
        return;
    }
    show_policy(checks, finding, reply->body);
    flaw = sts_policy_read(reply->body, &policy);
    if (reply->is_cut)
        checks_say(checks, finding, DOMAIN_FAILED,
                   "The policy is longer than 64 KiB, so senders do not use "
                   "it.");
    else if (flaw != STS_GOOD)
        say_flaw(checks, finding, flaw, policy.detail);
    else
        judge_hosts(checks, finding, &policy, reply->type);
}

void checks_mta_sts(struct checks *checks)
{
    struct domain_finding finding =
        checks_begin_below(checks, DOMAIN_CHECK_MTA_STS, S("_mta-sts"));
    struct tags tags;

    if (!checks_read_tags(checks, &finding, "STSv1",
                          "MTA-STS has mail to this domain sent over verified "
                          "TLS.",
                          &tags))
        return;
    if (is_id(tags_get(&tags, "id")))
        judge_policy(checks, &finding);
    else
        checks_say(checks, &finding, DOMAIN_FAILED,
                   "id= is missing or not made of 1 to 32 letters and digits, "
                   "so senders do not use the policy.");
}
