#include "server/worker/worker.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/hand.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/worker/depth.h"
#include "server/worker/dkim_keys.h"
#include "server/worker/mails.h"
#include "server/worker/refusals.h"
#include "server/worker/report.h"
#include "server/worker/steer.h"
#include "smtp/message/message.h"
#include "smtp/smtp.h"

#include <stdlib.h>

/* One delivery in hand, from its claim to its report. */
struct errand {
    struct list link; /* of worker.composing, errands or refused */
    struct worker *worker;
    struct queue_claim *claim;
    struct mail_user message;
    struct arena *arena;
    struct smtp_delivery delivery;
    struct str domain; /* of the recipient */
    struct str key;    /* the same, of the address */
    bool final_route;
    int64_t claimed_ms; /* wall clock */
};

struct worker {
    struct loop *loop;
    const struct config *config;
    struct queue *queue;
    struct smtp *smtp;
    struct queue_worker side; /* what the queue asks us */
    struct str *routes;
    struct list composing; /* their messages are not there yet */
    struct list errands;   /* with the engine */
    struct list refused;   /* ended before the engine had them */
    struct keyholder *keyholder;
    struct mails mails;
    struct task refuse_task;
    struct depth depth;
    struct steer steer;
    struct refusals *refusals;
    struct return_path return_path;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

/* --- errands --- */

static void on_composed(void *ctx);

static struct errand *errand_create(struct worker *worker,
                                    struct queue_claim *claim)
{
    struct errand *errand = xcalloc(1, sizeof *errand);

    list_init(&errand->link);
    errand->worker = worker;
    errand->claim = claim;
    errand->arena = arena_create();
    errand->message.ready = on_composed;
    errand->message.ctx = errand;
    errand->claimed_ms = clock_shared_ms();
    return errand;
}

static void errand_free(struct errand *errand)
{
    list_remove(&errand->link);
    mail_leave(&errand->message);
    arena_destroy(&errand->arena);
    free(errand);
}

/* Ends a errand that the engine never had. retry_at_ms: as queue_report. */
static void errand_refuse(struct errand *errand, enum outcome outcome,
                          int64_t retry_at_ms, const char *reason,
                          const char *text)
{
    const struct event_detail detail = {
        .reason = str_of(reason),
        .response = str_of(text),
        .queued_ms = errand->claimed_ms - errand->claim->accepted_ms,
        .total_ms = clock_shared_ms() - errand->claim->accepted_ms,
    };

    queue_report(errand->worker->queue, errand->claim, outcome, retry_at_ms,
                 false, &detail);
    errand_free(errand);
}

static void on_marked(void *ctx, bool may_go, int64_t valid_until_ms)
{
    struct errand *errand = ctx;

    smtp_delivery_marked(&errand->delivery, may_go, valid_until_ms);
}

static void on_mark(void *ctx)
{
    struct errand *errand = ctx;

    queue_mark(errand->worker->queue, errand->claim, on_marked, errand);
}

static void count_sent(const struct errand *errand, const struct report *report)
{
    enum mail_class mail_class = errand->claim->record->summary.mail_class;

    if (report->outcome == OUTCOME_SENT)
        series_observe(
            metrics_series(METRIC_TIME_TO_DELIVERY_SECONDS,
                           (const char *const[]){mail_class_name(mail_class)}),
            (double)report->detail.total_ms / 1000);
}

/* A mail that was sent, with nothing more to tell, is told by its event. */
static void keep_attempts(const struct errand *errand,
                          const struct smtp_result *result)
{
    const struct queue_claim *claim = errand->claim;
    char tls[REPORT_TLS_SIZE];
    struct attempt attempt;

    if (result == NULL)
        return;
    keep_attempts(errand, result->before);
    if (result->upstream[0] == '\0' ||
        (result->verdict == SMTP_SENT && result->transcript.len == 0))
        return;
    report_attempt(result, tls, &attempt);
    attempt.number = claim->number;
    attempt.generation = claim->generation;
    attempt.attempt = claim->attempt;
    attempt.detail.queued_ms = result->started_ms - claim->accepted_ms;
    queue_report_attempt(errand->claim, &attempt);
}

/* An address that a server knows to be bad, unless so many are refused that
 * it says nothing of them. */
static bool is_bad_address(const struct errand *errand,
                           const struct smtp_result *result)
{
    struct str domain = errand->domain;
    enum refusals_word word;

    if (result->verdict != SMTP_SENT && result->verdict != SMTP_HARD)
        return false;
    word = refusals_note(errand->worker->refusals, str_of(result->upstream),
                         domain, result->verdict == SMTP_HARD);
    if (word == REFUSALS_MANY_NOW)
        log_write(LOG_ERROR, LOG_UPSTREAM_REFUSES,
                  log_cstr("upstream", result->upstream),
                  log_str("domain", domain), log_int("refused", REFUSALS_MAX),
                  log_int("of", REFUSALS_WINDOW),
                  log_cstr("reply", result->text));
    return result->suppress && word == REFUSALS_FEW;
}

static void on_done(void *ctx, const struct smtp_result *result)
{
    struct errand *errand = ctx;
    struct worker *worker = errand->worker;
    struct report_times times = {
        .now_ms = clock_shared_ms(),
        .claimed_ms = errand->claimed_ms,
    };
    struct report report;

    hand_take(errand->delivery.id);
    random_bytes(&times.random, sizeof times.random);
    report_make(errand->claim, result, &worker->config->worker, &times,
                &report);
    count_sent(errand, &report);
    if (report.outcome != OUTCOME_UNSENT)
        keep_attempts(errand, result);
    if (is_bad_address(errand, result) && report.outcome == OUTCOME_BOUNCED)
        queue_suppress(errand->claim, errand->key);
    queue_report(worker->queue, errand->claim, report.outcome,
                 report.retry_at_ms, errand->final_route, &report.detail);
    hand_drop();
    if (report.outcome == OUTCOME_SENT)
        FAULT_POINT("worker.reported");
    errand_free(errand);
}

/* The route as configured: its final flag is not the engine's business. */
static const struct config_route *route_config(const struct worker *worker,
                                               struct str name)
{
    for (size_t i = 0; i < worker->config->route_count; i++)
        if (str_eq(str_of(worker->config->routes[i].name), name))
            return &worker->config->routes[i];
    return NULL;
}

static bool errand_address(struct errand *errand, struct mailbox *box)
{
    struct str text;
    const char *kind;

    return summary_recipient(&errand->claim->record->summary,
                             errand->claim->number, &text, &kind) &&
           mailbox_parse(errand->arena, text, box) == FLAW_NONE;
}

/* The sender's own host for bounces, else the operator's, else From. */
static struct str errand_return_path(const struct errand *errand)
{
    const struct worker *worker = errand->worker;
    const struct queue_claim *claim = errand->claim;
    struct str host = claim->record->job.signing.return_path;

