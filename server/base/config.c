#include "server/base/config.h"

#include "server/base/config_loading.h"
#include "server/base/config_text.h"
#include "server/base/config_value.h"
#include "server/base/file.h"
#include "server/base/nearest.h"
#include "server/base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 256 * 1024 };

/* --- who set what --- */

struct config_block *config_add_block(struct config_loading *l,
                                      const struct config_section *section,
                                      struct config_origin origin)
{
    struct config_block *block = ARENA_NEW(l->arena, struct config_block);

    block->section = section;
    block->origin = origin;
    block->latest = l->source;
    *l->blocks_end = block;
    l->blocks_end = &block->next;
    return block;
}

/* The block of a table that comes once. */
struct config_block *config_only_block(struct config_loading *l,
                                       const struct config_section *section)
{
    struct config_block *block = l->config->blocks;

    while (block != NULL && block->section != section)
        block = block->next;
    CHECK(block != NULL);
    return block;
}

struct config_block *config_named_block(struct config_loading *l,
                                        const struct config_section *section,
                                        struct str name)
{
    ptrdiff_t key = config_key_find(section, S("name"));
    struct config_block *block = l->config->blocks;

    CHECK(section->is_list && key >= 0);
    while (block != NULL && !(block->section == section &&
                              str_eq(block->settings[key].value.text, name)))
        block = block->next;
    return block;
}

static struct config_origin place_of(const struct config_loading *l,
                                     struct toml_place place)
{
    return (struct config_origin){.source = l->source, .place = place};
}

static void unknown_table(struct config_loading *l,
                          const struct toml_table *table)
{
    char label[CONFIG_LABEL_SIZE] = "";
    const char *names[CONFIG_SECTIONS_MAX];
    const char *nearest;

    for (size_t i = 0; i < config_section_count(); i++)
        names[i] = config_section_at(i)->name;
    nearest = nearest_name(table->name, names, config_section_count());
    if (nearest != NULL)
        config_section_label(config_section_find(str_of(nearest)), label);
    config_problem(l, place_of(l, table->place), "unknown table [%.*s]%s%s%s",
                   STR_ARG(table->name),
                   *label == '\0' ? "" : "; did you mean ", label,
                   *label == '\0' ? "" : "?");
}

/* What an earlier file called by the table's name; otherwise a new one. Twice
 * the same in one file stays two, which config_check refuses. */
static struct config_block *listed_block(struct config_loading *l,
                                         const struct config_section *section,
                                         const struct toml_table *table)
{
    const struct toml_member *name = table->members;
    struct config_block *block = NULL;

    while (name != NULL && !str_eq(name->name, S("name")))
        name = name->next;
    if (name != NULL && name->value.type == TOML_TEXT)
        block = config_named_block(l, section, name->value.text);
    if (block == NULL || block->latest == l->source)
        return config_add_block(l, section, place_of(l, table->place));
    block->latest = l->source;
    return block;
}

/* NULL: a problem was told. */
static struct config_block *block_of_table(struct config_loading *l,
                                           const struct toml_table *table)
{
    const struct config_section *section = config_section_find(table->name);
    char label[CONFIG_LABEL_SIZE];

    if (section == NULL) {
        unknown_table(l, table);
        return NULL;
    }
    if (section->is_list != table->is_repeated) {
        config_problem(l, place_of(l, table->place), "write it as %s",
                       config_section_label(section, label));
        return NULL;
    }
    return section->is_list ? listed_block(l, section, table)
                            : config_only_block(l, section);
}

void config_unknown_key(struct config_loading *l,
                        const struct config_section *section, struct str name,
                        struct config_origin origin)
{
    char label[CONFIG_LABEL_SIZE];
    const char *names[CONFIG_KEYS_MAX];
    const char *nearest;

    for (size_t i = 0; i < config_key_count(section); i++)
        names[i] = config_key_at(section, i)->name;
    nearest = nearest_name(name, names, config_key_count(section));
    config_problem(l, origin, "unknown key \"%.*s\" in %s%s%s%s", STR_ARG(name),
                   config_section_label(section, label),
                   nearest == NULL ? "" : "; did you mean \"",
                   nearest == NULL ? "" : nearest,
                   nearest == NULL ? "" : "\"?");
}

static void take_member(struct config_loading *l, struct config_block *block,
                        const struct toml_member *member)
{
    struct config_origin origin = place_of(l, member->place);
    ptrdiff_t key = config_key_find(block->section, member->name);

    if (key < 0) {
        config_unknown_key(l, block->section, member->name, origin);
        return;
    }
    block->settings[key] = (struct config_setting){
        .is_set = true,
        .value = member->value,
        .origin = origin,
    };
}

