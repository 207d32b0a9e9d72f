/* cursor.h - where a reader of an owner's events stands. Pure.
 *
 * A cursor is a place in the stream, "<ms>-<number>", in base64url with a
 * check that is made with the owner: what is garbled, or another owner's, is
 * refused instead of read as some place. It is no secret.
 */
#ifndef QUEUE_CURSOR_H
#define QUEUE_CURSOR_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>

enum { CURSOR_LEN = 32, CURSOR_PLACE_MAX = 48 };

/* place: as Redis names entries of streams. Adds CURSOR_LEN bytes. */
void cursor_write(struct str owner, struct str place, struct buf *out);
/* Adds the place to out. False: not one of the owner's. */
MUST_USE bool cursor_read(struct str owner, struct str cursor, struct buf *out);

#endif
