#include "fake_queue.h"

#include "check_cmocka.h"
#include "server/base/mem.h"
#include "smtp/smtp.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fake fake;

struct later {
    struct list link; /* of fake.kept */
    struct task task;
    void (*fn)(struct later *later);
    void (*done)(void);
    void *ctx;
};

static void run_later(void *ctx)
{
    struct later *later = ctx;

    later->fn(later);
    free(later);
}

/* In the next turn, as the real one at the earliest. */
static void answer_later(void (*fn)(struct later *later), void (*done)(void),
                         void *ctx)
{
    struct later *later = xcalloc(1, sizeof *later);

    later->fn = fn;
    later->done = done;
    later->ctx = ctx;
    task_init(&later->task, run_later, later);
    list_init(&later->link);
    if (fake.silent)
        list_add_last(&fake.kept, &later->link);
    else
        task_run_soon(fake.loop, &later->task);
}

void fake_speak(void)
{
    fake.silent = false;
    list_each_safe (at, &fake.kept) {
        list_remove(at);
        task_run_soon(fake.loop, &LIST_MEMBER(at, struct later, link)->task);
    }
}

void fake_forget(void)
{
    list_each_safe (at, &fake.kept) {
        list_remove(at);
        free(LIST_MEMBER(at, struct later, link));
    }
}

static void give_key(struct later *later)
{
    struct queue_keys keys = {.status = fake.key_status,
                              .keys = &fake.key,
                              .count = fake.key_is_known ? 1 : 0};

    if (keys.status == QUEUE_OK && !fake.key_is_known)
        keys.status = QUEUE_NOT_FOUND;
    ((queue_keys_fn)later->done)(later->ctx, &keys);
}

static void give_answer(struct later *later)
{
    struct queue_answer answer = {.status = fake.status, .http_status = 200};

    if (fake.status == QUEUE_REPLAY)
        answer.answer = S("{\"id\":\"the first\"}");
    ((queue_answer_fn)later->done)(later->ctx, &answer);
}

static void give_lease(struct later *later)
{
    struct queue_answer answer = {.status = QUEUE_OK};

    fake.rate_needs_lease = false;
    ((queue_answer_fn)later->done)(later->ctx, &answer);
}

static void give_email(struct later *later)
{
    struct queue_email email = {.status = fake.status,
                                .record = &fake.record,
                                .deliveries = fake.deliveries,
                                .delivery_count = fake.delivery_count};
    struct arena *arena = arena_create();
    struct buf shown;

    buf_init(&shown, 1 << 20);
    email.shown = &shown;
    if (fake.view != NULL && fake.status == QUEUE_OK)
        fake.view(arena, &email, &shown);
    fake.view = NULL;
    ((queue_email_fn)later->done)(later->ctx, &email);
    buf_finish(&shown);
    arena_destroy(&arena);
}

static void give_timeline(struct later *later)
{
    struct event events[] = {
        {.type = EVENT_QUEUED, .number = -1, .at_ms = WALL_MS, .sequence = 1},
        {.type = EVENT_SENT,
         .number = 0,
         .at_ms = WALL_MS + 12,
         .sequence = 2,
         .attempt = 1,
         .detail = {.code = 250, .upstream = S("main")}},
    };
    struct queue_timeline timeline = {.status = fake.status,
                                      .events = events,
                                      .count = 2,
                                      .record = &fake.record};

    ((queue_timeline_fn)later->done)(later->ctx, &timeline);
}

static void give_attempts(struct later *later)
{
    struct attempt attempts[] = {
        {.attempt = 1,
         .started_ms = WALL_MS,
         .outcome = ATTEMPT_DEFERRED,
         .detail = {.code = 451,
                    .upstream = S("main"),
                    .tls = S("TLSv1.3 TLS_AES_256_GCM_SHA384 unverified"),
                    .tls_subject = S("CN=mx"),
                    .phase_count = PHASES_MAX,
                    .phase_ms = {1, 2, 3, 4, 5, 6, 7}},
         .transcript = S("     0 S: 451 later\n")},
        {.attempt = 2,
         .started_ms = WALL_MS + 12,
         .outcome = ATTEMPT_SENT,
         .detail = {.code = 250,
                    .upstream = S("main"),
                    .hedge = S("spare"),
                    .phase_count = PHASES_REUSED,
                    .phase_ms = {0, 0, 0, 4, 5, 6, 7}}},
    };
    struct queue_attempts told = {.status = fake.status,
                                  .attempts = attempts,
                                  .count = 2,
                                  .record = &fake.record};

    ((queue_attempts_fn)later->done)(later->ctx, &told);
}

