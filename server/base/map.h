/* map.h - a hash map from byte strings to pointers.
 *
 * Keys are copied; values belong to the caller. The hash is SipHash-1-3
 * under a random key of this process, so that names chosen by a stranger
 * cannot be made to collide.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <stddef.h>
#include <stdint.h>

struct map;

struct map *map_create(void);
void map_destroy(struct map **map); /* not the values */

/* The former value, or NULL. value must not be NULL. */
void *map_put(struct map *map, struct str key, void *value);
void *map_get(const struct map *map, struct str key); /* NULL: not there */
void *map_remove(struct map *map, struct str key);    /* its value, or NULL */
size_t map_count(const struct map *map);

/* Walks all entries in no order: begin with *at = 0, ends with false. The
 * map may lose the current entry on the way, but not gain any. */
bool map_next(const struct map *map, size_t *at, struct str *key, void **value);

uint64_t map_hash(struct str key);

#endif
