/* message.h - the composer: values in, the bytes of a mail out.
 *
 * The bytes are a pure function of struct message: the date, the boundaries
 * and the Message-ID come from outside, so a retry sends the same octets.
 * What comes out has CRLF line ends and a final one, no bare CR or LF, no
 * line over 998 bytes, and is 7-bit clean (unless message_needs_utf8). Bcc
 * recipients have no place in struct message, so they cannot leak.
 *
 * It knows no SMTP, no socket and no clock. This is the door of the room:
 * others include this header only.
 *
 * Source: RFC 5322, RFC 2045-2047, RFC 2183, RFC 2231, RFC 2387, RFC 3834,
 * RFC 6532.
 */
#ifndef SMTP_MESSAGE_MESSAGE_H
#define SMTP_MESSAGE_MESSAGE_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/str.h"
#include "smtp/message/address.h"
#include "smtp/message/attachment.h"
#include "smtp/message/builtin.h"
#include "smtp/message/dkim.h"
#include "smtp/message/dkim_key.h"
#include "smtp/message/flaw.h"
#include "smtp/message/header.h"
#include "smtp/message/html_text.h"
#include "smtp/message/lint.h"
#include "smtp/message/mail_template.h"
#include "smtp/message/message_json.h"
#include "smtp/message/octets.h"
#include "smtp/message/template.h"
#include "smtp/message/template_variables.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a composed message: room for what a request of 40 MiB can hold, save for
 * html of ten megabytes without a text of its own. */
enum { MESSAGE_BYTES_MAX = 64 << 20 };

/* Everything in it belongs to the caller, has passed the checks of this room
 * and is valid UTF-8. */
struct message {
    struct mailbox from;
    const struct mailbox *to;
    size_t to_count;
    const struct mailbox *cc;
    size_t cc_count;
    const struct mailbox *reply_to;
    size_t reply_to_count;
    struct str subject;

    /* A text that is absent is made from the html; one that is there and
     * empty leaves the html alone. */
    bool has_text;
    struct str text;
    struct str html; /* empty: none */

    const struct attachment *attachments;
    size_t attachment_count;
    /* The caller's. Message-ID, Auto-Submitted, X-Auto-Response-Suppress and
     * X-Entity-Ref-ID among them replace what is said below. */
    const struct header *headers;
    size_t header_count;

    struct str message_id; /* is_msg_id; of ours it may be over MSG_ID_MAX */
    int64_t date_ms;       /* Unix time of the Date field */
    struct str seed;       /* of the boundaries: the id of the job */
    struct str entity_ref; /* X-Entity-Ref-ID; empty: none */
    bool is_bulk;          /* else Auto-Submitted and its kin are set */
};

/* Adds the whole message to out, in arena what is needed on the way. Large
 * attachments go into files, their places counted from the beginning of out;
 * NULL: none does. Returns the length of the header with the empty line behind
 * it, which is where the body begins; out->full when it does not fit. */
size_t message_compose(const struct message *message, struct arena *arena,
                       struct buf *out, struct octets_files *files);

/* An upper bound for what message_compose will add, without composing: to
 * refuse what would be over MESSAGE_BYTES_MAX before it is accepted. */
size_t message_size_bound(const struct message *message);

/* A header field carries an address that needs SMTPUTF8, so every delivery of
 * the message does, whatever its own recipient. */
bool message_needs_utf8(const struct message *message);

#endif