/* The other statuses are for what follows. */
static void give_found(struct later *later)
{
    struct queue_domains list = {
        .status = fake.status == QUEUE_AWAY ? QUEUE_AWAY : QUEUE_OK,
        .domains = &fake.domain,
        .count = fake.domain_count,
        .owner_has_none = fake.domain_count == 0,
    };

    ((queue_domains_fn)later->done)(later->ctx, &list);
}

static void give_suppression(struct later *later)
{
    struct suppression one = {.address = S("ada@example.com"),
                              .created_ms = WALL_MS};
    struct queue_suppressions list = {
        .status = fake.status, .suppressions = &one, .count = 1};

    CHECK(id_parse(S(ID), &one.id));
    ((queue_suppressions_fn)later->done)(later->ctx, &list);
}

static void give_endpoint(struct later *later)
{
    struct str events[] = {S("email.sent")};
    struct endpoint endpoint = {.url = S("https://hooks.example.com/x"),
                                .events = events,
                                .event_count = 1,
                                .enabled = true,
                                .created_ms = WALL_MS};
    struct queue_endpoints endpoints = {
        .status = fake.status, .endpoints = &endpoint, .count = 1};

    CHECK(id_parse(S(ID), &endpoint.id));
    ((queue_endpoints_fn)later->done)(later->ctx, &endpoints);
}

#define LATER(give, done, ctx) answer_later(give, (void (*)(void))(done), ctx)

void queue_key_find(struct queue *queue, struct str hash, queue_keys_fn done,
                    void *ctx)
{
    (void)queue;
    assert_int_equal(hash.len, 64);
    fake.key_lookups++;
    LATER(give_key, done, ctx);
}

void queue_key_used(struct queue *queue, const struct api_key *key)
{
    (void)queue;
    (void)key;
}

enum rate_answer queue_rate_take(struct queue *queue, const struct id *key,
                                 struct queue_rate *out)
{
    (void)queue;
    (void)key;
    if (fake.rate_needs_lease)
        return RATE_ASK;
    *out = (struct queue_rate){.allowed = fake.rate_left > 0,
                               .limit = 5,
                               .remaining = fake.rate_left,
                               .reset_s = 1,
                               .window_s = 1};
    if (fake.rate_left > 0)
        out->remaining = --fake.rate_left;
    return RATE_KNOWN;
}

void queue_rate_ask(struct queue *queue, const struct id *key,
                    queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)key;
    LATER(give_lease, done, ctx);
}

void queue_enqueue(struct queue *queue, const struct queue_mail *mail,
                   queue_answer_fn done, void *ctx)
{
    (void)queue;
    fake.enqueued++;
    buf_clear(&fake.seen);
    assert_int_equal(mail->idempotency.fingerprint.len,
                     mail->idempotency.key_hash.len);
    buf_addf(&fake.seen, "%s %s subject=%.*s%s due=%d key=%zu", /**/
             mail_class_name(mail->summary->mail_class),
             mail->summary->owner.len == 0 ? "?" : "owned",
             STR_ARG(mail->summary->subject),
             mail->summary->sensitive ? " sensitive" : "", mail->due_ms > 0,
             mail->idempotency.key_hash.len);
    for (size_t i = 0; i < mail->recipient_count; i++)
        buf_addf(&fake.seen, " %u:%.*s", mail->recipients[i].number,
                 STR_ARG(mail->recipients[i].route));
    if (mail->signing.key.len > 0)
        buf_addf(&fake.seen, " signed by %.*s of %.*s",
                 STR_ARG(mail->signing.key), STR_ARG(mail->signing.domain));
    if (mail->signing.return_path.len > 0)
        buf_addf(&fake.seen, " bounces to %.*s",
                 STR_ARG(mail->signing.return_path));
    snprintf(fake.answer, sizeof fake.answer, "%.*s", STR_ARG(mail->answer));
    assert_true(mail->mail_json.len > 0);
    LATER(give_answer, done, ctx);
}

void queue_email_get(struct queue *queue, struct queue_owner owner,
                     const struct id *id, queue_email_view_fn view,
                     queue_email_fn done, void *ctx)
{
    (void)queue;
    (void)id;
    assert_true(str_eq(owner.name, S("acme")));
    fake.view = view;
    LATER(give_email, done, ctx);
}

