/* blast.h - the yardstick's client: bare, pipelining SMTP.
 *
 * MAIL, RCPT and DATA in one flight, then the message; no policy, no timers,
 * no mark, no TLS. One mail under way on each of its sockets.
 */
#ifndef BENCH_BLAST_H
#define BENCH_BLAST_H

#include "server/base/str.h"
#include "tests/bench/lib/report.h"

enum { BLAST_SESSIONS_MAX = 256 };

/* Sends to the sink on that port, to n0@ and on. */
struct effort blast(uint16_t port, size_t mails, size_t sessions,
                    struct str message);

#endif
