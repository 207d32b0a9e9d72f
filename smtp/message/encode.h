/* encode.h - transfer encodings of bodies, and encoded words' inner forms.
 *
 * Source: RFC 2045 section 6 (quoted-printable, base64), RFC 2047 section 4.
 */
#ifndef SMTP_MESSAGE_ENCODE_H
#define SMTP_MESSAGE_ENCODE_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum encoding {
    ENCODING_7BIT,
    ENCODING_QP,
    ENCODING_BASE64,
};

/* The value of Content-Transfer-Encoding. */
const char *encoding_name(enum encoding encoding);

/* In arena, with CRLF, LF and CR alike as CRLF. */
struct str canonical_copy(struct arena *arena, struct str text);
size_t canonical_len(struct str text);

/* Whether canonical text can go as it is: ASCII, no controls but tabs, lines
 * within the limit, and no line that a relay would rewrite ("From "). */
bool is_7bit(struct str canonical);

/* Adds canonical text in its smallest legal form, without a line end of its
 * own, and tells which form that is. */
enum encoding encode_text(struct buf *out, struct str canonical);

/* Lines of 76 characters, no line end behind the last. */
enum {
    BASE64_LINE_BYTES = 57,      /* that a line holds */
    BASE64_LINE_OCTETS = 76 + 2, /* with its end */
};
void base64_lines_add(struct buf *out, struct str bytes);
size_t base64_lines_len(size_t bytes_len);

/* Adds text as quoted-printable unless that takes more than len_max bytes:
 * then false, and out is as it was. */
MUST_USE bool qp_add(struct buf *out, struct str canonical, size_t len_max);

#endif
