/* bare - the ceiling of accept: what HTTP in, Redis and HTTP out cost alone.
 *
 *   bench_bare --port P --redis R
 *
 * Takes any POST, appends its body to a stream with one XADD, all of a turn
 * in one write, and answers when Redis has. No key, no JSON, no checks: what
 * the API takes beyond this is what its own work costs. Prints "listening".
 */
#include "tests/bench/lib/args.h"
#include "server/base/buf.h"
#include "server/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_MAX = 16 * 1024, EVENTS_MAX = 256, OUT_MAX = 64 << 20 };

struct conn {
    int fd;
    bool waiting; /* for Redis; then the answer goes out, or nobody is left */
    char in[IN_MAX];
    size_t in_len;
    struct conn *next_waiting;
};

struct server {
    int epoll;
    int listener;
    int redis;
    struct buf commands; /* of this turn */
    char replies[IN_MAX];
    size_t replies_len;
    struct conn *first; /* waiting, in the order of their commands */
    struct conn **last;
};

static void watch(const struct server *server, int fd, void *ptr)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = ptr};

    epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void conn_end(struct conn *conn)
{
    close(conn->fd);
    conn->fd = -1;
    if (!conn->waiting)
        free(conn);
}

static void wait_for_redis(struct server *server, struct conn *conn)
{
    conn->waiting = true;
    conn->next_waiting = NULL;
    *server->last = conn;
    server->last = &conn->next_waiting;
}

/* The length that the head declares; 0 when it does not. */
static size_t declared_length(struct str head)
{
    static const struct str NAME = STR("Content-Length: ");
    ptrdiff_t at = str_find(head, NAME, 0);

    if (at < 0)
        return 0;
    return strtoul(head.ptr + at + NAME.len, NULL, 10);
}

/* Takes one whole request, if there is one. */
static void take_request(struct server *server, struct conn *conn)
{
    struct str in = str_make(conn->in, conn->in_len);
    ptrdiff_t end = str_find(in, S("\r\n\r\n"), 0);
    size_t length;

    if (end < 0 || conn->waiting)
        return;
    length = declared_length(str_slice(in, 0, (size_t)end + 2));
    in = str_from(in, (size_t)end + 4);
    if (in.len < length)
        return;
    buf_addf(&server->commands,
             "*5\r\n$4\r\nXADD\r\n$4\r\nbare\r\n$1\r\n*\r\n$1\r\nm\r\n$%zu\r\n",
             length);
    buf_add(&server->commands, str_slice(in, 0, length));
    buf_add_cstr(&server->commands, "\r\n");
    conn->in_len = in.len - length;
    memmove(conn->in, in.ptr + length, conn->in_len);
    wait_for_redis(server, conn);
}

static void conn_ready(struct server *server, struct conn *conn)
{
    ssize_t got =
        read(conn->fd, conn->in + conn->in_len, sizeof conn->in - conn->in_len);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        conn_end(conn);
        return;
    }
    conn->in_len += (size_t)got;
    take_request(server, conn);
}

static void answer_first(struct server *server)
{
    static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                 "Content-Type: application/json\r\n\r\n{}";
    struct conn *conn = server->first;

    CHECK(conn != NULL);
    server->first = conn->next_waiting;
    if (server->first == NULL)
        server->last = &server->first;
    conn->waiting = false;
    if (conn->fd < 0) {
        free(conn);
        return;
    }
    if (write(conn->fd, ANSWER, sizeof ANSWER - 1) < 0)
        return; /* its end comes as an event */
    take_request(server, conn);
}

/* A reply to XADD is a bulk string: two lines. */
static void redis_ready(struct server *server)
{
    ssize_t got = read(server->redis, server->replies + server->replies_len,
                       sizeof server->replies - server->replies_len);
    struct str rest;
    struct str line;

    CHECK(got > 0);
    server->replies_len += (size_t)got;
    rest = str_make(server->replies, server->replies_len);
    for (;;) {
        struct str before = rest;
        struct str id;

        if (str_find(rest, S("\n"), 0) < 0)
            break;
        CHECK(str_cut(&rest, '\n', &line) && line.ptr[0] == '$');
        if (str_find(rest, S("\n"), 0) < 0) {
            rest = before;
            break;
        }
        CHECK(str_cut(&rest, '\n', &id));
        answer_first(server);
    }
    memmove(server->replies, rest.ptr, rest.len);
    server->replies_len = rest.len;
}

static void send_commands(struct server *server)
{
    while (server->commands.len > 0) {
        ssize_t sent =
            write(server->redis, server->commands.data, server->commands.len);

        CHECK(sent > 0);
        buf_consume(&server->commands, (size_t)sent);
    }
}

static void accept_all(struct server *server)
{
    int on = 1;
    int fd;

    while ((fd = accept4(server->listener, NULL, NULL,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *conn = xcalloc(1, sizeof *conn);

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        conn->fd = fd;
        watch(server, fd, conn);
    }
}

static struct sockaddr_in loopback(long port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void open_sockets(struct server *server, long port, long redis)
{
    struct sockaddr_in at = loopback(port);
    int on = 1;

    server->listener =
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    CHECK(bind(server->listener, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(listen(server->listener, 1024) == 0);
    at = loopback(redis);
    server->redis = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(server->redis, (struct sockaddr *)&at, sizeof at) == 0);
    setsockopt(server->redis, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int main(int argc, char **argv)
{
    struct server server = {0};
    struct epoll_event events[EVENTS_MAX];

    signal(SIGPIPE, SIG_IGN);
    server.last = &server.first;
    buf_init(&server.commands, OUT_MAX);
    open_sockets(&server, arg_number(argc, argv, "--port", -1),
                 arg_number(argc, argv, "--redis", -1));
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(&server, server.listener, &server.listener);
    watch(&server, server.redis, &server.redis);
    printf("listening\n");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(server.epoll, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &server.listener)
                accept_all(&server);
            else if (events[i].data.ptr == &server.redis)
                redis_ready(&server);
            else
                conn_ready(&server, events[i].data.ptr);
        }
        send_commands(&server);
    }
}
