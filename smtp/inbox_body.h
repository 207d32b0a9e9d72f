/* inbox_body.h - a mail behind DATA, out of its transparent form. Pure.
 *
 * It ends at CRLF dot CRLF and nowhere else: a bare LF or CR is content. A
 * server that takes "LF dot LF" for an end lets one client's mail smuggle
 * another one in.
 *
 * Source: RFC 5321 sections 4.1.1.4 and 4.5.2.
 */
#ifndef SMTP_INBOX_BODY_H
#define SMTP_INBOX_BODY_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>

struct inbox_body {
    struct buf *out;
    enum {
        AT_LINE_START,
        AFTER_DOT,    /* at a line start; not added yet */
        AFTER_DOT_CR, /* neither of them added yet */
        IN_LINE,
        AFTER_CR, /* added */
    } place;
};

/* What comes is added to out, its last CRLF too. */
void inbox_body_init(struct inbox_body *body, struct buf *out);
/* Takes bytes off the front of *rest: all, or up to the end of the mail,
 * then true. */
bool inbox_body_take(struct inbox_body *body, struct str *rest);

#endif
