/* quotes.h - what of a login a server may repeat when it is long over, in what
 * it says of a mail. Pure.
 *
 * Looked for are the password, its base64, and what AUTH PLAIN says of both
 * (RFC 4616); of base64 the first letters suffice, since a quote may be cut
 * short. Words of fewer than QUOTES_MIN bytes are not looked for: they stand
 * in what servers say of anything. Such a password is hidden where AUTH is
 * answered (auth.h).
 */
#ifndef SMTP_QUOTES_H
#define SMTP_QUOTES_H

#include "server/base/buf.h"
#include "server/base/str.h"
#include "smtp/auth.h"
#include "smtp/reply.h"

#include <stdbool.h>

enum {
    QUOTES_MIN = 6,
    QUOTES_HIDDEN_MAX = 3 * REPLY_SIZE_MAX, /* dots for six bytes or more */
};

struct quotes {
    struct str password; /* empty: nothing is looked for */
    struct buf encoded;  /* the password in base64 */
    struct buf plain;    /* name and password, as PLAIN says them */
};

/* login must outlive it. */
void quotes_init(struct quotes *quotes, const struct auth_login *login);
void quotes_finish(struct quotes *quotes);

/* Whether something of it stands in words. */
bool quotes_are_in(const struct quotes *quotes, struct str words);
/* Adds words with dots in the place of all that: of a reply at most
 * QUOTES_HIDDEN_MAX bytes. */
void quotes_hide(const struct quotes *quotes, struct str words,
                 struct buf *out);

#endif
