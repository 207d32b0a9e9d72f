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

#include <stdbool.h>
#include <stddef.h>

/* How long compose will take, in bytes of attachments. */
size_t compose_effort(const struct record *record);

/* Adds the message to out; the same bytes for every delivery and every
 * attempt. attachments: raw bytes, in the job's order. from: the envelope
 * sender, in arena. needs_utf8: a header address needs SMTPUTF8. */
MUST_USE bool compose(const struct record *record,
                      const struct str *attachments, struct arena *arena,
                      struct buf *out, struct str *from, bool *needs_utf8,
                      struct error *err);

#endif
