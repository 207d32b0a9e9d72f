#include "server/domain/spf.h"

#include "server/domain/names.h"
#include "server/io/address.h"

#include <arpa/inet.h>
#include <string.h>

/* --- terms [5, 6, 12] --- */

enum target { NO_TARGET, MAY_HAVE, MUST_HAVE };

/* Names are read whatever their case [4.6.1]. */
static const struct term_row {
    struct str name;
    enum spf_kind kind;
    enum target target;
    bool has_length; /* "/24" and "//64" may follow */
    bool is_modifier;
} TERMS[] = {
    {STR("all"), SPF_ALL, NO_TARGET, false, false},
    {STR("include"), SPF_INCLUDE, MUST_HAVE, false, false},
    {STR("a"), SPF_A, MAY_HAVE, true, false},
    {STR("mx"), SPF_MX, MAY_HAVE, true, false},
    {STR("ptr"), SPF_PTR, MAY_HAVE, false, false},
    {STR("ip4"), SPF_IP4, MUST_HAVE, false, false},
    {STR("ip6"), SPF_IP6, MUST_HAVE, false, false},
    {STR("exists"), SPF_EXISTS, MUST_HAVE, false, false},
    {STR("redirect"), SPF_REDIRECT, MUST_HAVE, false, true},
    {STR("exp"), SPF_EXP, MUST_HAVE, false, true},
};

static const struct term_row *row_of(struct str name, bool is_modifier)
{
    for (size_t i = 0; i < COUNT_OF(TERMS); i++)
        if (TERMS[i].is_modifier == is_modifier &&
            str_eq_nocase(name, TERMS[i].name))
            return &TERMS[i];
    return NULL;
}

/* Decimal without leading zeros, at most max. */
static bool is_length(struct str text, uint64_t max, uint64_t *length)
{
    return text.len <= 3 && str_to_u64(text, length) && *length <= max &&
           (text.len == 1 || text.ptr[0] != '0');
}

/* One macro behind "%": "%", "_", "-" or "{...}" [7.1]. False: none. */
static bool skip_macro(struct str *rest)
{
    static const struct str LETTERS = STR("slodiphcrtvSLODIPHCRTV");
    static const struct str DELIMITERS = STR(".-+,/_=");
    size_t at = 2;

    if (rest->len == 0)
        return false;
    if (rest->ptr[0] != '{') {
        bool is_known = str_index(S("%_-"), rest->ptr[0], 0) >= 0;

        *rest = str_from(*rest, 1);
        return is_known;
    }
    if (rest->len < 3 || str_index(LETTERS, rest->ptr[1], 0) < 0)
        return false;
    while (at < rest->len && ascii_is_digit(rest->ptr[at]))
        at++;
    if (at < rest->len && ascii_lower(rest->ptr[at]) == 'r')
        at++;
    while (at < rest->len && str_index(DELIMITERS, rest->ptr[at], 0) >= 0)
        at++;
    if (at == rest->len || rest->ptr[at] != '}')
        return false;
    *rest = str_from(*rest, at + 1);
    return true;
}

static bool is_macro_string(struct str text, bool *has_macro)
{
    while (text.len > 0) {
        char c = text.ptr[0];

        if (c <= ' ' || c > '~')
            return false;
        text = str_from(text, 1);
        if (c != '%')
            continue;
        *has_macro = true;
        if (!skip_macro(&text))
            return false;
    }
    return true;
}

/* domain-spec [7.1]: a name, of two labels at least, or with macros. */
static bool read_domain(struct str text, struct spf_term *term)
{
    term->domain = text;
    if (text.len == 0 || text.len > 255 ||
        !is_macro_string(text, &term->has_macro))
        return false;
    return term->has_macro || (name_is_valid(text) && name_labels(text) > 1);
}

