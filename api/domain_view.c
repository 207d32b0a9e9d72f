#include "api/domain_view.h"

#include "server/domain/domain.h"

static const char *const KEY_STATES[] = {
    [SENDER_KEY_NEXT] = "next",
    [SENDER_KEY_SIGNS] = "signing",
    [SENDER_KEY_OLD] = "old",
    [SENDER_KEY_REVOKED] = "revoked",
    [SENDER_KEY_COMPROMISED] = "revoked",
};

static const enum domain_key_use KEY_USES[] = {
    [SENDER_KEY_NEXT] = DOMAIN_KEY_NEXT,
    [SENDER_KEY_SIGNS] = DOMAIN_KEY_SIGNS,
    [SENDER_KEY_OLD] = DOMAIN_KEY_PAST,
    [SENDER_KEY_REVOKED] = DOMAIN_KEY_PAST,
    [SENDER_KEY_COMPROMISED] = DOMAIN_KEY_COMPROMISED,
};

/* Both keys of each generation; what is revoked has an empty p=. */
static struct domain_key *keys_of(const struct sender_domain *domain,
                                  int64_t now_ms, struct arena *arena)
{
    struct domain_key *keys =
        ARENA_ARRAY(arena, struct domain_key, 2 * domain->key_count + 1);

    for (size_t i = 0; i < domain->key_count; i++) {
        const struct sender_key *key = &domain->keys[i];
        enum sender_key_state state = sender_key_state(key, now_ms);
        bool is_revoked = sender_key_is_revoked(state);

        keys[2 * i] = (struct domain_key){
            .selector = key->rsa_selector,
            .algorithm = DKIM_RSA,
            .public_key = is_revoked ? S("") : key->rsa_public,
            .use = KEY_USES[state],
        };
        keys[2 * i + 1] = (struct domain_key){
            .selector = key->ed25519_selector,
            .algorithm = DKIM_ED25519,
            .public_key = is_revoked ? S("") : key->ed25519_public,
            .use = KEY_USES[state],
        };
    }
    return keys;
}

/* Name, status, created_at, region, records. */
static void put_shown(struct json_out *out, const struct sender_domain *domain,
                      const struct config *config, int64_t now_ms,
                      struct arena *arena)
{
    struct domain_report *report = ARENA_NEW(arena, struct domain_report);
    struct domain_setup setup = {
        .name = domain->name,
        .return_path = domain->return_path,
        .keys = keys_of(domain, now_ms, arena),
        .key_count = 2 * domain->key_count,
        .spf_include = str_of(config->sending.spf_include),
        .bounce_mx = str_of(config->sending.bounce_mx),
        .bounce_domain = str_of(config->sending.bounce_domain),
    };

    domain_report_read(domain->report, arena, report);
    domain_show(out,
                &(struct domain_shown){
                    .setup = &setup,
                    .report = domain->report.len > 0 ? report : NULL,
                    .status = domain->status,
                    .region = domain->region,
                    .created_ms = domain->created_ms,
                },
                arena);
}

static void put_features(struct json_out *out)
{
    json_name(out, "capabilities");
    json_open_map(out);
    json_add_cstr(out, "sending", "enabled");
    json_add_cstr(out, "receiving", "disabled");
    json_close_map(out);
    json_add_bool(out, "open_tracking", false);
    json_add_bool(out, "click_tracking", false);
    json_add_cstr(out, "tls", "opportunistic");
}

static void put_key(struct json_out *out, const struct sender_key *key,
                    int64_t now_ms)
{
    json_open_map(out);
    json_add_str(out, "id", id_str(&key->id));
    json_add_int(out, "generation", key->generation);
    json_name(out, "selectors");
    json_open_list(out);
    json_put_str(out, key->rsa_selector);
    json_put_str(out, key->ed25519_selector);
    json_close_list(out);
    json_add_cstr(out, "state", KEY_STATES[sender_key_state(key, now_ms)]);
    json_add_time(out, "created_at", key->created_ms);
    json_add_time_or_null(out, "signs_at", key->signs_ms);
    json_add_time_or_null(out, "retires_at", key->retires_ms);
    json_add_time_or_null(out, "compromised_at", key->compromised_ms);
    json_close_map(out);
}

static void put_checks(struct json_out *out, const struct sender_domain *domain)
{
    json_add_str(out, "custom_return_path", domain->return_path);
    json_add_time_or_null(out, "last_checked_at", domain->checked_ms);
    json_add_time_or_null(out, "next_check_at", domain->due_ms);
    if (domain->report.len > 0) {
        json_name(out, "report");
        json_put_raw(out, domain->report);
    }
}

void domain_view(struct json_out *out, const struct sender_domain *domain,
                 const struct config *config, int64_t now_ms, bool with_records,
                 struct arena *arena)
{
    json_add_str(out, "id", id_str(&domain->id));
    if (!with_records) {
        json_add_str(out, "name", domain->name);
        json_add_str(out, "status", domain->status);
        json_add_time(out, "created_at", domain->created_ms);
        json_add_str(out, "region", domain->region);
        put_features(out);
        return;
    }
    put_shown(out, domain, config, now_ms, arena);
    put_features(out);
    put_checks(out, domain);
    json_name(out, "keys");
    json_open_list(out);
    for (size_t i = 0; i < domain->key_count; i++)
        put_key(out, &domain->keys[i], now_ms);
    json_close_list(out);
}

struct domain_event domain_event_of(enum event_type type,
                                    const struct sender_domain *domain,
                                    const struct config *config, int64_t now_ms,
                                    struct arena *arena)
{
    struct domain_event event = {.type = type};
    struct json_out out;
    struct buf map;

    buf_init(&map, DOMAIN_VIEW_MAX);
    json_out_init(&out, &map);
    json_open_map(&out);
    put_shown(&out, domain, config, now_ms, arena);
    json_close_map(&out);
    event.members = arena_copy(arena, str_slice(buf_str(&map), 1, map.len - 2));
    buf_finish(&map);
    return event;
}
