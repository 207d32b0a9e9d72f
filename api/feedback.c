/* POST /feedback, and what `posthaste feedback` has of it. */
#include "api/call.h"
#include "api/tables.h"
#include "server/base/codec.h"
#include "smtp/message/message.h"
#include "smtp/smtp.h"

enum {
    RECIPIENT_MAX = 1024,
    MESSAGE_MAX = 64 << 20, /* the body's limit is below that */
    ANSWER_MAX = 4096,
};

const struct field FEEDBACK_FIELDS[] = {
    {.name = "message",
     .type = FIELD_TEXT,
     .required = true,
     .max = MESSAGE_MAX},
    {.name = "recipient", .type = FIELD_TEXT, .max = RECIPIENT_MAX},
    {.name = NULL},
};

/* --- with the queue --- */

static const enum event_type EVENTS[] = {
    [SMTP_FEEDBACK_BOUNCED] = EVENT_BOUNCED,
    [SMTP_FEEDBACK_DELIVERED] = EVENT_DELIVERED,
    [SMTP_FEEDBACK_COMPLAINED] = EVENT_COMPLAINED,
};

/* That of the delivery: the report's own may be any, since whoever got the
 * mail can write one. */
static bool give_address(void *ctx, struct str mailbox, struct arena *arena,
                         struct suppression_entry *entry)
{
    struct mailbox box;

    (void)ctx;
    if (mailbox_parse(arena, mailbox, &box) != FLAW_NONE)
        return false;
    *entry = (struct suppression_entry){
        .address = arena_copy(arena, mailbox_address(mailbox)),
        .key = box.key,
    };
    return true;
}

static void on_taken(void *ctx, const struct queue_feedback_answer *answer)
{
    struct api_feedback *feedback = ctx;

    feedback->answer = *answer;
    feedback->done(feedback->ctx);
}

bool api_feedback_take(struct api_feedback *feedback, struct queue *queue,
                       const struct queue_owner *owner)
{
    const struct smtp_feedback *said = &feedback->said;
    struct queue_feedback told = {.email = said->email, .number = said->number};

    if (said->kind < SMTP_FEEDBACK_BOUNCED)
        return false;
    told.type = EVENTS[said->kind];
    told.address = said->suppress ? give_address : NULL;
    if (said->bounce != NULL)
        told.detail = (struct event_detail){
            .code = (int)said->code,
            .enhanced_code = said->enhanced,
            .response = said->text,
            .bounce_type = str_of(said->bounce->type),
            .bounce_subtype = str_of(said->bounce->subtype),
        };
    queue_feedback(queue, owner, &told, on_taken, feedback);
    return true;
}

/* Why nothing follows; NULL: something does. */
static const char *reason_of(const struct api_feedback *feedback)
{
    switch (feedback->said.kind) {
    case SMTP_FEEDBACK_NO_REPORT:
        return "not_a_report";
    case SMTP_FEEDBACK_UNSIGNED:
        return "not_signed";
    case SMTP_FEEDBACK_NEWS:
        return "no_outcome";
    case SMTP_FEEDBACK_BOUNCED:
    case SMTP_FEEDBACK_DELIVERED:
    case SMTP_FEEDBACK_COMPLAINED:
        break;
    }
    if (feedback->answer.fate == FEEDBACK_ENDED)
        return "ended_otherwise";
    return feedback->answer.fate == FEEDBACK_GONE ? "not_known" : NULL;
}

void api_feedback_write(const struct api_feedback *feedback, struct buf *buf)
{
    const struct smtp_feedback *said = &feedback->said;
    const char *reason = reason_of(feedback);
    struct json_out out;

    json_out_init(&out, buf);
    json_open_map(&out);
    json_add_cstr(&out, "object", "feedback");
    json_add_cstr(&out, "outcome",
                  reason != NULL                            ? "ignored"
                  : feedback->answer.fate == FEEDBACK_KNOWN ? "repeated"
                                                            : "recorded");
    if (reason != NULL)
        json_add_cstr(&out, "reason", reason);
    if (said->kind >= SMTP_FEEDBACK_NEWS)
        json_add_str(&out, "email_id", id_str(&said->email));
    if (said->kind >= SMTP_FEEDBACK_BOUNCED)
        json_add_cstr(&out, "type", event_type_name(EVENTS[said->kind]));
    json_add_bool(&out, "suppressed", feedback->answer.suppressed);
    json_close_map(&out);
}

