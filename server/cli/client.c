#include "server/cli/client.h"

#include "server/base/clock.h"
#include "server/io/address.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 64 << 10, HOST_MAX = 256, READ_SIZE = 64 << 10 };

/* One exchange: a socket, and when it must be over. */
struct exchange {
    const char *base;
    int fd;
    int64_t until_ms;
    struct buf raw; /* head and body as they came */
};

static int64_t left_ms(const struct exchange *exchange)
{
    clock_tick();
    return exchange->until_ms - clock_now_ms();
}

static bool wait_for(const struct exchange *exchange, short events,
                     struct error *err)
{
    struct pollfd fd = {exchange->fd, events, 0};
    int64_t left = left_ms(exchange);

    if (left > 0 && poll(&fd, 1, (int)left) > 0)
        return true;
    error_set(err, ERR_TIMEOUT, "%s: no answer in time", exchange->base);
    return false;
}

/* "http://host:port/" to host and port; the port defaults to 80. */
static bool split_base(const char *base, char host[HOST_MAX], char port[8],
                       struct error *err)
{
    struct str rest = str_of(base);
    struct str name;
    ptrdiff_t colon = -1;

    if (str_starts(rest, S("http://")))
        rest = str_from(rest, 7);
    str_cut(&(struct str){rest.ptr, rest.len}, '/', &name);
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == ':')
            colon = (ptrdiff_t)i;
    if (name.len > 0 && name.ptr[name.len - 1] == ']')
        colon = -1;
    snprintf(port, 8, "%.*s", colon < 0 ? 2 : (int)(name.len) - (int)colon - 1,
             colon < 0 ? "80" : name.ptr + colon + 1);
    if (colon >= 0)
        name = str_slice(name, 0, (size_t)colon);
    if (name.len > 1 && name.ptr[0] == '[')
        name = str_slice(name, 1, name.len - 2);
    if (name.len == 0 || name.len >= HOST_MAX ||
        str_contains(str_of(base), S("https://"))) {
        error_set(err, ERR_INPUT,
                  "%s: not an address of the form http://host:port or "
                  "unix:/path",
                  base);
        return false;
    }
    snprintf(host, HOST_MAX, "%.*s", STR_ARG(name));
    return true;
}

static bool connect_to(struct exchange *exchange, const struct sockaddr *to,
                       socklen_t len)
{
    int failure = 0;
    socklen_t size = sizeof failure;

    exchange->fd =
        socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (exchange->fd < 0)
        return false;
    if (connect(exchange->fd, to, len) == 0)
        return true;
    if (errno == EINPROGRESS && wait_for(exchange, POLLOUT, NULL) &&
        getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 &&
        failure == 0)
        return true;
    if (failure != 0)
        errno = failure;
    return false;
}

static bool nobody_there(const struct exchange *exchange, struct error *err)
{
    error_set(err, ERR_REMOTE, "%s: cannot connect: %s; is the server running?",
              exchange->base, strerror(errno));
    return false;
}

static bool open_unix(struct exchange *exchange, struct str path,
                      struct error *err)
{
    struct address address;

    if (!address_of_path(path, &address)) {
        error_set(err, ERR_INPUT, "%s: the path is too long", exchange->base);
        return false;
    }
    return connect_to(exchange, &address.at.any, address.len) ||
           nobody_there(exchange, err);
}

static bool open_tcp(struct exchange *exchange, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[HOST_MAX];
    char port[8];
    int failure;

    if (!split_base(exchange->base, host, port, err))
        return false;
    failure = getaddrinfo(host, port, &hints, &found);
    if (failure != 0) {
        error_set(err, ERR_REMOTE, "%s: %s", exchange->base,
                  gai_strerror(failure));
        return false;
    }
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (connect_to(exchange, at->ai_addr, at->ai_addrlen)) {
            freeaddrinfo(found);
            return true;
        }
        if (exchange->fd >= 0)
            close(exchange->fd);
        exchange->fd = -1;
    }
    freeaddrinfo(found);
    return nobody_there(exchange, err);
}

static void write_request(const struct client_request *request, struct buf *out)
{
    char host[HOST_MAX];
    char port[8];

    if (!split_base(request->base, host, port, NULL))
        snprintf(host, sizeof host, "localhost");
    buf_addf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n",
             request->method, request->path, host);
    if (request->token != NULL)
        buf_addf(out, "Authorization: Bearer %s\r\n", request->token);
    if (request->key != NULL)
        buf_addf(out, "Idempotency-Key: %s\r\n", request->key);
    if (request->body.len > 0)
        buf_addf(out, "Content-Type: application/json\r\n");
    if (request->body.len > 0 || strcmp(request->method, "POST") == 0)
        buf_addf(out, "Content-Length: %zu\r\n", request->body.len);
    buf_add_cstr(out, "\r\n");
    buf_add(out, request->body);
}

