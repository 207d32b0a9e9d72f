/* The API over real sockets, in front of a queue made of memory that answers
 * whatever a test wants. */
#include "api/api.h"

#include "raw_client.h"
#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/io/listen.h"

#include <signal.h>
#include <stdio.h>

#define WALL_MS INT64_C(1795521600000) /* 2026-11-24T12:00:00Z */
#define ID      "019300a0-0000-7000-8000-000000000001"

/* --- the queue --- */

static struct fake {
    struct loop *loop;
    char token[API_TOKEN_SIZE];
    struct api_key key;
    bool key_is_known;
    enum queue_status key_status;
    size_t key_lookups;
    bool rate_needs_lease;
    int64_t rate_left;
    enum queue_status status; /* of everything else */
    bool silent;              /* never answers, until the queue is closed */
    size_t enqueued;
    struct buf seen; /* of the last enqueue: what matters, as text */
    char answer[512];
    char finished[64];
    struct queue_delivery deliveries[3];
    size_t delivery_count;
    struct record record;
    bool (*wants)(void *ctx, const struct queue_email *email); /* of the list */
} fake;

struct later {
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

    if (fake.silent) {
        free(later);
        return;
    }
    later->fn = fn;
    later->done = done;
    later->ctx = ctx;
    task_init(&later->task, run_later, later);
    task_run_soon(fake.loop, &later->task);
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

    ((queue_email_fn)later->done)(later->ctx, &email);
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
    snprintf(fake.answer, sizeof fake.answer, "%.*s", STR_ARG(mail->answer));
    assert_true(mail->mail_json.len > 0);
    LATER(give_answer, done, ctx);
}

void queue_email_get(struct queue *queue, struct queue_owner owner,
                     const struct id *id, queue_email_fn done, void *ctx)
{
    (void)queue;
    (void)id;
    assert_true(str_eq(owner.name, S("acme")));
    LATER(give_email, done, ctx);
}

static void give_stats(struct later *later)
{
    const struct queue_stats stats = {
        .status = fake.status,
        .lanes = {{.queued = 1, .oldest_ms = 20}, {0}, {0}, {.queued = 4}}};

    ((queue_stats_fn)later->done)(later->ctx, &stats);
}

void queue_stats_of(struct queue *queue, struct queue_owner owner,
                    queue_stats_fn done, void *ctx)
{
    (void)queue;
    assert_true(str_eq(owner.name, S("acme")));
    LATER(give_stats, done, ctx);
}

void queue_email_events(struct queue *queue, struct queue_owner owner,
                        const struct id *id, queue_timeline_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    LATER(give_timeline, done, ctx);
}

void queue_email_cancel(struct queue *queue, struct queue_owner owner,
                        const struct id *id, queue_email_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    (void)id;
    LATER(give_email, done, ctx);
}

/* Asks for the plan as the real one does, unless there is no such mail. */
void queue_email_retry(struct queue *queue, struct queue_owner owner,
                       const struct id *id, queue_retry_fn plan,
                       queue_email_fn done, void *ctx)
{
    const struct queue_email email = {.status = fake.status,
                                      .record = &fake.record,
                                      .deliveries = fake.deliveries,
                                      .delivery_count = fake.delivery_count};
    struct queue_retry retry = {0};

    (void)queue;
    (void)id;
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
                                      .record = &fake.record};
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

static void give_begin(struct later *later)
{
    struct queue_answer answer = {.status = QUEUE_OK};

    ((queue_answer_fn)later->done)(later->ctx, &answer);
}

