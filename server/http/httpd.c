#include "server/http/httpd.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/http/internal.h"

#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The daemon runs without threads, by MHD_run, when its epoll set says so
 * and once more at the end of every turn in which it was kicked: a resumed
 * connection or a new one wakes nobody by itself. */

enum {
    IDLE_MS = 75 * 1000,  /* above the 60 s after which proxies close */
    STOP_MS = 1000,       /* for a next request, when no more will follow */
    REPLACED_MS = 5000,   /* above the 4 s after which undici closes */
    LINGER_MS = 2 * 1000, /* for a client that is told off while it sends */
};

/* --- deadlines of connections --- */

static int64_t idle_step_ms(const struct httpd *httpd)
{
    int64_t step_ms = httpd->options.header_timeout_ms;

    return step_ms < IDLE_MS ? step_ms : IDLE_MS;
}

/* How long the state may last in all. */
static int64_t state_limit_ms(const struct conn *conn)
{
    const struct httpd_options *options = &conn->httpd->options;
    int64_t for_bytes_ms =
        (int64_t)(conn->moved / HTTPD_BYTES_PER_SECOND) * 1000;

    switch (conn->state) {
    case CONN_HEAD:
        return options->header_timeout_ms;
    case CONN_BODY:
    case CONN_WRITE:
        return options->body_timeout_ms + for_bytes_ms;
    case CONN_IDLE:
        return conn->httpd->draining ? conn->httpd->drain_ms
                                     : idle_step_ms(conn->httpd);
    case CONN_LINGER:
        return LINGER_MS;
    case CONN_WORK: /* the handler's own deadline counts */
        break;
    }
    return 0;
}

void conn_enter(struct conn *conn, enum conn_state state)
{
    conn->state = state;
    conn->since_ms = clock_now_ms();
    conn->moved = 0;
    conn->idle_mark = -1;
    if (state == CONN_WORK)
        timer_clear(conn->httpd->loop, &conn->timer);
    else
        timer_set(conn->httpd->loop, &conn->timer, state_limit_ms(conn));
}

static void conn_end(struct conn *conn, const char *reason)
{
    metrics_count(METRIC_HTTP_CONNECTIONS_CLOSED, reason);
    shutdown(conn->fd, SHUT_RDWR); /* the daemon sees an end and closes */
}

/* -1: no TCP socket, or a kernel that doesn't tell (before 4.1). */
static int64_t received_bytes(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;

    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return -1;
    return (int64_t)info.tcpi_bytes_received;
}

/* The library does not tell when the first bytes of a head arrive, only when
 * its first line is whole, so an idle connection is looked at from time to
 * time: one that has received something by then has begun a head. */
static void idle_check(struct conn *conn)
{
    int64_t received = received_bytes(conn->fd);
    int64_t since_ms = conn->since_ms;

    if (conn->httpd->draining) {
        shutdown(conn->fd, SHUT_RD); /* what has arrived is still answered */
        return;
    }
    if (conn->idle_mark >= 0 && received != conn->idle_mark) {
        conn_enter(conn, CONN_HEAD);
        return;
    }
    if (clock_now_ms() - since_ms >= IDLE_MS) {
        conn_end(conn, "idle");
        return;
    }
    conn->idle_mark = received;
    timer_set(conn->httpd->loop, &conn->timer, idle_step_ms(conn->httpd));
}

/* A client that sends its body too slowly is told so. */
static void body_check(struct conn *conn)
{
    if (conn->request->answered) {
        conn_end(conn, "body_timeout");
        return;
    }
    metrics_count(METRIC_HTTP_CONNECTIONS_CLOSED, "body_timeout");
    request_refuse(conn->request, 408, "The body did not arrive in its time.");
}

static void on_conn_timer(void *ctx)
{
    struct conn *conn = ctx;
    int64_t until_ms = conn->since_ms + state_limit_ms(conn);

    /* Bytes that moved have put it off; a drain may have brought it nearer. */
    if (until_ms > clock_now_ms() && conn->state != CONN_HEAD) {
        timer_set_at(conn->httpd->loop, &conn->timer, until_ms);
        return;
    }
    switch (conn->state) {
    case CONN_HEAD:
        conn_end(conn, "head_timeout");
        break;
    case CONN_BODY:
        body_check(conn);
        break;
    case CONN_WRITE:
        conn_end(conn, "write_timeout");
        break;
    case CONN_IDLE:
        idle_check(conn);
        break;
    case CONN_LINGER: /* it was counted when it was refused */
        shutdown(conn->fd, SHUT_RDWR);
        break;
    case CONN_WORK:
        break;
    }
}

