#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/http/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What is left of a body that nobody wants is read when it is small, so that
 * the connection lives on; otherwise the answer ends the connection. */
enum {
    DISCARD_MAX = 64 * 1024,
    REQUEST_ID_MAX = 128,
    STATUSES_MAX = 16, /* different ones of a route */
    WRITTEN_HEAD_MAX = 8 * 1024,
};

/* --- counting --- */

struct route_stats {
    struct series *seconds;
    struct {
        unsigned status;
        struct series *series;
    } statuses[STATUSES_MAX];
};

struct route_stats *route_stats_create(const struct httpd_options *options)
{
    return xcalloc(options->route_count + 1, sizeof(struct route_stats));
}

/* A stranger must not make labels. */
static const char *method_label(struct str method)
{
    static const char *const KNOWN[] = {"GET",   "HEAD",   "POST",   "PUT",
                                        "PATCH", "DELETE", "OPTIONS"};

    for (size_t i = 0; i < COUNT_OF(KNOWN); i++)
        if (str_eq(method, str_of(KNOWN[i])))
            return KNOWN[i];
    return "other";
}

static void request_count(struct http_request *request)
{
    const struct httpd_options *options = &request->httpd->options;
    const struct http_route *route = request->match.route;
    size_t at = route == NULL ? options->route_count
                              : (size_t)(route - options->routes);
    struct route_stats *stats = &request->httpd->stats[at];
    const char *path = route == NULL ? "none" : route->path;
    double seconds = (double)(clock_now_ms() - request->started_ms) / 1000;
    char code[16];
    size_t i = 0;

    if (stats->seconds == NULL)
        stats->seconds = metrics_series(METRIC_HTTP_REQUEST_SECONDS,
                                        (const char *const[]){path});
    series_observe(stats->seconds, seconds);

    snprintf(code, sizeof code, "%u", request->status);
    while (route != NULL && i < STATUSES_MAX &&
           stats->statuses[i].status != 0 &&
           stats->statuses[i].status != request->status)
        i++;
    if (route == NULL || i == STATUSES_MAX) {
        metrics_count(METRIC_HTTP_REQUESTS, path, method_label(request->method),
                      code);
        return;
    }
    if (stats->statuses[i].status == 0) {
        stats->statuses[i].status = request->status;
        stats->statuses[i].series = metrics_series(
            METRIC_HTTP_REQUESTS,
            (const char *const[]){path, method_label(request->method), code});
    }
    series_add(stats->statuses[i].series, 1);
}

static void waiting_add(struct httpd *httpd, int by)
{
    httpd->waiting = (size_t)((int64_t)httpd->waiting + by);
    series_set(httpd->waiting_series, (int64_t)httpd->waiting);
}

/* --- birth and death --- */

struct http_request *request_create(struct conn *conn, const char *target,
                                    const char *method, const char *version)
{
    struct arena *arena = arena_create();
    struct http_request *request = ARENA_NEW(arena, struct http_request);

    request->conn = conn;
    request->httpd = conn->httpd;
    request->born_in = request->arena = arena;
    request->method = arena_copy(arena, str_of(method));
    request->target = arena_copy(arena, str_of(target));
    request->path.text = S(""); /* until it was vetted */
    request->is_http_1_0 = str_eq(str_of(version), S("HTTP/1.0"));
    request->started_ms = clock_now_ms();
    buf_init(&request->body, conn->httpd->options.body_max);
    timer_init(&request->deadline, NULL, NULL);
    return request;
}

static void body_release(struct http_request *request)
{
    request->httpd->body_bytes -= request->body.len;
    buf_finish(&request->body);
    buf_init(&request->body, 0);
}

static void request_free(void *ctx)
{
    struct http_request *request = ctx;
    struct arena *born_in = request->born_in;

    if (request->arena != born_in)
        arena_destroy(&request->arena);
    arena_destroy(&born_in); /* with the request in it */
}

void request_destroy(struct http_request **request_at)
{
    struct http_request *request = *request_at;

    if (request == NULL)
        return;
    *request_at = NULL;
    CHECK(!request->asked || request->answered);
    timer_clear(request->httpd->loop, &request->deadline);
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    request->response = NULL;
    request->conn = NULL;
    request->is_over = true;
    if (request->is_held)
        return;
    body_release(request);
    request_free(request);
}

