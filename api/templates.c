#include "api/call.h"
#include "api/page.h"
#include "api/template_cache.h"
#include "api/template_source.h"
#include "server/base/codec.h"
#include "smtp/message/message.h"

#include <stdio.h>
#include <string.h>

enum {
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

/* Only who names one in the path can miss it. */
static void fail_change(struct call *call, enum queue_status status,
                        const struct error *why)
{
    call_fail_queue(call, status, why,
                    status == QUEUE_NOT_FOUND ? no_template(call) : NULL);
}

/* A release may have stored it that keeps longer ones. False: replied. */
static bool has_room(struct call *call, const struct stored_template *stored)
{
    if (stored->source.len <= TEMPLATE_VERSION_MAX)
        return true;
    call_fail(call, PROBLEM_UNAVAILABLE,
              "What is stored is longer than what this server keeps.");
    return false;
}

/* --- POST /templates, PATCH /templates/{id} --- */

struct editing {
    struct call *call;
    struct str which; /* of an update; empty: a new one */
    unsigned tries;
    struct faults faults;
    struct work_job job;
    struct buf old_source; /* of an update: what is there */
    struct str version;    /* likewise */
    struct template_source source;
    bool is_stale; /* the caller knows another version */
};

static void editing_release(void *own)
{
    struct editing *editing = own;

    template_source_finish(&editing->source);
    buf_finish(&editing->old_source);
}

/* On a helper thread when something is large. */
static void edit_run(void *ctx)
{
    struct editing *editing = ctx;
    struct call *call = editing->call;
    struct mail_template *mail =
        template_source_read(&editing->source, http_body(call->request));
    struct str known = json_get_str(editing->source.root, "current_version_id");

    editing->is_stale = known.len > 0 && !str_eq(known, editing->version);
    if (mail != NULL && call->idempotency.key_hash.len > 0 &&
        call->idempotency.fingerprint.len == 0)
        call_fingerprint(call);
    mail_template_destroy(&mail);
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
        faults_add(&editing->faults, PROBLEM_VALIDATION_ERROR, S("/alias"),
                   "taken", "is the alias of another template");
        call_fail_faults(call, &editing->faults);
    } else if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
    } else if (answer->status != QUEUE_OK) {
        fail_change(call, answer->status, &answer->why);
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
    const struct template_source *source = &editing->source;
    struct template_change change = {source->alias, source->name,
                                     buf_str(&source->text)};

    if (editing->which.len == 0) {
        queue_template_create(call->api->queue, call_owner(call), &change,
                              &call->idempotency, on_edited, editing);
        return;
    }
    if (str_eq(change.source, source->was))
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
        fail_change(call, list->status, &list->why);
        return;
    }
    if (!has_room(call, &list->templates[0]) || !call_goes_on(call))
        return;
    buf_clear(&editing->old_source);
    buf_add(&editing->old_source, list->templates[0].source);
    editing->source.was = buf_str(&editing->old_source);
    editing->source.alias = arena_copy(call->arena, list->templates[0].alias);
    editing->source.name = arena_copy(call->arena, list->templates[0].name);
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
    editing->source.faults = &editing->faults;
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
        fail_change(call, answer->status, &answer->why);
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

    name = str_slice(name, 0, utf8_cut(name, TEMPLATE_NAME_BYTES_MAX - 7));
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
        fail_change(call, list->status, &list->why);
    else if (!call_goes_on(call))
        return;
    else if (list->status == QUEUE_OK && has_room(call, &list->templates[0]))
        copy(call, list->templates[0].name, list->templates[0].source);
    else if (list->status != QUEUE_OK &&
             !copy_builtin(call)) /* an equal request may have found it */
        call_refuse(call, &(struct problem){.kind = PROBLEM_NOT_FOUND,
                                            .message = no_template(call)});
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
