/* html_text.h - the text part for a mail that came with html alone.
 *
 * What a reader would see, in plain text: blocks on lines of their own,
 * paragraphs apart, list items marked, table cells two blanks apart, links as
 * "text (url)", images as their alternative text. What is hidden (head,
 * scripts, styles, a preheader) is left out. Broken markup gives some text,
 * never a failure. Time and output are linear in the input.
 */
#ifndef SMTP_MESSAGE_HTML_TEXT_H
#define SMTP_MESSAGE_HTML_TEXT_H

#include "server/base/buf.h"
#include "server/base/str.h"

/* Output is never longer than this many times the input, even when its line
 * ends become CRLF. */
enum { HTML_TEXT_GROWTH_MAX = 4 };

/* Adds the text, UTF-8 where html is, lines ended by LF, none at the end. */
void html_text_add(struct buf *out, struct str html);

#endif