static void give_stats(struct later *later)
{
    const struct queue_stats stats = {
        .status = fake.status,
        .lanes = {{.queued = 1, .oldest_ms = 20, .accepted_rate = 1500},
                  {0},
                  {0},
                  {.queued = 4, .oldest_ms = 7, .delivered_rate = 5}}};

    ((queue_stats_fn)later->done)(later->ctx, &stats);
}

struct queue_lane_stats queue_stats_all(const struct queue_stats *stats)
{
    (void)stats;
    return (struct queue_lane_stats){
        .queued = 5, .oldest_ms = 20, .accepted_rate = 1500};
}

void queue_stats_of(struct queue *queue, struct queue_owner owner,
                    queue_stats_fn done, void *ctx)
{
    (void)queue;
    assert_true(str_eq(owner.name, S("acme")));
    LATER(give_stats, done, ctx);
}

static void give_upstreams(struct later *later)
{
    static const struct queue_upstream FOUND[2] = {
        {
            .windows = {{86400000, 12}},
            .window_count = 1,
            .workers = 2,
            .all = {.trouble = 2,
                    .why = STR("CONNECT: refused"),
                    .sessions = 3,
                    .busy = 1,
                    .limit = 8,
                    .waiting = 4,
                    .slowed = 2,
                    .sent_rate = 1500},
        },
        {.paused_ms = WALL_MS},
    };
    const struct queue_upstreams upstreams = {
        .status = fake.status,
        .why.text = "away",
        .upstreams = &FOUND[fake.upstream_is_paused],
        .count = 1,
    };

    ((queue_upstreams_fn)later->done)(later->ctx, &upstreams);
}

void queue_upstreams_get(struct queue *queue, const struct str *names,
                         size_t count, queue_upstreams_fn done, void *ctx)
{
    (void)queue;
    assert_int_equal(count, 1);
    assert_true(str_eq(names[0], S("main")));
    LATER(give_upstreams, done, ctx);
}

void queue_upstream_pause(struct queue *queue, struct str name,
                          queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)name;
    fake.upstream_is_paused = true;
    LATER(give_answer, done, ctx);
}

void queue_upstream_resume(struct queue *queue, struct str name,
                           queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)name;
    fake.upstream_is_paused = false;
    LATER(give_answer, done, ctx);
}

static void give_test(struct later *later)
{
    const struct queue_upstream_test test = {
        .status = fake.status,
        .why.text = "away",
        .result = fake.has_no_worker
                      ? S("")
                      : S("{\"object\":\"upstream_test\",\"passed\":true}"),
    };

    ((queue_upstream_test_fn)later->done)(later->ctx, &test);
}

void queue_upstream_test(struct queue *queue, struct str name,
                         queue_upstream_test_fn done, void *ctx)
{
    (void)queue;
    (void)name;
    LATER(give_test, done, ctx);
}

void queue_email_events(struct queue *queue, struct queue_owner owner,
                        const struct id *id, queue_timeline_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    LATER(give_timeline, done, ctx);
}

void queue_email_attempts(struct queue *queue, struct queue_owner owner,
                          const struct id *id, queue_attempts_fn done,
                          void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    LATER(give_attempts, done, ctx);
}

void queue_email_cancel(struct queue *queue, struct queue_owner owner,
                        const struct id *id,
                        const struct idempotency *idempotency,
                        queue_email_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    (void)idempotency;
    LATER(give_email, done, ctx);
}

void queue_email_acted(struct queue *queue, struct queue_owner owner,
                       const struct id *id, int64_t changed,
                       queue_email_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    assert_int_equal(changed, fake.acted.changed);
    LATER(give_email, done, ctx);
}

