/* Looking at an email: what is known of it, its timeline, cancelling it,
 * sending it again and at another time.
 *
 * Whose it is stands in its summary, which may be sealed, so it is read here
 * and not in a script; an email of another owner ends as an unknown one. */
#include "queue/chunks.h"
#include "queue/delivery.h"
#include "server/base/fault.h"
#include "server/base/metrics.h"
#include "server/io/work.h"

#include <string.h>

enum {
    RECORD_MAX = 128 << 20,
    TIMELINE_MAX = 1000,
    /* A record up to here is read and shown on the loop, in half a
     * millisecond; a helper thread takes larger ones. */
    SMALL_RECORD = 64 << 10,
    HELPED_MAX = 64, /* at a time; the others hold the loop */
};

/* Escapes in what was stored: six bytes for one at worst. */
static const size_t SHOWN_MAX = (size_t)6 * RECORD_MAX;

/* One look, step by step: email.lua, then the chunks of a big job, then the
 * timeline if it was asked for, or needed for the attempts. */
struct look {
    struct queue_call call;
    struct id email;
    struct queue_owner owner;
    struct buf bytes; /* the record, or its summary */
    struct record *record;
    enum record_result reading; /* how that came about */
    struct work_job job;
    void (*then)(struct look *look); /* behind the reading */
    const struct queue_delivery *deliveries;
    size_t count;
    unsigned job_chunks;
    size_t inline_len; /* of bytes: what is no chunk */
    bool has_content;  /* more than the summary is kept */
    int64_t changed;   /* by a cancel and the like; -1: it is none */
    struct idempotency idempotency; /* of a retry */
    enum queue_status status;
    struct error why;
    queue_email_view_fn view; /* NULL: none */
    struct buf shown;         /* what it made */
    queue_email_fn done;
    queue_timeline_fn timeline_done; /* NULL: done */
    queue_attempts_fn attempts_done; /* NULL: timeline_done, or done */
    struct event *events;            /* of the timeline */
    size_t event_count;
    /* What is still to be done, one of these or none. */
    queue_retry_fn retry_plan;
    queue_reschedule_fn reschedule_plan;
    void *ctx;
};

static void look_finish(struct queue_call *call)
{
    struct look *look = (struct look *)call;

    buf_finish(&look->bytes);
    buf_finish(&look->shown);
    record_destroy(&look->record);
}

static struct look *look_new(struct queue *queue, struct queue_owner owner,
                             const struct id *email, void *ctx)
{
    struct look *look = queue_call_new(queue, sizeof *look);

    look->call.finish = look_finish;
    look->email = *email;
    look->owner.name = arena_copy(look->call.arena, owner.name);
    look->owner.home = owner.home;
    look->changed = -1;
    look->ctx = ctx;
    buf_init(&look->bytes, RECORD_MAX);
    buf_init(&look->shown, SHOWN_MAX);
    return look;
}

/* --- the end --- */

/* What has changed something is done, whether or not its states can be told. */
static enum queue_status look_status(const struct look *look)
{
    if (look->status == QUEUE_OK && look->changed == 0)
        return QUEUE_REFUSED;
    if (look->status == QUEUE_NOT_READY && look->changed > 0)
        return QUEUE_AWAY;
    return look->status;
}

static struct queue_email look_email(struct look *look)
{
    return (struct queue_email){
        .status = look_status(look),
        .why = look->why,
        .record = look->record,
        .deliveries = look->deliveries,
        .delivery_count = look->count,
        .shown = &look->shown,
    };
}

static void look_tell(struct look *look)
{
    const struct queue_email email = look_email(look);
    const struct queue_timeline timeline = {
        .status = look->status,
        .why = look->why,
    };

    const struct queue_attempts attempts = {
        .status = look->status,
        .why = look->why,
    };

    if (look->attempts_done != NULL)
        look->attempts_done(look->ctx, &attempts);
    else if (look->timeline_done != NULL)
        look->timeline_done(look->ctx, &timeline);
    else
        look->done(look->ctx, &email);
    queue_call_end(&look->call);
}

static void look_fail(struct look *look, enum queue_status status,
                      const char *why)
{
    look->status = status;
    if (why != NULL)
        error_set(&look->why, ERR_REMOTE, "%s", why);
    look_tell(look);
}

/* --- the timeline --- */

static void tell_timeline(struct look *look)
{
    const struct queue_timeline timeline = {
        .events = look->events,
        .count = look->event_count,
        .record = look->record,
    };

    look->timeline_done(look->ctx, &timeline);
    queue_call_end(&look->call);
}

