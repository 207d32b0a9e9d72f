/* free_port.h - a port of loopback for a server that a test starts.
 *
 * It is below those that the kernel hands out, free for TCP and UDP, and until
 * this program ends no other test takes it: its name in the abstract space of
 * Unix sockets is ours, as in tests/integration/harness/scope.mjs. */
#ifndef TESTS_FREE_PORT_H
#define TESTS_FREE_PORT_H

#include "server/base/check.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FREE_PORT_MIN = 12000, FREE_PORT_END = 32000 };

static inline bool port_is_free(unsigned port, int type)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    bool is_free;

    CHECK(fd >= 0);
    is_free = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return is_free;
}

static inline bool port_name_is_ours(unsigned port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(name.sun_path + 1, sizeof name.sun_path - 1,
             "posthaste-test-port-%u", port);
    CHECK(fd >= 0);
    /* With all the zeros, as node has it. */
    if (bind(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return true; /* as long as it is open */
    close(fd);
    return false;
}

/* False: somebody else has it. */
static inline bool port_take(unsigned port)
{
    return port_name_is_ours(port) && port_is_free(port, SOCK_STREAM) &&
           port_is_free(port, SOCK_DGRAM);
}

static inline unsigned free_port(void)
{
    for (;;) {
        unsigned port =
            FREE_PORT_MIN + arc4random_uniform(FREE_PORT_END - FREE_PORT_MIN);

        if (port_take(port))
            return port;
    }
}

#endif