void queue_idempotency_begin(struct queue *queue, struct queue_owner owner,
                             const struct idempotency *idempotency,
                             queue_answer_fn done, void *ctx)
{
    (void)queue;
    (void)owner;
    assert_int_equal(idempotency->key_hash.len, 64);
    assert_int_equal(idempotency->fingerprint.len, 64);
    LATER(give_begin, done, ctx);
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
    snprintf(fake.answer, sizeof fake.answer, "%s",
             key_permission_name(key->permission));
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

/* --- the world --- */

struct world {
    struct loop *loop;
    struct api *api;
    struct config config;
    struct config_route route;
    int listen_fd;
    struct address address;
    struct client *client;
    int64_t now_ms;
    bool drained;
};

static void config_fill(struct world *world)
{
    struct config *config = &world->config;

    world->route = (struct config_route){.name = "main",
                                         .class = "",
                                         .from_domain = "",
                                         .to_domain = "",
                                         .tag = ""};
    config->api.max_body_bytes = 1 << 20;
    config->api.header_timeout_ms = 10000;
    config->api.body_timeout_ms = 30000;
    config->api.connections_per_ip = 100;
    config->worker.message_ttl_ms = INT64_C(72) * 3600000;
    config->routes = &world->route;
    config->route_count = 1;
}

static void fake_fill(struct world *world)
{
    static struct str to[] = {STR("Ada <ada@inbox.test>")};

    memset(&fake, 0, sizeof fake);
    buf_init(&fake.seen, 1 << 16);
    fake.loop = world->loop;
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

static int setup(void **state)
{
    struct world *world = xcalloc(1, sizeof *world);
    struct error err;

    signal(SIGPIPE, SIG_IGN);
    world->now_ms = 1000000;
    clock_set(world->now_ms, WALL_MS);
    world->loop = loop_create();
    config_fill(world);
    fake_fill(world);
    world->listen_fd = listen_open(
        "127.0.0.1:0", &(struct listen_options){.backlog = 0}, &err);
    assert_true(world->listen_fd >= 0);
    listen_address(world->listen_fd, &world->address);
    world->api = api_open(world->loop, &world->config, (struct queue *)&fake,
                          &world->listen_fd, 1, &err);
    assert_non_null(world->api);
    world->client = client_open(world->loop, &world->address, NULL);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    client_close(world->client);
    api_close(&world->api);
    close(world->listen_fd);
    loop_turn(world->loop, 0);
    loop_destroy(&world->loop);
    buf_finish(&fake.seen);
    clock_set(-1, -1);
    free(world);
    return 0;
}

static void pass_ms(struct world *world, int64_t ms)
{
    world->now_ms += ms;
    clock_set(world->now_ms, WALL_MS + world->now_ms);
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
}

/* One call over the world's connection; what was heard before is dropped. */
static unsigned ask_with(struct world *world, const char *request_line,
                         const char *fields, const char *body)
{
    struct client *client = world->client;
    struct buf out;
    uint64_t status = 0;

    buf_clear(&client->in);
    buf_init(&out, 1 << 22);
    buf_addf(&out, "%s HTTP/1.1\r\nHost: h\r\n%s", request_line, fields);
    if (body != NULL)
        buf_addf(&out,
                 "Content-Type: application/json\r\nContent-Length: "
                 "%zu\r\n\r\n%s",
                 strlen(body), body);
    else
        buf_add_cstr(&out, "\r\n");
    say(client, buf_str(&out));
    buf_finish(&out);
    turn_until_heard(client, "\r\n\r\n", 1);
    if (str_starts(buf_str(&client->in), S("HTTP/1.1 413")) || body == NULL ||
        !has(client, "Connection: close"))
        turn_until_heard(client, "}", 1);
    CHECK(str_to_u64(str_slice(buf_str(&client->in), 9, 3), &status));
    return (unsigned)status;
}

static const char *key_field(void)
{
    static char field[256];

    snprintf(field, sizeof field, "Authorization: Bearer %s\r\n", fake.token);
    return field;
}

static unsigned ask(struct world *world, const char *request_line,
                    const char *body)
{
    return ask_with(world, request_line, key_field(), body);
}

static void expect(const struct world *world, const char *text)
{
    if (!has(world->client, text))
        fail_msg("wanted %s in %.*s", text,
                 STR_ARG(buf_str(&world->client->in)));
}

#define MAIL                                                                   \
    "{\"from\":\"App <app@sender.test>\",\"to\":\"ada@inbox.test\","           \
    "\"subject\":\"Hello\",\"text\":\"Hello.\"}"

/* --- sending --- */

static void a_mail_is_stored_and_answered(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /v1/emails", MAIL), 200);
    assert_string_equal(fake.seen.data,
                        "transactional owned subject=Hello due=0 key=0 0:main");
    expect(world, fake.answer);
    expect(world, "\"status\":\"queued\"");
    expect(world, "@sender.test>\"");
    expect(world, "Content-Type: application/json; charset=utf-8\r\n");
    expect(world, "X-Request-Id: ");
    assert_int_equal(ask(world, "POST //emails", MAIL), 200);
    assert_int_equal(fake.enqueued, 2);
}

static void a_sensitive_subject_is_masked(void **state)
{
    struct world *world = *state;

    assert_int_equal(
        ask(world, "POST /emails",
            "{\"from\":\"app@sender.test\",\"to\":\"ada@inbox.test\","
            "\"subject\":\"483921 is your code\",\"text\":\"x\","
            "\"class\":\"verification\",\"scheduled_at\":\"in 5 minutes\"}"),
        200);
    assert_null(strstr(fake.seen.data, "483921"));
    assert_non_null(strstr(fake.seen.data, " is your code sensitive due=1"));
    expect(world, "\"status\":\"scheduled\"");
}

static void a_large_body_is_read_by_a_helper(void **state)
{
    struct world *world = *state;
    char fields[300];
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_add_cstr(&body, "{\"from\":\"app@sender.test\",\"to\":\"a@b.test\","
                        "\"subject\":\"s\",\"text\":\"");
    for (int i = 0; i < 500000; i++)
        buf_add_char(&body, 'x');
    buf_add_cstr(&body, "\"}");
    snprintf(fields, sizeof fields, "%sIdempotency-Key: large\r\n",
             key_field());
    assert_int_equal(ask_with(world, "POST /emails", fields, body.data), 200);
    body.data[body.len - 1] = ' ';
    assert_int_equal(ask(world, "POST /emails", body.data), 400);
    expect(world, "bad_json");
    assert_int_equal(fake.enqueued, 1);
    buf_finish(&body);
}

static void problems_have_their_shape(void **state)
{
    struct world *world = *state;
    char fields[300];

    snprintf(fields, sizeof fields, "%sX-Request-Id: r-1\r\n", key_field());
    assert_int_equal(
        ask_with(world, "POST /v1/emails", fields,
                 "{\"from\":\"app@sender.test\",\"to\":[\"a@b@c\"],"
                 "\"subject\":\"s\",\"txt\":\"x\"}"),
        422);
    expect(world, "{\"statusCode\":422,\"name\":\"validation_error\","
                  "\"message\":\"`txt` is not a known field; did you mean "
                  "`text`? (And 2 more: see errors.)\","
                  "\"type\":\"about:blank\","
                  "\"title\":\"Unprocessable Content\",\"status\":422,"
                  "\"detail\":\"`txt` is not a known field; did you mean "
                  "`text`? (And 2 more: see errors.)\","
                  "\"instance\":\"/v1/emails\","
                  "\"code\":\"validation_error\",\"errors\":[{\"pointer\":"
                  "\"/txt\",\"code\":\"unknown_field\",\"message\":");
    expect(world, "{\"pointer\":\"/to/0\",\"code\":\"address_two_at\",");
    expect(world, "{\"pointer\":\"/html\",\"code\":\"required\",");
    expect(world, "\"request_id\":\"r-1\"}");
    assert_int_equal(ask_with(world, "GET /nothing",
                              "Accept: application/problem+json\r\n", NULL),
                     404);
    expect(world, "Content-Type: application/problem+json\r\n");
}

/* Bytes that JSON cannot hold never get into an answer. */
static void any_path_may_be_wrong(void **state)
{
    static const struct str REQUESTS[] = {
        STR("GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n"),
        STR("GET /\xff\x01 HTTP/1.1\r\n\r\n"),
        STR("GET /%ff HTTP/1.1\r\n\r\n"),
        STR("GET /%00\"\\ HTTP/1.1\r\n\r\n"),
        STR("\xff\xfe / HTTP/1.1\r\n\r\n"),
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(REQUESTS); i++) {
        struct client *client = client_open(world->loop, &world->address, NULL);

        say(client, REQUESTS[i]);
        turn_until_heard(client, "HTTP/1.1 400 ", 1);
        turn_until_heard(client, "\"request_id\"", 1);
        assert_false(has(client, "\xff"));
        client_close(client);
    }
    assert_int_equal(ask(world, "GET /\xc3\xa9\"\\", NULL), 404);
    expect(world, "\"instance\":\"/\xc3\xa9\\\"\\\\\"");
}

/* What the queue says, and what the caller hears. */
static const struct {
    enum queue_status status;
    unsigned http_status;
    const char *text;
} STATUSES[] = {
    {QUEUE_AWAY, 503, "\"name\":\"application_error\""},
    {QUEUE_NOT_READY, 503, "Retry-After: 1\r\n"},
    {QUEUE_FULL, 503, "\"code\":\"service_unavailable\""},
    {QUEUE_FROZEN, 503, "\"name\":\"application_error\""},
    {QUEUE_MOVED, 503, "\"name\":\"application_error\""}, /* and again */
    {QUEUE_NO_KEYRING, 503, "posthaste keyring create"},
    {QUEUE_OWNER_FULL, 429, "\"name\":\"rate_limit_exceeded\""},
    {QUEUE_CONFLICT, 409, "\"name\":\"invalid_idempotent_request\""},
    {QUEUE_RUNNING, 409, "\"name\":\"concurrent_idempotent_requests\""},
    {QUEUE_REPLAY, 200, "Idempotent-Replayed: true\r\n"},
};

static void the_queues_answers_become_statuses(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(STATUSES); i++) {
        fake.status = STATUSES[i].status;
        assert_int_equal(ask(world, "POST /emails", MAIL),
                         STATUSES[i].http_status);
        expect(world, STATUSES[i].text);
    }
    expect(world, "{\"id\":\"the first\"}");
}

static void a_mail_without_a_route_is_not_taken(void **state)
{
    struct world *world = *state;

    world->route.class = "bulk";
    assert_int_equal(ask(world, "POST /emails", MAIL), 503);
    expect(world, "\"code\":\"no_route\"");
    assert_int_equal(fake.enqueued, 0);
}

static void idempotency_keys_are_vetted(void **state)
{
    struct world *world = *state;
    char fields[600];
    char key[258];

    memset(key, 'k', sizeof key);
    key[257] = '\0';
    for (int len = 256; len <= 257; len++) {
        snprintf(fields, sizeof fields, "%sIdempotency-Key: \"%.*s\"\r\n",
                 key_field(), len, key);
        assert_int_equal(ask_with(world, "POST /emails", fields, MAIL),
                         len == 256 ? 200 : 400);
    }
    expect(world, "\"name\":\"invalid_idempotency_key\"");
    assert_non_null(strstr(fake.seen.data, "key=64"));
    snprintf(fields, sizeof fields, "%sIdempotency-Key:\r\n", key_field());
    assert_int_equal(ask_with(world, "POST /emails", fields, MAIL), 400);
    snprintf(fields, sizeof fields, "%sIdempotency-Key: \xc3\xa9\r\n",
             key_field());
    assert_int_equal(ask_with(world, "POST /emails", fields, MAIL), 400);
}

/* --- who and how often --- */

static void strangers_are_told_which_way_they_are_wrong(void **state)
{
    struct world *world = *state;
    char fields[600];

    assert_int_equal(ask_with(world, "POST /emails", "", MAIL), 401);
    expect(world, "\"name\":\"missing_api_key\"");
    expect(world, "WWW-Authenticate: Bearer\r\n");
    assert_int_equal(
        ask_with(world, "POST /emails", "Authorization: Basic YTpi\r\n", MAIL),
        403);
    expect(world, "\"name\":\"invalid_api_key\"");
    snprintf(fields, sizeof fields, "Authorization: Bearer %sx\r\n",
             fake.token);
    assert_int_equal(ask_with(world, "POST /emails", fields, MAIL), 403);
    assert_int_equal(fake.key_lookups, 0); /* none was worth asking for */
    fake.key_is_known = false;
    assert_int_equal(ask(world, "POST /emails", MAIL), 403);
    expect(world, "\"name\":\"invalid_api_key\"");
    assert_int_equal(fake.key_lookups, 1);
    fake.key_status = QUEUE_AWAY;
    assert_int_equal(ask(world, "POST /emails", MAIL), 503);
    assert_int_equal(fake.enqueued, 0);
}

static void a_key_is_asked_for_every_five_seconds(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.key_lookups, 1);
    pass_ms(world, 4999);
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    assert_int_equal(fake.key_lookups, 1);
    pass_ms(world, 1);
    fake.key_is_known = false;
    assert_int_equal(ask(world, "POST /emails", MAIL), 403);
    assert_int_equal(fake.key_lookups, 2);
}

