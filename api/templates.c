#include "api/call.h"
#include "api/page.h"
#include "api/tables.h"
#include "api/template_cache.h"
#include "server/base/codec.h"
#include "smtp/message/message.h"

#include <stdio.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 200,
    ALIAS_MAX = 64,
    BODY_MAX = 8 << 20, /* escapes in what was stored: six bytes at worst */
    TRIES_MAX = 5,
};

/* Of one that is to be changed: a built-in one is there, after all. */
static const char *no_template(struct call *call)
{
    struct str name = http_param(call->request, 0);

    if (builtin_template_find(name, S("")) == NULL)
        return "Template not found";
    return arena_printf(call->arena,
                        "The template %.*s is built in. Duplicate it (POST "
                        "/v1/templates/%.*s/duplicate), give the copy the "
                        "alias, and change that.",
                        STR_ARG(name), STR_ARG(name))
        .ptr;
}

const struct field TEMPLATE_VARIABLE_FIELDS[] = {
    {.name = "key", .type = FIELD_TEXT, .max = ALIAS_MAX},
    {.name = "name", .type = FIELD_TEXT, .max = ALIAS_MAX},
    {.name = "type", .type = FIELD_TEXT, .required = true, .max = ALIAS_MAX},
    {.name = "fallback_value", .type = FIELD_ANY},
    {.name = "default", .type = FIELD_ANY},
    {.name = "required", .type = FIELD_BOOL},
    {.name = "sensitive", .type = FIELD_BOOL},
    {.name = "example", .type = FIELD_ANY},
    /* What Resend's answers have, so that they can be sent back. */
    {.name = "id", .type = FIELD_IGNORED},
    {.name = "created_at", .type = FIELD_IGNORED},
    {.name = "updated_at", .type = FIELD_IGNORED},
    {.name = NULL},
};

const struct field TEMPLATE_LOCALE_FIELDS[] = {
    {.name = "subject", .type = FIELD_TEXT, .max = SUBJECT_MAX},
    {.name = "html", .type = FIELD_TEXT, .max = TEMPLATE_SOURCE_MAX},
    {.name = "text", .type = FIELD_TEXT, .max = TEMPLATE_SOURCE_MAX},
    {.name = NULL},
};

#define CONTENT_FIELDS                                                         \
    {.name = "alias", .type = FIELD_TEXT, .max = ALIAS_MAX},                   \
        {.name = "from",                                                       \
         .type = FIELD_TEXT,                                                   \
         .max = ADDRESS_TEXT_MAX,                                              \
         .kind = PROBLEM_INVALID_FROM_ADDRESS},                                \
        {.name = "subject", .type = FIELD_TEXT, .max = SUBJECT_MAX},           \
        {.name = "reply_to", .type = FIELD_TEXTS, .max = 50},                  \
        {.name = "html", .type = FIELD_TEXT, .max = TEMPLATE_SOURCE_MAX},      \
        {.name = "text", .type = FIELD_TEXT, .max = TEMPLATE_SOURCE_MAX},      \
        {.name = "variables",                                                  \
         .type = FIELD_LIST,                                                   \
         .max = TEMPLATE_VARIABLES_MAX,                                        \
         .members = TEMPLATE_VARIABLE_FIELDS},                                 \
        {.name = "default_locale", .type = FIELD_TEXT, .max = LOCALE_TAG_MAX}, \
        {.name = "locales",                                                    \
         .type = FIELD_OBJECT,                                                 \
         .max = MAIL_TEMPLATE_LOCALES_MAX},                                    \
    {                                                                          \
        .name = "strict", .type = FIELD_BOOL                                   \
    }

const struct field TEMPLATE_FIELDS[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     .required = true,
     .max = NAME_MAX_BYTES},
    CONTENT_FIELDS,
    {.name = NULL},
};

const struct field TEMPLATE_UPDATE_FIELDS[] = {
    {.name = "name", .type = FIELD_TEXT, .max = NAME_MAX_BYTES},
    CONTENT_FIELDS,
    {.name = "current_version_id", .type = FIELD_TEXT, .max = ID_LEN},
    {.name = NULL},
};