/* Takes "/24", "//64" or "/24//64" off the end [5.3]. */
static bool cut_lengths(struct str *text, struct spf_term *term)
{
    ptrdiff_t slash = str_index(*text, '/', 0);
    struct str lengths;
    ptrdiff_t second;
    uint64_t number;

    if (slash < 0)
        return true;
    lengths = str_from(*text, (size_t)slash);
    text->len = (size_t)slash;
    second = str_find(lengths, S("//"), 0);
    if (second >= 0) {
        if (!is_length(str_from(lengths, (size_t)second + 2), 128, &number))
            return false;
        term->bits6 = (unsigned)number;
        lengths.len = (size_t)second;
    }
    if (lengths.len == 0)
        return true;
    if (!is_length(str_from(lengths, 1), 32, &number))
        return false;
    term->bits4 = (unsigned)number;
    return true;
}

/* A macro may hold a slash: the lengths stand behind the last brace. */
static bool read_target(struct str text, const struct term_row *row,
                        struct spf_term *term)
{
    size_t start = 0;
    struct str tail;

    while (str_index(text, '}', start) >= 0)
        start = (size_t)str_index(text, '}', start) + 1;
    tail = str_from(text, start);
    if (row->has_length && !cut_lengths(&tail, term))
        return false;
    text.len = start + tail.len;
    if (text.len == 0)
        return row->target == MAY_HAVE;
    return text.ptr[0] == ':' && read_domain(str_from(text, 1), term);
}

static bool read_network(struct str text, int family, uint64_t max,
                         struct spf_term *term)
{
    ptrdiff_t slash = str_index(text, '/', 0);
    struct str host = slash < 0 ? text : str_slice(text, 0, (size_t)slash);
    char room[INET6_ADDRSTRLEN];
    unsigned char address[16];
    uint64_t length = max;

    if (slash >= 0 &&
        !is_length(str_from(text, (size_t)slash + 1), max, &length))
        return false;
    if (host.len == 0 || host.len >= sizeof room)
        return false;
    memcpy(room, host.ptr, host.len);
    room[host.len] = '\0';
    term->domain = host;
    term->is_everybody = length == 0;
    term->bits4 = term->bits6 = (unsigned)length;
    return inet_pton(family, room, address) == 1;
}

/* behind: what follows the name: ":domain/24", or nothing. */
static bool read_behind(struct str behind, const struct term_row *row,
                        struct spf_term *term)
{
    struct str value = str_from(behind, 1);

    switch (row->kind) {
    case SPF_ALL:
        return behind.len == 0;
    case SPF_IP4:
        return str_starts(behind, S(":")) &&
               read_network(value, AF_INET, 32, term);
    case SPF_IP6:
        return str_starts(behind, S(":")) &&
               read_network(value, AF_INET6, 128, term);
    case SPF_REDIRECT:
    case SPF_EXP:
        return read_domain(value, term);
    case SPF_OTHER_MODIFIER:
        return is_macro_string(value, &term->has_macro);
    case SPF_INCLUDE:
    case SPF_A:
    case SPF_MX:
    case SPF_PTR:
    case SPF_EXISTS:
        return read_target(behind, row, term);
    }
    return false;
}

static size_t name_length(struct str text)
{
    size_t len = 0;

    while (len < text.len && (ascii_is_alnum(text.ptr[len]) ||
                              str_index(S("-_."), text.ptr[len], 0) >= 0))
        len++;
    return len;
}

static bool read_modifier(struct str name, struct str behind,
                          struct spf_term *term)
{
    static const struct term_row OTHER = {
        .kind = SPF_OTHER_MODIFIER, .target = MAY_HAVE, .is_modifier = true};
    const struct term_row *row = row_of(name, true);

    if (row == NULL)
        row = &OTHER;
    term->kind = row->kind;
    return name.len > 0 && ascii_is_alpha(name.ptr[0]) &&
           read_behind(behind, row, term);
}

