#include "server/io/stream.h"

#include "server/base/clock.h"
#include "server/base/mem.h"
#include "server/io/shortage.h"
#include "server/io/tls_session.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* One read takes at most this much; four TLS records. */
enum { READ_MAX = 64 * 1024 };
/* A fast peer must not hold the loop: after so much the others' turn comes. */
enum { READ_TURN_MAX = 256 * 1024 };
/* What an idle stream may keep allocated for each direction. */
enum { IDLE_CAP_MAX = 4 * 1024 };

struct stream {
    struct loop *loop;
    const struct stream_events *events;
    void *ctx;
    int fd;                  /* owned; -1: the system gave none */
    struct watch *watch;     /* owned; NULL with fd -1 */
    struct tls_session *tls; /* owned; NULL in the clear */
    struct task task;        /* carry_on at the end of the turn */
    struct buf input;
    struct buf output;
    size_t output_gone; /* bytes at the front of output that have left */
    size_t output_max;
    uint64_t sent_bytes;
    int64_t write_by_ms; /* for what is in output; 0: whenever */

    bool connecting;
    bool handshaking; /* tls waits for output to leave, then shakes hands */
    bool paused;
    bool reoffer; /* resumed: what lies in the input is to be offered */
    bool ended;   /* told so, or about to be */
    bool muted;   /* writing is over */
    bool closed;
    bool tell_opened;
    bool tell_drained;

    int read_waits;      /* WATCH_*: for what TLS waits before it reads on */
    int write_waits;     /* WATCH_*: for what the output waits; 0: nothing */
    int handshake_waits; /* WATCH_* */

    bool failed; /* end and reason wait to be told */
    enum stream_end end;
    char reason[256];
};

static enum stream_end end_of_errno(int code)
{
    switch (code) {
    case ECONNREFUSED:
    case ENOENT: /* a Unix socket that is not there */
        return STREAM_REFUSED;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return STREAM_RESET;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ETIMEDOUT:
    case EADDRNOTAVAIL:
    case EACCES:
    case EAGAIN: /* a Unix socket whose backlog is full */
        return STREAM_UNREACHABLE;
    default:
        return is_shortage(code) ? STREAM_LACKING : STREAM_BROKEN;
    }
}

static enum stream_end end_of_step(enum tls_step step)
{
    switch (step) {
    case TLS_CLOSED:
        return STREAM_EOF;
    case TLS_CUT:
        return STREAM_TLS_CUT;
    case TLS_RESET:
        return STREAM_RESET;
    case TLS_UNTRUSTED:
        return STREAM_TLS_UNTRUSTED;
    case TLS_UNSHARED:
        return STREAM_TLS_UNSHARED;
    case TLS_DONE:
    case TLS_WANT_READ:
    case TLS_WANT_WRITE:
    case TLS_FAILED:
        break;
    }
    return STREAM_TLS_FAILED;
}

static void shrink_if_idle(struct buf *buf)
{
    if (buf->len > 0)
        return;
    buf_clear(buf);
    if (buf->cap > IDLE_CAP_MAX)
        buf_finish(buf);
}

static bool has_output(const struct stream *stream)
{
    return stream->output.len > stream->output_gone;
}

static void output_drop(struct stream *stream)
{
    buf_clear(&stream->output);
    shrink_if_idle(&stream->output);
    stream->output_gone = 0;
    stream->write_waits = 0;
    stream->write_by_ms = 0;
}

/* Notes the end; carry_on tells it. The first reason stays. */
static void fail(struct stream *stream, enum stream_end end, const char *reason)
{
    stream->muted = true;
    if (has_output(stream) && stream->ended)
        stream->tell_drained = true;
    output_drop(stream);
    if (stream->failed || stream->ended)
        return;
    stream->failed = true;
    stream->end = end;
    snprintf(stream->reason, sizeof stream->reason, "%s", reason);
}

static bool may_read(const struct stream *stream)
{
    return !stream->connecting && !stream->handshaking && !stream->paused &&
           !stream->ended && !stream->closed &&
           stream->input.len < stream->input.max;
}

/* Asks the loop for what the stream can make use of, and no more: an fd that
 * is ready for something unwanted would spin. */
static void watch_update(struct stream *stream)
{
    int events = stream->write_waits;

    if (stream->closed || stream->watch == NULL)
        return;
    if (stream->connecting)
        events = WATCH_WRITE;
    else if (stream->handshaking)
        events |= stream->handshake_waits;
    else if (may_read(stream) && !stream->failed)
        events |= stream->read_waits;
    watch_set(stream->watch, events);
}

