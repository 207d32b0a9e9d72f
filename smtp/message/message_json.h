/* message_json.h - a mail from the members of a POST /emails.
 *
 * The API stored what it had validated; here it is read once more, by the same
 * parsers.
 */
#ifndef SMTP_MESSAGE_MESSAGE_JSON_H
#define SMTP_MESSAGE_MESSAGE_JSON_H

#include "server/base/arena.h"
#include "server/base/error.h"
#include "server/base/json.h"
#include "server/base/mail_class.h"

#include <stdbool.h>
#include <stdint.h>

struct message;

/* What a mail is beside its members, so that whoever composes it makes the same
 * bytes. All text outlives the message. */
struct message_identity {
    struct str id; /* of the email */
    struct str message_id;
    int64_t date_ms; /* Unix time of its first due time */
    enum mail_class mail_class;
};
void message_identify(struct message *message,
                      const struct message_identity *identity);

/* Fills in from, to, cc, reply_to, subject, text, html and headers; the rest of
 * message is left alone. All of it lives in arena and mail. False and err
 * (ERR_INPUT: "to[0] has no @"): it was never validated. */
MUST_USE bool message_read_json(const struct json *mail, struct arena *arena,
                                struct message *message, struct error *err);

#endif