/* Asks for the plan as the real one does, unless there is no such mail. */
void queue_email_retry(struct queue *queue, struct queue_owner owner,
                       const struct id *id,
                       const struct idempotency *idempotency,
                       queue_retry_fn plan, queue_email_fn done, void *ctx)
{
    const struct queue_email email = {.status = fake.status,
                                      .record = &fake.record,
                                      .deliveries = fake.deliveries,
                                      .delivery_count = fake.delivery_count};
    struct queue_retry retry = {0};

    (void)queue;
    (void)id;
    (void)idempotency;
    assert_true(str_eq(owner.name, S("acme")));
    buf_clear(&fake.seen);
    if (fake.status != QUEUE_NOT_FOUND && !plan(ctx, &email, &retry))
        fake.status = QUEUE_REFUSED;
    for (size_t i = 0; i < retry.recipient_count; i++)
        buf_addf(&fake.seen, "%u:%.*s ", retry.recipients[i].number,
                 STR_ARG(retry.recipients[i].route));
    buf_addf(&fake.seen, "until +%lld deadline=%d unknown=%d",
             (long long)(retry.ends_ms - WALL_MS), retry.is_deadline,
             (int)retry.on_unknown);
    LATER(give_email, done, ctx);
}

/* Likewise. */
void queue_email_reschedule(struct queue *queue, struct queue_owner owner,
                            const struct id *id, queue_reschedule_fn plan,
                            queue_email_fn done, void *ctx)
{
    const struct queue_email email = {.status = fake.status,
                                      .record = &fake.record,
                                      .deliveries = fake.deliveries,
                                      .delivery_count = fake.delivery_count};
    struct queue_reschedule to = {0};

    (void)queue;
    (void)id;
    assert_true(str_eq(owner.name, S("acme")));
    buf_clear(&fake.seen);
    if (fake.status == QUEUE_OK && !plan(ctx, &email, &to))
        fake.status = QUEUE_REFUSED;
    buf_addf(&fake.seen, "at +%lld until +%lld deadline=%d",
             (long long)(to.due_ms - WALL_MS),
             (long long)(to.ends_ms - WALL_MS), to.expires_ms != 0);
    if (to.expires_ms != 0)
        assert_int_equal(to.expires_ms, to.ends_ms);
    LATER(give_email, done, ctx);
}

static void give_acted(struct later *later)
{
    ((queue_answer_fn)later->done)(later->ctx, &fake.acted);
}

void queue_idempotency_look(struct queue *queue, struct queue_owner owner,
                            const struct idempotency *idempotency,
                            queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    assert_int_equal(idempotency->key_hash.len, 64);
    assert_int_equal(idempotency->fingerprint.len, 64);
    LATER(give_acted, done, ctx);
}

void queue_idempotency_finish(struct queue *queue, struct queue_owner owner,
                              const struct idempotency *idempotency,
                              int http_status, struct str answer)
{
    (void)queue;
    (void)owner;
    (void)idempotency;
    snprintf(fake.finished, sizeof fake.finished, "%d %.*s", http_status,
             (int)(answer.len < 40 ? answer.len : 40), answer.ptr);
}

void queue_endpoint_create(struct queue *queue, const struct endpoint *endpoint,
                           const struct idempotency *idempotency,
                           struct str answer, queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)idempotency;
    assert_true(str_starts(endpoint->secret, S("whsec_")));
    assert_false(str_contains(answer, endpoint->secret));
    LATER(give_answer, done, ctx);
}

/* The one email there is, if it is wanted. */
static void give_list(struct later *later)
{
    struct queue_email email = {.status = QUEUE_OK,
                                .record = &fake.record,
                                .deliveries = fake.deliveries,
                                .delivery_count = fake.delivery_count};
    struct queue_list list = {.status = fake.status,
                              .emails = &email,
                              .count = 1,
                              .has_more = true,
                              .next = S(ID)};

    if (fake.wants != NULL && !fake.wants(later->ctx, &email))
        list.count = 0;
    ((queue_list_fn)later->done)(later->ctx, &list);
}

void queue_email_list(struct queue *queue, struct queue_owner owner,
                      const struct queue_list_query *query, queue_list_fn done,
                      void *ctx)
{
    (void)queue;
    (void)owner;
    fake.wants = query->wants;
    buf_clear(&fake.seen);
    buf_addf(&fake.seen, "%u %.*s %.*s %.*s %.*s %.*s %lld %lld %d",
             query->page.limit, STR_ARG(query->page.after),
             STR_ARG(query->page.before), STR_ARG(query->recipient),
             STR_ARG(query->tag_name), STR_ARG(query->tag_value),
             (long long)query->since_ms, (long long)query->until_ms,
             query->wants != NULL);
    LATER(give_list, done, ctx);
}

