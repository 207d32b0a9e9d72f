/* mime_part.h - mails of any origin, cut into header and parts. Pure.
 *
 * Nothing is malformed enough to fail: a line may end in LF alone, a last part
 * may have no end. All texts are slices of what was given.
 *
 * Source: RFC 5322 section 2.2, RFC 2045 section 5, RFC 2046 section 5.1.
 */
#ifndef SMTP_MIME_PART_H
#define SMTP_MIME_PART_H

#include "server/base/str.h"

#include <stdbool.h>

enum { MIME_FIELD_MAX = 8 * 1024 }; /* what is looked at of a field */

struct mime_part {
    struct str header;
    struct str body;
};
/* At the first empty line; without one all is header. */
struct mime_part mime_part_split(struct str bytes);

/* The value of the first such field, still folded; empty: none. */
struct str mime_field(struct str header, struct str name);
/* Blanks, tabs and line ends off both ends. */
struct str mime_trim(struct str value);
/* What stands before the first ";": "text/plain", "attachment". */
struct str mime_main_value(struct str value);
/* Of name=value or name="value" behind it; backslashes in quotes stay: no
 * boundary and no charset has any. */
struct str mime_param(struct str value, struct str name);

/* The parts of a multipart body, in their order. */
struct mime_parts {
    struct str boundary;
    struct str rest;
    const char *start; /* of the part under way; NULL: none is */
    const char *end;
};
void mime_parts_init(struct mime_parts *parts, struct str body,
                     struct str boundary);
/* False: there is none any more. */
bool mime_parts_next(struct mime_parts *parts, struct str *bytes);

#endif
