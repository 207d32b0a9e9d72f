/* load.h - the yardstick's load generator: HTTP requests over keep-alive
 * connections, from one thread with one epoll loop.
 *
 * Closed loop: each connection sends its next request when the last one is
 * answered. Open loop: requests leave at a fixed rate whatever the answers
 * do, and a latency counts from the moment when the request was due, so a
 * stall is not hidden by the requests that it held back.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "server/base/check.h"
#include "server/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_plan {
    uint16_t port; /* on 127.0.0.1 */
    const char *path;
    const char *key; /* Bearer token; NULL: none */
    unsigned connections;
    size_t requests; /* in all */
    double rate;     /* requests/s; 0: closed loop */
    size_t first;    /* number of the first request */
    /* Writes the body of request `number`. */
    void (*body)(void *ctx, size_t number, struct buf *out);
    void *ctx;
    uint64_t *started_ns; /* by request, from 0; NULL: not wanted */
};

struct load_result {
    size_t answered;       /* 2xx */
    size_t refused;        /* any other answer */
    size_t broken;         /* connections that ended before the answer */
    unsigned last_refusal; /* its status */
    double seconds;
    uint64_t *latency_ns; /* of the answered ones; owned */
};

/* Runs the whole plan. The caller frees with load_result_finish. */
struct load_result load_run(const struct load_plan *plan);
void load_result_finish(struct load_result *result);

/* The same from a process of its own: a second load beside this one, until
 * it is stopped. Gives its process id. */
int load_start(const struct load_plan *plan);
void load_stop(int pid);

/* Small mails at a fixed rate, as the options of a benchmark say: --port,
 * --key,
 * --rate (else rate) a second for --seconds (10). */
struct load_plan load_plan_of(int argc, char **argv, long rate);

/* A request of about 1 KiB: one mail to nNUMBER@sink.test. ctx unused. */
void load_mail_body(void *ctx, size_t number, struct buf *out);

#endif
