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

#include <stdbool.h>

struct message;

/* Fills in from, to, cc, reply_to, subject, text, html and headers; the rest of
 * message is left alone. All of it lives in arena and mail. False and err
 * (ERR_INPUT: "to[0] has no @"): it was never validated. */
MUST_USE bool message_read_json(const struct json *mail, struct arena *arena,
                                struct message *message, struct error *err);

#endif
