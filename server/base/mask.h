/* mask.h - the subject of a sensitive mail, and what quotes it, as they may
 * be stored, logged and shown. Pure.
 *
 * Codes stand in subjects ("483 921 is your code"). Every run of 4 and more
 * letters, digits, dots, dashes and underscores that holds a digit becomes
 * six dots; a single blank between two digits belongs to the run.
 */
#ifndef BASE_MASK_H
#define BASE_MASK_H

#include "server/base/buf.h"
#include "server/base/str.h"

void mask_subject(struct str subject, struct buf *out);
/* What stands in the place of what is hidden. */
void mask_add_dots(struct buf *out);

/* A server's words: what mask_subject hides of the subject is hidden wherever
 * it stands in text, blanks between its digits left out or not. */
void mask_quotes(struct str text, struct str subject, struct buf *out);

/* Words of a program or a server that may quote an access token: every run of
 * 20 and more of a token's characters (RFC 6750 section 2.1) that holds a digit
 * becomes six dots. */
void mask_tokens(struct str text, struct buf *out);

#endif
