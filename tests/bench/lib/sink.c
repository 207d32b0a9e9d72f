#include "tests/bench/lib/sink.h"

#include "tests/bench/lib/report.h"
#include "server/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    IN_MAX = 64 * 1024, /* a flight of commands, or a piece of a body */
    OUT_MAX = 16 * 1024,
    RCPT_MAX = 64, /* recipients of one transaction */
    EVENTS_MAX = 256,
    LISTEN_BACKLOG = 1024
};

struct note {
    _Atomic uint64_t first_ns;
    _Atomic uint32_t times;
};

/* In memory that the sink's process and its parent share. */
struct sink {
    pid_t pid;
    uint16_t port;
    size_t capacity;
    size_t map_bytes;
    _Atomic uint64_t connections;
    _Atomic uint64_t mails;
    _Atomic uint64_t doubles;
    struct note notes[];
};

struct conn {
    int fd;
    SSL *tls; /* NULL: plain */
    bool starting_tls;
    bool in_body;
    bool blocked;      /* waits for room to write */
    bool closing;      /* after QUIT: ends when all is written */
    bool dead;         /* freed when nothing is held back for it */
    unsigned held;     /* entries in the holding queue */
    unsigned delay_ms; /* of the next reply */
    char in[IN_MAX];
    size_t in_len;
    char out[OUT_MAX];
    size_t out_len;
    size_t out_free; /* of which may be written now */
    size_t rcpt[RCPT_MAX];
    size_t rcpt_count;
};

/* A reply that waits for its time: a queue, in the order of these times. */
struct holding {
    struct holding *next;
    struct conn *conn;
    size_t len;
    uint64_t due_ns;
};

struct server {
    struct sink *sink;
    const struct sink_plan *plan;
    int epoll;
    int listener;
    SSL_CTX *tls;
    struct holding *first;
    struct holding *last; /* while there is one */
    uint32_t seed;        /* of who is slow */
};

/* --- notes --- */

static void note_arrival(struct sink *sink, size_t number)
{
    struct note *note;

    atomic_fetch_add(&sink->mails, 1);
    if (number >= sink->capacity)
        return;
    note = &sink->notes[number];
    if (atomic_fetch_add(&note->times, 1) == 0)
        atomic_store(&note->first_ns, now_ns());
    else
        atomic_fetch_add(&sink->doubles, 1);
}

/* --- bytes --- */

static void set_blocked(struct server *server, struct conn *conn, bool blocked)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};

    if (conn->blocked == blocked)
        return;
    if (blocked)
        event.events |= EPOLLOUT;
    epoll_ctl(server->epoll, EPOLL_CTL_MOD, conn->fd, &event);
    conn->blocked = blocked;
}

static void conn_free_when_idle(struct conn *conn)
{
    if (conn->dead && conn->held == 0)
        free(conn);
}

static void conn_close(struct conn *conn)
{
    SSL_free(conn->tls);
    close(conn->fd);
    conn->dead = true;
    conn_free_when_idle(conn);
}

