/* The return path: where bounces go, and who may send in its name. */
#include "server/domain/checks.h"
#include "server/domain/names.h"
#include "server/domain/spf.h"
#include "server/io/address.h"

/* --- MX of the return path --- */

static bool has_host(const struct dns_reply *reply, struct str host)
{
    for (size_t i = 0; i < reply->records.count; i++)
        if (name_eq(reply->records.records[i].data, host))
            return true;
    return false;
}

/* The host of this service: that it can be reached is its operator's
 * business, but the owner's bounces are lost by it. */
static void judge_bounce_host(struct checks *checks,
                              struct domain_finding *finding)
{
    struct str host = checks->setup->bounce_mx;
    const struct dns_reply *four = answers_get(checks->answers, host, DNS_A);
    const struct dns_reply *six = answers_get(checks->answers, host, DNS_AAAA);

    if (four == NULL || six == NULL)
        return;
    if (four->status == DNS_NOT_FOUND && six->status == DNS_NOT_FOUND)
        checks_warn(checks, finding,
                    "The record is right, but its host %.*s has no address: "
                    "tell those who run this service.",
                    STR_ARG(host));
    else
        checks_fine(checks, finding);
}

static void say_no_mx(struct checks *checks, struct domain_finding *finding)
{
    const struct dns_reply *four =
        answers_get(checks->answers, finding->name, DNS_A);

    if (four == NULL)
        return;
    if (four->status == DNS_FOUND)
        checks_say(checks, finding, DOMAIN_FAILED,
                   "There is no MX record at %.*s, so bounces go to its own "
                   "address. Publish the MX record.",
                   STR_ARG(finding->name));
    else
        checks_say(checks, finding, DOMAIN_FAILED,
                   "There is no MX record at %.*s, so bounces cannot come "
                   "back. Publish it; if you just have, it can take until the "
                   "DNS shows it everywhere.",
                   STR_ARG(finding->name));
}

static void check_mx(struct checks *checks, struct str name)
{
    struct domain_finding finding = checks_begin(DOMAIN_CHECK_RETURN_PATH_MX,
                                                 DOMAIN_REQUIRED, name, DNS_MX);
    const struct dns_reply *reply;

    finding.wanted = checks->setup->bounce_mx;
    reply = checks_ask(checks, &finding);
    if (reply == NULL)
        return;
    checks_found(checks, &finding, reply);
    if (reply->status != DNS_FOUND)
        say_no_mx(checks, &finding);
    else if (!has_host(reply, checks->setup->bounce_mx))
        checks_say(checks, &finding, DOMAIN_FAILED,
                   "The MX record of %.*s names another host, so bounces go "
                   "there. Replace it by the one that is wanted.",
                   STR_ARG(name));
    else if (reply->records.count > 1)
        checks_warn(checks, &finding,
                    "Other MX records stand beside the one that is wanted: "
                    "some bounces go there. Delete them.");
    else
        judge_bounce_host(checks, &finding);
}

/* --- SPF --- */

