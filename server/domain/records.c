#include "server/domain/domain.h"
#include "server/domain/names.h"

enum {
    MX_PRIORITY = 10,    /* any will do: it is the only one */
    TXT_STRING_MAX = 255 /* RFC 1035 section 3.3 */
};

static const enum domain_weight KEY_WEIGHTS[] = {
    [DOMAIN_KEY_SIGNS] = DOMAIN_REQUIRED,
    [DOMAIN_KEY_NEXT] = DOMAIN_RECOMMENDED,
    [DOMAIN_KEY_PAST] = DOMAIN_ADVICE,
    [DOMAIN_KEY_COMPROMISED] = DOMAIN_RECOMMENDED,
};

/* Records are made of base64, names and our own words: no quotation mark or
 * backslash, so nothing needs to be escaped. */
static struct str split(struct arena *arena, struct str value)
{
    struct buf out;
    struct str text;

    buf_init(&out, 2 * value.len + 16);
    for (size_t at = 0; at == 0 || at < value.len; at += TXT_STRING_MAX) {
        buf_add_cstr(&out, at == 0 ? "\"" : " \"");
        buf_add(&out, str_slice(value, at, TXT_STRING_MAX));
        buf_add_char(&out, '"');
    }
    CHECK(!out.full);
    text = arena_copy(arena, buf_str(&out));
    buf_finish(&out);
    return text;
}

struct list_of_records {
    const struct domain_setup *setup;
    struct arena *arena;
    struct domain_record *records;
    size_t count;
};

static struct domain_record *add(struct list_of_records *list, const char *word,
                                 enum domain_check check,
                                 enum domain_weight weight, struct str name)
{
    struct domain_record *record = &list->records[list->count++];

    CHECK(list->count <= DOMAIN_RECORDS_MAX);
    *record = (struct domain_record){
        .record = word,
        .check = check,
        .weight = weight,
        .name = name.len == 0 ? S("@") : name,
        .fqdn = name_below(list->arena, name, list->setup->name),
    };
    return record;
}

static void set_txt(struct list_of_records *list, struct domain_record *record,
                    struct str value)
{
    record->type = "TXT";
    record->value = value;
    record->split = split(list->arena, value);
}

struct str domain_key_name(struct arena *arena, const struct domain_key *key)
{
    return arena_printf(arena, "%.*s._domainkey", STR_ARG(key->selector));
}

struct str domain_key_value(struct arena *arena, const struct domain_key *key)
{
    return arena_printf(arena, "v=DKIM1; k=%s; p=%.*s",
                        dkim_algorithm_name(key->algorithm),
                        STR_ARG(key->public_key));
}

enum domain_weight domain_key_weight(const struct domain_key *key)
{
    return KEY_WEIGHTS[key->use];
}

struct str domain_spf_value(struct arena *arena, struct str include)
{
    return arena_printf(arena, "v=spf1 include:%.*s ~all", STR_ARG(include));
}

static void add_keys(struct list_of_records *list)
{
    for (size_t i = 0; i < list->setup->key_count; i++) {
        const struct domain_key *key = &list->setup->keys[i];

        set_txt(list,
                add(list, "DKIM", DOMAIN_CHECK_DKIM, domain_key_weight(key),
                    domain_key_name(list->arena, key)),
                domain_key_value(list->arena, key));
    }
}

bool domain_has_return_path(const struct domain_setup *setup)
{
    return setup->return_path.len > 0 && setup->bounce_mx.len > 0;
}

bool domain_wants_spf(const struct domain_setup *setup)
{
    return setup->spf_include.len > 0 &&
           (domain_has_return_path(setup) || setup->bounce_domain.len == 0);
}

static void add_bounce_mx(struct list_of_records *list)
{
    const struct domain_setup *setup = list->setup;
    struct domain_record *mx = add(list, "SPF", DOMAIN_CHECK_RETURN_PATH_MX,
                                   DOMAIN_REQUIRED, setup->return_path);

    mx->type = "MX";
    mx->value = setup->bounce_mx;
    mx->priority = MX_PRIORITY;
    mx->split = arena_printf(list->arena, "%u %.*s.", mx->priority,
                             STR_ARG(setup->bounce_mx));
}

static void add_return_path(struct list_of_records *list)
{
    const struct domain_setup *setup = list->setup;
    bool own = domain_has_return_path(setup);

    if (own)
        add_bounce_mx(list);
    if (!domain_wants_spf(setup))
        return;
    set_txt(list,
            add(list, "SPF",
                own ? DOMAIN_CHECK_RETURN_PATH_SPF : DOMAIN_CHECK_SPF,
                DOMAIN_REQUIRED, own ? setup->return_path : S("")),
            domain_spf_value(list->arena, setup->spf_include));
}

size_t domain_records(const struct domain_setup *setup, struct arena *arena,
                      struct domain_record records[DOMAIN_RECORDS_MAX])
{
    struct list_of_records list = {
        .setup = setup, .arena = arena, .records = records};

    CHECK(setup->key_count <= DOMAIN_KEYS_MAX);
    add_keys(&list);
    add_return_path(&list);
    set_txt(&list,
            add(&list, "DMARC", DOMAIN_CHECK_DMARC, DOMAIN_RECOMMENDED,
                S("_dmarc")),
            S("v=DMARC1; p=none;"));
    return list.count;
}
