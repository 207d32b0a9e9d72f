/* check_cmocka.h - cmocka with the headers that it wants before it. */
#ifndef TESTS_CHECK_CMOCKA_H
#define TESTS_CHECK_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
