#include "api/schedule.h"

#include "api/fields.h"
#include "api/when.h"
#include "smtp/smtp.h"

enum { SCHEDULE_DAYS_MAX = 30 };

#define DAY_MS (INT64_C(86400) * 1000)

bool schedule_read_time(const struct json *body, const char *name,
                        int64_t now_ms, struct faults *faults, int64_t *at_ms)
{
    if (!field_is_there(body, name))
        return false;
    if (when_parse(json_get_str(body, name), now_ms, at_ms))
        return true;
    faults_add(faults, PROBLEM_VALIDATION_ERROR,
               pointer_member(faults->arena, S(""), str_of(name)), "bad_time",
               "is no time: want \"2026-11-24T12:00:00Z\" or \"in 10 "
               "minutes\" (hours, days)");
    return false;
}

int64_t schedule_read_start(const struct json *body, int64_t now_ms,
                            struct faults *faults)
{
    int64_t at_ms;

    if (!schedule_read_time(body, "scheduled_at", now_ms, faults, &at_ms))
        return 0;
    if (at_ms > now_ms + SCHEDULE_DAYS_MAX * DAY_MS)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/scheduled_at"),
                   "too_late", "may be at most %d days ahead",
                   SCHEDULE_DAYS_MAX);
    return at_ms > now_ms ? at_ms : 0;
}

struct schedule_end schedule_end_of(enum mail_class mail_class,
                                    const struct config_worker *worker,
                                    int64_t due_ms, int64_t expires_in_s)
{
    const struct smtp_plan *plan = smtp_retry_plan(mail_class);
    struct schedule_end end = {0};

    if (expires_in_s > 0)
        end.expires_ms = due_ms + expires_in_s * 1000;
    else if (plan->deadline_ms > 0)
        end.expires_ms = due_ms + plan->deadline_ms;
    else
        end.max_age_ms =
            plan->age_max_ms > 0 ? plan->age_max_ms : worker->message_ttl_ms;
    return end;
}
