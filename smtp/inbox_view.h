/* inbox_view.h - what a mail says: subject, bodies, code, link. Pure.
 *
 * A reader for mails of any origin: nothing is malformed enough to fail, a
 * part that cannot be understood is left out.
 *
 * Source: RFC 5322, RFC 2045-2047, RFC 2046 section 5.1 (multipart).
 */
#ifndef SMTP_INBOX_VIEW_H
#define SMTP_INBOX_VIEW_H

#include "server/base/arena.h"
#include "server/base/str.h"

#include <stddef.h>

/* All valid UTF-8; empty when the mail has none. */
struct inbox_view {
    struct str from; /* as in the header, encoded words decoded */
    struct str to;
    struct str subject;
    struct str message_id;
    struct str text; /* the first text/plain body, line ends LF */
    struct str html; /* the first text/html body */
    size_t attachments;
    /* A run of 4 to 10 letters and digits beside a word such as "code", else
     * the first run of 4 to 8 digits, in subject, then text. */
    struct str code;
    /* The first http or https link that looks like one to confirm, else the
     * first one. */
    struct str link;
};

/* raw: the message; everything in view lives in arena. */
void inbox_view_read(struct inbox_view *view, struct str raw,
                     struct arena *arena);

#endif
