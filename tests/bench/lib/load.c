#include "tests/bench/lib/load.h"

#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"
#include "server/base/mem.h"
#include "server/base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 64 * 1024,
    REQUEST_MAX = 64 * 1024 * 1024,
    EVENTS_MAX = 256,
    PATIENCE_MS = 30000 /* with nothing happening at all */
};

struct conn {
    int fd;
    size_t request; /* number, from 0 */
    uint64_t due_ns;
    struct buf out;
    size_t out_sent;
    bool blocked; /* waits for room to write */
    bool busy;    /* with a request; else in the idle list */
    char in[ANSWER_MAX];
    size_t in_len;
    size_t skip; /* bytes of the answer's body still to come */
    unsigned status;
    bool in_body;
    struct conn *next_idle;
};

struct load {
    const struct load_plan *plan;
    struct load_result *result;
    int epoll;
    struct conn *conns;
    struct conn *idle;
    uint64_t begin_ns;
    size_t sent; /* requests begun */
    size_t done; /* requests ended, well or not */
};

/* --- connections --- */

static void conn_open(struct load *load, struct conn *conn)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(load->plan->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    int on = 1;

    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(conn->fd >= 0);
    if (connect(conn->fd, (struct sockaddr *)&to, sizeof to) != 0) {
        fprintf(stderr, "load: port %u: %s\n", load->plan->port,
                strerror(errno));
        exit(1);
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event);
    conn->in_len = 0;
    conn->in_body = false;
    conn->blocked = false;
}

/* Ends the request under way and puts the connection aside. */
static void conn_finish(struct load *load, struct conn *conn)
{
    load->done++;
    conn->busy = false;
    conn->next_idle = load->idle;
    load->idle = conn;
}

/* The server ended it. An idle one that it kept long enough is no matter. */
static void conn_broken(struct load *load, struct conn *conn)
{
    close(conn->fd);
    conn_open(load, conn);
    if (!conn->busy)
        return;
    load->result->broken++;
    conn_finish(load, conn);
}

static void set_blocked(struct load *load, struct conn *conn, bool blocked)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};

    if (conn->blocked == blocked)
        return;
    if (blocked)
        event.events |= EPOLLOUT;
    epoll_ctl(load->epoll, EPOLL_CTL_MOD, conn->fd, &event);
    conn->blocked = blocked;
}

static void conn_send(struct load *load, struct conn *conn)
{
    while (conn->out_sent < conn->out.len) {
        ssize_t sent =
            send(conn->fd, conn->out.data + conn->out_sent,
                 conn->out.len - conn->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EAGAIN) {
            set_blocked(load, conn, true);
            return;
        }
        if (sent <= 0) {
            conn_broken(load, conn);
            return;
        }
        conn->out_sent += (size_t)sent;
    }
    set_blocked(load, conn, false);
}

/* --- answers --- */

static void answer_ended(struct load *load, struct conn *conn)
{
    struct load_result *result = load->result;

    if (conn->status / 100 == 2) {
        result->latency_ns[result->answered++] = now_ns() - conn->due_ns;
    } else {
        result->refused++;
        result->last_refusal = conn->status;
    }
    conn_finish(load, conn);
}

/* Reads status and length from a whole header block. False: not HTTP. */
static bool read_head(struct conn *conn, struct str head)
{
    static const struct str LENGTH = STR("\r\nContent-Length:");
    ptrdiff_t at = -1;
    uint64_t length = 0;
    uint64_t status;

    for (size_t i = 0; i + LENGTH.len <= head.len; i++)
        if (str_starts_nocase(str_from(head, i), LENGTH)) {
            at = (ptrdiff_t)(i + LENGTH.len);
            break;
        }
    if (!str_starts(head, S("HTTP/1.1 ")) ||
        !str_to_u64(str_slice(head, 9, 3), &status) || at < 0)
        return false;
    head = str_from(head, (size_t)at);
    if (!str_to_u64(
            str_trim(str_slice(head, 0, (size_t)str_find(head, S("\r\n"), 0))),
            &length))
        return false;
    conn->status = (unsigned)status;
    conn->skip = length;
    return true;
}

/* True: go on reading. */
static bool take_answer(struct load *load, struct conn *conn)
{
    size_t used;

    if (!conn->in_body) {
        struct str in = str_make(conn->in, conn->in_len);
        ptrdiff_t end = str_find(in, S("\r\n\r\n"), 0);

        if (end < 0)
            return conn->in_len < sizeof conn->in;
        if (!read_head(conn, str_slice(in, 0, (size_t)end + 2)))
            return false;
        conn->in_len -= (size_t)end + 4;
        memmove(conn->in, conn->in + end + 4, conn->in_len);
        conn->in_body = true;
    }
    used = conn->in_len < conn->skip ? conn->in_len : conn->skip;
    conn->skip -= used;
    conn->in_len = 0;
    if (conn->skip == 0) {
        conn->in_body = false;
        answer_ended(load, conn);
    }
    return true;
}