static void tell_end(struct stream *stream, enum stream_end end,
                     const char *reason)
{
    stream->ended = true;
    stream->failed = false;
    stream->connecting = false;
    stream->handshaking = false;
    if (end != STREAM_EOF) {
        stream->muted = true;
        output_drop(stream);
    }
    stream->events->ended(stream->ctx, end, reason);
}

/* --- reading --- */

/* Up to room bytes into to. TLS_CLOSED stands for the plain end of file. */
static enum tls_step receive(struct stream *stream, char *to, size_t room,
                             size_t *got)
{
    ssize_t count;

    *got = 0;
    if (stream->tls != NULL)
        return tls_session_read(stream->tls, to, room, got);
    do
        count = recv(stream->fd, to, room, 0);
    while (count < 0 && errno == EINTR);
    if (count > 0) {
        *got = (size_t)count;
        return TLS_DONE;
    }
    if (count == 0)
        return TLS_CLOSED;
    return errno == EAGAIN ? TLS_WANT_READ : TLS_RESET;
}

/* A failing write came first: what the peer said before it went counts, but
 * its end of file then is no orderly one. */
static void read_ended(struct stream *stream, enum tls_step step)
{
    if (stream->failed) {
        tell_end(stream, stream->end, stream->reason);
        return;
    }
    if (stream->tls != NULL)
        tell_end(stream, end_of_step(step), tls_session_reason(stream->tls));
    else if (step == TLS_CLOSED)
        tell_end(stream, STREAM_EOF, "closed by the peer");
    else
        tell_end(stream, end_of_errno(errno), strerror(errno));
}

static void read_some(struct stream *stream)
{
    static char scratch[READ_MAX]; /* idle streams keep small buffers */
    size_t total = 0;
    size_t room;
    size_t got;
    enum tls_step step;

    while (may_read(stream)) {
        room = stream->input.max - stream->input.len;
        room = room < sizeof scratch ? room : sizeof scratch;
        step = receive(stream, scratch, room, &got);
        if (step == TLS_WANT_READ || step == TLS_WANT_WRITE) {
            stream->read_waits =
                step == TLS_WANT_READ ? WATCH_READ : WATCH_WRITE;
            return;
        }
        stream->read_waits = WATCH_READ;
        if (step != TLS_DONE) {
            read_ended(stream, step);
            return;
        }
        buf_add(&stream->input, str_make(scratch, got));
        stream->events->readable(stream->ctx, &stream->input);
        if (stream->closed)
            return;
        shrink_if_idle(&stream->input);
        total += got;
        if (stream->tls == NULL ? got < room || total >= READ_TURN_MAX
                                : total >= READ_TURN_MAX &&
                                      !tls_session_holds_bytes(stream->tls))
            return; /* the loop tells when there is more */
    }
}

/* --- writing --- */

