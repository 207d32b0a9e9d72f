/* The sockets of c-ares, which has no word of its own for one that it did not
 * get: "could not contact DNS servers" may tell of a network, or of a limit of
 * this process. */
#include "server/io/dns_inside.h"
#include "server/io/shortage.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static ares_socket_t open_socket(int family, int type, int protocol, void *ctx)
{
    struct dns *dns = ctx;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd == -1 && is_shortage(errno))
        dns->shortage = errno;
    return fd;
}

static int close_socket(ares_socket_t fd, void *ctx)
{
    (void)ctx;
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to,
                          ares_socklen_t len, void *ctx)
{
    (void)ctx;
    return connect(fd, to, len);
}

static ares_ssize_t receive(ares_socket_t fd, void *bytes, size_t max,
                            int flags, struct sockaddr *from,
                            ares_socklen_t *len, void *ctx)
{
    (void)ctx;
    return recvfrom(fd, bytes, max, flags, from, len);
}

static ares_ssize_t transmit(ares_socket_t fd, const struct iovec *pieces,
                             int count, void *ctx)
{
    (void)ctx;
    return writev(fd, pieces, count);
}

void dns_sockets_init(struct dns *dns)
{
    static const struct ares_socket_functions FUNCTIONS = {
        .asocket = open_socket,
        .aclose = close_socket,
        .aconnect = connect_socket,
        .arecvfrom = receive,
        .asendv = transmit,
    };

    ares_set_socket_functions(dns->channel, &FUNCTIONS, dns);
}
