/* GET /emails: the owner's mails, the newest first, by what they are. */
#include "api/call.h"
#include "api/email_view.h"
#include "server/base/clock.h"
#include "smtp/message/message.h"

enum { PAGE_SPARE = 64 * 1024 };

struct listing {
    struct call *call;
    struct queue_list_query query;
    struct str status; /* empty: any */
    enum mail_class mail_class;
    bool has_class;
};

/* --- what is asked for --- */

/* An empty one asks for nothing. */
static bool filter(struct listing *listing, const char *name, struct str *value)
{
    *value = S("");
    return http_query(listing->call->request, name, value) && value->len > 0;
}

static void read_status(struct listing *listing)
{
    if (filter(listing, "status", &listing->status) &&
        !email_status_is_one(listing->status))
        query_fault(
            listing->call, "status", "unknown_status",
            "must be a status as emails show it, like sent or deferred");
}

static void read_class(struct listing *listing)
{
    struct str name;

    listing->has_class = filter(listing, "class", &name);
    if (listing->has_class && !mail_class_parse(name, &listing->mail_class))
        query_fault(
            listing->call, "class", "unknown_class",
            "must be verification, reset, alert, transactional or bulk");
}

static void read_recipient(struct listing *listing)
{
    struct str text;
    struct mailbox box;

    if (!filter(listing, "to", &text))
        return;
    if (mailbox_parse(listing->call->arena, text, &box) == FLAW_NONE)
        listing->query.recipient = box.address;
    else
        query_fault(listing->call, "to", "invalid_address",
                    "must be an email address");
}

/* "name" or "name:value": neither part of a tag holds a colon. */
static void read_tag(struct listing *listing)
{
    struct queue_list_query *query = &listing->query;
    struct str text;
    ptrdiff_t colon;

    if (!filter(listing, "tag", &text))
        return;
    colon = str_index(text, ':', 0);
    query->tag_name = colon < 0 ? text : str_slice(text, 0, (size_t)colon);
    if (colon >= 0)
        query->tag_value = str_from(text, (size_t)colon + 1);
    if (query->tag_name.len == 0)
        query_fault(listing->call, "tag", "invalid_tag",
                    "must be name or name:value");
}

static void read_time(struct listing *listing, const char *name, int64_t *at_ms)
{
    struct str text;

    if (filter(listing, name, &text) &&
        (!clock_parse(text, at_ms) || *at_ms < 1))
        query_fault(listing->call, name, "invalid_time",
                    "must be a time like 2026-11-24T12:00:00Z");
}

static bool wants(void *ctx, const struct queue_email *email)
{
    const struct listing *listing = ctx;

    return (!listing->has_class ||
            email->record->summary.mail_class == listing->mail_class) &&
           (listing->status.len == 0 ||
            str_eq(listing->status, str_of(email_status(email))));
}

/* --- the answer --- */

static void on_list(void *ctx, const struct queue_list *list)
{
    struct listing *listing = ctx;
    struct call *call = listing->call;
    struct buf body;

    if (list->status != QUEUE_OK) {
        call_fail_queue(call, list->status, &list->why, NULL);
        return;
    }
    buf_init(&body, PAGE_SPARE + list->count * EMAIL_ITEM_MAX);
    emails_view(list, &body);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void emails_list(struct call *call)
{
    struct listing *listing = ARENA_NEW(call->arena, struct listing);

    listing->call = call;
    read_status(listing);
    read_class(listing);
    read_recipient(listing);
    read_tag(listing);
    read_time(listing, "since", &listing->query.since_ms);
    read_time(listing, "until", &listing->query.until_ms);
    if (!call_page(call, &listing->query.page))
        return;
    if (listing->has_class || listing->status.len > 0)
        listing->query.wants = wants;
    queue_email_list(call->api->queue, call_owner(call), &listing->query,
                     on_list, listing);
}