static void permissions_open_their_doors_only(void **state)
{
    static const struct {
        const char *request;
        const char *body;
        bool sending;
        bool reading;
    } CASES[] = {
        {"POST /emails", MAIL, true, false},
        {"GET /emails/" ID, NULL, false, true},
        {"PATCH /emails/" ID, "{\"scheduled_at\":\"in 1 hour\"}", false, false},
        {"POST /emails/" ID "/cancel", NULL, false, false},
        {"POST /emails/" ID "/retry", NULL, false, false},
        {"GET /queue", NULL, false, true},
        {"GET /webhooks", NULL, false, true},
        {"GET /events", NULL, false, true},
        {"GET /emails", NULL, false, true},
        {"DELETE /webhooks/" ID, NULL, false, false},
        {"POST /api-keys", "{\"name\":\"x\"}", false, false},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        fake.key.permission = KEY_SENDING_ACCESS;
        pass_ms(world, 5000);
        assert_int_equal(ask(world, CASES[i].request, CASES[i].body) != 401,
                         CASES[i].sending);
        fake.key.permission = KEY_READ_ACCESS;
        pass_ms(world, 5000);
        assert_int_equal(ask(world, CASES[i].request, CASES[i].body) != 401,
                         CASES[i].reading);
    }
    expect(world, "\"name\":\"restricted_api_key\"");
}

