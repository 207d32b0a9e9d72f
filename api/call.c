#include "api/call.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/secret.h"

enum {
    IDEMPOTENCY_KEY_MAX = 256,
    RATE_ASKS_MAX = 3,
    ANSWER_MS = 800,       /* to any call, whatever Redis does */
    LARGE_BYTES = 1 << 20, /* of body; no more time below that */
    UPLOAD_BYTES_MS = 5 * 1024,
};

/* --- replies --- */

/* NULL: it was answered before. */
static struct http_request *call_leave(struct call *call)
{
    list_remove(&call->link);
    if (call->release != NULL)
        call->release(call->own);
    if (!call->is_late)
        return call->request;
    http_let_go(call->request);
    return NULL;
}

void call_add_field(struct call *call, const char *name, struct str value)
{
    if (!call->is_late)
        http_add_field(call->request, name, value);
}

static void call_fail_with(struct call *call, const struct problem *problem)
{
    struct http_request *request = call_leave(call);

    if (request != NULL)
        problem_reply(request, problem);
}

void call_fail(struct call *call, enum problem_kind kind, const char *message)
{
    call_fail_with(call, &(struct problem){.kind = kind, .message = message});
}

/* Another release may have stored texts longer than any of ours. */
void call_reply(struct call *call, unsigned status, struct buf *body)
{
    struct http_request *request;

    if (body->full) {
        call_fail(call, PROBLEM_UNAVAILABLE,
                  "What is stored is more than this server can show.");
        return;
    }
    request = call_leave(call);
    if (request != NULL)
        http_reply(request, status, "application/json; charset=utf-8", body);
}

void call_fail_faults(struct call *call, const struct faults *faults)
{
    struct http_request *request = call_leave(call);

    if (request != NULL)
        problem_reply_faults(request, faults);
}

struct queue_owner call_owner(const struct call *call)
{
    return (struct queue_owner){
        .name = call->key.owner,
        .home = call->key.partition,
    };
}

static void call_begin_anew(struct call *call);

void call_fail_queue(struct call *call, enum queue_status status,
                     const struct error *why, const char *missing)
{
    struct http_request *request;

    if (status == QUEUE_MOVED && !call->was_sent_on && !call->is_late) {
        call_begin_anew(call);
        return;
    }
    request = call_leave(call);
    if (request != NULL)
        problem_reply_queue(request, status, why, missing);
}

void call_replay(struct call *call, const struct queue_answer *answer)
{
    struct buf body;

    call_add_field(call, "Idempotent-Replayed", S("true"));
    buf_init(&body, answer->answer.len);
    buf_add(&body, answer->answer);
    call_reply(call, (unsigned)answer->http_status, &body);
    buf_finish(&body);
}

struct refusal {
    struct call *call;
    struct problem problem;
};

static void on_refused_looked(void *ctx, const struct queue_answer *answer)
{
    const struct refusal *refusal = ctx;

    if (answer->status == QUEUE_REPLAY)
        call_replay(refusal->call, answer);
    else if (answer->status == QUEUE_OK || answer->status == QUEUE_CONFLICT)
        call_fail_with(refusal->call, &refusal->problem);
    else
        call_fail_queue(refusal->call, answer->status, &answer->why, NULL);
}

void call_refuse(struct call *call, const struct problem *problem)
{
    struct refusal *refusal;

    if (call->idempotency.key_hash.len == 0) {
        call_fail_with(call, problem);
    } else if (call_goes_on(call)) {
        refusal = ARENA_NEW(call->arena, struct refusal);
        *refusal = (struct refusal){call, *problem};
        queue_idempotency_look(call->api->queue, call_owner(call),
                               &call->idempotency, on_refused_looked, refusal);
    }
}

void call_refuse_faults(struct call *call, const struct faults *faults)
{
    CHECK(faults->count > 0);
    call_refuse(call, &(struct problem){.kind = faults->items[0].kind,
                                        .faults = faults});
}

