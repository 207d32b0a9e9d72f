/* library.h - shared libraries that are loaded by the first who needs them.
 *
 * What is loaded with the program costs every process of every role memory at
 * rest, and every verb of the command line time. A room whose library most
 * processes do without holds its functions in a table, and fills that from
 * here before the first call.
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include "server/base/check.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct library {
    const char *file; /* "libx.so.1" */
    const char *need; /* "webhooks need libx (package libx1)" */
    const struct library_function {
        const char *symbol;
        void *place; /* of the pointer to the function */
    } * functions;
    size_t function_count;
};

/* Fills all places; the library stays for the life of the process. False:
 * it is not installed, or lacks a function. */
MUST_USE bool library_load(const struct library *library, struct error *err);

#endif
