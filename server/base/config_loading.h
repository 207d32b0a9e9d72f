/* config_loading.h - a configuration while it comes to be. Inside of config*.c
 * only.
 *
 * config.c takes the files and calls the rest in order: the environment
 * (config_env.c), credentials (config_credentials.c), then every value into
 * its struct, then what keys ask of one another (config_check.c). What is wrong
 * is collected (config_problems.c), so that one run shows all of it.
 */
#ifndef BASE_CONFIG_LOADING_H
#define BASE_CONFIG_LOADING_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/config.h"
#include "server/base/config_keys.h"
#include "server/base/str.h"
#include "server/base/toml.h"

#include <stddef.h>

enum { CONFIG_PROBLEMS_MAX = 100 };

struct config_problem {
    struct config_origin origin;
    size_t number; /* in the order in which they were met */
    const char *text;
};

/* What is at hand while a configuration comes to be. */
struct config_loading {
    struct config *config;
    struct arena *arena;
    const struct config_source *source; /* the file that is being taken */
    unsigned source_count;
    struct config_block **blocks_end;
    struct config_problem problems[CONFIG_PROBLEMS_MAX];
    size_t problem_count; /* told or only counted */
};

/* Notes a problem. Later ones than CONFIG_PROBLEMS_MAX are only counted. */
PRINTF_LIKE(3, 4)
void config_problem(struct config_loading *l, struct config_origin origin,
                    const char *format, ...);
/* The same for what toml.h finds; ctx is the loading. */
void config_toml_problem(void *ctx, struct toml_place place, const char *text);
/* Where a key of the nth table of that name was set, or else where the table
 * begins. */
struct config_origin config_origin_of(const struct config *config,
                                      struct config_value_name value);
/* All of them in the order of the files, as config_load says. */
void config_print_problems(struct config_loading *l, struct buf *out);

/* A new table of its kind, behind all others. */
struct config_block *config_add_block(struct config_loading *l,
                                      const struct config_section *section,
                                      struct config_origin origin);
/* The block of a table that comes once. */
struct config_block *config_only_block(struct config_loading *l,
                                       const struct config_section *section);
/* The repeated table of that name; NULL if there is none. */
struct config_block *config_named_block(struct config_loading *l,
                                        const struct config_section *section,
                                        struct str name);
/* Notes that the section has no such key, and which it may have meant. */
void config_unknown_key(struct config_loading *l,
                        const struct config_section *section, struct str name,
                        struct config_origin origin);

/* Takes all variables that begin with POSTHASTE_ over what the files said. */
void config_take_environment(struct config_loading *l);

/* Takes the files of $CREDENTIALS_DIRECTORY over what the files said, and
 * below what variables did. */
void config_take_credentials(struct config_loading *l);

/* What one key asks of another: names that exist and are not there twice,
 * logins that are whole, routes that can be reached. */
void config_check(struct config_loading *l);

#endif
