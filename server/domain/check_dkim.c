/* The keys that receivers find, and whether they are ours. */
#include "server/domain/checks.h"
#include "server/domain/dkim_record.h"
#include "server/domain/names.h"

/* Panels that put the domain behind every name make "x.example.com" into
 * "x.example.com.example.com". */
static struct str doubled(struct checks *checks, struct str name)
{
    return name_below(checks->arena, name, checks->setup->name);
}

static void say_not_there(struct checks *checks, struct domain_finding *finding,
                          const struct dns_reply *reply, struct str label)
{
    struct str twice = doubled(checks, finding->name);
    const struct dns_reply *elsewhere =
        answers_get(checks->answers, twice, DNS_TXT);

    if (elsewhere == NULL)
        return;
    if (elsewhere->status == DNS_FOUND)
        checks_say(checks, finding, DOMAIN_FAILED,
                   "The record stands at %.*s: your DNS service puts the "
                   "domain behind each name by itself. Enter %.*s as its name.",
                   STR_ARG(twice), STR_ARG(label));
    else if (reply->records.is_alias)
        checks_say(checks, finding, DOMAIN_FAILED,
                   "%.*s is an alias (CNAME) of a name that has no TXT record. "
                   "Publish the TXT record here instead, or at that name.",
                   STR_ARG(finding->name));
    else
        checks_say(checks, finding, DOMAIN_FAILED,
                   "There is no TXT record at %.*s. Publish it; if you just "
                   "have, it can take until the DNS shows it everywhere.",
                   STR_ARG(finding->name));
}

static void say_flaw(struct checks *checks, struct domain_finding *finding,
                     const struct dkim_reading *reading)
{
    struct str detail = reading->detail;
    enum domain_state failed = DOMAIN_FAILED;

    switch (reading->flaw) {
    case DKIM_GOOD:
        break;
    case DKIM_NOT_A_KEY:
        checks_say(checks, finding, failed,
                   "What stands there is not a DKIM key. If you did not put it "
                   "there, a wildcard record (*) answers for this name: the "
                   "key needs a record of its own.");
        break;
    case DKIM_MALFORMED:
        checks_say(checks, finding, failed,
                   "The record cannot be read at \"%.*s\". Copy it again as a "
                   "whole: its parts are separated by semicolons.",
                   STR_ARG(detail));
        break;
    case DKIM_QUOTED:
        checks_say(checks, finding, failed,
                   "Quotation marks or backslashes are part of the record: "
                   "your DNS service wants the value without them. Enter the "
                   "one-line form.");
        break;
    case DKIM_REVOKED:
        checks_say(checks, finding, failed,
                   "p= is empty, which says that this key is revoked. Publish "
                   "the record as wanted.");
        break;
    case DKIM_OTHER_TYPE:
        checks_say(checks, finding, failed,
                   "The record is of the key type k=%.*s, which is not that of "
                   "this selector. Perhaps two records are interchanged.",
                   STR_ARG(detail));
        break;
    case DKIM_BROKEN_KEY:
        checks_say(checks, finding, failed,
                   "p= is not a key: a character was lost or added. Copy the "
                   "record again as a whole.");
        break;
    case DKIM_CUT_OFF:
        checks_say(checks, finding, failed,
                   "p= ends after %zu characters: your DNS service has cut the "
                   "value. Enter the split form: strings of at most 255 "
                   "characters in one record.",
                   reading->key_chars);
        break;
    case DKIM_OTHER_KEY:
        checks_say(checks, finding, failed,
                   "Another key stands there (p=%.*s..., %u bits). Replace it "
                   "by the one that is wanted.",
                   STR_ARG(detail), reading->bits);
        break;
    case DKIM_NO_SHA256:
        checks_say(checks, finding, failed,
                   "h=%.*s does not allow sha256, which mail is signed with. "
                   "Leave h= out.",
                   STR_ARG(detail));
        break;
    case DKIM_NOT_FOR_MAIL:
        checks_say(checks, finding, failed,
                   "s=%.*s does not allow e-mail. Leave s= out.",
                   STR_ARG(detail));
        break;
    }
}

static void judge_record(struct checks *checks, struct domain_finding *finding,
                         struct str text, const struct domain_key *key)
{
    struct dkim_reading reading = dkim_record_read(text, key);

    /* What has had its time may be revoked. */
    if (reading.flaw == DKIM_REVOKED && key->use == DOMAIN_KEY_PAST)
        reading.flaw = DKIM_GOOD;
    if (reading.flaw != DKIM_GOOD)
        say_flaw(checks, finding, &reading);
    else if (reading.is_testing)
        checks_warn(checks, finding,
                    "t=y says that you only test DKIM: receivers may treat "
                    "your mail as if it were not signed. Take t=y out.");
    else
        checks_fine(checks, finding);
}

/* Its record may be empty or gone, so long as no key is there. */
static void judge_revoked(struct checks *checks, struct domain_finding *finding,
                          const struct dns_reply *reply,
                          const struct domain_key *key)
{
    for (size_t i = 0; i < reply->records.count; i++) {
        enum dkim_flaw flaw =
            dkim_record_read(reply->records.records[i].data, key).flaw;

        if (flaw == DKIM_REVOKED || flaw == DKIM_NOT_A_KEY)
            continue;
        checks_say(checks, finding, DOMAIN_FAILED,
                   "The key %s, but its record is there still: leave nothing "
                   "behind p=, or delete it, so that nobody can use the key.",
                   key->use == DOMAIN_KEY_COMPROMISED ? "is compromised"
                                                      : "has had its time");
        return;
    }
    checks_fine(checks, finding);
}

static bool is_revoked(const struct domain_key *key)
{
    return key->use == DOMAIN_KEY_COMPROMISED ||
           (key->use == DOMAIN_KEY_PAST && key->public_key.len == 0);
}

static void check_key(struct checks *checks, const struct domain_key *key)
{
    struct str label = domain_key_name(checks->arena, key);
    struct domain_finding finding = checks_begin(
        DOMAIN_CHECK_DKIM, domain_key_weight(key),
        name_below(checks->arena, label, checks->setup->name), DNS_TXT);
    const struct dns_reply *reply;

    finding.wanted = domain_key_value(checks->arena, key);
    reply = checks_ask(checks, &finding);
    if (reply == NULL)
        return;
    checks_found(checks, &finding, reply);
    if (is_revoked(key))
        judge_revoked(checks, &finding, reply, key);
    else if (reply->status != DNS_FOUND)
        say_not_there(checks, &finding, reply, label);
    else if (reply->records.count > 1)
        checks_say(checks, &finding, DOMAIN_FAILED,
                   "There are %zu TXT records at %.*s, and receivers may take "
                   "any of them. Keep the one that is wanted and delete the "
                   "others.",
                   reply->records.count, STR_ARG(finding.name));
    else
        judge_record(checks, &finding, reply->records.records[0].data, key);
}

void checks_dkim(struct checks *checks)
{
    for (size_t i = 0; i < checks->setup->key_count; i++)
        check_key(checks, &checks->setup->keys[i]);
}