static void give_events(struct later *later)
{
    struct event event = {.type = EVENT_SENT,
                          .generation = 1,
                          .ordinal = 1,
                          .sequence = 2,
                          .at_ms = WALL_MS};
    struct queue_pulled pulled = {.event = event};
    struct queue_pull pull = {.status = fake.status,
                              .events = &pulled,
                              .count = 1,
                              .next = S("the-next")};

    CHECK(id_parse(S(ID), &pulled.event.email));
    ((queue_pull_fn)later->done)(later->ctx, &pull);
}

bool queue_cursor_is_good(struct str owner, struct str cursor)
{
    return str_eq(owner, fake.key.owner) && str_eq(cursor, S("good"));
}

void queue_events_pull(struct queue *queue, struct queue_owner owner,
                       struct str after, unsigned limit, queue_pull_fn done,
                       void *ctx)
{
    (void)queue;
    (void)owner;
    (void)after;
    (void)limit;
    LATER(give_events, done, ctx);
}

static void give_domain(struct later *later)
{
    struct queue_domains list = {
        .status = fake.status, .domains = &fake.domain, .count = 1};

    if (fake.status == QUEUE_OK && fake.domain_count == 0)
        list.status = QUEUE_NOT_FOUND;
    ((queue_domains_fn)later->done)(later->ctx, &list);
}

static void give_domains(struct later *later)
{
    struct queue_domains list = {.status = fake.status,
                                 .domains = &fake.domain,
                                 .count = fake.domain_count};

    ((queue_domains_fn)later->done)(later->ctx, &list);
}

void queue_domain_get(struct queue *queue, struct queue_owner owner,
                      struct domain_name name, queue_domains_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)name;
    LATER(give_domain, done, ctx);
}

void queue_domain_list(struct queue *queue, struct queue_owner owner,
                       const struct queue_page *page, queue_domains_fn done,
                       void *ctx)
{
    (void)queue;
    (void)owner;
    (void)page;
    LATER(give_domains, done, ctx);
}

/* What is stored, and told. */
static void see_domain(const struct sender_domain *domain,
                       const struct domain_event *event)
{
    buf_clear(&fake.seen);
    sender_domain_write(domain, &fake.seen);
    buf_addf(&fake.seen, "\n%s %.*s", event_type_name(event->type),
             STR_ARG(event->members));
}

void queue_domain_create(struct queue *queue, struct queue_owner owner,
                         const struct sender_domain *domain,
                         const struct sender_sealed *sealed,
                         const struct domain_event *event,
                         const struct idempotency *idempotency,
                         struct str answer, queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)idempotency;
    (void)answer;
    assert_true(sealed->rsa.len > 0 && sealed->ed25519.len > 0);
    see_domain(domain, event);
    LATER(give_answer, done, ctx);
}

void queue_domain_put(struct queue *queue, struct queue_owner owner,
                      const struct domain_put *put, queue_answer_fn done,
                      void *ctx)
{
    (void)queue;
    (void)owner;
    see_domain(put->domain, &put->events[0]);
    LATER(give_answer, done, ctx);
}

void queue_domain_delete(struct queue *queue, struct queue_owner owner,
                         const struct sender_domain *domain,
                         const struct domain_event *event, queue_answer_fn done,
                         void *ctx)
{
    (void)queue;
    (void)owner;
    see_domain(domain, event);
    LATER(give_answer, done, ctx);
}

void queue_domain_find(struct queue *queue, struct queue_owner owner,
                       struct str from_domain, queue_domains_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)from_domain;
    fake.domain_lookups++;
    LATER(give_found, done, ctx);
}

static void give_template(struct later *later)
{
    struct stored_template one = {.alias = S("hello"),
                                  .name = S("Hello"),
                                  .newest = S("v1"),
                                  .published = S("v1"),
                                  .created_ms = WALL_MS,
                                  .updated_ms = WALL_MS,
                                  .published_ms = WALL_MS,
                                  .version = S("v1")};
    struct queue_templates list = {
        .status = fake.status, .templates = &one, .count = 1};

    one.source =
        str_of(fake.template_source != NULL ? fake.template_source
                                            : "{\"html\":\"<p>Hello\"}");
    CHECK(id_parse(S(ID), &one.id));
    ((queue_templates_fn)later->done)(later->ctx, &list);
}

static void give_template_answer(struct later *later)
{
    struct queue_answer answer = {.status = fake.status,
                                  .http_status = 200,
                                  .answer = S("{\"object\":\"template\"}")};

    ((queue_answer_fn)later->done)(later->ctx, &answer);
}

