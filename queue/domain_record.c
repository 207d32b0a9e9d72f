/* The text of a domain, and what its generations of keys are at a time. Short
 * names: it is read for each mail whose domain is not cached. */
#include "queue/domains.h"

/* --- generations --- */

enum sender_key_state sender_key_state(const struct sender_key *key,
                                       int64_t now_ms)
{
    if (key->retires_ms == 0 || now_ms < key->retires_ms)
        return key->signs_ms > 0 && now_ms >= key->signs_ms ? SENDER_KEY_SIGNS
                                                            : SENDER_KEY_NEXT;
    if (key->compromised_ms > 0)
        return SENDER_KEY_COMPROMISED;
    return now_ms < key->retires_ms + SENDER_KEY_OLD_MS ? SENDER_KEY_OLD
                                                        : SENDER_KEY_REVOKED;
}

bool sender_key_is_revoked(enum sender_key_state state)
{
    return state == SENDER_KEY_REVOKED || state == SENDER_KEY_COMPROMISED;
}

const struct sender_key *
sender_domain_signer(const struct sender_domain *domain, int64_t now_ms)
{
    for (size_t i = domain->key_count; i-- > 0;)
        if (sender_key_state(&domain->keys[i], now_ms) == SENDER_KEY_SIGNS)
            return &domain->keys[i];
    return NULL;
}

/* What the domain does not know (any more) is not asked for in DNS either. */
static bool is_revoked(const struct sender_domain *domain,
                       const struct id *generation, int64_t now_ms)
{
    for (size_t i = 0; i < domain->key_count; i++)
        if (str_eq(id_str(&domain->keys[i].id), id_str(generation)))
            return sender_key_is_revoked(
                sender_key_state(&domain->keys[i], now_ms));
    return true;
}

const struct id *sender_domain_signs_for(const struct sender_domain *domain,
                                         const struct id *accepted,
                                         int64_t now_ms)
{
    const struct sender_key *signer;

    if (domain == NULL || !is_revoked(domain, accepted, now_ms))
        return accepted;
    signer = sender_domain_signer(domain, now_ms);
    return signer == NULL ? accepted : &signer->id;
}

struct sender_key *sender_domain_next(struct sender_domain *domain,
                                      int64_t now_ms)
{
    struct sender_key *newest;

    if (domain->key_count == 0)
        return NULL;
    newest = &domain->keys[domain->key_count - 1];
    return sender_key_state(newest, now_ms) == SENDER_KEY_NEXT ? newest : NULL;
}

void sender_domain_switch(struct sender_domain *domain, int64_t now_ms,
                          int64_t delay_ms)
{
    const struct sender_key *signer = sender_domain_signer(domain, now_ms);
    struct sender_key *next = sender_domain_next(domain, now_ms);

    if (next == NULL || next->signs_ms > 0)
        return;
    if (signer != NULL && signer->compromised_ms > 0)
        delay_ms = 0;
    next->signs_ms = now_ms + delay_ms;
    for (struct sender_key *key = domain->keys; key < next; key++)
        if (key->retires_ms == 0)
            key->retires_ms = next->signs_ms;
}

void sender_domain_stay(struct sender_domain *domain, int64_t now_ms)
{
    struct sender_key *next = sender_domain_next(domain, now_ms);

    if (next == NULL || next->signs_ms == 0)
        return;
    for (struct sender_key *key = domain->keys; key < next; key++)
        if (key->retires_ms == next->signs_ms)
            key->retires_ms = 0;
    next->signs_ms = 0;
}

void sender_domain_compromise(struct sender_domain *domain, int64_t now_ms)
{
    struct sender_key *next = sender_domain_next(domain, now_ms);

    sender_domain_stay(domain, now_ms);
    if (next != NULL)
        next->retires_ms = now_ms;
    for (size_t i = 0; i < domain->key_count; i++)
        if (domain->keys[i].compromised_ms == 0)
            domain->keys[i].compromised_ms = now_ms;
}

static bool is_forgotten(const struct sender_key *key, int64_t now_ms,
                         int64_t message_ttl_ms)
{
    return key->retires_ms > 0 &&
           now_ms >= key->retires_ms + SENDER_KEY_KEPT_MS + message_ttl_ms;
}

/* Its private halves are swept when it was said that they are. */
static void remove_oldest(struct sender_domain *domain, int64_t now_ms)
{
    const struct sender_key *signer = sender_domain_signer(domain, now_ms);
    size_t oldest = &domain->keys[0] == signer ? 1 : 0;

    domain->key_count--;
    for (size_t i = oldest; i < domain->key_count; i++)
        domain->keys[i] = domain->keys[i + 1];
}

void sender_domain_forget(struct sender_domain *domain, int64_t now_ms,
                          int64_t message_ttl_ms)
{
    size_t kept = 0;

    for (size_t i = 0; i < domain->key_count; i++)
        if (!is_forgotten(&domain->keys[i], now_ms, message_ttl_ms))
            domain->keys[kept++] = domain->keys[i];
    domain->key_count = kept;
    if (kept == SENDER_KEYS_MAX)
        remove_oldest(domain, now_ms);
}

