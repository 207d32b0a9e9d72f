#include "api/call.h"
#include "api/dry_run.h"
#include "api/email_request.h"
#include "api/email_retry.h"
#include "api/email_view.h"
#include "api/signing.h"
#include "api/template_rendering.h"
#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/mask.h"
#include "server/base/metrics.h"

#include <string.h>

enum {
    ANSWER_MAX = 1024,
    SUBJECT_MASKED_MAX = 3 * SUBJECT_MAX, /* a dot is three bytes */
    VIEW_SPARE = 1024 * 1024,
    DRY_ANSWER_MAX = 6 * DRY_RUN_MIME_MAX + VIEW_SPARE,
    CONTENT_MAX = 6 * 2 * TEMPLATE_OUTPUT_MAX + VIEW_SPARE, /* escapes */
};

static const char NO_ROUTE[] =
    "No route of this server takes this mail: its operator configures "
    "[[upstream]] and [[route]].";

/* --- POST /emails --- */

struct sending {
    struct call *call;
    struct email_request request;
    bool is_dry;
    struct faults faults;
    bool ok;
    struct template_rendering rendering; /* of one that names a template */
    struct email_content content;
    int64_t now_ms;
    struct work_job job;
    struct buf answer;
    struct dry_run dry;
    struct signing signing; /* of a dry run */
};

static void sending_release(void *own)
{
    struct sending *sending = own;

    email_request_finish(&sending->request);
    json_destroy(&sending->content.root);
    template_rendering_finish(&sending->rendering);
    buf_finish(&sending->answer);
}

static void on_enqueued(void *ctx, const struct queue_answer *answer)
{
    struct sending *sending = ctx;
    struct call *call = sending->call;
    struct buf body;

    if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
        return;
    }
    if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NULL);
        return;
    }
    metrics_count(METRIC_EMAILS_ACCEPTED,
                  mail_class_name(sending->request.mail_class), "live");
    body = sending->answer;
    buf_init(&sending->answer, 0);
    call_reply(call, 200, &body);
    FAULT_POINT("api.answering");
    buf_finish(&body);
}

/* What was accepted once is answered as it was, though its deadline be over by
 * now, its template gone or its domain no longer verified. */
static void refuse(struct sending *sending, enum problem_kind kind,
                   const char *why)
{
    call_refuse(sending->call, &(struct problem){.kind = kind, .message = why});
}

/* --- storing it --- */

/* False: a recipient without a route, so the mail could never leave. */
static bool routes_find(struct sending *sending,
                        const struct config_route **routes)
{
    const struct email_request *request = &sending->request;

    for (size_t i = 0; i < request->recipient_count; i++) {
        const struct email_recipient *recipient = &request->recipients[i];

        routes[i] = smtp_route_find(sending->call->api->config,
                                    &(struct smtp_route_query){
                                        .mail_class = request->mail_class,
                                        .from_domain = request->from.domain,
                                        .to_domain = recipient->box->domain,
                                        .tags = request->tags,
                                        .tag_count = request->tag_count,
                                    });
        if (routes[i] == NULL)
            return false;
    }
    return true;
}

static struct str stored_subject(struct sending *sending)
{
    struct arena *arena = sending->call->arena;
    struct buf masked;
    struct str subject;

    if (!sending->request.sensitive)
        return sending->request.subject;
    if (sending->request.shown_subject.len > 0)
        return sending->request.shown_subject;
    buf_init(&masked, SUBJECT_MASKED_MAX);
    mask_subject(sending->request.subject, &masked);
    subject = arena_copy(arena, buf_str(&masked));
    buf_finish(&masked);
    return subject;
}

static struct summary summary_of(struct sending *sending)
{
    struct email_request *request = &sending->request;
    struct call *call = sending->call;
    struct summary summary = {
        .email = id_new(call->key.partition),
        .owner = call->key.owner,
        .from = request->from_text,
        .to = request->to.texts,
        .to_count = request->to.count,
        .cc = request->cc.texts,
        .cc_count = request->cc.count,
        .bcc = request->bcc.texts,
        .bcc_count = request->bcc.count,
        .reply_to = request->reply_to.texts,
        .reply_to_count = request->reply_to.count,
        .subject = stored_subject(sending),
        .mail_class = request->mail_class,
        .sensitive = request->sensitive,
        .tags_json = request->tags_json,
        .metadata_json = request->metadata_json,
        .message_id = request->message_id,
        .template_id = sending->content.id,
        .locale = sending->content.locale,
        .created_ms = sending->now_ms,
        .scheduled_ms = request->scheduled_ms,
        .expires_ms = request->expires_ms,
    };

