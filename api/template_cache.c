#include "api/template_cache.h"

#include "server/base/clock.h"
#include "server/base/map.h"
#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    NAME_FRESH_MS = 5000,
    NAMES_MAX = 10000,
    BYTES_MAX = 32 << 20,
    KEY_SIZE = 512,
};

struct name {
    char version[ID_SIZE];
    int64_t at_ms;
};

struct template_cache {
    struct map *names;    /* "owner name" */
    struct map *versions; /* held_template by its version */
    struct list used;     /* the same, longest unused first */
    size_t bytes;
};

static void copy_text(char to[ID_SIZE], struct str from)
{
    snprintf(to, ID_SIZE, "%.*s", STR_ARG(from));
}

/* --- holders --- */

struct held_template *held_template_new(struct str id, struct str version,
                                        struct mail_template *mail)
{
    struct held_template *held = xcalloc(1, sizeof *held);

    list_init(&held->link);
    copy_text(held->id, id);
    copy_text(held->version, version);
    held->mail = mail;
    held->holders = 1;
    return held;
}

void held_template_drop(struct held_template **held_at)
{
    struct held_template *held = *held_at;

    *held_at = NULL;
    if (held == NULL || --held->holders > 0)
        return;
    mail_template_destroy(&held->mail);
    free(held);
}

/* --- the cache --- */

struct template_cache *template_cache_create(void)
{
    struct template_cache *cache = xcalloc(1, sizeof *cache);

    cache->names = map_create();
    cache->versions = map_create();
    list_init(&cache->used);
    return cache;
}

void template_cache_forget(struct template_cache *cache)
{
    size_t at = 0;
    struct str key;
    void *name;

    while (map_next(cache->names, &at, &key, &name))
        free(name);
    map_destroy(&cache->names);
    cache->names = map_create();
}

static void evict(struct template_cache *cache, struct held_template *held)
{
    list_remove(&held->link);
    cache->bytes -= mail_template_bytes(held->mail);
    map_remove(cache->versions, str_of(held->version));
    held_template_drop(&held);
}

static void shrink(struct template_cache *cache, size_t bytes_max)
{
    struct held_template *held;

    while (cache->bytes > bytes_max &&
           (held = LIST_FIRST(&cache->used, struct held_template, link)) !=
               NULL)
        evict(cache, held);
}

void template_cache_destroy(struct template_cache **cache)
{
    if (*cache == NULL)
        return;
    template_cache_forget(*cache);
    shrink(*cache, 0);
    map_destroy(&(*cache)->names);
    map_destroy(&(*cache)->versions);
    free(*cache);
    *cache = NULL;
}

static struct str key_of(struct str owner, struct str name, char out[KEY_SIZE])
{
    int len =
        snprintf(out, KEY_SIZE, "%.*s %.*s", STR_ARG(owner), STR_ARG(name));

    return len > 0 && len < KEY_SIZE ? str_make(out, (size_t)len) : S("");
}

static struct name *name_find(struct template_cache *cache, struct str owner,
                              struct str name)
{
    char key[KEY_SIZE];

    return map_get(cache->names, key_of(owner, name, key));
}

static void name_put(struct template_cache *cache, struct str owner,
                     struct str name, struct str version)
{
    struct name *entry = xcalloc(1, sizeof *entry);
    char key[KEY_SIZE];

    if (map_count(cache->names) >= NAMES_MAX)
        template_cache_forget(cache);
    copy_text(entry->version, version);
    entry->at_ms = clock_now_ms();
    free(map_put(cache->names, key_of(owner, name, key), entry));
}

static struct held_template *hold(struct template_cache *cache,
                                  struct str version)
{
    struct held_template *held = map_get(cache->versions, version);

    if (held == NULL)
        return NULL;
    list_remove(&held->link);
    list_add_last(&cache->used, &held->link);
    held->holders++;
    return held;
}

struct held_template *template_cache_get(struct template_cache *cache,
                                         struct str owner, struct str name)
{
    const struct name *entry = name_find(cache, owner, name);

    if (entry == NULL || clock_now_ms() - entry->at_ms >= NAME_FRESH_MS)
        return NULL;
    return hold(cache, str_of(entry->version));
}

struct str template_cache_version(struct template_cache *cache,
                                  struct str owner, struct str name)
{
    const struct name *entry = name_find(cache, owner, name);

    if (entry == NULL ||
        map_get(cache->versions, str_of(entry->version)) == NULL)
        return S("");
    return str_of(entry->version);
}

struct held_template *template_cache_renew(struct template_cache *cache,
                                           struct str owner, struct str name,
                                           struct str version)
{
    struct held_template *held = hold(cache, version);

    if (held != NULL)
        name_put(cache, owner, name, version);
    return held;
}

void template_cache_put(struct template_cache *cache, struct str owner,
                        struct str name, struct held_template *held)
{
    size_t bytes = mail_template_bytes(held->mail);

    if (bytes > BYTES_MAX || map_get(cache->versions, str_of(held->version)))
        return;
    shrink(cache, BYTES_MAX - bytes);
    held->holders++;
    cache->bytes += bytes;
    map_put(cache->versions, str_of(held->version), held);
    list_add_last(&cache->used, &held->link);
    name_put(cache, owner, name, str_of(held->version));
}
