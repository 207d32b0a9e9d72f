/* fields.h - declarative tables of what a request body may hold. Pure.
 *
 * A table says of each member its type, its limits and whether it must be
 * there; fields_check finds everything that breaks it, unknown members with
 * the nearest known name among them. What a table cannot say (addresses,
 * times, headers) is checked by the endpoint afterwards, on members whose
 * type is known to be right. null counts as absent throughout.
 */
#ifndef API_FIELDS_H
#define API_FIELDS_H

#include "api/faults.h"
#include "server/base/json.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_TEXT, /* max: bytes */
    FIELD_WORD, /* one of words */
    FIELD_BOOL,
    FIELD_INT,     /* min..max */
    FIELD_TEXTS,   /* a string or a list of them; max: of the list */
    FIELD_LIST,    /* of maps by their own table; max: of the list */
    FIELD_MAP,     /* of strings, with any names; max: members */
    FIELD_STRUCT,  /* a map by its own table */
    FIELD_OBJECT,  /* a map of anything; max: members */
    FIELD_ANY,     /* of any type */
    FIELD_IGNORED, /* what SDKs send and we have no use for */
    FIELD_LATER,   /* not supported yet: refused, and says so */
};

/* A table ends with a row without a name. */
struct field {
    const char *name;
    enum field_type type;
    bool required;
    int64_t min;
    int64_t max;
    const char *const *words;    /* NULL at the end */
    const struct field *members; /* of FIELD_LIST and FIELD_STRUCT; a
                                    table */
    enum problem_kind kind;      /* of its faults, if VALIDATION_ERROR is not
                                    what they are */
};

/* False: faults were added. What is checked must be a map. */
bool fields_check(const struct field *table, const struct json *map,
                  struct str base, struct faults *faults);

/* Absent and null are the same. */
bool field_is_there(const struct json *map, const char *name);

#endif
