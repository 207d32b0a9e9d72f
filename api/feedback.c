#include "api/api.h"

#include "server/base/json.h"
#include "smtp/message/message.h"

static const enum event_type EVENTS[] = {
    [SMTP_FEEDBACK_BOUNCED] = EVENT_BOUNCED,
    [SMTP_FEEDBACK_DELIVERED] = EVENT_DELIVERED,
    [SMTP_FEEDBACK_COMPLAINED] = EVENT_COMPLAINED,
};

/* That of the delivery; the report's own may be one that it stands for. */
static bool give_address(void *ctx, struct str mailbox, struct arena *arena,
                         struct suppression_entry *entry)
{
    const struct api_feedback *feedback = ctx;
    struct str text = mailbox.len > 0 ? mailbox : feedback->said.address;
    struct mailbox box;

    if (mailbox_parse(arena, text, &box) != FLAW_NONE)
        return false;
    *entry = (struct suppression_entry){
        .address = arena_copy(arena, mailbox_address(text)),
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
