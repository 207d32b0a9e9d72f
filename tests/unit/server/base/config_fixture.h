/* What config_*() say, of the tests of the configuration. */
#ifndef CONFIG_FIXTURE_H
#define CONFIG_FIXTURE_H

#include "server/base/buf.h"

#include "check_cmocka.h"

#define UPSTREAM "[[upstream]]\nname = \"main\"\nhost = \"smtp.test\"\n"

enum { OUT_MAX = 1 << 18 };

static struct buf out;

static inline int setup(void **state)
{
    (void)state;
    buf_init(&out, OUT_MAX);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    buf_finish(&out);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
