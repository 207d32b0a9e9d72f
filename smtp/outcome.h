/* outcome.h - what an upstream did, with a mail or when a session was opened:
 * the result that is told of it, and the texts that it points at.
 */
#ifndef SMTP_OUTCOME_H
#define SMTP_OUTCOME_H

#include "smtp/conn.h"
#include "smtp/smtp.h"
#include "smtp/verdict.h"

struct smtp_outcome {
    struct smtp_outcome *before; /* owned: of the upstream before */
    struct smtp_finding finding;
    struct smtp_result result; /* its texts are those below, and finding's */
    char address[ADDRESS_TEXT_SIZE];
    char tls_subject[sizeof((struct smtp_session *)0)->tls_subject];
    struct buf transcript;
};

/* mail: of the session; NULL: what befell the session itself. Takes before,
 * what the upstreams did that were asked before; NULL: none was. */
MUST_USE struct smtp_outcome *outcome_create(const struct smtp_session *session,
                                             const struct session_mail *mail,
                                             const struct smtp_finding *finding,
                                             const struct smtp_ruling *ruling,
                                             struct smtp_outcome *before);
/* Before the session is closed. secret: see transcript_add. */
void outcome_write_transcript(struct smtp_outcome *outcome,
                              const struct smtp_session *session,
                              const struct session_mail *mail,
                              struct str secret);
/* With those before. */
void outcome_destroy(struct smtp_outcome **outcome);

#endif
