/* conn_core.h - what the two rooms of a session share: conn.c keeps its time,
 * carries its mails and ends it, opening.c brings it to where it may carry
 * one. */
#ifndef SMTP_CONN_CORE_H
#define SMTP_CONN_CORE_H

#include "server/base/buf.h"
#include "server/io/stream.h"
#include "smtp/conn.h"
#include "smtp/reply.h"

#include <stdbool.h>

enum { SESSION_PIECE = 64 * 1024 }; /* bytes of a long message at a time */

/* --- conn.c --- */

/* Sets the timer for what it waits for now. */
void session_arm(struct smtp_session *session);
/* Books the time since the last call on a stage of the opening. */
void session_note_phase(struct smtp_session *session, enum smtp_stage stage);
/* Every way to lose a session leads here. */
void session_lose(struct smtp_session *session, enum smtp_trouble trouble,
                  const char *words);
void session_lose_connection(struct smtp_session *session, enum stream_end end,
                             const char *reason);
/* A reply came that nobody asked for (row 77). */
void session_lose_unasked(struct smtp_session *session);
/* Bytes came behind the reply that ends a step nobody has asked for: what they
 * answer, and what the next ones will, is anybody's guess (row 77). */
bool session_has_surplus(const struct smtp_session *session);
/* Bytes that came before what they would answer was sent: from here on each
 * reply would be taken for that to another command (row 77). */
bool session_is_ahead(const struct smtp_session *session);
/* The stream's events. */
void session_read(struct smtp_session *session, struct buf *input);
void session_drained(struct smtp_session *session);

/* --- opening.c --- */

/* Looks its host up, if that is due, and connects. */
void opening_begin(struct smtp_session *session);
/* The address before did not answer in time: the next one, beside it. */
void opening_try_next(struct smtp_session *session);
/* A reply to the greeting. */
void opening_reply(struct smtp_session *session, struct smtp_reply *reply);
/* Lets go of all that is under way. */
void opening_stop(struct smtp_session *session);

#endif