/* Like read and write: -1 with EAGAIN for "not now", 0 for the end. */
static ssize_t conn_result(struct conn *conn, int result)
{
    if (result > 0)
        return result;
    switch (SSL_get_error(conn->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    default:
        return 0;
    }
}

static ssize_t conn_read(struct conn *conn)
{
    char *space = conn->in + conn->in_len;
    size_t room = sizeof conn->in - conn->in_len;

    if (conn->tls == NULL)
        return read(conn->fd, space, room);
    ERR_clear_error();
    return conn_result(conn, SSL_read(conn->tls, space, (int)room));
}

static ssize_t conn_write(struct conn *conn)
{
    if (conn->tls == NULL)
        return write(conn->fd, conn->out, conn->out_free);
    ERR_clear_error();
    return conn_result(conn,
                       SSL_write(conn->tls, conn->out, (int)conn->out_free));
}

/* False: the connection is gone. */
static bool conn_flush(struct server *server, struct conn *conn)
{
    while (conn->out_free > 0) {
        ssize_t wrote = conn_write(conn);

        if (wrote < 0 && errno == EAGAIN) {
            set_blocked(server, conn, true);
            return true;
        }
        if (wrote <= 0) {
            conn_close(conn);
            return false;
        }
        conn->out_free -= (size_t)wrote;
        conn->out_len -= (size_t)wrote;
        memmove(conn->out, conn->out + wrote, conn->out_len);
    }
    set_blocked(server, conn, false);
    if (conn->closing && conn->out_len == 0) {
        conn_close(conn);
        return false;
    }
    return true;
}

static void conn_say(struct conn *conn, const char *reply)
{
    size_t len = strlen(reply);

    if (conn->out_len + len > sizeof conn->out)
        return; /* a client that asks for more than it reads */
    memcpy(conn->out + conn->out_len, reply, len);
    conn->out_len += len;
}

/* --- SMTP --- */

/* The NUMBER of RCPT TO:<nNUMBER@…>; far out of range when there is none. */
static size_t rcpt_number(const char *line)
{
    const char *open = strchr(line, '<');
    char *end;
    size_t number;

    if (open == NULL || open[1] != 'n')
        return SIZE_MAX;
    number = strtoul(open + 2, &end, 10);
    return end > open + 2 && *end == '@' ? number : SIZE_MAX;
}

static void say_ehlo(struct server *server, struct conn *conn)
{
    conn_say(conn, "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
                   "250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n");
    if (server->tls != NULL && conn->tls == NULL)
        conn_say(conn, "250-STARTTLS\r\n");
    conn_say(conn, "250 SIZE 52428800\r\n");
}

static bool line_is(const char *line, const char *verb)
{
    return strncasecmp(line, verb, strlen(verb)) == 0;
}

/* xorshift, of Marsaglia: the same ones in each run. */
static bool is_slow(struct server *server)
{
    server->seed ^= server->seed << 13;
    server->seed ^= server->seed >> 17;
    server->seed ^= server->seed << 5;
    return server->seed % 100 < server->plan->slow_percent;
}

static void take_command(struct server *server, struct conn *conn,
                         const char *line)
{
    if (line_is(line, "RCPT")) {
        if (conn->rcpt_count == RCPT_MAX) {
            conn_say(conn, "452 4.5.3 too many recipients\r\n");
            return;
        }
        conn->rcpt[conn->rcpt_count++] = rcpt_number(line);
        if (is_slow(server))
            conn->delay_ms += server->plan->slow_ms;
        conn_say(conn, "250 2.1.5 ok\r\n");
    } else if (line_is(line, "MAIL") || line_is(line, "RSET")) {
        conn->rcpt_count = 0;
        conn_say(conn, "250 2.1.0 ok\r\n");
    } else if (line_is(line, "DATA")) {
        conn->in_body = true;
        conn_say(conn, "354 go on\r\n");
    } else if (line_is(line, "EHLO") || line_is(line, "HELO")) {
        say_ehlo(server, conn);
    } else if (line_is(line, "STARTTLS") && server->tls != NULL) {
        conn->starting_tls = true;
        conn_say(conn, "220 2.0.0 go on\r\n");
    } else if (line_is(line, "NOOP")) {
        conn_say(conn, "250 2.0.0 ok\r\n");
    } else if (line_is(line, "QUIT")) {
        conn->closing = true;
        conn_say(conn, "221 2.0.0 bye\r\n");
    } else {
        conn_say(conn, "500 5.5.1 what?\r\n");
    }
}

/* Takes a line from the front of the input. False: there is no whole one. */
static bool take_line(struct server *server, struct conn *conn)
{
    char *end = memchr(conn->in, '\n', conn->in_len);
    size_t len;

    if (end == NULL)
        return false;
    *end = '\0';
    len = (size_t)(end - conn->in) + 1;
    take_command(server, conn, conn->in);
    memmove(conn->in, conn->in + len, conn->in_len - len);
    conn->in_len -= len;
    return true;
}

static void end_body(struct server *server, struct conn *conn)
{
    for (size_t i = 0; i < conn->rcpt_count; i++)
        note_arrival(server->sink, conn->rcpt[i]);
    conn->rcpt_count = 0;
    conn->in_body = false;
    conn_say(conn, "250 2.0.0 taken\r\n");
}

/* Drops body bytes up to the final dot. False: it has not come yet. A body
 * is never empty here (it has a header), so the dot has CRLF before it. */
static bool take_body(struct server *server, struct conn *conn)
{
    static const char DOT[] = "\r\n.\r\n";
    const size_t dot_len = sizeof DOT - 1;
    char *dot = memmem(conn->in, conn->in_len, DOT, dot_len);
    size_t drop;

    if (dot != NULL)
        drop = (size_t)(dot - conn->in) + dot_len;
    else
        drop = conn->in_len > dot_len - 1 ? conn->in_len - (dot_len - 1) : 0;
    memmove(conn->in, conn->in + drop, conn->in_len - drop);
    conn->in_len -= drop;
    if (dot != NULL)
        end_body(server, conn);
    return dot != NULL;
}

/* --- replies, now or later --- */

/* Lets len more bytes go out. False: the connection is gone. */
static bool release(struct server *server, struct conn *conn, size_t len)
{
    conn->out_free += len;
    return conn_flush(server, conn);
}

static void hold(struct server *server, struct conn *conn, size_t len)
{
    struct holding *holding = xmalloc(sizeof *holding);
    struct holding **at = &server->first;

    holding->conn = conn;
    holding->len = len;
    holding->due_ns = now_ns() + (uint64_t)conn->delay_ms * 1000000;
    conn->delay_ms = server->plan->delay_ms;
    conn->held++;
    if (*at != NULL && server->last->due_ns <= holding->due_ns)
        at = &server->last->next;
    while (*at != NULL && (*at)->due_ns <= holding->due_ns)
        at = &(*at)->next;
    holding->next = *at;
    *at = holding;
    if (holding->next == NULL)
        server->last = holding;
}

static void release_due(struct server *server)
{
    while (server->first != NULL && server->first->due_ns <= now_ns()) {
        struct holding *holding = server->first;
        struct conn *conn = holding->conn;

        server->first = holding->next;
        conn->held--;
        if (conn->dead)
            conn_free_when_idle(conn);
        else
            release(server, conn, holding->len);
        free(holding);
    }
}

static int wait_ms(const struct server *server)
{
    uint64_t now = now_ns();

    if (server->first == NULL)
        return -1;
    if (server->first->due_ns <= now)
        return 0;
    return (int)((server->first->due_ns - now + 999999) / 1000000);
}

/* --- connections --- */

/* The 220 to STARTTLS must be on the wire before TLS begins. */
static void start_tls(struct server *server, struct conn *conn)
{
    conn->starting_tls = false;
    conn->tls = SSL_new(server->tls);
    CHECK(conn->tls != NULL);
    SSL_set_fd(conn->tls, conn->fd);
    SSL_set_accept_state(conn->tls);
}

static bool take_input(struct server *server, struct conn *conn)
{
    size_t before = conn->out_len;
    bool more = true;

    while (more && !conn->starting_tls)
        more =
            conn->in_body ? take_body(server, conn) : take_line(server, conn);
    if (conn->in_len == sizeof conn->in) {
        conn_close(conn); /* a line without end */
        return false;
    }
    if (conn->out_len > before) {
        if (conn->delay_ms == 0 || conn->starting_tls)
            return release(server, conn, conn->out_len - before);
        hold(server, conn, conn->out_len - before);
    }
    return true;
}

static void conn_ready(struct server *server, struct conn *conn,
                       uint32_t events)
{
    if ((events & EPOLLOUT) != 0 && !conn_flush(server, conn))
        return;
    for (;;) {
        ssize_t got = conn_read(conn);

        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            conn_close(conn);
            return;
        }
        conn->in_len += (size_t)got;
        if (!take_input(server, conn))
            return;
        if (conn->starting_tls && conn->out_free == 0)
            start_tls(server, conn);
    }
}