static bool read_term(struct str text, struct spf_term *term)
{
    const struct term_row *row;
    struct str name;
    struct str behind;
    bool is_qualified = str_index(S("+-?~"), text.ptr[0], 0) >= 0;

    *term = (struct spf_term){
        .qualifier = is_qualified ? text.ptr[0] : '+',
        .bits4 = 32,
        .bits6 = 128,
    };
    if (is_qualified)
        text = str_from(text, 1);
    name = str_slice(text, 0, name_length(text));
    behind = str_from(text, name.len);
    if (str_starts(behind, S("="))) {
        term->qualifier = '\0';
        return !is_qualified && read_modifier(name, behind, term);
    }
    row = row_of(name, false);
    if (row == NULL)
        return false;
    term->kind = row->kind;
    return read_behind(behind, row, term);
}

bool spf_next(struct str *rest, struct spf_term *term, struct str *bad)
{
    struct str text;

    *bad = S("");
    while (str_cut(rest, ' ', &text)) {
        if (text.len == 0)
            continue;
        if (read_term(text, term))
            return true;
        *bad = text;
        return false;
    }
    return false;
}

#define VERSION S("v=spf1")

bool spf_is_record(struct str text)
{
    return str_starts_nocase(text, VERSION) &&
           (text.len == VERSION.len || text.ptr[VERSION.len] == ' ');
}

struct str spf_terms(struct str record)
{
    return str_from(record, VERSION.len);
}

size_t spf_records(const struct dns_reply *reply, struct str *first)
{
    size_t count = 0;

    *first = S("");
    for (size_t i = 0; i < reply->records.count; i++)
        if (spf_is_record(reply->records.records[i].data) && count++ == 0)
            *first = reply->records.records[i].data;
    return count;
}

/* --- the walk [4.6, 5, 6.1] --- */

enum {
    DEPTH_MAX = 12, /* a chain costs a look-up each: beyond it fails anyway */
    LOOKUPS_SEEN = 20, /* are counted, so that the owner reads how many */
};

struct walk {
    struct answers *answers;
    struct str wanted;
    struct spf_result *result;
    struct str path[DEPTH_MAX];
};

/* What is over a record's terms, when nothing matches. */
enum fate { FATE_OTHER, FATE_PASS, FATE_NEUTRAL };

static bool flaw(struct walk *walk, enum spf_outcome outcome, struct str at,
                 struct str detail)
{
    struct spf_result *result = walk->result;

    if (result->outcome == SPF_GOOD || result->outcome == SPF_UNKNOWN) {
        result->outcome = outcome;
        result->at = at;
        result->detail = detail;
    }
    return false;
}

/* NULL: not known, or it failed, which is noted. An answer of nothing is a
 * void look-up. */
static const struct dns_reply *look(struct walk *walk, struct str name,
                                    enum dns_type type)
{
    const struct dns_reply *reply = answers_get(walk->answers, name, type);

    if (reply == NULL) {
        if (walk->result->outcome == SPF_GOOD)
            walk->result->outcome = SPF_UNKNOWN;
        return NULL;
    }
    if (reply->status == DNS_FAILED) {
        flaw(walk, SPF_FAILED, name, str_of(reply->reason));
        return NULL;
    }
    return reply;
}

static void count_void(struct walk *walk, struct str name)
{
    if (++walk->result->voids > SPF_VOIDS_MAX)
        flaw(walk, SPF_TOO_VOID, name, S(""));
}

/* One term that costs a look-up. False: enough. */
static bool count_lookup(struct walk *walk, struct str at)
{
    if (++walk->result->lookups > SPF_LOOKUPS_MAX)
        flaw(walk, SPF_TOO_MANY, at, S(""));
    return walk->result->lookups < LOOKUPS_SEEN;
}

static void look_for_addresses(struct walk *walk, struct str name)
{
    const struct dns_reply *four = look(walk, name, DNS_A);
    const struct dns_reply *six;

    if (four == NULL || four->status == DNS_FOUND)
        return;
    six = look(walk, name, DNS_AAAA);
    if (six != NULL && six->status != DNS_FOUND)
        count_void(walk, name);
}

static void look_for_mx(struct walk *walk, struct str name)
{
    const struct dns_reply *reply = look(walk, name, DNS_MX);

    if (reply == NULL)
        return;
    if (reply->status != DNS_FOUND)
        count_void(walk, name);
    else if (reply->records.count > SPF_MX_MAX)
        flaw(walk, SPF_TOO_MANY_MX, name, S(""));
}

