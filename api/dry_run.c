#include "api/dry_run.h"

#include "api/api.h"
#include "server/base/codec.h"

static int64_t due_of(const struct dry_run *dry)
{
    int64_t scheduled_ms = dry->request->scheduled_ms;

    return scheduled_ms > 0 ? scheduled_ms : dry->now_ms;
}

static void fill_message(const struct dry_run *dry, const struct json *mail,
                         struct message *message)
{
    const struct email_request *request = dry->request;
    struct attachment *files = ARENA_ARRAY(request->arena, struct attachment,
                                           request->attachment_count);
    struct error err;

    CHECK(message_read_json(mail, request->arena, message, &err));
    for (size_t i = 0; i < request->attachment_count; i++)
        files[i] = (struct attachment){
            .content = request->attachment_bytes[i].bytes,
            .name = request->attachments[i].filename,
            .type = request->attachments[i].content_type,
            .content_id = request->attachments[i].content_id,
        };
    message->attachments = files;
    message->attachment_count = request->attachment_count;
    message_identify(message, &(struct message_identity){
                                  .id = dry->id,
                                  .message_id = dry->message_id,
                                  .date_ms = due_of(dry),
                                  .mail_class = request->mail_class,
                              });
}

/* --- where to --- */

static const char *kind_of(const struct email_request *request, unsigned number)
{
    if (number < request->to.count)
        return "to";
    return number < request->to.count + request->cc.count ? "cc" : "bcc";
}

static void put_route(struct json_out *out, const struct config_route *route)
{
    json_add_cstr(out, "route", route->name);
    json_name(out, "upstreams");
    json_open_list(out);
    for (size_t i = 0; i < route->upstreams.count; i++)
        json_put_str(out, str_of(route->upstreams.items[i]));
    json_close_list(out);
}

static void put_recipients(const struct dry_run *dry, struct json_out *out)
{
    const struct email_request *request = dry->request;

    json_name(out, "recipients");
    json_open_list(out);
    for (size_t i = 0; i < request->recipient_count; i++) {
        const struct email_recipient *recipient = &request->recipients[i];

        json_open_map(out);
        json_add_str(out, "address", recipient->box->address);
        json_add_cstr(out, "kind", kind_of(request, recipient->number));
        if (dry->routes != NULL)
            put_route(out, dry->routes[i]);
        json_close_map(out);
    }
    json_close_list(out);
}

/* --- until when --- */

static void put_plan(const struct dry_run *dry, struct json_out *out)
{
    const struct email_request *request = dry->request;
    const struct config_worker *worker = &dry->config->worker;
    const struct smtp_plan *plan = smtp_retry_plan(request->mail_class);
    bool is_own = worker->retry.count > 0;
    size_t count = is_own ? worker->retry.count : plan->delay_count;
    const int64_t *delays_ms =
        is_own ? worker->retry.items_ms : plan->delays_ms;

    json_add_time_or_null(out, "scheduled_at", request->scheduled_ms);
    json_add_time_or_null(out, "expires_at", request->expires_ms);
    json_add_time(out, "gives_up_at",
                  smtp_expires_ms(request->mail_class, worker, due_of(dry),
                                  request->expires_ms));
    json_name(out, "retry_delays");
    json_open_list(out);
    for (size_t i = 0; i < count; i++)
        json_put_int(out, delays_ms[i] / 1000);
    json_close_list(out);
}

/* --- what it is --- */

/* Nobody behind us could sign it: we hand it to the recipients' own server. */
static bool is_for_good(const struct dry_run *dry)
{
    for (size_t i = 0; dry->routes != NULL && i < dry->request->recipient_count;
         i++)
        if (dry->routes[i]->final)
            return true;
    return false;
}