/* --- the daemon on the loop --- */

void httpd_kick(struct httpd *httpd)
{
    task_run_soon(httpd->loop, &httpd->kick);
}

static void on_again(void *ctx)
{
    httpd_kick(ctx);
}

static void on_kick(void *ctx)
{
    struct httpd *httpd = ctx;
    MHD_UNSIGNED_LONG_LONG wait_ms;

    MHD_run(httpd->daemon);
    /* Without timeouts of its own it either waits for its epoll set or wants
     * to go on at once; that is the next turn, lest others starve. */
    if (MHD_get_timeout(httpd->daemon, &wait_ms) == MHD_YES)
        timer_set(httpd->loop, &httpd->again, (int64_t)wait_ms);
    else
        timer_clear(httpd->loop, &httpd->again);
}

static void on_epoll(void *ctx, int events)
{
    (void)events;
    httpd_kick(ctx);
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    CHECK(info != NULL && info->socket_context != NULL);
    return info->socket_context;
}

/* The first line of a request is whole. */
static void *on_request_line(void *ctx, const char *uri,
                             struct MHD_Connection *mhd)
{
    struct conn *conn = conn_of(mhd);

    (void)ctx;
    (void)uri;
    if (conn->state == CONN_IDLE)
        conn_enter(conn, CONN_HEAD);
    return NULL;
}

/* Paths and queries are decoded by path.c, where a NUL is seen. */
static size_t leave_escaped(void *ctx, struct MHD_Connection *mhd, char *text)
{
    (void)ctx;
    (void)mhd;
    return strlen(text);
}

static enum MHD_Result answer(struct http_request *request)
{
    struct conn *conn = request->conn;

    if (request->is_written)
        return MHD_NO; /* the answer is out: nothing is left but to close */
    if (request->response == NULL) {
        conn_enter(conn, CONN_WORK);
        MHD_suspend_connection(conn->mhd);
        return MHD_YES;
    }
    conn_enter(conn, CONN_WRITE);
    conn->moved = request->answer_bytes;
    return MHD_queue_response(conn->mhd, request->status, request->response);
}

/* Called with the head, with each piece of the body, at the end of the body
 * and again after every resume. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *mhd,
                                  const char *url, const char *method,
                                  const char *version, const char *data,
                                  size_t *data_size, void **mhd_ctx)
{
    struct conn *conn = conn_of(mhd);
    struct http_request *request = conn->request;

    (void)ctx;
    if (request == NULL) {
        conn_enter(conn, CONN_BODY);
        *mhd_ctx = conn->request = request_create(conn, url, method, version);
        request_head(conn->request);
        return MHD_YES;
    }
    if (*data_size > 0) {
        request_body(request, str_make(data, *data_size));
        *data_size = 0;
        return MHD_YES;
    }
    request_ask(request);
    return answer(request);
}

/* After the last byte of the answer, or when the connection was lost. A
 * suspended connection never comes here. */
static void on_completed(void *ctx, struct MHD_Connection *mhd, void **mhd_ctx,
                         enum MHD_RequestTerminationCode code)
{
    struct conn *conn = conn_of(mhd);

    (void)ctx;
    *mhd_ctx = NULL;
    request_destroy(&conn->request);
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        FAULT_POINT("http.answered");
        conn_enter(conn, CONN_IDLE);
    }
}

/* --- connections --- */

static void accepting_set(struct httpd *httpd, bool accepting)
{
    if (httpd->accepting == accepting)
        return;
    httpd->accepting = accepting;
    for (size_t i = 0; i < httpd->acceptor_count; i++)
        if (accepting)
            acceptor_resume(httpd->acceptors[i]);
        else
            acceptor_pause(httpd->acceptors[i]);
}

static void connections_count(struct httpd *httpd)
{
    series_set(httpd->conn_series, (int64_t)httpd->conn_count);
    accepting_set(httpd, httpd->conn_count < httpd->options.connections_max);
    if (httpd->draining && httpd->acceptor_count == 0 && httpd->conn_count == 0)
        task_run_soon(httpd->loop, &httpd->drain_task);
}