    if (host.len == 0)
        host = str_of(worker->config->sending.bounce_domain);
    if (host.len == 0 || host.len > RETURN_PATH_HOST_MAX ||
        !worker->return_path.is_signed)
        return errand->message.mail->composed.from;
    return return_path_make(&worker->return_path, host, &claim->email,
                            claim->number, errand->arena);
}

static void errand_fill(struct errand *errand, const struct mailbox *to)
{
    const struct queue_claim *claim = errand->claim;

    errand->domain = to->domain;
    errand->key = to->key;
    errand->delivery = (struct smtp_delivery){
        .id = arena_printf(errand->arena, "%s:%u", claim->email.text,
                           claim->number),
        .mail_from = errand_return_path(errand),
        .rcpt_to = to->address,
        .secret_subject = claim->record->summary.sensitive
                              ? json_get_str(claim->record->job.mail, "subject")
                              : S(""),
        .needs_smtputf8 =
            to->needs_utf8 || errand->message.mail->composed.needs_utf8,
        .message = composed_octets(&errand->message.mail->composed,
                                   &errand->message.mail->bytes),
        .route = smtp_route_named(errand->worker->smtp, claim->route),
        .lane = claim->lane,
        .may_hedge = claim->record->summary.mail_class == CLASS_VERIFICATION,
        .deadline_ms = claim->expires_ms,
        .on_mark = on_mark,
        .on_done = on_done,
        .ctx = errand,
    };
}

/* Without its keys it waits; what they would sign as cannot go unsigned. */
static void errand_flawed(struct errand *errand)
{
    const struct mail *mail = errand->message.mail;
    bool is_lost =
        mail->keys.keys != NULL && mail->keys.keys->state == DKIM_KEYS_LOST;

    if (is_lost || mail->wait_ms > 0)
        log_write(LOG_ERROR, LOG_DKIM_KEY_FAILED,
                  log_str("email", id_str(&errand->claim->email)),
                  log_error(&mail->flaw));
    if (mail->wait_ms > 0)
        errand_refuse(errand, OUTCOME_UNSENT, clock_shared_ms() + mail->wait_ms,
                      "dkim", "");
    else
        errand_refuse(errand, OUTCOME_FAILED, 0,
                      is_lost ? "content_lost" : "composer", mail->flaw.text);
}

/* Reports end a claim, and may not do so from inside the queue's own call:
 * what cannot go to the engine waits for the end of the turn. */
static void on_refuse(void *ctx)
{
    struct worker *worker = ctx;
    struct errand *errand;

    while ((errand = LIST_FIRST(&worker->refused, struct errand, link)) !=
           NULL) {
        if (!errand->message.mail->is_good)
            errand_flawed(errand);
        else if (errand->claim->expires_ms != 0 &&
                 errand->claim->expires_ms <= clock_shared_ms())
            errand_refuse(errand, OUTCOME_EXPIRED, 0, "expired", "");
        else
            errand_refuse(errand, OUTCOME_UNSENT, 0, "no_route", "");
    }
}

/* To the engine, or where it ends. */
static void errand_go(struct errand *errand)
{
    struct worker *worker = errand->worker;
    const struct queue_claim *claim = errand->claim;
    struct mail *mail = errand->message.mail;
    const struct config_route *route = route_config(worker, claim->route);
    struct mailbox to;

    if (mail->is_good && !errand_address(errand, &to)) {
        mail->is_good = false;
        error_set(&mail->flaw, ERR_INPUT, "recipient %u is no mailbox",
                  claim->number);
    }
    if (!mail->is_good || route == NULL ||
        (claim->expires_ms != 0 && claim->expires_ms <= clock_shared_ms())) {
        list_add_last(&worker->refused, &errand->link);
        task_run_soon(worker->loop, &worker->refuse_task);
        return;
    }
    errand->final_route = route->final;
    errand_fill(errand, &to);
    list_add_last(&worker->errands, &errand->link);
    smtp_deliver(worker->smtp, &errand->delivery);
}

/* Its room is free again if it is refused. */
static void on_composed(void *ctx)
{
    struct errand *errand = ctx;
    const struct worker *worker = errand->worker;

    hand_take(id_str(&errand->claim->email));
    list_remove(&errand->link);
    errand_go(errand);
    hand_drop();
    queue_worker_hungry(worker->queue);
}

static void on_claimed(void *ctx, struct queue_claim *claim)
{
    struct worker *worker = ctx;
    struct errand *errand = errand_create(worker, claim);
    bool is_composed = mail_join(&worker->mails, claim, &errand->message);

    FAULT_POINT("worker.claimed");
    if (is_composed)
        errand_go(errand);
    else
        list_add_last(&worker->composing, &errand->link);
}

/* --- what the queue asks --- */

/* What the engine will get as soon as it is composed. */
static size_t composing_count(const struct worker *worker, struct str route,
                              unsigned lane)
{
    size_t count = 0;

    list_each (at, &worker->composing) {
        const struct errand *errand = LIST_MEMBER(at, struct errand, link);

        count +=
            errand->claim->lane >= lane && str_eq(errand->claim->route, route);
    }
    return count;
}

static size_t on_room_asked(void *ctx, struct str route, unsigned lane)
{
    struct worker *worker = ctx;
    struct smtp_route *known = smtp_route_named(worker->smtp, route);
    size_t room = known == NULL ? 0 : smtp_room(worker->smtp, known, lane);
    size_t composing = composing_count(worker, route, lane);

    return room > composing ? room - composing : 0;
}

/* The route that today's configuration has for a mail whose own is gone. */
static struct str on_reroute(void *ctx, const struct record *record,
                             unsigned number)
{
    struct worker *worker = ctx;
    const struct summary *summary = &record->summary;
    const struct config_route *route = NULL;
    struct str text;
    const char *kind;

    if (summary_recipient(summary, number, &text, &kind))
        route = smtp_route_for(worker->config,
                               &(struct smtp_route_mail){
                                   .mail_class = summary->mail_class,
                                   .from = summary->from,
                                   .to = text,
                                   .tags_json = summary->tags_json,
                               });
    return str_of(route == NULL ? NULL : route->name);
}

static void on_room(void *ctx)
{
    struct worker *worker = ctx;

    queue_worker_hungry(worker->queue);
}

static void on_quota(void *ctx, size_t upstream,
                     const struct smtp_quota_ask *ask)
{
    struct worker *worker = ctx;

    steer_ask_quota(&worker->steer, upstream, ask);
}

static void on_trace(void *ctx, size_t upstream, struct str id,
                     const struct smtp_result *result)
{
    struct worker *worker = ctx;

    steer_tell_trace(&worker->steer, upstream, id, result);
}

/* --- life --- */

static void name_routes(struct worker *worker)
{
    const struct config *config = worker->config;

    worker->routes = xcalloc(config->route_count, sizeof *worker->routes);
    for (size_t i = 0; i < config->route_count; i++)
        worker->routes[i] = str_of(config->routes[i].name);
    worker->side = (struct queue_worker){
        .ctx = worker,
        .room = on_room_asked,
        .claimed = on_claimed,
        .reroute = on_reroute,
        .routes = worker->routes,
        .route_count = config->route_count,
    };
}

/* NULL and true: the configuration wants none. */
static bool open_journal(const struct config *config, struct journal **journal,
                         struct error *err)
{
    if (config->worker.state_dir[0] == '\0')
        return true;
    *journal = journal_open(config->worker.state_dir, err);
    return *journal != NULL;
}

struct worker *worker_open(struct loop *loop,
                           const struct worker_options *options,
                           struct error *err)
{
    struct worker *worker = xcalloc(1, sizeof *worker);
    struct journal *journal = NULL;
    const struct smtp_settings settings = {
        .child = options->child,
        .child_count = options->count,
        .on_room = on_room,
        .on_quota = on_quota,
        .on_trace = on_trace,
        .ctx = worker,
    };