static void rates_are_told_and_kept(void **state)
{
    struct world *world = *state;

    world->config.limits.rate = 5;
    world->config.limits.rate_per_ms = 1000;
    fake.rate_left = 1;
    fake.rate_needs_lease = true;
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    expect(world, "ratelimit-limit: 5\r\n");
    expect(world, "ratelimit-remaining: 0\r\n");
    expect(world, "ratelimit-reset: 1\r\n");
    expect(world, "ratelimit-policy: 5;w=1\r\n");
    assert_int_equal(ask(world, "POST /emails", MAIL), 429);
    expect(world, "\"name\":\"rate_limit_exceeded\"");
    expect(world, "Retry-After: 1\r\n");
    expect(world, "ratelimit-limit: 5\r\n");
    assert_int_equal(fake.enqueued, 1);
}

/* --- looking --- */

static void an_email_is_shown(void **state)
{
    struct world *world = *state;
    struct error err;

    fake.record.job_root = json_parse(S("{\"html\":\"<p>x</p>\"}"), &err);
    fake.record.job.mail = fake.record.job_root;
    fake.delivery_count = 1;
    fake.deliveries[0] = (struct queue_delivery){.state = DELIVERY_DUE,
                                                 .attempts = 2,
                                                 .code = 451,
                                                 .enhanced_code = S("4.3.0"),
                                                 .response = S("come back"),
                                                 .next_attempt_ms = WALL_MS};
    assert_int_equal(ask(world, "GET /v1/emails/" ID, NULL), 200);
    expect(world, "{\"object\":\"email\",\"id\":\"" ID "\","
                  "\"message_id\":\"<1@sender.test>\","
                  "\"to\":[\"Ada <ada@inbox.test>\"],"
                  "\"from\":\"App <app@sender.test>\","
                  "\"created_at\":\"2026-11-24T12:00:00.000Z\","
                  "\"subject\":\"Hello\",\"html\":\"<p>x</p>\",\"text\":null,"
                  "\"cc\":null,\"bcc\":null,\"reply_to\":null,"
                  "\"last_event\":\"delivery_delayed\","
                  "\"scheduled_at\":null,\"tags\":[],\"status\":\"deferred\","
                  "\"class\":\"transactional\",\"sensitive\":false,"
                  "\"expires_at\":null,\"metadata\":{},\"recipients\":[{"
                  "\"address\":\"ada@inbox.test\",\"kind\":\"to\","
                  "\"status\":\"deferred\",\"code\":451,"
                  "\"enhanced_code\":\"4.3.0\",\"response\":\"come back\","
                  "\"attempts\":2,"
                  "\"next_attempt_at\":\"2026-11-24T12:00:00.000Z\"}]}");
    fake.record.summary.sensitive = true;
    assert_int_equal(ask(world, "GET /emails/" ID, NULL), 200);
    expect(world, "\"html\":null");
    json_destroy(&fake.record.job_root);
}