void sender_seal_context(struct str owner, struct str domain,
                         const struct id *key, struct buf *out)
{
    buf_addf(out, "%.*s/%.*s/%s", STR_ARG(owner), STR_ARG(domain), key->text);
}

/* --- writing --- */

static void put_number(struct json_out *json, const char *name, int64_t value)
{
    if (value != 0)
        json_add_int(json, name, value);
}

static void put_key(struct json_out *json, const struct sender_key *key)
{
    json_open_map(json);
    json_add_str(json, "i", id_str(&key->id));
    json_add_int(json, "g", key->generation);
    json_add_str(json, "rs", key->rsa_selector);
    json_add_str(json, "es", key->ed25519_selector);
    json_add_str(json, "r", key->rsa_public);
    json_add_str(json, "e", key->ed25519_public);
    json_add_int(json, "at", key->created_ms);
    put_number(json, "s", key->signs_ms);
    put_number(json, "x", key->retires_ms);
    put_number(json, "c", key->compromised_ms);
    json_close_map(json);
}

void sender_domain_write(const struct sender_domain *domain, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    json_add_str(&json, "n", domain->name);
    json_add_str(&json, "p", domain->return_path);
    json_add_str(&json, "rg", domain->region);
    json_add_str(&json, "st", domain->status);
    json_add_int(&json, "at", domain->created_ms);
    json_name(&json, "k");
    json_open_list(&json);
    for (size_t i = 0; i < domain->key_count; i++)
        put_key(&json, &domain->keys[i]);
    json_close_list(&json);
    put_number(&json, "c", domain->checked_ms);
    put_number(&json, "d", domain->due_ms);
    put_number(&json, "b", domain->since_ms);
    put_number(&json, "t", domain->checks);
    if (domain->report.len > 0)
        json_add_str(&json, "rp", domain->report);
    json_close_map(&json);
}

/* --- reading --- */

static struct str copy(struct arena *arena, const struct json *map,
                       const char *name)
{
    return arena_copy(arena, json_get_str(map, name));
}

static bool read_key(const struct json *map, struct arena *arena,
                     struct sender_key *key)
{
    key->generation = (unsigned)json_get_int(map, "g");
    key->rsa_selector = copy(arena, map, "rs");
    key->ed25519_selector = copy(arena, map, "es");
    key->rsa_public = copy(arena, map, "r");
    key->ed25519_public = copy(arena, map, "e");
    key->created_ms = json_get_int(map, "at");
    key->signs_ms = json_get_int(map, "s");
    key->retires_ms = json_get_int(map, "x");
    key->compromised_ms = json_get_int(map, "c");
    return key->rsa_selector.len <= SENDER_SELECTOR_MAX &&
           key->ed25519_selector.len <= SENDER_SELECTOR_MAX &&
           key->rsa_public.len <= SENDER_PUBLIC_MAX &&
           key->ed25519_public.len <= SENDER_PUBLIC_MAX &&
           id_parse(json_get_str(map, "i"), &key->id);
}

static bool read_keys(const struct json *list, struct arena *arena,
                      struct sender_domain *domain)
{
    domain->key_count = json_count(list);
    if (domain->key_count == 0 || domain->key_count > SENDER_KEYS_MAX)
        return false;
    for (size_t i = 0; i < domain->key_count; i++)
        if (!read_key(json_at(list, i), arena, &domain->keys[i]))
            return false;
    return true;
}

/* What is read can be written, and shown, by this release too. */
static bool has_room(const struct sender_domain *domain)
{
    return domain->name.len <= SENDER_NAME_MAX &&
           domain->return_path.len <= SENDER_WORD_MAX &&
           domain->region.len <= SENDER_WORD_MAX &&
           domain->status.len <= SENDER_WORD_MAX;
}

bool sender_domain_read(struct str text, struct arena *arena,
                        struct sender_domain *domain)
{
    struct json *map = json_parse(text, NULL);
    bool is_good = json_type_of(map) == JSON_MAP &&
                   read_keys(json_get(map, "k"), arena, domain);

    domain->name = copy(arena, map, "n");
    domain->return_path = copy(arena, map, "p");
    domain->region = copy(arena, map, "rg");
    domain->status = copy(arena, map, "st");
    domain->created_ms = json_get_int(map, "at");
    domain->checked_ms = json_get_int(map, "c");
    domain->due_ms = json_get_int(map, "d");
    domain->since_ms = json_get_int(map, "b");
    domain->checks = (unsigned)json_get_int(map, "t");
    domain->report = copy(arena, map, "rp");
    if (domain->report.len > SENDER_REPORT_MAX)
        domain->report = S(""); /* the next check writes one */
    json_destroy(&map);
    return is_good && domain->name.len > 0 && has_room(domain);
}