static void look_for_exists(struct walk *walk, struct str name)
{
    const struct dns_reply *reply = look(walk, name, DNS_A);

    if (reply != NULL && reply->status != DNS_FOUND)
        count_void(walk, name);
}

static enum fate walk_name(struct walk *walk, struct str name, size_t depth);

static bool is_on_path(const struct walk *walk, struct str name, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        if (name_eq(walk->path[i], name))
            return true;
    return false;
}

/* An include or a redirect. */
static enum fate walk_on(struct walk *walk, const struct spf_term *term,
                         size_t depth)
{
    if (term->kind == SPF_REDIRECT || term->qualifier == '+')
        if (walk->wanted.len > 0 && name_eq(term->domain, walk->wanted))
            walk->result->includes = true;
    if (is_on_path(walk, term->domain, depth)) {
        flaw(walk, SPF_CIRCLE, term->domain, S(""));
        return FATE_OTHER;
    }
    return walk_name(walk, term->domain, depth);
}

/* A mechanism before "all"; true: everybody passes by it. */
static bool walk_mechanism(struct walk *walk, const struct spf_term *term,
                           struct str name, size_t depth)
{
    struct str target = term->domain.len > 0 ? term->domain : name;
    bool passes = term->qualifier == '+';

    if (term->kind == SPF_IP4 || term->kind == SPF_IP6)
        return passes && term->is_everybody;
    if (!count_lookup(walk, name))
        return false;
    if (term->has_macro || term->kind == SPF_PTR) {
        walk->result->has_macro |= term->has_macro;
        walk->result->has_ptr |= term->kind == SPF_PTR;
        return false;
    }
    if (term->kind == SPF_INCLUDE)
        return walk_on(walk, term, depth) == FATE_PASS && passes;
    if (term->kind == SPF_A)
        look_for_addresses(walk, target);
    else if (term->kind == SPF_MX)
        look_for_mx(walk, target);
    else
        look_for_exists(walk, target);
    return false;
}

static enum fate fate_of(char qualifier)
{
    if (qualifier == '+')
        return FATE_PASS;
    return qualifier == '?' ? FATE_NEUTRAL : FATE_OTHER;
}

/* Modifiers count wherever they stand, redirect only where no "all" does. A
 * record that is malformed anywhere is as a whole [4.6]. */
struct outline {
    struct spf_term redirect;
    bool has_redirect;
    bool has_exp;
    bool has_all;
};

static bool read_outline(struct walk *walk, struct str name, struct str record,
                         struct outline *outline)
{
    struct str rest = spf_terms(record);
    struct spf_term term;
    struct str bad;

    *outline = (struct outline){0};
    while (spf_next(&rest, &term, &bad)) {
        if ((term.kind == SPF_REDIRECT && outline->has_redirect) ||
            (term.kind == SPF_EXP && outline->has_exp))
            return flaw(walk, SPF_MALFORMED, name,
                        term.kind == SPF_EXP ? S("a second exp=")
                                             : S("a second redirect="));
        outline->has_all |= term.kind == SPF_ALL;
        outline->has_exp |= term.kind == SPF_EXP;
        if (term.kind == SPF_REDIRECT) {
            outline->has_redirect = true;
            outline->redirect = term;
        }
    }
    return bad.len == 0 || flaw(walk, SPF_MALFORMED, name, bad);
}

static enum fate walk_redirect(struct walk *walk, const struct spf_term *term,
                               struct str name, size_t depth)
{
    if (!count_lookup(walk, name))
        return FATE_OTHER;
    if (term->has_macro) {
        walk->result->has_macro = true;
        return FATE_OTHER;
    }
    return walk_on(walk, term, depth);
}

static enum fate walk_record(struct walk *walk, struct str name,
                             struct str record, size_t depth)
{
    struct outline outline;
    struct str rest = spf_terms(record);
    struct spf_term term;
    struct str bad;
    bool passes = false;

