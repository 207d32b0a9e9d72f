#include "server/base/map.h"

#include "server/base/mem.h"
#include "server/base/random.h"

#include <stdlib.h>
#include <string.h>

/* Open addressing with linear probing; at most 3/4 full. A removed entry
 * leaves a tombstone (key kept NULL, value = &tombstone) until the next
 * rehash, so that walking and removing go together. */
struct entry {
    char *key;
    size_t key_len;
    uint64_t hash;
    void *value; /* NULL: free; &tombstone: was removed */
};

struct map {
    struct entry *entries;
    size_t size; /* a power of two */
    size_t used; /* with tombstones */
    size_t count;
};

enum { FIRST_SIZE = 16 };

static char tombstone;

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static const uint64_t *hash_key(void)
{
    static uint64_t key[2];

    while (key[0] == 0)
        random_bytes(key, sizeof key);
    return key;
}

uint64_t map_hash(struct str s)
{
    const uint64_t *key = hash_key();
    uint64_t v[4] = {
        key[0] ^ 0x736f6d6570736575U,
        key[1] ^ 0x646f72616e646f6dU,
        key[0] ^ 0x6c7967656e657261U,
        key[1] ^ 0x7465646279746573U,
    };
    size_t at = 0;
    uint64_t word;

    for (; s.len - at >= 8; at += 8) {
        memcpy(&word, s.ptr + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)s.len << 56;
    for (size_t i = 0; at + i < s.len; i++)
        word |= (uint64_t)(unsigned char)s.ptr[at + i] << (8 * i);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_create(void)
{
    return xcalloc(1, sizeof(struct map));
}

void map_destroy(struct map **map)
{
    if (*map == NULL)
        return;
    for (size_t i = 0; i < (*map)->size; i++)
        free((*map)->entries[i].key);
    free((*map)->entries);
    free(*map);
    *map = NULL;
}

static bool is_live(const struct entry *entry)
{
    return entry->value != NULL && entry->value != &tombstone;
}

static struct entry *find(const struct map *map, struct str key, uint64_t hash)
{
    if (map->size == 0)
        return NULL;
    for (size_t i = hash & (map->size - 1);; i = (i + 1) & (map->size - 1)) {
        struct entry *entry = &map->entries[i];

        if (entry->value == NULL)
            return NULL;
        if (is_live(entry) && entry->hash == hash &&
            str_eq(str_make(entry->key, entry->key_len), key))
            return entry;
    }
}

static struct entry *free_place(const struct map *map, uint64_t hash)
{
    size_t i = hash & (map->size - 1);

    while (map->entries[i].value != NULL)
        i = (i + 1) & (map->size - 1);
    return &map->entries[i];
}

static void rehash(struct map *map)
{
    struct entry *old = map->entries;
    size_t old_size = map->size;

    map->size = FIRST_SIZE;
    while (map->size < map->count * 2 + 2)
        map->size *= 2;
    map->entries = xcalloc(map->size, sizeof *map->entries);
    map->used = map->count;
    for (size_t i = 0; i < old_size; i++)
        if (is_live(&old[i]))
            *free_place(map, old[i].hash) = old[i];
    free(old);
}

void *map_put(struct map *map, struct str key, void *value)
{
    uint64_t hash = map_hash(key);
    struct entry *entry = find(map, key, hash);
    void *former;

    CHECK(value != NULL);
    if (entry != NULL) {
        former = entry->value;
        entry->value = value;
        return former;
    }
    if ((map->used + 1) * 4 > map->size * 3)
        rehash(map);
    entry = free_place(map, hash);
    entry->key = xmemdup0(key.ptr, key.len);
    entry->key_len = key.len;
    entry->hash = hash;
    entry->value = value;
    map->used++;
    map->count++;
    return NULL;
}

void *map_get(const struct map *map, struct str key)
{
    struct entry *entry = find(map, key, map_hash(key));

    return entry == NULL ? NULL : entry->value;
}

void *map_remove(struct map *map, struct str key)
{
    struct entry *entry = find(map, key, map_hash(key));
    void *value;

    if (entry == NULL)
        return NULL;
    value = entry->value;
    free(entry->key);
    entry->key = NULL;
    entry->value = &tombstone;
    map->count--;
    return value;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

bool map_next(const struct map *map, size_t *at, struct str *key, void **value)
{
    while (*at < map->size) {
        struct entry *entry = &map->entries[(*at)++];

        if (!is_live(entry))
            continue;
        *key = str_make(entry->key, entry->key_len);
        *value = entry->value;
        return true;
    }
    return false;
}
