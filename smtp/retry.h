/* retry.h - when a mail is tried again, and when it is given up.
 *
 * Pure: class, attempt and what the server said in; a time out. It knows no
 * clock and no queue. The table of classes (delays, default deadline,
 * maximum age) stands here alone; api/ takes its defaults from it too.
 */
#ifndef SMTP_RETRY_H
#define SMTP_RETRY_H

#include "server/base/config.h"
#include "server/base/mail_class.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct smtp_plan {
    int64_t delays_ms[8]; /* behind each soft failure; the last repeats */
    size_t delay_count;
    int64_t deadline_ms; /* for mails that name none; 0: none */
    int64_t age_max_ms;  /* 0: worker.message_ttl */
};
const struct smtp_plan *smtp_retry_plan(enum mail_class mail_class);

/* What a soft reply asks of the next try, beside the class's own plan. */
enum smtp_pace {
    SMTP_PACE_PLAN,
    SMTP_PACE_GREYLIST,  /* not before 60 s, or it counts as the first again */
    SMTP_PACE_RATE,      /* rate words: the upstream or site wants less */
    SMTP_PACE_FREQUENCY, /* QQ's secret limits: 10 min, 1 h, then 24 h */
};

struct smtp_retry {
    enum mail_class mail_class;
    unsigned attempt; /* attempts made so far, this one included: from 1 */
    enum smtp_pace pace;
    const struct config_worker *worker; /* retry, message_ttl_ms */
    int64_t now_ms;                     /* Unix time, as all times here */
    int64_t first_due_ms;               /* when the mail was due first */
    int64_t deadline_ms;                /* the mail's own; 0: none */
    uint32_t random; /* any; jitter of up to 20 % either way */
};

/* When to try again; 0 when that would lie at or past the deadline, or the
 * maximum age where there is no deadline: the mail is expired. */
int64_t smtp_retry_at_ms(const struct smtp_retry *retry);

/* When the mail is given up at the latest: its deadline, else first due plus
 * the maximum age of its class. */
int64_t smtp_expires_ms(enum mail_class mail_class,
                        const struct config_worker *worker,
                        int64_t first_due_ms, int64_t deadline_ms);

#endif
