#include "server/base/config_value.h"

#include "server/base/codec.h"
#include "server/base/config.h"
#include "server/base/config_text.h"

#include <inttypes.h>

/* --- types --- */

static const char *type_name(enum toml_type type)
{
    static const char *const names[] = {
        [TOML_TEXT] = "text in quotes",
        [TOML_INT] = "an integer",
        [TOML_BOOL] = "true or false",
        [TOML_LIST] = "an array",
    };

    return names[type];
}

static bool is_type(struct config_reading *r, const struct toml_value *value,
                    enum toml_type type)
{
    r->place = value->place;
    if (value->type == type)
        return true;
    return config_refuse(r, "must be %s, not %s", type_name(type),
                         type_name(value->type));
}

/* --- one value --- */

static bool read_one(struct config_reading *r, const struct toml_value *value,
                     config_text_fn *text, void *to)
{
    return text(r, value->text, to);
}

static bool read_int(struct config_reading *r, const struct toml_value *value,
                     config_text_fn *text, void *to)
{
    (void)text;
    return config_read_int(r, value->number, to);
}

static bool read_bool(struct config_reading *r, const struct toml_value *value,
                      config_text_fn *text, void *to)
{
    (void)r;
    (void)text;
    *(bool *)to = value->truth;
    return true;
}

/* --- lists --- */

static bool read_texts(struct config_reading *r, const struct toml_value *value,
                       config_text_fn *item, void *to)
{
    struct config_list list = {
        .items = ARENA_ARRAY(r->arena, const char *, value->count),
        .count = value->count,
    };

    for (size_t i = 0; i < value->count; i++) {
        if (!is_type(r, &value->items[i], TOML_TEXT) ||
            !item(r, value->items[i].text, &list.items[i]))
            return false;
        if (value->items[i].text.len == 0)
            return config_refuse(r, "must not be empty");
    }
    *(struct config_list *)to = list;
    return true;
}

static bool read_some(struct config_reading *r, const struct toml_value *value,
                      config_text_fn *item, void *to)
{
    if ((int64_t)value->count > r->key->max)
        return config_refuse(r, "must have at most %" PRId64 " items",
                             r->key->max);
    return read_texts(r, value, item, to);
}

static bool read_command(struct config_reading *r,
                         const struct toml_value *value, config_text_fn *item,
                         void *to)
{
    struct config_list words = {.count = 0};

    if (!read_texts(r, value, item, &words))
        return false;
    if (words.count > 0) {
        r->place = value->items[0].place;
        if (!config_check_program(r, words.items[0]))
            return false;
    }
    *(struct config_list *)to = words;
    return true;
}

static bool read_durations(struct config_reading *r,
                           const struct toml_value *value, config_text_fn *item,
                           void *to)
{
    struct config_duration_list list = {
        .items_ms = ARENA_ARRAY(r->arena, int64_t, value->count),
        .count = value->count,
    };

    for (size_t i = 0; i < value->count; i++)
        if (!is_type(r, &value->items[i], TOML_TEXT) ||
            !item(r, value->items[i].text, &list.items_ms[i]))
            return false;
    *(struct config_duration_list *)to = list;
    return true;
}

static bool read_rates(struct config_reading *r, const struct toml_value *value,
                       config_text_fn *item, void *to)
{
    struct config_rate *rates =
        ARENA_ARRAY(r->arena, struct config_rate, value->count);

    for (size_t i = 0; i < value->count; i++) {
        int64_t rate[2] = {0, 0}; /* as config_read_rate fills them */

        if (!is_type(r, &value->items[i], TOML_TEXT))
            return false;
        if (value->items[i].text.len == 0)
            return config_refuse(r, "must not be empty");
        if (!item(r, value->items[i].text, rate))
            return false;
        rates[i] = (struct config_rate){rate[0], rate[1]};
        for (size_t k = 0; k < i; k++)
            if (rates[k].per_ms == rates[i].per_ms)
                return config_refuse(r, "has two rates of one unit");
    }
    *(struct config_rate_list *)to =
        (struct config_rate_list){rates, value->count};
    return true;
}