static void conn_destroy(struct conn *conn)
{
    struct httpd *httpd = conn->httpd;

    request_destroy(&conn->request);
    timer_clear(httpd->loop, &conn->timer);
    if (conn->is_counted)
        peer_table_leave(httpd->peers, &conn->ip);
    list_remove(&conn->link);
    httpd->conn_count--;
    loop_free_later(httpd->loop, free, conn);
    connections_count(httpd);
}

static void on_connection(void *ctx, struct MHD_Connection *mhd,
                          void **socket_ctx,
                          enum MHD_ConnectionNotificationCode code)
{
    struct httpd *httpd = ctx;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        httpd->entering->mhd = mhd;
        *socket_ctx = httpd->entering;
        httpd->entering = NULL;
    } else {
        conn_destroy(*socket_ctx);
        *socket_ctx = NULL;
    }
}

static struct conn *conn_create(struct httpd *httpd, int fd,
                                const struct address *peer)
{
    struct conn *conn = xcalloc(1, sizeof *conn);
    bool has_ip = peer_ip_of(peer, &conn->ip);

    conn->httpd = httpd;
    conn->fd = fd;
    conn->is_trusted = has_ip ? peer_nets_hold(&httpd->trusted, &conn->ip)
                              : httpd->trusted.local;
    if (has_ip)
        address_format_host(peer, conn->text);
    else
        snprintf(conn->text, sizeof conn->text, "unix");
    if (has_ip && !conn->is_trusted) {
        if (!peer_table_enter(httpd->peers, &conn->ip)) {
            free(conn);
            return NULL;
        }
        conn->is_counted = true;
    }
    timer_init(&conn->timer, on_conn_timer, conn);
    list_add_last(&httpd->conns, &conn->link);
    httpd->conn_count++;
    return conn;
}

static void on_accept(void *ctx, int fd, const struct address *peer)
{
    struct httpd *httpd = ctx;
    struct conn *conn = conn_create(httpd, fd, peer);

    if (conn == NULL) {
        metrics_count(METRIC_HTTP_CONNECTIONS_CLOSED, "per_address");
        close(fd);
        return;
    }
    conn_enter(conn, CONN_HEAD);
    httpd->entering = conn;
    /* Closes fd when it fails. */
    if (MHD_add_connection(httpd->daemon, fd, &peer->at.any, peer->len) !=
            MHD_YES &&
        httpd->entering == conn)
        conn_destroy(conn);
    httpd->entering = NULL;
    connections_count(httpd);
    httpd_kick(httpd);
}

/* --- life --- */

static void on_library_log(void *ctx, const char *format, va_list args)
    PRINTF_LIKE(2, 0);
static void on_library_log(void *ctx, const char *format, va_list args)
{
    char text[256];
    int len = vsnprintf(text, sizeof text, format, args);

    (void)ctx;
    if (len > 0)
        log_write(LOG_DEBUG, LOG_HTTP_LIBRARY,
                  log_str("text", str_trim(str_of(text))));
}

