/* auth.h - SASL mechanisms, as pure protocol: which one, and what to say.
 *
 * Source: RFC 4954 (AUTH), RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5); LOGIN is
 * draft-murchison-sasl-login. An enum config_auth names a mechanism here;
 * AUTH_NONE is none.
 */
#ifndef SMTP_AUTH_H
#define SMTP_AUTH_H

#include "server/base/buf.h"
#include "server/base/config.h"

#include <stdbool.h>

struct auth_login {
    struct str username;
    struct str password;
};

/* The mechanism to use; AUTH_NONE when none may be. offered: OFFERS_ bits of
 * ehlo.h. PLAIN and LOGIN show the password, so they want TLS or in_clear. */
enum config_auth auth_choose(enum config_auth wanted, unsigned offered,
                             bool secured, bool in_clear);

/* Adds the AUTH command; PLAIN's whole secret goes with it if it is short. */
void auth_add_command(enum config_auth mechanism,
                      const struct auth_login *login, struct buf *out);

/* Adds the answer to the challenge with that number (from 0), as it stands in
 * the 334. False, and nothing added: it cannot be answered. */
MUST_USE bool auth_add_answer(enum config_auth mechanism, unsigned number,
                              struct str challenge,
                              const struct auth_login *login, struct buf *out);

#endif
