#include "server/base/arena.h"

#include "server/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 4096 - 64, ALIGN = _Alignof(max_align_t) };

struct block {
    struct block *next;
    size_t used;
    size_t size;
    _Alignas(max_align_t) char bytes[];
};

struct arena {
    struct block *blocks; /* the first one is being filled */
};

static struct block *block_add(struct arena *arena, size_t size)
{
    struct block *block = xmalloc(sizeof *block + size);

    block->used = 0;
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

struct arena *arena_create(void)
{
    struct arena *arena = xmalloc(sizeof *arena);

    arena->blocks = NULL;
    return arena;
}

void arena_destroy(struct arena **arena)
{
    struct block *block;

    if (*arena == NULL)
        return;
    while ((block = (*arena)->blocks) != NULL) {
        (*arena)->blocks = block->next;
        free(block);
    }
    free(*arena);
    *arena = NULL;
}

/* A block of its own for what is big, put behind the one being filled. */
static struct block *block_big(struct arena *arena, size_t size)
{
    struct block *first = arena->blocks;
    struct block *big = block_add(arena, size);

    if (first != NULL) {
        arena->blocks = first;
        big->next = first->next;
        first->next = big;
    }
    return big;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    struct block *block = arena->blocks;
    size_t rounded;
    void *result;

    CHECK(size <= SIZE_MAX / 2);
    rounded = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (rounded > BLOCK_SIZE / 2)
        block = block_big(arena, rounded);
    else if (block == NULL || block->size - block->used < rounded)
        block = block_add(arena, BLOCK_SIZE);
    result = block->bytes + block->used;
    block->used += rounded;
    return memset(result, 0, size);
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;

    CHECK(!__builtin_mul_overflow(count, size, &total));
    return arena_alloc(arena, total);
}

struct str arena_copy(struct arena *arena, struct str bytes)
{
    return str_make(arena_cstr(arena, bytes), bytes.len);
}

char *arena_cstr(struct arena *arena, struct str bytes)
{
    char *copy = arena_alloc(arena, bytes.len + 1);

    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    return copy;
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_list again;
    int need;
    char *text;

    va_start(args, format);
    va_copy(again, args);
    need = vsnprintf(NULL, 0, format, args);
    CHECK(need >= 0);
    text = arena_alloc(arena, (size_t)need + 1);
    vsnprintf(text, (size_t)need + 1, format, again);
    va_end(again);
    va_end(args);
    return str_make(text, (size_t)need);
}