static void say_outcome(struct checks *checks, struct domain_finding *finding,
                        const struct spf_result *spf)
{
    enum domain_state failed = DOMAIN_FAILED;

    switch (spf->outcome) {
    case SPF_GOOD:
    case SPF_UNKNOWN:
        break;
    case SPF_NONE:
        checks_say(checks, finding, failed,
                   "There is no SPF record (v=spf1) at %.*s. Publish it as a "
                   "TXT record; if you just have, it can take until the DNS "
                   "shows it everywhere.",
                   STR_ARG(spf->at));
        break;
    case SPF_SEVERAL:
        checks_say(checks, finding, failed,
                   "There are several SPF records (v=spf1) at %.*s, so "
                   "receivers use none. Put their parts into one record and "
                   "delete the others.",
                   STR_ARG(spf->at));
        break;
    case SPF_MALFORMED:
        checks_say(checks, finding, failed,
                   "The SPF record at %.*s is not valid at \"%.*s\", so "
                   "receivers do not use it. Correct that part.",
                   STR_ARG(spf->at), STR_ARG(spf->detail));
        break;
    case SPF_TOO_MANY:
        checks_say(checks, finding, failed,
                   "The SPF record takes %s%u DNS look-ups and may take %d: "
                   "receivers give up on it. Take out an include that you no "
                   "longer use, or write addresses as ip4: and ip6:.",
                   spf->lookups >= 20 ? "over " : "", spf->lookups,
                   SPF_LOOKUPS_MAX);
        break;
    case SPF_TOO_VOID:
        checks_say(checks, finding, failed,
                   "%u names in the SPF record do not exist (%.*s is one), and "
                   "%d may: receivers give up on it. Take them out.",
                   spf->voids, STR_ARG(spf->at), SPF_VOIDS_MAX);
        break;
    case SPF_TOO_MANY_MX:
        checks_say(checks, finding, failed,
                   "mx in the SPF record leads to more than %d hosts at %.*s: "
                   "receivers give up on it. Write their addresses as ip4: "
                   "and ip6:.",
                   SPF_MX_MAX, STR_ARG(spf->at));
        break;
    case SPF_BAD_INCLUDE:
        checks_say(checks, finding, failed,
                   "The SPF record includes %.*s, which does not have one SPF "
                   "record: receivers give up on it. Correct or take out that "
                   "include.",
                   STR_ARG(spf->at));
        break;
    case SPF_CIRCLE:
        checks_say(checks, finding, failed,
                   "The SPF record of %.*s includes itself: receivers give up "
                   "on it. Take that include out.",
                   STR_ARG(spf->at));
        break;
    case SPF_FAILED:
        checks_failed_for_now(checks, finding, spf->at, spf->detail);
        break;
    }
}

/* Mail comes from these addresses, and its return path is at that name. */
static bool is_return_path(const struct checks *checks, struct str name)
{
    const struct domain_setup *setup = checks->setup;

    return domain_has_return_path(setup) ? !name_eq(name, setup->name)
                                         : setup->bounce_domain.len == 0;
}

/* The addresses that do not pass, in arena. False: that is not known yet. */
static bool find_refused(struct checks *checks, struct str name,
                         struct str *refused)
{
    const struct domain_setup *setup = checks->setup;
    bool is_known = true;

    *refused = S("");
    for (size_t i = 0; i < setup->address_count; i++) {
        struct address client;
        enum spf_verdict verdict;

        CHECK(address_parse(setup->addresses[i], 0, &client));
        verdict = spf_judge(checks->answers, name, &client);
        is_known &= verdict != SPF_WAITS;
        if (verdict == SPF_FAILS)
            *refused = arena_printf(
                checks->arena, "%.*s%s%.*s", STR_ARG(*refused),
                refused->len > 0 ? ", " : "", STR_ARG(setup->addresses[i]));
    }
    return is_known;
}

/* True: all pass, as far as that matters and can be said. */
static bool lets_us_pass(struct checks *checks, struct domain_finding *finding)
{
    struct str refused;

    if (!is_return_path(checks, finding->name))
        return true;
    if (!find_refused(checks, finding->name, &refused))
        return false;
    if (refused.len == 0)
        return true;
    if (finding->wanted.len > 0)
        checks_warn(checks, finding,
                    "The SPF record is as it is wanted, but %.*s, from where "
                    "mail is sent too, does not pass it: tell those who run "
                    "this service.",
                    STR_ARG(refused));
    else
        checks_say(checks, finding, DOMAIN_FAILED,
                   "Mail for you is sent from %.*s, which does not pass the "
                   "SPF record. Add it as ip4: or ip6: before the all at its "
                   "end.",
                   STR_ARG(refused));
    return false;
}

static void say_good(struct checks *checks, struct domain_finding *finding,
                     const struct spf_result *spf)
{
    if (!lets_us_pass(checks, finding))
        return;
    if (spf->is_neutral)
        checks_warn(checks, finding,
                    "The SPF record says nothing of other senders: end it "
                    "with ~all or -all.");
    else if (spf->has_ptr)
        checks_warn(checks, finding,
                    "ptr in the SPF record is out of use (RFC 7208 section "
                    "5.5), and some receivers ignore it. Take it out.");
    else
        checks_fine(checks, finding);
}

/* An alias to a name of ours brings the record of ours. True: it is one, or
 * that is not known yet. */