static bool read_ports(struct config_reading *r, const struct toml_value *value,
                       config_text_fn *item, void *to)
{
    struct config_list list = {
        .items = ARENA_ARRAY(r->arena, const char *, value->count),
        .count = value->count,
    };
    int64_t port = 0;

    (void)item;
    for (size_t i = 0; i < value->count; i++) {
        if (!is_type(r, &value->items[i], TOML_INT) ||
            !config_read_int(r, value->items[i].number, &port))
            return false;
        list.items[i] = arena_printf(r->arena, "%" PRId64, port).ptr;
    }
    *(struct config_list *)to = list;
    return true;
}

/* --- what this build does not honour --- */

static bool is_same(const struct toml_value *a, const struct toml_value *b)
{
    if (a->type != b->type || a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!is_same(&a->items[i], &b->items[i]))
            return false;
    return str_eq(a->text, b->text) && a->number == b->number &&
           a->truth == b->truth;
}

static bool read_later(struct config_reading *r, const struct toml_value *value,
                       config_text_fn *item, void *to)
{
    struct toml_value only = config_key_default(r->key, r->arena);

    (void)item;
    (void)to;
    if (is_same(value, &only))
        return true;
    return config_refuse(r, "not supported yet; leave it out");
}

/* --- all kinds --- */

/* How a kind is read: what type it has in the file, by whom, and who reads
 * its text, or each of its texts. */
static const struct kind {
    enum toml_type type; /* KIND_LATER: that of the default */
    bool (*read)(struct config_reading *r, const struct toml_value *value,
                 config_text_fn *text, void *to);
    config_text_fn *text;
} KINDS[] = {
    [KIND_TEXT] = {TOML_TEXT, read_one, config_read_text},
    [KIND_NAME] = {TOML_TEXT, read_one, config_read_name},
    [KIND_NAMES] = {TOML_LIST, read_texts, config_read_name},
    [KIND_HOST] = {TOML_TEXT, read_one, config_read_host},
    [KIND_HOSTS] = {TOML_LIST, read_some, config_read_host},
    [KIND_DOMAIN] = {TOML_TEXT, read_one, config_read_domain},
    [KIND_ENDPOINT] = {TOML_TEXT, read_one, config_read_endpoint},
    [KIND_ENDPOINTS] = {TOML_LIST, read_texts, config_read_endpoint},
    [KIND_ADDRESS] = {TOML_TEXT, read_one, config_read_address},
    [KIND_ADDRESSES] = {TOML_LIST, read_some, config_read_address},
    [KIND_NETWORKS] = {TOML_LIST, read_texts, config_read_network},
    [KIND_FINGERPRINTS] = {TOML_LIST, read_texts, config_read_fingerprint},
    [KIND_REDIS_URL] = {TOML_TEXT, read_one, config_read_redis_url},
    [KIND_PREFIX] = {TOML_TEXT, read_one, config_read_prefix},
    [KIND_SECRET_FILE] = {TOML_TEXT, read_one, config_read_secret_file},
    [KIND_READABLE_FILE] = {TOML_TEXT, read_one, config_read_readable_file},
    [KIND_PUBLIC_KEY] = {TOML_TEXT, read_one, config_read_public_key},
    [KIND_COMMAND] = {TOML_LIST, read_command, config_read_text},
    [KIND_CLASS] = {TOML_TEXT, read_one, config_read_class},
    [KIND_INT] = {TOML_INT, read_int, NULL},
    [KIND_BOOL] = {TOML_BOOL, read_bool, NULL},
    [KIND_DURATION] = {TOML_TEXT, read_one, config_read_duration},
    [KIND_OPTIONAL_DURATION] = {TOML_TEXT, read_one,
                                config_read_optional_duration},
    [KIND_DURATIONS] = {TOML_LIST, read_durations, config_read_duration},
    [KIND_SIZE] = {TOML_TEXT, read_one, config_read_size},
    [KIND_PART] = {TOML_TEXT, read_one, config_read_part},
    [KIND_RATE] = {TOML_TEXT, read_one, config_read_rate},
    [KIND_RATES] = {TOML_LIST, read_rates, config_read_rate},
    [KIND_PORTS] = {TOML_LIST, read_ports, NULL},
    [KIND_TLS] = {TOML_TEXT, read_one, config_read_tls},
    [KIND_AUTH] = {TOML_TEXT, read_one, config_read_auth},
    [KIND_CHUNKING] = {TOML_TEXT, read_one, config_read_chunking},
    [KIND_TRANSCRIPTS] = {TOML_TEXT, read_one, config_read_transcripts},
    [KIND_LOG_LEVEL] = {TOML_TEXT, read_one, config_read_log_level},
    [KIND_LOG_FORMAT] = {TOML_TEXT, read_one, config_read_log_format},
    [KIND_LATER] = {.read = read_later},
};