/* A key before the first header: which table would it belong to? */
static void homeless_member(struct config_loading *l,
                            const struct toml_member *member)
{
    struct config_origin origin = place_of(l, member->place);
    char label[CONFIG_LABEL_SIZE];

    for (size_t i = 0; i < config_section_count(); i++) {
        const struct config_section *section = config_section_at(i);

        if (config_key_find(section, member->name) >= 0) {
            config_problem(l, origin,
                           "\"%.*s\" stands outside of a table; it "
                           "belongs below %s",
                           STR_ARG(member->name),
                           config_section_label(section, label));
            return;
        }
    }
    config_problem(l, origin, "unknown key \"%.*s\", outside of a table",
                   STR_ARG(member->name));
}

static void take_text(struct config_loading *l, struct str text,
                      const char *name)
{
    struct config_source *source = ARENA_NEW(l->arena, struct config_source);
    struct toml_table *table;

    source->name = arena_cstr(l->arena, str_of(name));
    source->text = arena_copy(l->arena, text);
    source->rank = l->source_count++;
    l->source = source;
    table = toml_parse(source->text, l->arena, config_toml_problem, l);
    for (const struct toml_member *m = table->members; m != NULL; m = m->next)
        homeless_member(l, m);
    for (table = table->next; table != NULL; table = table->next) {
        struct config_block *block = block_of_table(l, table);

        if (block == NULL)
            continue;
        for (const struct toml_member *m = table->members; m != NULL;
             m = m->next)
            take_member(l, block, m);
    }
}

/* False: err tells why it cannot be read. */
static bool take_file(struct config_loading *l, const char *path,
                      struct error *err)
{
    struct buf text;
    bool ok;

    buf_init(&text, FILE_MAX);
    ok = file_read(path, &text, err);
    if (ok)
        take_text(l, buf_str(&text), path);
    buf_finish(&text);
    return ok;
}

/* conf.d/NAME.toml beside the file, in the order of their names. */
static void take_more_files(struct config_loading *l, const char *path)
{
    const char *slash = strrchr(path, '/');
    int folder_len = slash == NULL ? 0 : (int)(slash + 1 - path);
    const char *folder =
        arena_printf(l->arena, "%.*sconf.d", folder_len, path).ptr;
    struct error err = {0};
    const char **names = NULL;
    size_t count = 0;
    bool ok = file_names(folder, l->arena, &names, &count, &err);

    for (size_t i = 0; ok && i < count; i++)
        if (str_ends(str_of(names[i]), S(".toml")))
            ok = take_file(
                l, arena_printf(l->arena, "%s/%s", folder, names[i]).ptr, &err);
    if (!ok)
        config_problem(l, (struct config_origin){0}, "%s", err.text);
}

/* --- into the struct --- */

static void read_setting(struct config_loading *l, const struct config_key *key,
                         const struct config_setting *setting, void *to)
{
    struct config_reading reading = {.arena = l->arena, .key = key};
    struct toml_value value = config_key_default(key, l->arena);
    struct config_origin origin = setting->origin;
    bool ok;

    CHECK(config_value_read(&reading, &value, to));
    if (!setting->is_set)
        return;
    if (setting->is_secret)
        ok = config_read_secret(&reading, setting->value.text, to);
    else
        ok = config_value_read(&reading, &setting->value, to);
    if (ok)
        return;
    if (origin.variable == NULL)
        origin.place = reading.place;
    config_problem(l, origin, "%s%s%s",
                   origin.variable == NULL ? key->name : "",
                   origin.variable == NULL ? ": " : "", reading.why);
}

static void read_block(struct config_loading *l,
                       const struct config_block *block, char *base)
{
    for (size_t i = 0; i < config_key_count(block->section); i++) {
        const struct config_key *key = config_key_at(block->section, i);

        CHECK(key->kind == KIND_LATER || base != NULL);
        read_setting(l, key, &block->settings[i],
                     base == NULL ? NULL : base + key->offset);
    }
}

static size_t count_blocks(const struct config_loading *l,
                           const struct config_section *section)
{
    size_t count = 0;

    for (const struct config_block *b = l->config->blocks; b != NULL;
         b = b->next)
        count += b->section == section;
    return count;
}

static void read_list(struct config_loading *l,
                      const struct config_section *section)
{
    size_t count = count_blocks(l, section);
    char *structs = arena_alloc_array(l->arena, count, section->size);
    char *config = (char *)l->config;
    size_t at = 0;

    for (const struct config_block *b = l->config->blocks; b != NULL;
         b = b->next)
        if (b->section == section)
            read_block(l, b, structs + section->size * at++);
    memcpy(config + section->offset, &structs, sizeof structs);
    memcpy(config + section->count_offset, &count, sizeof count);
}