static struct MHD_Daemon *daemon_start(struct httpd *httpd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO |
            MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET,
        0, NULL, NULL, on_request, httpd, /**/
        MHD_OPTION_EXTERNAL_LOGGER, on_library_log, httpd,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, httpd,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, httpd,
        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, httpd,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, httpd,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTPD_HEAD_MAX,
        MHD_OPTION_CONNECTION_LIMIT, httpd->options.connections_max + 64,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

static void on_drained(void *ctx)
{
    struct httpd *httpd = ctx;
    httpd_done_fn drained = httpd->drained;

    httpd->drained = NULL;
    if (drained != NULL)
        drained(httpd->drained_ctx);
}

static void acceptors_close(struct httpd *httpd)
{
    for (size_t i = 0; i < httpd->acceptor_count; i++)
        acceptor_close(&httpd->acceptors[i]);
    httpd->acceptor_count = 0;
}

/* One turn after httpd_drain: what waited in the backlogs has been taken. A
 * client that is about to use its idle connection again would lose a request
 * if it were closed at once; so it may, and hears Connection: close. */
static void on_drain_timer(void *ctx)
{
    struct httpd *httpd = ctx;
    size_t count = httpd->acceptor_count;

    acceptors_close(httpd);
    for (size_t i = 0; i < count; i++)
        close(httpd->listen_fds[i]);
    list_each (link, &httpd->conns) {
        struct conn *conn = LIST_MEMBER(link, struct conn, link);

        if (conn->state == CONN_IDLE || conn->state == CONN_HEAD)
            timer_set(httpd->loop, &conn->timer, httpd->drain_ms);
    }
    connections_count(httpd);
}

static void on_drain_task(void *ctx)
{
    struct httpd *httpd = ctx;

    if (httpd->acceptor_count > 0)
        timer_set(httpd->loop, &httpd->drain_timer, 0);
    else if (httpd->conn_count == 0)
        on_drained(httpd);
}

struct httpd *httpd_open(struct loop *loop, const int *listen_fds,
                         size_t listen_count,
                         const struct httpd_options *options, struct error *err)
{
    struct httpd *httpd = xcalloc(1, sizeof *httpd);
    const union MHD_DaemonInfo *info;

    CHECK(options->problem != NULL);
    if (!microhttpd_load(err) ||
        !peer_nets_init(&httpd->trusted, options->trusted_proxies,
                        options->trusted_proxy_count, err)) {
        free(httpd);
        return NULL;
    }
    httpd->loop = loop;
    httpd->options = *options;
    httpd->peers = peer_table_create(options->connections_per_ip);
    httpd->stats = route_stats_create(options);
    httpd->waiting_series = metrics_series(METRIC_HTTP_IN_FLIGHT, NULL);
    httpd->conn_series = metrics_series(METRIC_HTTP_CONNECTIONS, NULL);
    list_init(&httpd->conns);
    task_init(&httpd->kick, on_kick, httpd);
    task_init(&httpd->drain_task, on_drain_task, httpd);
    timer_init(&httpd->again, on_again, httpd);
    timer_init(&httpd->drain_timer, on_drain_timer, httpd);

    httpd->daemon = daemon_start(httpd);
    CHECK(httpd->daemon != NULL);
    info = MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    CHECK(info != NULL);
    httpd->watch = watch_open(loop, info->epoll_fd, on_epoll, httpd);
    watch_set(httpd->watch, WATCH_READ);

    httpd->accepting = true;
    httpd->acceptors = xcalloc(listen_count + 1, sizeof *httpd->acceptors);
    httpd->listen_fds = xcalloc(listen_count + 1, sizeof *httpd->listen_fds);
    httpd->acceptor_count = listen_count;
    for (size_t i = 0; i < listen_count; i++) {
        httpd->listen_fds[i] = listen_fds[i];
        httpd->acceptors[i] =
            acceptor_open(loop, listen_fds[i], on_accept, httpd);
    }
    return httpd;
}

void httpd_drain(struct httpd *httpd, bool is_replaced, httpd_done_fn done,
                 void *ctx)
{
    CHECK(!httpd->draining);
    httpd->draining = true;
    httpd->drain_ms = is_replaced ? REPLACED_MS : STOP_MS;
    httpd->drained = done;
    httpd->drained_ctx = ctx;
    task_run_soon(httpd->loop, &httpd->drain_task);
}

void httpd_close(struct httpd **httpd_at)
{
    struct httpd *httpd = *httpd_at;

    if (httpd == NULL)
        return;
    CHECK(httpd->waiting == 0); /* the library aborts on suspended ones */
    *httpd_at = NULL;
    httpd->drained = NULL;
    acceptors_close(httpd);
    MHD_run(httpd->daemon); /* resumes what was answered in this turn */
    watch_close(&httpd->watch);
    MHD_stop_daemon(httpd->daemon);
    CHECK(list_is_empty(&httpd->conns));
    task_cancel(&httpd->kick);
    task_cancel(&httpd->drain_task);
    timer_clear(httpd->loop, &httpd->again);
    timer_clear(httpd->loop, &httpd->drain_timer);
    peer_nets_finish(&httpd->trusted);
    peer_table_destroy(&httpd->peers);
    free(httpd->stats);
    free(httpd->acceptors);
    free(httpd->listen_fds);
    free(httpd);
}

size_t httpd_in_flight(const struct httpd *httpd)
{
    return httpd->waiting;
}

size_t httpd_connections(const struct httpd *httpd)
{
    return httpd->conn_count;
}