static void store_template(const struct template_change *change)
{
    buf_clear(&fake.stored);
    buf_addf(&fake.stored, "%.*s|%.*s|", STR_ARG(change->alias),
             STR_ARG(change->name));
    buf_add(&fake.stored, change->source);
}

void queue_template_list(struct queue *queue, struct queue_owner owner,
                         const struct queue_page *page, queue_templates_fn done,
                         void *ctx)
{
    (void)queue;
    (void)owner;
    (void)page;
    LATER(give_template, done, ctx);
}

void queue_template_get(struct queue *queue, struct queue_owner owner,
                        struct str which, bool is_published, struct str known,
                        queue_templates_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)which;
    (void)is_published;
    (void)known;
    LATER(give_template, done, ctx);
}

void queue_template_create(struct queue *queue, struct queue_owner owner,
                           const struct template_change *change,
                           const struct idempotency *idempotency,
                           queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)idempotency;
    store_template(change);
    LATER(give_template_answer, done, ctx);
}

void queue_template_update(struct queue *queue, struct queue_owner owner,
                           struct str which, struct str known,
                           const struct template_change *change,
                           queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)which;
    assert_true(str_eq(known, S("v1")));
    store_template(change);
    LATER(give_template_answer, done, ctx);
}

void queue_template_publish(struct queue *queue, struct queue_owner owner,
                            struct str which,
                            const struct idempotency *idempotency,
                            queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)which;
    (void)idempotency;
    LATER(give_template_answer, done, ctx);
}

void queue_template_delete(struct queue *queue, struct queue_owner owner,
                           struct str which, queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)which;
    LATER(give_template_answer, done, ctx);
}

void queue_suppression_list(struct queue *queue, struct queue_owner owner,
                            const struct queue_page *page,
                            enum suppression_origin origin,
                            queue_suppressions_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)page;
    (void)origin;
    LATER(give_suppression, done, ctx);
}

void queue_suppression_get(struct queue *queue, struct queue_owner owner,
                           struct suppression_name name,
                           queue_suppressions_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)name;
    LATER(give_suppression, done, ctx);
}

void queue_suppression_add(struct queue *queue, struct queue_owner owner,
                           const struct suppression_entry *entries,
                           size_t count, enum suppression_origin origin,
                           bool is_batch, const struct idempotency *idempotency,
                           queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)entries;
    (void)count;
    (void)origin;
    (void)is_batch;
    (void)idempotency;
    LATER(give_answer, done, ctx);
}

void queue_suppression_remove(struct queue *queue, struct queue_owner owner,
                              const struct suppression_name *names,
                              size_t count, bool is_batch,
                              const struct idempotency *idempotency,
                              queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)names;
    (void)count;
    (void)is_batch;
    (void)idempotency;
    LATER(give_answer, done, ctx);
}

const char *suppression_origin_name(enum suppression_origin origin)
{
    static const char *const names[] = {"bounce", "complaint", "manual"};

    return names[origin];
}

void queue_endpoint_list(struct queue *queue, struct queue_owner owner,
                         const struct queue_page *page, queue_endpoints_fn done,
                         void *ctx)
{
    (void)queue;
    (void)owner;
    (void)page;
    LATER(give_endpoint, done, ctx);
}

void queue_endpoint_get(struct queue *queue, struct queue_owner owner,
                        const struct id *id, queue_endpoints_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    LATER(give_endpoint, done, ctx);
}

void queue_endpoint_update(struct queue *queue, struct queue_owner owner,
                           const struct id *id,
                           const struct endpoint_change *change,
                           queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    assert_null(change->url);
    assert_non_null(change->enabled);
    assert_false(*change->enabled);
    LATER(give_answer, done, ctx);
}

void queue_endpoint_delete(struct queue *queue, struct queue_owner owner,
                           const struct id *id, queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    LATER(give_answer, done, ctx);
}

void endpoint_secret_new(struct buf *out)
{
    buf_add_cstr(out, "whsec_c2VjcmV0");
}

void queue_key_create(struct queue *queue, const struct api_key *key,
                      struct str hash, const struct idempotency *idempotency,
                      struct str answer, queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)hash;
    (void)idempotency;
    assert_false(str_contains(answer, S("ph_live_")));
    assert_int_equal(key->prefix.len, API_TOKEN_PREFIX_LEN);
    snprintf(fake.answer, sizeof fake.answer, "%s%s%.*s %s",
             key_permission_name(key->permission),
             key->domain.len > 0 ? " of " : "", STR_ARG(key->domain),
             key->domain_id.text);
    LATER(give_answer, done, ctx);
}

