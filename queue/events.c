#include "queue/events.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/json.h"

#include <stdio.h>

enum {
    RESPONSE_KEPT_MAX = 120,
    DIAGNOSTIC_MAX = 256,
    RAW_MAX = 128 * 1024,
};

static const struct {
    const char *name;
    bool resend;
} TYPES[EVENT_TYPE_COUNT] = {
    [EVENT_QUEUED] = {"email.queued", false},
    [EVENT_SCHEDULED] = {"email.scheduled", true},
    [EVENT_SENT] = {"email.sent", true},
    [EVENT_DELIVERED] = {"email.delivered", true},
    [EVENT_DELIVERY_DELAYED] = {"email.delivery_delayed", true},
    [EVENT_BOUNCED] = {"email.bounced", true},
    [EVENT_COMPLAINED] = {"email.complained", true},
    [EVENT_FAILED] = {"email.failed", true},
    [EVENT_SUPPRESSED] = {"email.suppressed", true},
    [EVENT_EXPIRED] = {"email.expired", false},
    [EVENT_SUPERSEDED] = {"email.superseded", false},
    [EVENT_CANCELED] = {"email.canceled", false},
    [EVENT_WEBHOOK_DISABLED] = {"webhook.disabled", false},
    [EVENT_SUPPRESSION_ADDED] = {"suppression.added", true},
    [EVENT_SUPPRESSION_REMOVED] = {"suppression.removed", true},
    [EVENT_DOMAIN_CREATED] = {"domain.created", true},
    [EVENT_DOMAIN_UPDATED] = {"domain.updated", true},
    [EVENT_DOMAIN_DELETED] = {"domain.deleted", true},
    [EVENT_DOMAIN_VERIFIED] = {"domain.verified", false},
    [EVENT_DOMAIN_FAILED] = {"domain.failed", false},
};

const char *event_type_name(enum event_type type)
{
    CHECK(type < EVENT_TYPE_COUNT);
    return TYPES[type].name;
}

bool event_type_parse(struct str name, enum event_type *type)
{
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++) {
        if (str_eq(name, str_of(TYPES[i].name))) {
            *type = (enum event_type)i;
            return true;
        }
    }
    return false;
}

bool event_type_is_resend(enum event_type type)
{
    CHECK(type < EVENT_TYPE_COUNT);
    return TYPES[type].resend;
}

bool event_type_is_of_email(enum event_type type)
{
    return str_starts(str_of(event_type_name(type)), S("email."));
}

/* --- the record --- */

static void add_text(struct json_out *out, const char *name, struct str text)
{
    if (text.len > 0)
        json_add_str(out, name, text);
}

static void add_number(struct json_out *out, const char *name, int64_t number)
{
    if (number != 0)
        json_add_int(out, name, number);
}

static void add_phases(const struct event_detail *detail, struct json_out *out)
{
    if (detail->phase_count == 0)
        return;
    json_name(out, "p");
    json_open_list(out);
    for (size_t i = PHASES_MAX - detail->phase_count; i < PHASES_MAX; i++)
        json_put_int(out, detail->phase_ms[i]);
    json_close_list(out);
}

void event_detail_add(const struct event_detail *detail, struct json_out *out)
{
    struct str response = detail->response;

    response.len = utf8_cut(response, RESPONSE_KEPT_MAX);
    add_number(out, "c", detail->code);
    add_text(out, "ec", detail->enhanced_code);
    add_text(out, "r", response);
    add_text(out, "u", detail->upstream);
    add_text(out, "mx", detail->mx);
    add_text(out, "tls", detail->tls);
    add_text(out, "why", detail->reason);
    add_text(out, "bt", detail->bounce_type);
    add_text(out, "bs", detail->bounce_subtype);
    add_number(out, "q", detail->queued_ms);
    add_number(out, "ms", detail->total_ms);
    add_text(out, "url", detail->url);
    add_text(out, "ip", detail->address);
    add_text(out, "hg", detail->hedge);
    add_phases(detail, out);
    add_text(out, "cn", detail->tls_subject);
    add_number(out, "ce", detail->tls_not_after_ms);
    add_text(out, "box", detail->mailbox);
    add_text(out, "by", detail->origin);
    add_text(out, "src", detail->source);
    add_number(out, "cr", detail->created_ms);
    if (detail->domain_json.len > 0) {
        json_name(out, "dom");
        json_put_raw(out, detail->domain_json);
    }
    if (!detail->is_late)
        return;
    json_add_int(out, "tq", detail->late_queue_ms);
    json_add_int(out, "tr", detail->late_retry_ms);
    json_add_int(out, "tu", detail->late_upstream_ms);
}

