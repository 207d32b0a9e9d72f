#include "server/base/config_keys.h"

#include <stdio.h>

/* Each of the next three reads config.def once more, with these names
 * meaning something else. */
#define KEY_LATER(section, name, doc, ...)                                     \
    {#name, doc, #__VA_ARGS__, KIND_LATER, 0, 0, 0},
#define KEY(section, name, member, kind, min, max, doc, ...)                   \
    {#name,                                                                    \
     doc,                                                                      \
     #__VA_ARGS__,                                                             \
     KIND_##kind,                                                              \
     min,                                                                      \
     max,                                                                      \
     offsetof(struct config_##section, member)},
#define SECTION(name, doc)
#define SECTION_LIST(name, member, doc)
#define SECTION_LATER(name, doc)
static const struct config_key KEYS[] = {
#include "server/base/config.def"
};
#undef KEY
#undef KEY_LATER
#undef SECTION
#undef SECTION_LIST
#undef SECTION_LATER

/* Numbers for the keys, as in KEYS; BEGIN_x is that of the first in x. */
#define KEY_LATER(section, name, doc, ...) AT_##section##_##name,
#define KEY(section, name, member, kind, min, max, doc, ...)                   \
    AT_##section##_##name,
#define SECTION(name, doc)              BEGIN_##name, BEFORE_##name = BEGIN_##name - 1,
#define SECTION_LIST(name, member, doc) SECTION(name, doc)
#define SECTION_LATER(name, doc)        SECTION(name, doc)
enum {
#include "server/base/config.def"
    END
};
#undef KEY
#undef KEY_LATER
#undef SECTION
#undef SECTION_LIST
#undef SECTION_LATER

#define KEY_LATER(section, name, doc, ...)
#define KEY(section, name, member, kind, min, max, doc, ...)
#define SECTION(name, doc)                                                     \
    {#name,       doc,                                                         \
     false,       offsetof(struct config, name),                               \
     0,           sizeof(struct config_##name),                                \
     BEGIN_##name},
#define SECTION_LIST(name, member, doc)                                        \
    {#name,                                                                    \
     doc,                                                                      \
     true,                                                                     \
     offsetof(struct config, member),                                          \
     offsetof(struct config, name##_count),                                    \
     sizeof(struct config_##name),                                             \
     BEGIN_##name},
#define SECTION_LATER(name, doc) {#name, doc, false, 0, 0, 0, BEGIN_##name},
static const struct config_section SECTIONS[] = {
#include "server/base/config.def"
};

size_t config_section_count(void)
{
    _Static_assert(COUNT_OF(SECTIONS) <= CONFIG_SECTIONS_MAX, "room");
    return COUNT_OF(SECTIONS);
}

const struct config_section *config_section_at(size_t index)
{
    CHECK(index < COUNT_OF(SECTIONS));
    return &SECTIONS[index];
}

const struct config_section *config_section_find(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(SECTIONS); i++)
        if (str_eq(str_of(SECTIONS[i].name), name))
            return &SECTIONS[i];
    return NULL;
}

size_t config_key_count(const struct config_section *section)
{
    size_t next = section == &SECTIONS[COUNT_OF(SECTIONS) - 1]
                      ? END
                      : section[1].first_key;
    size_t count = next - section->first_key;

    CHECK(count <= CONFIG_KEYS_MAX);
    return count;
}

const struct config_key *config_key_at(const struct config_section *section,
                                       size_t index)
{
    CHECK(index < config_key_count(section));
    return &KEYS[section->first_key + index];
}

ptrdiff_t config_key_find(const struct config_section *section, struct str name)
{
    for (size_t i = 0; i < config_key_count(section); i++)
        if (str_eq(str_of(config_key_at(section, i)->name), name))
            return (ptrdiff_t)i;
    return -1;
}

const char *config_section_label(const struct config_section *section,
                                 char out[CONFIG_LABEL_SIZE])
{
    snprintf(out, CONFIG_LABEL_SIZE, section->is_list ? "[[%s]]" : "[%s]",
             section->name);
    return out;
}

static void ignore_problem(void *ctx, struct toml_place place, const char *text)
{
    (void)ctx;
    (void)place;
    (void)text;
}

struct toml_value config_key_default(const struct config_key *key,
                                     struct arena *arena)
{
    struct toml_value value = {0};

    CHECK(toml_parse_value(str_of(key->default_toml), arena, &value,
                           ignore_problem, NULL));
    return value;
}
