#include "server/base/random.h"

#include "check_cmocka.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DRAWS = 20000 };

/* No byte is given out twice, by nobody. */

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static void assert_all_differ(uint64_t *drawn, size_t count)
{
    qsort(drawn, count, sizeof *drawn, compare);
    for (size_t i = 1; i < count; i++)
        assert_true(drawn[i - 1] != drawn[i]);
}

static void draw(uint64_t *drawn, size_t count)
{
    for (size_t i = 0; i < count; i++)
        random_bytes(&drawn[i], sizeof drawn[i]);
}

static void differs_from_draw_to_draw(void **state)
{
    static uint64_t drawn[DRAWS];

    (void)state;
    draw(drawn, DRAWS);
    assert_all_differ(drawn, DRAWS);
}

/* Lengths that do not divide the store, up to more than it holds. */
static void fills_all_that_was_asked_for(void **state)
{
    unsigned char bytes[3000];

    (void)state;
    for (size_t len = 16; len < sizeof bytes - 1; len += 37) {
        memset(bytes, 0, sizeof bytes);
        random_bytes(bytes, len);
        assert_int_equal(bytes[len], 0);
        /* Eight zeros at the end come once in 2^64 times. */
        assert_memory_not_equal(bytes + len - 8, "\0\0\0\0\0\0\0\0", 8);
    }
}

static void a_child_draws_others_than_its_parent(void **state)
{
    uint64_t drawn[2 * 8];
    int fds[2];
    pid_t child;
    int status;

    (void)state;
    random_bytes(drawn, 1); /* so that there is a store to inherit */
    assert_int_equal(pipe(fds), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        draw(drawn, 8);
        _exit(write(fds[1], drawn, 8 * sizeof *drawn) !=
              (ssize_t)(8 * sizeof *drawn));
    }
    draw(drawn, 8);
    assert_int_equal(read(fds[0], drawn + 8, 8 * sizeof *drawn),
                     8 * sizeof *drawn);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(fds[0]);
    close(fds[1]);
    assert_all_differ(drawn, 16);
}

static void *draw_some(void *drawn)
{
    draw(drawn, 8);
    return NULL;
}

static void threads_draw_apart(void **state)
{
    uint64_t drawn[2 * 8];
    pthread_t thread;

    (void)state;
    draw(drawn, 8);
    assert_int_equal(pthread_create(&thread, NULL, draw_some, drawn + 8), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_all_differ(drawn, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differs_from_draw_to_draw),
        cmocka_unit_test(fills_all_that_was_asked_for),
        cmocka_unit_test(a_child_draws_others_than_its_parent),
        cmocka_unit_test(threads_draw_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
