/* sign.h - Standard Webhooks signatures. Pure.
 *
 * Signed is id, dot, time, dot, body; the header value is "v1," and the
 * HMAC-SHA256 in base64. The secret is "whsec_" and the key in base64. Both
 * header triples carry the same values: webhook-* for the libraries of the
 * standard, svix-* for Resend's own verifiers.
 *
 * Source: Standard Webhooks 1.0.0.
 */
#ifndef HOOKS_SIGN_H
#define HOOKS_SIGN_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Adds "v1,<base64>". False: secret is not such a one; nothing was added. */
MUST_USE bool sign_webhook(struct str secret, struct str id, int64_t time_s,
                           struct str body, struct buf *out);

enum { SIGN_HEADERS = 6, SIGN_HEADER_MAX = 256 };

/* "name: value" for each of the two triples. */
struct sign_headers {
    char lines[SIGN_HEADERS][SIGN_HEADER_MAX];
};
MUST_USE bool sign_headers(struct str secret, struct str id, int64_t time_s,
                           struct str body, struct sign_headers *headers);

#endif
