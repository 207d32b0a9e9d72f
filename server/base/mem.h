/* mem.h - heap memory. Out of memory aborts, so no result is ever NULL. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "server/base/check.h"

#include <stddef.h>

MUST_USE void *xmalloc(size_t size);
MUST_USE void *xcalloc(size_t count, size_t size); /* zeroed */
MUST_USE void *xrealloc(void *ptr, size_t size);
MUST_USE char *xstrdup(const char *text);
MUST_USE char *xmemdup0(const void *bytes, size_t len); /* adds a NUL */

#endif