void calls_end(struct api *api)
{
    struct call *call;

    while ((call = LIST_FIRST(&api->calls, struct call, link)) != NULL)
        call_fail(call, PROBLEM_UNAVAILABLE,
                  "The server is stopping, so the outcome is unknown: ask "
                  "again with the same Idempotency-Key.");
}

/* --- how long? --- */

/* A caller is answered within a second, however many questions Redis is asked
 * meanwhile; only a large mail may take longer, as its upload does beside three
 * others on a disk of 20 MB/s. */
static int64_t answer_ms(const struct call *call)
{
    size_t len = http_body(call->request).len;

    if (len < LARGE_BYTES)
        return ANSWER_MS;
    return ANSWER_MS + (int64_t)((len - LARGE_BYTES) / UPLOAD_BYTES_MS);
}

/* What Redis still answers is for nobody. Its link stays: that one is slow
 * does not mean that it is lost, which the limits of commands find out. */
static void on_late(void *ctx)
{
    struct call *call = ctx;
    struct error why;

    call->is_late = true;
    error_set(&why, ERR_TIMEOUT, "redis: no answer in time");
    http_hold(call->request);
    problem_reply_queue(call->request, QUEUE_AWAY, &why, NULL);
}

int64_t call_patience_ms(const struct call *call)
{
    int64_t left_ms = call->ends_ms - clock_now_ms();

    return left_ms > 1 ? left_ms : 1;
}

bool call_goes_on(struct call *call)
{
    if (!call->is_late)
        return true;
    CHECK(call_leave(call) == NULL);
    return false;
}

/* --- who calls --- */

/* The token behind "Bearer ". */
static struct str token_of(const struct http_request *request)
{
    struct str field = http_field(request, HTTP_AUTHORIZATION);

    if (!str_starts_nocase(field, S("Bearer ")))
        return S("");
    return str_trim(str_from(field, 7));
}

/* What can be said of a key without asking the store. */
static bool key_is_sound(struct http_request *request, struct problem *problem)
{
    if (http_field(request, HTTP_AUTHORIZATION).len == 0)
        *problem = (struct problem){
            .kind = PROBLEM_MISSING_API_KEY,
            .message = "Missing API key: send it as Authorization: Bearer "
                       "ph_live_..."};
    else if (!api_token_is_sound(token_of(request)))
        *problem = (struct problem){.kind = PROBLEM_INVALID_API_KEY,
                                    .message = "The API key is not valid."};
    else
        return true;
    return false;
}

bool call_vet_head(void *ctx, struct http_request *request)
{
    struct problem problem;

    (void)ctx;
    if (key_is_sound(request, &problem))
        return true;
    problem_reply(request, &problem);
    return false;
}

static bool may(const struct call *call)
{
    switch (call->key.permission) {
    case KEY_FULL_ACCESS:
        return true;
    case KEY_READ_ACCESS:
        return call->row->need == NEED_READ;
    case KEY_SENDING_ACCESS:
        return call->row->need == NEED_SEND;
    }
    return false;
}

/* --- asked before? --- */

/* RFC draft: the value is a quoted string; clients send it bare as well. */
static struct str unquoted(struct str text)
{
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        return str_slice(text, 1, text.len - 2);
    return text;
}

static struct str sha256_hex(struct call *call, struct str text)
{
    char hex[SHA256_HEX_SIZE];

    secret_sha256_hex(text, hex);
    return arena_copy(call->arena, str_of(hex));
}

void call_fingerprint(struct call *call)
{
    struct http_request *request = call->request;
    struct str all;

    all =
        arena_printf(call->arena, "%.*s /v1%.*s\n%.*s",
                     STR_ARG(http_method(request)), STR_ARG(http_path(request)),
                     STR_ARG(sha256_hex(call, http_body(request))));
    call->idempotency.fingerprint = sha256_hex(call, all);
}