    if (summary.message_id.len == 0)
        summary.message_id =
            arena_printf(call->arena, "<%s@%.*s>", summary.email.text,
                         STR_ARG(request->from.domain));
    return summary;
}

static void answer_write(const struct summary *summary, struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    json_open_map(&out);
    json_add_str(&out, "id", id_str(&summary->email));
    json_add_cstr(&out, "status",
                  summary->scheduled_ms > 0 ? "scheduled" : "queued");
    json_add_str(&out, "message_id", summary->message_id);
    json_close_map(&out);
}

static void enqueue(struct sending *sending, const struct signing *signing,
                    const struct config_route *const *routes)
{
    struct email_request *request = &sending->request;
    struct call *call = sending->call;
    struct queue_recipient recipients[EMAIL_RECIPIENTS_MAX];
    struct summary summary = summary_of(sending);

    for (size_t i = 0; i < request->recipient_count; i++)
        recipients[i] = (struct queue_recipient){
            request->recipients[i].number, str_of(routes[i]->name),
            request->recipients[i].box->key};
    answer_write(&summary, &sending->answer);
    queue_enqueue(call->api->queue,
                  &(struct queue_mail){
                      .summary = &summary,
                      .mail_json = request->mail_json,
                      .attachments = request->attachments,
                      .attachment_bytes = request->attachment_bytes,
                      .attachment_count = request->attachment_count,
                      .recipients = recipients,
                      .recipient_count = request->recipient_count,
                      .date_ms = request->scheduled_ms > 0
                                     ? request->scheduled_ms
                                     : sending->now_ms,
                      .signing = signing->keys,
                      .due_ms = request->scheduled_ms,
                      .max_age_ms = request->max_age_ms,
                      .on_unknown = request->on_unknown,
                      .idempotency = call->idempotency,
                      .answer = buf_str(&sending->answer),
                      .patience_ms = call_patience_ms(call),
                  },
                  on_enqueued, sending);
}

/* On the loop what is small. */
static void work_on(struct sending *sending, bool is_small,
                    void (*run)(void *ctx), void (*done)(void *ctx))
{
    if (is_small) {
        run(sending);
        done(sending);
        return;
    }
    work_job_init(&sending->job, run, done, sending);
    if (!work_submit(sending->call->api->work, &sending->job))
        call_fail(sending->call, PROBLEM_UNAVAILABLE,
                  "Too many large requests at once; nothing was kept.");
}

static void on_dry_written(void *ctx)
{
    struct sending *sending = ctx;
    struct buf body = sending->answer;

    buf_init(&sending->answer, 0);
    call_reply(sending->call, 200, &body);
    buf_finish(&body);
}

static void write_dry(void *ctx)
{
    struct sending *sending = ctx;
    struct json_out out;

    json_out_init(&out, &sending->answer);
    dry_run_write(&sending->dry, &out);
    CHECK(!sending->answer.full);
}

static void show_dry(struct sending *sending, const struct signing *signing,
                     const struct config_route *const *routes)
{
    const struct summary summary = summary_of(sending);
    struct call *call = sending->call;

    sending->signing = *signing;
    sending->dry = (struct dry_run){
        .request = &sending->request,
        .config = call->api->config,
        .now_ms = sending->now_ms,
        .id = arena_copy(call->arena, id_str(&summary.email)),
        .message_id = summary.message_id,
        .template_id = summary.template_id,
        .locale = summary.locale,
        .signing = &sending->signing,
        .routes = routes,
    };
    buf_finish(&sending->answer);
    buf_init(&sending->answer, DRY_ANSWER_MAX);
    work_on(sending, false, write_dry, on_dry_written);
}

static void go_on(struct sending *sending, const struct signing *signing)
{
    struct call *call = sending->call;
    const struct config_route **routes =
        ARENA_ARRAY(call->arena, const struct config_route *,
                    sending->request.recipient_count);

    if (!routes_find(sending, routes))
        refuse(sending, PROBLEM_NO_ROUTE, NO_ROUTE);
    else if (sending->is_dry)
        show_dry(sending, signing, routes);
    else
        enqueue(sending, signing, routes);
}

