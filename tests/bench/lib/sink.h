/* sink.h - the yardstick's end of the line: a bare SMTP server.
 *
 * No queue, no policy, one process with one epoll loop: whatever sends to it
 * is the slower one. Replies can be held back to stand in for distance, and
 * STARTTLS is offered when there is a certificate. A recipient is called
 * nNUMBER@anything; the sink notes for each number when its mail came and
 * how often, so a benchmark knows what was lost, doubled, and how late.
 */
#ifndef BENCH_SINK_H
#define BENCH_SINK_H

#include "server/base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink_plan {
    uint16_t port;         /* 0: any free one */
    unsigned delay_ms;     /* of every reply */
    unsigned slow_percent; /* of recipients, by chance, ... */
    unsigned slow_ms;      /* ... whose reply takes so much longer */
    const char *cert_file; /* PEM; NULL: no STARTTLS */
    const char *key_file;
    bool forgets;    /* no TLS session is resumed */
    size_t capacity; /* numbers from 0 to capacity - 1 are noted */
};

/* A child process with its notes in shared memory. Owned by the caller.
 * Listens on 127.0.0.1 when this returns. */
struct sink;
struct sink *sink_start(const struct sink_plan *plan);
void sink_stop(struct sink **sink);

uint16_t sink_port(const struct sink *sink);
uint64_t sink_connections(const struct sink *sink);
uint64_t sink_mails(const struct sink *sink);   /* recipients served */
uint64_t sink_doubles(const struct sink *sink); /* beyond each first one */
/* When mail `number` was answered with 250 (now_ns); 0: not yet. */
uint64_t sink_arrival_ns(const struct sink *sink, size_t number);
double sink_cpu_s(const struct sink *sink); /* used so far */

#endif