/* --- POST /feedback --- */

struct taking {
    struct call *call;
    struct work_job job;
    struct json *root;
    struct faults faults;
    struct buf decoded; /* of base64 */
    struct queue_owner owner;
    struct api_feedback feedback;
};

static void taking_release(void *own)
{
    struct taking *taking = own;

    json_destroy(&taking->root);
    buf_finish(&taking->decoded);
}

/* A message has a field, so a colon, which base64 has not. */
static struct str message_of(struct taking *taking)
{
    struct str text = json_get_str(taking->root, "message");
    struct buf letters;
    bool good;

    if (str_index(text, ':', 0) >= 0)
        return text;
    buf_init(&letters, text.len);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '\r' && text.ptr[i] != '\n')
            buf_add_char(&letters, text.ptr[i]);
    good = codec_base64_decode(buf_str(&letters), &taking->decoded);
    buf_finish(&letters);
    if (!good)
        faults_add(&taking->faults, PROBLEM_VALIDATION_ERROR, S("/message"),
                   "bad_message",
                   "must be a message (RFC 5322), as it is or in base64");
    return buf_str(&taking->decoded);
}

/* Pure, so that a thread can do it. */
static void read_run(void *ctx)
{
    struct taking *taking = ctx;
    struct call *call = taking->call;
    struct error err;
    struct str message;

    taking->root = json_parse(http_body(call->request), &err);
    if (taking->root == NULL) {
        faults_add(&taking->faults, PROBLEM_BAD_JSON, S(""), "bad_json",
                   "is not valid JSON: %s", err.text);
        return;
    }
    if (json_type_of(taking->root) != JSON_MAP) {
        faults_add(&taking->faults, PROBLEM_VALIDATION_ERROR, S(""), "type",
                   "must be a JSON object");
        return;
    }
    fields_check(FEEDBACK_FIELDS, taking->root, S(""), &taking->faults);
    if (taking->faults.count > 0)
        return;
    message = message_of(taking);
    smtp_feedback_read(&taking->feedback.said, queue_keyring(call->api->queue),
                       json_get_str(taking->root, "recipient"), message,
                       call->arena);
}

static void tell(struct taking *taking)
{
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    api_feedback_write(&taking->feedback, &body);
    call_reply(taking->call, 200, &body);
    buf_finish(&body);
}

static void on_done(void *ctx)
{
    struct taking *taking = ctx;
    const struct queue_feedback_answer *answer = &taking->feedback.answer;

    if (answer->status != QUEUE_OK)
        call_fail_queue(taking->call, answer->status, &answer->why,
                        "Email not found");
    else if (answer->fate == FEEDBACK_OPEN)
        call_fail(taking->call, PROBLEM_NOT_ENDED,
                  "The delivery has not ended yet: ask again later.");
    else
        tell(taking);
}

static void on_read(void *ctx)
{
    struct taking *taking = ctx;

    if (taking->faults.count > 0) {
        call_fail_faults(taking->call, &taking->faults);
        return;
    }
    if (!call_goes_on(taking->call))
        return;
    taking->owner = call_owner(taking->call);
    if (!api_feedback_take(&taking->feedback, taking->call->api->queue,
                           &taking->owner))
        tell(taking);
}

void feedback_take(struct call *call)
{
    struct taking *taking = ARENA_NEW(call->arena, struct taking);
    const struct error why = {0};

    taking->call = call;
    faults_init(&taking->faults, call->arena);
    buf_init(&taking->decoded, MESSAGE_MAX);
    taking->feedback.done = on_done;
    taking->feedback.ctx = taking;
    call->own = taking;
    call->release = taking_release;
    if (queue_keyring(call->api->queue) == NULL) {
        call_fail_queue(call, QUEUE_NO_KEYRING, &why, NULL);
        return;
    }
    if (http_body(call->request).len <= CALL_SMALL_BODY) {
        read_run(taking);
        on_read(taking);
        return;
    }
    work_job_init(&taking->job, read_run, on_read, taking);
    if (!work_submit(call->api->work, &taking->job))
        call_fail(call, PROBLEM_UNAVAILABLE,
                  "Too many large requests at once.");
}
