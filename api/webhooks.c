#include "api/call.h"
#include "api/page.h"
#include "api/tables.h"
#include "server/base/clock.h"
#include "server/base/nearest.h"
#include "server/base/secret.h"
#include "server/io/guard.h"

enum {
    EVENTS_MAX = 50,
    SECRET_MAX = 128,
    BODY_MAX = 1024 * 1024,
};

static const char NO_WEBHOOK[] = "Webhook not found";

static const char *const STATUSES[] = {"enabled", "disabled", NULL};

const struct field WEBHOOK_CREATE_FIELDS[] = {
    {.name = "endpoint",
     .type = FIELD_TEXT,
     .required = true,
     .max = GUARD_URL_MAX},
    {.name = "events",
     .type = FIELD_TEXTS,
     .required = true,
     .max = EVENTS_MAX},
    {.name = NULL},
};

const struct field WEBHOOK_UPDATE_FIELDS[] = {
    {.name = "endpoint", .type = FIELD_TEXT, .max = GUARD_URL_MAX},
    {.name = "events", .type = FIELD_TEXTS, .max = EVENTS_MAX},
    {.name = "status", .type = FIELD_WORD, .words = STATUSES},
    {.name = NULL},
};

/* What Resend's SDKs may subscribe to and this server never raises. */
static const char *const SILENT_EVENTS[] = {
    "email.opened",    "email.clicked",   "email.received",
    "contact.created", "contact.updated", "contact.deleted",
};

static const char *const PATTERNS[] = {
    "*", "email.*", "webhook.*", "suppression.*", "contact.*", "domain.*"};

/* --- what a request may name --- */

static bool is_event(struct str name)
{
    enum event_type type;

    if (event_type_parse(name, &type))
        return true;
    for (size_t i = 0; i < COUNT_OF(PATTERNS); i++)
        if (str_eq(name, str_of(PATTERNS[i])))
            return true;
    for (size_t i = 0; i < COUNT_OF(SILENT_EVENTS); i++)
        if (str_eq(name, str_of(SILENT_EVENTS[i])))
            return true;
    return false;
}

static void refuse_event(struct faults *faults, struct str pointer,
                         struct str name)
{
    const char *names[EVENT_TYPE_COUNT];
    const char *nearest;

    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++)
        names[i] = event_type_name((enum event_type)i);
    nearest = nearest_name(name, names, EVENT_TYPE_COUNT);
    if (nearest != NULL)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, "unknown_event",
                   "is not a known event; did you mean \"%s\"?", nearest);
    else
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, "unknown_event",
                   "is not a known event");
}

/* The names in arena, also of a single string. */
static struct str *read_events(struct call *call, const struct json *root,
                               struct faults *faults, size_t *count)
{
    const struct json *value = json_get(root, "events");
    bool is_list = json_type_of(value) == JSON_LIST;
    struct str *events;

    *count = is_list ? json_count(value) : 1;
    events = ARENA_ARRAY(call->arena, struct str, *count);
    for (size_t i = 0; i < *count; i++) {
        struct str name = json_str(is_list ? json_at(value, i) : value);

        events[i] = arena_copy(call->arena, name);
        if (!is_event(name))
            refuse_event(faults,
                         is_list ? pointer_index(call->arena, S("/events"), i)
                                 : S("/events"),
                         name);
    }
    if (*count == 0)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/events"), "empty",
                   "must have at least one entry");
    return events;
}

static struct str read_url(struct call *call, const struct json *root,
                           struct faults *faults)
{
    struct str url = json_get_str(root, "endpoint");
    struct guard_target target;
    struct error err;

    if (!guard_url(&call->api->config->webhook, url, &target, &err))
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/endpoint"), "bad_url",
                   "will not do: %s", err.text);
    return arena_copy(call->arena, url);
}

/* --- what an answer shows --- */

static void put_members(struct json_out *out, const struct endpoint *endpoint)
{
    json_add_str(out, "id", id_str(&endpoint->id));
    json_add_time(out, "created_at", endpoint->created_ms);
    json_add_cstr(out, "status", endpoint->enabled ? "enabled" : "disabled");
    if (endpoint->disabled_reason.len > 0)
        json_add_str(out, "disabled_reason", endpoint->disabled_reason);
    json_add_str(out, "endpoint", endpoint->url);
    json_name(out, "events");
    json_open_list(out);
    for (size_t i = 0; i < endpoint->event_count; i++)
        json_put_str(out, endpoint->events[i]);
    json_close_list(out);
}

static void write_created(const struct endpoint *endpoint, bool with_secret,
                          struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "webhook");
    json_add_str(&out, "id", id_str(&endpoint->id));
    if (with_secret)
        json_add_str(&out, "signing_secret", endpoint->secret);
    json_close_map(&out);
}

