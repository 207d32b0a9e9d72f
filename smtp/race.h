/* race.h - in which order the addresses of a host are tried.
 *
 * Families take turns, so that a few tries reach both (RFC 8305 section 4);
 * one that lost a race goes last for ten minutes. Pure: the time is given in.
 */
#ifndef SMTP_RACE_H
#define SMTP_RACE_H

#include "server/io/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct race {
    int64_t lame_until_ms[2]; /* IPv4, IPv6; monotonic */
};

/* Orders count addresses into at most max tries, the first one first. It
 * begins with the family of addresses[first], and within that with that one;
 * the others follow as they stand. */
size_t race_order(const struct race *race, const struct address *addresses,
                  size_t count, size_t first, int64_t now_ms,
                  struct address *tries, size_t max);

/* winner was connected to, though the first of count others had been tried
 * before it: those of the other family make that lame. */
void race_note(struct race *race, const struct address *winner,
               const struct address *losers, size_t count, int64_t now_ms);

#endif
