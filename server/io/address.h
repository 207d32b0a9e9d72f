/* address.h - where a socket is or goes: IPv4, IPv6 or a Unix path. */
#ifndef IO_ADDRESS_H
#define IO_ADDRESS_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } at;
};

/* A numeric IPv4 or IPv6 host, the latter with or without brackets and scope.
 * False: not numeric. Asks nobody. */
MUST_USE bool address_parse(struct str host, uint16_t port,
                            struct address *address);
/* False: empty, or longer than a socket path may be (107 bytes). */
MUST_USE bool address_of_path(struct str path, struct address *address);
/* len bytes of a sockaddr as the system or a library gave it. */
void address_copy(struct address *address, const struct sockaddr *from,
                  socklen_t len);

uint16_t address_port(const struct address *address); /* 0 for a path */
bool address_eq(const struct address *a, const struct address *b);

/* "192.0.2.1:25", "[2001:db8::1]:25", "unix:/path"; for logs. */
enum { ADDRESS_TEXT_SIZE = 128 };
void address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE]);
/* The same without the port: "192.0.2.1", "2001:db8::1". */
void address_format_host(const struct address *address,
                         char out[ADDRESS_TEXT_SIZE]);

#endif