static void the_state_of_many_is_told_in_one_word(void **state)
{
    static const struct {
        enum delivery_state states[3];
        const char *status;
        const char *last_event;
    } CASES[] = {
        {{DELIVERY_SENT, DELIVERY_SENT, DELIVERY_SENT}, "sent", "sent"},
        {{DELIVERY_SENT, DELIVERY_BOUNCED, DELIVERY_SENT}, "partial", "sent"},
        {{DELIVERY_SENT, DELIVERY_CLAIMED, DELIVERY_SENT}, "sending", "sent"},
        {{DELIVERY_EXPIRED, DELIVERY_EXPIRED, DELIVERY_EXPIRED},
         "expired",
         "failed"},
        {{DELIVERY_CANCELED, DELIVERY_CANCELED, DELIVERY_CANCELED},
         "canceled",
         "canceled"},
        {{DELIVERY_HELD, DELIVERY_SENT, DELIVERY_BOUNCED}, "held", "bounced"},
        {{DELIVERY_DUE, DELIVERY_DUE, DELIVERY_DUE}, "scheduled", "scheduled"},
    };
    struct world *world = *state;
    char text[128];

    fake.delivery_count = 3;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        for (unsigned n = 0; n < 3; n++)
            fake.deliveries[n] = (struct queue_delivery){
                .number = 0,
                .state = CASES[i].states[n],
                .ended_ms =
                    CASES[i].states[n] >= DELIVERY_SENT ? WALL_MS + n : 0};
        assert_int_equal(ask(world, "GET /emails/" ID, NULL), 200);
        snprintf(text, sizeof text, "\"last_event\":\"%s\"",
                 CASES[i].last_event);
        expect(world, text);
        snprintf(text, sizeof text, "\"tags\":[],\"status\":\"%s\"",
                 CASES[i].status);
        expect(world, text);
    }
}

static void what_waits_is_shown_by_lane(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /v1/queue", NULL), 200);
    expect(world, "{\"object\":\"queue\",\"queued\":5,\"lanes\":["
                  "{\"lane\":\"verification\",\"queued\":1,\"oldest_ms\":20},");
    fake.status = QUEUE_AWAY;
    assert_int_equal(ask(world, "GET /queue", NULL), 503);
}

static void a_timeline_is_shown(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /emails/" ID "/events", NULL), 200);
    expect(world, "{\"object\":\"list\",\"has_more\":false,\"data\":[{\"ms\":0,"
                  "\"type\":\"email.queued\",");
    expect(world, "{\"ms\":12,\"type\":\"email.sent\",");
}

static void what_is_not_there_is_404_and_what_is_no_id_422(void **state)
{
    static const char *const REQUESTS[] = {
        "GET /emails/",
        "GET /webhooks/",
        "DELETE /webhooks/",
        "DELETE /api-keys/",
    };
    struct world *world = *state;
    char line[128];

    fake.status = QUEUE_NOT_FOUND;
    for (size_t i = 0; i < COUNT_OF(REQUESTS); i++) {
        snprintf(line, sizeof line, "%s%s", REQUESTS[i], ID);
        assert_int_equal(ask(world, line, NULL), 404);
        expect(world, "\"name\":\"not_found\"");
        snprintf(line, sizeof line, "%snot-an-id", REQUESTS[i]);
        assert_int_equal(ask(world, line, NULL), 422);
        expect(world, "\"name\":\"invalid_parameter\"");
    }
    assert_int_equal(ask(world, "DELETE /emails", NULL), 405);
    expect(world, "Allow: POST, GET, HEAD\r\n");
    expect(world, "\"name\":\"method_not_allowed\"");
}

static void cancel_says_what_was_stopped(void **state)
{
    struct world *world = *state;
    char fields[300];

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_CANCELED;
    assert_int_equal(ask(world, "POST /emails/" ID "/cancel", ""), 200);
    expect(world, "{\"object\":\"email\",\"id\":\"" ID "\",\"recipients\":[{");
    assert_string_equal(fake.finished, "");
    fake.status = QUEUE_REFUSED;
    fake.deliveries[0].state = DELIVERY_SENT;
    snprintf(fields, sizeof fields, "%sIdempotency-Key: a\r\n", key_field());
    assert_int_equal(ask_with(world, "POST /emails/" ID "/cancel", fields, ""),
                     409);
    expect(world, "it is sent.");
    assert_memory_equal(fake.finished, "409 {\"statusCode\":409", 21);
}

