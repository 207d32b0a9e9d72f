/* header.h - header fields that a caller may give, and how they are written.
 *
 * The checks decide at the API's door what the composer will accept; whatever
 * passes them can be written in lines of at most 998 bytes, in ASCII, without
 * a way to add a line of one's own.
 *
 * Source: RFC 5322 sections 2.2 and 3.6, RFC 2047, RFC 3834.
 */
#ifndef SMTP_MESSAGE_HEADER_H
#define SMTP_MESSAGE_HEADER_H

#include "server/base/buf.h"
#include "server/base/str.h"
#include "smtp/message/address.h"
#include "smtp/message/flaw.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEADER_COUNT_MAX = 50,
    HEADER_NAME_MAX = 64,    /* bytes */
    HEADER_VALUE_MAX = 2048, /* bytes */
    HEADER_LINE_MAX = 998,   /* bytes without the line end */
    SUBJECT_MAX = 998,       /* bytes */
    TAG_MAX = 256,           /* bytes of a name or a value */
    MSG_ID_MAX = 250,        /* bytes of a caller's, with the brackets */
};

struct header {
    struct str name;
    struct str value; /* plain text, UTF-8, unfolded */
};

/* The name of headers[index]: its form, that it is not reserved, and that no
 * earlier one is the same. Those with a member of their own in a message
 * (subject, reply_to, ...) are reserved; Message-ID is not. */
enum flaw header_name_check(const struct header *headers, size_t index);
/* Its value. Structured fields (List-*, References, ...) are stricter. */
enum flaw header_value_check(const struct header *header);

/* The value of the first header of that name; false when there is none. */
bool header_find(const struct header *headers, size_t count, const char *name,
                 struct str *value);

enum flaw subject_check(struct str subject);
enum flaw msg_id_check(struct str text); /* a Message-ID of the caller's */
bool is_msg_id(struct str text);         /* <left@right>, fit for one line */
enum flaw tag_check(struct str text);    /* a name or a value */

/* Writers. Each adds one whole field with its CRLF, folded (soft limit 78).
 * They CHECK that no control character comes in. */
void header_add_text(struct buf *out, const char *name, struct str value);
/* Folded at blanks outside quotes and angle brackets; never encoded. */
void header_add_structured(struct buf *out, const char *name, struct str value);
void header_add_mailboxes(struct buf *out, const char *name,
                          const struct mailbox *boxes, size_t count);
void header_add_date(struct buf *out, int64_t wall_ms); /* in UTC */
/* One header of the caller's that passed the checks. */
void header_add(struct buf *out, const struct header *header);

#endif