/* False: replied. */
static bool idempotency_read(struct call *call)
{
    struct str key = http_field(call->request, HTTP_IDEMPOTENCY_KEY);

    call->idempotency.key_hash = S("");
    call->idempotency.fingerprint = S("");
    if (key.ptr == NULL || !str_eq(http_method(call->request), S("POST")))
        return true;
    key = unquoted(key);
    if (key.len == 0 || key.len > IDEMPOTENCY_KEY_MAX || !utf8_is_ascii(key)) {
        call_fail(call, PROBLEM_INVALID_IDEMPOTENCY_KEY,
                  "The Idempotency-Key must be 1 to 256 ASCII characters.");
        return false;
    }
    call->idempotency.key_hash = sha256_hex(call, key);
    if (http_body(call->request).len <= CALL_SMALL_BODY)
        call_fingerprint(call);
    return true;
}

/* --- how often? --- */

static void add_number(struct call *call, const char *name, int64_t number)
{
    call_add_field(call, name,
                   arena_printf(call->arena, "%lld", (long long)number));
}

/* Integers, since SDKs parse them (RateLimit draft 06). */
static void add_rate_fields(struct call *call, const struct queue_rate *rate)
{
    add_number(call, "ratelimit-limit", rate->limit);
    add_number(call, "ratelimit-remaining", rate->remaining);
    add_number(call, "ratelimit-reset", rate->reset_s);
    call_add_field(call, "ratelimit-policy",
                   arena_printf(call->arena, "%lld;w=%lld",
                                (long long)rate->limit,
                                (long long)rate->window_s));
}

static void rate_check(struct call *call);

static void on_rate_lease(void *ctx, const struct queue_answer *answer)
{
    struct call *call = ctx;

    if (answer->status != QUEUE_OK)
        call_fail_queue(call, answer->status, &answer->why, NULL);
    else if (call_goes_on(call))
        rate_check(call);
}

/* An endpoint whose query has members reads them, and judges them all. */
static bool query_will_do(struct call *call)
{
    query_check_names(call);
    return call->row->query != NULL || query_is_good(call);
}

static void run(struct call *call)
{
    if (!may(call))
        call_fail(call, PROBLEM_RESTRICTED_API_KEY,
                  call->key.permission == KEY_SENDING_ACCESS
                      ? "This API key is restricted to only send emails."
                      : "This API key is restricted to only read.");
    else if (query_will_do(call) && idempotency_read(call))
        call->row->run(call);
}

static void rate_check(struct call *call)
{
    struct queue_rate rate = {.allowed = false};

    if (call->api->config->limits.rate == 0) {
        run(call);
        return;
    }
    if (queue_rate_take(call->api->queue, &call->key.id, &rate) == RATE_ASK) {
        /* Others may be quicker to use what the lease brought. */
        if (call->rate_asks++ < RATE_ASKS_MAX) {
            queue_rate_ask(call->api->queue, &call->key.id, on_rate_lease,
                           call);
            return;
        }
        rate = (struct queue_rate){
            .limit = call->api->config->limits.rate,
            .reset_s = 1,
            .window_s = (call->api->config->limits.rate_per_ms + 999) / 1000};
    }
    add_rate_fields(call, &rate);
    if (rate.allowed) {
        run(call);
        return;
    }
    call_fail_with(call,
                   &(struct problem){
                       .kind = PROBLEM_RATE_LIMIT_EXCEEDED,
                       .message = "Too many requests with this API key.",
                       .retry_after_s = rate.reset_s > 0 ? rate.reset_s : 1});
}

/* --- in --- */

/* What it is refused counts against its rate as well. */
static void call_let_in(struct call *call)
{
    if (may(call))
        queue_key_used(call->api->queue, &call->key);
    if (call->was_sent_on)
        run(call);
    else
        rate_check(call);
}

static struct str token_hash(struct call *call)
{
    return sha256_hex(call, token_of(call->request));
}

