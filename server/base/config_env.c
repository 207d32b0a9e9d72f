#include "server/base/config_loading.h"

#include "server/base/config_value.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

enum { VARIABLES_MAX = 1000 };

#define VARIABLE_PREFIX "POSTHASTE_"

/* The parts of POSTHASTE_TABLE__KEY or POSTHASTE_TABLE__label__KEY. */
struct variable {
    struct config_origin origin;
    const struct config_section *section;
    struct str label;
    struct str key; /* lower case */
    struct str value;
};

static struct str lower(struct arena *arena, struct str text)
{
    char *copy = arena_cstr(arena, text);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(copy[i]);
    return str_make(copy, text.len);
}

static void unknown_variable(struct config_loading *l, const struct variable *v)
{
    char label[CONFIG_LABEL_SIZE];

    if (v->section == NULL)
        config_problem(l, v->origin, "there is no such table");
    else if (v->section->is_list)
        config_problem(l, v->origin,
                       "%s comes more than once: write " VARIABLE_PREFIX
                       "TABLE__name__KEY",
                       config_section_label(v->section, label));
    else
        config_problem(l, v->origin,
                       "%s comes once: write " VARIABLE_PREFIX "TABLE__KEY",
                       config_section_label(v->section, label));
}

/* Takes "NAME=value" apart. False: not ours, or a problem was told. */
static bool split_variable(struct config_loading *l, const char *entry,
                           struct variable *v)
{
    struct str value = str_of(entry);
    struct str name;
    ptrdiff_t at;

    *v = (struct variable){.label = S("")};
    if (!str_starts(value, S(VARIABLE_PREFIX)) ||
        !str_cut(&value, '=', &name) || !str_contains(name, S("__")))
        return false;
    v->origin.variable = arena_cstr(l->arena, name);
    v->value = value.ptr == NULL ? S("") : value;
    name = str_from(name, sizeof VARIABLE_PREFIX - 1);
    at = str_find(name, S("__"), 0);
    v->section =
        config_section_find(lower(l->arena, str_slice(name, 0, (size_t)at)));
    name = str_from(name, (size_t)at + 2);
    at = str_find(name, S("__"), 0);
    if (v->section == NULL || v->section->is_list != (at > 0)) {
        unknown_variable(l, v);
        return false;
    }
    if (at > 0) {
        v->label = str_slice(name, 0, (size_t)at);
        name = str_from(name, (size_t)at + 2);
    }
    v->key = lower(l->arena, name);
    return true;
}

/* The repeated table of that name, made if there is none. */
static struct config_block *block_of_variable(struct config_loading *l,
                                              const struct variable *v)
{
    struct config_block *block;

    if (!v->section->is_list)
        return config_only_block(l, v->section);
    block = config_named_block(l, v->section, v->label);
    if (block != NULL)
        return block;
    block = config_add_block(l, v->section, v->origin);
    block->settings[config_key_find(v->section, S("name"))] =
        (struct config_setting){
            .is_set = true,
            .value = {.type = TOML_TEXT, .text = v->label},
            .origin = v->origin,
        };
    return block;
}

/* The key, or the one whose file would hold the secret. */
static ptrdiff_t key_of_variable(struct config_loading *l,
                                 const struct variable *v, bool *is_secret)
{
    ptrdiff_t key = config_key_find(v->section, v->key);

    *is_secret = false;
    if (key >= 0)
        return key;
    key = config_key_find(v->section,
                          arena_printf(l->arena, "%.*s_file", STR_ARG(v->key)));
    if (key >= 0 &&
        config_key_at(v->section, (size_t)key)->kind == KIND_SECRET_FILE) {
        *is_secret = true;
        return key;
    }
    config_unknown_key(l, v->section, v->key, v->origin);
    return -1;
}

static void take_variable(struct config_loading *l, const char *entry)
{
    struct variable v;
    struct config_reading reading = {.arena = l->arena};
    struct config_setting setting = {.is_set = true};
    ptrdiff_t key;

    if (!split_variable(l, entry, &v))
        return;
    key = key_of_variable(l, &v, &setting.is_secret);
    if (key < 0)
        return;
    reading.key = config_key_at(v.section, (size_t)key);
    if (!config_value_of_text(&reading, v.value, &setting.value)) {
        config_problem(l, v.origin, "%s", reading.why);
        return;
    }
    setting.origin = v.origin;
    block_of_variable(l, &v)->settings[key] = setting;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of their names, so that the tables they make have one. */
void config_take_environment(struct config_loading *l)
{
    const char *entries[VARIABLES_MAX] = {NULL};
    size_t count = 0;

    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        if (str_starts(str_of(*entry), S(VARIABLE_PREFIX)) &&
            count < VARIABLES_MAX)
            entries[count++] = *entry;
    qsort(entries, count, sizeof entries[0], compare_entries);
    for (size_t i = 0; i < count; i++)
        take_variable(l, entries[i]);
}