/* --- POST /templates, PATCH /templates/{id} --- */

struct editing {
    struct call *call;
    struct str which; /* of an update; empty: a new one */
    unsigned tries;
    struct faults faults;
    struct work_job job;

    /* Of an update: what is there. */
    struct buf old_source;
    struct str alias;
    struct str name;
    struct str version;

    /* What it becomes. */
    struct json *old;
    struct json *root;
    struct buf source;
    bool is_stale; /* the caller knows another version */
};

static void editing_clear(struct editing *editing)
{
    json_destroy(&editing->old);
    json_destroy(&editing->root);
    buf_finish(&editing->source);
    buf_init(&editing->source, TEMPLATE_VERSION_MAX);
}

static void editing_release(void *own)
{
    struct editing *editing = own;

    editing_clear(editing);
    buf_finish(&editing->old_source);
}

static void fault(struct editing *editing, struct str pointer, const char *code,
                  const char *text)
{
    faults_add(&editing->faults, PROBLEM_VALIDATION_ERROR, pointer, code, "%s",
               text);
}

static void flaw_at(struct editing *editing, enum problem_kind kind,
                    struct str pointer, enum flaw flaw)
{
    if (flaw != FLAW_NONE)
        faults_add(&editing->faults, kind, pointer, flaw_code(flaw), "%s",
                   flaw_text(flaw));
}

/* Of the body if it has it, else as it was. NULL: it has none. */
static const struct json *member(const struct editing *editing,
                                 const char *name)
{
    const struct json *value = json_get(editing->root, name);

    if (value == NULL)
        value = json_get(editing->old, name);
    return json_type_of(value) == JSON_NULL_VALUE ? NULL : value;
}

/* A letter or digit, then dots, dashes and underscores too. What looks like an
 * id would hide the one that has it. */
static bool is_alias(struct str alias)
{
    struct id id;

    if (!ascii_is_alnum(alias.ptr[0]) || id_parse(alias, &id))
        return false;
    for (size_t i = 0; i < alias.len; i++)
        if (!ascii_is_alnum(alias.ptr[i]) && alias.ptr[i] != '.' &&
            alias.ptr[i] != '-' && alias.ptr[i] != '_')
            return false;
    return true;
}

static void read_names(struct editing *editing)
{
    const struct json *alias = json_get(editing->root, "alias");
    const struct json *name = json_get(editing->root, "name");

    if (alias != NULL)
        editing->alias = json_str(alias);
    if (editing->alias.len > 0 && !is_alias(editing->alias))
        fault(editing, S("/alias"), "bad_alias",
              "must be letters, digits, dots, dashes and underscores, a letter "
              "or digit first, and no UUID");
    if (name != NULL)
        editing->name = json_str(name);
    if (editing->name.len == 0 || str_has_control(editing->name))
        fault(editing, S("/name"), "bad_name",
              "must not be empty, and have no control characters");
}

static void check_senders(struct editing *editing)
{
    struct arena *arena = editing->faults.arena;
    const struct json *from = member(editing, "from");
    const struct json *reply_to = member(editing, "reply_to");
    bool is_list = json_type_of(reply_to) == JSON_LIST;
    struct mailbox box;

    if (from != NULL)
        flaw_at(editing, PROBLEM_INVALID_FROM_ADDRESS, S("/from"),
                mailbox_parse(arena, json_str(from), &box));
    for (size_t i = 0; i < (is_list ? json_count(reply_to) : reply_to != NULL);
         i++)
        flaw_at(
            editing, PROBLEM_VALIDATION_ERROR,
            is_list ? pointer_index(arena, S("/reply_to"), i) : S("/reply_to"),
            mailbox_parse(arena,
                          json_str(is_list ? json_at(reply_to, i) : reply_to),
                          &box));
}

