#include "api/email_view.h"

#include "api/page.h"
#include "server/base/json.h"
#include "smtp/message/message.h"

/* Our word, and the nearest one that Resend's SDKs know (last_event). */
static const struct {
    const char *status;
    const char *last_event;
} STATES[DELIVERY_STATE_COUNT] = {
    [DELIVERY_QUEUED] = {"queued", "queued"},
    [DELIVERY_DUE] = {"scheduled", "scheduled"},
    [DELIVERY_CLAIMED] = {"sending", "queued"},
    [DELIVERY_DOTTED] = {"sending", "queued"},
    [DELIVERY_HELD] = {"held", "delivery_delayed"},
    [DELIVERY_DEAD] = {"held", "delivery_delayed"},
    [DELIVERY_SENT] = {"sent", "sent"},
    [DELIVERY_BOUNCED] = {"bounced", "bounced"},
    [DELIVERY_FAILED] = {"failed", "failed"},
    [DELIVERY_SUPPRESSED] = {"suppressed", "suppressed"},
    [DELIVERY_EXPIRED] = {"expired", "failed"},
    [DELIVERY_SUPERSEDED] = {"superseded", "failed"},
    [DELIVERY_CANCELED] = {"canceled", "canceled"},
};

/* The same in both. */
static const char *const SEQUELS[] = {
    [SEQUEL_BOUNCED] = "bounced",
    [SEQUEL_DELIVERED] = "delivered",
    [SEQUEL_COMPLAINED] = "complained",
};

static const char *delivery_status(const struct queue_delivery *delivery)
{
    if (delivery->state == DELIVERY_DUE && delivery->attempts > 0)
        return "deferred";
    if (delivery->sequel != SEQUEL_NONE)
        return SEQUELS[delivery->sequel];
    return STATES[delivery->state].status;
}

static const char *delivery_event(const struct queue_delivery *delivery)
{
    if (!delivery_is_final(delivery->state) && delivery->attempts > 0)
        return "delivery_delayed";
    if (delivery->sequel != SEQUEL_NONE)
        return SEQUELS[delivery->sequel];
    return STATES[delivery->state].last_event;
}

const char *email_status(const struct queue_email *email)
{
    const struct queue_delivery *deliveries = email->deliveries;
    const char *first;

    if (email->delivery_count == 0)
        return "queued"; /* stored, its deliveries not yet made */
    first = delivery_status(&deliveries[0]);
    for (size_t i = 0; i < email->delivery_count; i++)
        if (!delivery_is_final(deliveries[i].state))
            return delivery_status(&deliveries[i]);
    for (size_t i = 1; i < email->delivery_count; i++)
        if (!str_eq(str_of(first), str_of(delivery_status(&deliveries[i]))))
            return "partial";
    return first;
}

bool email_status_is_one(struct str word)
{
    static const char *const OTHERS[] = {"deferred", "delivered", "complained",
                                         "partial"};

    for (size_t i = 0; i < DELIVERY_STATE_COUNT; i++)
        if (str_eq(word, str_of(STATES[i].status)))
            return true;
    for (size_t i = 0; i < COUNT_OF(OTHERS); i++)
        if (str_eq(word, str_of(OTHERS[i])))
            return true;
    return false;
}

static int64_t told_ms(const struct queue_delivery *delivery)
{
    return delivery->sequel_ms > 0 ? delivery->sequel_ms : delivery->ended_ms;
}

/* Of the recipient of whom something was told last; as long as nothing is, of
 * the first. */
static const char *last_event(const struct queue_email *email)
{
    const struct queue_delivery *last = email->deliveries;

    if (email->delivery_count == 0)
        return "queued";
    for (size_t i = 1; i < email->delivery_count; i++)
        if (told_ms(&email->deliveries[i]) > told_ms(last))
            last = &email->deliveries[i];
    return delivery_event(last);
}

