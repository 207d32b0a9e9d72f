#include "api/problem.h"

#include "api/api.h"
#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/base/log.h"

#include <stdio.h>

/* Names and texts are bounded, and so is what escaping makes of them. */
enum { BODY_MAX = 1024 * 1024, RETRY_AFTER_S = 1, LOG_PAUSE_MS = 1000 };

static const struct {
    unsigned status;
    const char *name;
    const char *code;
} KINDS[PROBLEM_COUNT] = {
#define PROBLEM(id, status, name, code) [PROBLEM_##id] = {status, name, code},
#include "api/problem.def"
#undef PROBLEM
};

static const struct {
    unsigned status;
    const char *title;
} TITLES[] = {
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
};

unsigned problem_status(enum problem_kind kind)
{
    CHECK(kind > PROBLEM_NONE && kind < PROBLEM_COUNT);
    return KINDS[kind].status;
}

static const char *title_of(unsigned status)
{
    size_t i = 0;

    while (i < COUNT_OF(TITLES) && TITLES[i].status != status)
        i++;
    CHECK(i < COUNT_OF(TITLES));
    return TITLES[i].title;
}

static struct str message_of(struct http_request *request,
                             const struct problem *problem)
{
    const struct faults *faults = problem->faults;
    size_t others;

    if (problem->message != NULL)
        return str_of(problem->message);
    CHECK(faults != NULL && faults->count > 0);
    others = faults->count - 1 + faults->more;
    if (others == 0)
        return faults->items[0].message;
    return arena_printf(http_arena(request), "%.*s (And %zu more: see errors.)",
                        STR_ARG(faults->items[0].message), others);
}

static void add_faults(struct json_out *out, const struct faults *faults)
{
    json_name(out, "errors");
    json_open_list(out);
    for (size_t i = 0; faults != NULL && i < faults->count; i++) {
        json_open_map(out);
        json_add_str(out, "pointer", faults->items[i].pointer);
        json_add_str(out, "code", faults->items[i].code);
        json_add_str(out, "message", faults->items[i].message);
        json_close_map(out);
    }
    json_close_list(out);
}

/* The documented form of a path that there is, whichever was asked for. */
static struct str instance_of(struct http_request *request)
{
    if (!http_path_is_versioned(request))
        return http_path(request);
    return arena_printf(http_arena(request), "/v1%.*s",
                        STR_ARG(http_path(request)));
}

void problem_write(struct http_request *request, const struct problem *problem,
                   struct buf *body)
{
    unsigned status = KINDS[problem->kind].status;
    struct str message = message_of(request, problem);
    struct json_out out;

    json_out_init(&out, body);
    json_open_map(&out);
    json_add_int(&out, "statusCode", status);
    json_add_cstr(&out, "name", KINDS[problem->kind].name);
    json_add_str(&out, "message", message);
    json_add_cstr(&out, "type", "about:blank");
    json_add_cstr(&out, "title", title_of(status));
    json_add_int(&out, "status", status);
    json_add_str(&out, "detail", message);
    json_add_str(&out, "instance", instance_of(request));
    json_add_cstr(&out, "code", KINDS[problem->kind].code);
    add_faults(&out, problem->faults);
    json_add_str(&out, "request_id", http_request_id(request));
    json_close_map(&out);
}

/* SDKs look for application/json; only who asks for the other gets it. */
static const char *type_for(struct http_request *request)
{
    struct str accept = http_field(request, HTTP_ACCEPT);

    if (str_contains_nocase(accept, S("application/problem+json")) &&
        !str_contains_nocase(accept, S("application/json")))
        return "application/problem+json";
    return "application/json; charset=utf-8";
}

/* One a second of each kind: when the store is away, every request fails. */
static void log_failure(struct http_request *request,
                        const struct problem *problem)
{
    static int64_t logged_ms[PROBLEM_COUNT];
    int64_t now_ms = clock_now_ms();

    if (logged_ms[problem->kind] != 0 &&
        now_ms - logged_ms[problem->kind] < LOG_PAUSE_MS)
        return;
    logged_ms[problem->kind] = now_ms;
    log_write(LOG_WARN, LOG_HTTP_FAILED,
              log_str("request_id", http_request_id(request)),
              log_str("client", http_client(request)),
              log_str("method", http_method(request)),
              log_str("path", http_path(request)),
              log_int("status", problem_status(problem->kind)),
              log_str("error", message_of(request, problem)));
}

