/* error.h - an expected failure: what, which, why.
 *
 * The text is lower case, without a full stop and without a secret. Only
 * api/problem.c maps kinds to HTTP answers.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "server/base/check.h"

enum error_kind {
    ERR_NONE,
    ERR_INPUT,   /* what the caller gave is wrong */
    ERR_CONFIG,  /* what the operator configured is wrong */
    ERR_REMOTE,  /* another server failed or refused */
    ERR_TIMEOUT, /* another server did not answer in time */
    ERR_BUSY,    /* a limit of our own; trying later helps */
    ERR_SYSTEM,  /* the operating system refused */
};

struct error {
    enum error_kind kind;
    char text[512];
};

/* Overwrites. err may be NULL: nobody wants to know. */
void error_set(struct error *err, enum error_kind kind, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Puts "format: " before the text that is there. */
void error_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);
void error_clear(struct error *err);

#endif