static void check_subject(struct editing *editing, struct str base,
                          const struct json *subject)
{
    if (subject != NULL)
        flaw_at(editing, PROBLEM_VALIDATION_ERROR,
                pointer_member(editing->faults.arena, base, S("subject")),
                subject_check(json_str(subject)));
}

static void check_locales(struct editing *editing)
{
    const struct json *locales = member(editing, "locales");
    struct arena *arena = editing->faults.arena;
    const struct json *variant;
    struct str tag;
    void *at = NULL;

    while (json_next(locales, &at, &tag, &variant)) {
        struct str base = pointer_member(arena, S("/locales"), tag);

        if (json_type_of(variant) != JSON_MAP)
            fault(editing, base, "type",
                  "must be an object with subject, html, text");
        else if (fields_check(TEMPLATE_LOCALE_FIELDS, variant, base,
                              &editing->faults))
            check_subject(editing, base, json_get(variant, "subject"));
    }
}

static void check_members(struct editing *editing)
{
    const struct json *locale = member(editing, "default_locale");

    read_names(editing);
    check_senders(editing);
    check_subject(editing, S(""), member(editing, "subject"));
    check_locales(editing);
    if (locale != NULL && !locale_tag_is_sound(json_str(locale)))
        fault(editing, S("/default_locale"), "bad_locale",
              "must be a tag like \"zh\" or \"pt-BR\" (BCP 47)");
}

/* --- the source, always in the same form --- */

static void put_member(struct json_out *out, const char *name,
                       const struct json *value)
{
    if (value == NULL || json_type_of(value) == JSON_NULL_VALUE)
        return;
    json_name(out, name);
    json_put_value(out, value);
}

static void put_parts(struct json_out *out, const struct json *variant)
{
    json_open_map(out);
    put_member(out, "subject", json_get(variant, "subject"));
    put_member(out, "html", json_get(variant, "html"));
    put_member(out, "text", json_get(variant, "text"));
    json_close_map(out);
}

static const struct json *either(const struct json *map, const char *one,
                                 const char *other)
{
    const struct json *value = json_get(map, one);

    return value != NULL ? value : json_get(map, other);
}

static void put_variable(struct json_out *out, const struct json *variable)
{
    const struct json *required = json_get(variable, "required");

    json_open_map(out);
    put_member(out, "key", either(variable, "key", "name"));
    put_member(out, "type", json_get(variable, "type"));
    put_member(out, "fallback_value",
               either(variable, "fallback_value", "default"));
    if (json_type_of(required) == JSON_BOOL && !json_bool(required))
        json_add_bool(out, "required", false);
    if (json_get_bool(variable, "sensitive"))
        json_add_bool(out, "sensitive", true);
    put_member(out, "example", json_get(variable, "example"));
    json_close_map(out);
}

static void put_variables(struct json_out *out, const struct json *list)
{
    if (json_count(list) == 0)
        return;
    json_name(out, "variables");
    json_open_list(out);
    for (size_t i = 0; i < json_count(list); i++)
        put_variable(out, json_at(list, i));
    json_close_list(out);
}

static void put_locales(struct json_out *out, const struct json *locales)
{
    const struct json *variant;
    struct str tag;
    void *at = NULL;

    if (json_count(locales) == 0)
        return;
    json_name(out, "locales");
    json_open_map(out);
    while (json_next(locales, &at, &tag, &variant)) {
        json_name_str(out, tag);
        put_parts(out, variant);
    }
    json_close_map(out);
}

static void put_reply_to(struct json_out *out, const struct json *reply_to)
{
    if (reply_to == NULL)
        return;
    json_name(out, "reply_to");
    if (json_type_of(reply_to) == JSON_LIST) {
        json_put_value(out, reply_to);
        return;
    }
    json_open_list(out);
    json_put_value(out, reply_to);
    json_close_list(out);
}

