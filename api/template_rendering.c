#include "api/template_rendering.h"

#include "api/template_judge.h"

#include <stdio.h>
#include <string.h>

enum {
    SMALL_SOURCE = CALL_SMALL_BODY,
    QUICK_STEPS = 4000, /* some 200 us */
};

static void look_up(struct template_rendering *r);

static void look_up_next(struct template_rendering *r)
{
    r->found++;
    look_up(r);
}

static void finish_with(struct template_rendering *r, enum queue_status status)
{
    r->status = status;
    r->done(r->ctx);
}

/* A helper thread, or on the loop what is small. */
static void run_job(struct template_rendering *r, void (*run)(void *ctx),
                    void (*done)(void *ctx), bool is_small)
{
    if (is_small) {
        run(r);
        done(r);
        return;
    }
    work_job_init(&r->job, run, done, r);
    if (work_submit(r->call->api->work, &r->job))
        return;
    call_fail(r->call, PROBLEM_UNAVAILABLE,
              "Too many large templates at once; nothing was kept.");
}

/* --- rendering --- */

/* On a helper thread too: what it asks for is fetched behind it. */
static const struct mail_template *find(void *ctx, struct str name)
{
    struct template_rendering *r = ctx;

    for (size_t i = 0; i < r->name_count; i++)
        if (str_eq(r->names[i], name))
            return i < r->found && r->templates[i] != NULL
                       ? r->templates[i]->mail
                       : NULL;
    if (r->name_count < RENDERING_TEMPLATES_MAX)
        r->names[r->name_count++] = arena_copy(r->arena, name);
    return NULL;
}

static void render_run(void *ctx)
{
    struct template_rendering *r = ctx;
    struct mail_template_request request = {
        .mail = r->templates[0]->mail,
        .variables = r->variables,
        .locale = r->locale,
        .with_examples = r->with_examples,
        .steps_max = r->is_quick ? QUICK_STEPS : 0,
        .find = find,
        .find_ctx = r,
    };

    mail_rendering_finish(&r->out);
    r->is_rendered = mail_template_render(&request, &r->out, &r->err);
}

static void render_done(void *ctx);

static void render(struct template_rendering *r)
{
    run_job(r, render_run, render_done, r->is_quick);
}

static void render_done(void *ctx)
{
    struct template_rendering *r = ctx;

    if (!r->is_quick && !call_goes_on(r->call))
        return;
    if (r->name_count > r->found) {
        look_up(r);
    } else if (r->out.has_failed && r->is_quick) {
        r->is_quick = false;
        render(r);
    } else {
        finish_with(r, QUEUE_OK);
    }
}

/* --- compiling --- */

/* It was compiled before it was stored. */
static void ignore_flaw(void *ctx, struct str pointer, const char *text)
{
    (void)ctx;
    (void)pointer;
    (void)text;
}

static void compile_run(void *ctx)
{
    struct template_rendering *r = ctx;

    r->compiled = mail_template_compile(r->source, ignore_flaw, NULL);
}

static void compile_done(void *ctx)
{
    struct template_rendering *r = ctx;
    struct held_template *held;

    if (r->source.len > SMALL_SOURCE && !call_goes_on(r->call))
        return;
    if (r->compiled != NULL) {
        held =
            held_template_new(str_of(r->id), str_of(r->version), r->compiled);
        r->compiled = NULL;
        r->templates[r->found] = held;
        if (!r->is_draft)
            template_cache_put(r->call->api->templates, r->call->key.owner,
                               r->names[r->found], held);
    }
    look_up_next(r);
}

static void compile(struct template_rendering *r, struct str source)
{
    r->source = source;
    if (source.len > SMALL_SOURCE)
        r->is_quick = false;
    run_job(r, compile_run, compile_done, source.len <= SMALL_SOURCE);
}

/* --- looking up --- */

static void take(struct template_rendering *r,
                 const struct stored_template *stored)
{
    if (!r->is_draft)
        r->templates[r->found] =
            template_cache_renew(r->call->api->templates, r->call->key.owner,
                                 r->names[r->found], stored->version);
    if (r->templates[r->found] != NULL) {
        look_up_next(r);
        return;
    }
    if (stored->source.len == 0) { /* it was dropped meanwhile */
        look_up(r);
        return;
    }
    memcpy(r->id, stored->id.text, sizeof r->id);
    snprintf(r->version, sizeof r->version, "%.*s", STR_ARG(stored->version));
    compile(r, arena_copy(r->arena, stored->source));
}

/* The variable product_name gets the operator's word as its default. */
static void put_variable(const struct json *variable, struct str product_name,
                         struct json_out *out)
{
    const struct json *value;
    struct str name;
    void *at = NULL;