    if (!read_outline(walk, name, record, &outline))
        return FATE_OTHER;
    while (spf_next(&rest, &term, &bad)) {
        if (term.kind == SPF_ALL)
            return passes ? FATE_PASS : fate_of(term.qualifier);
        if (term.qualifier != '\0')
            passes |= walk_mechanism(walk, &term, name, depth);
    }
    if (passes)
        return FATE_PASS;
    if (outline.has_redirect)
        return walk_redirect(walk, &outline.redirect, name, depth);
    return FATE_NEUTRAL; /* [4.7] */
}

static enum fate walk_name(struct walk *walk, struct str name, size_t depth)
{
    const struct dns_reply *reply;
    struct str record;
    size_t count;

    if (depth == DEPTH_MAX)
        return FATE_OTHER;
    walk->path[depth] = name;
    reply = look(walk, name, DNS_TXT);
    if (reply == NULL)
        return FATE_OTHER;
    if (depth > 0 && reply->status != DNS_FOUND)
        count_void(walk, name);
    count = spf_records(reply, &record);
    if (count == 1)
        return walk_record(walk, name, record, depth + 1);
    if (depth > 0)
        flaw(walk, SPF_BAD_INCLUDE, name, S(""));
    else
        flaw(walk, count == 0 ? SPF_NONE : SPF_SEVERAL, name, S(""));
    return FATE_OTHER;
}

struct spf_result spf_walk(struct answers *answers, struct str name,
                           struct str wanted)
{
    struct spf_result result = {0};
    struct walk walk = {
        .answers = answers, .wanted = wanted, .result = &result};
    enum fate fate = walk_name(&walk, name, 0);

    result.lets_everybody = fate == FATE_PASS;
    result.is_neutral = fate == FATE_NEUTRAL;
    return result;
}

/* --- one client [4.6, 5] --- */

/* What a mechanism, or a whole record, says of the client. */
enum match { MATCH_NO, MATCH_YES, MATCH_DEPENDS, MATCH_WAITS };

struct judging {
    struct answers *answers;
    const struct address *client;
    unsigned lookups;
};

/* One term more that costs a look-up. False: receivers give up [4.6.4]. The
 * walk counts them too, but not those behind a network of everybody, which
 * need not be the client's. */
static bool may_look(struct judging *judging)
{
    return ++judging->lookups <= SPF_LOOKUPS_MAX;
}

static bool is_v4(const struct address *address)
{
    return address->at.any.sa_family == AF_INET;
}

