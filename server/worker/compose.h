/* compose.h - from a job to the bytes of its mail. Pure.
 *
 * The API stored what it had validated; here it is read once more, by the
 * same parsers, so what fails is a record that was never validated: it ends
 * as email.failed.
 */
#ifndef WORKER_COMPOSE_H
#define WORKER_COMPOSE_H

#include "queue/queue.h"
#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/error.h"
#include "smtp/message/message.h"

#include <stdbool.h>
#include <stddef.h>

/* How long compose will take, in bytes of attachments. */
size_t compose_effort(const struct record *record);

struct composed {
    struct str from;           /* the envelope sender, in the arena */
    bool needs_utf8;           /* a header address needs SMTPUTF8 */
    size_t body;               /* where it begins, behind the empty line */
    struct octets_files files; /* that are not in the message */
};

/* Adds the message to out, which is empty, save for large attachments; the
 * same bytes for every delivery and every attempt. attachments: raw bytes, in
 * the job's order, which live as long as the message. */
MUST_USE bool compose(const struct record *record,
                      const struct str *attachments, struct arena *arena,
                      struct buf *out, struct composed *composed,
                      struct error *err);

/* What goes out. */
struct octets composed_octets(const struct composed *composed,
                              const struct buf *message);

/* Who signs a message: one field each, in this order. */
struct compose_signing {
    struct str domain;
    const struct dkim_signer *signers;
    size_t count;
};

/* Bytes by which a message grows at most. */
enum { COMPOSE_SIGNED_MAX = DKIM_ALGORITHMS * DKIM_FIELD_MAX };

/* Puts the signatures on top of a message, as of the time of its Date. Some
 * 0.5 ms with RSA, and 1 ms for each megabyte: for helper threads. */
void compose_sign(const struct compose_signing *signing, int64_t date_ms,
                  struct composed *composed, struct buf *message);

#endif