static const struct kind *kind_of(const struct config_key *key)
{
    const struct kind *kind = &KINDS[key->kind];

    CHECK(key->kind < COUNT_OF(KINDS) && kind->read != NULL);
    return kind;
}

static enum toml_type type_of(const struct config_key *key)
{
    if (key->kind != KIND_LATER)
        return kind_of(key)->type;
    switch (key->default_toml[0]) {
    case '[':
        return TOML_LIST;
    case '"':
        return TOML_TEXT;
    case 'f':
        return TOML_BOOL;
    default:
        return TOML_INT;
    }
}

bool config_value_read(struct config_reading *r, const struct toml_value *value,
                       void *to)
{
    const struct kind *kind = kind_of(r->key);

    return is_type(r, value, type_of(r->key)) &&
           kind->read(r, value, kind->text, to);
}

/* --- environment and back --- */

static void take_problem(void *ctx, struct toml_place place, const char *text)
{
    struct config_reading *r = ctx;

    (void)place;
    config_refuse(r, "%s", text);
}

/* A variable has no quotes that one could have forgotten. */
static bool parse_bare(struct config_reading *r, struct str text,
                       enum toml_type type, struct toml_value *value)
{
    if (toml_parse_value(text, r->arena, value, take_problem, r) &&
        value->type == type)
        return true;
    return config_refuse(r, "must be %s", type_name(type));
}

/* a, b -> ["a", "b"]; items that are numbers for a list of ports. */
static bool split_list(struct config_reading *r, struct str text,
                       struct toml_value *value)
{
    size_t commas = 0;
    struct str item;

    for (size_t i = 0; i < text.len; i++)
        commas += text.ptr[i] == ',';
    *value = (struct toml_value){.type = TOML_LIST};
    value->items = ARENA_ARRAY(r->arena, struct toml_value, commas + 1);
    while (text.len > 0 && str_cut(&text, ',', &item)) {
        struct toml_value *to = &value->items[value->count++];

        item = str_trim(item);
        if (r->key->kind == KIND_PORTS) {
            if (!parse_bare(r, item, TOML_INT, to))
                return false;
        } else {
            to->type = TOML_TEXT;
            to->text = item;
        }
    }
    return true;
}

bool config_value_of_text(struct config_reading *r, struct str text,
                          struct toml_value *value)
{
    enum toml_type type = type_of(r->key);

    if (!utf8_is_valid(text))
        return config_refuse(r, "not UTF-8 text");
    if (type == TOML_LIST && !str_starts(str_trim(text), S("[")))
        return split_list(r, text, value);
    if (type == TOML_LIST)
        return toml_parse_value(text, r->arena, value, take_problem, r);
    if (type != TOML_TEXT)
        return parse_bare(r, text, type, value);
    *value = (struct toml_value){.type = TOML_TEXT, .text = text};
    return true;
}