static void conn_ready(struct load *load, struct conn *conn, uint32_t events)
{
    ssize_t got;

    if ((events & EPOLLOUT) != 0)
        conn_send(load, conn);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
        return;
    got = recv(conn->fd, conn->in + conn->in_len,
               sizeof conn->in - conn->in_len, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0)
        conn->in_len += (size_t)got;
    if (got <= 0 || !take_answer(load, conn))
        conn_broken(load, conn);
}

/* --- requests --- */

static void write_request(const struct load_plan *plan, size_t number,
                          struct buf *out)
{
    struct buf body;

    buf_init(&body, REQUEST_MAX);
    plan->body(plan->ctx, plan->first + number, &body);
    buf_clear(out);
    buf_addf(out,
             "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
             "Content-Type: application/json\r\nContent-Length: %zu\r\n",
             plan->path, plan->port, body.len);
    if (plan->key != NULL)
        buf_addf(out, "Authorization: Bearer %s\r\n", plan->key);
    buf_add_cstr(out, "\r\n");
    buf_add(out, buf_str(&body));
    CHECK(!out->full);
    buf_finish(&body);
}

static uint64_t due_ns(const struct load *load, size_t request)
{
    if (load->plan->rate <= 0)
        return now_ns();
    return load->begin_ns +
           (uint64_t)((double)request * 1e9 / load->plan->rate);
}

static void conn_begin(struct load *load, struct conn *conn)
{
    const struct load_plan *plan = load->plan;

    conn->busy = true;
    conn->request = load->sent++;
    conn->due_ns = due_ns(load, conn->request);
    if (plan->started_ns != NULL)
        plan->started_ns[conn->request] = conn->due_ns;
    write_request(plan, conn->request, &conn->out);
    conn->out_sent = 0;
    conn_send(load, conn);
}

/* Nanoseconds until the next request may begin. */
static uint64_t begin_what_is_due(struct load *load)
{
    while (load->sent < load->plan->requests) {
        struct conn *conn = load->idle;
        uint64_t due = due_ns(load, load->sent);
        uint64_t now = now_ns();

        if (due > now)
            return due - now;
        if (conn == NULL)
            break;
        load->idle = conn->next_idle;
        conn_begin(load, conn);
    }
    return (uint64_t)PATIENCE_MS * 1000000;
}

static void turn(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t wait_ns = begin_what_is_due(load);
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                            .tv_nsec = (long)(wait_ns % 1000000000u)};
    int count = epoll_pwait2(load->epoll, events, EVENTS_MAX, &wait, NULL);

    if (count == 0 && wait_ns == (uint64_t)PATIENCE_MS * 1000000) {
        fprintf(stderr, "load: no answer for %d s; %zu of %zu requests done\n",
                PATIENCE_MS / 1000, load->done, load->plan->requests);
        exit(1);
    }
    for (int i = 0; i < count; i++)
        conn_ready(load, events[i].data.ptr, events[i].events);
}

struct load_result load_run(const struct load_plan *plan)
{
    struct load_result result = {0};
    struct load load = {.plan = plan, .result = &result};

    result.latency_ns = xcalloc(plan->requests, sizeof *result.latency_ns);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.conns = xcalloc(plan->connections, sizeof *load.conns);
    for (unsigned i = 0; i < plan->connections; i++) {
        struct conn *conn = &load.conns[i];

        buf_init(&conn->out, REQUEST_MAX);
        conn_open(&load, conn);
        conn->next_idle = load.idle;
        load.idle = conn;
    }
    load.begin_ns = now_ns();
    while (load.done < plan->requests)
        turn(&load);
    result.seconds = (double)(now_ns() - load.begin_ns) / 1e9;
    for (unsigned i = 0; i < plan->connections; i++) {
        close(load.conns[i].fd);
        buf_finish(&load.conns[i].out);
    }
    free(load.conns);
    close(load.epoll);
    return result;
}

void load_result_finish(struct load_result *result)
{
    free(result->latency_ns);
    result->latency_ns = NULL;
}

int load_start(const struct load_plan *plan)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
        for (;;) {
            struct load_result result = load_run(plan);

            load_result_finish(&result);
        }
    }
    return pid;
}

void load_stop(int pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

struct load_plan load_plan_of(int argc, char **argv, long rate)
{
    long seconds = arg_number(argc, argv, "--seconds", 10);

    rate = arg_number(argc, argv, "--rate", rate);
    return (struct load_plan){
        .port = (uint16_t)arg_number(argc, argv, "--port", -1),
        .path = "/v1/emails",
        .key = arg_text(argc, argv, "--key", NULL),
        .connections = 16,
        .requests = (size_t)(rate * seconds),
        .rate = (double)rate,
        .body = load_mail_body,
    };
}

void load_mail_body(void *ctx, size_t number, struct buf *out)
{
    static const char LINE[] =
        "If it was not you who asked for this code, do nothing; it ends by "
        "itself. ";

    (void)ctx;
    buf_addf(out,
             "{\"from\":\"Example <login@sender.test>\","
             "\"to\":[\"n%zu@sink.test\"],"
             "\"subject\":\"Your code is %06zu\",\"text\":\"",
             number, number % 1000000);
    while (out->len < 1000)
        buf_add_cstr(out, LINE);
    buf_add_cstr(out, "\"}");
}