static void add_texts(struct json_out *out, const char *name,
                      const struct str *texts, size_t count, bool may_be_null)
{
    if (count == 0 && may_be_null) {
        json_add_null(out, name);
        return;
    }
    json_name(out, name);
    json_open_list(out);
    for (size_t i = 0; i < count; i++)
        json_put_str(out, texts[i]);
    json_close_list(out);
}

static void add_body(struct json_out *out, const char *name,
                     const struct record *record)
{
    const struct json *text = json_get(record->job.mail, name);

    if (record->summary.sensitive || json_type_of(text) != JSON_TEXT)
        json_add_null(out, name);
    else
        json_add_str(out, name, json_str(text));
}

static void add_recipient(struct json_out *out, struct arena *arena,
                          const struct summary *summary,
                          const struct queue_delivery *delivery)
{
    struct str text = S("");
    const char *kind = "to";
    struct mailbox box;

    if (summary != NULL &&
        summary_recipient(summary, delivery->number, &text, &kind) &&
        mailbox_parse(arena, text, &box) == FLAW_NONE)
        text = box.address;
    json_open_map(out);
    json_add_str(out, "address", text);
    json_add_cstr(out, "kind", kind);
    json_add_cstr(out, "status", delivery_status(delivery));
    if (delivery->code > 0)
        json_add_int(out, "code", delivery->code);
    else
        json_add_null(out, "code");
    json_add_str_or_null(out, "enhanced_code", delivery->enhanced_code);
    json_add_str_or_null(out, "response", delivery->response);
    json_add_int(out, "attempts", delivery->attempts);
    json_add_time_or_null(out, "next_attempt_at", delivery->next_attempt_ms);
    json_close_map(out);
}

static void add_recipients(struct json_out *out, struct arena *arena,
                           const struct queue_email *email)
{
    json_name(out, "recipients");
    json_open_list(out);
    for (size_t i = 0; i < email->delivery_count; i++)
        add_recipient(out, arena, &email->record->summary,
                      &email->deliveries[i]);
    json_close_list(out);
}

/* What a mail shows in the list, too, in two parts around its bodies. */
static void add_head(struct json_out *out, const struct summary *summary)
{
    json_add_str(out, "id", id_str(&summary->email));
    json_add_str(out, "message_id", summary->message_id);
    add_texts(out, "to", summary->to, summary->to_count, false);
    json_add_str(out, "from", summary->from);
    json_add_time(out, "created_at", summary->created_ms);
    json_add_str(out, "subject", summary->subject);
}

static void add_rest(struct json_out *out, const struct queue_email *email)
{
    const struct summary *summary = &email->record->summary;

    add_texts(out, "cc", summary->cc, summary->cc_count, true);
    add_texts(out, "bcc", summary->bcc, summary->bcc_count, true);
    add_texts(out, "reply_to", summary->reply_to, summary->reply_to_count,
              true);
    json_add_cstr(out, "last_event", last_event(email));
    json_add_time_or_null(out, "scheduled_at", summary->scheduled_ms);
    json_name(out, "tags");
    json_put_raw(out,
                 summary->tags_json.len > 0 ? summary->tags_json : S("[]"));
    json_add_cstr(out, "status", email_status(email));
    json_add_cstr(out, "class", mail_class_name(summary->mail_class));
}

void email_view(struct arena *arena, const struct queue_email *email,
                struct buf *body)
{
    const struct summary *summary = &email->record->summary;
    struct json_out out;

    json_out_init(&out, body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "email");
    add_head(&out, summary);
    add_body(&out, "html", email->record);
    add_body(&out, "text", email->record);
    add_rest(&out, email);
    json_add_bool(&out, "sensitive", summary->sensitive);
    json_add_time_or_null(&out, "expires_at", summary->expires_ms);
    json_name(&out, "metadata");
    json_put_raw(&out, summary->metadata_json.len > 0 ? summary->metadata_json
                                                      : S("{}"));
    if (summary->template_id.len > 0) {
        json_add_str(&out, "template_id", summary->template_id);
        json_add_str(&out, "locale", summary->locale);
    }
    add_recipients(&out, arena, email);
    json_close_map(&out);
}