void http_hold(struct http_request *request)
{
    CHECK(!request->answered && !request->is_held);
    request->is_held = true;
    request->arena = arena_create();
}

void http_let_go(struct http_request *request)
{
    CHECK(request->answered && request->is_held);
    request->is_held = false;
    if (!request->is_over)
        return;
    body_release(request);
    loop_free_later(request->httpd->loop, request_free, request);
}

/* --- the head --- */

/* The library ends a value at its first NUL, so "KEY\0junk" looks like KEY.
 * But it puts NULs in the place of both CR and LF, so behind a whole value
 * stand two. (Measured with 0.9.75, held by a test. A line that ends in LF
 * alone counts as cut, too.) */
static bool is_cut(const char *value, size_t len)
{
    return value[len + 1] != '\0';
}

static enum MHD_Result take_field(void *ctx, enum MHD_ValueKind kind,
                                  const char *name, size_t name_len,
                                  const char *value, size_t value_len)
{
    struct http_request *request = ctx;

    (void)kind;
    head_add(&request->head, request->arena, str_make(name, name_len),
             str_make(value, value_len), is_cut(value, value_len));
    return MHD_YES;
}

struct query_reader {
    struct http_request *request;
    struct query_member **end;
    size_t count;
    bool ok;
};

static enum MHD_Result take_query(void *ctx, enum MHD_ValueKind kind,
                                  const char *name, size_t name_len,
                                  const char *value, size_t value_len)
{
    struct query_reader *reader = ctx;
    struct http_request *request = reader->request;
    struct query_member *member =
        ARENA_NEW(request->arena, struct query_member);
    struct str text = arena_copy(
        request->arena, str_make(value, value == NULL ? 0 : value_len));

    (void)kind;
    reader->ok =
        ++reader->count <= QUERY_MEMBERS_MAX &&
        path_decode(request->arena,
                    arena_copy(request->arena, str_make(name, name_len)),
                    &member->name) &&
        path_decode(request->arena, text, &member->value);
    *reader->end = member;
    reader->end = &member->next;
    return reader->ok ? MHD_YES : MHD_NO;
}

static bool query_read(struct http_request *request)
{
    struct query_reader reader = {
        .request = request, .end = &request->query, .ok = true};

    MHD_get_connection_values_n(request->conn->mhd, MHD_GET_ARGUMENT_KIND,
                                take_query, &reader);
    return reader.ok;
}

/* False: refused. */
static bool route_choose(struct http_request *request, bool has_body)
{
    const struct httpd_options *options = &request->httpd->options;
    const struct http_route *route;
    struct str type = request->head.fields[HEAD_CONTENT_TYPE];

    route_find(request->arena, options->routes, options->route_count,
               request->method, &request->path, &request->match);
    route = request->match.route;
    if (route == NULL && request->match.allow.len == 0) {
        request_refuse(request, 404, "There is nothing at this path.");
    } else if (route == NULL) {
        http_add_field(request, "Allow", request->match.allow);
        request_refuse(request, 405,
                       arena_printf(request->arena, "The path takes only %.*s.",
                                    STR_ARG(request->match.allow))
                           .ptr);
    } else if (has_body && route->accepts != NULL && type.ptr != NULL &&
               !head_type_is(type, route->accepts)) {
        request_refuse(request, 415,
                       arena_printf(request->arena,
                                    "The body must be %s: set Content-Type.",
                                    route->accepts)
                           .ptr);
    } else if (has_body && route->accepts == NULL && !request->is_small) {
        request_refuse(request, 413, "This request takes no body.");
    } else {
        return true;
    }
    return false;
}

void request_head(struct http_request *request)
{
    const struct httpd_options *options = &request->httpd->options;
    struct head_verdict verdict;

    MHD_get_connection_values_n(request->conn->mhd, MHD_HEADER_KIND, take_field,
                                request);
    verdict = head_check(&request->head, request->arena, request->is_http_1_0,
                         options->body_max);
    request->is_small = verdict.status == 0 && !verdict.is_chunked &&
                        !verdict.wants_continue &&
                        verdict.body_length <= DISCARD_MAX;
    if (verdict.status != 0) {
        request_refuse(request, verdict.status, verdict.detail);
        return;
    }
    if (!path_parse(request->arena, request->target, &request->path)) {
        request->path = (struct path){.text = S("")};
        request_refuse(request, 400,
                       "The path is malformed: it must be percent-encoded "
                       "UTF-8 without control characters.");
        return;
    }
    if (!query_read(request)) {
        request_refuse(request, 400,
                       "The query is malformed: it must be percent-encoded "
                       "UTF-8 without control characters, of at most 64 "
                       "parameters.");
        return;
    }
    if (route_choose(request, verdict.is_chunked || verdict.body_length > 0) &&
        options->head != NULL)
        CHECK(options->head(options->ctx, request) != request->answered);
}

