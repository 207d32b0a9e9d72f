/* PATCH /emails/{id}: another time for a mail that nobody has tried yet. */
#include "api/call.h"
#include "api/email_view.h"
#include "api/schedule.h"
#include "api/tables.h"
#include "server/base/clock.h"

enum { BODY_MAX = 256 };

const struct field EMAIL_UPDATE_FIELDS[] = {
    {.name = "scheduled_at",
     .type = FIELD_TEXT,
     .required = true,
     .max = TIME_TEXT_MAX},
    {.name = NULL},
};

struct reschedule {
    struct call *call;
    struct id id;
    int64_t due_ms;
    struct faults faults;
};

/* A time that the caller named stays, so the new one must fit it. */
static void check_deadline(struct reschedule *reschedule, int64_t expires_ms)
{
    int64_t ttl_ms = reschedule->call->api->config->worker.message_ttl_ms;

    if (reschedule->due_ms >= expires_ms)
        faults_add(&reschedule->faults, PROBLEM_VALIDATION_ERROR,
                   S("/scheduled_at"), "behind_deadline",
                   "must be before the mail's `expires_at`");
    else if (reschedule->due_ms + ttl_ms < expires_ms)
        faults_add(&reschedule->faults, PROBLEM_VALIDATION_ERROR,
                   S("/scheduled_at"), "too_early",
                   "is more than the %lld hours for which this server tries "
                   "before the mail's `expires_at`",
                   (long long)(ttl_ms / 3600000));
}

/* Else no time will do, whatever its deadline. */
static bool is_waiting(const struct queue_email *email)
{
    for (size_t i = 0; i < email->delivery_count; i++)
        if (email->deliveries[i].state == DELIVERY_DUE)
            return true;
    return false;
}

static bool plan(void *ctx, const struct queue_email *email,
                 struct queue_reschedule *out)
{
    struct reschedule *reschedule = ctx;
    const struct summary *summary = &email->record->summary;
    const struct json *mail = email->record->job.mail;
    struct schedule_end end;

    if (!is_waiting(email))
        return false;
    if (field_is_there(mail, "expires_at")) {
        end = (struct schedule_end){.expires_ms = summary->expires_ms};
        check_deadline(reschedule, end.expires_ms);
    } else {
        end = schedule_end_of(
            summary->mail_class, &reschedule->call->api->config->worker,
            reschedule->due_ms, json_get_int(mail, "expires_in"));
    }
    *out = (struct queue_reschedule){
        .due_ms = reschedule->due_ms,
        .ends_ms = end.expires_ms > 0 ? end.expires_ms
                                      : reschedule->due_ms + end.max_age_ms,
        .expires_ms = end.expires_ms,
    };
    return reschedule->faults.count == 0;
}

static void reply(struct reschedule *reschedule)
{
    struct json_out out;
    struct buf body;

    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "email");
    json_add_str(&out, "id", id_str(&reschedule->id));
    json_close_map(&out);
    call_reply(reschedule->call, 200, &body);
    buf_finish(&body);
}

static void on_moved(void *ctx, const struct queue_email *email)
{
    struct reschedule *reschedule = ctx;
    struct call *call = reschedule->call;

    if (reschedule->faults.count > 0)
        call_fail_faults(call, &reschedule->faults);
    else if (email->status == QUEUE_REFUSED)
        call_fail(call, PROBLEM_NOT_RESCHEDULABLE,
                  arena_printf(call->arena,
                               "The email cannot be rescheduled any more: it "
                               "is %s.",
                               email_status(email))
                      .ptr);
    else if (email->status != QUEUE_OK)
        call_fail_queue(call, email->status, &email->why, "Email not found");
    else
        reply(reschedule);
}

void emails_reschedule(struct call *call)
{
    struct reschedule *reschedule = ARENA_NEW(call->arena, struct reschedule);
    int64_t now_ms = clock_shared_ms();
    struct json *root;

    reschedule->call = call;
    if (!call_id(call, &reschedule->id))
        return;
    root = call_json(call, EMAIL_UPDATE_FIELDS, &reschedule->faults);
    if (root == NULL)
        return;
    reschedule->due_ms = schedule_read_start(root, now_ms, &reschedule->faults);
    if (reschedule->due_ms == 0)
        reschedule->due_ms = now_ms;
    json_destroy(&root);
    if (reschedule->faults.count > 0)
        call_fail_faults(call, &reschedule->faults);
    else
        queue_email_reschedule(call->api->queue, call_owner(call),
                               &reschedule->id, plan, on_moved, reschedule);
}
