/* inbox_path.h - the paths that MAIL and RCPT carry. Pure.
 *
 * Source: RFC 5321 section 4.1.2, RFC 6531 section 3.3 (UTF-8 in both parts;
 * whether it is valid and allowed is the caller's question).
 */
#ifndef SMTP_INBOX_PATH_H
#define SMTP_INBOX_PATH_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>

/* Takes "<address>" off *args, blanks before it too; parameters stay. A
 * source route is dropped (RFC 5321 appendix C). False: no such thing. */
MUST_USE bool inbox_take_path(struct str *args, struct str *address);

/* local-part@domain, within the lengths of RFC 5321 section 4.5.3.1. */
bool inbox_is_mailbox(struct str address);

#endif
