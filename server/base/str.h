/* str.h - text that somebody else owns: pointer and length.
 *
 * Strings from outside may hold any byte, NUL too, and need not end in one.
 * A str is passed by value and never freed; it lives as long as what it
 * points into. The empty str may have a null ptr.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "server/base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *ptr;
    size_t len;
};

/* A str of a literal: constant, so fit for static tables. */
#define STR(literal)                                                           \
    {                                                                          \
        "" literal, sizeof(literal) - 1                                        \
    }
/* The same as an expression. */
#define S(literal) ((struct str)STR(literal))

/* For "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).len == 0 ? "" : (s).ptr

struct str str_of(const char *text); /* NULL gives the empty str */
struct str str_make(const void *ptr, size_t len);

bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Like memcmp, the shorter first where one begins the other. */
int str_compare(struct str a, struct str b);

/* Index of the first byte or text at or after from; -1 when there is none. */
ptrdiff_t str_index(struct str s, char c, size_t from);
ptrdiff_t str_find(struct str s, struct str part, size_t from);
bool str_contains(struct str s, struct str part);
bool str_contains_nocase(struct str s, struct str part);
/* Any byte below 0x20, or 0x7f. CR, LF and NUL are among them. */
bool str_has_control(struct str s);

struct str str_from(struct str s, size_t start);              /* clamped */
struct str str_slice(struct str s, size_t start, size_t len); /* clamped */
struct str str_trim(struct str s); /* blanks and tabs */

/* Cuts what stands before the first c off *rest, without the c. False when
 * *rest is used up; the last piece is what has no c behind it. */
bool str_cut(struct str *rest, char c, struct str *piece);

enum { DECIMAL_SIZE = 20 };
/* number in decimal, within room: what printf writes for %lld, in a tenth of
 * the time. */
struct str str_decimal(int64_t number, char room[DECIMAL_SIZE]);

/* Decimal digits only, no sign, no blanks. False when empty or too big. */
MUST_USE bool str_to_u64(struct str s, uint64_t *value);

char ascii_lower(char c);
bool ascii_is_digit(char c);
bool ascii_is_alpha(char c);
bool ascii_is_alnum(char c);

#endif
