/* ehlo.h - what a server offers, read from its reply to EHLO.
 *
 * Source: RFC 5321 section 4.1.1.1; RFC 1870 (SIZE), 2920 (PIPELINING),
 * 3207 (STARTTLS), 4954 (AUTH), 6152 (8BITMIME), 6531 (SMTPUTF8), 3461 (DSN),
 * 2852 (DELIVERBY), 3030 (CHUNKING), 9422 (LIMITS: of these MAILMAX alone,
 * since a transaction has one recipient here). ENHANCEDSTATUSCODES (RFC 2034)
 * says nothing that replies do not show: reply.h.
 */
#ifndef SMTP_EHLO_H
#define SMTP_EHLO_H

#include "smtp/reply.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    OFFERS_PLAIN = 1,
    OFFERS_LOGIN = 2,
    OFFERS_CRAM_MD5 = 4,
    OFFERS_SCRAM_SHA_1 = 8,
    OFFERS_SCRAM_SHA_1_PLUS = 16,
    OFFERS_SCRAM_SHA_256 = 32,
    OFFERS_SCRAM_SHA_256_PLUS = 64,
    OFFERS_OAUTHBEARER = 128,
    OFFERS_XOAUTH2 = 256,
    OFFERS_ANY_PLUS = OFFERS_SCRAM_SHA_1_PLUS | OFFERS_SCRAM_SHA_256_PLUS,
};

struct smtp_offers {
    bool pipelining;
    bool starttls;
    bool eightbitmime;
    bool smtputf8;
    bool dsn;      /* RFC 3461 */
    bool chunking; /* RFC 3030 */
    bool size;
    uint64_t size_max; /* bytes; 0: no limit stated */
    unsigned auth;     /* OFFERS_ bits */
    bool deliverby;
    uint64_t by_min_s; /* the least time that DELIVERBY takes; 0: any */
    uint64_t mail_max; /* transactions of a session; 0: any number */
};

/* Never fails: what cannot be read is not offered. The first line is the
 * server's name. */
void ehlo_read(const struct smtp_reply *reply, struct smtp_offers *offers);

#endif
