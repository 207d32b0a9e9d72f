/* faults.h - everything that is wrong with a request, collected. Pure.
 *
 * A caller learns all problems at once: each with a JSON pointer, a code for
 * programs and a sentence for people. Offending values are not repeated.
 *
 * Source: RFC 6901 (pointers), RFC 9457 (several problems of one request).
 */
#ifndef API_FAULTS_H
#define API_FAULTS_H

#include "server/base/arena.h"
#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum problem_kind {
    PROBLEM_NONE,
#define PROBLEM(id, status, name, code) PROBLEM_##id,
#include "api/problem.def"
#undef PROBLEM
    PROBLEM_COUNT
};

enum { FAULTS_MAX = 50 };

struct fault {
    enum problem_kind kind;
    struct str pointer; /* "/to/3"; empty: the whole body */
    struct str code;
    struct str message; /* "`to[3]` has no @." */
};

struct faults {
    struct arena *arena;
    struct fault items[FAULTS_MAX];
    size_t count;
    size_t more; /* that did not fit */
};

void faults_init(struct faults *faults, struct arena *arena);

/* text completes a sentence that begins with the field, without full stop.
 * Everything is copied. */
void faults_add(struct faults *faults, enum problem_kind kind,
                struct str pointer, const char *code, const char *format, ...)
    PRINTF_LIKE(5, 6);
/* "Missing `to` field." */
void faults_add_missing(struct faults *faults, struct str pointer);

/* Something is wrong at that pointer or below it. */
bool faults_are_at(const struct faults *faults, const char *pointer);

/* The pointer of a member or an element below base. */
struct str pointer_member(struct arena *arena, struct str base,
                          struct str name);
struct str pointer_index(struct arena *arena, struct str base, size_t index);

#endif
