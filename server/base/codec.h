/* codec.h - base64, hex, percent-encoding, UTF-8. Pure. */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* RFC 4648 section 4, padded, no line ends; and section 5 without padding. */
void codec_base64_add(struct buf *out, struct str bytes);
void codec_base64url_add(struct buf *out, struct str bytes);
/* Strict: the alphabet, right padding (none in the url form), no blanks or
 * line ends, no stray bits in the last digit. False, also when out has no
 * room, adds nothing; so do all the decoders below. */
MUST_USE bool codec_base64_decode(struct str text, struct buf *out);
MUST_USE bool codec_base64url_decode(struct str text, struct buf *out);

void codec_hex_add(struct buf *out, struct str bytes); /* lower case */
MUST_USE bool codec_hex_decode(struct str text, struct buf *out);

/* %XX, a plus stays one; false when a percent sign is not followed by two hex
 * digits. */
MUST_USE bool codec_percent_decode(struct str text, struct buf *out);

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_is_valid(struct str text);
bool utf8_is_ascii(struct str text);
/* Takes one code point off the front; false at the end or on a bad byte. */
bool utf8_next(struct str *rest, uint32_t *code);
void utf8_add(struct buf *out, uint32_t code); /* of Unicode */
/* Length of the longest beginning of at most max bytes that does not end
 * within a code point. text should be valid. */
size_t utf8_cut(struct str text, size_t max);
/* Adds text with every bad byte and control (C0, DEL, C1) replaced by '?',
 * so that it is fit for logs, events and terminals. At most max bytes are
 * added, never a part of a code point. */
void utf8_clean_add(struct buf *out, struct str text, size_t max);

#endif
