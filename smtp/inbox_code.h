/* inbox_code.h - the code and the link that a mail is about. Pure.
 *
 * Rules of thumb, made for tests of log-ins and confirmations: a code stands
 * beside a word such as "code" or "码", or is the first group of digits that
 * is no date, year, amount or part of an address.
 */
#ifndef SMTP_INBOX_CODE_H
#define SMTP_INBOX_CODE_H

#include "server/base/str.h"

/* Parts of what is given; empty: none. */
struct str inbox_code_find(struct str subject, struct str text);
struct str inbox_link_find(struct str text);

#endif