static void refuse_key(struct sending *sending, struct str reason)
{
    refuse(sending, PROBLEM_DOMAIN_NOT_ALLOWED,
           arena_printf(sending->call->arena,
                        "This API key is not authorized to send emails from "
                        "%.*s: %.*s",
                        STR_ARG(sending->request.from.domain), STR_ARG(reason))
               .ptr);
}

static void on_signing(void *ctx, const struct signing *signing)
{
    struct sending *sending = ctx;
    struct call *call = sending->call;

    if (!signing_suits(signing, &call->key))
        refuse_key(sending, S("the domain that it was made for was removed. "
                              "Make a key for one that is there: POST "
                              "/v1/api-keys, or `posthaste keys create`."));
    else if (signing->is_verified ||
             !call->api->config->domains.require_verified)
        go_on(sending, signing);
    else
        refuse(sending, PROBLEM_DOMAIN_NOT_VERIFIED,
               arena_printf(call->arena,
                            "The %.*s domain is not verified. Please, add "
                            "and verify your domain: POST /v1/domains, or "
                            "`posthaste domains add`.",
                            STR_ARG(sending->request.from.domain))
                   .ptr);
}

/* On a helper thread when the body is large. */
static void read_request(void *ctx)
{
    struct sending *sending = ctx;
    struct call *call = sending->call;
    const struct email_content *content =
        sending->content.root == NULL ? NULL : &sending->content;

    sending->ok = email_request_read(
        &sending->request, http_body(call->request), content, call->api->config,
        sending->now_ms, &sending->faults);
}

static void on_read(void *ctx)
{
    struct sending *sending = ctx;
    struct call *call = sending->call;
    struct str from = sending->request.from.domain;
    struct str only = call->key.domain;

    if (!sending->ok)
        call_refuse_faults(call, &sending->faults);
    else if (only.len > 0 && !str_eq(only, from))
        refuse_key(sending,
                   arena_printf(call->arena,
                                "it may send from addresses of %.*s only. Use "
                                "one of them as `from`, or another key.",
                                STR_ARG(only)));
    else if (call_goes_on(call))
        signing_find(call, from, on_signing, sending);
}

static bool has_small_body(const struct sending *sending)
{
    return http_body(sending->call->request).len <= CALL_SMALL_BODY;
}

/* --- from a template --- */

static void add_part(struct json_out *out, const char *name, bool is_there,
                     const struct buf *text)
{
    if (is_there)
        json_add_str(out, name, buf_str(text));
}

static void make_content(struct sending *sending)
{
    const struct mail_rendering *mail = &sending->rendering.out;
    const struct mail_template *from = sending->rendering.templates[0]->mail;
    const struct json *reply_to = mail_template_reply_to(from);
    struct json_out out;
    struct buf buf;

    buf_init(&buf, CONTENT_MAX);
    json_out_init(&out, &buf);
    json_open_map(&out);
    if (mail_template_from(from).len > 0)
        json_add_str(&out, "from", mail_template_from(from));
    if (reply_to != NULL) {
        json_name(&out, "reply_to");
        json_put_value(&out, reply_to);
    }
    add_part(&out, "subject", mail->has_subject, &mail->subject);
    add_part(&out, "html", mail->has_html, &mail->html);
    add_part(&out, "text", mail->has_text, &mail->text);
    json_close_map(&out);
    CHECK(!buf.full);
    sending->content.root = json_parse(buf_str(&buf), NULL);
    CHECK(sending->content.root != NULL);
    buf_finish(&buf);
}

static void read_rendered(void *ctx)
{
    struct sending *sending = ctx;
    const struct held_template *held = sending->rendering.templates[0];

    if (sending->rendering.is_rendered) {
        sending->content.id = held->id[0] != '\0'
                                  ? str_of(held->id)
                                  : sending->request.template_name;
        sending->content.locale = sending->rendering.out.locale;
        sending->content.is_sensitive = mail_template_is_sensitive(held->mail);
        sending->content.shown = buf_str(&sending->rendering.out.shown);
        make_content(sending);
    }
    read_request(sending);
}

static void on_rendered(void *ctx)
{
    struct sending *sending = ctx;
    const struct template_rendering *rendering = &sending->rendering;
    const struct mail_rendering *mail = &rendering->out;

    if (rendering->status == QUEUE_NOT_FOUND) {
        faults_add(&sending->faults, PROBLEM_VALIDATION_ERROR,
                   S("/template/id"), "no_template",
                   "names no template that is published");
    } else if (rendering->status != QUEUE_OK) {
        call_fail_queue(sending->call, rendering->status, &rendering->why,
                        NULL);
        return;
    } else if (!rendering->is_rendered) {
        template_rendering_tell(rendering, S("/template"), &sending->faults);
    }
    work_on(sending,
            has_small_body(sending) &&
                mail->html.len + mail->text.len <= CALL_SMALL_BODY,
            read_rendered, on_read);
}

