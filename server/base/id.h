/* id.h - UUIDv7 (RFC 9562 section 5.7), with the home partition inside.
 *
 * 48 bits of Unix milliseconds, then random bits, of which ten hold the
 * partition (queue.md 1.2). Ids of one process rise strictly.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { ID_SIZE = 37, ID_LEN = 36, ID_PARTITION_MAX = 1023 };

struct id {
    char text[ID_SIZE]; /* lower case, with dashes, NUL at the end */
};

struct id id_new(unsigned partition);
struct str id_str(const struct id *id);

/* Any UUID in the 8-4-4-4-12 form, either case; the result is lower case. */
MUST_USE bool id_parse(struct str text, struct id *id);
unsigned id_partition(const struct id *id);
int64_t id_time_ms(const struct id *id);

#endif