static void read_settings(struct config_loading *l)
{
    for (size_t i = 0; i < config_section_count(); i++) {
        const struct config_section *section = config_section_at(i);

        if (section->is_list)
            read_list(l, section);
        else
            read_block(l, config_only_block(l, section),
                       section->size == 0
                           ? NULL
                           : (char *)l->config + section->offset);
    }
}

/* --- routes that need not be written --- */

/* Cut, where they are many: two routes of one name would be told. */
static const char *joined_name(struct config_loading *l,
                               const struct config_list *names)
{
    struct buf joined;
    const char *result;

    buf_init(&joined, FILE_MAX);
    for (size_t i = 0; i < names->count; i++)
        buf_addf(&joined, "%s%s", i == 0 ? "" : "+", names->items[i]);
    result = arena_cstr(l->arena,
                        str_slice(buf_str(&joined), 0, CONFIG_ROUTE_NAME_MAX));
    buf_finish(&joined);
    return result;
}

static void name_routes(struct config_loading *l)
{
    for (size_t i = 0; i < l->config->route_count; i++)
        if (*l->config->routes[i].name == '\0')
            l->config->routes[i].name =
                joined_name(l, &l->config->routes[i].upstreams);
}

/* As if an empty table stood there. */
static void read_defaults(struct config_loading *l,
                          const struct config_section *section, char *base)
{
    const struct config_setting unset = {0};

    for (size_t i = 0; i < config_key_count(section); i++) {
        const struct config_key *key = config_key_at(section, i);

        read_setting(l, key, &unset, base + key->offset);
    }
}

/* All upstreams for all mail, where nobody wrote a route. */
static void make_default_route(struct config_loading *l)
{
    struct config *config = l->config;
    struct config_route *route;

    if (config->route_count > 0 || config->upstream_count == 0)
        return;
    route = ARENA_NEW(l->arena, struct config_route);
    read_defaults(l, config_section_find(S("route")), (char *)route);
    route->upstreams.count = config->upstream_count;
    route->upstreams.items =
        ARENA_ARRAY(l->arena, const char *, config->upstream_count);
    for (size_t i = 0; i < config->upstream_count; i++)
        route->upstreams.items[i] = config->upstreams[i].name;
    route->name = joined_name(l, &route->upstreams);
    config->routes = route;
    config->route_count = 1;
}

/* --- the door --- */

static struct config_loading *begin(const char *name)
{
    struct arena *arena = arena_create();
    struct config *config = ARENA_NEW(arena, struct config);
    struct config_loading *l = ARENA_NEW(arena, struct config_loading);

    config->arena = arena;
    config->file = arena_cstr(arena, str_of(name));
    l->config = config;
    l->arena = arena;
    l->blocks_end = &config->blocks;
    for (size_t i = 0; i < config_section_count(); i++)
        if (!config_section_at(i)->is_list)
            config_add_block(l, config_section_at(i),
                             (struct config_origin){0});
    return l;
}

static struct config *finish(struct config_loading *l, struct buf *problems)
{
    struct config *config = l->config;

    config_take_environment(l);
    config_take_credentials(l);
    read_settings(l);
    name_routes(l);
    config_check(l);
    make_default_route(l);
    if (l->problem_count > 0) {
        config_print_problems(l, problems);
        config_destroy(&config);
    }
    return config;
}

struct config *config_parse(struct str text, const char *name,
                            struct buf *problems)
{
    struct config_loading *l = begin(name);

    take_text(l, text, name);
    return finish(l, problems);
}

struct config *config_load(const char *path, struct buf *problems)
{
    struct config_loading *l = begin(path == NULL ? "" : path);
    struct config *config = l->config;
    struct error err = {0};

    if (path != NULL && !take_file(l, path, &err)) {
        buf_addf(problems, "%s\n", err.text);
        config_destroy(&config);
        return NULL;
    }
    if (path != NULL)
        take_more_files(l, path);
    return finish(l, problems);
}

static void wipe(const char *secret)
{
    if (secret != NULL)
        secret_wipe((char *)(uintptr_t)secret, strlen(secret));
}

void config_destroy(struct config **config)
{
    struct arena *arena;

    if (*config == NULL)
        return;
    wipe((*config)->redis.password);
    for (size_t i = 0; i < (*config)->upstream_count; i++)
        wipe((*config)->upstreams[i].password);
    arena = (*config)->arena;
    arena_destroy(&arena);
    *config = NULL;
}

const char *config_find(const char *flag)
{
    static const char *const places[] = {"posthaste.toml",
                                         "/etc/posthaste/posthaste.toml"};
    const char *variable = getenv("POSTHASTE_CONFIG");

    if (flag != NULL)
        return flag;
    if (variable != NULL && *variable != '\0')
        return variable;
    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (access(places[i], F_OK) == 0)
            return places[i];
    return NULL;
}