/* --- the body --- */

/* Large bodies that come slowly may fill all the room there is, and a body is
 * taken before it is known whose it is. The small ones of others go on. */
static size_t bodies_room(const struct http_request *request)
{
    const struct httpd_options *options = &request->httpd->options;
    size_t room = options->bodies_max;

    if (request->is_small)
        room += options->body_max;
    return room > request->httpd->body_bytes ? room - request->httpd->body_bytes
                                             : 0;
}

void request_body(struct http_request *request, struct str bytes)
{
    struct httpd *httpd = request->httpd;

    request->conn->moved += bytes.len;
    if (request->answered)
        return;
    if (request->match.route->accepts == NULL) {
        if (request->conn->moved > DISCARD_MAX)
            request_refuse(request, 413, "This request takes no body.");
        return;
    }
    if (bytes.len > httpd->options.body_max - request->body.len) {
        request_refuse(request, 413,
                       "The body is larger than this server takes.");
        return;
    }
    if (bytes.len > bodies_room(request)) {
        request_refuse(request, 503, "Too many large requests at once.");
        return;
    }
    buf_add(&request->body, bytes);
    httpd->body_bytes += bytes.len;
}

void request_ask(struct http_request *request)
{
    request->body_ended = true;
    if (request->answered || request->asked)
        return;
    request->asked = true;
    waiting_add(request->httpd, 1);
    request->match.route->handler(request->httpd->options.ctx, request);
}

void request_refuse(struct http_request *request, unsigned status,
                    const char *detail)
{
    const struct httpd_options *options = &request->httpd->options;

    body_release(request);
    if (status == 408)
        request->is_small = false; /* its rest will not come */
    options->problem(options->ctx, request, status, detail);
    CHECK(request->answered);
}

/* --- the answer --- */

void http_add_field(struct http_request *request, const char *name,
                    struct str value)
{
    struct answer_field *field = ARENA_NEW(request->arena, struct answer_field);

    CHECK(!request->answered && !str_has_control(value));
    field->name = arena_cstr(request->arena, str_of(name));
    field->value = arena_cstr(request->arena, value);
    field->next = request->fields;
    request->fields = field;
}