/* A map of its own, then without its braces: {"c":250} gives ,"c":250. */
void event_detail_write(const struct event_detail *detail, struct buf *out)
{
    struct json_out json;
    size_t start = out->len;

    json_out_init(&json, out);
    json_open_map(&json);
    event_detail_add(detail, &json);
    json_close_map(&json);
    if (out->full)
        return;
    buf_truncate(out, out->len - 1);
    if (out->len == start + 1)
        buf_truncate(out, start);
    else
        out->data[start] = ',';
}

void event_write(const struct event *event, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    json_add_cstr(&json, "t", event_type_name(event->type));
    json_add_str(&json, "e", id_str(&event->email));
    json_add_int(&json, "n", event->number);
    json_add_int(&json, "g", event->generation);
    json_add_int(&json, "o", event->ordinal);
    json_add_int(&json, "s", event->sequence);
    json_add_int(&json, "at", event->at_ms);
    add_number(&json, "a", event->attempt);
    add_number(&json, "dup", event->possible_duplicate);
    add_number(&json, "next", event->next_attempt_ms);
    event_detail_add(&event->detail, &json);
    json_close_map(&json);
}

static struct str copy_text(const struct json *map, const char *name,
                            struct arena *arena)
{
    struct str text = json_get_str(map, name);

    if (text.len == 0)
        return (struct str){0};
    return arena_copy(arena, text);
}

static void read_phases(const struct json *list, struct event_detail *detail)
{
    size_t count = json_count(list);

    if (count != PHASES_REUSED && count != PHASES_MAX)
        return;
    detail->phase_count = (unsigned)count;
    for (size_t i = 0; i < count; i++)
        detail->phase_ms[PHASES_MAX - count + i] =
            (unsigned)json_int(json_at(list, i));
}

static struct str copy_raw(const struct json *map, const char *name,
                           struct arena *arena)
{
    const struct json *value = json_get(map, name);
    struct str text = S("");
    struct buf raw;

    if (value == NULL)
        return text;
    buf_init(&raw, RAW_MAX);
    json_dump(value, &raw);
    if (!raw.full)
        text = arena_copy(arena, buf_str(&raw));
    buf_finish(&raw);
    return text;
}

void event_detail_read(const struct json *map, struct arena *arena,
                       struct event_detail *detail)
{
    *detail = (struct event_detail){
        .code = (int)json_get_int(map, "c"),
        .enhanced_code = copy_text(map, "ec", arena),
        .response = copy_text(map, "r", arena),
        .upstream = copy_text(map, "u", arena),
        .mx = copy_text(map, "mx", arena),
        .tls = copy_text(map, "tls", arena),
        .reason = copy_text(map, "why", arena),
        .bounce_type = copy_text(map, "bt", arena),
        .bounce_subtype = copy_text(map, "bs", arena),
        .queued_ms = json_get_int(map, "q"),
        .total_ms = json_get_int(map, "ms"),
        .url = copy_text(map, "url", arena),
        .address = copy_text(map, "ip", arena),
        .hedge = copy_text(map, "hg", arena),
        .tls_subject = copy_text(map, "cn", arena),
        .tls_not_after_ms = json_get_int(map, "ce"),
        .mailbox = copy_text(map, "box", arena),
        .origin = copy_text(map, "by", arena),
        .source = copy_text(map, "src", arena),
        .created_ms = json_get_int(map, "cr"),
        .domain_json = copy_raw(map, "dom", arena),
        .is_late = json_get(map, "tq") != NULL,
        .late_queue_ms = json_get_int(map, "tq"),
        .late_retry_ms = json_get_int(map, "tr"),
        .late_upstream_ms = json_get_int(map, "tu"),
    };
    read_phases(json_get(map, "p"), detail);
}

