#include "server/io/listen.h"

#include "server/base/mem.h"
#include "server/io/shortage.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 1024, UNIX_MODE = 0660 };
/* So many connections are taken before others have their turn. */
enum { ACCEPTS_A_TURN = 64 };
/* Out of descriptors: nothing helps but others closing theirs. */
enum { REST_MS = 100 };

struct acceptor {
    struct loop *loop;
    int fd; /* not owned */
    accept_fn fn;
    void *ctx;
    struct watch *watch;
    struct timer rest;
    bool paused;
};

/* Names are for configurations ("localhost:25"): IPv4 wins, as most that
 * connect to localhost mean it. */
static bool resolve(const char *host, uint16_t port, struct address *address)
{
    static const int FAMILIES[] = {AF_INET, AF_INET6};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;

    for (size_t i = 0; i < COUNT_OF(FAMILIES); i++) {
        hints.ai_family = FAMILIES[i];
        if (getaddrinfo(host, NULL, &hints, &found) != 0)
            continue;
        address_copy(address, found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
        if (address->at.any.sa_family == AF_INET)
            address->at.v4.sin_port = htons(port);
        else
            address->at.v6.sin6_port = htons(port);
        return true;
    }
    return false;
}

static bool parse_port(struct str text, uint16_t *port)
{
    uint64_t value;

    if (!str_to_u64(text, &value) || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

static bool parse_host_port(struct str where, struct address *address,
                            struct error *err)
{
    ptrdiff_t colon = -1;
    ptrdiff_t at = -1;
    struct str host;
    uint16_t port;
    char name[256];

    while ((at = str_index(where, ':', (size_t)(at + 1))) >= 0)
        colon = at; /* the last one */
    if (colon <= 0 || !parse_port(str_from(where, (size_t)colon + 1), &port)) {
        error_set(err, ERR_CONFIG,
                  "%.*s: want host:port, [ipv6]:port or unix:/path",
                  STR_ARG(where));
        return false;
    }
    host = str_slice(where, 0, (size_t)colon);
    if (str_eq(host, S("*")))
        host = S("0.0.0.0");
    if (address_parse(host, port, address))
        return true;
    snprintf(name, sizeof name, "%.*s", STR_ARG(host));
    if (resolve(name, port, address))
        return true;
    error_set(err, ERR_CONFIG, "%.*s: no address for the host", STR_ARG(where));
    return false;
}

static bool parse_where(const char *where, struct address *address,
                        struct error *err)
{
    struct str text = str_of(where);

    if (!str_starts(text, S("unix:")))
        return parse_host_port(text, address, err);
    if (address_of_path(str_from(text, 5), address))
        return true;
    error_set(err, ERR_CONFIG, "%s: want a path of 1 to 107 bytes", where);
    return false;
}

static void set_option(int fd, int level, int option)
{
    int on = 1;

    CHECK(setsockopt(fd, level, option, &on, sizeof on) == 0);
}

/* Of a process that is gone: a socket that refuses. */
static bool is_stale(const struct address *address)
{
    struct stat info;
    bool refused;
    int fd;

    if (lstat(address->at.local.sun_path, &info) != 0 ||
        !S_ISSOCK(info.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return false;
    refused = connect(fd, &address->at.any, address->len) != 0 &&
              errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static bool bind_path(int fd, const struct address *address, mode_t mode)
{
    const char *path = address->at.local.sun_path;
    int code = bind(fd, &address->at.any, address->len);

    if (code != 0 && errno == EADDRINUSE && is_stale(address)) {
        unlink(path);
        code = bind(fd, &address->at.any, address->len);
    }
    /* Nobody can connect before listen(), so the mode comes in time. */
    return code == 0 && chmod(path, mode) == 0;
}

static bool bind_and_listen(int fd, const struct address *address,
                            const struct listen_options *options)
{
    mode_t mode =
        options->unix_mode == 0 ? UNIX_MODE : (mode_t)options->unix_mode;

    if (address->at.any.sa_family == AF_UNIX) {
        if (!bind_path(fd, address, mode))
            return false;
    } else {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR);
        if (options->reuse_port)
            set_option(fd, SOL_SOCKET, SO_REUSEPORT);
        if (address->at.any.sa_family == AF_INET6)
            set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
        if (bind(fd, &address->at.any, address->len) != 0)
            return false;
    }
    return listen(fd, options->backlog == 0 ? BACKLOG : options->backlog) == 0;
}

int listen_open(const char *where, const struct listen_options *options,
                struct error *err)
{
    struct address address;
    int fd;

    if (!parse_where(where, &address, err))
        return -1;
    fd = socket(address.at.any.sa_family,
                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd != -1 && bind_and_listen(fd, &address, options))
        return fd;
    error_set(err, ERR_SYSTEM, "cannot listen on %s: %s", where,
              strerror(errno));
    if (fd != -1)
        close(fd);
    return -1;
}

void listen_address(int fd, struct address *address)
{
    *address = (struct address){.len = sizeof address->at};
    CHECK(getsockname(fd, &address->at.any, &address->len) == 0);
}

static void watch_update(struct acceptor *acceptor)
{
    bool wants = !acceptor->paused && !timer_is_set(&acceptor->rest);

    watch_set(acceptor->watch, wants ? WATCH_READ : 0);
}

static void on_rested(void *ctx)
{
    watch_update(ctx);
}

/* False: no more for now. What a connection died of before it was taken is no
 * concern of others (accept(2), error handling). */
static bool accept_one(struct acceptor *acceptor)
{
    struct address peer = {.len = sizeof peer.at};
    int fd = accept4(acceptor->fd, &peer.at.any, &peer.len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd != -1) {
        acceptor->fn(acceptor->ctx, fd, &peer);
        return true;
    }
    if (is_shortage(errno)) {
        timer_set(acceptor->loop, &acceptor->rest, REST_MS);
        watch_update(acceptor);
    }
    return errno == EINTR || errno == ECONNABORTED;
}

static void on_ready(void *ctx, int events)
{
    struct acceptor *acceptor = ctx;

    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++)
        if (acceptor->watch == NULL || acceptor->paused ||
            !accept_one(acceptor))
            return;
}

struct acceptor *acceptor_open(struct loop *loop, int listen_fd, accept_fn fn,
                               void *ctx)
{
    struct acceptor *acceptor = xcalloc(1, sizeof *acceptor);

    acceptor->loop = loop;
    acceptor->fd = listen_fd;
    acceptor->fn = fn;
    acceptor->ctx = ctx;
    timer_init(&acceptor->rest, on_rested, acceptor);
    acceptor->watch = watch_open(loop, listen_fd, on_ready, acceptor);
    watch_update(acceptor);
    return acceptor;
}

void acceptor_pause(struct acceptor *acceptor)
{
    acceptor->paused = true;
    watch_update(acceptor);
}

void acceptor_resume(struct acceptor *acceptor)
{
    acceptor->paused = false;
    watch_update(acceptor);
}

void acceptor_close(struct acceptor **handle)
{
    struct acceptor *acceptor = *handle;

    if (acceptor == NULL)
        return;
    *handle = NULL;
    watch_close(&acceptor->watch);
    timer_clear(acceptor->loop, &acceptor->rest);
    loop_free_later(acceptor->loop, free, acceptor);
}