static bool is_alias_to_us(struct checks *checks, struct str name,
                           bool *is_unknown)
{
    const struct domain_setup *setup = checks->setup;
    const struct dns_reply *reply =
        answers_get(checks->answers, name, DNS_CNAME);
    struct str target;

    *is_unknown = reply == NULL;
    if (reply == NULL || reply->status != DNS_FOUND)
        return false;
    target = reply->records.records[0].data;
    return name_eq(target, setup->spf_include) ||
           name_eq(target, setup->bounce_mx) ||
           name_eq(target, setup->bounce_domain);
}

static void judge_include(struct checks *checks, struct domain_finding *finding,
                          const struct spf_result *spf)
{
    bool is_unknown = false;

    if (spf->includes || is_alias_to_us(checks, finding->name, &is_unknown))
        say_good(checks, finding, spf);
    else if (!is_unknown)
        checks_say(checks, finding, DOMAIN_FAILED,
                   "The SPF record does not include:%.*s, so mail sent for you "
                   "does not pass it. Add that before the all at its end.",
                   STR_ARG(checks->setup->spf_include));
}

/* None is there, and none is demanded. */
static void say_no_record(struct checks *checks, struct domain_finding *finding)
{
    struct str name = finding->name;

    if (is_return_path(checks, name) && checks->setup->address_count > 0)
        checks_say(checks, finding, DOMAIN_NOT_STARTED,
                   "%.*s has no SPF record, so mail for you passes by DKIM "
                   "alone. With the addresses that it is sent from in it, as "
                   "in \"v=spf1 ip4:192.0.2.1 ~all\", it passes SPF too.",
                   STR_ARG(name));
    else
        checks_say(checks, finding, DOMAIN_NOT_STARTED,
                   "%.*s has no SPF record. Mail sent here does not need one; "
                   "if no other server sends for this domain, \"v=spf1 -all\" "
                   "says so.",
                   STR_ARG(name));
}

static void check_spf(struct checks *checks, struct domain_finding *finding,
                      struct str include)
{
    const struct dns_reply *reply = checks_ask(checks, finding);
    struct spf_result spf;
    struct str record;

    if (reply == NULL)
        return;
    spf_records(reply, &record);
    checks_found_text(checks, finding, record);
    spf = spf_walk(checks->answers, finding->name, include);
    if (spf.outcome == SPF_UNKNOWN)
        return;
    if (spf.outcome == SPF_NONE && include.len == 0)
        say_no_record(checks, finding);
    else if (spf.outcome != SPF_GOOD)
        say_outcome(checks, finding, &spf);
    else if (spf.lets_everybody)
        checks_say(checks, finding, DOMAIN_FAILED,
                   "The SPF record lets everybody send in the name of %.*s "
                   "(+all, or the like), which receivers take for spam. End "
                   "it with ~all or -all.",
                   STR_ARG(finding->name));
    else if (include.len > 0)
        judge_include(checks, finding, &spf);
    else
        say_good(checks, finding, &spf);
}

static void check_wanted_spf(struct checks *checks, enum domain_check check,
                             struct str name)
{
    struct domain_finding finding =
        checks_begin(check, DOMAIN_REQUIRED, name, DNS_TXT);

    finding.wanted =
        domain_spf_value(checks->arena, checks->setup->spf_include);
    check_spf(checks, &finding, checks->setup->spf_include);
}

void checks_return_path(struct checks *checks)
{
    const struct domain_setup *setup = checks->setup;
    struct str name =
        name_below(checks->arena, setup->return_path, setup->name);

    if (!domain_has_return_path(setup))
        return;
    check_mx(checks, name);
    if (domain_wants_spf(setup))
        check_wanted_spf(checks, DOMAIN_CHECK_RETURN_PATH_SPF, name);
}

/* The domain's own record: needed only where its addresses are the return
 * paths, but a broken one harms all else that it sends. */
void checks_spf(struct checks *checks)
{
    const struct domain_setup *setup = checks->setup;
    struct domain_finding finding;

    if (domain_wants_spf(setup) && !domain_has_return_path(setup)) {
        check_wanted_spf(checks, DOMAIN_CHECK_SPF, setup->name);
        return;
    }
    finding =
        checks_begin(DOMAIN_CHECK_SPF, DOMAIN_ADVICE, setup->name, DNS_TXT);
    check_spf(checks, &finding, S(""));
}
