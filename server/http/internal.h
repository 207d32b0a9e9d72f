/* internal.h - the server, its connections and their requests, as the files
 * of this room share them.
 *
 * Owners: httpd owns its connections, a connection owns the request that it
 * carries, a request owns its arena, its body and its answer.
 */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include "server/base/list.h"
#include "server/http/head.h"
#include "server/http/httpd.h"
#include "server/http/microhttpd.h"
#include "server/http/path.h"
#include "server/http/peer.h"
#include "server/io/listen.h"

struct route_stats; /* request.c */

struct httpd {
    struct loop *loop;
    struct httpd_options options;
    struct peer_nets trusted;
    struct peer_table *peers;
    struct route_stats *stats; /* one per route, and one for no route */
    struct acceptor **acceptors;
    int *listen_fds; /* of the acceptors */
    size_t acceptor_count;
    bool accepting; /* false while connections_max is reached */

    struct MHD_Daemon *daemon;
    struct watch *watch;   /* of the daemon's epoll set */
    struct task kick;      /* runs the daemon once, at the end of the turn */
    struct timer again;    /* the same in the next turn */
    struct conn *entering; /* is being handed to the daemon */

    struct list conns;
    size_t conn_count;
    size_t waiting;    /* handlers that have not answered */
    size_t body_bytes; /* of all requests */
    struct series *conn_series;
    struct series *waiting_series;

    bool draining;
    int64_t drain_ms; /* that an idle connection has then */
    struct task drain_task;
    struct timer drain_timer;
    httpd_done_fn drained;
    void *drained_ctx;
};

enum conn_state {
    CONN_HEAD,   /* a head is coming in, or will be */
    CONN_BODY,   /* a body is */
    CONN_WORK,   /* the handler has it */
    CONN_WRITE,  /* the answer is on its way */
    CONN_IDLE,   /* between two requests */
    CONN_LINGER, /* answered and half closed; what still comes is dropped */
};

struct conn {
    struct list link; /* of httpd.conns */
    struct httpd *httpd;
    struct MHD_Connection *mhd;
    int fd;
    enum conn_state state; /* conn_enter alone writes it */
    struct timer timer;    /* the one deadline of its state */
    int64_t since_ms;      /* of the state */
    uint64_t moved;        /* bytes of body received or to be sent in it */
    int64_t idle_mark;     /* bytes the socket had received; -1: not asked */
    struct peer_ip ip;
    bool is_counted; /* in httpd.peers */
    bool is_trusted;
    char text[ADDRESS_TEXT_SIZE];
    struct http_request *request;
};

struct answer_field {
    struct answer_field *next;
    const char *name;
    const char *value;
};

struct query_member {
    struct query_member *next;
    struct str name;
    struct str value;
};

struct http_request {
    struct conn *conn;
    struct httpd *httpd;
    struct arena *born_in; /* that of who holds it, once it is held */
    struct arena *arena;   /* that of the answer; the same until then */
    struct str method;
    struct str target; /* as it came: any bytes */
    struct path path;
    struct route_match match;
    struct head head;
    struct query_member *query; /* in the order of the target */
    struct str id;
    struct str client;
    bool is_http_1_0;
    bool body_ended; /* or there is none */
    bool is_small;   /* what is left of the body is cheaply read */
    struct buf body;

    bool asked;      /* the handler has it */
    bool answered;   /* http_reply was called */
    bool is_written; /* past the library, see request_write_raw */
    bool is_held;    /* by its handler, whatever becomes of the connection */
    bool is_over;    /* the connection has let go of it */
    struct answer_field *fields;
    struct MHD_Response *response;
    size_t answer_bytes;
    unsigned status;
    int64_t started_ms;
    struct timer deadline;
};

/* httpd.c */
void conn_enter(struct conn *conn, enum conn_state state);
void httpd_kick(struct httpd *httpd);

/* request.c */
struct route_stats *route_stats_create(const struct httpd_options *options);

struct http_request *request_create(struct conn *conn, const char *target,
                                    const char *method, const char *version);
void request_destroy(struct http_request **request);
/* The head is there: checks it, finds the route, perhaps answers. */
void request_head(struct http_request *request);
void request_body(struct http_request *request, struct str bytes);
/* The body has ended: asks the handler, unless there is an answer. */
void request_ask(struct http_request *request);
void request_refuse(struct http_request *request, unsigned status,
                    const char *detail);

#endif
