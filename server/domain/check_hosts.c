/* The hosts that mail is sent from, which are the operator's: whether they
 * have names that lead back to them (RFC 1912 section 2.1), and whether a
 * block list has them (RFC 5782). */
#include "server/domain/checks.h"
#include "server/domain/names.h"
#include "server/io/address.h"

enum {
    NAMES_MAX = 4, /* of one address are followed */
    WORDS_MAX = 4000,
};

/* --- addresses as names --- */

static void add_reversed_v6(struct buf *out, const struct in6_addr *address)
{
    static const char DIGITS[] = "0123456789abcdef";

    for (size_t i = sizeof address->s6_addr; i-- > 0;)
        buf_addf(out, "%c.%c.", DIGITS[address->s6_addr[i] & 15],
                 DIGITS[address->s6_addr[i] >> 4]);
}

static void add_reversed_v4(struct buf *out, const struct in_addr *address)
{
    const unsigned char *bytes = (const unsigned char *)&address->s_addr;

    buf_addf(out, "%u.%u.%u.%u.", bytes[3], bytes[2], bytes[1], bytes[0]);
}

/* "1.2.0.192." and what is put behind it. */
static struct str reversed(struct checks *checks, const struct address *address,
                           struct str behind)
{
    struct buf out;
    struct str name;

    buf_init(&out, 512);
    if (address->at.any.sa_family == AF_INET)
        add_reversed_v4(&out, &address->at.v4.sin_addr);
    else
        add_reversed_v6(&out, &address->at.v6.sin6_addr);
    buf_add(&out, behind);
    name = arena_copy(checks->arena, buf_str(&out));
    buf_finish(&out);
    return name;
}

/* --- what is said of all of them --- */

/* Sentences about addresses; the worst of them makes the state. */
struct saying {
    struct checks *checks;
    struct domain_finding finding;
    struct buf found;
    struct buf reason;
    enum domain_state state;
    bool warns;
    bool is_missing; /* an answer */
};

static void saying_init(struct saying *saying, struct checks *checks,
                        enum domain_check check, enum dns_type type)
{
    struct buf all;

    *saying = (struct saying){.checks = checks, .state = DOMAIN_VERIFIED};
    buf_init(&all, WORDS_MAX);
    for (size_t i = 0; i < checks->setup->address_count; i++)
        buf_addf(&all, "%s%.*s", i == 0 ? "" : ", ",
                 STR_ARG(checks->setup->addresses[i]));
    saying->finding = checks_begin(
        check, DOMAIN_ADVICE, arena_copy(checks->arena, buf_str(&all)), type);
    buf_finish(&all);
    buf_init(&saying->found, WORDS_MAX);
    buf_init(&saying->reason, WORDS_MAX);
}

static void say(struct saying *saying, enum domain_state state,
                const char *format, ...) PRINTF_LIKE(3, 4);

/* VERIFIED: a warning. */
static void say(struct saying *saying, enum domain_state state,
                const char *format, ...)
{
    va_list args;

    if (saying->reason.len > 0)
        buf_add_char(&saying->reason, ' ');
    va_start(args, format);
    buf_vaddf(&saying->reason, format, args);
    va_end(args);
    saying->warns = true;
    if (state == DOMAIN_FAILED || saying->state == DOMAIN_VERIFIED)
        saying->state = state;
}

static void found(struct saying *saying, struct str where, struct str what)
{
    buf_addf(&saying->found, "%s%.*s %.*s", saying->found.len > 0 ? " | " : "",
             STR_ARG(where), STR_ARG(what));
}

static void saying_end(struct saying *saying)
{
    struct checks *checks = saying->checks;
    struct domain_finding *finding = &saying->finding;

    if (!saying->is_missing) {
        checks_found_text(checks, finding, buf_str(&saying->found));
        if (!saying->warns)
            checks_fine(checks, finding);
        else if (saying->state == DOMAIN_VERIFIED)
            checks_warn(checks, finding, "%.*s",
                        STR_ARG(buf_str(&saying->reason)));
        else
            checks_say(checks, finding, saying->state, "%.*s",
                       STR_ARG(buf_str(&saying->reason)));
    }
    buf_finish(&saying->found);
    buf_finish(&saying->reason);
}

/* NULL: it is missing, or it failed, which is said. */
static const struct dns_reply *ask(struct saying *saying, struct str name,
                                   enum dns_type type)
{
    const struct dns_reply *reply =
        answers_get(saying->checks->answers, name, type);

    if (reply == NULL) {
        saying->is_missing = true;
    } else if (reply->status == DNS_FAILED) {
        say(saying, DOMAIN_TEMPORARY, "No answer for %.*s (%s).", STR_ARG(name),
            reply->reason);
        reply = NULL;
    }
    return reply;
}

/* --- names --- */

