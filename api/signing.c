#include "api/signing.h"

#include "server/base/clock.h"
#include "server/base/map.h"
#include "server/base/mem.h"
#include "server/domain/domain.h"

#include <stdio.h>
#include <stdlib.h>

enum { ENTRIES_MAX = 10000, TEXT_SIZE = 254, SELECTOR_SIZE = 64 };

/* One of an owner's Froms, or of an owner without any domain. */
struct entry {
    int64_t at_ms;
    bool is_verified;
    char domain[TEXT_SIZE]; /* empty: not signed */
    char key[ID_SIZE];
    char return_path[TEXT_SIZE];
    char nearest[ID_SIZE]; /* empty: no domain */
    char selectors[DKIM_ALGORITHMS][SELECTOR_SIZE];
};

struct signing_cache {
    struct map *entries; /* by "owner" and "owner domain" */
};

/* --- what is remembered --- */

struct signing_cache *signing_cache_create(void)
{
    struct signing_cache *cache = xmalloc(sizeof *cache);

    cache->entries = map_create();
    return cache;
}

static void entries_clear(struct signing_cache *cache)
{
    size_t at = 0;
    struct str key;
    void *entry;

    while (map_next(cache->entries, &at, &key, &entry))
        free(entry);
    map_destroy(&cache->entries);
}

void signing_cache_destroy(struct signing_cache **cache)
{
    if (*cache == NULL)
        return;
    entries_clear(*cache);
    free(*cache);
    *cache = NULL;
}

void signing_cache_forget(struct signing_cache *cache)
{
    entries_clear(cache);
    cache->entries = map_create();
}

static const struct entry *entry_get(const struct signing_cache *cache,
                                     struct str key)
{
    const struct entry *entry = map_get(cache->entries, key);

    if (entry == NULL || clock_now_ms() - entry->at_ms >= SIGNING_FRESH_MS)
        return NULL;
    return entry;
}

static void copy(char *to, size_t size, struct str text)
{
    CHECK(text.len < size);
    snprintf(to, size, "%.*s", STR_ARG(text));
}

static void entry_put(struct signing_cache *cache, struct str key,
                      const struct signing *signing)
{
    struct entry *entry;

    if (map_count(cache->entries) >= ENTRIES_MAX)
        signing_cache_forget(cache);
    entry = xcalloc(1, sizeof *entry);
    entry->at_ms = clock_now_ms();
    entry->is_verified = signing->is_verified;
    copy(entry->domain, sizeof entry->domain, signing->keys.domain);
    copy(entry->key, sizeof entry->key, signing->keys.key);
    copy(entry->return_path, sizeof entry->return_path,
         signing->keys.return_path);
    copy(entry->nearest, sizeof entry->nearest, signing->nearest);
    for (size_t i = 0; i < DKIM_ALGORITHMS; i++)
        copy(entry->selectors[i], SELECTOR_SIZE, signing->selectors[i]);
    free(map_put(cache->entries, key, entry));
}

/* --- finding it --- */

struct finding {
    struct call *call;
    struct str from_domain;
    signing_fn done;
    void *ctx;
};

static bool is_verified(const struct sender_domain *domain)
{
    enum domain_status status;

    return domain_status_of(domain->status, &status) && domain_may_send(status);
}

/* In arena; empty: none that works, by the last check. */
static struct str return_path_of(const struct sender_domain *domain,
                                 struct arena *arena)
{
    struct domain_report *report = ARENA_NEW(arena, struct domain_report);
    struct str host =
        arena_printf(arena, "%.*s.%.*s", STR_ARG(domain->return_path),
                     STR_ARG(domain->name));

    domain_report_read(domain->report, arena, report);
    return host.len < TEXT_SIZE && domain_takes_bounces(report, host) ? host
                                                                      : S("");
}

bool signing_suits(const struct signing *signing, const struct api_key *key)
{
    return key->domain.len == 0 ||
           str_eq(signing->nearest, id_str(&key->domain_id));
}

/* The nearest one that is verified, else the nearest. */
static struct signing choose(const struct queue_domains *found, int64_t now_ms,
                             struct arena *arena)
{
    struct signing signing = {.is_verified = false};

    if (found->count > 0)
        signing.nearest = id_str(&found->domains[0].id);
    for (size_t i = 0; i < found->count; i++) {
        const struct sender_domain *domain = &found->domains[i];
        const struct sender_key *key = sender_domain_signer(domain, now_ms);

        if (key == NULL || (signing.keys.key.len > 0 && !is_verified(domain)))
            continue;
        signing.keys.domain = domain->name;
        signing.keys.key = id_str(&key->id);
        signing.keys.return_path = return_path_of(domain, arena);
        signing.selectors[DKIM_RSA] = key->rsa_selector;
        signing.selectors[DKIM_ED25519] = key->ed25519_selector;
        signing.is_verified = is_verified(domain);
        if (signing.is_verified)
            break;
    }
    return signing;
}