static void write_source(struct editing *editing)
{
    const struct json *strict = member(editing, "strict");
    struct json_out out;

    json_out_init(&out, &editing->source);
    json_open_map(&out);
    put_member(&out, "from", member(editing, "from"));
    put_reply_to(&out, member(editing, "reply_to"));
    put_member(&out, "subject", member(editing, "subject"));
    put_member(&out, "html", member(editing, "html"));
    put_member(&out, "text", member(editing, "text"));
    put_member(&out, "default_locale", member(editing, "default_locale"));
    put_locales(&out, member(editing, "locales"));
    put_variables(&out, member(editing, "variables"));
    if (strict != NULL && !json_bool(strict))
        json_add_bool(&out, "strict", false);
    json_close_map(&out);
}

static void on_flaw(void *ctx, struct str pointer, const char *text)
{
    fault(ctx, pointer, "bad_template", text);
}

static void compile(struct editing *editing)
{
    struct mail_template *mail;

    if (editing->source.full) {
        faults_add(&editing->faults, PROBLEM_VALIDATION_ERROR, S(""),
                   "too_large", "makes a template of over %d KiB as JSON",
                   TEMPLATE_VERSION_MAX >> 10);
        return;
    }
    mail = mail_template_compile(buf_str(&editing->source), on_flaw, editing);
    mail_template_destroy(&mail);
}

static bool parse(struct editing *editing)
{
    bool is_new = editing->which.len == 0;
    struct error err;

    editing->root = json_parse(http_body(editing->call->request), &err);
    if (editing->root == NULL)
        faults_add(&editing->faults, PROBLEM_BAD_JSON, S(""), "bad_json",
                   "is not valid JSON: %s", err.text);
    else if (json_type_of(editing->root) != JSON_MAP)
        fault(editing, S(""), "type", "must be a JSON object");
    else
        fields_check(is_new ? TEMPLATE_FIELDS : TEMPLATE_UPDATE_FIELDS,
                     editing->root, S(""), &editing->faults);
    if (editing->faults.count > 0)
        return false;
    if (!is_new)
        editing->old = json_parse(buf_str(&editing->old_source), NULL);
    return true;
}

/* On a helper thread when something is large. */
static void edit_run(void *ctx)
{
    struct editing *editing = ctx;
    struct call *call = editing->call;
    struct str known;

    editing_clear(editing);
    if (!parse(editing))
        return;
    known = json_get_str(editing->root, "current_version_id");
    editing->is_stale = known.len > 0 && !str_eq(known, editing->version);
    check_members(editing);
    if (editing->faults.count > 0)
        return;
    write_source(editing);
    compile(editing);
    if (call->idempotency.key_hash.len > 0 &&
        call->idempotency.fingerprint.len == 0)
        call_fingerprint(call);
}

static void edit_again(struct editing *editing);

static void on_edited(void *ctx, const struct queue_answer *answer)
{
    struct editing *editing = ctx;
    struct call *call = editing->call;

    if (answer->status == QUEUE_DONE) {
        if (call_goes_on(call))
            edit_again(editing);
    } else if (answer->status == QUEUE_REFUSED) {
        fault(editing, S("/alias"), "taken",
              "is the alias of another template");
        call_fail_faults(call, &editing->faults);
    } else if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
    } else if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, no_template(call));
    } else {
        struct buf body;

        template_cache_forget(call->api->templates);
        buf_init(&body, answer->answer.len);
        buf_add(&body, answer->answer);
        call_reply(call, (unsigned)answer->http_status, &body);
        buf_finish(&body);
    }
}

static void store(struct editing *editing)
{
    struct call *call = editing->call;
    struct str source = buf_str(&editing->source);
    struct template_change change = {editing->alias, editing->name, source};

    if (editing->which.len == 0) {
        queue_template_create(call->api->queue, call_owner(call), &change,
                              &call->idempotency, on_edited, editing);
        return;
    }
    if (str_eq(source, buf_str(&editing->old_source)))
        change.source = S("");
    queue_template_update(call->api->queue, call_owner(call), editing->which,
                          editing->version, &change, on_edited, editing);
}

