#include "api/call.h"
#include "server/base/clock.h"
#include "server/base/map.h"
#include "server/base/mem.h"

#include <stdlib.h>

/* A revoked key works on for KEY_FRESH_MS at most; on the process that
 * revoked it not at all. */
enum { KEY_FRESH_MS = 5000, KEYS_MAX = 10000 };

struct entry {
    struct arena *arena; /* owns key's texts */
    struct api_key key;
    int64_t at_ms;
};

struct key_cache {
    struct map *entries; /* by hash */
};

static void entry_destroy(struct entry *entry)
{
    if (entry == NULL)
        return;
    arena_destroy(&entry->arena);
    free(entry);
}

struct key_cache *key_cache_create(void)
{
    struct key_cache *cache = xmalloc(sizeof *cache);

    cache->entries = map_create();
    return cache;
}

static void entries_clear(struct key_cache *cache)
{
    size_t at = 0;
    struct str hash;
    void *entry;

    while (map_next(cache->entries, &at, &hash, &entry))
        entry_destroy(entry);
    map_destroy(&cache->entries);
}

void key_cache_destroy(struct key_cache **cache)
{
    if (*cache == NULL)
        return;
    entries_clear(*cache);
    free(*cache);
    *cache = NULL;
}

void api_key_copy(struct arena *arena, const struct api_key *from,
                  struct api_key *to)
{
    *to = *from;
    to->owner = arena_copy(arena, from->owner);
    to->name = arena_copy(arena, from->name);
    to->prefix = arena_copy(arena, from->prefix);
    to->domain = arena_copy(arena, from->domain);
}

bool key_cache_get(struct key_cache *cache, struct str hash,
                   struct arena *arena, struct api_key *key)
{
    const struct entry *entry = map_get(cache->entries, hash);

    if (entry == NULL || clock_now_ms() - entry->at_ms >= KEY_FRESH_MS)
        return false;
    api_key_copy(arena, &entry->key, key);
    return true;
}

void key_cache_put(struct key_cache *cache, struct str hash,
                   const struct api_key *key)
{
    struct entry *entry;

    if (map_count(cache->entries) >= KEYS_MAX) {
        entries_clear(cache);
        cache->entries = map_create();
    }
    entry = xmalloc(sizeof *entry);
    entry->arena = arena_create();
    entry->at_ms = clock_now_ms();
    api_key_copy(entry->arena, key, &entry->key);
    entry_destroy(map_put(cache->entries, hash, entry));
}

void key_cache_forget(struct key_cache *cache, const struct id *id)
{
    size_t at = 0;
    struct str hash;
    void *value;

    while (map_next(cache->entries, &at, &hash, &value)) {
        struct entry *entry = value;

        if (!str_eq(id_str(&entry->key.id), id_str(id)))
            continue;
        map_remove(cache->entries, hash);
        entry_destroy(entry);
        return;
    }
}
