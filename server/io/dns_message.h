/* dns_message.h - the records in the answer of a name server, as pure bytes.
 *
 * It knows no socket and no c-ares. What is not well-formed is refused as a
 * whole; what is more than the limits is left out, and said.
 *
 * Source: RFC 1035 sections 3.3 and 4.1; RFC 3596 (AAAA).
 */
#ifndef IO_DNS_MESSAGE_H
#define IO_DNS_MESSAGE_H

#include "server/base/arena.h"
#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
};
const char *dns_type_name(enum dns_type type); /* "TXT" */

enum {
    DNS_RECORDS_MAX = 32,
    DNS_RECORDS_BYTES_MAX = 16384, /* of all their data */
};

struct dns_record {
    /* TXT: its strings joined, any bytes. A and AAAA: the address as text.
     * Others: the name, without a final dot ("." is the root), with '?' for
     * what is not printable or would read like a dot. */
    struct str data;
    unsigned preference; /* of MX; else 0 */
};

struct dns_records {
    const struct dns_record *records; /* in the order of the answer */
    size_t count;
    bool has_more;  /* than the limits allow */
    bool is_alias;  /* a CNAME was followed to them, or to nothing */
    uint32_t ttl_s; /* the shortest; 0 when there are none */
};

/* The records of type among the answers, in arena; message need not outlive
 * the call. False: not a well-formed answer. */
MUST_USE bool dns_message_read(struct str message, enum dns_type type,
                               struct arena *arena,
                               struct dns_records *records);

#endif
