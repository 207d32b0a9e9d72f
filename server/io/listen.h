/* listen.h - listening sockets, and accepting from them on the loop. */
#ifndef IO_LISTEN_H
#define IO_LISTEN_H

#include "server/base/check.h"
#include "server/base/error.h"
#include "server/io/address.h"
#include "server/io/loop.h"

#include <stdbool.h>

struct listen_options {
    bool reuse_port; /* several sockets share the port (one a process) */
    int backlog;     /* 0: 1024 */
    int unix_mode;   /* permissions of a Unix socket; 0: 0660 */
};

/* A non-blocking, close-on-exec listening socket on where: "host:port",
 * "[ipv6]:port", "*:port" (all IPv4 addresses) or "unix:/path". Port 0 lets
 * the system choose (listen_address tells). IPv6 sockets take IPv6 only. A Unix
 * socket file that nobody listens on any more is replaced. A name is resolved
 * blockingly, so call it before the loop runs. -1 and err: ERR_CONFIG when
 * where is malformed, ERR_SYSTEM when the system refuses. The caller owns the
 * fd. */
MUST_USE int listen_open(const char *where,
                         const struct listen_options *options,
                         struct error *err);

/* Where it listens; address_format gives the form that listen_open takes. */
void listen_address(int fd, struct address *address);

/* Takes every connection that comes and hands it over. fd (the new socket,
 * non-blocking and close-on-exec) belongs to the receiver. */
typedef void (*accept_fn)(void *ctx, int fd, const struct address *peer);

/* Does not own listen_fd. When the process has no descriptors left, it rests
 * for a moment instead of spinning. */
struct acceptor;
struct acceptor *acceptor_open(struct loop *loop, int listen_fd, accept_fn fn,
                               void *ctx);
void acceptor_pause(struct acceptor *acceptor);
void acceptor_resume(struct acceptor *acceptor);
void acceptor_close(struct acceptor **acceptor);

#endif
