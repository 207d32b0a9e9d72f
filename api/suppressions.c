#include "api/call.h"
#include "api/page.h"
#include "api/tables.h"
#include "smtp/message/message.h"

enum { BATCH_MAX = 100, TEXT_MAX = 1024, BODY_MAX = 1024 * 1024 };

static const char NO_SUPPRESSION[] = "Suppression not found";

static const char *const ORIGINS[] = {"bounce", "complaint", "manual", NULL};

const struct field SUPPRESSION_FIELDS[] = {
    {.name = "email", .type = FIELD_TEXT, .required = true, .max = TEXT_MAX},
    {.name = "origin", .type = FIELD_WORD, .words = ORIGINS},
    {.name = NULL},
};

const struct field SUPPRESSION_ADD_FIELDS[] = {
    {.name = "emails", .type = FIELD_TEXTS, .required = true, .max = BATCH_MAX},
    {.name = "origin", .type = FIELD_WORD, .words = ORIGINS},
    {.name = NULL},
};

const struct field SUPPRESSION_REMOVE_FIELDS[] = {
    {.name = "emails", .type = FIELD_TEXTS, .max = BATCH_MAX},
    {.name = "ids", .type = FIELD_TEXTS, .max = BATCH_MAX},
    {.name = NULL},
};

/* --- what a request names --- */

/* The address of a mailbox, as the recipients of a mail are read. */
static struct suppression_entry read_address(struct call *call, struct str text,
                                             struct str pointer,
                                             struct faults *faults)
{
    struct mailbox box = {0};
    enum flaw flaw = mailbox_parse(call->arena, text, &box);

    if (flaw != FLAW_NONE)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, flaw_code(flaw),
                   "%s", flaw_text(flaw));
    return (struct suppression_entry){
        .address = arena_copy(call->arena, mailbox_address(text)),
        .key = box.key,
    };
}

/* Of a table that has let nothing else pass; by hand without. */
static enum suppression_origin origin_named(struct str name)
{
    enum suppression_origin origin = SUPPRESSION_BOUNCE;

    while (origin < SUPPRESSION_MANUAL &&
           !str_eq(name, str_of(suppression_origin_name(origin))))
        origin++;
    return origin;
}

/* A member that is a text or a list of them. */
static size_t text_count(const struct json *value)
{
    return json_type_of(value) == JSON_LIST ? json_count(value) : 1;
}

static struct str text_at(const struct json *value, size_t i)
{
    return json_str(json_type_of(value) == JSON_LIST ? json_at(value, i)
                                                     : value);
}

static struct str text_pointer(struct call *call, const struct json *value,
                               const char *name, size_t i)
{
    struct str base = arena_printf(call->arena, "/%s", name);

    return json_type_of(value) == JSON_LIST
               ? pointer_index(call->arena, base, i)
               : base;
}

static struct suppression_entry *read_addresses(struct call *call,
                                                const struct json *value,
                                                struct faults *faults,
                                                size_t *count)
{
    struct suppression_entry *entries;

    *count = text_count(value);
    entries = ARENA_ARRAY(call->arena, struct suppression_entry, *count + 1);
    for (size_t i = 0; i < *count; i++)
        entries[i] =
            read_address(call, text_at(value, i),
                         text_pointer(call, value, "emails", i), faults);
    if (*count == 0)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/emails"), "empty",
                   "must have at least one entry");
    return entries;
}

/* --- what an answer shows --- */

static void put_members(struct json_out *out, const struct suppression *one)
{
    json_add_str(out, "id", id_str(&one->id));
    json_add_str(out, "email", one->address);
    json_add_cstr(out, "origin", suppression_origin_name(one->origin));
    json_add_str_or_null(out, "source_id", one->source);
    json_add_time(out, "created_at", one->created_ms);
    if (one->until_ms > 0)
        json_add_time(out, "expires_at", one->until_ms);
    if (one->reason.len > 0)
        json_add_str(out, "reason", one->reason);
    if (one->bounces > 0)
        json_add_int(out, "bounces", (int64_t)one->bounces);
}

static void on_answered(void *ctx, const struct queue_answer *answer)
{
    struct call *call = ctx;
    struct buf body;

    if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
        return;
    }
    if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NO_SUPPRESSION);
        return;
    }
    buf_init(&body, BODY_MAX);
    buf_add(&body, answer->answer);
    call_reply(call, (unsigned)answer->http_status, &body);
    buf_finish(&body);
}

/* --- POST /suppressions, /suppressions/batch/add --- */

void suppressions_add(struct call *call)
{
    struct faults faults;
    struct json *root = call_json(call, SUPPRESSION_FIELDS, &faults);
    struct suppression_entry entry;
    enum suppression_origin origin;

    if (root == NULL)
        return;
    entry =
        read_address(call, json_get_str(root, "email"), S("/email"), &faults);
    origin = origin_named(json_get_str(root, "origin"));
    json_destroy(&root);
    if (faults.count > 0)
        call_fail_faults(call, &faults);
    else
        queue_suppression_add(call->api->queue, call_owner(call), &entry, 1,
                              origin, false, &call->idempotency, on_answered,
                              call);
}