static bool fits(int64_t value, int64_t min)
{
    return value >= min && value <= INT32_MAX;
}

static bool read_map(const struct json *map, struct arena *arena,
                     struct event *event)
{
    int64_t number = json_get_int(map, "n");
    int64_t generation = json_get_int(map, "g");
    int64_t ordinal = json_get_int(map, "o");
    int64_t sequence = json_get_int(map, "s");
    int64_t attempt = json_get_int(map, "a");

    if (!event_type_parse(json_get_str(map, "t"), &event->type) ||
        !id_parse(json_get_str(map, "e"), &event->email) || !fits(number, -1) ||
        !fits(generation, 0) || !fits(ordinal, 0) || !fits(sequence, 0) ||
        !fits(attempt, 0) || !fits(json_get_int(map, "c"), 0))
        return false;
    event->number = (int)number;
    event->generation = (unsigned)generation;
    event->ordinal = (unsigned)ordinal;
    event->sequence = (unsigned)sequence;
    event->at_ms = json_get_int(map, "at");
    event->attempt = (unsigned)attempt;
    event->possible_duplicate = json_get_int(map, "dup") != 0;
    event->next_attempt_ms = json_get_int(map, "next");
    event_detail_read(map, arena, &event->detail);
    return true;
}

bool event_read(struct str bytes, struct arena *arena, struct event *event)
{
    struct json *root = json_parse(bytes, NULL);
    bool good;

    if (root == NULL)
        return false;
    good = read_map(root, arena, event);
    json_destroy(&root);
    return good;
}

void event_webhook_id(const struct event *event, struct buf *out)
{
    unsigned char hash[SHA256_SIZE];
    struct buf name;

    buf_init(&name, 256);
    buf_addf(&name, "%s:%d %u %s %u", event->email.text, event->number,
             event->generation, event_type_name(event->type), event->ordinal);
    secret_sha256(buf_str(&name), hash);
    buf_finish(&name);
    buf_add_cstr(out, "msg_");
    codec_hex_add(out, str_make(hash, 16));
}

/* --- the payload --- */

/* False for events of the whole email. */
static bool recipient_of(const struct event *event,
                         const struct summary *summary, struct str *mailbox)
{
    const char *kind;

    return event->number >= 0 &&
           summary_recipient(summary, (unsigned)event->number, mailbox, &kind);
}

static void put_to(struct json_out *out, const struct event *event,
                   const struct summary *summary)
{
    struct str mailbox;

    json_name(out, "to");
    json_open_list(out);
    if (recipient_of(event, summary, &mailbox)) {
        json_put_str(out, mailbox);
    } else {
        for (size_t i = 0; i < summary->to_count; i++)
            json_put_str(out, summary->to[i]);
    }
    json_close_list(out);
}

static bool name_comes_again(const struct json *tags, size_t at)
{
    struct str name = json_get_str(json_at(tags, at), "name");

    for (size_t i = at + 1; i < json_count(tags); i++) {
        if (str_eq(json_get_str(json_at(tags, i), "name"), name))
            return true;
    }
    return false;
}

/* [{"name":"a","value":"1"}] becomes {"a":"1"}; of equal names the last. */
static void put_tags(struct json_out *out, struct str tags_json)
{
    struct json *tags = json_parse(tags_json, NULL);

    if (json_count(tags) > 0) {
        json_name(out, "tags");
        json_open_map(out);
        for (size_t i = 0; i < json_count(tags); i++) {
            const struct json *tag = json_at(tags, i);

            if (name_comes_again(tags, i))
                continue;
            json_name_str(out, json_get_str(tag, "name"));
            json_put_str(out, json_get_str(tag, "value"));
        }
        json_close_map(out);
    }
    json_destroy(&tags);
}

/* "550 5.1.1 no such user": servers repeat both codes in their text, or one,
 * or none. */
static void add_reply(struct buf *out, const struct event_detail *detail)
{
    struct str text = detail->response;
    char code[16] = "";

    if (detail->code > 0)
        snprintf(code, sizeof code, "%d", detail->code);
    if (!str_starts(text, str_of(code)))
        buf_addf(out, "%s ", code);
    if (!str_contains(text, detail->enhanced_code))
        buf_addf(out, "%.*s ", STR_ARG(detail->enhanced_code));
    buf_add(out, text);
    if (out->len > 0 && out->data[out->len - 1] == ' ')
        buf_truncate(out, out->len - 1);
}

