/* content_type.h - type/subtype; attribute=value, read into its pieces.
 *
 * Source: RFC 2045 section 5.1.
 */
#ifndef SMTP_MESSAGE_CONTENT_TYPE_H
#define SMTP_MESSAGE_CONTENT_TYPE_H

#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum { CONTENT_TYPE_PARAMS = 8 };

struct content_type {
    struct str essence; /* type/subtype */
    struct {
        struct str name;
        struct str value; /* without quotation marks */
    } params[CONTENT_TYPE_PARAMS];
    size_t param_count;
};

/* Everything in type points into text. False: not of that form, more
 * parameters than there is room for, an attribute with an asterisk, or a value
 * with quotation marks, backslashes, controls or other than ASCII inside. */
MUST_USE bool content_type_read(struct str text, struct content_type *type);

/* Whether the essence is major/anything. */
bool content_type_is(struct str essence, struct str major);

/* The extension for a type, without dot; "bin" when none is known. */
struct str content_type_extension(struct str essence);

#endif