static void on_attempts(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    struct look *look = ctx;
    struct queue_attempts told = {.record = look->record};
    struct attempt *attempts;
    size_t count = 0;

    look->status = reply_status(reply, why, &look->why);
    if (look->status != QUEUE_OK) {
        look_tell(look);
        return;
    }
    attempts = ARENA_ARRAY(look->call.arena, struct attempt,
                           reply_count(reply) + look->event_count);
    for (size_t i = 0; i < reply_count(reply); i++)
        if (attempt_read(reply_str(reply_at(reply, i)), look->call.arena,
                         &attempts[count]))
            count++;
    told.count =
        attempts_merge(attempts, count, look->events, look->event_count);
    told.attempts = attempts;
    look->attempts_done(look->ctx, &told);
    queue_call_end(&look->call);
}

static void ask_list(struct look *look, const char *name, redis_fn fn)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "LRANGE");
    command_add(&command, queue_key(look->call.queue, look->owner.home, key,
                                    "%s%s", name, look->email.text));
    command_add_int(&command, 0);
    command_add_int(&command, TIMELINE_MAX - 1);
    redis_send(look->call.queue->main, &command, REDIS_BUDGET_MS, fn, look);
}

static void on_timeline(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    struct look *look = ctx;

    look->status = reply_status(reply, why, &look->why);
    if (look->status != QUEUE_OK) {
        look_tell(look);
        return;
    }
    look->events =
        ARENA_ARRAY(look->call.arena, struct event, reply_count(reply));
    for (size_t i = 0; i < reply_count(reply); i++)
        if (event_read(reply_str(reply_at(reply, i)), look->call.arena,
                       &look->events[look->event_count]))
            look->event_count++;
    if (look->attempts_done != NULL)
        ask_list(look, KEY_ATTEMPTS, on_attempts);
    else
        tell_timeline(look);
}

static bool wants_timeline(const struct look *look)
{
    return look->timeline_done != NULL || look->attempts_done != NULL;
}

/* --- the record --- */

/* What takes long for a large mail: run is pure. A look that is closed with
 * the queue waits for the thread first (queue_close). */
static void look_help(struct look *look, void (*run)(void *ctx),
                      void (*done)(void *ctx))
{
    struct queue *queue = look->call.queue;

    if (look->bytes.len > SMALL_RECORD) {
        if (queue->helper == NULL)
            queue->helper = work_open(queue->loop, 1, HELPED_MAX);
        work_job_init(&look->job, run, done, look);
        if (work_submit(queue->helper, &look->job))
            return;
    }
    run(look);
    done(look);
}

static void read_record(void *ctx)
{
    struct look *look = ctx;

    look->record = record_read(buf_str(&look->bytes), &look->email,
                               look->call.queue->keyring, &look->reading);
}

static void on_record(void *ctx)
{
    struct look *look = ctx;

    if (look->reading == RECORD_OK)
        look->then(look);
    else if (look->reading == RECORD_NO_KEY)
        look_fail(look, QUEUE_NO_KEYRING,
                  "the mail is sealed under a key that this process lacks");
    else
        look_fail(look, QUEUE_NOT_READY,
                  look->reading == RECORD_NEWER
                      ? "the mail was stored by a newer release"
                      : "the stored mail is broken");
}

static void look_read(struct look *look, void (*then)(struct look *look))
{
    look->then = then;
    record_destroy(&look->record);
    look_help(look, read_record, on_record);
}

static void show(void *ctx)
{
    struct look *look = ctx;
    const struct queue_email email = look_email(look);

    look->view(look->call.arena, &email, &look->shown);
}

static void on_shown(void *ctx)
{
    look_tell(ctx);
}

static void ask_retry(struct look *look);
static void ask_reschedule(struct look *look);

static void look_go_on(struct look *look)
{
    if (wants_timeline(look))
        ask_list(look, KEY_TIMELINE, on_timeline);
    else if (look->retry_plan != NULL)
        ask_retry(look);
    else if (look->reschedule_plan != NULL)
        ask_reschedule(look);
    else if (look->view != NULL)
        look_help(look, show, on_shown);
    else
        look_tell(look);
}

static void on_job(void *ctx, enum queue_status status, const struct error *err,
                   struct buf *bytes)
{
    struct look *look = ctx;

    if (status == QUEUE_OK) {
        buf_add(&look->bytes, buf_str(bytes));
        look_read(look, look_go_on);
    } else if (status == QUEUE_NOT_FOUND) {
        look_go_on(look); /* its bodies have just gone: the summary will do */
    } else {
        look_fail(look, status, err->text);
    }
}

