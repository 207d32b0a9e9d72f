/* httpd.h - the HTTP/1.1 server of a process: libmicrohttpd on our loop.
 *
 * Takes listening sockets and a table of routes, and gives each request to
 * its handler when it has come in whole: head checked, path matched, body
 * within its limit. The handler answers at once or later, exactly once.
 * It knows nothing of keys, JSON or Redis: whoever opens it supplies the
 * function that writes error bodies, so that they have one shape.
 *
 * What the library leaves open is closed here: doubled or malformed header
 * fields, unknown Transfer-Encoding, sizes that are decided before a byte is
 * read, absolute deadlines for head and body, connections per address.
 * What the library itself refuses (a head that is no HTTP, or is over
 * HTTPD_HEAD_MAX) gets the library's own HTML page and a closed connection.
 *
 * Source: RFC 9110, RFC 9112; RFC 3986 section 2.1 and 3.3 (paths).
 */
#ifndef HTTP_HTTPD_H
#define HTTP_HTTPD_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"
#include "server/io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct httpd;
struct http_request;

enum {
    HTTPD_HEAD_MAX = 16 * 1024, /* memory of an idle connection, too */
    HTTPD_PARAMS_MAX = 4,
    /* What a body, or an answer, may be slow as without a timeout. */
    HTTPD_BYTES_PER_SECOND = 256 * 1024,
};

typedef void (*http_handler_fn)(void *ctx, struct http_request *request);

struct http_route {
    const char *method; /* upper case; HEAD comes with GET by itself */
    const char *path;   /* "/emails/{id}/cancel"; answers under /v1 too */
    http_handler_fn handler;
    const char *accepts; /* media type of a body; NULL: takes no body */
};

/* Writes the answer to a request that goes wrong before its handler has it,
 * by http_reply. detail is a sentence. Allow is set already; the path is
 * empty when it was not vetted yet, or will not do. */
typedef void (*http_problem_fn)(void *ctx, struct http_request *request,
                                unsigned status, const char *detail);

/* Looks at a request when its head is there and its body is not. False: it
 * has been answered by http_reply, and the body will not be read. */
typedef bool (*http_head_fn)(void *ctx, struct http_request *request);

struct httpd_options {
    const struct http_route *routes; /* constant; outlive the server */
    size_t route_count;
    http_problem_fn problem;
    http_head_fn head; /* may be NULL */
    void *ctx;         /* of problem, head and every handler */

    size_t body_max;           /* of one request */
    size_t bodies_max;         /* of all requests at once; beyond: 503. Those
                                * of at most 64 KiB have body_max more */
    int64_t header_timeout_ms; /* absolute */
    int64_t body_timeout_ms;   /* absolute, + 1 s for each 256 KiB received */
    unsigned connections_max;
    unsigned connections_per_ip;
    /* Addresses, "address/bits" or "unix": X-Forwarded-For counts when it
     * comes from these, and they have no limit per address. */
    const char *const *trusted_proxies;
    size_t trusted_proxy_count;
};

/* The sockets listen already, do not block and stay the caller's until a
 * drain closes them. NULL and err: a trusted proxy that is no address, or no
 * libmicrohttpd on this machine. */
MUST_USE struct httpd *httpd_open(struct loop *loop, const int *listen_fds,
                                  size_t listen_count,
                                  const struct httpd_options *options,
                                  struct error *err);

/* Takes what waits in the sockets' backlogs, then nothing new; answers say
 * Connection: close from now on, and connections that stay idle are closed:
 * after a second, or, when others serve the same address by now (is_replaced),
 * after five, since a client that uses one again just then loses a request.
 * done is called once, when no connection is left. */
typedef void (*httpd_done_fn)(void *ctx);
void httpd_drain(struct httpd *httpd, bool is_replaced, httpd_done_fn done,
                 void *ctx);

/* Closes all connections. No request may be waiting for its answer. */
void httpd_close(struct httpd **httpd);

size_t httpd_in_flight(const struct httpd *httpd); /* not yet answered */
size_t httpd_connections(const struct httpd *httpd);

/* What is known of a request; all of it lives until its answer is sent. */

struct arena *http_arena(struct http_request *request);
/* The row of the table; NULL when there is none (for http_problem_fn). */
const struct http_route *http_route_of(const struct http_request *request);
struct str http_method(const struct http_request *request);
/* Decoded, duplicate slashes collapsed, without /v1 and without the query.
 * What fingerprints a request, too. */
struct str http_path(const struct http_request *request);
/* It was asked for with /v1, or there are routes at it, which have both forms:
 * /v1 may be put before it. */
bool http_path_is_versioned(const struct http_request *request);
/* The n-th {part} of the route's path, decoded; free of controls. */
struct str http_param(const struct http_request *request, size_t n);
/* A member of the query, decoded. False: not there. */
bool http_query(struct http_request *request, const char *name,
                struct str *value);
/* The names of its members, as often as they were given and in that order; at
 * begins as NULL. False: no more. */
bool http_query_next(const struct http_request *request, const void **at,
                     struct str *name);
struct str http_body(const struct http_request *request);
/* X-Request-Id, the client's if sane, else ours: [A-Za-z0-9._-]{1,128}. */
struct str http_request_id(struct http_request *request);
/* Text of the client's address, behind trusted proxies; "unix". */
struct str http_client(struct http_request *request);

/* Fields that somebody here reads. Each comes at most once and holds no
 * control character: anything else was answered 400. */
enum http_field {
    HTTP_ACCEPT,
    HTTP_AUTHORIZATION,
    HTTP_IDEMPOTENCY_KEY,
    HTTP_WEBHOOK_ID, /* of webhooks that come in: dev's receiver */
    HTTP_WEBHOOK_SIGNATURE,
    HTTP_WEBHOOK_TIMESTAMP,
    HTTP_FIELDS_PUBLIC,
};
/* The empty str with a null ptr when it is not there. */
struct str http_field(const struct http_request *request,
                      enum http_field field);

/* The wait for something else belongs to the handler: fn is called once if
 * the request is unanswered delay_ms from now. Set again, it moves. */
void http_set_deadline(struct http_request *request, int64_t delay_ms,
                       void (*fn)(void *ctx), void *ctx);

/* For a handler that answers before its work has ended: what is known of the
 * request lives on, beyond its answer and its connection, until http_let_go
 * (but for http_client). What http_arena gave before is left to him, and to a
 * thread that may be at work in it; the answer has an arena of its own from
 * then on. Before http_reply; http_let_go behind it, and before httpd_close. */
void http_hold(struct http_request *request);
void http_let_go(struct http_request *request);

/* Fields of the answer, before http_reply; both are copied. */
void http_add_field(struct http_request *request, const char *name,
                    struct str value);

/* Answers. Takes the bytes out of body (NULL: none) and leaves it empty. The
 * request must not be touched afterwards. X-Request-Id, Date, Content-Length
 * are added; a HEAD loses its body on the way. */
void http_reply(struct http_request *request, unsigned status,
                const char *content_type, struct buf *body);

#endif