static bool send_all(struct exchange *exchange, struct str bytes,
                     struct error *err)
{
    while (bytes.len > 0) {
        ssize_t sent = send(exchange->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (sent > 0)
            bytes = str_from(bytes, (size_t)sent);
        else if (errno != EAGAIN)
            return true; /* an early answer may wait to be read */
        else if (!wait_for(exchange, POLLOUT, err))
            return false;
    }
    return true;
}

static bool receive_all(struct exchange *exchange, struct error *err)
{
    for (;;) {
        char *space = buf_space(&exchange->raw, READ_SIZE);
        ssize_t got;

        if (space == NULL) {
            error_set(err, ERR_REMOTE, "%s: the answer is too large",
                      exchange->base);
            return false;
        }
        got = recv(exchange->fd, space, READ_SIZE, 0);
        if (got > 0)
            buf_grown(&exchange->raw, (size_t)got);
        else if (got == 0 || errno != EAGAIN)
            return true;
        else if (!wait_for(exchange, POLLIN, err))
            return false;
    }
}

static bool is_chunked(struct str head)
{
    return str_contains_nocase(head, S("\r\ntransfer-encoding: chunked"));
}

/* Hex digits alone, at most CLIENT_ANSWER_MAX. */
static bool read_size(struct str text, size_t *size)
{
    static const char digits[] = "0123456789abcdef";

    *size = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        const char *digit = c == '\0' ? NULL : strchr(digits, c);

        if (digit == NULL)
            return false;
        *size = *size * 16 + (size_t)(digit - digits);
        if (*size > CLIENT_ANSWER_MAX)
            return false;
    }
    return text.len > 0;
}

/* RFC 9112 section 7.1, without extensions; trailers are skipped. False: cut
 * short, or no chunks. */
static bool unchunk(struct str rest, struct buf *body)
{
    for (;;) {
        ptrdiff_t end = str_find(rest, S("\r\n"), 0);
        size_t size;

        if (end < 0 || !read_size(str_slice(rest, 0, (size_t)end), &size))
            return false;
        rest = str_from(rest, (size_t)end + 2);
        if (size == 0)
            return true;
        if (rest.len < size + 2)
            return false;
        buf_add(body, str_slice(rest, 0, size));
        rest = str_from(rest, size + 2);
    }
}

/* False: the field is there and no number. Without it *value stays. */
static bool read_number(struct str head, struct str field, uint64_t *value)
{
    struct str line;
    struct str name;

    while (str_cut(&head, '\n', &line)) {
        if (!str_cut(&line, ':', &name) || !str_eq_nocase(name, field))
            continue;
        if (str_ends(line, S("\r")))
            line.len--;
        if (!str_to_u64(str_trim(line), value))
            return false;
    }
    return true;
}

/* As long as the head says; without a length it ends with the connection. */
static bool take_length(struct str head, struct str rest, struct buf *body)
{
    uint64_t length = rest.len;

    if (!read_number(head, S("content-length"), &length) || length > rest.len)
        return false;
    buf_add(body, str_slice(rest, 0, (size_t)length));
    return true;
}

static bool read_answer(struct exchange *exchange, struct client_answer *answer,
                        struct error *err)
{
    struct str raw = buf_str(&exchange->raw);
    ptrdiff_t end = str_find(raw, S("\r\n\r\n"), 0);
    uint64_t status = 0;
    struct str head;

    if (end < 0 || !str_starts(raw, S("HTTP/1.")) ||
        !str_to_u64(str_slice(raw, 9, 3), &status)) {
        error_set(err, ERR_REMOTE, "%s: what answers there is no HTTP server",
                  exchange->base);
        return false;
    }
    head = str_slice(raw, 0, (size_t)end);
    raw = str_from(raw, (size_t)end + 4);
    answer->status = (int)status;
    answer->retry_after_s = 0;
    (void)read_number(head, S("retry-after"), &answer->retry_after_s);
    buf_init(&answer->body, CLIENT_ANSWER_MAX);
    if (is_chunked(head) ? unchunk(raw, &answer->body)
                         : take_length(head, raw, &answer->body))
        return true;
    client_answer_finish(answer);
    error_set(err, ERR_REMOTE, "%s: the answer was cut short", exchange->base);
    return false;
}

static bool talk(struct exchange *exchange,
                 const struct client_request *request, struct error *err)
{
    struct str base = str_of(request->base);
    struct buf out;
    bool good;

    if (str_starts(base, S("unix:"))
            ? !open_unix(exchange, str_from(base, 5), err)
            : !open_tcp(exchange, err))
        return false;
    buf_init(&out, request->body.len + HEAD_MAX);
    write_request(request, &out);
    good = send_all(exchange, buf_str(&out), err) && receive_all(exchange, err);
    buf_finish(&out);
    return good;
}

bool client_ask(const struct client_request *request,
                struct client_answer *answer, struct error *err)
{
    struct exchange exchange = {.base = request->base, .fd = -1};
    bool good;

    clock_tick();
    exchange.until_ms =
        clock_now_ms() +
        (request->timeout_ms > 0 ? request->timeout_ms : CLIENT_TIMEOUT_MS);
    buf_init(&exchange.raw, CLIENT_ANSWER_MAX);
    good = talk(&exchange, request, err) && read_answer(&exchange, answer, err);
    if (exchange.fd >= 0)
        close(exchange.fd);
    buf_finish(&exchange.raw);
    return good;
}

void client_answer_finish(struct client_answer *answer)
{
    buf_finish(&answer->body);
}
