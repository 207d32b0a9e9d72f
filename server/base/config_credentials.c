#include "server/base/config_loading.h"

#include "server/base/file.h"

#include <stdlib.h>

/* A credential, with what its name says: TABLE.KEY or TABLE.label.KEY, where
 * the key is KEY_file. */
struct credential {
    struct config_origin origin;
    const struct config_section *section;
    struct str label;
    struct str key;
};

/* False: it is somebody else's. */
static bool split_name(struct config_loading *l, const char *name,
                       struct credential *credential)
{
    struct str rest = str_of(name);
    struct str table;

    *credential = (struct credential){.label = S("")};
    if (!str_cut(&rest, '.', &table) || rest.len == 0)
        return false;
    credential->section = config_section_find(table);
    if (credential->section == NULL ||
        (credential->section->is_list &&
         !str_cut(&rest, '.', &credential->label)))
        return false;
    credential->key = arena_printf(l->arena, "%.*s_file", STR_ARG(rest));
    credential->origin.variable =
        arena_printf(l->arena, "credential %s", name).ptr;
    return true;
}

/* NULL: a problem was told. A credential does not make an upstream. */
static struct config_block *block_of(struct config_loading *l,
                                     const struct credential *credential)
{
    const struct config_section *section = credential->section;
    struct config_block *block;
    char label[CONFIG_LABEL_SIZE];

    if (!section->is_list)
        return config_only_block(l, section);
    block = config_named_block(l, section, credential->label);
    if (block == NULL)
        config_problem(l, credential->origin, "there is no %s \"%.*s\"",
                       config_section_label(section, label),
                       STR_ARG(credential->label));
    return block;
}

static void take_credential(struct config_loading *l, const char *folder,
                            const char *name)
{
    struct credential credential;
    struct config_block *block;
    struct config_setting *setting;
    ptrdiff_t key;

    if (!split_name(l, name, &credential))
        return;
    key = config_key_find(credential.section, credential.key);
    if (key < 0) {
        config_unknown_key(l, credential.section, credential.key,
                           credential.origin);
        return;
    }
    block = block_of(l, &credential);
    if (block == NULL)
        return;
    setting = &block->settings[key];
    if (setting->origin.variable != NULL)
        return;
    *setting = (struct config_setting){
        .is_set = true,
        .value = {.type = TOML_TEXT,
                  .text = arena_printf(l->arena, "%s/%s", folder, name)},
        .origin = credential.origin,
    };
}

void config_take_credentials(struct config_loading *l)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    struct config_origin origin = {.variable = "CREDENTIALS_DIRECTORY"};
    struct error err = {0};
    const char **names = NULL;
    size_t count = 0;

    if (folder == NULL || *folder == '\0')
        return;
    if (!file_names(folder, l->arena, &names, &count, &err))
        config_problem(l, origin, "%s", err.text);
    for (size_t i = 0; i < count; i++)
        take_credential(l, folder, names[i]);
}
