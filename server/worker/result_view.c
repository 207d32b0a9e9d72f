#include "server/worker/result_view.h"

#include "server/base/json.h"

static void add_text(struct json_out *out, const char *name, const char *text)
{
    if (text[0] != '\0')
        json_add_cstr(out, name, text);
    else
        json_add_null(out, name);
}

static void add_tls(struct json_out *out, const struct smtp_result *result)
{
    if (result->tls_version[0] == '\0') {
        json_add_null(out, "tls");
        return;
    }
    json_name(out, "tls");
    json_open_map(out);
    json_add_cstr(out, "version", result->tls_version);
    json_add_cstr(out, "cipher", result->tls_cipher);
    json_add_bool(out, "verified", result->tls_verified);
    add_text(out, "certificate_subject", result->tls_subject);
    if (result->tls_not_after_ms > 0)
        json_add_time(out, "certificate_expires_at", result->tls_not_after_ms);
    else
        json_add_null(out, "certificate_expires_at");
    json_close_map(out);
}

/* Those of the opening, or all. */
static void add_phases(struct json_out *out, const struct smtp_result *result,
                       size_t count)
{
    static const char *const NAMES[SMTP_PHASE_COUNT] = {
        [SMTP_PHASE_CONNECT] = "connect_ms", [SMTP_PHASE_TLS] = "tls_ms",
        [SMTP_PHASE_AUTH] = "auth_ms",       [SMTP_PHASE_MAIL] = "mail_ms",
        [SMTP_PHASE_RCPT] = "rcpt_ms",       [SMTP_PHASE_DATA] = "data_ms",
        [SMTP_PHASE_DOT] = "dot_ms",
    };

    json_name(out, "phases");
    json_open_map(out);
    for (size_t i = 0; i < count; i++)
        json_add_int(out, NAMES[i], result->phase_ms[i]);
    json_close_map(out);
}

static void add_result(struct json_out *out,
                       const struct config_upstream *upstream,
                       const struct smtp_result *result, size_t phases)
{
    json_add_cstr(out, "upstream", upstream->name);
    json_add_cstr(out, "host", upstream->host);
    json_add_int(out, "port", upstream->port);
    add_text(out, "address", result->address);
    json_add_time(out, "started_at", result->started_ms);
    add_tls(out, result);
    add_phases(out, result, phases);
    if (result->code != 0)
        json_add_int(out, "code", result->code);
    else
        json_add_null(out, "code");
    add_text(out, "enhanced_code", result->enhanced);
    add_text(out, "response", result->text);
    json_add_str(out, "transcript", result->transcript);
}

void result_view_test(const struct config_upstream *upstream,
                      const struct smtp_result *result, struct buf *buf)
{
    bool has_passed = result->verdict == SMTP_SENT;
    struct json_out out;

    json_out_init(&out, buf);
    json_open_map(&out);
    json_add_cstr(&out, "object", "upstream_test");
    json_add_bool(&out, "passed", has_passed);
    add_text(&out, "failed_at",
             has_passed ? "" : smtp_stage_name(result->stage));
    add_result(&out, upstream, result, SMTP_PHASE_MAIL);
    json_close_map(&out);
}

static const char *outcome_name(enum smtp_verdict verdict)
{
    static const char *const NAMES[] = {
        [SMTP_SENT] = "sent",       [SMTP_SOFT] = "deferred",
        [SMTP_HARD] = "bounced",    [SMTP_UNSENT] = "unsent",
        [SMTP_UNKNOWN] = "unknown",
    };

    return NAMES[verdict];
}

void result_view_trace(const struct config_upstream *upstream, struct str id,
                       const struct smtp_result *result, struct buf *buf)
{
    struct json_out out;

    json_out_init(&out, buf);
    json_open_map(&out);
    if (id.len > 0)
        json_add_str(&out, "delivery", id);
    else
        json_add_null(&out, "delivery");
    json_add_cstr(&out, "outcome", outcome_name(result->verdict));
    json_add_bool(&out, "session_reused", result->reused);
    add_result(&out, upstream, result, SMTP_PHASE_COUNT);
    json_close_map(&out);
}