    json_open_map(out);
    while (json_next(variable, &at, &name, &value)) {
        json_name_str(out, name);
        json_put_value(out, value);
    }
    if (str_eq(json_get_str(variable, "name"), S("product_name")) &&
        product_name.len > 0)
        json_add_str(out, "default", product_name);
    json_close_map(out);
}

static struct str with_product_name(struct template_rendering *r,
                                    struct str source)
{
    struct str product_name =
        str_of(r->call->api->config->sending.product_name);
    struct json *root = json_parse(source, NULL);
    const struct json *variables = json_get(root, "variables");
    const struct json *value;
    struct json_out out;
    struct str name;
    struct buf buf;
    void *at = NULL;

    buf_init(&buf, TEMPLATE_VERSION_MAX);
    json_out_init(&out, &buf);
    json_open_map(&out);
    while (json_next(root, &at, &name, &value)) {
        json_name_str(&out, name);
        if (value != variables) {
            json_put_value(&out, value);
            continue;
        }
        json_open_list(&out);
        for (size_t i = 0; i < json_count(variables); i++)
            put_variable(json_at(variables, i), product_name, &out);
        json_close_list(&out);
    }
    json_close_map(&out);
    json_destroy(&root);
    source = arena_copy(r->arena, buf_str(&buf));
    buf_finish(&buf);
    return source;
}

/* What a name means where the owner has no template of that name. False: that
 * is none, either. */
static bool take_builtin(struct template_rendering *r)
{
    struct str name = r->names[r->found];
    struct buf source;
    bool is_there;

    buf_init(&source, TEMPLATE_VERSION_MAX);
    is_there = builtin_source_add(name, &source);
    if (is_there) {
        r->id[0] = '\0';
        snprintf(r->version, sizeof r->version, "builtin:%.*s", STR_ARG(name));
        r->templates[r->found] =
            template_cache_renew(r->call->api->templates, r->call->key.owner,
                                 name, str_of(r->version));
        if (r->templates[r->found] == NULL)
            compile(r, with_product_name(r, buf_str(&source)));
        else
            look_up_next(r);
    }
    buf_finish(&source);
    return is_there;
}

static void on_looked_up(void *ctx, const struct queue_templates *list)
{
    struct template_rendering *r = ctx;

    if (list->status != QUEUE_OK && list->status != QUEUE_NOT_FOUND) {
        r->why = list->why;
        finish_with(r, list->status);
    } else if (call_goes_on(r->call)) {
        if (list->status == QUEUE_OK)
            take(r, &list->templates[0]);
        else if (!take_builtin(r))
            look_up_next(r);
    }
}

static void ask(struct template_rendering *r, struct str name)
{
    struct call *call = r->call;
    struct str known = S("");

    if (!r->is_draft)
        known =
            template_cache_version(call->api->templates, call->key.owner, name);
    queue_template_get(call->api->queue, call_owner(call), name, !r->is_draft,
                       known, on_looked_up, r);
}

/* All names that are known so far, then renders. */
static void look_up(struct template_rendering *r)
{
    for (; r->found < r->name_count; r->found++) {
        struct str name = r->names[r->found];

        if (!r->is_draft)
            r->templates[r->found] = template_cache_get(
                r->call->api->templates, r->call->key.owner, name);
        if (r->templates[r->found] == NULL) {
            ask(r, name);
            return;
        }
    }
    if (r->templates[0] == NULL)
        finish_with(r, QUEUE_NOT_FOUND);
    else
        render(r);
}

void template_rendering_begin(struct template_rendering *r)
{
    r->arena = arena_create();
    r->is_quick = !r->is_large;
    r->names[0] = r->name;
    r->name_count = 1;
    look_up(r);
}

void template_rendering_finish(struct template_rendering *r)
{
    if (r->arena == NULL)
        return;
    mail_rendering_finish(&r->out);
    mail_template_destroy(&r->compiled);
    for (size_t i = 0; i < r->name_count; i++)
        held_template_drop(&r->templates[i]);
    r->name_count = 0;
    arena_destroy(&r->arena);
}

/* --- what is wrong --- */

void template_rendering_tell(const struct template_rendering *r,
                             struct str base, struct faults *faults)
{
    const struct template_flaws *flaws = &r->out.flaws;

    for (size_t i = 0; i < flaws->count; i++)
        template_flaw_tell(&flaws->rows[i], base, faults);
    faults->more += flaws->more;
    if (r->out.has_failed)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, base, "not_rendered",
                   "cannot be rendered: %s", r->err.text);
}
