/* clock.h - the time, read once per turn of the loop.
 *
 * Three clocks: the monotonic one for every timeout and duration, the wall
 * clock for logs, and the shared one for what other processes read, too:
 * deadlines, the times of tries, dates. All are cached; the loop refreshes
 * them after it slept (clock_tick). Tests set them.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

int64_t clock_now_ms(void);    /* monotonic, cached */
int64_t clock_wall_ms(void);   /* Unix time of this machine, cached */
int64_t clock_shared_ms(void); /* Unix time of Redis, once it was told */
void clock_tick(void);         /* reads both anew, unless a test set them */

/* The time that all processes share, as it was at that moment of the monotonic
 * clock. From then on it goes on with the monotonic clock, so a wall clock that
 * is wrong or jumps neither expires a mail nor puts one off. */
void clock_share(int64_t shared_ms, int64_t at_now_ms);

/* From now on all clocks stand where they were put. Negative gives the
 * clocks back to the system. */
void clock_set(int64_t now_ms, int64_t wall_ms);

enum { CLOCK_RFC3339_SIZE = sizeof "2026-11-24T12:00:00.000Z" };

/* RFC 3339 in UTC with milliseconds and Z. */
void clock_format(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);

enum { CLOCK_HTTP_SIZE = sizeof "Tue, 24 Nov 2026 12:00:00 GMT" };

/* As HTTP's header fields have it (RFC 9110 section 5.6.7). */
void clock_format_http(int64_t wall_ms, char out[CLOCK_HTTP_SIZE]);

/* RFC 3339 with any offset, the fraction optional, T or one blank between.
 * False: not such a time, or a date that does not exist. */
MUST_USE bool clock_parse(struct str text, int64_t *wall_ms);

#endif