void problem_reply(struct http_request *request, const struct problem *problem)
{
    unsigned status = problem_status(problem->kind);
    int64_t retry_after_s = problem->retry_after_s;
    struct buf body;

    if ((status == 503 || status == 429) && retry_after_s == 0)
        retry_after_s = RETRY_AFTER_S;
    if (retry_after_s > 0)
        http_add_field(request, "Retry-After",
                       arena_printf(http_arena(request), "%lld",
                                    (long long)retry_after_s));
    if (status == 401)
        http_add_field(request, "WWW-Authenticate", S("Bearer"));
    if (status >= 500 && status != 501) /* a client asks for that one */
        log_failure(request, problem);
    buf_init(&body, BODY_MAX);
    problem_write(request, problem, &body);
    http_reply(request, status, type_for(request), &body);
    buf_finish(&body);
}

void problem_reply_faults(struct http_request *request,
                          const struct faults *faults)
{
    CHECK(faults->count > 0);
    problem_reply(request, &(struct problem){.kind = faults->items[0].kind,
                                             .faults = faults});
}

/* --- from statuses of the library and the queue --- */

static enum problem_kind kind_of_status(unsigned status)
{
    static const struct {
        unsigned status;
        enum problem_kind kind;
    } MAP[] = {
        {404, PROBLEM_NOT_FOUND},        {405, PROBLEM_METHOD_NOT_ALLOWED},
        {408, PROBLEM_BODY_TIMEOUT},     {413, PROBLEM_BODY_TOO_LARGE},
        {415, PROBLEM_UNSUPPORTED_TYPE}, {417, PROBLEM_EXPECTATION_FAILED},
        {501, PROBLEM_NOT_IMPLEMENTED},  {503, PROBLEM_UNAVAILABLE},
    };

    for (size_t i = 0; i < COUNT_OF(MAP); i++)
        if (MAP[i].status == status)
            return MAP[i].kind;
    CHECK(status == 400);
    return PROBLEM_BAD_REQUEST;
}

void api_problem(void *ctx, struct http_request *request, unsigned status,
                 const char *detail)
{
    (void)ctx;
    problem_reply(request, &(struct problem){.kind = kind_of_status(status),
                                             .message = detail});
}

static void reply_kind(struct http_request *request, enum problem_kind kind,
                       const char *message)
{
    problem_reply(request, &(struct problem){.kind = kind, .message = message});
}

static const char *sentence(struct http_request *request, const char *intro,
                            const struct error *why)
{
    if (why->text[0] == '\0')
        return intro;
    return arena_printf(http_arena(request), "%s (%s)", intro, why->text).ptr;
}

void problem_reply_queue(struct http_request *request, enum queue_status status,
                         const struct error *why, const char *missing)
{
    switch (status) {
    case QUEUE_AWAY:
        reply_kind(request, PROBLEM_UNAVAILABLE,
                   "The store did not answer, so the outcome is unknown: ask "
                   "again with the same Idempotency-Key.");
        return;
    case QUEUE_NOT_READY:
        reply_kind(request, PROBLEM_UNAVAILABLE,
                   sentence(request,
                            "The store is not ready; nothing was kept.", why));
        return;
    case QUEUE_FULL:
        reply_kind(
            request, PROBLEM_UNAVAILABLE,
            sentence(request, "The store is full; nothing was kept.", why));
        return;
    case QUEUE_FROZEN:
    case QUEUE_MOVED:
        reply_kind(request, PROBLEM_UNAVAILABLE,
                   "This account is being moved; nothing was kept.");
        return;
    case QUEUE_OWNER_FULL:
        reply_kind(
            request, PROBLEM_QUOTA_EXCEEDED,
            sentence(request, "A quota of this account is used up.", why));
        return;
    case QUEUE_NO_KEYRING:
        reply_kind(request, PROBLEM_NO_KEYRING,
                   "This must be stored encrypted, and the server has no "
                   "keyring: its operator makes one with `posthaste keyring "
                   "create` and sets secrets.keyring_file.");
        return;
    case QUEUE_NOT_FOUND:
        reply_kind(request, PROBLEM_NOT_FOUND, missing);
        return;
    case QUEUE_CONFLICT:
        reply_kind(request, PROBLEM_INVALID_IDEMPOTENT_REQUEST,
                   "This Idempotency-Key was used for another request within "
                   "the last 24 hours.");
        return;
    case QUEUE_REFUSED:
        reply_kind(request, PROBLEM_NOT_CANCELABLE,
                   sentence(request, "The state does not allow it.", why));
        return;
    case QUEUE_OK:
    case QUEUE_DONE:
    case QUEUE_REPLAY:
        break;
    }
    CHECK(false); /* no failures */
}
