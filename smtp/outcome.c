#include "smtp/outcome.h"

#include "server/base/clock.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

static unsigned clamp_ms(int64_t ms)
{
    return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (unsigned)ms;
}

/* The session lives no longer than this turn: what is not static is copied. */
static void note_session(struct smtp_outcome *outcome,
                         const struct smtp_session *session)
{
    struct smtp_result *result = &outcome->result;

    result->tls_version = session->tls_version;
    result->tls_cipher = session->tls_cipher;
    result->tls_verified = session->tls_verified;
    result->tls_not_after_ms = session->tls_not_after_ms;
    memcpy(outcome->tls_subject, session->tls_subject,
           strlen(session->tls_subject) + 1);
    outcome->address[0] = '\0';
    if (session->address.len > 0)
        address_format_host(&session->address, outcome->address);
    result->tls_subject = outcome->tls_subject;
    result->address = outcome->address;
}

/* The opening is part of the try of the first mail, and of those that waited
 * for it in vain. */
static void note_times(struct smtp_result *result,
                       const struct smtp_session *session,
                       const struct session_mail *mail)
{
    int64_t now_ms = clock_now_ms();
    int64_t since_ms = session->began_ms;

    result->reused = mail != NULL && mail->number > 1;
    for (size_t i = 0; i < SMTP_PHASE_MAIL && !result->reused; i++)
        result->phase_ms[i] = clamp_ms(session->phase_ms[i]);
    if (mail != NULL) {
        since_ms = mail->since_ms;
        result->data_ms = clamp_ms(now_ms - since_ms);
        for (size_t i = SMTP_PHASE_MAIL; i < SMTP_PHASE_COUNT; i++)
            result->phase_ms[i] = clamp_ms(mail->phase_ms[i]);
    }
    result->started_ms = clock_shared_ms() - (now_ms - since_ms);
}

static void fill(struct smtp_outcome *outcome,
                 const struct smtp_session *session,
                 const struct session_mail *mail,
                 const struct smtp_finding *finding,
                 const struct smtp_ruling *ruling)
{
    const struct config_upstream *upstream = session->upstream->config;

    outcome->finding = *finding;
    outcome->result = (struct smtp_result){
        .verdict = ruling->verdict,
        .unsent = ruling->verdict == SMTP_UNSENT ? SMTP_UNSENT_ALARM
                                                 : SMTP_UNSENT_NONE,
        .stage = finding->stage,
        .code = finding->code,
        .enhanced = outcome->finding.enhanced,
        .text = outcome->finding.text,
        .upstream = upstream->name,
        .host = upstream->host,
        .tls_version = "",
        .tls_cipher = "",
        .hedge_upstream = "",
        .bounce = ruling->bounce,
        .suppress = ruling->suppress,
        .pace = ruling->pace,
        .alarm = (ruling->then & THEN_ALARM) != 0,
    };
    note_session(outcome, session);
    note_times(&outcome->result, session, mail);
}

struct smtp_outcome *outcome_create(const struct smtp_session *session,
                                    const struct session_mail *mail,
                                    const struct smtp_finding *finding,
                                    const struct smtp_ruling *ruling,
                                    struct smtp_outcome *before)
{
    struct smtp_outcome *outcome = xmalloc(sizeof *outcome);

    outcome->before = before;
    buf_init(&outcome->transcript, 2 * TRANSCRIPT_TEXT_MAX);
    fill(outcome, session, mail, finding, ruling);
    if (before != NULL)
        outcome->result.before = &before->result;
    return outcome;
}

void outcome_write_transcript(struct smtp_outcome *outcome,
                              const struct smtp_session *session,
                              const struct session_mail *mail,
                              struct str secret)
{
    if (!outcome->result.reused)
        transcript_add(&session->transcript, secret, &outcome->transcript);
    if (mail != NULL)
        transcript_add(&mail->transcript, secret, &outcome->transcript);
    outcome->result.transcript = buf_str(&outcome->transcript);
}

void outcome_destroy(struct smtp_outcome **ptr)
{
    struct smtp_outcome *outcome = *ptr;
    struct smtp_outcome *before;

    for (*ptr = NULL; outcome != NULL; outcome = before) {
        before = outcome->before;
        buf_finish(&outcome->transcript);
        free(outcome);
    }
}
