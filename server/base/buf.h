/* buf.h - a growable run of bytes with a maximum.
 *
 * What does not fit is not added, and the buffer says so from then on
 * (buf.full): a writer appends freely and looks once, at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* owned; NUL behind the last byte once anything was added */
    size_t len;
    size_t cap;
    size_t max;
    bool full; /* something did not fit */
};

/* No memory is taken before the first byte. */
void buf_init(struct buf *buf, size_t max);
void buf_finish(struct buf *buf); /* frees; may be used again after init */

void buf_add(struct buf *buf, struct str bytes);
void buf_add_char(struct buf *buf, char c);
void buf_add_cstr(struct buf *buf, const char *text);
void buf_addf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vaddf(struct buf *buf, const char *format, va_list args)
    PRINTF_LIKE(2, 0);

/* Room for at least want more bytes at the end, to be written in place and
 * then claimed by buf_grown. NULL (and full) when that passes the maximum. */
MUST_USE char *buf_space(struct buf *buf, size_t want);
void buf_grown(struct buf *buf, size_t added);

void buf_insert(struct buf *buf, size_t at, struct str bytes); /* at <= len */
void buf_consume(struct buf *buf, size_t count); /* drops from the front */
void buf_truncate(struct buf *buf, size_t len);
void buf_clear(struct buf *buf); /* empty and not full; keeps the memory */

struct str buf_str(const struct buf *buf); /* valid until the next change */
/* Hands the bytes over (free() them); the buffer is empty afterwards. */
MUST_USE char *buf_take(struct buf *buf, size_t *len);

#endif
