#include "server/base/config.h"

#include "server/base/config_keys.h"
#include "server/base/json.h"

#include <string.h>

/* Three stars for a secret that came by a variable; of one in a file only
 * the path is known here. */
static struct toml_value shown_value(const struct config_setting *setting,
                                     const struct config_key *key,
                                     struct arena *arena)
{
    if (!setting->is_set)
        return config_key_default(key, arena);
    if (setting->is_secret)
        return (struct toml_value){.type = TOML_TEXT, .text = S("***")};
    return setting->value;
}

static const char *shown_source(const struct config_setting *setting,
                                struct arena *arena)
{
    if (!setting->is_set)
        return "default";
    if (setting->origin.variable != NULL)
        return setting->origin.variable;
    return arena_printf(arena, "%s:%u", setting->origin.source->name,
                        setting->origin.place.line)
        .ptr;
}

/* --- as text --- */

static void show_block(const struct config_block *block, struct arena *arena,
                       struct buf *out)
{
    char label[CONFIG_LABEL_SIZE];

    buf_addf(out, "%s\n", config_section_label(block->section, label));
    for (size_t i = 0; i < config_key_count(block->section); i++) {
        const struct config_key *key = config_key_at(block->section, i);
        const struct config_setting *setting = &block->settings[i];
        struct toml_value value = shown_value(setting, key, arena);

        if (key->kind == KIND_LATER)
            continue;
        buf_addf(out, "%s = ", key->name);
        toml_write(&value, out);
        buf_addf(out, "  # %s\n", shown_source(setting, arena));
    }
}

/* --- as JSON --- */

static void put_value(struct json_out *json, const struct toml_value *value)
{
    switch (value->type) {
    case TOML_TEXT:
        json_put_str(json, value->text);
        return;
    case TOML_INT:
        json_put_int(json, value->number);
        return;
    case TOML_BOOL:
        json_put_bool(json, value->truth);
        return;
    case TOML_LIST:
        json_open_list(json);
        for (size_t i = 0; i < value->count; i++)
            put_value(json, &value->items[i]);
        json_close_list(json);
        return;
    }
}

static void put_block(const struct config_block *block, struct arena *arena,
                      struct json_out *json)
{
    json_open_map(json);
    json_add_cstr(json, "table", block->section->name);
    json_name(json, "keys");
    json_open_map(json);
    for (size_t i = 0; i < config_key_count(block->section); i++) {
        const struct config_key *key = config_key_at(block->section, i);
        const struct config_setting *setting = &block->settings[i];
        struct toml_value value = shown_value(setting, key, arena);

        if (key->kind == KIND_LATER)
            continue;
        json_name(json, key->name);
        json_open_map(json);
        json_name(json, "value");
        put_value(json, &value);
        json_add_cstr(json, "source", shown_source(setting, arena));
        json_close_map(json);
    }
    json_close_map(json);
    json_close_map(json);
}

static bool is_shown(const struct config_block *block)
{
    return block->section->size > 0; /* the others hold nothing yet */
}

void config_show(const struct config *config, bool as_json, struct buf *out)
{
    struct arena *arena = arena_create();
    struct json_out json;

    json_out_init(&json, out);
    if (as_json) {
        json_open_map(&json);
        json_add_cstr(&json, "object", "config");
        json_add_cstr(&json, "file", config->file);
        json_name(&json, "tables");
        json_open_list(&json);
    }
    for (const struct config_block *b = config->blocks; b != NULL;
         b = b->next) {
        if (!is_shown(b))
            continue;
        if (as_json)
            put_block(b, arena, &json);
        else
            show_block(b, arena, out);
    }
    if (as_json) {
        json_close_list(&json);
        json_close_map(&json);
    }
    arena_destroy(&arena);
}

/* --- the commented file --- */

enum { COMMENT_WIDTH = 78 };

/* text in lines of at most COMMENT_WIDTH, each behind "# ". */
static void put_comment(struct str text, struct buf *out)
{
    size_t column = 0;
    struct str word;

    while (text.len > 0 && str_cut(&text, ' ', &word)) {
        if (column > 0 && column + 1 + word.len > COMMENT_WIDTH) {
            buf_add_char(out, '\n');
            column = 0;
        }
        buf_add_cstr(out, column == 0 ? "# " : " ");
        buf_add(out, word);
        column += word.len + (column == 0 ? 2 : 1);
    }
    buf_add_char(out, '\n');
}

static const struct config_preset *
find_preset(const struct config_preset *presets, size_t count,
            const char *table, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(presets[i].table, table) == 0 &&
            (key == NULL || strcmp(presets[i].key, key) == 0))
            return &presets[i];
    return NULL;
}

static void put_section(const struct config_section *section,
                        const struct config_preset *presets, size_t count,
                        struct buf *out)
{
    bool is_used = !section->is_list ||
                   find_preset(presets, count, section->name, NULL) != NULL;
    char label[CONFIG_LABEL_SIZE];

    buf_add_char(out, '\n');
    put_comment(str_of(section->doc), out);
    buf_addf(out, "%s%s\n", is_used ? "" : "#",
             config_section_label(section, label));
    for (size_t i = 0; i < config_key_count(section); i++) {
        const struct config_key *key = config_key_at(section, i);
        const struct config_preset *preset =
            find_preset(presets, count, section->name, key->name);

        if (key->kind == KIND_LATER)
            continue;
        put_comment(str_of(key->doc), out);
        buf_addf(out, "%s%s = %s\n", preset == NULL ? "#" : "", key->name,
                 preset == NULL ? key->default_toml : preset->toml);
    }
}

void config_template(const struct config_preset *presets, size_t count,
                     struct buf *out)
{
    put_comment(S("Posthaste. Each key stands here with its default, as a "
                  "comment. It may also be set by a variable: "
                  "POSTHASTE_API__LISTEN, POSTHASTE_UPSTREAM__main__HOST. "
                  "Files conf.d/*.toml beside this one are read behind it, "
                  "in the order of their names: the later wins, and an "
                  "[[upstream]] or [[route]] of a known name changes that "
                  "one. A *_file may also be a credential of the service "
                  "manager: redis.password, upstream.main.password. "
                  "`posthaste config check` finds mistakes."),
                out);
    for (size_t i = 0; i < config_section_count(); i++)
        if (config_section_at(i)->size > 0)
            put_section(config_section_at(i), presets, count, out);
}