void queue_key_rename(struct queue *queue, struct queue_owner owner,
                      const struct id *id, struct str name,
                      queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    snprintf(fake.answer, sizeof fake.answer, "%s is %.*s", id->text,
             STR_ARG(name));
    LATER(give_answer, done, ctx);
}

void queue_key_list(struct queue *queue, struct queue_owner owner,
                    const struct queue_page *page, queue_keys_fn done,
                    void *ctx)
{
    (void)queue;
    (void)owner;
    assert_int_equal(page->limit, 7);
    LATER(give_key, done, ctx);
}

void queue_key_delete(struct queue *queue, struct queue_owner owner,
                      const struct id *id, queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    LATER(give_answer, done, ctx);
}

static const char *const PERMISSION_NAMES[] = {"full_access", "sending_access",
                                               "read_access"};

const char *key_permission_name(enum key_permission permission)
{
    return PERMISSION_NAMES[permission];
}

bool key_permission_parse(struct str name, enum key_permission *permission)
{
    for (size_t i = 0; i < 3; i++) {
        if (str_eq(name, str_of(PERMISSION_NAMES[i]))) {
            *permission = (enum key_permission)i;
            return true;
        }
    }
    return false;
}

bool delivery_is_final(enum delivery_state state)
{
    return state >= DELIVERY_SENT;
}

void fake_fill(struct loop *loop)
{
    static struct str to[] = {STR("Ada <ada@inbox.test>")};

    memset(&fake, 0, sizeof fake);
    buf_init(&fake.seen, 1 << 16);
    buf_init(&fake.stored, 1 << 21);
    list_init(&fake.kept);
    fake.loop = loop;
    fake.key_is_known = true;
    fake.key.owner = S("acme");
    fake.key.name = S("web");
    fake.key.prefix = S("ph_live_abcd");
    fake.rate_left = 1000;
    api_token_create(fake.token);
    CHECK(id_parse(S(ID), &fake.key.id));
    fake.record.summary = (struct summary){
        .owner = S("acme"),
        .from = S("App <app@sender.test>"),
        .to = to,
        .to_count = 1,
        .subject = S("Hello"),
        .mail_class = CLASS_TRANSACTIONAL,
        .message_id = S("<1@sender.test>"),
        .created_ms = WALL_MS,
    };
    CHECK(id_parse(S(ID), &fake.record.summary.email));
}

/* --- feedback --- */

const struct keyring *queue_keyring(const struct queue *queue)
{
    static struct keyring *keyring;
    char path[64];

    (void)queue;
    if (keyring != NULL)
        return keyring;
    snprintf(path, sizeof path, "/tmp/posthaste-api-%d", getpid());
    CHECK(keyring_create(path, NULL));
    keyring = keyring_load(path, NULL);
    CHECK(keyring != NULL);
    unlink(path);
    return keyring;
}

const char *fake_bounce(void)
{
    static char body[512];
    struct arena *arena = arena_create();
    struct return_path path;
    struct str address;
    struct id id;

    CHECK(id_parse(S(ID), &id));
    return_path_init(&path, queue_keyring(NULL));
    address = return_path_make(&path, S("b.example"), &id, 0, arena);
    snprintf(body, sizeof body,
             "{\"recipient\":\"%.*s\",\"message\":\""
             "Content-Type: multipart/report; boundary=b\\r\\n\\r\\n--b\\r\\n"
             "Content-Type: message/delivery-status\\r\\n\\r\\n"
             "Action: failed\\r\\nStatus: 5.1.1\\r\\n\"}",
             STR_ARG(address));
    arena_destroy(&arena);
    return body;
}

static void give_feedback(struct later *later)
{
    const struct queue_feedback_answer answer = {
        .status = fake.status, .fate = fake.fate, .suppressed = true};

    ((queue_feedback_fn)later->done)(later->ctx, &answer);
}

void queue_feedback(struct queue *queue, const struct queue_owner *owner,
                    const struct queue_feedback *feedback,
                    queue_feedback_fn done, void *ctx)
{
    (void)queue;
    CHECK(owner != NULL && feedback->type == EVENT_BOUNCED);
    LATER(give_feedback, done, ctx);
}
