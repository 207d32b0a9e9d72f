/* inbox_decode.h - encoded text of mails into UTF-8. Pure.
 *
 * Lenient, as readers of mail must be: what breaks the rules is kept as it
 * stands or left out, and nothing fails. All output is valid UTF-8.
 *
 * Source: RFC 2045 section 6 (transfer encodings), RFC 2047 (encoded words).
 */
#ifndef SMTP_INBOX_DECODE_H
#define SMTP_INBOX_DECODE_H

#include "server/base/buf.h"
#include "server/base/str.h"

/* A header field's value: unfolded, encoded words decoded. */
void inbox_decode_header(struct buf *out, struct str value);

/* A body: transfer encoding undone (an unknown one means none), line ends
 * LF, from charset: UTF-8 and ASCII, ISO-8859-1 and windows-1252; of others
 * the ASCII part survives. */
void inbox_decode_body(struct buf *out, struct str body, struct str encoding,
                       struct str charset);

#endif
