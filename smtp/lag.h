/* lag.h - how long an upstream takes lately to accept a recipient, from the
 * moment that it is given a mail. Pure.
 *
 * The last 256 times, exact. What lasts longer than 95 of 100 of them is slow.
 */
#ifndef SMTP_LAG_H
#define SMTP_LAG_H

#include <stddef.h>
#include <stdint.h>

enum {
    LAG_SAMPLES = 256,
    LAG_SAMPLES_MIN = 50,  /* fewer tell nothing */
    LAG_UNKNOWN_MS = 1000, /* then so long is slow */
};

/* Begins as zeroes. */
struct lag {
    uint32_t times_ms[LAG_SAMPLES];  /* as they came, in a ring */
    uint32_t sorted_ms[LAG_SAMPLES]; /* the same, the shortest first */
    size_t count;
    size_t next; /* place in the ring */
};

void lag_note(struct lag *lag, int64_t ms);
/* So long it has lasted, and is not over: counts if that is slow already. */
void lag_note_more(struct lag *lag, int64_t ms);
/* The 95th percentile, by nearest rank. */
int64_t lag_p95_ms(const struct lag *lag);

#endif
