/* dkim_record.h - a DKIM key record, and how it differs from the one that is
 * wanted. Pure.
 *
 * Source: RFC 6376 section 3.6.1, RFC 8301, RFC 8463.
 */
#ifndef DOMAIN_DKIM_RECORD_H
#define DOMAIN_DKIM_RECORD_H

#include "server/domain/domain.h"

enum dkim_flaw {
    DKIM_GOOD,
    DKIM_NOT_A_KEY,    /* another kind of record */
    DKIM_MALFORMED,    /* detail: the part */
    DKIM_QUOTED,       /* quotation marks or backslashes are part of it */
    DKIM_REVOKED,      /* p= is empty */
    DKIM_OTHER_TYPE,   /* k=; detail: its value */
    DKIM_CUT_OFF,      /* p= is a beginning of ours */
    DKIM_BROKEN_KEY,   /* p= is no key of that type */
    DKIM_OTHER_KEY,    /* detail: how it begins; of so many bits */
    DKIM_NO_SHA256,    /* h= leaves it out */
    DKIM_NOT_FOR_MAIL, /* s= */
};
struct dkim_reading {
    enum dkim_flaw flaw;
    struct str detail; /* points into the text */
    size_t key_chars;  /* of p=, without blanks */
    unsigned bits;     /* of another key */
    bool is_testing;   /* t=y */
};

struct dkim_reading dkim_record_read(struct str text,
                                     const struct domain_key *key);

#endif