static void on_run(void *ctx)
{
    struct editing *editing = ctx;
    struct call *call = editing->call;

    if (editing->faults.count > 0)
        call_fail_faults(call, &editing->faults);
    else if (editing->is_stale)
        call_fail(call, PROBLEM_TEMPLATE_CHANGED,
                  "The template was changed: its current_version_id is "
                  "another one. Look at it again.");
    else if (call_goes_on(call))
        store(editing);
}

static void edit(struct editing *editing)
{
    if (http_body(editing->call->request).len <= CALL_SMALL_BODY &&
        editing->old_source.len <= CALL_SMALL_BODY) {
        edit_run(editing);
        on_run(editing);
        return;
    }
    work_job_init(&editing->job, edit_run, on_run, editing);
    if (!work_submit(editing->call->api->work, &editing->job))
        call_fail(editing->call, PROBLEM_UNAVAILABLE,
                  "Too many large requests at once; nothing was kept.");
}

static void on_found(void *ctx, const struct queue_templates *list)
{
    struct editing *editing = ctx;
    struct call *call = editing->call;

    if (list->status != QUEUE_OK) {
        call_fail_queue(call, list->status, &list->why, no_template(call));
        return;
    }
    if (!call_goes_on(call))
        return;
    buf_clear(&editing->old_source);
    buf_add(&editing->old_source, list->templates[0].source);
    editing->alias = arena_copy(call->arena, list->templates[0].alias);
    editing->name = arena_copy(call->arena, list->templates[0].name);
    editing->version = arena_copy(call->arena, list->templates[0].newest);
    edit(editing);
}

/* Somebody else was quicker: the change is made to what is there now. */
static void edit_again(struct editing *editing)
{
    struct call *call = editing->call;

    if (++editing->tries > TRIES_MAX)
        call_fail(call, PROBLEM_TEMPLATE_CHANGED,
                  "The template is being changed by others.");
    else
        queue_template_get(call->api->queue, call_owner(call), editing->which,
                           false, S(""), on_found, editing);
}

static struct editing *editing_new(struct call *call)
{
    struct editing *editing = ARENA_NEW(call->arena, struct editing);

    editing->call = call;
    faults_init(&editing->faults, call->arena);
    buf_init(&editing->source, TEMPLATE_VERSION_MAX);
    buf_init(&editing->old_source, TEMPLATE_VERSION_MAX);
    call->own = editing;
    call->release = editing_release;
    return editing;
}

void templates_create(struct call *call)
{
    edit(editing_new(call));
}

void templates_update(struct call *call)
{
    struct editing *editing = editing_new(call);

    editing->which = http_param(call->request, 0);
    edit_again(editing);
}

/* --- POST /templates/{id}/publish, DELETE /templates/{id} --- */

static void on_answered(void *ctx, const struct queue_answer *answer)
{
    struct call *call = ctx;
    struct buf body;

    if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
        return;
    }
    if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, no_template(call));
        return;
    }
    template_cache_forget(call->api->templates);
    buf_init(&body, answer->answer.len);
    buf_add(&body, answer->answer);
    call_reply(call, (unsigned)answer->http_status, &body);
    buf_finish(&body);
}

void templates_publish(struct call *call)
{
    queue_template_publish(call->api->queue, call_owner(call),
                           http_param(call->request, 0), &call->idempotency,
                           on_answered, call);
}

void templates_delete(struct call *call)
{
    queue_template_delete(call->api->queue, call_owner(call),
                          http_param(call->request, 0), on_answered, call);
}

/* --- POST /templates/{id}/duplicate --- */

/* The copy has no alias, since its original has that. */
static void copy(struct call *call, struct str name, struct str source)
{
    struct template_change change = {.source = source};

    name = str_slice(name, 0, utf8_cut(name, NAME_MAX_BYTES - 7));
    change.name = arena_printf(call->arena, "%.*s (Copy)", STR_ARG(name));
    queue_template_create(call->api->queue, call_owner(call), &change,
                          &call->idempotency, on_answered, call);
}

