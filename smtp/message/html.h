/* html.h - html taken to pieces: tags, attributes, character references.
 *
 * No tree and no repairs: what comes is taken off the front of the text, and
 * whatever is broken gives some piece, never a failure. Linear time.
 *
 * Source: HTML Living Standard, section 13.2.5 (tokenization), simplified.
 */
#ifndef SMTP_MESSAGE_HTML_H
#define SMTP_MESSAGE_HTML_H

#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct html_tag {
    struct str name; /* as written */
    struct str attributes;
    bool is_closing;
};

bool html_is_space(char c);

/* Whether a text that begins with < begins with a tag, or with a comment,
 * declaration or processing instruction; else the < is a character. */
bool html_begins_tag(struct str text);
bool html_begins_declaration(struct str text);

/* Take what begins there off *rest. */
struct html_tag html_take_tag(struct str *rest);
void html_skip_declaration(struct str *rest);
/* The contents of an element without markup inside, and its end tag. */
void html_skip_raw(struct str *rest, struct str name);

/* The value as written, references and all; false when it is not there. */
bool html_attribute(const struct html_tag *tag, struct str name,
                    struct str *value);

/* Takes a character, a reference counting as one. Bytes that are not UTF-8
 * are passed over; false at the end. */
bool html_take_char(struct str *rest, uint32_t *code);

#endif