static void accept_all(struct server *server)
{
    for (;;) {
        int on = 1;
        struct conn *conn;
        struct epoll_event event;
        int fd =
            accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        atomic_fetch_add(&server->sink->connections, 1);
        conn = xcalloc(1, sizeof *conn);
        conn->fd = fd;
        conn->delay_ms = server->plan->delay_ms;
        event.events = EPOLLIN;
        event.data.ptr = conn;
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event);
        conn_say(conn, "220 sink\r\n");
        if (conn->delay_ms == 0)
            release(server, conn, conn->out_len);
        else
            hold(server, conn, conn->out_len);
    }
}

static SSL_CTX *open_tls(const struct sink_plan *plan)
{
    SSL_CTX *tls;

    if (plan->cert_file == NULL)
        return NULL;
    tls = SSL_CTX_new(TLS_server_method());
    CHECK(tls != NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    CHECK(SSL_CTX_use_certificate_chain_file(tls, plan->cert_file) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(tls, plan->key_file, SSL_FILETYPE_PEM) ==
          1);
    if (plan->forgets) {
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(tls, 0);
    }
    return tls;
}

NORETURN static void serve(struct sink *sink, const struct sink_plan *plan,
                           int listener)
{
    struct server server = {.sink = sink, .plan = plan, .listener = listener};
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    signal(SIGPIPE, SIG_IGN);
    server.seed = 2463534242u;
    server.tls = open_tls(plan);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(server.epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count =
            epoll_wait(server.epoll, events, EVENTS_MAX, wait_ms(&server));

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(&server);
            else
                conn_ready(&server, events[i].data.ptr, events[i].events);
        }
        release_due(&server);
    }
}

