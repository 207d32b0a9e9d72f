/* schedule.h - when a mail goes, and until when, as callers say it. Pure.
 *
 * Source: docs/api.md; the plans of the classes (smtp/retry.h).
 */
#ifndef API_SCHEDULE_H
#define API_SCHEDULE_H

#include "api/faults.h"
#include "server/base/config.h"
#include "server/base/json.h"
#include "server/base/mail_class.h"

#include <stdbool.h>
#include <stdint.h>

enum { TIME_TEXT_MAX = 64 };

/* The member of that name, which holds a text. False: absent, or no time,
 * and then faults say so. */
MUST_USE bool schedule_read_time(const struct json *body, const char *name,
                                 int64_t now_ms, struct faults *faults,
                                 int64_t *at_ms);

/* scheduled_at: when to send; 0: now. Beyond 30 days is a fault. */
int64_t schedule_read_start(const struct json *body, int64_t now_ms,
                            struct faults *faults);

/* The end of a mail's life. */
struct schedule_end {
    int64_t expires_ms; /* a deadline; 0: none, then */
    int64_t max_age_ms; /* counted from the due time */
};
/* What a mail has that names no time: expires_in counts from its due time
 * (expires_in_s 0: the class decides). */
struct schedule_end schedule_end_of(enum mail_class mail_class,
                                    const struct config_worker *worker,
                                    int64_t due_ms, int64_t expires_in_s);

#endif