void suppressions_add_batch(struct call *call)
{
    struct faults faults;
    struct json *root = call_json(call, SUPPRESSION_ADD_FIELDS, &faults);
    struct suppression_entry *entries;
    enum suppression_origin origin;
    size_t count;

    if (root == NULL)
        return;
    entries = read_addresses(call, json_get(root, "emails"), &faults, &count);
    origin = origin_named(json_get_str(root, "origin"));
    json_destroy(&root);
    if (faults.count > 0)
        call_fail_faults(call, &faults);
    else
        queue_suppression_add(call->api->queue, call_owner(call), entries,
                              count, origin, true, &call->idempotency,
                              on_answered, call);
}

/* --- POST /suppressions/batch/remove, DELETE /suppressions/{id} --- */

static struct suppression_name *read_ids(struct call *call,
                                         const struct json *value,
                                         struct faults *faults, size_t *count)
{
    struct suppression_name *names;

    *count = text_count(value);
    names = ARENA_ARRAY(call->arena, struct suppression_name, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        struct id *id = ARENA_NEW(call->arena, struct id);

        names[i].id = id;
        if (!id_parse(text_at(value, i), id))
            faults_add(faults, PROBLEM_VALIDATION_ERROR,
                       text_pointer(call, value, "ids", i), "bad_id",
                       "must be the id of a suppression");
    }
    if (*count == 0)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/ids"), "empty",
                   "must have at least one entry");
    return names;
}

static struct suppression_name *read_names(struct call *call,
                                           const struct json *root,
                                           struct faults *faults, size_t *count)
{
    bool has_emails = field_is_there(root, "emails");
    struct suppression_name *names = NULL;
    struct suppression_entry *entries;

    if (has_emails == field_is_there(root, "ids")) {
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S(""), "one_of",
                   "must have either emails or ids");
        return NULL;
    }
    if (!has_emails)
        return read_ids(call, json_get(root, "ids"), faults, count);
    entries = read_addresses(call, json_get(root, "emails"), faults, count);
    names = ARENA_ARRAY(call->arena, struct suppression_name, *count + 1);
    for (size_t i = 0; i < *count; i++)
        names[i].key = entries[i].key;
    return names;
}

void suppressions_remove_batch(struct call *call)
{
    struct faults faults;
    struct json *root = call_json(call, SUPPRESSION_REMOVE_FIELDS, &faults);
    struct suppression_name *names;
    size_t count = 0;

    if (root == NULL)
        return;
    names = read_names(call, root, &faults, &count);
    json_destroy(&root);
    if (faults.count > 0)
        call_fail_faults(call, &faults);
    else
        queue_suppression_remove(call->api->queue, call_owner(call), names,
                                 count, true, &call->idempotency, on_answered,
                                 call);
}

/* The path has an id or an address. False: replied. */
static bool read_name(struct call *call, struct suppression_name *name)
{
    struct str text = http_param(call->request, 0);
    struct id *id = ARENA_NEW(call->arena, struct id);
    struct mailbox box;

    if (id_parse(text, id)) {
        *name = (struct suppression_name){.id = id};
        return true;
    }
    if (mailbox_parse(call->arena, text, &box) == FLAW_NONE) {
        *name = (struct suppression_name){.key = box.key};
        return true;
    }
    call_fail(call, PROBLEM_INVALID_PARAMETER,
              "The path must have the id of a suppression, or an address.");
    return false;
}

void suppressions_remove(struct call *call)
{
    struct suppression_name name;

    if (read_name(call, &name))
        queue_suppression_remove(call->api->queue, call_owner(call), &name, 1,
                                 false, NULL, on_answered, call);
}

/* --- GET /suppressions, /suppressions/{id} --- */

static void on_listed(void *ctx, const struct queue_suppressions *list)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (list->status != QUEUE_OK) {
        call_fail_queue(call, list->status, &list->why, NO_SUPPRESSION);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    page_open(&out, list->has_more);
    for (size_t i = 0; i < list->count; i++) {
        json_open_map(&out);
        put_members(&out, &list->suppressions[i]);
        json_close_map(&out);
    }
    page_close(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

/* Of the query; all without. */
static enum suppression_origin read_origin(struct call *call)
{
    enum suppression_origin origin;
    struct str text;

    if (!http_query(call->request, "origin", &text))
        return SUPPRESSION_ORIGIN_COUNT;
    origin = origin_named(text);
    if (!str_eq(text, str_of(suppression_origin_name(origin))))
        query_fault(call, "origin", "unknown_value",
                    "must be bounce, complaint or manual");
    return origin;
}

void suppressions_list(struct call *call)
{
    enum suppression_origin origin = read_origin(call);
    struct queue_page page;

    if (call_page(call, &page))
        queue_suppression_list(call->api->queue, call_owner(call), &page,
                               origin, on_listed, call);
}

static void on_got(void *ctx, const struct queue_suppressions *list)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (list->status != QUEUE_OK) {
        call_fail_queue(call, list->status, &list->why, NO_SUPPRESSION);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "suppression");
    put_members(&out, &list->suppressions[0]);
    json_close_map(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void suppressions_get(struct call *call)
{
    struct suppression_name name;

    if (read_name(call, &name))
        queue_suppression_get(call->api->queue, call_owner(call), name, on_got,
                              call);
}