    worker->loop = loop;
    worker->config = options->config;
    worker->queue = options->queue;
    return_path_init(&worker->return_path, options->keyring);
    list_init(&worker->errands);
    list_init(&worker->refused);
    list_init(&worker->composing);
    worker->keyholder =
        keyholder_open(loop, worker->queue, options->worker_keys,
                       options->on_ready, options->ctx);
    mails_init(&worker->mails, loop, worker->keyholder);
    task_init(&worker->refuse_task, on_refuse, worker);
    if (!open_journal(worker->config, &journal, err)) {
        keyholder_close(&worker->keyholder);
        free(worker);
        return NULL;
    }
    worker->smtp =
        smtp_open(loop, options->dns, options->config, &settings, err);
    if (worker->smtp == NULL) {
        journal_close(&journal);
        keyholder_close(&worker->keyholder);
        free(worker);
        return NULL;
    }
    worker->refusals = refusals_create();
    name_routes(worker);
    queue_worker_start(worker->queue, &worker->side);
    if (journal != NULL)
        queue_worker_journal(worker->queue, journal);
    depth_start(&worker->depth, loop, worker->queue);
    steer_start(&worker->steer, worker->queue, worker->smtp, worker->config,
                options->instance, options->child);
    return worker;
}

bool worker_is_ready(const struct worker *worker, struct error *why)
{
    return keyholder_is_ready(worker->keyholder, why);
}

static void on_drained(void *ctx)
{
    struct worker *worker = ctx;

    worker->drained(worker->drained_ctx);
}

void worker_drain(struct worker *worker, void (*done)(void *ctx), void *ctx)
{
    CHECK(worker->drained == NULL);
    worker->drained = done;
    worker->drained_ctx = ctx;
    steer_stop(&worker->steer);
    queue_worker_stop(worker->queue, on_drained, worker);
    smtp_stop(worker->smtp);
}

void worker_close(struct worker **worker)
{
    if (*worker == NULL)
        return;
    smtp_close(&(*worker)->smtp);
    mails_stop(&(*worker)->mails);
    depth_stop(&(*worker)->depth);
    steer_finish(&(*worker)->steer);
    task_cancel(&(*worker)->refuse_task);
    list_each_safe (link, &(*worker)->composing)
        errand_free(LIST_MEMBER(link, struct errand, link));
    list_each_safe (link, &(*worker)->errands)
        errand_free(LIST_MEMBER(link, struct errand, link));
    list_each_safe (link, &(*worker)->refused)
        errand_free(LIST_MEMBER(link, struct errand, link));
    keyholder_close(&(*worker)->keyholder);
    refusals_destroy(&(*worker)->refusals);
    free((*worker)->routes);
    free(*worker);
    *worker = NULL;
}
