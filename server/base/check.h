/* check.h - what the compiler and the program watch over.
 *
 * CHECK is for bugs: broken invariants, impossible states. It is always
 * compiled in and aborts with file, line and a backtrace. Expected failures
 * go through error.h.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>

#define CHECK(condition)                                                       \
    ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))
#define NORETURN               __attribute__((noreturn))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds member at ptr. */
#define CONTAINER_OF(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

NORETURN void check_failed(const char *condition, const char *file, int line);

#endif