void emails_view(const struct queue_list *list, struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    page_open(&out, list->has_more);
    for (size_t i = 0; i < list->count; i++) {
        json_open_map(&out);
        add_head(&out, &list->emails[i].record->summary);
        add_rest(&out, &list->emails[i]);
        json_close_map(&out);
    }
    json_close_list(&out);
    if (list->has_more)
        json_add_str(&out, "next", list->next);
    json_close_map(&out);
}

void changed_view(struct arena *arena, const struct queue_email *email,
                  const struct id *id, struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "email");
    json_add_str(&out, "id", id_str(id));
    add_recipients(&out, arena, email);
    json_close_map(&out);
}

/* The payload that a webhook gets, behind a member of ours. */
static void put_payload(struct json_out *out, const struct buf *member,
                        const struct event *event,
                        const struct summary *summary)
{
    struct buf payload;
    struct buf item;

    buf_init(&payload, EVENT_PAYLOAD_MAX);
    buf_init(&item, EMAIL_ITEM_MAX);
    event_payload(event, summary, &payload);
    CHECK(!payload.full && payload.len > 2 && payload.data[0] == '{');
    buf_add_char(&item, '{');
    buf_add(&item, buf_str(member));
    buf_add_char(&item, ',');
    buf_add(&item, str_from(buf_str(&payload), 1));
    json_put_raw(out, buf_str(&item));
    buf_finish(&item);
    buf_finish(&payload);
}

/* When it was since acceptance. */
static void put_event(struct json_out *out, const struct event *event,
                      const struct summary *summary)
{
    int64_t since_ms = event->at_ms - summary->created_ms;
    struct buf member;

    buf_init(&member, 64);
    buf_addf(&member, "\"ms\":%lld", (long long)(since_ms > 0 ? since_ms : 0));
    put_payload(out, &member, event, summary);
    buf_finish(&member);
}

void timeline_view(const struct queue_timeline *timeline, struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    page_open(&out, false);
    for (size_t i = 0; i < timeline->count; i++)
        put_event(&out, &timeline->events[i], &timeline->record->summary);
    page_close(&out);
}

/* The id under which a webhook tells it. */
static void put_pulled(struct json_out *out, const struct queue_pulled *pulled)
{
    struct buf member;

    buf_init(&member, 64);
    buf_add_cstr(&member, "\"id\":\"");
    event_webhook_id(&pulled->event, &member);
    buf_add_char(&member, '"');
    put_payload(out, &member, &pulled->event, pulled->summary);
    buf_finish(&member);
}

void events_view(const struct queue_pull *pull, struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    page_open(&out, pull->has_more);
    for (size_t i = 0; i < pull->count; i++)
        put_pulled(&out, &pull->events[i]);
    json_close_list(&out);
    json_add_str(&out, "next", pull->next);
    json_close_map(&out);
}

/* --- attempts --- */

static struct str recipient_of(const struct attempt *attempt,
                               const struct summary *summary)
{
    struct str mailbox;
    const char *kind;

    return summary_recipient(summary, attempt->number, &mailbox, &kind)
               ? mailbox_address(mailbox)
               : S("");
}

static void put_attempt(struct json_out *out, const struct attempt *attempt,
                        const struct summary *summary)
{
    json_open_map(out);
    json_add_str(out, "recipient", recipient_of(attempt, summary));
    json_add_int(out, "attempt", attempt->attempt);
    attempt_show(attempt, out);
    json_close_map(out);
}

void attempts_view(const struct queue_attempts *attempts, struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    page_open(&out, false);
    for (size_t i = 0; i < attempts->count; i++)
        put_attempt(&out, &attempts->attempts[i], &attempts->record->summary);
    page_close(&out);
}
