/* dns_inside.h - what the two kinds of look-ups share; for dns*.c only. */
#ifndef IO_DNS_INSIDE_H
#define IO_DNS_INSIDE_H

#include "server/io/dns.h"

#include "server/base/list.h"

#include <ares.h>

struct dns {
    struct loop *loop;
    ares_channel channel;
    struct list sockets; /* of c-ares, watched */
    struct list done;    /* what is to be told: struct dns_asked */
    struct task task;
    struct timer timer;
    int shortage; /* errno of sockets, in this call of c-ares; 0: none */
};

/* The first member of a look-up. */
struct dns_asked {
    struct list link; /* in dns.done, or alone while c-ares works on it */
    struct dns *dns;
    bool is_cancelled;
    int shortage; /* errno, that it failed of; 0: none */
    /* Tells its owner, or asks on; what was told frees itself. */
    void (*tell)(struct dns_asked *asked);
    void (*free_fn)(void *asked);
};

void dns_asked_init(struct dns_asked *asked, struct dns *dns,
                    void (*tell)(struct dns_asked *asked),
                    void (*free_fn)(void *asked));
/* Behind each call of c-ares: its timer is to be heard. */
void dns_asking(struct dns *dns);
/* c-ares is done with it, with this code. True: it will be told, later, since
 * c-ares may answer inside the call that asked. False: it is freed. */
bool dns_asked_done(struct dns_asked *asked, int status);
void dns_asked_cancel(struct dns_asked *asked);
enum dns_status dns_status_of(int status); /* of ARES_SUCCESS: DNS_FOUND */
/* In words. */
const char *dns_reason(const struct dns_asked *asked, int status);

/* dns_socket.c: c-ares opens its sockets so that a shortage is seen. */
void dns_sockets_init(struct dns *dns);

#endif
