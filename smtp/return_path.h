/* return_path.h - an envelope sender that says which delivery it was (VERP).
 * Pure.
 *
 * "b+TOKEN@send.example.com": what comes back of a delivery comes to an
 * address of its own. The token is hex, so that it lives through systems that
 * change the case of a local part: 16 octets of the email's id, 2 of the
 * recipient's number, 8 of an HMAC-SHA256, without which anybody could make up
 * bounces. The same delivery has the same one in each attempt.
 *
 * Source: VERP (Bernstein, 1997); RFC 5233 (sub-addresses); RFC 5321 section
 * 4.5.3.1.1 (64 octets of local part).
 */
#ifndef SMTP_RETURN_PATH_H
#define SMTP_RETURN_PATH_H

#include "server/base/arena.h"
#include "server/base/id.h"
#include "server/base/secret.h"

enum { RETURN_PATH_HOST_MAX = 254 - 55 }; /* bytes: RFC 5321 4.5.3.1.3 */

struct return_path {
    bool is_signed; /* else there is no key */
    unsigned char key[SHA256_SIZE];
};

/* keyring may be NULL. */
void return_path_init(struct return_path *path, const struct keyring *keyring);
/* The address, in arena; number: of the recipient. It is signed; domain: at
 * most RETURN_PATH_HOST_MAX. */
struct str return_path_make(const struct return_path *path, struct str domain,
                            const struct id *email, unsigned number,
                            struct arena *arena);

/* Of an address, with or without its angle brackets and domain. False: it is
 * none that was made with one of these keys. */
MUST_USE bool return_path_read(const struct keyring *keyring, struct str text,
                               struct id *email, unsigned *number);

#endif