static void response_create(struct http_request *request, struct buf *body)
{
    size_t len = 0;
    char *bytes = body == NULL ? NULL : buf_take(body, &len);

    if (len > 0) {
        request->response =
            MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
    } else {
        free(bytes);
        request->response = MHD_create_response_from_buffer(
            0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    }
    CHECK(request->response != NULL);
    request->answer_bytes = len;
    for (struct answer_field *field = request->fields; field != NULL;
         field = field->next)
        CHECK(MHD_add_response_header(request->response, field->name,
                                      field->value) == MHD_YES);
}

/* Answers past the library, which can't answer before a body has ended, and
 * ends the connection softly: half closed, and what the client still sends
 * is dropped for a while, since a reset could overtake the answer. */
static void request_write_raw(struct http_request *request, struct buf *body)
{
    struct str bytes = body == NULL ? S("") : buf_str(body);
    char date[CLOCK_HTTP_SIZE];
    struct buf out;

    clock_format_http(clock_wall_ms(), date);
    buf_init(&out, WRITTEN_HEAD_MAX + bytes.len);
    buf_addf(&out, "HTTP/1.1 %u %s\r\nDate: %s\r\n", request->status,
             MHD_get_reason_phrase_for(request->status), date);
    for (struct answer_field *field = request->fields; field != NULL;
         field = field->next)
        buf_addf(&out, "%s: %s\r\n", field->name, field->value);
    buf_addf(&out, "Content-Length: %zu\r\n\r\n", bytes.len);
    if (!str_eq(request->method, S("HEAD")))
        buf_add(&out, bytes);
    /* Nothing was sent before, so the socket takes it whole. */
    if (!out.full)
        (void)!send(request->conn->fd, out.data, out.len,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    buf_finish(&out);
    if (body != NULL)
        buf_clear(body);
    request->is_written = true;
    shutdown(request->conn->fd, SHUT_WR);
    conn_enter(request->conn, CONN_LINGER);
}

void http_reply(struct http_request *request, unsigned status,
                const char *content_type, struct buf *body)
{
    struct httpd *httpd = request->httpd;
    struct conn *conn = request->conn;
    bool past_library;

    CHECK(!request->answered);
    CHECK(body == NULL || !body->full);
    request->status = status;
    timer_clear(httpd->loop, &request->deadline);
    http_add_field(request, "X-Request-Id", http_request_id(request));
    if (content_type != NULL)
        http_add_field(request, "Content-Type", str_of(content_type));
    past_library = !request->body_ended && !request->is_small;
    if (past_library || httpd->draining)
        http_add_field(request, "Connection", S("close"));
    request->answered = true;
    request_count(request);
    log_write(LOG_DEBUG, LOG_HTTP_ANSWERED,
              log_str("request_id", http_request_id(request)),
              log_str("client", http_client(request)),
              log_str("method", request->method),
              log_str("path", request->path.text), log_int("status", status),
              log_int("ms", clock_now_ms() - request->started_ms));
    if (request->asked)
        waiting_add(httpd, -1);

    if (past_library) {
        request_write_raw(request, body);
        return;
    }
    response_create(request, body);
    if (conn->state == CONN_WORK) {
        MHD_resume_connection(conn->mhd);
        httpd_kick(httpd);
    }
}

/* --- what is known of it --- */

struct arena *http_arena(struct http_request *request)
{
    return request->arena;
}

const struct http_route *http_route_of(const struct http_request *request)
{
    return request->match.route;
}

struct str http_method(const struct http_request *request)
{
    return request->method;
}

struct str http_path(const struct http_request *request)
{
    return request->path.text;
}

bool http_path_is_versioned(const struct http_request *request)
{
    return request->path.is_versioned || request->match.route != NULL ||
           request->match.allow.len > 0;
}

struct str http_param(const struct http_request *request, size_t n)
{
    CHECK(n < request->match.param_count);
    return request->match.params[n];
}

bool http_query(struct http_request *request, const char *name,
                struct str *value)
{
    for (struct query_member *member = request->query; member != NULL;
         member = member->next) {
        if (str_eq(member->name, str_of(name))) {
            *value = member->value;
            return true;
        }
    }
    return false;
}

bool http_query_next(const struct http_request *request, const void **at,
                     struct str *name)
{
    const struct query_member *last = *at;
    const struct query_member *member =
        last == NULL ? request->query : last->next;

    if (member == NULL)
        return false;
    *at = member;
    *name = member->name;
    return true;
}

struct str http_body(const struct http_request *request)
{
    return buf_str(&request->body);
}

struct str http_field(const struct http_request *request, enum http_field field)
{
    return request->head.fields[field];
}

static bool id_is_sane(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && text.ptr[i] != '-' &&
            text.ptr[i] != '_' && text.ptr[i] != '.')
            return false;
    return text.len > 0 && text.len <= REQUEST_ID_MAX;
}

struct str http_request_id(struct http_request *request)
{
    struct str given = request->head.fields[HEAD_X_REQUEST_ID];
    struct id id;

    if (request->id.len == 0) {
        if (!id_is_sane(given)) {
            id = id_new(0);
            given = id_str(&id);
        }
        request->id = arena_copy(request->arena, given);
    }
    return request->id;
}

struct str http_client(struct http_request *request)
{
    struct conn *conn = request->conn;

    if (request->client.len == 0 && conn->is_trusted)
        request->client =
            peer_forwarded(&request->httpd->trusted,
                           request->head.fields[HEAD_X_FORWARDED_FOR]);
    if (request->client.len == 0)
        request->client = str_of(conn->text);
    return request->client;
}

void http_set_deadline(struct http_request *request, int64_t delay_ms,
                       void (*fn)(void *ctx), void *ctx)
{
    CHECK(!request->answered);
    request->deadline.fn = fn;
    request->deadline.ctx = ctx;
    timer_set(request->httpd->loop, &request->deadline, delay_ms);
}
