/* toml.h - a strict subset of TOML, as pure parsing.
 *
 * Understood: comments, [tables], [[arrays of tables]], bare keys, basic and
 * literal strings on one line, decimal integers, booleans, and arrays of
 * these, over several lines if wanted. Whatever else TOML has (dotted and
 * quoted keys, inline tables, floats, dates, multi-line strings) is refused
 * by its name. What is accepted means what it means in TOML.
 *
 * Source: toml.io/en/v1.0.0.
 */
#ifndef BASE_TOML_H
#define BASE_TOML_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From 1; columns count code points. */
struct toml_place {
    unsigned line;
    unsigned column;
};

enum toml_type { TOML_TEXT, TOML_INT, TOML_BOOL, TOML_LIST };

struct toml_value {
    enum toml_type type;
    struct toml_place place;
    struct str text; /* TOML_TEXT: without NUL, valid UTF-8 */
    int64_t number;
    bool truth;
    struct toml_value *items; /* TOML_LIST: of any types */
    size_t count;
    struct toml_value *next; /* the parser's own */
};

struct toml_member {
    struct str name;
    struct toml_place place;
    struct toml_value value;
    struct toml_member *next;
};

/* One header and what stands below it; the first one, without a name, is
 * what stands before any header. */
struct toml_table {
    struct str name;
    struct toml_place place;
    bool is_repeated; /* [[name]] */
    struct toml_member *members;
    struct toml_table *next;
};

/* text is valid until the call returns. */
typedef void toml_problem_fn(void *ctx, struct toml_place place,
                             const char *text);

/* Every problem is reported, in their order; the parser goes on at the next
 * line that begins a key or a table. The tables, in the order of the text,
 * live in arena and point into it and into text. What had a problem is not
 * among them. */
struct toml_table *toml_parse(struct str text, struct arena *arena,
                              toml_problem_fn *problem, void *ctx);

/* One value, all of text: what an environment variable holds. False: a
 * problem was reported. */
MUST_USE bool toml_parse_value(struct str text, struct arena *arena,
                               struct toml_value *value,
                               toml_problem_fn *problem, void *ctx);

/* A value as it would stand in a file; it parses to the same again. */
void toml_write(const struct toml_value *value, struct buf *out);

#endif
