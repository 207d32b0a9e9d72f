/* route.h - which upstream of a route an attempt goes to. Pure.
 *
 * (Which route a mail takes is smtp_route_find, of the door.)
 */
#ifndef SMTP_ROUTE_H
#define SMTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route_choice {
    int64_t priority; /* the lowest number that is usable goes first */
    int64_t weight;   /* its share among those of its priority; 0: only when
                         there is no other */
    bool is_usable;   /* not full, not resting, not tried before */
};

enum { ROUTE_NO_CHOICE = -1 };

/* The index of the one to use. random: any. */
int route_choose(const struct route_choice *choices, size_t count,
                 uint32_t random);

#endif
