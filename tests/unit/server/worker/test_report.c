#include "server/worker/report.h"

#include "check_cmocka.h"

enum { NOW = 1764000100, SECOND = 1000 };
static const int64_t NOW_MS = (int64_t)NOW * SECOND;
static const int64_t DUE_MS = (int64_t)(NOW - 2) * SECOND;

/* What the engine says, and what the queue is told. */
static const struct story {
    const char *name;
    struct smtp_result result;
    enum mail_class mail_class;
    unsigned attempt;
    int64_t deadline_ms; /* from now; 0: none */
    enum outcome outcome;
    int64_t retry_min_ms; /* from now */
    int64_t retry_max_ms;
    const char *reason;
} STORIES[] = {
    {
        .name = "taken: sent",
        .result = {.verdict = SMTP_SENT, .code = 250},
        .attempt = 1,
        .outcome = OUTCOME_SENT,
    },
    {
        .name = "a soft refusal is tried again by the plan of its class",
        .result = {.verdict = SMTP_SOFT, .code = 451},
        .mail_class = CLASS_VERIFICATION,
        .attempt = 2,
        .deadline_ms = 600 * SECOND,
        .outcome = OUTCOME_SOFT,
        .retry_min_ms = 12 * SECOND,
        .retry_max_ms = 18 * SECOND,
    },
    {
        .name = "no next try before the deadline: expired",
        .result = {.verdict = SMTP_SOFT, .code = 451},
        .mail_class = CLASS_VERIFICATION,
        .attempt = 4,
        .deadline_ms = 20 * SECOND,
        .outcome = OUTCOME_EXPIRED,
        .reason = "expired",
    },
    {
        .name = "refused for good: bounced, with Resend's words",
        .result = {.verdict = SMTP_HARD,
                   .code = 550,
                   .bounce = SMTP_BOUNCE_INVALID_RECIPIENT},
        .attempt = 1,
        .outcome = OUTCOME_BOUNCED,
    },
    {
        .name = "the deadline passed before the dot: expired",
        .result = {.verdict = SMTP_UNSENT, .unsent = SMTP_UNSENT_DEADLINE},
        .attempt = 1,
        .outcome = OUTCOME_EXPIRED,
        .reason = "expired",
    },
    {
        .name = "no room after all: given back, no attempt",
        .result = {.verdict = SMTP_UNSENT, .unsent = SMTP_UNSENT_ROOM},
        .attempt = 1,
        .outcome = OUTCOME_UNSENT,
    },
    {
        .name = "its domain wants fewer at a time: it waits, no attempt",
        .result = {.verdict = SMTP_UNSENT,
                   .unsent = SMTP_UNSENT_DOMAIN,
                   .hold_ms = 1500},
        .attempt = 1,
        .outcome = OUTCOME_UNSENT,
        .retry_min_ms = 1500,
        .retry_max_ms = 1500,
    },
    {
        .name = "the mark was refused: given back, the script knows better",
        .result = {.verdict = SMTP_UNSENT, .unsent = SMTP_UNSENT_MARK},
        .attempt = 1,
        .outcome = OUTCOME_UNSENT,
    },
    {
        .name = "lost behind the dot: unknown",
        .result = {.verdict = SMTP_UNKNOWN, .stage = SMTP_STAGE_DOT},
        .attempt = 1,
        .mail_class = CLASS_RESET,
        .outcome = OUTCOME_UNKNOWN,
        .retry_min_ms = 8 * SECOND,
        .retry_max_ms = 12 * SECOND,
    },
    {
        .name = "lost behind the dot, no time for another try: at its end",
        .result = {.verdict = SMTP_UNKNOWN, .stage = SMTP_STAGE_DOT},
        .attempt = 4,
        .mail_class = CLASS_VERIFICATION,
        .deadline_ms = 20 * SECOND,
        .outcome = OUTCOME_UNKNOWN,
        .retry_min_ms = 20 * SECOND,
        .retry_max_ms = 20 * SECOND,
    },
};

static void run(const struct story *story)
{
    static const struct config_worker config = {.message_ttl_ms = 259200000};
    struct record record = {.summary = {.mail_class = story->mail_class}};
    const struct queue_claim claim = {
        .attempt = story->attempt,
        .accepted_ms = DUE_MS,
        .deadline_ms =
            story->deadline_ms == 0 ? 0 : NOW_MS + story->deadline_ms,
        .expires_ms = story->deadline_ms == 0 ? 0 : NOW_MS + story->deadline_ms,
        .record = &record,
    };
    const struct report_times times = {NOW_MS, NOW_MS - 500, 77};
    struct smtp_result result = story->result;
    struct report report;

    result.enhanced = "";
    result.text = "as the server put it";
    result.upstream = "main";
    result.host = "mx.example.com";
    result.tls_version = "TLSv1.3";
    result.tls_cipher = "TLS_AES_256_GCM_SHA384";
    result.tls_verified = true;
    report_make(&claim, &result, &config, &times, &report);
    if (report.outcome != story->outcome)
        fail_msg("%s: outcome %d", story->name, (int)report.outcome);
    if (story->retry_max_ms > 0)
        assert_in_range((uintmax_t)(report.retry_at_ms - NOW_MS),
                        (uintmax_t)story->retry_min_ms,
                        (uintmax_t)story->retry_max_ms);
    assert_true(str_eq(report.detail.reason, str_of(story->reason)));
    assert_int_equal(report.detail.code, (int)story->result.code);
    assert_int_equal(report.detail.queued_ms, 1500);
    assert_int_equal(report.detail.total_ms, 2000);
    assert_true(str_eq(report.detail.tls, S("TLSv1.3 TLS_AES_256_GCM_SHA384")));
    assert_true(str_eq(report.detail.mx, S("mx.example.com")));
    assert_int_equal(report.detail.bounce_type.len > 0,
                     story->outcome == OUTCOME_BOUNCED);
}

static void every_story_ends_as_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(STORIES); i++)
        run(&STORIES[i]);
}

static void a_certificate_that_nobody_verified_is_told(void **state)
{
    static const struct config_worker config = {.message_ttl_ms = 259200000};
    struct record record = {0};
    const struct queue_claim claim = {.attempt = 1, .record = &record};
    const struct report_times times = {NOW_MS, NOW_MS, 0};
    const struct smtp_result result = {
        .verdict = SMTP_SENT,
        .enhanced = "",
        .text = "",
        .upstream = "main",
        .host = "mx.example.com",
        .tls_version = "TLSv1.2",
        .tls_cipher = "ECDHE-ECDSA-CHACHA20-POLY1305",
    };
    struct report report;

    (void)state;
    report_make(&claim, &result, &config, &times, &report);
    assert_true(str_eq(report.detail.tls,
                       S("TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305 unverified")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_story_ends_as_told),
        cmocka_unit_test(a_certificate_that_nobody_verified_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
