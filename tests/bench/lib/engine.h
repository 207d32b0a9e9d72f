/* engine.h - the delivery engine alone: mails from memory to one upstream,
 * the mark being answered at once. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include "server/base/buf.h"
#include "server/base/config.h"
#include "server/base/str.h"
#include "tests/bench/lib/report.h"

struct engine_plan {
    uint16_t port; /* a sink's */
    enum config_tls tls;
    size_t mails;
    size_t sessions;
    size_t in_hand; /* mails at once; 0: one a session */
    size_t messages_per_session;
    bool pipeline_next;
    struct str message;
    /* A second upstream of the route, which mails are offered too while the
     * first is slow; 0: there is none. */
    uint16_t second_port;
    unsigned hedge_percent;
    /* A second upstream that never answers gets so many mails beside them, by
     * a route of its own; 0: there is none. */
    uint16_t stuck_port;
    size_t stuck_mails;
    uint64_t *took_ns; /* NULL, or room for each mail: how long it took */
};

/* Sends to n0@ and on; fails unless all are taken. */
struct effort engine_send(const struct engine_plan *plan);

/* Initialises it with a message of about that many bytes. */
void engine_message(struct buf *message, size_t bytes);

#endif