/* A mail of that class that asked for what is in its body, sent again. */
static void plan_is(struct world *world, enum mail_class mail_class,
                    int64_t expires_ms, const char *json, const char *plan)
{
    struct json *root = json_parse(str_of(json), NULL);

    fake.record.job.mail = root;
    fake.record.summary.mail_class = mail_class;
    fake.record.summary.expires_ms = expires_ms;
    assert_int_equal(ask(world, "POST /emails/" ID "/retry", ""), 200);
    if (!str_eq(buf_str(&fake.seen), str_of(plan)))
        fail_msg("%.*s, not %s", STR_ARG(buf_str(&fake.seen)), plan);
    fake.record.job.mail = NULL;
    json_destroy(&root);
}

static void a_retry_is_planned_anew(void **state)
{
    struct world *world = *state;

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_QUEUED;
    world->config.worker.message_ttl_ms = 172800000;
    plan_is(world, CLASS_TRANSACTIONAL, 0, "{}",
            "0:main until +172800000 deadline=0 unknown=0");
    /* What lies ahead stays, what has passed is the class's own again. */
    plan_is(world, CLASS_RESET, WALL_MS + 5000, "{\"on_unknown\":\"hold\"}",
            "0:main until +5000 deadline=1 unknown=1");
    plan_is(world, CLASS_RESET, WALL_MS - 5000, "{\"on_unknown\":\"fail\"}",
            "0:main until +3600000 deadline=1 unknown=2");
    expect(world, "{\"object\":\"email\",\"id\":\"" ID "\",\"recipients\":[{");
    expect(world, "\"status\":\"queued\"");
}

/* What the caller asked for when he sent it, and the end of its life by a new
 * time; "" for one that is refused. */
static void new_time_is(struct world *world, enum mail_class mail_class,
                        const char *mail, const char *time, const char *plan)
{
    struct json *root = json_parse(str_of(mail), NULL);
    char body[128];

    fake.status = QUEUE_OK;
    fake.record.job.mail = root;
    fake.record.summary.mail_class = mail_class;
    snprintf(body, sizeof body, "{\"scheduled_at\":\"%s\"}", time);
    assert_int_equal(ask(world, "PATCH /emails/" ID, body),
                     plan[0] == '\0' ? 422 : 200);
    if (plan[0] != '\0' && !str_eq(buf_str(&fake.seen), str_of(plan)))
        fail_msg("%.*s, not %s", STR_ARG(buf_str(&fake.seen)), plan);
    fake.record.job.mail = NULL;
    json_destroy(&root);
}

static void a_new_time_moves_what_counts_from_it(void **state)
{
    struct world *world = *state;

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_DUE;
    world->config.worker.message_ttl_ms = 172800000;
    new_time_is(world, CLASS_TRANSACTIONAL, "{}", "in 1 hour",
                "at +3600000 until +176400000 deadline=0");
    expect(world, "{\"object\":\"email\",\"id\":\"" ID "\"}");
    new_time_is(world, CLASS_VERIFICATION, "{}", "2026-11-24T14:00:00+01:00",
                "at +3600000 until +4200000 deadline=1");
    new_time_is(world, CLASS_BULK, "{\"expires_in\":60}", "in 1 hour",
                "at +3600000 until +3660000 deadline=1");
    new_time_is(world, CLASS_BULK, "{\"expires_in\":60}",
                "2026-11-24T11:00:00Z", "at +0 until +60000 deadline=1");
    /* One that was named stays. */
    fake.record.summary.expires_ms = WALL_MS + 7200000;
    new_time_is(world, CLASS_BULK, "{\"expires_at\":\"x\"}", "in 1 hour",
                "at +3600000 until +7200000 deadline=1");
    new_time_is(world, CLASS_BULK, "{\"expires_at\":\"x\"}", "in 2 hours", "");
    expect(world, "\"code\":\"behind_deadline\"");
    fake.record.summary.expires_ms = WALL_MS + 180000000;
    new_time_is(world, CLASS_BULK, "{\"expires_at\":\"x\"}", "in 1 hour", "");
    expect(world, "\"code\":\"too_early\"");
}

static void what_may_have_no_new_time_is_refused(void **state)
{
    struct world *world = *state;

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_SENT;
    assert_int_equal(ask(world, "PATCH /emails/" ID, "{}"), 422);
    expect(world, "Missing `scheduled_at` field.");
    assert_int_equal(
        ask(world, "PATCH /emails/" ID, "{\"scheduled_at\":\"in 31 days\"}"),
        422);
    expect(world, "may be at most 30 days ahead");
    fake.status = QUEUE_REFUSED;
    assert_int_equal(
        ask(world, "PATCH /emails/" ID, "{\"scheduled_at\":\"in 1 hour\"}"),
        409);
    expect(world, "\"code\":\"not_reschedulable\"");
    expect(world, "The email cannot be rescheduled any more: it is sent.");
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(
        ask(world, "PATCH /emails/" ID, "{\"scheduled_at\":\"in 1 hour\"}"),
        404);
}