static void render(struct sending *sending)
{
    sending->rendering = (struct template_rendering){
        .call = sending->call,
        .name = sending->request.template_name,
        .variables = sending->request.variables,
        .locale = sending->request.locale,
        .is_large = !has_small_body(sending),
        .done = on_rendered,
        .ctx = sending,
    };
    template_rendering_begin(&sending->rendering);
}

/* --- all of it --- */

static void open_request(void *ctx)
{
    struct sending *sending = ctx;
    struct call *call = sending->call;

    if (call->idempotency.key_hash.len > 0 &&
        call->idempotency.fingerprint.len == 0)
        call_fingerprint(call);
    sending->ok =
        email_request_open(&sending->request, call->arena,
                           http_body(call->request), &sending->faults);
    if (sending->ok && sending->request.template_name.len == 0)
        read_request(sending);
}

static void on_opened(void *ctx)
{
    struct sending *sending = ctx;

    if (sending->request.template_name.len > 0 && sending->faults.more == 0) {
        if (call_goes_on(sending->call))
            render(sending);
    } else {
        on_read(sending);
    }
}

/* A word that is neither is no reason to send. */
static void read_dry(struct sending *sending)
{
    struct call *call = sending->call;
    struct str value;

    if (!http_query(call->request, "dry_run", &value))
        return;
    sending->is_dry = str_eq(value, S("true"));
    if (sending->is_dry)
        call->idempotency = (struct idempotency){.key_hash = S("")};
    else if (!str_eq(value, S("false")))
        query_fault(call, "dry_run", "unknown_value", "must be true or false");
}

void emails_send(struct call *call)
{
    struct sending *sending = ARENA_NEW(call->arena, struct sending);

    sending->call = call;
    read_dry(sending);
    if (!query_is_good(call))
        return;
    sending->now_ms = clock_shared_ms();
    buf_init(&sending->answer, ANSWER_MAX);
    faults_init(&sending->faults, call->arena);
    call->own = sending;
    call->release = sending_release;
    work_on(sending, has_small_body(sending), open_request, on_opened);
}

/* --- GET /emails/{id} --- */

static const char NO_EMAIL[] = "Email not found";

static void on_email(void *ctx, const struct queue_email *email)
{
    struct call *call = ctx;

    if (email->status == QUEUE_OK)
        call_reply(call, 200, email->shown);
    else
        call_fail_queue(call, email->status, &email->why, NO_EMAIL);
}

void emails_get(struct call *call)
{
    struct id id;

    if (call_id(call, &id))
        queue_email_get(call->api->queue, call_owner(call), &id, email_view,
                        on_email, call);
}

/* --- GET /emails/{id}/events --- */

