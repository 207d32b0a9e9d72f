/* text.h - questions about characters that several files of the room ask. */
#ifndef SMTP_MESSAGE_TEXT_H
#define SMTP_MESSAGE_TEXT_H

#include "server/base/str.h"
#include "smtp/message/flaw.h"

#include <stdbool.h>
#include <stdint.h>

/* RFC 5322 section 3.2.3. */
bool is_atext(char c);
bool is_ascii(char c);
/* A token of RFC 2045 section 5.1, at least one character. */
bool is_token(struct str text);
/* RFC 5322 section 3.6.8: visible ASCII without the colon. */
bool is_field_name(struct str text);

/* Code points that turn the direction of the text around them. */
bool is_bidi_control(uint32_t code);
/* Code points that cannot be seen, or pass for a blank or an @. */
bool is_invisible(uint32_t code);

/* What every header-bound value must be: UTF-8 without control characters. */
enum flaw text_check(struct str text);

/* The same with every A-Z lower. out has text.len bytes. */
void ascii_lower_copy(struct str text, char *out);

#endif
