/* dns.h - what the DNS says of a name, without blocking the loop.
 *
 * Addresses (dns_lookup): A and AAAA are asked for together, /etc/hosts and
 * /etc/resolv.conf are honoured. Records of one type (dns_query): the name
 * servers alone are asked, for that very name. Timeouts: the resolver's own (a
 * look-up always ends); an owner with less patience cancels. Nothing is cached
 * here: the answer carries a lifetime for whoever does.
 */
#ifndef IO_DNS_H
#define IO_DNS_H

#include "server/base/check.h"
#include "server/base/error.h"
#include "server/io/address.h"
#include "server/io/dns_message.h"
#include "server/io/loop.h"

#include <stddef.h>
#include <stdint.h>

struct dns;

/* servers: "127.0.0.1:5353,..." instead of those of the system; NULL or ""
 * for the system's. */
MUST_USE struct dns *dns_open(struct loop *loop, const char *servers,
                              struct error *err);
/* Ends all look-ups without a callback; their handles are dead then. */
void dns_close(struct dns **dns);

enum dns_status {
    DNS_FOUND,
    DNS_NOT_FOUND, /* surely: no such name, or no address under it */
    DNS_FAILED,    /* for now: time-out, SERVFAIL, no server */
};

enum { DNS_ADDRESSES_MAX = 16 };
struct dns_answer {
    enum dns_status status;
    bool is_lacking; /* failed: no descriptor or memory is left for it here */
    const char *reason; /* when not found: in words, for logs */
    size_t count;       /* the rest of a longer list is left out */
    struct address addresses[DNS_ADDRESSES_MAX]; /* in the order to try */
    uint32_t ttl_s; /* the shortest of them; 0 from files or numbers */
};

/* answer is valid during the call; the handle of the look-up is dead. */
typedef void (*dns_fn)(void *ctx, const struct dns_answer *answer);

/* host: a name (A-labels) or a numeric address, which is answered without
 * asking; port is put into the addresses. Fires exactly once, or never when
 * cancelled. */
struct dns_lookup;
struct dns_lookup *dns_lookup(struct dns *dns, const char *host, uint16_t port,
                              dns_fn fn, void *ctx);
void dns_cancel(struct dns_lookup **lookup);

struct dns_reply {
    enum dns_status status;
    bool has_no_name;   /* not found: no such name, rather than no record */
    const char *reason; /* when not found: in words, for logs */
    struct dns_records records;
};

/* reply is valid during the call; the handle of the query is dead. */
typedef void (*dns_reply_fn)(void *ctx, const struct dns_reply *reply);

/* Fires exactly once, or never when cancelled. */
struct dns_query;
struct dns_query *dns_query(struct dns *dns, const char *name,
                            enum dns_type type, dns_reply_fn fn, void *ctx);
void dns_query_cancel(struct dns_query **query);

#endif