/* {"object":"webhook","id":...}, and deleted when it is. */
static void reply_id(struct call *call, const struct id *id, bool deleted)
{
    struct json_out out;
    struct buf body;

    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "webhook");
    json_add_str(&out, "id", id_str(id));
    if (deleted)
        json_add_bool(&out, "deleted", true);
    json_close_map(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

/* --- POST /webhooks --- */

struct creating {
    struct call *call;
    struct endpoint endpoint;
};

static struct str secret_create(struct call *call)
{
    struct str secret;
    struct buf text;

    buf_init(&text, SECRET_MAX);
    endpoint_secret_new(&text);
    secret = arena_copy(call->arena, buf_str(&text));
    secret_wipe(text.data, text.len);
    buf_finish(&text);
    return secret;
}

/* Shown once: a replay has the answer without it. */
static void secret_end(void *own)
{
    struct creating *creating = own;

    secret_wipe((void *)(uintptr_t)creating->endpoint.secret.ptr,
                creating->endpoint.secret.len);
}

static void on_created(void *ctx, const struct queue_answer *answer)
{
    struct creating *creating = ctx;
    struct call *call = creating->call;
    struct buf body;

    if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
        return;
    }
    if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NO_WEBHOOK);
        return;
    }
    buf_init(&body, BODY_MAX);
    write_created(&creating->endpoint, true, &body);
    call_reply(call, 201, &body);
    buf_finish(&body);
}

void webhooks_create(struct call *call)
{
    struct creating *creating = ARENA_NEW(call->arena, struct creating);
    struct endpoint *endpoint = &creating->endpoint;
    struct faults faults;
    struct buf again;
    struct json *root = call_json(call, WEBHOOK_CREATE_FIELDS, &faults);

    if (root == NULL)
        return;
    endpoint->url = read_url(call, root, &faults);
    endpoint->events = read_events(call, root, &faults, &endpoint->event_count);
    json_destroy(&root);
    if (faults.count > 0) {
        call_fail_faults(call, &faults);
        return;
    }
    creating->call = call;
    endpoint->id = id_new(call->key.partition);
    endpoint->owner = call->key.owner;
    endpoint->enabled = true;
    endpoint->secret = secret_create(call);
    endpoint->created_ms = clock_shared_ms();
    call->own = creating;
    call->release = secret_end;
    buf_init(&again, BODY_MAX);
    write_created(endpoint, false, &again);
    queue_endpoint_create(call->api->queue, endpoint, &call->idempotency,
                          buf_str(&again), on_created, creating);
    buf_finish(&again);
}

/* --- GET /webhooks, /webhooks/{id} --- */

static void on_list(void *ctx, const struct queue_endpoints *endpoints)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (endpoints->status != QUEUE_OK) {
        call_fail_queue(call, endpoints->status, &endpoints->why, NO_WEBHOOK);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    page_open(&out, endpoints->has_more);
    for (size_t i = 0; i < endpoints->count; i++) {
        json_open_map(&out);
        put_members(&out, &endpoints->endpoints[i]);
        json_close_map(&out);
    }
    page_close(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void webhooks_list(struct call *call)
{
    struct queue_page page;

    if (call_page(call, &page))
        queue_endpoint_list(call->api->queue, call_owner(call), &page, on_list,
                            call);
}

static void on_got(void *ctx, const struct queue_endpoints *endpoints)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (endpoints->status != QUEUE_OK || endpoints->count == 0) {
        call_fail_queue(call,
                        endpoints->status == QUEUE_OK ? QUEUE_NOT_FOUND
                                                      : endpoints->status,
                        &endpoints->why, NO_WEBHOOK);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "webhook");
    put_members(&out, &endpoints->endpoints[0]);
    json_close_map(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void webhooks_get(struct call *call)
{
    struct id id;

    if (call_id(call, &id))
        queue_endpoint_get(call->api->queue, call_owner(call), &id, on_got,
                           call);
}

/* --- PATCH and DELETE /webhooks/{id} --- */

struct changing {
    struct call *call;
    struct id id;
    bool deleted;
};

static void on_changed(void *ctx, const struct queue_answer *answer)
{
    struct changing *changing = ctx;

    if (answer->status == QUEUE_OK)
        reply_id(changing->call, &changing->id, changing->deleted);
    else
        call_fail_queue(changing->call, answer->status, &answer->why,
                        NO_WEBHOOK);
}

void webhooks_update(struct call *call)
{
    struct changing *changing = ARENA_NEW(call->arena, struct changing);
    struct endpoint_change change = {.url = NULL};
    struct faults faults;
    struct json *root;
    struct str url;
    bool enabled;

    changing->call = call;
    if (!call_id(call, &changing->id))
        return;
    root = call_json(call, WEBHOOK_UPDATE_FIELDS, &faults);
    if (root == NULL)
        return;
    if (field_is_there(root, "endpoint")) {
        url = read_url(call, root, &faults);
        change.url = &url;
    }
    if (field_is_there(root, "events"))
        change.events = read_events(call, root, &faults, &change.event_count);
    if (field_is_there(root, "status")) {
        enabled = str_eq(json_get_str(root, "status"), S("enabled"));
        change.enabled = &enabled;
    }
    json_destroy(&root);
    if (faults.count > 0)
        call_fail_faults(call, &faults);
    else
        queue_endpoint_update(call->api->queue, call_owner(call), &changing->id,
                              &change, on_changed, changing);
}

void webhooks_delete(struct call *call)
{
    struct changing *changing = ARENA_NEW(call->arena, struct changing);

    changing->call = call;
    changing->deleted = true;
    if (call_id(call, &changing->id))
        queue_endpoint_delete(call->api->queue, call_owner(call), &changing->id,
                              on_changed, changing);
}