static void on_key(void *ctx, const struct queue_keys *keys)
{
    struct call *call = ctx;

    if (keys->status == QUEUE_NOT_FOUND ||
        (keys->status == QUEUE_OK && keys->count == 0)) {
        call_fail(call, PROBLEM_INVALID_API_KEY, "The API key is not valid.");
        return;
    }
    if (keys->status != QUEUE_OK) { /* never 401 or 403 for our own trouble */
        call_fail_queue(call, keys->status, &keys->why, NULL);
        return;
    }
    api_key_copy(call->arena, &keys->keys[0], &call->key);
    key_cache_put(call->api->keys, token_hash(call), &call->key);
    if (call_goes_on(call))
        call_let_in(call);
}

/* What was cached of the key names the old home. */
static void call_begin_anew(struct call *call)
{
    call->was_sent_on = true;
    if (call->release != NULL)
        call->release(call->own);
    call->own = NULL;
    call->release = NULL;
    key_cache_forget(call->api->keys, &call->key.id);
    queue_key_find(call->api->queue, token_hash(call), on_key, call);
}

void call_extend(struct call *call, int64_t ms)
{
    call->ends_ms = clock_now_ms() + ms;
    http_set_deadline(call->request, ms, on_late, call);
}

void call_begin(void *ctx, struct http_request *request)
{
    struct api *api = ctx;
    struct call *call = ARENA_NEW(http_arena(request), struct call);
    size_t row = (size_t)(http_route_of(request) - api->routes);

    call->api = api;
    call->request = request;
    call->arena = http_arena(request);
    call->row = api_endpoint(row);
    call->ends_ms = clock_now_ms() + answer_ms(call);
    http_set_deadline(request, call_patience_ms(call), on_late, call);
    list_add_last(&api->calls, &call->link);
    if (http_body(request).len > CALL_SMALL_BODY &&
        !call->row->takes_large_body)
        call_fail(call, PROBLEM_BODY_TOO_LARGE,
                  "The body of this request may have at most 64 KiB.");
    else if (key_cache_get(api->keys, token_hash(call), call->arena,
                           &call->key))
        call_let_in(call);
    else
        queue_key_find(api->queue, token_hash(call), on_key, call);
}

/* --- ids and bodies --- */

bool call_id(struct call *call, struct id *id)
{
    if (id_parse(http_param(call->request, 0), id))
        return true;
    call_fail(call, PROBLEM_INVALID_PARAMETER,
              "The id in the path is not a UUID.");
    return false;
}

struct json *call_json(struct call *call, const struct field *table,
                       struct faults *faults)
{
    struct error err;
    struct json *root = json_parse(http_body(call->request), &err);

    faults_init(faults, call->arena);
    if (root == NULL)
        faults_add(faults, PROBLEM_BAD_JSON, S(""), "bad_json",
                   "is not valid JSON: %s", err.text);
    else if (json_type_of(root) != JSON_MAP)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S(""), "type",
                   "must be a JSON object, not of type %s",
                   json_type_name(json_type_of(root)));
    else
        fields_check(table, root, S(""), faults);
    if (faults->count == 0)
        return root;
    json_destroy(&root);
    call_fail_faults(call, faults);
    return NULL;
}

static bool is_nothing(struct str body)
{
    struct json *root = json_parse(body, NULL);
    enum json_type type = json_type_of(root);
    bool is_empty =
        type == JSON_NULL_VALUE ||
        ((type == JSON_MAP || type == JSON_LIST) && json_count(root) == 0);

    json_destroy(&root);
    return body.len == 0 || is_empty;
}

bool call_no_body(struct call *call)
{
    static const struct field NONE[] = {{.name = NULL}};
    struct faults faults;

    if (is_nothing(http_body(call->request)))
        return true;
    CHECK(call_json(call, NONE, &faults) == NULL); /* replied */
    return false;
}