/* Its texts live as long as the call. */
static void keep(struct signing *signing, struct arena *arena)
{
    struct job_signing *keys = &signing->keys;

    keys->domain = arena_copy(arena, keys->domain);
    keys->key = arena_copy(arena, keys->key);
    keys->return_path = arena_copy(arena, keys->return_path);
    signing->nearest = arena_copy(arena, signing->nearest);
    for (size_t i = 0; i < DKIM_ALGORITHMS; i++)
        signing->selectors[i] = arena_copy(arena, signing->selectors[i]);
}

static void take(const struct entry *entry, struct signing *signing)
{
    signing->is_verified = entry->is_verified;
    signing->keys.domain = str_of(entry->domain);
    signing->keys.key = str_of(entry->key);
    signing->keys.return_path = str_of(entry->return_path);
    signing->nearest = str_of(entry->nearest);
    for (size_t i = 0; i < DKIM_ALGORITHMS; i++)
        signing->selectors[i] = str_of(entry->selectors[i]);
}

static struct str entry_key(const struct call *call, struct str from_domain)
{
    return arena_printf(call->arena, "%.*s %.*s", STR_ARG(call->key.owner),
                        STR_ARG(from_domain));
}

static void on_found(void *ctx, const struct queue_domains *found)
{
    struct finding *finding = ctx;
    struct call *call = finding->call;
    struct signing signing;

    if (found->status != QUEUE_OK) {
        call_fail_queue(call, found->status, &found->why, NULL);
        return;
    }
    signing = choose(found, clock_shared_ms(), call->arena);
    signing.owner_has_none = found->owner_has_none;
    entry_put(call->api->signings,
              found->owner_has_none ? call->key.owner
                                    : entry_key(call, finding->from_domain),
              &signing);
    keep(&signing, call->arena);
    if (call_goes_on(call))
        finding->done(finding->ctx, &signing);
}

/* A key whose domain was not there then may have been made since, as that
 * domain: nobody shall hear of an old look that it is gone. */
static bool recall(const struct call *call, struct str from_domain,
                   struct signing *signing)
{
    const struct signing_cache *cache = call->api->signings;
    const struct entry *entry = entry_get(cache, call->key.owner);

    signing->owner_has_none = entry != NULL;
    if (entry == NULL)
        entry = entry_get(cache, entry_key(call, from_domain));
    if (entry == NULL)
        return false;
    take(entry, signing);
    return signing_suits(signing, &call->key);
}

void signing_find(struct call *call, struct str from_domain, signing_fn done,
                  void *ctx)
{
    struct signing signing = {.is_verified = false};
    struct finding *finding;

    if (recall(call, from_domain, &signing)) {
        keep(&signing, call->arena);
        done(ctx, &signing);
        return;
    }
    finding = ARENA_NEW(call->arena, struct finding);
    *finding = (struct finding){call, from_domain, done, ctx};
    queue_domain_find(call->api->queue, call_owner(call), from_domain, on_found,
                      finding);
}

/* --- how it is shown --- */

static struct str reason_of(const struct signing *signing,
                            struct str from_domain, struct arena *arena)
{
    if (signing == NULL)
        return S("which domains there are is known to a server only: ask it "
                 "for POST /v1/emails?dry_run=true");
    if (signing->owner_has_none)
        return S("this account has no domain: POST /v1/domains, or `posthaste "
                 "domains add`");
    return arena_printf(arena,
                        "no domain of this account is %.*s or above it: POST "
                        "/v1/domains, or `posthaste domains add`",
                        STR_ARG(from_domain));
}

static void put_signatures(const struct signing *signing, struct json_out *out)
{
    json_name(out, "signatures");
    json_open_list(out);
    for (int i = 0; i < DKIM_ALGORITHMS; i++) {
        char name[32];

        snprintf(name, sizeof name, "%s-sha256",
                 dkim_algorithm_name((enum dkim_algorithm)i));
        json_open_map(out);
        json_add_cstr(out, "algorithm", name);
        json_add_str(out, "selector", signing->selectors[i]);
        json_close_map(out);
    }
    json_close_list(out);
}

void signing_put(struct json_out *out, const struct signing *signing,
                 struct str from_domain, struct arena *arena)
{
    bool is_signed = signing != NULL && signing->keys.domain.len > 0;

    json_name(out, "signing");
    json_open_map(out);
    json_add_str_or_null(out, "domain",
                         is_signed ? signing->keys.domain : S(""));
    if (is_signed) {
        put_signatures(signing, out);
        json_add_bool(out, "verified", signing->is_verified);
        json_add_str_or_null(out, "return_path", signing->keys.return_path);
    } else {
        json_add_str(out, "reason", reason_of(signing, from_domain, arena));
    }
    json_close_map(out);
}