/* The summary tells whose it is; only then its bodies are fetched. */
static void look_content(struct look *look)
{
    if (!str_eq(look->record->summary.owner, look->owner.name))
        look_fail(look, QUEUE_NOT_FOUND, NULL);
    else if (look->has_content && look->job_chunks > 0 && !wants_timeline(look))
        chunks_get(look->call.queue, look->owner.home, &look->email, 0,
                   look->job_chunks, false, on_job, look);
    else
        look_go_on(look);
}

/* --- what email.lua answers --- */

enum { RECORD, HISTORY, DELIVERIES };

static void on_email(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct look *look = ctx;
    struct str record = reply_str(reply_at(reply, RECORD));
    struct str history = reply_str(reply_at(reply, HISTORY));
    const struct reply *list = reply_at(reply, DELIVERIES);
    struct deliveries deliveries;
    bool good;

    look->status = reply_status(reply, why, &look->why);
    if (look->status != QUEUE_OK) {
        look_tell(look);
        return;
    }
    if (history.len == 0 && reply_count(list) == 0) {
        look_fail(look, QUEUE_NOT_FOUND, NULL);
        return;
    }
    look->has_content = record.len > 0;
    look->inline_len = record.len;
    buf_add(&look->bytes, record);
    good = history.len > 0
               ? deliveries_of_history(history, look->call.arena, &deliveries)
               : deliveries_of_fields(list, look->call.arena, &deliveries);
    if (!good) {
        look_fail(look, QUEUE_NOT_READY, "the stored mail is broken");
        return;
    }
    look->deliveries = deliveries.items;
    look->count = deliveries.count;
    look->job_chunks = deliveries.job_chunks;
    if (!look->has_content)
        buf_add(&look->bytes, deliveries.summary);
    look_read(look, look_content);
}

static void look_ask(struct look *look)
{
    struct redis_command command;

    command_init_partition(&command, look->call.queue, SCRIPT_EMAIL,
                           look->owner.home);
    command_add(&command, id_str(&look->email));
    command_add(&command, look->owner.name);
    redis_send(look->call.queue->main, &command, REDIS_BUDGET_MS, on_email,
               look);
}

/* --- sending it again, or at another time --- */

/* Its deliveries as they are now. */
static void look_again(struct look *look)
{
    if (look->status != QUEUE_OK) {
        look_tell(look);
        return;
    }
    buf_clear(&look->bytes);
    record_destroy(&look->record);
    look->count = 0;
    look->job_chunks = 0;
    look_ask(look);
}

/* How many deliveries it moved. */
static void on_moved(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct look *look = ctx;

    FAULT_POINT("reschedule.done");
    look->status = reply_status(reply, why, &look->why);
    look->changed = reply_int(reply);
    look_again(look);
}

/* Of a cancel or a retry, which may have been done before. */
static void look_acted(struct look *look, const struct queue_answer *answer)
{
    look->status = answer->status == QUEUE_DONE ? QUEUE_OK : answer->status;
    look->why = answer->why;
    look->changed = answer->changed;
    look_again(look);
}

static void on_retried(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct queue_answer answer;

    idempotency_read(reply, why, &answer);
    look_acted(ctx, &answer);
}

static void send_retry(struct look *look, const struct queue_retry *retry)
{
    const struct summary *summary = &look->record->summary;
    struct redis_command command;

    command_init_partition(&command, look->call.queue, SCRIPT_RETRY,
                           look->owner.home);
    command_add(&command, look->owner.name);
    command_add(&command, id_str(&look->email));
    command_add_int(&command, mail_class_lane(summary->mail_class));
    command_add_int(&command, (int64_t)summary_recipient_count(summary));
    command_add_cstr(&command, on_unknown_letter(retry->on_unknown));
    command_add_int(&command, retry->ends_ms);
    command_add_int(&command, retry->is_deadline);
    idempotency_add(&command, &look->idempotency);
    for (size_t i = 0; i < retry->recipient_count; i++) {
        command_add_int(&command, retry->recipients[i].number);
        command_add(&command, retry->recipients[i].route);
    }
    redis_send(look->call.queue->main, &command, REDIS_BUDGET_MS, on_retried,
               look);
}

static void ask_retry(struct look *look)
{
    const struct queue_email email = look_email(look);
    struct queue_retry retry = {0};
    queue_retry_fn plan = look->retry_plan;

    look->retry_plan = NULL;
    if (plan(look->ctx, &email, &retry)) {
        send_retry(look, &retry);
        return;
    }
    look->changed = 0;
    look_tell(look);
}

