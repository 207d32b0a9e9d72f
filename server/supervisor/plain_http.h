/* plain_http.h - HTTP for probes and scrapes: a GET, a short answer, the end.
 *
 * The admin listener's three pages need neither bodies nor connections that
 * live on, and every supervisor serves them; libmicrohttpd, with the TLS
 * library that Debian links to it, would be a third of what a supervisor
 * weighs. Each connection has one deadline for its head, one for its answer
 * and one for the client to hang up.
 *
 * Source: RFC 9110, RFC 9112.
 */
#ifndef SUPERVISOR_PLAIN_HTTP_H
#define SUPERVISOR_PLAIN_HTTP_H

#include "server/base/buf.h"
#include "server/io/loop.h"

#include <stddef.h>

enum {
    PLAIN_HTTP_CLIENTS_MAX = 64, /* more wait in the backlog */
    PLAIN_HTTP_BODY_MAX = 4 << 20,
};

struct plain_answer {
    unsigned status;  /* 200 unless it is set */
    const char *type; /* media type; "application/json" unless it is set */
    struct buf body;  /* at most PLAIN_HTTP_BODY_MAX; what is more is a 500 */
};

/* accept: what the request says of media types; empty: nothing. */
typedef void (*plain_page_fn)(void *ctx, struct str accept,
                              struct plain_answer *answer);

struct plain_page {
    const char *path;
    plain_page_fn write;
};

struct plain_http_options {
    const struct plain_page *pages; /* constant; outlive the server */
    size_t page_count;
    /* The body of a refusal; answer->status says which, detail is a
     * sentence. */
    void (*refuse)(void *ctx, struct plain_answer *answer, const char *detail);
    void *ctx; /* of write and refuse */
};

/* The socket listens already, does not block and stays the caller's. */
struct plain_http *plain_http_open(struct loop *loop, int listen_fd,
                                   const struct plain_http_options *options);
void plain_http_close(struct plain_http **http);

#endif
