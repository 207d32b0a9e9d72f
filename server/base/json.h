/* json.h - the only door to the JSON library.
 *
 * Reading makes a tree that belongs to its document; writing goes straight
 * into a buffer, without a tree. Parsing refuses duplicate members, NUL
 * escapes, invalid UTF-8, lone surrogates and whatever stands behind the
 * value; depth and number of values are limited.
 *
 * Names keep clear of the library's exported ones (json_real, json_string,
 * json_type): two of a name in one program would be one.
 *
 * Source: RFC 8259; RFC 6901 (pointers).
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum json_type {
    JSON_MISSING, /* also what every look-up in a wrong type gives */
    JSON_NULL_VALUE,
    JSON_BOOL,
    JSON_INT,
    JSON_NUMBER, /* with a fraction or an exponent */
    JSON_TEXT,
    JSON_LIST,
    JSON_MAP,
};

struct json; /* one value; lives as long as its document */

enum {
    JSON_DEPTH_MAX = 32,
    JSON_VALUES_MAX = 256 * 1024, /* 60 MiB of tree at most */
};

/* The root; err (ERR_INPUT) tells line and column. Pure: fit for a helper
 * thread. The caller destroys the root, and only the root. */
struct json *json_parse(struct str text, struct error *err);
void json_destroy(struct json **root);

enum json_type json_type_of(const struct json *value); /* NULL: missing */
const char *json_type_name(enum json_type type);       /* "string", "array" */

const struct json *json_get(const struct json *map, const char *name);
size_t json_count(const struct json *value); /* of a list or map, else 0 */
const struct json *json_at(const struct json *list, size_t index);

/* The members of a map, in the order of the text. Begin with *at = NULL. */
bool json_next(const struct json *map, void **at, struct str *name,
               const struct json **value);

/* Of another type: the empty str, 0, false. */
struct str json_str(const struct json *value);
int64_t json_int(const struct json *value);
bool json_bool(const struct json *value);

/* Short cuts: a member of a map. */
struct str json_get_str(const struct json *map, const char *name);
int64_t json_get_int(const struct json *map, const char *name);
bool json_get_bool(const struct json *map, const char *name);

/* A value as text, members in their order. */
void json_dump(const struct json *value, struct buf *out);

/* Writing. Commas and colons come by themselves. CHECKs that the calls
 * nest. text must be valid UTF-8. */
struct json_out {
    struct buf *buf;
    uint64_t nesting;    /* one bit a level: is a map */
    uint64_t has_member; /* one bit a level: needs a comma */
    unsigned depth;
    bool after_name;
};

void json_out_init(struct json_out *out, struct buf *buf);
void json_open_map(struct json_out *out);
void json_close_map(struct json_out *out);
void json_open_list(struct json_out *out);
void json_close_list(struct json_out *out);
void json_name(struct json_out *out, const char *name);
void json_name_str(struct json_out *out, struct str name);
void json_put_str(struct json_out *out, struct str text);
void json_put_int(struct json_out *out, int64_t value);
void json_put_bool(struct json_out *out, bool value);
void json_put_null(struct json_out *out);
void json_put_raw(struct json_out *out, struct str json); /* trusted JSON */
void json_put_value(struct json_out *out, const struct json *value);

/* Member and value in one. */
void json_add_str(struct json_out *out, const char *name, struct str text);
void json_add_cstr(struct json_out *out, const char *name, const char *text);
void json_add_int(struct json_out *out, const char *name, int64_t value);
/* value thousandths: 1500 is 1.500. */
void json_add_milli(struct json_out *out, const char *name, int64_t value);
void json_add_bool(struct json_out *out, const char *name, bool value);
void json_add_null(struct json_out *out, const char *name);
void json_add_time(struct json_out *out, const char *name, int64_t wall_ms);
/* null for an empty text, and for the time 0. */
void json_add_str_or_null(struct json_out *out, const char *name,
                          struct str text);
void json_add_time_or_null(struct json_out *out, const char *name,
                           int64_t wall_ms);

#endif
