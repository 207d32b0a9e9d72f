/* receiver.h - a tiny HTTP server and a tiny DNS server on the test's loop.
 *
 * The receiver keeps each request whole and answers it with the bytes of
 * .answer, as often as the peer asks on a connection.
 */
#ifndef TESTS_RECEIVER_H
#define TESTS_RECEIVER_H

#include "server/base/buf.h"
#include "server/base/list.h"
#include "server/io/loop.h"

#include <stdint.h>

struct receiver {
    struct loop *loop;
    int fd;
    struct watch *watch;
    struct list clients;
    uint16_t port;

    const char *answer; /* NULL: none */
    size_t repeat_last; /* the answer is followed by so many 'x' */
    bool closes;        /* behind the answer, or instead of it */
    size_t connections; /* so far */
    size_t requests;    /* so far */
    size_t taken_bytes; /* that peers took from us */
    struct buf last;    /* request */
    void (*on_request)(struct receiver *receiver); /* NULL: nothing more */
    void *ctx;
};
void receiver_open(struct receiver *receiver, struct loop *loop);
void receiver_close(struct receiver *receiver);

enum { STUB_ADDRESSES_MAX = 4 };
struct dns_stub {
    struct loop *loop;
    int fd;
    struct watch *watch;
    char servers[32]; /* for dns_open */
    size_t questions; /* for IPv4 addresses, so far */
    /* The answer to the n-th question, from 1: how many addresses were put
     * in; 0 makes it SERVFAIL. */
    size_t (*answer)(size_t question, uint32_t addresses[STUB_ADDRESSES_MAX]);
};
void dns_stub_open(struct dns_stub *stub, struct loop *loop);
void dns_stub_close(struct dns_stub *stub);

#endif