static bool is_equal(const unsigned char *a, const unsigned char *b,
                     unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned mask = 0xffu << (8 - bits % 8) & 0xffu;

    return memcmp(a, b, whole) == 0 &&
           (bits % 8 == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static bool is_within(const struct judging *judging, struct str text,
                      const struct spf_term *term)
{
    const struct address *client = judging->client;
    struct address base;

    if (!address_parse(text, 0, &base) ||
        base.at.any.sa_family != client->at.any.sa_family)
        return false;
    if (is_v4(client))
        return is_equal((const unsigned char *)&base.at.v4.sin_addr,
                        (const unsigned char *)&client->at.v4.sin_addr,
                        term->bits4);
    return is_equal(base.at.v6.sin6_addr.s6_addr,
                    client->at.v6.sin6_addr.s6_addr, term->bits6);
}

/* NULL: match says why. */
static const struct dns_reply *ask(const struct judging *judging,
                                   struct str name, enum dns_type type,
                                   enum match *match)
{
    const struct dns_reply *reply = answers_get(judging->answers, name, type);

    *match = reply == NULL ? MATCH_WAITS : MATCH_DEPENDS;
    return reply == NULL || reply->status == DNS_FAILED ? NULL : reply;
}

static enum match match_host(const struct judging *judging, struct str name,
                             const struct spf_term *term)
{
    enum match match;
    const struct dns_reply *reply =
        ask(judging, name, is_v4(judging->client) ? DNS_A : DNS_AAAA, &match);

    if (reply == NULL)
        return match;
    for (size_t i = 0; i < reply->records.count; i++)
        if (is_within(judging, reply->records.records[i].data, term))
            return MATCH_YES;
    return MATCH_NO;
}

static enum match match_mx(const struct judging *judging, struct str name,
                           const struct spf_term *term)
{
    enum match match;
    const struct dns_reply *reply = ask(judging, name, DNS_MX, &match);

    if (reply == NULL)
        return match;
    for (size_t i = 0; i < reply->records.count && i < SPF_MX_MAX; i++) {
        match = match_host(judging, reply->records.records[i].data, term);
        if (match != MATCH_NO)
            return match;
    }
    return MATCH_NO;
}

static enum match match_record(struct judging *judging, struct str name,
                               size_t depth);

static enum match match_by_lookup(struct judging *judging,
                                  const struct spf_term *term,
                                  struct str target, size_t depth)
{
    if (!may_look(judging))
        return MATCH_DEPENDS;
    if (term->kind == SPF_A)
        return match_host(judging, target, term);
    if (term->kind == SPF_MX)
        return match_mx(judging, target, term);
    return match_record(judging, target, depth + 1);
}

static enum match match_term(struct judging *judging,
                             const struct spf_term *term, struct str name,
                             size_t depth)
{
    struct str target = term->domain.len > 0 ? term->domain : name;

    if (term->has_macro)
        return MATCH_DEPENDS;
    switch (term->kind) {
    case SPF_ALL:
        return MATCH_YES;
    case SPF_IP4:
    case SPF_IP6:
        return is_within(judging, term->domain, term) ? MATCH_YES : MATCH_NO;
    case SPF_A:
    case SPF_MX:
    case SPF_INCLUDE:
        return match_by_lookup(judging, term, target, depth);
    case SPF_PTR:
    case SPF_EXISTS:
        return MATCH_DEPENDS;
    case SPF_REDIRECT:
    case SPF_EXP:
    case SPF_OTHER_MODIFIER:
        break;
    }
    return MATCH_NO;
}

/* YES: the client passes. The first mechanism that matches decides [4.6.2],
 * a redirect where none does. */
static enum match match_text(struct judging *judging, struct str name,
                             struct str record, size_t depth)
{
    struct spf_term redirect = {0};
    struct str rest = spf_terms(record);
    struct spf_term term;
    struct str bad;

    while (spf_next(&rest, &term, &bad)) {
        enum match match;

        if (term.kind == SPF_REDIRECT)
            redirect = term;
        if (term.qualifier == '\0')
            continue;
        match = match_term(judging, &term, name, depth);
        if (match == MATCH_YES)
            return term.qualifier == '+' ? MATCH_YES : MATCH_NO;
        if (match != MATCH_NO)
            return match;
    }
    if (redirect.domain.len == 0)
        return MATCH_NO;
    if (redirect.has_macro || !may_look(judging))
        return MATCH_DEPENDS;
    return match_record(judging, redirect.domain, depth + 1);
}

static enum match match_record(struct judging *judging, struct str name,
                               size_t depth)
{
    enum match match;
    const struct dns_reply *reply;
    struct str record;

    if (depth == DEPTH_MAX)
        return MATCH_DEPENDS;
    reply = ask(judging, name, DNS_TXT, &match);
    if (reply == NULL)
        return match;
    if (spf_records(reply, &record) != 1)
        return MATCH_NO;
    return match_text(judging, name, record, depth);
}

enum spf_verdict spf_judge(struct answers *answers, struct str name,
                           const struct address *client)
{
    static const enum spf_verdict VERDICTS[] = {
        [MATCH_NO] = SPF_FAILS,
        [MATCH_YES] = SPF_PASSES,
        [MATCH_DEPENDS] = SPF_DEPENDS,
        [MATCH_WAITS] = SPF_WAITS,
    };
    struct judging judging = {.answers = answers, .client = client};

    return VERDICTS[match_record(&judging, name, 0)];
}