/* False: there is none of that alias. */
static bool copy_builtin(struct call *call)
{
    struct str alias = http_param(call->request, 0);
    struct buf source;
    bool is_there;

    buf_init(&source, TEMPLATE_VERSION_MAX);
    is_there = builtin_source_add(alias, &source);
    if (is_there)
        copy(call, alias, buf_str(&source));
    buf_finish(&source);
    return is_there;
}

static void on_original(void *ctx, const struct queue_templates *list)
{
    struct call *call = ctx;

    if (list->status != QUEUE_OK && list->status != QUEUE_NOT_FOUND)
        call_fail_queue(call, list->status, &list->why, no_template(call));
    else if (!call_goes_on(call))
        return;
    else if (list->status == QUEUE_OK)
        copy(call, list->templates[0].name, list->templates[0].source);
    else if (!copy_builtin(call))
        call_fail(call, PROBLEM_NOT_FOUND, no_template(call));
}

void templates_duplicate(struct call *call)
{
    queue_template_get(call->api->queue, call_owner(call),
                       http_param(call->request, 0), false, S(""), on_original,
                       call);
}

/* --- GET /templates, /templates/{id} --- */

static void put_head(struct json_out *out, const struct stored_template *one)
{
    json_add_str(out, "id", id_str(&one->id));
    json_add_str(out, "name", one->name);
    json_add_str_or_null(out, "alias", one->alias);
    json_add_cstr(out, "status",
                  one->published.len > 0 ? "published" : "draft");
    json_add_time_or_null(out, "published_at", one->published_ms);
    json_add_time(out, "created_at", one->created_ms);
    json_add_time(out, "updated_at", one->updated_ms);
    json_add_str(out, "current_version_id", one->newest);
    json_add_str_or_null(out, "published_version_id", one->published);
    json_add_bool(out, "has_unpublished_versions",
                  !str_eq(one->newest, one->published));
}

/* Apart from the pages: they have no ids and no dates to be sorted by. */
static void put_built_in(struct json_out *out)
{
    struct str last = S("");

    json_name(out, "built_in");
    json_open_list(out);
    for (size_t i = 0; i < BUILTIN_TEMPLATE_COUNT; i++) {
        const struct builtin_template *builtin = &BUILTIN_TEMPLATES[i];

        if (!str_eq(builtin->alias, last)) {
            if (i > 0) {
                json_close_list(out);
                json_close_map(out);
            }
            json_open_map(out);
            json_add_str(out, "alias", builtin->alias);
            json_name(out, "locales");
            json_open_list(out);
            last = builtin->alias;
        }
        json_put_str(out, builtin->locale);
    }
    json_close_list(out);
    json_close_map(out);
    json_close_list(out);
}

