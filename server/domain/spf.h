/* spf.h - SPF records: what they say, and whether they may be looked up. Pure,
 * over what the DNS answered.
 *
 * Two questions. Is the record in order: the whole tree is walked as a receiver
 * walks it whose client matches nothing, which is the most look-ups it can
 * cost. And does it let an address pass.
 *
 * Source: RFC 7208; its numbers in brackets below.
 */
#ifndef DOMAIN_SPF_H
#define DOMAIN_SPF_H

#include "server/base/arena.h"
#include "server/base/str.h"
#include "server/domain/answers.h"

#include <stdbool.h>

enum { SPF_LOOKUPS_MAX = 10, SPF_VOIDS_MAX = 2, SPF_MX_MAX = 10 }; /* [4.6.4] */

enum spf_kind {
    SPF_ALL,
    SPF_INCLUDE,
    SPF_A,
    SPF_MX,
    SPF_PTR,
    SPF_IP4,
    SPF_IP6,
    SPF_EXISTS,
    SPF_REDIRECT,
    SPF_EXP,
    SPF_OTHER_MODIFIER,
};

struct spf_term {
    enum spf_kind kind;
    char qualifier;    /* + - ? ~; of modifiers 0 */
    struct str domain; /* of a, mx, include, ...; empty: that of the record */
    bool has_macro;    /* domain is known to receivers alone */
    bool is_everybody; /* ip4 or ip6 of length 0 */
    unsigned bits4;    /* of a, mx, ip4: how many must be equal */
    unsigned bits6;    /* of a, mx, ip6 */
};

/* text is an SPF record, good or not [4.5]. */
bool spf_is_record(struct str text);
/* The next term of what stands behind "v=spf1". False: the end, or one that is
 * no good (*bad says which; empty at the end). */
bool spf_next(struct str *rest, struct spf_term *term, struct str *bad);
struct str spf_terms(struct str record); /* what stands behind "v=spf1" */

enum spf_outcome {
    SPF_GOOD,
    SPF_UNKNOWN,   /* an answer is missing yet */
    SPF_NONE,      /* no record */
    SPF_SEVERAL,   /* records at one name */
    SPF_MALFORMED, /* detail: the term */
    SPF_TOO_MANY,  /* look-ups */
    SPF_TOO_VOID,  /* look-ups that found nothing */
    SPF_TOO_MANY_MX,
    SPF_BAD_INCLUDE, /* at: a name without one good record */
    SPF_CIRCLE,      /* at: a name that includes itself */
    SPF_FAILED,      /* at: a name that DNS does not answer for now */
};

struct spf_result {
    enum spf_outcome outcome;
    struct str at;     /* the name where it was seen */
    struct str detail; /* a term, or what DNS said */
    unsigned lookups;
    unsigned voids;
    bool lets_everybody; /* "+all", or the like */
    bool is_neutral;     /* "?all", or none */
    bool has_ptr;
    bool has_macro; /* some look-ups depend on the mail */
    bool includes;  /* the wanted name, with "+" */
};

/* The record of name, whatever it includes. wanted: a name that shall be among
 * its includes or redirects; empty: none. The texts live as long as answers. */
struct spf_result spf_walk(struct answers *answers, struct str name,
                           struct str wanted);
enum spf_verdict {
    SPF_WAITS, /* an answer is missing yet */
    SPF_PASSES,
    SPF_FAILS,   /* fail, softfail or neutral */
    SPF_DEPENDS, /* on the mail, or on what DNS does not answer for now */
};
/* What the record of name says of a client of that address. The walk of it
 * was good. */
struct address;
enum spf_verdict spf_judge(struct answers *answers, struct str name,
                           const struct address *client);
/* The SPF records of an answer: how many, and the first. */
size_t spf_records(const struct dns_reply *reply, struct str *first);

#endif