static void what_cannot_be_sent_again_is_refused(void **state)
{
    struct world *world = *state;
    char fields[300];

    fake.delivery_count = 1;
    fake.deliveries[0].state = DELIVERY_SENT;
    fake.status = QUEUE_REFUSED;
    snprintf(fields, sizeof fields, "%sIdempotency-Key: a\r\n", key_field());
    assert_int_equal(ask_with(world, "POST /emails/" ID "/retry", fields, ""),
                     409);
    expect(world, "\"code\":\"not_retryable\"");
    expect(world, "The email cannot be sent again: it is sent.");
    assert_memory_equal(fake.finished, "409 {\"statusCode\":409", 21);
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(ask(world, "POST /emails/" ID "/retry", ""), 404);
    fake.status = QUEUE_OK;
    world->config.route_count = 0;
    assert_int_equal(ask(world, "POST /emails/" ID "/retry", ""), 503);
    expect(world, "\"code\":\"no_route\"");
}

/* --- webhooks and keys --- */

static void emails_are_listed_by_what_they_are(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /emails?limit=7&after=" ID, NULL), 200);
    assert_string_equal(fake.seen.data, "7 " ID "     0 0 0");
    expect(world, "{\"object\":\"list\",\"has_more\":true,\"data\":[{\"id\":");
    expect(world, "\"last_event\":\"");
    expect(world, "}],\"next\":\"" ID "\"}");
    assert_false(has(world->client, "\"html\""));
    assert_int_equal(
        ask(world,
            "GET /emails?to=Ann%20%3cann%40example.com%3e&tag=kind:order"
            "&since=2026-11-24T12:00:00Z&until=2026-11-24T13:00:00%2b01:00",
            NULL),
        200);
    assert_string_equal(fake.seen.data,
                        "20   ann@example.com kind order 1795521600000 "
                        "1795521600000 0");
    assert_int_equal(ask(world, "GET /emails?status=queued", NULL), 200);
    expect(world, "\"data\":[{");
    assert_int_equal(ask(world, "GET /emails?status=sent", NULL), 200);
    expect(world, "\"data\":[]");
    assert_int_equal(ask(world, "GET /emails?class=bulk", NULL), 200);
    expect(world, "\"data\":[]");
    assert_int_equal(ask(world,
                         "GET /emails?status=x&class=x&to=x&tag=:&since=x"
                         "&until=x",
                         NULL),
                     422);
    expect(world, "\"pointer\":\"/status\"");
    expect(world, "\"pointer\":\"/class\"");
    expect(world, "\"pointer\":\"/to\"");
    expect(world, "\"pointer\":\"/tag\"");
    expect(world, "\"pointer\":\"/since\"");
    expect(world, "\"pointer\":\"/until\"");
}

static void events_are_what_webhooks_get(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "GET /events?after=good&limit=100", NULL), 200);
    expect(world, "{\"object\":\"list\",\"has_more\":false,\"data\":[{\"id\":"
                  "\"msg_");
    expect(world, "\"type\":\"email.sent\",\"created_at\":"
                  "\"2026-11-24T12:00:00.000Z\",\"data\":{\"email_id\":\"" ID
                  "\",\"timestamp\":\"2026-11-24T12:00:00.000Z\","
                  "\"sequence\":2}}],\"next\":\"the-next\"}");
    assert_int_equal(ask(world, "GET /events?limit=101", NULL), 422);
    assert_int_equal(ask(world, "GET /events?after=bad", NULL), 422);
    expect(world, "\"pointer\":\"/after\",\"code\":\"invalid_cursor\"");
    fake.status = QUEUE_NOT_FOUND;
    assert_int_equal(ask(world, "GET /events?after=good", NULL), 422);
    expect(world, "Go on with after=the-next.");
    fake.status = QUEUE_NO_KEYRING;
    assert_int_equal(ask(world, "GET /events", NULL), 503);
}

static void webhooks_are_made_shown_and_changed(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /webhooks",
                         "{\"endpoint\":\"https://hooks.example.com/x\","
                         "\"events\":[\"email.sent\",\"email.*\",\"*\","
                         "\"email.opened\"]}"),
                     201);
    expect(world, "\"signing_secret\":\"whsec_");
    assert_int_equal(ask(world, "GET /webhooks", NULL), 200);
    expect(world,
           "\"status\":\"enabled\",\"endpoint\":"
           "\"https://hooks.example.com/x\",\"events\":[\"email.sent\"]");
    assert_false(has(world->client, "whsec_"));
    assert_int_equal(ask(world, "GET /webhooks/" ID, NULL), 200);
    expect(world, "{\"object\":\"webhook\",\"id\":\"" ID "\"");
    assert_int_equal(
        ask(world, "PATCH /webhooks/" ID, "{\"status\":\"disabled\"}"), 200);
    expect(world, "{\"object\":\"webhook\",\"id\":\"" ID "\"}");
    assert_int_equal(ask(world, "DELETE /webhooks/" ID, NULL), 200);
    expect(world, "\"deleted\":true");
}

static void bad_webhooks_are_refused(void **state)
{
    struct world *world = *state;

    assert_int_equal(ask(world, "POST /webhooks",
                         "{\"endpoint\":\"http://127.0.0.1/x\","
                         "\"events\":[\"email.send\"]}"),
                     422);
    expect(world, "\"pointer\":\"/endpoint\",\"code\":\"bad_url\"");
    expect(world, "\"pointer\":\"/events/0\",\"code\":\"unknown_event\","
                  "\"message\":\"`events[0]` is not a known event; did you "
                  "mean \\\"email.sent\\\"?\"");
    assert_int_equal(ask(world, "POST /webhooks", "{}"), 422);
    expect(world, "\"name\":\"missing_required_field\"");
    assert_int_equal(ask(world, "PATCH /webhooks/" ID, "{\"status\":\"on\"}"),
                     422);
}