/* --- the parent's side --- */

static int listen_on(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(*port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        perror("sink: listen");
        exit(1);
    }
    CHECK(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

struct sink *sink_start(const struct sink_plan *plan)
{
    size_t bytes = sizeof(struct sink) + plan->capacity * sizeof(struct note);
    struct sink *sink = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint16_t port = plan->port;
    int listener = listen_on(&port);
    pid_t parent = getpid();
    pid_t pid;

    CHECK(sink != MAP_FAILED);
    sink->port = port;
    sink->capacity = plan->capacity;
    sink->map_bytes = bytes;
    fflush(stdout);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
        serve(sink, plan, listener);
    }
    close(listener);
    sink->pid = pid; /* by the parent alone: the memory is shared */
    return sink;
}

void sink_stop(struct sink **sink)
{
    if (*sink == NULL)
        return;
    kill((*sink)->pid, SIGKILL);
    waitpid((*sink)->pid, NULL, 0);
    munmap(*sink, (*sink)->map_bytes);
    *sink = NULL;
}

uint16_t sink_port(const struct sink *sink)
{
    return sink->port;
}

uint64_t sink_connections(const struct sink *sink)
{
    return atomic_load(&sink->connections);
}

uint64_t sink_mails(const struct sink *sink)
{
    return atomic_load(&sink->mails);
}

uint64_t sink_doubles(const struct sink *sink)
{
    return atomic_load(&sink->doubles);
}

uint64_t sink_arrival_ns(const struct sink *sink, size_t number)
{
    CHECK(number < sink->capacity);
    return atomic_load(&sink->notes[number].first_ns);
}

double sink_cpu_s(const struct sink *sink)
{
    clockid_t clock;
    struct timespec used;

    if (clock_getcpuclockid(sink->pid, &clock) != 0 ||
        clock_gettime(clock, &used) != 0)
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}
