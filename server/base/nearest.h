/* nearest.h - "did you mean": the known name that a wrong one resembles. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include "server/base/str.h"

#include <stddef.h>

/* The name that needs the fewest typing errors (insert, delete, replace,
 * swap of neighbours) to become wrong; NULL when even that one needs more
 * than a third of its length, at least one. Words that are missing at its end
 * are one. Of equals the first. */
const char *nearest_name(struct str wrong, const char *const *names,
                         size_t count);

#endif