static void put_diagnostic(struct json_out *out, struct str reply)
{
    struct buf line;

    if (reply.len == 0)
        return;
    buf_init(&line, DIAGNOSTIC_MAX);
    buf_add_cstr(&line, "smtp; ");
    buf_add(&line, reply);
    json_name(out, "diagnosticCode");
    json_open_list(out);
    json_put_str(out, buf_str(&line));
    json_close_list(out);
    buf_finish(&line);
}

static struct str text_or(struct str text, const char *otherwise)
{
    return text.len > 0 ? text : str_of(otherwise);
}

static void put_bounce(struct json_out *out, const struct event_detail *detail)
{
    struct buf reply;

    buf_init(&reply, DIAGNOSTIC_MAX);
    add_reply(&reply, detail);
    json_name(out, "bounce");
    json_open_map(out);
    json_add_str(out, "message",
                 text_or(buf_str(&reply), "The server refused the recipient."));
    json_add_str(out, "type", text_or(detail->bounce_type, "Undetermined"));
    json_add_str(out, "subType",
                 text_or(detail->bounce_subtype, "Undetermined"));
    put_diagnostic(out, buf_str(&reply));
    json_close_map(out);
    buf_finish(&reply);
}

static void put_suppressed(struct json_out *out,
                           const struct event_detail *detail)
{
    json_name(out, "suppressed");
    json_open_map(out);
    json_add_cstr(out, "message", "The recipient is on the suppression list.");
    json_add_cstr(out, "type", "OnAccountSuppressionList");
    add_text(out, "reason", detail->reason);
    json_close_map(out);
}

static void put_reason(struct json_out *out, const char *name,
                       struct str reason)
{
    json_name(out, name);
    json_open_map(out);
    json_add_str(out, "reason", reason);
    json_close_map(out);
}

static void put_expired(struct json_out *out, const struct event_detail *detail)
{
    json_name(out, "expired");
    json_open_map(out);
    json_add_str(out, "reason", text_or(detail->reason, "deadline"));
    if (detail->is_late) {
        json_add_int(out, "queue_ms", detail->late_queue_ms);
        json_add_int(out, "retry_ms", detail->late_retry_ms);
        json_add_int(out, "upstream_ms", detail->late_upstream_ms);
    }
    json_close_map(out);
}

/* What Resend's shape has beside the base, by type. */
static void put_extra(struct json_out *out, const struct event *event)
{
    const struct event_detail *detail = &event->detail;

    switch (event->type) {
    case EVENT_BOUNCED:
        put_bounce(out, detail);
        break;
    case EVENT_FAILED:
        put_reason(out, "failed", text_or(detail->reason, "unknown"));
        break;
    case EVENT_SUPPRESSED:
        put_suppressed(out, detail);
        break;
    case EVENT_EXPIRED:
        put_expired(out, detail);
        break;
    case EVENT_SCHEDULED:
        json_add_time(out, "scheduled_at", event->next_attempt_ms);
        break;
    case EVENT_DELIVERY_DELAYED:
        json_add_time(out, "next_attempt_at", event->next_attempt_ms);
        break;
    case EVENT_QUEUED:
    case EVENT_SENT:
    case EVENT_DELIVERED:
    case EVENT_COMPLAINED:
    case EVENT_SUPERSEDED:
    case EVENT_CANCELED:
    case EVENT_WEBHOOK_DISABLED:
    case EVENT_SUPPRESSION_ADDED:
    case EVENT_SUPPRESSION_REMOVED:
    case EVENT_DOMAIN_CREATED:
    case EVENT_DOMAIN_UPDATED:
    case EVENT_DOMAIN_DELETED:
    case EVENT_DOMAIN_VERIFIED:
    case EVENT_DOMAIN_FAILED:
    case EVENT_TYPE_COUNT:
        break;
    }
}