static enum tls_step transmit(struct stream *stream, struct str bytes,
                              size_t *put)
{
    ssize_t count;

    *put = 0;
    if (stream->tls != NULL && !stream->handshaking)
        return tls_session_write(stream->tls, bytes, put);
    do
        count = send(stream->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    if (count >= 0) {
        *put = (size_t)count;
        return TLS_DONE;
    }
    return errno == EAGAIN ? TLS_WANT_WRITE : TLS_RESET;
}

static void output_left(struct stream *stream, size_t count)
{
    stream->sent_bytes += count;
    stream->output_gone += count;
    if (has_output(stream))
        return;
    output_drop(stream);
    stream->tell_drained = !stream->handshaking;
}

static void write_failed(struct stream *stream, enum tls_step step)
{
    if (stream->tls != NULL && !stream->handshaking)
        fail(stream, end_of_step(step), tls_session_reason(stream->tls));
    else
        fail(stream, end_of_errno(errno), strerror(errno));
}

/* The clock of the turn may be as old as the freeze was long. */
static bool is_stale(const struct stream *stream)
{
    if (stream->write_by_ms == 0)
        return false;
    clock_tick();
    return clock_now_ms() >= stream->write_by_ms;
}

static void write_some(struct stream *stream)
{
    enum tls_step step;
    size_t put;

    if (stream->muted)
        output_drop(stream);
    while (has_output(stream)) {
        if (is_stale(stream)) {
            fail(stream, STREAM_STALE, "too late to be sent");
            return;
        }
        step = transmit(stream,
                        str_from(buf_str(&stream->output), stream->output_gone),
                        &put);
        if (step == TLS_WANT_READ || step == TLS_WANT_WRITE) {
            stream->write_waits =
                step == TLS_WANT_READ ? WATCH_READ : WATCH_WRITE;
            return;
        }
        if (step != TLS_DONE) {
            write_failed(stream, step);
            return;
        }
        output_left(stream, put);
    }
}

/* --- handshakes --- */

static void shake_hands(struct stream *stream)
{
    enum tls_step step = tls_session_handshake(stream->tls);

    stream->handshake_waits = 0;
    switch (step) {
    case TLS_DONE:
        stream->handshaking = false;
        if (stream->events->secured != NULL)
            stream->events->secured(stream->ctx);
        read_some(stream); /* bytes may have come behind the handshake */
        return;
    case TLS_WANT_READ:
        stream->handshake_waits = WATCH_READ;
        return;
    case TLS_WANT_WRITE:
        stream->handshake_waits = WATCH_WRITE;
        return;
    case TLS_CLOSED:
    case TLS_CUT:
        fail(stream, STREAM_TLS_FAILED, "closed during the TLS handshake");
        return;
    case TLS_RESET:
    case TLS_UNTRUSTED:
    case TLS_UNSHARED:
    case TLS_FAILED:
        fail(stream, end_of_step(step), tls_session_reason(stream->tls));
        return;
    }
}

static void start_tls(struct stream *stream, struct tls_session *session)
{
    stream->tls = session;
    stream->handshaking = true;
    stream->handshake_waits = 0;
    task_run_soon(stream->loop, &stream->task);
}

static bool may_start_tls(const struct stream *stream, struct error *err)
{
    CHECK(!stream->connecting && !stream->closed && stream->tls == NULL);
    if (stream->failed || stream->ended) {
        error_set(err, ERR_REMOTE, "the connection has ended");
        return false;
    }
    if (stream->input.len > 0) {
        error_set(err, ERR_REMOTE, "%zu bytes in the clear before TLS began",
                  stream->input.len);
        return false;
    }
    return true;
}

bool stream_start_tls_client(struct stream *stream, struct tls_client *client,
                             const char *host, struct error *err)
{
    struct tls_session *session;

    if (!may_start_tls(stream, err))
        return false;
    session = tls_session_create_client(client, host, stream->fd, err);
    if (session == NULL)
        return false;
    start_tls(stream, session);
    return true;
}

bool stream_start_tls_server(struct stream *stream, struct tls_server *server,
                             struct error *err)
{
    if (!may_start_tls(stream, err))
        return false;
    start_tls(stream, tls_session_create_server(server, stream->fd));
    return true;
}

bool stream_tls_facts(const struct stream *stream, struct tls_facts *facts)
{
    if (stream->tls == NULL || stream->handshaking)
        return false;
    tls_session_facts(stream->tls, facts);
    return true;
}

bool stream_tls_binding(const struct stream *stream,
                        struct tls_binding *binding)
{
    return stream->tls != NULL && !stream->handshaking &&
           tls_session_binding(stream->tls, binding);
}

/* --- turns --- */

static void tell_opened(struct stream *stream)
{
    stream->tell_opened = false;
    if (stream->events->opened != NULL)
        stream->events->opened(stream->ctx);
}

static void tell_drained(struct stream *stream)
{
    stream->tell_drained = false;
    if (stream->events->drained != NULL && !has_output(stream))
        stream->events->drained(stream->ctx);
}

static void tell_failure(struct stream *stream)
{
    if (!stream->connecting && !stream->handshaking)
        read_some(stream); /* the peer's last words may lie there */
    if (stream->failed && !stream->closed)
        tell_end(stream, stream->end, stream->reason);
}

static void offer_again(struct stream *stream)
{
    stream->reoffer = false;
    if (stream->paused)
        return;
    if (stream->input.len > 0 && !stream->handshaking)
        stream->events->readable(stream->ctx, &stream->input);
    read_some(stream);
}

/* Does all that can be done now; from the loop only, so callbacks may fire.
 * Each of them may close the stream. */
static void carry_on(void *ctx)
{
    struct stream *stream = ctx;

    if (!stream->closed && stream->tell_opened)
        tell_opened(stream);
    if (!stream->closed && !stream->connecting)
        write_some(stream);
    if (!stream->closed && stream->handshaking && !stream->failed &&
        !has_output(stream))
        shake_hands(stream);
    if (!stream->closed && stream->reoffer)
        offer_again(stream);
    if (!stream->closed && stream->failed)
        tell_failure(stream);
    if (!stream->closed && stream->tell_drained)
        tell_drained(stream);
    watch_update(stream);
}

static void connect_finish(struct stream *stream)
{
    int code = 0;
    socklen_t len = sizeof code;

    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
        code = errno;
    if (code != 0) {
        fail(stream, end_of_errno(code), strerror(code));
        return;
    }
    stream->connecting = false;
    stream->tell_opened = true;
}

static void on_watch(void *ctx, int events)
{
    struct stream *stream = ctx;

    if (stream->connecting)
        connect_finish(stream);
    else if (!stream->handshaking && (events & stream->read_waits))
        read_some(stream);
    if (!stream->closed) /* what others write in this turn goes along */
        task_run_soon(stream->loop, &stream->task);
}

/* --- life --- */

static struct stream *stream_new(struct loop *loop,
                                 const struct stream_options *options, int fd)
{
    struct stream *stream = xcalloc(1, sizeof *stream);

    CHECK(options->input_max > 0 && options->output_max > 0);
    signal(SIGPIPE, SIG_IGN); /* SSL_write knows no MSG_NOSIGNAL */
    stream->loop = loop;
    stream->events = options->events;
    stream->ctx = options->ctx;
    stream->fd = fd;
    stream->output_max = options->output_max;
    stream->read_waits = WATCH_READ;
    buf_init(&stream->input, options->input_max);
    buf_init(&stream->output, options->output_max);
    task_init(&stream->task, carry_on, stream);
    task_run_soon(loop, &stream->task);
    if (fd != -1)
        stream->watch = watch_open(loop, fd, on_watch, stream);
    return stream;
}

static void set_nodelay(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* The port is chosen by connect, so that it is taken for one peer only. */
static bool bind_source(int fd, const struct address *from)
{
    int on = 1;

    if (from->at.any.sa_family != AF_UNIX && address_port(from) == 0)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, &from->at.any, from->len) == 0;
}

static int connect_begin(int fd, const struct address *to,
                         const struct address *from)
{
    if (fd == -1)
        return errno;
    if (to->at.any.sa_family != AF_UNIX)
        set_nodelay(fd);
    if (from != NULL && !bind_source(fd, from))
        return errno;
    return connect(fd, &to->at.any, to->len) == 0 ? 0 : errno;
}

struct stream *stream_connect(struct loop *loop,
                              const struct stream_options *options,
                              const struct address *to,
                              const struct address *from)
{
    int fd = socket(to->at.any.sa_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int code = connect_begin(fd, to, from);
    struct stream *stream = stream_new(loop, options, fd);

    stream->connecting = code != 0;
    stream->tell_opened = code == 0;
    if (code != 0 && code != EINPROGRESS)
        fail(stream, end_of_errno(code), strerror(code));
    return stream;
}

struct stream *stream_accept(struct loop *loop,
                             const struct stream_options *options, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    CHECK(flags != -1);
    if (!(flags & O_NONBLOCK))
        CHECK(fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
    set_nodelay(fd); /* fails on a Unix socket, which needs none */
    return stream_new(loop, options, fd);
}

static void stream_free(void *ptr)
{
    struct stream *stream = ptr;

    tls_session_destroy(&stream->tls);
    buf_finish(&stream->input);
    buf_finish(&stream->output);
    free(stream);
}

void stream_close(struct stream **handle)
{
    struct stream *stream = *handle;

    if (stream == NULL)
        return;
    *handle = NULL;
    CHECK(!stream->closed);
    stream->closed = true;
    if (stream->tls != NULL && !stream->muted)
        tls_session_say_goodbye(stream->tls);
    task_cancel(&stream->task);
    watch_close(&stream->watch);
    if (stream->fd != -1)
        close(stream->fd);
    loop_free_later(stream->loop, stream_free, stream);
}

bool stream_write(struct stream *stream, struct str bytes)
{
    if (bytes.len > stream->output_max - stream_queued_bytes(stream))
        return false;
    buf_add(stream_output(stream), bytes);
    return true;
}

struct buf *stream_output(struct stream *stream)
{
    CHECK(!stream->closed && !stream->handshaking);
    if (stream->output_gone * 2 >= stream->output.len) {
        buf_consume(&stream->output, stream->output_gone);
        stream->output_gone = 0;
    }
    stream->output.max = stream->output_max + stream->output_gone;
    task_run_soon(stream->loop, &stream->task);
    return &stream->output;
}

void stream_flush(struct stream *stream)
{
    if (!stream->connecting && !stream->handshaking)
        write_some(stream);
    task_run_soon(stream->loop, &stream->task);
}

void stream_write_by(struct stream *stream, int64_t until_ms)
{
    stream->write_by_ms = until_ms;
}

size_t stream_queued_bytes(const struct stream *stream)
{
    return stream->output.len - stream->output_gone;
}

uint64_t stream_sent_bytes(const struct stream *stream)
{
    return stream->sent_bytes;
}

struct buf *stream_input(struct stream *stream)
{
    return &stream->input;
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    task_run_soon(stream->loop, &stream->task);
}

void stream_resume(struct stream *stream)
{
    stream->paused = false;
    stream->reoffer = true;
    task_run_soon(stream->loop, &stream->task);
}