static bool has_address(const struct dns_reply *reply,
                        const struct address *wanted)
{
    struct address address;

    for (size_t i = 0; i < reply->records.count; i++)
        if (address_parse(reply->records.records[i].data, 0, &address) &&
            address_eq(&address, wanted))
            return true;
    return false;
}

/* False: no name leads back, or that is not known, which is said. */
static bool leads_back(struct saying *saying, const struct dns_reply *names,
                       const struct address *address)
{
    enum dns_type type =
        address->at.any.sa_family == AF_INET ? DNS_A : DNS_AAAA;
    bool is_known = true;

    for (size_t i = 0; i < names->records.count && i < NAMES_MAX; i++) {
        const struct dns_reply *reply =
            ask(saying, names->records.records[i].data, type);

        if (reply == NULL)
            is_known = false;
        else if (has_address(reply, address))
            return true;
    }
    return !is_known;
}

static void look_at_name(struct saying *saying, struct str text)
{
    struct address address;
    const struct dns_reply *reply;

    CHECK(address_parse(text, 0, &address));
    reply = ask(saying,
                reversed(saying->checks, &address,
                         address.at.any.sa_family == AF_INET ? S("in-addr.arpa")
                                                             : S("ip6.arpa")),
                DNS_PTR);
    if (reply == NULL)
        return;
    if (reply->status == DNS_NOT_FOUND) {
        say(saying, DOMAIN_FAILED,
            "%.*s has no name (PTR record): receivers refuse mail from it or "
            "put it aside.",
            STR_ARG(text));
        return;
    }
    for (size_t i = 0; i < reply->records.count; i++)
        found(saying, text, reply->records.records[i].data);
    if (!leads_back(saying, reply, &address))
        say(saying, DOMAIN_FAILED,
            "The name of %.*s, %.*s, does not lead back to it (no such %s "
            "record): receivers refuse mail from it or put it aside.",
            STR_ARG(text), STR_ARG(reply->records.records[0].data),
            address.at.any.sa_family == AF_INET ? "A" : "AAAA");
}

static void check_names(struct checks *checks)
{
    struct saying saying;

    saying_init(&saying, checks, DOMAIN_CHECK_SENDING_HOSTS, DNS_PTR);
    for (size_t i = 0; i < checks->setup->address_count; i++)
        look_at_name(&saying, checks->setup->addresses[i]);
    saying_end(&saying);
}

/* --- block lists --- */

/* RFC 5782 section 2.1; 127.255.255.0/24 is how lists say that they do not
 * answer this resolver. */
static bool is_listing(struct str text)
{
    return str_starts(text, S("127.")) && !str_eq(text, S("127.0.0.0")) &&
           !str_eq(text, S("127.0.0.1")) &&
           !str_starts(text, S("127.255.255."));
}

static struct str why_listed(struct saying *saying, struct str name)
{
    const struct dns_reply *reply =
        answers_get(saying->checks->answers, name, DNS_TXT);

    saying->is_missing |= reply == NULL;
    return reply != NULL && reply->status == DNS_FOUND
               ? reply->records.records[0].data
               : S("no reason is given");
}

static void look_at_zone(struct saying *saying, struct str text,
                         struct str zone)
{
    const struct dns_reply *reply;
    struct address address;
    struct str name;
    struct str code;

    CHECK(address_parse(text, 0, &address));
    name = reversed(saying->checks, &address, zone);
    reply = ask(saying, name, DNS_A);
    if (reply == NULL || reply->status == DNS_NOT_FOUND)
        return;
    code = reply->records.records[0].data;
    for (size_t i = 0; i < reply->records.count; i++)
        if (is_listing(reply->records.records[i].data))
            code = reply->records.records[i].data;
    found(saying, name, code);
    if (is_listing(code))
        say(saying, DOMAIN_FAILED, "%.*s is listed by %.*s (%.*s): %.*s.",
            STR_ARG(text), STR_ARG(zone), STR_ARG(code),
            STR_ARG(str_slice(why_listed(saying, name), 0, 200)));
    else
        say(saying, DOMAIN_VERIFIED,
            "%.*s cannot be asked about %.*s: it answers %.*s, which lists "
            "nothing. Many lists refuse public resolvers; ask by one of your "
            "own.",
            STR_ARG(zone), STR_ARG(text), STR_ARG(code));
}

static void check_lists(struct checks *checks)
{
    const struct domain_setup *setup = checks->setup;
    struct saying saying;

    saying_init(&saying, checks, DOMAIN_CHECK_DNSBL, DNS_A);
    for (size_t i = 0; i < setup->address_count; i++)
        for (size_t k = 0; k < setup->zone_count; k++)
            look_at_zone(&saying, setup->addresses[i], setup->zones[k]);
    saying_end(&saying);
}

void checks_hosts(struct checks *checks)
{
    if (checks->setup->address_count == 0)
        return;
    check_names(checks);
    if (checks->setup->zone_count > 0)
        check_lists(checks);
}