/* Present when an attempt was made; queued_ms and total_ms may be 0 then. */
static void put_delivery(struct json_out *out, const struct event *event)
{
    const struct event_detail *detail = &event->detail;

    if (event->attempt == 0)
        return;
    json_name(out, "delivery");
    json_open_map(out);
    add_text(out, "upstream", detail->upstream);
    add_text(out, "mx", detail->mx);
    add_text(out, "tls", detail->tls);
    add_number(out, "code", detail->code);
    add_text(out, "enhanced_code", detail->enhanced_code);
    add_text(out, "response", detail->response);
    json_add_int(out, "attempt", event->attempt);
    json_add_int(out, "queued_ms", detail->queued_ms);
    json_add_int(out, "total_ms", detail->total_ms);
    json_close_map(out);
}

/* What every event of the email says, in two parts around the extra. */
static void put_class(struct json_out *out, const struct event *event,
                      const struct summary *summary)
{
    struct str mailbox;

    json_add_cstr(out, "class", mail_class_name(summary->mail_class));
    if (recipient_of(event, summary, &mailbox))
        json_add_str(out, "recipient", mailbox_address(mailbox));
    add_text(out, "template_id", summary->template_id);
    add_text(out, "locale", summary->locale);
    if (summary->metadata_json.len > 0) {
        json_name(out, "metadata");
        json_put_raw(out, summary->metadata_json);
    }
}

static void put_envelope(struct json_out *out, const struct event *event,
                         const struct summary *summary)
{
    json_add_time(out, "created_at", summary->created_ms);
    json_add_str(out, "from", summary->from);
    put_to(out, event, summary);
    json_add_str(out, "subject", summary->subject);
    json_add_str(out, "message_id", summary->message_id);
    if (summary->tags_json.len > 0)
        put_tags(out, summary->tags_json);
}

static void put_email(struct json_out *out, const struct event *event,
                      const struct summary *summary)
{
    json_add_str(out, "email_id", id_str(&event->email));
    if (summary != NULL)
        put_envelope(out, event, summary);
    put_extra(out, event);
    json_add_time(out, "timestamp", event->at_ms);
    json_add_int(out, "sequence", event->sequence);
    if (summary != NULL)
        put_class(out, event, summary);
    if (event->possible_duplicate)
        json_add_bool(out, "possible_duplicate", true);
    put_delivery(out, event);
}

static void put_webhook(struct json_out *out, const struct event *event)
{
    json_add_str(out, "id", id_str(&event->email));
    json_add_str(out, "endpoint", event->detail.url);
    json_add_cstr(out, "status", "disabled");
    json_add_str(out, "reason", event->detail.reason);
    json_add_time(out, "timestamp", event->at_ms);
}

static void put_suppression(struct json_out *out, const struct event *event)
{
    const struct event_detail *detail = &event->detail;

    json_add_str(out, "id", id_str(&event->email));
    json_add_str(out, "email", detail->mailbox);
    json_add_str(out, "origin", detail->origin);
    json_add_str_or_null(out, "source_id", detail->source);
    json_add_time(out, "created_at", detail->created_ms);
    json_add_time(out, "timestamp", event->at_ms);
}

/* The members as they were, behind the id. */
static void put_domain(struct json_out *out, const struct event *event)
{
    struct json *members = json_parse(event->detail.domain_json, NULL);
    const struct json *value;
    struct str name;
    void *at = NULL;

    json_add_str(out, "id", id_str(&event->email));
    while (json_next(members, &at, &name, &value)) {
        json_name_str(out, name);
        json_put_value(out, value);
    }
    json_destroy(&members);
    json_add_time(out, "timestamp", event->at_ms);
}

void event_payload(const struct event *event, const struct summary *summary,
                   struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    json_add_cstr(&json, "type", event_type_name(event->type));
    json_add_time(&json, "created_at", event->at_ms);
    json_name(&json, "data");
    json_open_map(&json);
    if (event_type_is_of_email(event->type))
        put_email(&json, event, summary);
    else if (event->type == EVENT_WEBHOOK_DISABLED)
        put_webhook(&json, event);
    else if (event->detail.domain_json.len > 0)
        put_domain(&json, event);
    else
        put_suppression(&json, event);
    json_close_map(&json);
    json_close_map(&json);
}
