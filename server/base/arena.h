/* arena.h - memory of one request or one job, freed in one go.
 *
 * What is born for a job lives in its arena and dies with it. Nothing in an
 * arena is freed alone.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <stddef.h>

struct arena;

struct arena *arena_create(void);
void arena_destroy(struct arena **arena);

/* Zeroed, aligned for any type. Never NULL. */
MUST_USE void *arena_alloc(struct arena *arena, size_t size);
#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count)                                        \
    ((type *)arena_alloc_array((arena), (count), sizeof(type)))
MUST_USE void *arena_alloc_array(struct arena *arena, size_t count,
                                 size_t size);

/* Copies carry a NUL behind their last byte. */
MUST_USE struct str arena_copy(struct arena *arena, struct str bytes);
MUST_USE char *arena_cstr(struct arena *arena, struct str bytes);
MUST_USE struct str arena_printf(struct arena *arena, const char *format, ...)
    PRINTF_LIKE(2, 3);

#endif