static void on_listed(void *ctx, const struct queue_templates *list)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (list->status != QUEUE_OK) {
        call_fail_queue(call, list->status, &list->why, NULL);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    page_open(&out, list->has_more);
    for (size_t i = 0; i < list->count; i++) {
        json_open_map(&out);
        put_head(&out, &list->templates[i]);
        json_close_map(&out);
    }
    json_close_list(&out);
    put_built_in(&out);
    json_close_map(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void templates_list(struct call *call)
{
    struct queue_page page;

    if (call_page(call, &page))
        queue_template_list(call->api->queue, call_owner(call), &page,
                            on_listed, call);
}

static void put_built_in_head(struct json_out *out, struct str alias)
{
    char version[128];

    snprintf(version, sizeof version, "builtin:%.*s", STR_ARG(alias));
    json_add_str(out, "id", alias);
    json_add_str(out, "name", alias);
    json_add_str(out, "alias", alias);
    json_add_cstr(out, "status", "published");
    json_add_null(out, "published_at");
    json_add_null(out, "created_at");
    json_add_null(out, "updated_at");
    json_add_cstr(out, "current_version_id", version);
    json_add_cstr(out, "published_version_id", version);
    json_add_bool(out, "has_unpublished_versions", false);
}

/* Every member of a request, null for what it lacks. */
static void put_content(struct json_out *out, const struct json *root)
{
    static const char *const names[] = {"from", "subject", "reply_to",
                                        "html", "text",    "default_locale"};
    const struct json *strict = json_get(root, "strict");

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        json_name(out, names[i]);
        json_put_value(out, json_get(root, names[i]));
    }
    json_name(out, "locales");
    if (json_get(root, "locales") != NULL)
        json_put_value(out, json_get(root, "locales"));
    else
        json_put_raw(out, S("{}"));
    json_name(out, "variables");
    json_open_list(out);
    for (size_t i = 0; i < json_count(json_get(root, "variables")); i++)
        json_put_value(out, json_at(json_get(root, "variables"), i));
    json_close_list(out);
    json_add_bool(out, "strict", strict == NULL || json_bool(strict));
}

struct showing {
    struct call *call;
    struct stored_template one;
    bool is_built_in; /* one has a source alone */
    struct buf body;
    struct work_job job;
};

static void showing_release(void *own)
{
    buf_finish(&((struct showing *)own)->body);
}

static void show_run(void *ctx)
{
    struct showing *showing = ctx;
    struct json *root = json_parse(showing->one.source, NULL);
    struct json_out out;

    json_out_init(&out, &showing->body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "template");
    if (showing->is_built_in)
        put_built_in_head(&out, http_param(showing->call->request, 0));
    else
        put_head(&out, &showing->one);
    json_add_bool(&out, "built_in", showing->is_built_in);
    put_content(&out, root);
    json_close_map(&out);
    json_destroy(&root);
}

static void on_shown(void *ctx)
{
    struct showing *showing = ctx;
    struct buf body = showing->body;

    buf_init(&showing->body, 0);
    call_reply(showing->call, 200, &body);
    buf_finish(&body);
}

static void copy_one(struct arena *arena, const struct stored_template *from,
                     struct stored_template *to)
{
    *to = *from;
    to->alias = arena_copy(arena, from->alias);
    to->name = arena_copy(arena, from->name);
    to->newest = arena_copy(arena, from->newest);
    to->published = arena_copy(arena, from->published);
    to->source = arena_copy(arena, from->source);
}

/* What the name means where the owner has none of it. False: nothing. */
static bool take_built_in(struct showing *showing)
{
    struct call *call = showing->call;
    struct buf source;

    buf_init(&source, TEMPLATE_VERSION_MAX);
    showing->is_built_in =
        builtin_source_add(http_param(call->request, 0), &source);
    showing->one.source = arena_copy(call->arena, buf_str(&source));
    buf_finish(&source);
    return showing->is_built_in;
}

static void on_got(void *ctx, const struct queue_templates *list)
{
    struct showing *showing = ctx;
    struct call *call = showing->call;

    if (list->status != QUEUE_OK &&
        (list->status != QUEUE_NOT_FOUND || !take_built_in(showing))) {
        call_fail_queue(call, list->status, &list->why, "Template not found");
        return;
    }
    if (!call_goes_on(call))
        return;
    if (!showing->is_built_in)
        copy_one(call->arena, &list->templates[0], &showing->one);
    if (showing->one.source.len <= CALL_SMALL_BODY) {
        show_run(showing);
        on_shown(showing);
        return;
    }
    work_job_init(&showing->job, show_run, on_shown, showing);
    if (!work_submit(call->api->work, &showing->job))
        call_fail(call, PROBLEM_UNAVAILABLE,
                  "Too many large requests at once.");
}

void templates_get(struct call *call)
{
    struct showing *showing = ARENA_NEW(call->arena, struct showing);

    showing->call = call;
    buf_init(&showing->body, BODY_MAX);
    call->own = showing;
    call->release = showing_release;
    queue_template_get(call->api->queue, call_owner(call),
                       http_param(call->request, 0), false, S(""), on_got,
                       showing);
}
