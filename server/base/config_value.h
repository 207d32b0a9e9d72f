/* config_value.h - from a TOML value to a member of struct config. Inside of
 * config*.c only. Pure but for KIND_SECRET_FILE, which reads the file,
 * and the kinds that look whether there is one. What
 * stands in a text is config_text.h's business. */
#ifndef BASE_CONFIG_VALUE_H
#define BASE_CONFIG_VALUE_H

#include "server/base/arena.h"
#include "server/base/check.h"
#include "server/base/config_keys.h"
#include "server/base/toml.h"

#include <stdbool.h>

struct config_reading {
    struct arena *arena; /* what is read lives there */
    const struct config_key *key;
    struct toml_place place; /* of the problem: the value's, or an item's */
    char why[256];
};

/* Stores value at to, as key->kind says. False: why and place tell what is
 * wrong, and nothing was stored. */
MUST_USE bool config_value_read(struct config_reading *reading,
                                const struct toml_value *value, void *to);

/* What an environment variable holds, as the kind's TOML type. Lists may be
 * written with commas alone: a,b. */
MUST_USE bool config_value_of_text(struct config_reading *reading,
                                   struct str text, struct toml_value *value);

#endif
