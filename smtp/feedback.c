#include "smtp/feedback.h"

#include "smtp/reply.h"
#include "smtp/report.h"
#include "smtp/return_path.h"
#include "smtp/verdict.h"

#include <string.h>

/* --- whose it is --- */

static bool find_delivery(struct smtp_feedback *feedback,
                          const struct keyring *keyring, struct str recipient,
                          const struct report *report)
{
    if (keyring == NULL)
        return false;
    if (return_path_read(keyring, recipient, &feedback->email,
                         &feedback->number))
        return true;
    for (size_t i = 0; i < report->address_count; i++)
        if (return_path_read(keyring, report->addresses[i], &feedback->email,
                             &feedback->number))
            return true;
    return false;
}

/* --- a delivery report --- */

/* A return path is of one recipient, so several here are what his address
 * stands for. What befell all of them is a fact; the first one tells it. NULL:
 * there is none, or it is not the same for all. */
static const struct report_recipient *fact_of(const struct report *report)
{
    const struct report_recipient *first = report->recipients;

    for (size_t i = 1; i < report->recipient_count; i++)
        if (report->recipients[i].action != first->action)
            return NULL;
    return report->recipient_count > 0 ? first : NULL;
}

/* "550 ..." or "550-...". 0: no code of a refusal. */
static unsigned code_of(struct str text)
{
    unsigned code = 0;

    if (text.len < 3 || (text.ptr[0] != '4' && text.ptr[0] != '5') ||
        (text.len > 3 && text.ptr[3] != ' ' && text.ptr[3] != '-'))
        return 0;
    for (size_t i = 0; i < 3; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return 0;
        code = code * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return code;
}

/* As if a server had said it of a recipient. The reply's own enhanced code
 * says more than "5.0.0", which many put into Status. */
static void finding_of(const struct report_recipient *fact,
                       struct smtp_finding *finding)
{
    struct str status = fact->status;
    struct str text = fact->diagnostic;
    struct str enhanced = status;
    size_t len;

    *finding =
        (struct smtp_finding){.stage = SMTP_STAGE_RCPT, .code = code_of(text)};
    if (finding->code > 0)
        text = str_trim(str_from(text, 4));
    else
        finding->code = str_starts(status, S("4")) ? 450 : 550;
    len = reply_enhanced_len(text);
    if (len > 0) {
        enhanced = str_slice(text, 0, len);
        text = str_trim(str_from(text, len));
    }
    if (enhanced.len > 0)
        memcpy(finding->enhanced, enhanced.ptr, enhanced.len);
    if (text.len > 0)
        memcpy(finding->text, text.ptr, text.len);
}

static void read_bounce(struct smtp_feedback *feedback,
                        const struct report_recipient *fact,
                        struct arena *arena)
{
    struct smtp_finding finding;
    struct smtp_ruling ruling;

    finding_of(fact, &finding);
    ruling = smtp_judge(&finding);
    feedback->kind = SMTP_FEEDBACK_BOUNCED;
    feedback->code = code_of(fact->diagnostic);
    feedback->enhanced = arena_copy(arena, str_of(finding.enhanced));
    feedback->text = arena_copy(arena, str_of(finding.text));
    feedback->bounce = smtp_bounce_words(ruling.bounce);
    feedback->suppress = ruling.suppress;
}

static void read_delivery(struct smtp_feedback *feedback,
                          const struct report *report, struct arena *arena)
{
    const struct report_recipient *fact = fact_of(report);

    if (fact == NULL)
        return;
    if (fact->action == REPORT_FAILED) {
        read_bounce(feedback, fact, arena);
    } else if (fact->action == REPORT_DELIVERED) {
        feedback->kind = SMTP_FEEDBACK_DELIVERED;
        feedback->enhanced = fact->status;
        feedback->text = fact->diagnostic;
    }
}

/* --- a complaint --- */

/* What else there is: not-spam, auth-failure (RFC 6591), dmarc. */
static bool is_complaint(struct str type)
{
    static const char *const TYPES[] = {"abuse", "fraud", "virus", "opt-out",
                                        "opt-out-list"};

    for (size_t i = 0; i < COUNT_OF(TYPES); i++)
        if (str_eq_nocase(type, str_of(TYPES[i])))
            return true;
    return false;
}

static void read_complaint(struct smtp_feedback *feedback,
                           const struct report *report)
{
    if (!is_complaint(report->feedback_type))
        return;
    feedback->kind = SMTP_FEEDBACK_COMPLAINED;
    feedback->suppress = true;
    feedback->text = report->feedback_type;
}

void smtp_feedback_read(struct smtp_feedback *feedback,
                        const struct keyring *keyring, struct str recipient,
                        struct str message, struct arena *arena)
{
    struct report report;

    report_read(&report, message, arena);
    *feedback = (struct smtp_feedback){.kind = SMTP_FEEDBACK_NO_REPORT};
    if (report.kind == REPORT_NONE)
        return;
    feedback->kind = SMTP_FEEDBACK_UNSIGNED;
    if (!find_delivery(feedback, keyring, recipient, &report))
        return;
    feedback->kind = SMTP_FEEDBACK_NEWS;
    if (report.kind == REPORT_DELIVERY)
        read_delivery(feedback, &report, arena);
    else
        read_complaint(feedback, &report);
}
