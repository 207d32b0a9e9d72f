/* report.h - from what the SMTP engine says to what the queue is told. Pure.
 *
 * Source: queue.md 4 (state table), blueprint 10, ruling 2 (bounced or
 * failed).
 */
#ifndef WORKER_REPORT_H
#define WORKER_REPORT_H

#include "queue/queue.h"
#include "server/base/config.h"
#include "smtp/smtp.h"

enum { REPORT_TLS_SIZE = 64 };

struct report {
    enum outcome outcome;
    int64_t retry_at_ms;        /* OUTCOME_SOFT and UNKNOWN */
    struct event_detail detail; /* texts of result, config and tls */
    char tls[REPORT_TLS_SIZE];
};

struct report_times {
    int64_t now_ms;     /* Unix time */
    int64_t claimed_ms; /* Unix time: when this attempt was claimed */
    uint32_t random;    /* for the jitter */
};

/* Everything lives as long as result and report itself. */
void report_make(const struct queue_claim *claim,
                 const struct smtp_result *result,
                 const struct config_worker *config,
                 const struct report_times *times, struct report *report);

/* One try of one upstream, whatever it was made for: of which delivery it is,
 * and how long that had waited, is the caller's to say. Texts live as long as
 * result and tls. */
void report_attempt(const struct smtp_result *result, char tls[REPORT_TLS_SIZE],
                    struct attempt *attempt);

#endif
