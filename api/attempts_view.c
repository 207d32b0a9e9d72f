#include "api/email_view.h"
#include "api/page.h"
#include "server/base/json.h"

static void add_text(struct json_out *out, const char *name, struct str text)
{
    if (text.len > 0)
        json_add_str(out, name, text);
    else
        json_add_null(out, name);
}

static void add_number(struct json_out *out, const char *name, int64_t number,
                       bool is_known)
{
    if (is_known)
        json_add_int(out, name, number);
    else
        json_add_null(out, name);
}

/* Of a reused session the opening took no time of this mail. */
static void add_phases(struct json_out *out, const struct event_detail *detail)
{
    static const char *const NAMES[PHASES_MAX] = {
        "connect_ms", "tls_ms",  "auth_ms", "mail_ms",
        "rcpt_ms",    "data_ms", "dot_ms",
    };

    json_name(out, "phases");
    json_open_map(out);
    json_add_int(out, "queue_ms", detail->queued_ms);
    for (size_t i = 0; i < PHASES_MAX; i++)
        add_number(out, NAMES[i], detail->phase_ms[i],
                   i >= PHASES_MAX - detail->phase_count);
    json_close_map(out);
}

/* "TLSv1.3 TLS_AES_256_GCM_SHA384", with "unverified" behind it. */
static void add_tls(struct json_out *out, const struct event_detail *detail)
{
    struct str rest = detail->tls;
    struct str version = S("");
    struct str cipher = S("");

    if (detail->tls.len == 0) {
        json_add_null(out, "tls");
        return;
    }
    if (str_cut(&rest, ' ', &version))
        (void)str_cut(&rest, ' ', &cipher);
    json_name(out, "tls");
    json_open_map(out);
    json_add_str(out, "version", version);
    json_add_str(out, "cipher", cipher);
    json_add_bool(out, "verified", rest.len == 0);
    add_text(out, "certificate_subject", detail->tls_subject);
    if (detail->tls_not_after_ms > 0)
        json_add_time(out, "certificate_expires_at", detail->tls_not_after_ms);
    else
        json_add_null(out, "certificate_expires_at");
    json_close_map(out);
}

static struct str recipient_of(const struct attempt *attempt,
                               const struct summary *summary)
{
    struct str mailbox;
    const char *kind;

    return summary_recipient(summary, attempt->number, &mailbox, &kind)
               ? mailbox_address(mailbox)
               : S("");
}

static void put_attempt(struct json_out *out, const struct attempt *attempt,
                        const struct summary *summary)
{
    const struct event_detail *detail = &attempt->detail;

    json_open_map(out);
    json_add_str(out, "recipient", recipient_of(attempt, summary));
    json_add_int(out, "attempt", attempt->attempt);
    json_add_cstr(out, "outcome", attempt_outcome_name(attempt->outcome));
    json_add_time(out, "started_at", attempt->started_ms);
    add_text(out, "upstream", detail->upstream);
    add_text(out, "host", detail->mx);
    add_text(out, "address", detail->address);
    add_text(out, "hedged_with", detail->hedge);
    json_add_bool(out, "session_reused", detail->phase_count == PHASES_REUSED);
    add_tls(out, detail);
    add_phases(out, detail);
    add_number(out, "code", detail->code, detail->code != 0);
    add_text(out, "enhanced_code", detail->enhanced_code);
    add_text(out, "response", detail->response);
    add_text(out, "transcript", attempt->transcript);
    json_close_map(out);
}

void attempts_view(const struct queue_attempts *attempts, struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    page_open(&out, false);
    for (size_t i = 0; i < attempts->count; i++)
        put_attempt(&out, &attempts->attempts[i], &attempts->record->summary);
    page_close(&out);
}