/* The job stays as it is, behind a summary that says the new times. */
static void send_reschedule(struct look *look,
                            const struct queue_reschedule *to)
{
    struct str old = str_slice(buf_str(&look->bytes), 0, look->inline_len);
    struct summary summary = look->record->summary;
    struct redis_command command;
    struct buf record;

    summary.scheduled_ms = to->due_ms;
    summary.expires_ms = to->expires_ms;
    buf_init(&record, RECORD_MAX);
    record_write_summary(look->record->level, &summary,
                         look->call.queue->keyring, &record);
    buf_add(&record, str_from(old, record_summary_end(old)));
    CHECK(!record.full);
    command_init_partition(&command, look->call.queue, SCRIPT_RESCHEDULE,
                           look->owner.home);
    command_add(&command, look->owner.name);
    command_add(&command, id_str(&look->email));
    command_add_int(&command, to->due_ms);
    command_add_int(&command, to->ends_ms);
    command_add(&command, buf_str(&record));
    buf_finish(&record);
    COMMAND_SENT_POINT(&command, "reschedule.sent");
    redis_send(look->call.queue->main, &command, REDIS_BUDGET_MS, on_moved,
               look);
}

static void ask_reschedule(struct look *look)
{
    const struct queue_email email = look_email(look);
    struct queue_reschedule to;
    queue_reschedule_fn plan = look->reschedule_plan;

    look->reschedule_plan = NULL;
    /* Without its content it has ended. */
    if (look->record->job.mail != NULL && plan(look->ctx, &email, &to)) {
        send_reschedule(look, &to);
        return;
    }
    look->changed = 0;
    look_tell(look);
}

/* --- the door --- */

void queue_email_get(struct queue *queue, struct queue_owner owner,
                     const struct id *email, queue_email_view_fn view,
                     queue_email_fn done, void *ctx)
{
    struct look *look = look_new(queue, owner, email, ctx);

    look->view = view;
    look->done = done;
    look_ask(look);
}

void queue_email_events(struct queue *queue, struct queue_owner owner,
                        const struct id *email, queue_timeline_fn done,
                        void *ctx)
{
    struct look *look = look_new(queue, owner, email, ctx);

    look->timeline_done = done;
    look_ask(look);
}

void queue_email_attempts(struct queue *queue, struct queue_owner owner,
                          const struct id *email, queue_attempts_fn done,
                          void *ctx)
{
    struct look *look = look_new(queue, owner, email, ctx);

    look->attempts_done = done;
    look_ask(look);
}

static void on_canceled(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    struct queue_answer answer;

    FAULT_POINT("cancel.done");
    idempotency_read(reply, why, &answer);
    if (answer.status == QUEUE_OK && answer.changed > 0)
        series_add(metrics_series(
                       METRIC_EMAIL_EVENTS,
                       (const char *const[]){event_type_name(EVENT_CANCELED)}),
                   (uint64_t)answer.changed);
    look_acted(ctx, &answer);
}

void queue_email_cancel(struct queue *queue, struct queue_owner owner,
                        const struct id *email,
                        const struct idempotency *idempotency,
                        queue_email_fn done, void *ctx)
{
    struct look *look = look_new(queue, owner, email, ctx);
    struct redis_command command;

    look->done = done;
    command_init_partition(&command, queue, SCRIPT_CANCEL, owner.home);
    command_add(&command, owner.name);
    command_add(&command, id_str(email));
    command_add_int(&command, queue->config->privacy.keep_bodies_ms);
    idempotency_add(&command, idempotency);
    COMMAND_SENT_POINT(&command, "cancel.sent");
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_canceled, look);
}

void queue_email_acted(struct queue *queue, struct queue_owner owner,
                       const struct id *email, int64_t changed,
                       queue_email_fn done, void *ctx)
{
    struct look *look = look_new(queue, owner, email, ctx);

    look->changed = changed;
    look->done = done;
    look_ask(look);
}

void queue_email_retry(struct queue *queue, struct queue_owner owner,
                       const struct id *email,
                       const struct idempotency *idempotency,
                       queue_retry_fn plan, queue_email_fn done, void *ctx)
{
    struct look *look = look_new(queue, owner, email, ctx);

    if (idempotency != NULL)
        look->idempotency = (struct idempotency){
            arena_copy(look->call.arena, idempotency->key_hash),
            arena_copy(look->call.arena, idempotency->fingerprint),
        };
    look->retry_plan = plan;
    look->done = done;
    look_ask(look);
}

void queue_email_reschedule(struct queue *queue, struct queue_owner owner,
                            const struct id *email, queue_reschedule_fn plan,
                            queue_email_fn done, void *ctx)
{
    struct look *look = look_new(queue, owner, email, ctx);

    look->reschedule_plan = plan;
    look->done = done;
    look_ask(look);
}
