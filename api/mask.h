/* mask.h - the subject of a sensitive mail, as it may be stored and shown.
 * Pure.
 *
 * Codes stand in subjects ("483 921 is your code"). Every run of 4 and more
 * letters, digits, dots, dashes and underscores that holds a digit becomes
 * six dots; a single blank between two digits belongs to the run.
 */
#ifndef API_MASK_H
#define API_MASK_H

#include "server/base/buf.h"
#include "server/base/str.h"

void mask_subject(struct str subject, struct buf *out);

#endif