static void on_timeline(void *ctx, const struct queue_timeline *timeline)
{
    struct call *call = ctx;
    struct buf body;

    if (timeline->status != QUEUE_OK) {
        call_fail_queue(call, timeline->status, &timeline->why, NO_EMAIL);
        return;
    }
    buf_init(&body, VIEW_SPARE + timeline->count * EMAIL_ITEM_MAX);
    timeline_view(timeline, &body);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void emails_events(struct call *call)
{
    struct id id;

    if (call_id(call, &id))
        queue_email_events(call->api->queue, call_owner(call), &id, on_timeline,
                           call);
}

/* --- GET /emails/{id}/attempts --- */

static void on_attempts(void *ctx, const struct queue_attempts *attempts)
{
    struct call *call = ctx;
    struct buf body;

    if (attempts->status != QUEUE_OK) {
        call_fail_queue(call, attempts->status, &attempts->why, NO_EMAIL);
        return;
    }
    buf_init(&body, VIEW_SPARE + attempts->count * EMAIL_ITEM_MAX);
    attempts_view(attempts, &body);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void emails_attempts(struct call *call)
{
    struct id id;

    if (call_id(call, &id))
        queue_email_attempts(call->api->queue, call_owner(call), &id,
                             on_attempts, call);
}

/* --- POST /emails/{id}/cancel and /retry --- */

struct change {
    struct call *call;
    struct id id;
    void (*run)(struct change *change);
    enum problem_kind refused;
    const char *cannot; /* "The email cannot be ...: it is sent." */
    bool lacks_route;
    bool is_replay; /* it was done before, and not answered */
};

/* For those who ask again with the same key. */
static void keep_answer(const struct change *change, unsigned status,
                        struct buf *body)
{
    const struct call *call = change->call;

    if (change->is_replay)
        call_add_field(change->call, "Idempotent-Replayed", S("true"));
    if (call->idempotency.key_hash.len > 0)
        queue_idempotency_finish(call->api->queue, call_owner(call),
                                 &call->idempotency, (int)status,
                                 buf_str(body));
}

static void change_refuse(const struct change *change, enum problem_kind kind,
                          const char *message)
{
    struct call *call = change->call;
    struct buf body;

    buf_init(&body, VIEW_SPARE);
    problem_write(call->request,
                  &(struct problem){.kind = kind, .message = message}, &body);
    keep_answer(change, problem_status(kind), &body);
    buf_finish(&body);
    call_fail(call, kind, message);
}

static void change_say_no(struct change *change,
                          const struct queue_email *email)
{
    struct call *call = change->call;

    if (change->lacks_route)
        call_fail(call, PROBLEM_NO_ROUTE, NO_ROUTE);
    else
        change_refuse(change, change->refused,
                      arena_printf(call->arena,
                                   "The email cannot be %s: it is %s.",
                                   change->cannot, email_status(email))
                          .ptr);
}

static void change_start(struct change *change);

static void on_changed(void *ctx, const struct queue_email *email)
{
    struct change *change = ctx;
    struct call *call = change->call;
    struct buf body;

    if (email->status == QUEUE_REFUSED) {
        change_say_no(change, email);
    } else if (email->status == QUEUE_NOT_FOUND) {
        change_refuse(change, PROBLEM_NOT_FOUND, NO_EMAIL);
    } else if (email->status == QUEUE_REPLAY) {
        if (call_goes_on(call))
            change_start(change); /* an equal request was quicker */
    } else if (email->status != QUEUE_OK) {
        call_fail_queue(call, email->status, &email->why, NULL);
    } else {
        buf_init(&body, VIEW_SPARE);
        changed_view(call->arena, email, &change->id, &body);
        keep_answer(change, 200, &body);
        call_reply(call, 200, &body);
        buf_finish(&body);
    }
}

static void on_looked(void *ctx, const struct queue_answer *answer)
{
    struct change *change = ctx;
    struct call *call = change->call;

    if (answer->status == QUEUE_OK) {
        if (call_goes_on(call))
            change->run(change);
    } else if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
    } else if (answer->status == QUEUE_DONE) {
        change->is_replay = true;
        queue_email_acted(call->api->queue, call_owner(call), &change->id,
                          answer->changed, on_changed, change);
    } else {
        call_fail_queue(call, answer->status, &answer->why, NULL);
    }
}

static void change_start(struct change *change)
{
    struct call *call = change->call;

    if (call->idempotency.key_hash.len > 0)
        queue_idempotency_look(call->api->queue, call_owner(call),
                               &call->idempotency, on_looked, change);
    else
        change->run(change);
}

static void change_begin(struct call *call, const struct change *with)
{
    struct change *change = ARENA_NEW(call->arena, struct change);

    *change = *with;
    change->call = call;
    if (call_id(call, &change->id) && call_no_body(call))
        change_start(change);
}

static void cancel(struct change *change)
{
    struct call *call = change->call;

    queue_email_cancel(call->api->queue, call_owner(call), &change->id,
                       &call->idempotency, on_changed, change);
}

void emails_cancel(struct call *call)
{
    change_begin(call, &(struct change){.run = cancel,
                                        .refused = PROBLEM_NOT_CANCELABLE,
                                        .cannot = "canceled any more"});
}

static bool plan_retry(void *ctx, const struct queue_email *email,
                       struct queue_retry *out)
{
    struct change *change = ctx;
    struct call *call = change->call;

    change->lacks_route = !email_retry_plan(call->arena, call->api->config,
                                            email, clock_shared_ms(), out);
    return !change->lacks_route;
}

static void retry(struct change *change)
{
    struct call *call = change->call;

    queue_email_retry(call->api->queue, call_owner(call), &change->id,
                      &call->idempotency, plan_retry, on_changed, change);
}

void emails_retry(struct call *call)
{
    change_begin(call, &(struct change){.run = retry,
                                        .refused = PROBLEM_NOT_RETRYABLE,
                                        .cannot = "sent again"});
}
