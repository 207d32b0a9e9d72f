#include "server/base/config.h"

#include "server/base/codec.h"
#include "server/base/config_keys.h"
#include "server/base/config_value.h"
#include "server/base/file.h"
#include "server/base/nearest.h"
#include "server/base/secret.h"
#include "server/base/toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum {
    FILE_MAX = 256 * 1024,
    PROBLEMS_MAX = 100,
    VARIABLES_MAX = 1000,
    LINE_SHOWN_MAX = 200,
};

#define VARIABLE_PREFIX "POSTHASTE_"

struct problem {
    struct config_origin origin;
    size_t number; /* in the order in which they were met */
    const char *text;
};

/* What is at hand while a configuration comes to be. */
struct loading {
    struct config *config;
    struct arena *arena;
    struct str text;  /* of the file */
    const char *name; /* of the file */
    struct config_block **blocks_end;
    struct problem problems[PROBLEMS_MAX];
    size_t problem_count; /* may pass PROBLEMS_MAX; the rest is only counted */
};

/* --- problems --- */

PRINTF_LIKE(3, 4)
static void problem(struct loading *l, struct config_origin origin,
                    const char *format, ...)
{
    char text[512];
    va_list args;

    if (l->problem_count++ >= PROBLEMS_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    l->problems[l->problem_count - 1] = (struct problem){
        .origin = origin,
        .number = l->problem_count,
        .text = arena_cstr(l->arena, str_of(text)),
    };
}

static void toml_problem(void *ctx, struct toml_place place, const char *text)
{
    problem(ctx, (struct config_origin){.place = place}, "%s", text);
}

/* The file's first, by their places. */
static int compare_problems(const void *a, const void *b)
{
    const struct problem *x = a;
    const struct problem *y = b;
    bool x_later = x->origin.variable != NULL;
    bool y_later = y->origin.variable != NULL;

    if (x_later != y_later)
        return x_later - y_later;
    if (x->origin.place.line != y->origin.place.line)
        return x->origin.place.line < y->origin.place.line ? -1 : 1;
    if (x->origin.place.column != y->origin.place.column)
        return x->origin.place.column < y->origin.place.column ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static struct str line_of(struct str text, unsigned number)
{
    struct str line = S("");

    while (number-- > 0)
        if (!str_cut(&text, '\n', &line))
            return S("");
    return str_ends(line, S("\r")) ? str_slice(line, 0, line.len - 1) : line;
}

/* The line with a caret below the column. A line that is very long, or holds
 * a URL with a password, is better not shown. */
static void print_line(struct arena *arena, struct str line, unsigned column,
                       struct buf *out)
{
    ptrdiff_t url = str_find(line, S("://"), 0);
    char *shown;

    if (line.len > LINE_SHOWN_MAX ||
        (url >= 0 && str_index(line, '@', (size_t)url) >= 0))
        return;
    shown = arena_cstr(arena, line);
    for (size_t i = 0; i < line.len; i++)
        if (shown[i] == '\t')
            shown[i] = ' '; /* as wide as it is counted */
    utf8_clean_add(out, str_make(shown, line.len), LINE_SHOWN_MAX);
    buf_addf(out, "\n%*s^\n", (int)column - 1, "");
}

static void print_problems(struct loading *l, struct buf *out)
{
    size_t count =
        l->problem_count < PROBLEMS_MAX ? l->problem_count : PROBLEMS_MAX;

    qsort(l->problems, count, sizeof l->problems[0], compare_problems);
    for (size_t i = 0; i < count; i++) {
        const struct problem *p = &l->problems[i];

        if (p->origin.variable != NULL) {
            buf_addf(out, "%s: %s\n", p->origin.variable, p->text);
        } else if (p->origin.place.line == 0) {
            buf_addf(out, "%s: %s\n", l->name, p->text);
        } else {
            buf_addf(out, "%s:%u:%u: %s\n", l->name, p->origin.place.line,
                     p->origin.place.column, p->text);
            print_line(l->arena, line_of(l->text, p->origin.place.line),
                       p->origin.place.column, out);
        }
    }
    if (count < l->problem_count)
        buf_addf(out, "%s: %zu more problems\n", l->name,
                 l->problem_count - count);
}

/* --- who set what --- */

static struct config_block *add_block(struct loading *l,
                                      const struct config_section *section,
                                      struct config_origin origin)
{
    struct config_block *block = ARENA_NEW(l->arena, struct config_block);

    block->section = section;
    block->origin = origin;
    *l->blocks_end = block;
    l->blocks_end = &block->next;
    return block;
}

/* The block of a table that comes once. */
static struct config_block *only_block(struct loading *l,
                                       const struct config_section *section)
{
    struct config_block *block = l->config->blocks;

    while (block != NULL && block->section != section)
        block = block->next;
    CHECK(block != NULL);
    return block;
}

static void unknown_table(struct loading *l, const struct toml_table *table)
{
    char label[CONFIG_LABEL_SIZE] = "";
    const char *names[CONFIG_SECTIONS_MAX];
    const char *nearest;

    for (size_t i = 0; i < config_section_count(); i++)
        names[i] = config_section_at(i)->name;
    nearest = nearest_name(table->name, names, config_section_count());
    if (nearest != NULL)
        config_section_label(config_section_find(str_of(nearest)), label);
    problem(l, (struct config_origin){.place = table->place},
            "unknown table [%.*s]%s%s%s", STR_ARG(table->name),
            *label == '\0' ? "" : "; did you mean ", label,
            *label == '\0' ? "" : "?");
}

/* NULL: a problem was told. */
static struct config_block *block_of_table(struct loading *l,
                                           const struct toml_table *table)
{
    const struct config_section *section = config_section_find(table->name);
    struct config_origin origin = {.place = table->place};
    char label[CONFIG_LABEL_SIZE];

    if (section == NULL) {
        unknown_table(l, table);
        return NULL;
    }
    if (section->is_list != table->is_repeated) {
        problem(l, origin, "write it as %s",
                config_section_label(section, label));
        return NULL;
    }
    return section->is_list ? add_block(l, section, origin)
                            : only_block(l, section);
}

static void unknown_key(struct loading *l, const struct config_section *section,
                        struct str name, struct config_origin origin)
{
    char label[CONFIG_LABEL_SIZE];
    const char *names[CONFIG_KEYS_MAX];
    const char *nearest;

    for (size_t i = 0; i < config_key_count(section); i++)
        names[i] = config_key_at(section, i)->name;
    nearest = nearest_name(name, names, config_key_count(section));
    problem(l, origin, "unknown key \"%.*s\" in %s%s%s%s", STR_ARG(name),
            config_section_label(section, label),
            nearest == NULL ? "" : "; did you mean \"",
            nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
}

static void take_member(struct loading *l, struct config_block *block,
                        const struct toml_member *member)
{
    struct config_origin origin = {.place = member->place};
    ptrdiff_t key = config_key_find(block->section, member->name);

    if (key < 0) {
        unknown_key(l, block->section, member->name, origin);
        return;
    }
    block->settings[key] = (struct config_setting){
        .is_set = true,
        .value = member->value,
        .origin = origin,
    };
}

/* A key before the first header: which table would it belong to? */
static void homeless_member(struct loading *l, const struct toml_member *member)
{
    struct config_origin origin = {.place = member->place};
    char label[CONFIG_LABEL_SIZE];

    for (size_t i = 0; i < config_section_count(); i++) {
        const struct config_section *section = config_section_at(i);

        if (config_key_find(section, member->name) >= 0) {
            problem(l, origin,
                    "\"%.*s\" stands outside of a table; it "
                    "belongs below %s",
                    STR_ARG(member->name),
                    config_section_label(section, label));
            return;
        }
    }
    problem(l, origin, "unknown key \"%.*s\", outside of a table",
            STR_ARG(member->name));
}

static void take_file(struct loading *l)
{
    struct toml_table *table = toml_parse(l->text, l->arena, toml_problem, l);

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

/* --- the environment --- */

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

static void unknown_variable(struct loading *l, const struct variable *v)
{
    char label[CONFIG_LABEL_SIZE];

    if (v->section == NULL)
        problem(l, v->origin, "there is no such table");
    else if (v->section->is_list)
        problem(l, v->origin,
                "%s comes more than once: write " VARIABLE_PREFIX
                "TABLE__name__KEY",
                config_section_label(v->section, label));
    else
        problem(l, v->origin,
                "%s comes once: write " VARIABLE_PREFIX "TABLE__KEY",
                config_section_label(v->section, label));
}

/* Takes "NAME=value" apart. False: not ours, or a problem was told. */
static bool split_variable(struct loading *l, const char *entry,
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

static struct config_setting *name_of(struct config_block *block)
{
    ptrdiff_t at = config_key_find(block->section, S("name"));

    CHECK(at >= 0);
    return &block->settings[at];
}

/* The repeated table of that name, made if there is none. */
static struct config_block *block_of_variable(struct loading *l,
                                              const struct variable *v)
{
    struct config_block *block = l->config->blocks;

    if (!v->section->is_list)
        return only_block(l, v->section);
    for (; block != NULL; block = block->next)
        if (block->section == v->section &&
            str_eq(name_of(block)->value.text, v->label))
            return block;
    block = add_block(l, v->section, v->origin);
    *name_of(block) = (struct config_setting){
        .is_set = true,
        .value = {.type = TOML_TEXT, .text = v->label},
        .origin = v->origin,
    };
    return block;
}

/* The key, or the one whose file would hold the secret. */
static ptrdiff_t key_of_variable(struct loading *l, const struct variable *v,
                                 bool *is_secret)
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
    unknown_key(l, v->section, v->key, v->origin);
    return -1;
}

static void take_variable(struct loading *l, const char *entry)
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
        problem(l, v.origin, "%s", reading.why);
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
static void take_environment(struct loading *l)
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

/* --- into the struct --- */

static void read_setting(struct loading *l, const struct config_key *key,
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
        ok = config_secret_read(&reading, setting->value.text, to);
    else
        ok = config_value_read(&reading, &setting->value, to);
    if (ok)
        return;
    if (origin.variable == NULL)
        origin.place = reading.place;
    problem(l, origin, "%s%s%s", origin.variable == NULL ? key->name : "",
            origin.variable == NULL ? ": " : "", reading.why);
}

static void read_block(struct loading *l, const struct config_block *block,
                       char *base)
{
    for (size_t i = 0; i < config_key_count(block->section); i++) {
        const struct config_key *key = config_key_at(block->section, i);

        CHECK(key->kind == KIND_LATER || base != NULL);
        read_setting(l, key, &block->settings[i],
                     base == NULL ? NULL : base + key->offset);
    }
}

static size_t count_blocks(const struct loading *l,
                           const struct config_section *section)
{
    size_t count = 0;

    for (const struct config_block *b = l->config->blocks; b != NULL;
         b = b->next)
        count += b->section == section;
    return count;
}

static void read_list(struct loading *l, const struct config_section *section)
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

static void read_settings(struct loading *l)
{
    for (size_t i = 0; i < config_section_count(); i++) {
        const struct config_section *section = config_section_at(i);

        if (section->is_list)
            read_list(l, section);
        else
            read_block(l, only_block(l, section),
                       section->size == 0
                           ? NULL
                           : (char *)l->config + section->offset);
    }
}

/* --- what keys ask of one another --- */

/* The nth repeated table. */
static const struct config_block *nth_block(const struct loading *l,
                                            const char *name, size_t n)
{
    const struct config_block *b = l->config->blocks;

    for (;; b = b->next) {
        CHECK(b != NULL);
        if (strcmp(b->section->name, name) == 0 && n-- == 0)
            return b;
    }
}

/* Where a key was set, or else where its table begins. */
static struct config_origin origin_of(const struct config_block *block,
                                      const char *name)
{
    ptrdiff_t key = config_key_find(block->section, str_of(name));

    CHECK(key >= 0);
    return block->settings[key].is_set ? block->settings[key].origin
                                       : block->origin;
}

static void check_login(struct loading *l, const struct config_upstream *u,
                        const struct config_block *block)
{
    bool has_login = *u->username != '\0' && *u->password != '\0';

    if (*u->username != '\0' && *u->password == '\0')
        problem(l, origin_of(block, "username"),
                "username needs a password_file");
    if (*u->username == '\0' && *u->password != '\0')
        problem(l, origin_of(block, "password_file"),
                "password_file needs a username");
    if (u->auth != AUTH_AUTO && u->auth != AUTH_NONE && !has_login)
        problem(l, origin_of(block, "auth"),
                "auth needs a username and a password_file");
    if (has_login && u->auth != AUTH_NONE && u->tls == TLS_OFF &&
        !u->auth_in_clear)
        problem(l, origin_of(block, "tls"),
                "the password would go in the clear: use TLS, or set "
                "auth_in_clear = true");
}

/* What was set, but wrongly, has had its problem told. */
static bool is_missing(const struct config_block *block, const char *name)
{
    ptrdiff_t key = config_key_find(block->section, str_of(name));
    const struct config_setting *setting = &block->settings[key];

    CHECK(key >= 0);
    return !setting->is_set ||
           (setting->value.text.len == 0 && setting->value.count == 0);
}

static void check_upstreams(struct loading *l)
{
    const struct config_upstream *all = l->config->upstreams;

    for (size_t i = 0; i < l->config->upstream_count; i++) {
        const struct config_block *block = nth_block(l, "upstream", i);

        if (is_missing(block, "name"))
            problem(l, origin_of(block, "name"), "[[upstream]] needs a name");
        if (is_missing(block, "host"))
            problem(l, origin_of(block, "host"), "[[upstream]] needs a host");
        for (size_t k = 0; k < i && *all[i].name != '\0'; k++)
            if (strcmp(all[i].name, all[k].name) == 0)
                problem(l, origin_of(block, "name"),
                        "there is an [[upstream]] \"%s\" already", all[i].name);
        check_login(l, &all[i], block);
    }
}

static bool is_upstream(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->upstream_count; i++)
        if (strcmp(config->upstreams[i].name, name) == 0)
            return true;
    return false;
}

static void unknown_upstream(struct loading *l, const char *name,
                             struct config_origin origin)
{
    size_t count = l->config->upstream_count;
    const char **names = ARENA_ARRAY(l->arena, const char *, count);
    const char *nearest;

    for (size_t i = 0; i < count; i++)
        names[i] = l->config->upstreams[i].name;
    nearest = nearest_name(str_of(name), names, count);
    problem(l, origin, "there is no [[upstream]] \"%s\"%s%s%s", name,
            nearest == NULL ? "" : "; did you mean \"",
            nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
}

static void check_route(struct loading *l, const struct config_route *route,
                        const struct config_block *block)
{
    struct config_origin origin = origin_of(block, "upstreams");

    if (is_missing(block, "upstreams"))
        problem(l, origin, "[[route]] needs upstreams");
    for (size_t i = 0; i < route->upstreams.count; i++) {
        const char *name = route->upstreams.items[i];

        if (!is_upstream(l->config, name))
            unknown_upstream(l, name, origin);
        for (size_t k = 0; k < i; k++)
            if (strcmp(name, route->upstreams.items[k]) == 0)
                problem(l, origin, "\"%s\" stands here twice", name);
    }
}

static bool is_default(const struct config_route *route)
{
    return *route->class == '\0' && *route->from_domain == '\0' &&
           *route->to_domain == '\0' && *route->tag == '\0';
}

static void check_routes(struct loading *l)
{
    const struct config_route *all = l->config->routes;

    for (size_t i = 0; i < l->config->route_count; i++) {
        const struct config_block *block = nth_block(l, "route", i);

        check_route(l, &all[i], block);
        if (i > 0 && is_default(&all[i - 1]))
            problem(l, block->origin,
                    "never used: the [[route]] before it takes all mail");
        for (size_t k = 0; k < i && *all[i].name != '\0'; k++)
            if (strcmp(all[i].name, all[k].name) == 0)
                problem(l, origin_of(block, "name"),
                        "there is a [[route]] \"%s\" already", all[i].name);
    }
}

/* --- routes that need not be written --- */

static const char *joined_name(struct loading *l,
                               const struct config_list *names)
{
    struct buf joined;
    const char *result;

    buf_init(&joined, FILE_MAX);
    for (size_t i = 0; i < names->count; i++)
        buf_addf(&joined, "%s%s", i == 0 ? "" : "+", names->items[i]);
    result = arena_cstr(l->arena, buf_str(&joined));
    buf_finish(&joined);
    return result;
}

static void name_routes(struct loading *l)
{
    for (size_t i = 0; i < l->config->route_count; i++)
        if (*l->config->routes[i].name == '\0')
            l->config->routes[i].name =
                joined_name(l, &l->config->routes[i].upstreams);
}

/* All upstreams for all mail, where nobody wrote a route. */
static void make_default_route(struct loading *l)
{
    struct config *config = l->config;
    struct config_route *route;

    if (config->route_count > 0 || config->upstream_count == 0)
        return;
    route = ARENA_NEW(l->arena, struct config_route);
    *route = (struct config_route){
        .class = "", .from_domain = "", .to_domain = "", .tag = ""};
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

static struct loading *begin(struct str text, const char *name)
{
    struct arena *arena = arena_create();
    struct config *config = ARENA_NEW(arena, struct config);
    struct loading *l = ARENA_NEW(arena, struct loading);

    config->arena = arena;
    config->file = arena_cstr(arena, str_of(name));
    l->config = config;
    l->arena = arena;
    l->text = arena_copy(arena, text);
    l->name = config->file;
    l->blocks_end = &config->blocks;
    for (size_t i = 0; i < config_section_count(); i++)
        if (!config_section_at(i)->is_list)
            add_block(l, config_section_at(i), (struct config_origin){0});
    return l;
}

struct config *config_parse(struct str text, const char *name,
                            struct buf *problems)
{
    struct loading *l = begin(text, name);
    struct config *config = l->config;

    take_file(l);
    take_environment(l);
    read_settings(l);
    name_routes(l);
    check_upstreams(l);
    check_routes(l);
    make_default_route(l);
    if (l->problem_count > 0) {
        print_problems(l, problems);
        config_destroy(&config);
    }
    return config;
}

struct config *config_load(const char *path, struct buf *problems)
{
    struct config *config = NULL;
    struct error err = {0};
    struct buf text;

    if (path == NULL)
        return config_parse(S(""), "", problems);
    buf_init(&text, FILE_MAX);
    if (file_read(path, &text, &err))
        config = config_parse(buf_str(&text), path, problems);
    else
        buf_addf(problems, "%s\n", err.text);
    buf_finish(&text);
    return config;
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
