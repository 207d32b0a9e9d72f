/* refusals.h - how many of an upstream's last recipients at a domain were
 * refused for good. Pure.
 *
 * An upstream or a receiver that refuses everybody, good addresses too, must
 * not fill the list of suppressions: while 30 of the last 100 recipients of a
 * pair were refused, none of its refusals counts against an address. Memory
 * is bounded: of 1,024 pairs those that were asked for last are known.
 */
#ifndef WORKER_REFUSALS_H
#define WORKER_REFUSALS_H

#include "server/base/str.h"

#include <stdbool.h>

enum {
    REFUSALS_WINDOW = 100, /* recipients */
    REFUSALS_MAX = 30,     /* of them */
    REFUSALS_PAIRS = 1024,
};

struct refusals;

struct refusals *refusals_create(void);
void refusals_destroy(struct refusals **refusals);

enum refusals_word {
    REFUSALS_FEW,
    REFUSALS_MANY,
    REFUSALS_MANY_NOW, /* since this one: the operator is told */
};

/* Takes the next recipient of the pair: accepted or refused for good. The
 * domain is told from others without regard to case. */
enum refusals_word refusals_note(struct refusals *refusals, struct str upstream,
                                 struct str domain, bool refused);

#endif
