#include "api/call.h"
#include "api/signing.h"
#include "api/tables.h"
#include "api/template_judge.h"
#include "api/template_rendering.h"
#include "smtp/smtp.h"

enum {
    VIEW_MAX = 6 * (2 * TEMPLATE_OUTPUT_MAX) + (1 << 20), /* escapes */
    VARIABLES_MAX = 1000,
    REPLY_TO_MAX = 50, /* as of a mail */
};

static const char *const VERSIONS[] = {"draft", "published", NULL};

const struct field TEMPLATE_PREVIEW_FIELDS[] = {
    {.name = "variables", .type = FIELD_OBJECT, .max = VARIABLES_MAX},
    {.name = "locale", .type = FIELD_TEXT, .max = LOCALE_TAG_MAX},
    {.name = "version", .type = FIELD_WORD, .words = VERSIONS},
    {.name = "from",
     .type = FIELD_TEXT,
     .max = ADDRESS_TEXT_MAX,
     .kind = PROBLEM_INVALID_FROM_ADDRESS},
    {.name = "reply_to", .type = FIELD_TEXTS, .max = REPLY_TO_MAX},
    {.name = "class", .type = FIELD_WORD, .words = EMAIL_CLASSES},
    {.name = NULL},
};

struct preview {
    struct call *call;
    struct json *root;
    struct faults faults;
    struct template_rendering rendering;
    struct work_job job;
    enum mail_class mail_class;
    struct template_senders senders; /* of the body, else of the template */
    struct signing signing;
    struct buf text; /* the text part, when it is made from the html */
    struct buf body;
};

static void preview_release(void *own)
{
    struct preview *preview = own;

    template_rendering_finish(&preview->rendering);
    json_destroy(&preview->root);
    buf_finish(&preview->text);
    buf_finish(&preview->body);
}

/* --- who sends it --- */

static void read_senders(struct preview *preview)
{
    const struct json *root = preview->root;

    preview->mail_class = CLASS_TRANSACTIONAL;
    if (field_is_there(root, "class"))
        CHECK(mail_class_parse(json_get_str(root, "class"),
                               &preview->mail_class));
    if (field_is_there(root, "from"))
        template_senders_from(&preview->senders, json_get_str(root, "from"),
                              &preview->faults);
    if (field_is_there(root, "reply_to"))
        template_senders_reply_to(&preview->senders, json_get(root, "reply_to"),
                                  &preview->faults);
}

/* Recipients are not known: the route is that of a mail to anybody. */
static enum lint_dkim dkim_of(const struct preview *preview)
{
    const struct smtp_route_query query = {
        .mail_class = preview->mail_class,
        .from_domain = preview->senders.from_box.domain,
    };
    const struct config_route *route;

    if (preview->senders.from.len == 0)
        return LINT_DKIM_NOT_ASKED;
    if (preview->signing.keys.domain.len > 0)
        return LINT_DKIM_ALIGNED; /* signing.h takes no other */
    route = smtp_route_find(preview->call->api->config, &query);
    return route != NULL && route->final ? LINT_DKIM_ABSENT
                                         : LINT_DKIM_NOT_ASKED;
}

/* --- the answer --- */

static void put_part(struct json_out *out, const char *name, bool is_there,
                     const struct buf *text)
{
    if (is_there)
        json_add_str(out, name, buf_str(text));
    else
        json_add_null(out, name);
}

static void put_lint(struct preview *preview, struct json_out *out)
{
    struct lint_facts facts = {.mail_class = preview->mail_class,
                               .dkim = dkim_of(preview)};
    struct lint_findings findings;

    template_judge(&preview->rendering.out, &preview->senders, &facts,
                   preview->rendering.arena, &findings);
    json_name(out, "lint");
    lint_put(&findings, out);
}

static void put_senders(const struct preview *preview, struct json_out *out)
{
    json_add_str_or_null(out, "from", preview->senders.from);
    json_name(out, "reply_to");
    json_open_list(out);
    for (size_t i = 0; i < preview->senders.reply_to_count; i++)
        json_put_str(out, preview->senders.reply_to[i]);
    json_close_list(out);
    if (preview->senders.from.len > 0)
        signing_put(out, &preview->signing, preview->senders.from_box.domain,
                    preview->rendering.arena);
    else
        json_add_null(out, "signing");
}

