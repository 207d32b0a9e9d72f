/* dmarc.h - DMARC records, and which one counts for a domain. Pure, over what
 * the DNS answered.
 *
 * A domain's own record counts; without one that of its organizational domain,
 * which is found by walking up the tree as RFC 9989 has it, not by a list of
 * public suffixes: the walk takes 8 look-ups at most, stops where psd= says
 * so, and else the highest record found is the organization's.
 *
 * Source: RFC 7489 section 6.3 (tags), RFC 9989 (DMARCbis: the walk, np=, t=,
 * psd=).
 */
#ifndef DOMAIN_DMARC_H
#define DOMAIN_DMARC_H

#include "server/base/arena.h"
#include "server/base/str.h"
#include "server/domain/answers.h"

#include <stdbool.h>

enum dmarc_policy { DMARC_POLICY_NONE, DMARC_QUARANTINE, DMARC_REJECT };
const char *dmarc_policy_name(enum dmarc_policy policy);

enum { DMARC_URIS_MAX = 8, DMARC_WALK_MAX = 8 };

struct dmarc_record {
    enum dmarc_policy policy;
    enum dmarc_policy sub_policy;       /* sp=, else p= */
    unsigned percent;                   /* pct=, else 100 */
    bool is_testing;                    /* t=y */
    char psd;                           /* y n u */
    bool is_strict_dkim;                /* adkim=s */
    bool is_strict_spf;                 /* aspf=s */
    struct str reports[DMARC_URIS_MAX]; /* domains of rua= and ruf= mailto: */
    size_t report_count;
    bool has_reports; /* rua= is there */
};

/* False: no such record, or a flawed one, and bad says which part. */
MUST_USE bool dmarc_read(struct str text, struct dmarc_record *record,
                         struct str *bad);
bool dmarc_is_record(struct str text); /* it claims to be one */

enum dmarc_outcome {
    DMARC_GOOD,
    DMARC_UNKNOWN, /* an answer is missing yet */
    DMARC_NONE,
    DMARC_SEVERAL,   /* at one name: receivers take none */
    DMARC_MALFORMED, /* detail: the part */
    DMARC_FAILED,    /* DNS does not answer; detail: what it said */
};
struct dmarc_result {
    enum dmarc_outcome outcome;
    struct str at;   /* the name of the record, with _dmarc */
    struct str org;  /* the organizational domain */
    struct str text; /* of the record */
    struct str detail;
    bool is_inherited; /* at is not the domain's own */
    struct dmarc_record record;
};

/* Texts live as long as answers, or in arena. */
struct dmarc_result dmarc_find(struct answers *answers, struct arena *arena,
                               struct str domain);

#endif