static void keys_are_made_listed_and_deleted(void **state)
{
    struct world *world = *state;
    struct str token;
    ptrdiff_t at;

    assert_int_equal(ask(world, "POST /api-keys",
                         "{\"name\":\"web\",\"permission\":\"read_access\"}"),
                     201);
    assert_string_equal(fake.answer, "read_access");
    at = str_find(buf_str(&world->client->in), S("ph_live_"), 0);
    assert_true(at > 0);
    token =
        str_slice(buf_str(&world->client->in), (size_t)at, API_TOKEN_SIZE - 1);
    assert_true(api_token_is_sound(token));
    assert_int_equal(ask(world, "GET /api-keys?limit=7", NULL), 200);
    expect(world, "\"last_used_at\":null,\"permission\":\"full_access\","
                  "\"prefix\":\"ph_live_abcd\"");
    assert_int_equal(ask(world, "DELETE /api-keys/" ID, NULL), 200);
    expect(world,
           "{\"object\":\"api_key\",\"id\":\"" ID "\",\"deleted\":true}");
    /* It was the key of this very connection. */
    fake.key_is_known = false;
    assert_int_equal(ask(world, "GET /api-keys?limit=7", NULL), 403);
}

static void pages_are_vetted(void **state)
{
    static const char *const BAD[] = {
        "limit=0", "limit=101", "limit=x",
        "limit=",  "after=x",   "after=" ID "&before=" ID,
    };
    struct world *world = *state;
    char line[200];

    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        snprintf(line, sizeof line, "GET /webhooks?%s", BAD[i]);
        assert_int_equal(ask(world, line, NULL), 422);
        expect(world, "\"name\":\"invalid_parameter\"");
    }
}

static void only_mails_may_be_large(void **state)
{
    struct world *world = *state;
    struct buf body;

    buf_init(&body, 1 << 20);
    for (int i = 0; i < 65537; i++)
        buf_add_char(&body, ' ');
    assert_int_equal(ask(world, "POST /webhooks", body.data), 413);
    expect(world, "\"code\":\"body_too_large\"");
    buf_finish(&body);
}

/* --- the end --- */

static void note_drained(void *ctx)
{
    struct world *world = ctx;

    world->drained = true;
}

static void a_drain_waits_for_the_answers(void **state)
{
    struct world *world = *state;

    api_drain(world->api, note_drained, world);
    world->listen_fd = -1; /* the drain closes it */
    assert_int_equal(ask(world, "POST /emails", MAIL), 200);
    for (int i = 0; i < 100 && !world->drained; i++)
        loop_turn(world->loop, 1);
    assert_true(world->drained);
}

static void what_is_under_way_at_the_close_is_answered(void **state)
{
    struct world *world = *state;
    struct buf out;

    fake.silent = true;
    buf_init(&out, 4096);
    buf_addf(&out, "POST /emails HTTP/1.1\r\nHost: h\r\n%s\r\n", key_field());
    say(world->client, buf_str(&out));
    buf_finish(&out);
    for (int i = 0; i < 200 && fake.key_lookups == 0; i++)
        loop_turn(world->loop, 1);
    assert_int_equal(fake.key_lookups, 1);
    api_close(&world->api);
    hear(world->client);
    expect(world, "HTTP/1.1 503 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_mail_is_stored_and_answered),
        TEST(a_sensitive_subject_is_masked),
        TEST(a_large_body_is_read_by_a_helper),
        TEST(problems_have_their_shape),
        TEST(any_path_may_be_wrong),
        TEST(the_queues_answers_become_statuses),
        TEST(a_mail_without_a_route_is_not_taken),
        TEST(idempotency_keys_are_vetted),
        TEST(strangers_are_told_which_way_they_are_wrong),
        TEST(a_key_is_asked_for_every_five_seconds),
        TEST(permissions_open_their_doors_only),
        TEST(rates_are_told_and_kept),
        TEST(an_email_is_shown),
        TEST(the_state_of_many_is_told_in_one_word),
        TEST(what_waits_is_shown_by_lane),
        TEST(a_timeline_is_shown),
        TEST(what_is_not_there_is_404_and_what_is_no_id_422),
        TEST(cancel_says_what_was_stopped),
        TEST(a_retry_is_planned_anew),
        TEST(a_new_time_moves_what_counts_from_it),
        TEST(what_may_have_no_new_time_is_refused),
        TEST(what_cannot_be_sent_again_is_refused),
        TEST(emails_are_listed_by_what_they_are),
        TEST(events_are_what_webhooks_get),
        TEST(webhooks_are_made_shown_and_changed),
        TEST(bad_webhooks_are_refused),
        TEST(keys_are_made_listed_and_deleted),
        TEST(pages_are_vetted),
        TEST(only_mails_may_be_large),
        TEST(a_drain_waits_for_the_answers),
        TEST(what_is_under_way_at_the_close_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
