#include "server/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return;
    err->kind = kind;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
}

void error_prefix(struct error *err, const char *format, ...)
{
    char former[sizeof err->text];
    va_list args;
    int len;

    if (err == NULL)
        return;
    memcpy(former, err->text, sizeof former);
    va_start(args, format);
    len = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof err->text - 2)
        snprintf(err->text + len, sizeof err->text - (size_t)len, ": %.*s",
                 (int)(sizeof err->text - (size_t)len - 3), former);
}

void error_clear(struct error *err)
{
    err->kind = ERR_NONE;
    err->text[0] = '\0';
}
