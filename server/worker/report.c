#include "server/worker/report.h"

#include <stdio.h>
#include <string.h>

/* 0: no next try lies within the mail's time. */
static int64_t next_try_ms(const struct queue_claim *claim,
                           const struct smtp_result *result,
                           const struct config_worker *config,
                           const struct report_times *times)
{
    const struct smtp_retry retry = {
        .mail_class = claim->record->summary.mail_class,
        .attempt = claim->attempt,
        .pace = result->pace,
        .worker = config,
        .now_ms = times->now_ms,
        .first_due_ms = claim->accepted_ms,
        .deadline_ms = claim->deadline_ms,
        .random = times->random,
    };

    return smtp_retry_at_ms(&retry);
}

static enum outcome outcome_of_unsent(enum smtp_unsent unsent)
{
    return unsent == SMTP_UNSENT_DEADLINE ? OUTCOME_EXPIRED : OUTCOME_UNSENT;
}

static void decide(const struct queue_claim *claim,
                   const struct smtp_result *result,
                   const struct config_worker *config,
                   const struct report_times *times, struct report *report)
{
    switch (result->verdict) {
    case SMTP_SENT:
        report->outcome = OUTCOME_SENT;
        break;
    case SMTP_SOFT:
        report->retry_at_ms = next_try_ms(claim, result, config, times);
        report->outcome =
            report->retry_at_ms == 0 ? OUTCOME_EXPIRED : OUTCOME_SOFT;
        break;
    case SMTP_HARD:
        report->outcome = OUTCOME_BOUNCED;
        break;
    case SMTP_UNSENT:
        report->outcome = outcome_of_unsent(result->unsent);
        if (result->unsent == SMTP_UNSENT_DOMAIN)
            report->retry_at_ms = times->now_ms + result->hold_ms;
        break;
    case SMTP_UNKNOWN:
        report->outcome = OUTCOME_UNKNOWN;
        report->retry_at_ms = next_try_ms(claim, result, config, times);
        if (report->retry_at_ms == 0)
            report->retry_at_ms = claim->expires_ms;
        break;
    }
}

_Static_assert((int)SMTP_PHASE_COUNT == PHASES_MAX &&
                   SMTP_PHASE_COUNT - SMTP_PHASE_MAIL == PHASES_REUSED,
               "events tell all phases");

/* What the attempt was like. The certificate goes with the first mail of a
 * session: of a thousand behind it nobody asks for it again. */
static void tell_session(const struct smtp_result *result,
                         struct event_detail *detail)
{
    detail->address = str_of(result->address);
    detail->hedge = str_of(result->hedge_upstream);
    detail->phase_count = result->reused ? PHASES_REUSED : PHASES_MAX;
    memcpy(detail->phase_ms, result->phase_ms, sizeof detail->phase_ms);
    if (result->reused)
        return;
    detail->tls_subject = str_of(result->tls_subject);
    detail->tls_not_after_ms = result->tls_not_after_ms;
}

static void tell_result(const struct smtp_result *result,
                        char tls[REPORT_TLS_SIZE], struct event_detail *detail)
{
    tls[0] = '\0';
    if (result->tls_version[0] != '\0')
        snprintf(tls, REPORT_TLS_SIZE, "%s %s%s", result->tls_version,
                 result->tls_cipher, result->tls_verified ? "" : " unverified");
    *detail = (struct event_detail){
        .code = (int)result->code,
        .enhanced_code = str_of(result->enhanced),
        .response = str_of(result->text),
        .upstream = str_of(result->upstream),
        .mx = str_of(result->host),
        .tls = str_of(tls),
    };
    if (result->upstream[0] != '\0')
        tell_session(result, detail);
}

void report_attempt(const struct smtp_result *result, char tls[REPORT_TLS_SIZE],
                    struct attempt *attempt)
{
    static const enum attempt_outcome OUTCOMES[] = {
        [SMTP_SENT] = ATTEMPT_SENT,       [SMTP_SOFT] = ATTEMPT_DEFERRED,
        [SMTP_HARD] = ATTEMPT_BOUNCED,    [SMTP_UNSENT] = ATTEMPT_UNSENT,
        [SMTP_UNKNOWN] = ATTEMPT_UNKNOWN,
    };

    *attempt = (struct attempt){
        .started_ms = result->started_ms,
        .outcome = OUTCOMES[result->verdict],
        .transcript = result->transcript,
    };
    tell_result(result, tls, &attempt->detail);
    attempt->detail.queued_ms = -1;
}

void report_make(const struct queue_claim *claim,
                 const struct smtp_result *result,
                 const struct config_worker *config,
                 const struct report_times *times, struct report *report)
{
    const struct smtp_bounce_words *words = smtp_bounce_words(result->bounce);

    *report = (struct report){0};
    decide(claim, result, config, times, report);
    tell_result(result, report->tls, &report->detail);
    report->detail.queued_ms = times->claimed_ms - claim->accepted_ms;
    report->detail.total_ms = times->now_ms - claim->accepted_ms;
    if (report->outcome == OUTCOME_EXPIRED)
        report->detail.reason = S("expired");
    if (report->outcome == OUTCOME_BOUNCED) {
        report->detail.bounce_type = str_of(words->type);
        report->detail.bounce_subtype = str_of(words->subtype);
    }
}