static enum lint_dkim dkim_of(const struct dry_run *dry)
{
    if (dry->signing != NULL && dry->signing->keys.domain.len > 0)
        return LINT_DKIM_ALIGNED; /* signing.h takes no other */
    return is_for_good(dry) ? LINT_DKIM_ABSENT : LINT_DKIM_NOT_ASKED;
}

static void put_mime(struct json_out *out, struct str mime)
{
    json_add_int(out, "size", (int64_t)mime.len);
    json_add_bool(out, "mime_is_cut", mime.len > DRY_RUN_MIME_MAX);
    json_add_str(out, "mime",
                 str_slice(mime, 0, utf8_cut(mime, DRY_RUN_MIME_MAX)));
}

static void put_mail(const struct dry_run *dry, struct json_out *out)
{
    const struct email_request *request = dry->request;
    struct json *mail = json_parse(request->mail_json, NULL);
    struct lint_facts facts = {.mail_class = request->mail_class,
                               .dkim = dkim_of(dry)};
    struct lint_findings findings;
    struct message message = {0};
    struct buf mime;

    CHECK(mail != NULL);
    fill_message(dry, mail, &message);
    buf_init(&mime, MESSAGE_BYTES_MAX);
    message_compose(&message, request->arena, &mime, NULL);
    CHECK(!mime.full); /* email_request.c saw to it */
    facts.size = mime.len;
    lint_message(&message, &facts, request->arena, &findings);
    json_name(out, "lint");
    lint_put(&findings, out);
    put_mime(out, buf_str(&mime));
    buf_finish(&mime);
    json_destroy(&mail);
}

void dry_run_write(const struct dry_run *dry, struct json_out *out)
{
    const struct email_request *request = dry->request;

    json_open_map(out);
    json_add_cstr(out, "object", "dry_run");
    json_add_cstr(out, "class", mail_class_name(request->mail_class));
    json_add_bool(out, "sensitive", request->sensitive);
    json_add_str_or_null(out, "template_id", dry->template_id);
    json_add_str_or_null(out, "locale", dry->locale);
    json_add_str_or_null(out, "signing_domain",
                         dry->signing == NULL ? S("")
                                              : dry->signing->keys.domain);
    signing_put(out, dry->signing, request->from.domain, request->arena);
    put_plan(dry, out);
    put_recipients(dry, out);
    put_mail(dry, out);
    json_close_map(out);
}

/* --- without a server --- */

static bool read_body(struct email_request *request, struct arena *arena,
                      struct str body, const struct config *config,
                      int64_t now_ms, struct faults *faults)
{
    if (!email_request_open(request, arena, body, faults))
        return false;
    if (request->template_name.len > 0) {
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/template"),
                   "needs_server",
                   "is known to a server only: ask it for POST "
                   "/v1/emails?dry_run=true");
        return false;
    }
    return email_request_read(request, body, NULL, config, now_ms, faults);
}

bool api_dry_run(struct str body, const struct config *config, int64_t now_ms,
                 struct buf *out, struct buf *problems)
{
    static const struct str no_id = STR("00000000-0000-7000-8000-000000000000");
    struct arena *arena = arena_create();
    struct email_request request;
    struct faults *faults = ARENA_NEW(arena, struct faults);
    struct json_out json;
    bool is_right;

    faults_init(faults, arena);
    is_right = read_body(&request, arena, body, config, now_ms, faults);
    for (size_t i = 0; i < faults->count; i++)
        buf_addf(problems, "%.*s\n", STR_ARG(faults->items[i].message));
    if (is_right) {
        json_out_init(&json, out);
        dry_run_write(
            &(struct dry_run){
                .request = &request,
                .config = config,
                .now_ms = now_ms,
                .id = no_id,
                .message_id = request.message_id.len > 0
                                  ? request.message_id
                                  : arena_printf(arena, "<%s@%.*s>", no_id.ptr,
                                                 STR_ARG(request.from.domain)),
            },
            &json);
    }
    email_request_finish(&request);
    arena_destroy(&arena);
    return is_right;
}
