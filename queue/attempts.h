/* attempts.h - what one upstream did with a delivery, as it is kept. Pure.
 *
 * An attempt that was refused, that another upstream came in for, or whose
 * transcript is wanted has a record in a:<email>, the last ones of an email:
 *
 *   {"n":0,"g":1,"a":1,"at":1764000000000,"w":"deferred","tr":"...",DETAIL}
 *
 * n, g, a as in events.h; at when it began; w its outcome; DETAIL as events
 * have it. All others are told by their event alone, whose detail holds the
 * same: so a mail that is simply sent costs nothing here.
 */
#ifndef QUEUE_ATTEMPTS_H
#define QUEUE_ATTEMPTS_H

#include "queue/events.h"

enum attempt_outcome {
    ATTEMPT_SENT,
    ATTEMPT_DEFERRED,
    ATTEMPT_BOUNCED,
    ATTEMPT_UNSENT,  /* the upstream could take nothing; it does not count */
    ATTEMPT_UNKNOWN, /* lost behind the dot */
    ATTEMPT_OUTCOME_COUNT
};

struct attempt {
    unsigned number; /* recipient */
    unsigned generation;
    unsigned attempt; /* from 1; tries of several upstreams share one */
    int64_t started_ms;
    enum attempt_outcome outcome;
    struct event_detail detail;
    struct str transcript; /* clean UTF-8; empty: none was kept */
};

/* Of a transcript the first bytes are kept; a record may be twice as long,
 * since quotation marks and line ends are escaped. */
enum { ATTEMPT_TRANSCRIPT_MAX = 8192, ATTEMPT_RECORD_MAX = 20 * 1024 };

/* One line, without its end. */
void attempt_write(const struct attempt *attempt, struct buf *out);
/* False: not one of ours. Texts are copies in arena. */
MUST_USE bool attempt_read(struct str bytes, struct arena *arena,
                           struct attempt *attempt);

/* All that is known, in the order in which they began: the records, and what
 * events tell of others. attempts has room for count + event_count of them,
 * the first count of which are the records. How many there are. */
size_t attempts_merge(struct attempt *attempts, size_t count,
                      const struct event *events, size_t event_count);

/* Adds members, as openapi.yaml describes them from outcome on. Of detail
 * queued_ms may be -1: not known. */
void attempt_show(const struct attempt *attempt, struct json_out *out);
/* "tls" alone. */
void attempt_show_tls(const struct event_detail *detail, struct json_out *out);

#endif
