/* peer.h - who is at the other end: limits per address, trusted proxies.
 *
 * Addresses are kept in 16 bytes, IPv4 as ::ffff:a.b.c.d. Connections are
 * counted per IPv4 address and per /64 of IPv6, which is what one host gets.
 */
#ifndef HTTP_PEER_H
#define HTTP_PEER_H

#include "server/base/arena.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"
#include "server/io/address.h"

#include <stdbool.h>
#include <stddef.h>

struct peer_ip {
    unsigned char bytes[16];
};

/* False: a Unix socket. */
bool peer_ip_of(const struct address *address, struct peer_ip *ip);

struct peer_nets {
    struct peer_net {
        struct peer_ip ip;
        unsigned bits; /* of the 128 */
    } * nets;
    size_t count;
    bool local; /* "unix" is among them */
};

/* "192.0.2.0/24", "2001:db8::1", "unix". False and err: something else. */
MUST_USE bool peer_nets_init(struct peer_nets *nets, const char *const *texts,
                             size_t count, struct error *err);
void peer_nets_finish(struct peer_nets *nets);
bool peer_nets_hold(const struct peer_nets *nets, const struct peer_ip *ip);

/* The last address of X-Forwarded-For that no trusted proxy has: everything
 * before it is hearsay. The empty str when the field has none. */
struct str peer_forwarded(const struct peer_nets *trusted, struct str field);

/* Connections per address. */
struct peer_table;
struct peer_table *peer_table_create(unsigned limit);
void peer_table_destroy(struct peer_table **table);
/* False: the address has its limit already, and nothing was counted. */
MUST_USE bool peer_table_enter(struct peer_table *table,
                               const struct peer_ip *ip);
void peer_table_leave(struct peer_table *table, const struct peer_ip *ip);

#endif
