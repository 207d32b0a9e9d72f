/* token.h - an OAuth access token, as a file or a command gives it. Pure.
 *
 * Either the bare token on a line of its own, or the JSON object with which a
 * token endpoint answers. The characters are those that a token may have
 * anywhere, less the blank, so that it can end no field and no line.
 *
 * Source: RFC 6749 sections 5.1 and 5.2, appendix A.12; RFC 6750 section 2.1.
 */
#ifndef SMTP_TOKEN_H
#define SMTP_TOKEN_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TOKEN_TEXT_MAX = 64 * 1024, /* of the file, or what the command prints */
    /* With a username and a host of 255 bytes each, escaped, it makes a line
     * that any server takes: 12,288 bytes (RFC 4954 section 4). */
    TOKEN_MAX = 8000,
    /* Of one that does not say: it is asked for anew after that. */
    TOKEN_LIFE_S = 300,
    TOKEN_LIFE_MAX_S = 30 * 24 * 60 * 60,
};

struct token {
    struct buf text; /* owned, secret; empty: none */
    int64_t life_s;  /* expires_in; 0: not said */
};

/* token: finished, or zero. False and err: no token, or one that may not be
 * sent; nothing of the text is in err but the error of RFC 6749 section 5.2,
 * cleaned. */
MUST_USE bool token_read(struct str text, struct token *token,
                         struct error *err);
/* Wipes it. One that is zero may be. */
void token_finish(struct token *token);

/* When, after it came, the next one is to be fetched: a minute or a tenth of
 * its life before its end, whichever is more, but not in the first half. */
int64_t token_refresh_ms(int64_t life_ms);

#endif