/* On a helper thread: making a text of html takes a while. */
static void write_run(void *ctx)
{
    struct preview *preview = ctx;
    const struct mail_rendering *mail = &preview->rendering.out;
    const struct held_template *held = preview->rendering.templates[0];
    const struct buf *text = mail->has_text ? &mail->text : &preview->text;
    struct json_out out;

    if (!mail->has_text)
        html_text_add(&preview->text, buf_str(&mail->html));
    json_out_init(&out, &preview->body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "template_preview");
    json_add_cstr(&out, "id", held->id);
    json_add_cstr(&out, "version_id", held->version);
    json_add_str(&out, "locale", mail->locale);
    json_add_cstr(&out, "dir", mail->dir);
    put_senders(preview, &out);
    put_part(&out, "subject", mail->has_subject, &mail->subject);
    put_part(&out, "html", mail->has_html, &mail->html);
    json_add_str(&out, "text", buf_str(text));
    put_lint(preview, &out);
    json_close_map(&out);
}

static void on_written(void *ctx)
{
    struct preview *preview = ctx;
    struct buf body = preview->body;

    buf_init(&preview->body, 0);
    call_reply(preview->call, 200, &body);
    buf_finish(&body);
}

static void write_answer(struct preview *preview)
{
    work_job_init(&preview->job, write_run, on_written, preview);
    if (!work_submit(preview->call->api->work, &preview->job))
        call_fail(preview->call, PROBLEM_UNAVAILABLE,
                  "Too many large requests at once.");
}

static void on_signing(void *ctx, const struct signing *signing)
{
    struct preview *preview = ctx;

    preview->signing = *signing;
    write_answer(preview);
}

static void on_rendered(void *ctx)
{
    struct preview *preview = ctx;
    struct call *call = preview->call;

    if (preview->rendering.status != QUEUE_OK) {
        call_fail_queue(call, preview->rendering.status,
                        &preview->rendering.why,
                        preview->rendering.is_draft
                            ? "Template not found"
                            : "Template not found, or not published");
        return;
    }
    if (!preview->rendering.is_rendered) {
        template_rendering_tell(&preview->rendering, S(""), &preview->faults);
        call_fail_faults(call, &preview->faults);
        return;
    }
    template_senders_fill(&preview->senders,
                          preview->rendering.templates[0]->mail,
                          &preview->faults);
    if (preview->faults.count > 0)
        call_fail_faults(call, &preview->faults);
    else if (preview->senders.from.len > 0)
        signing_find(call, preview->senders.from_box.domain, on_signing,
                     preview);
    else
        write_answer(preview);
}

static void render(struct preview *preview)
{
    struct call *call = preview->call;

    preview->rendering = (struct template_rendering){
        .call = call,
        .name = http_param(call->request, 0),
        .is_draft =
            !str_eq(json_get_str(preview->root, "version"), S("published")),
        .variables = field_is_there(preview->root, "variables")
                         ? json_get(preview->root, "variables")
                         : NULL,
        .locale = json_get_str(preview->root, "locale"),
        .with_examples = true,
        .is_large = http_body(call->request).len > CALL_SMALL_BODY,
        .done = on_rendered,
        .ctx = preview,
    };
    template_rendering_begin(&preview->rendering);
}

static void parse_run(void *ctx)
{
    struct preview *preview = ctx;
    struct str body = http_body(preview->call->request);
    struct error err;

    preview->root = json_parse(body.len == 0 ? S("{}") : body, &err);
    if (preview->root == NULL)
        faults_add(&preview->faults, PROBLEM_BAD_JSON, S(""), "bad_json",
                   "is not valid JSON: %s", err.text);
    else if (json_type_of(preview->root) != JSON_MAP)
        faults_add(&preview->faults, PROBLEM_VALIDATION_ERROR, S(""), "type",
                   "must be a JSON object");
    else if (fields_check(TEMPLATE_PREVIEW_FIELDS, preview->root, S(""),
                          &preview->faults))
        read_senders(preview);
}

static void on_parsed(void *ctx)
{
    struct preview *preview = ctx;

    if (preview->faults.count > 0)
        call_fail_faults(preview->call, &preview->faults);
    else if (call_goes_on(preview->call))
        render(preview);
}

void templates_preview(struct call *call)
{
    struct preview *preview = ARENA_NEW(call->arena, struct preview);

    preview->call = call;
    faults_init(&preview->faults, call->arena);
    buf_init(&preview->text,
             HTML_TEXT_GROWTH_MAX * (size_t)TEMPLATE_OUTPUT_MAX);
    buf_init(&preview->body, VIEW_MAX);
    call->own = preview;
    call->release = preview_release;
    if (http_body(call->request).len <= CALL_SMALL_BODY) {
        parse_run(preview);
        on_parsed(preview);
        return;
    }
    work_job_init(&preview->job, parse_run, on_parsed, preview);
    if (!work_submit(call->api->work, &preview->job))
        call_fail(call, PROBLEM_UNAVAILABLE,
                  "Too many large requests at once.");
}
