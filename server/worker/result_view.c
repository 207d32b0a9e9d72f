#include "server/worker/result_view.h"

#include "server/base/json.h"
#include "server/worker/report.h"

static void add_phases(struct json_out *out, const struct smtp_result *result)
{
    json_name(out, "phases");
    json_open_map(out);
    json_add_int(out, "connect_ms", result->phase_ms[SMTP_PHASE_CONNECT]);
    json_add_int(out, "tls_ms", result->phase_ms[SMTP_PHASE_TLS]);
    json_add_int(out, "auth_ms", result->phase_ms[SMTP_PHASE_AUTH]);
    json_close_map(out);
}

static void add_test(struct json_out *out,
                     const struct config_upstream *upstream,
                     const struct smtp_result *result)
{
    bool has_passed = result->verdict == SMTP_SENT;
    const char *step = has_passed ? "" : smtp_stage_name(result->stage);
    char tls[REPORT_TLS_SIZE];
    struct attempt attempt;

    report_attempt(result, tls, &attempt);
    json_add_cstr(out, "object", "upstream_test");
    json_add_bool(out, "passed", has_passed);
    json_add_str_or_null(out, "failed_at", str_of(step));
    json_add_cstr(out, "upstream", upstream->name);
    json_add_cstr(out, "host", upstream->host);
    json_add_int(out, "port", upstream->port);
    json_add_str_or_null(out, "address", attempt.detail.address);
    json_add_time(out, "started_at", attempt.started_ms);
    attempt_show_tls(&attempt.detail, out);
    add_phases(out, result);
    if (result->code != 0)
        json_add_int(out, "code", result->code);
    else
        json_add_null(out, "code");
    json_add_str_or_null(out, "enhanced_code", attempt.detail.enhanced_code);
    json_add_str_or_null(out, "response", attempt.detail.response);
    json_add_str(out, "transcript", attempt.transcript);
}

void result_view_test(const struct config_upstream *upstream,
                      const struct smtp_result *result, struct buf *buf)
{
    struct json_out out;

    json_out_init(&out, buf);
    json_open_map(&out);
    add_test(&out, upstream, result);
    json_close_map(&out);
}

void result_view_trace(struct str id, const struct smtp_result *result,
                       struct buf *buf)
{
    char tls[REPORT_TLS_SIZE];
    struct attempt attempt;
    struct json_out out;

    report_attempt(result, tls, &attempt);
    json_out_init(&out, buf);
    json_open_map(&out);
    json_add_str_or_null(&out, "delivery", id);
    attempt_show(&attempt, &out);
    json_close_map(&out);
}
