#include "server/base/arena.h"

#include "check_cmocka.h"

#include <stdalign.h>

static int setup(void **state)
{
    *state = arena_create();
    return 0;
}

static int teardown(void **state)
{
    struct arena *arena = *state;

    arena_destroy(&arena);
    assert_null(arena);
    arena_destroy(&arena);
    return 0;
}

static void memory_is_zeroed_and_aligned(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 16, 100, 2000, 2017, 4032, 70000};
    static const char zeros[70000];

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            char *ptr = arena_alloc(*state, sizes[i]);

            assert_non_null(ptr);
            assert_int_equal((uintptr_t)ptr % alignof(max_align_t), 0);
            assert_memory_equal(ptr, zeros, sizes[i]);
            memset(ptr, 0xff, sizes[i]);
        }
    }
}

static void pieces_do_not_overlap(void **state)
{
    enum { PIECES = 2000, SIZE = 37 };
    static char *pieces[PIECES];

    for (int i = 0; i < PIECES; i++) {
        pieces[i] = arena_alloc(*state, SIZE);
        memset(pieces[i], i % 251, SIZE);
        if (i % 100 == 0)
            memset(arena_alloc(*state, 5000), 0xff, 5000);
    }
    for (int i = 0; i < PIECES; i++)
        for (int k = 0; k < SIZE; k++)
            assert_int_equal((unsigned char)pieces[i][k], i % 251);
}

static void copies_end_in_a_nul(void **state)
{
    struct str copy = arena_copy(*state, S("a\0b"));

    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b", 4);
    assert_string_equal(arena_cstr(*state, (struct str){NULL, 0}), "");
    copy = arena_printf(*state, "%s-%d", "x", 7);
    assert_int_equal(copy.len, 3);
    assert_string_equal(copy.ptr, "x-7");
}

static void arrays_are_typed(void **state)
{
    uint64_t *numbers = ARENA_ARRAY(*state, uint64_t, 10);

    for (int i = 0; i < 10; i++)
        assert_int_equal(numbers[i], 0);
    assert_non_null(ARENA_ARRAY(*state, uint64_t, 0));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_is_zeroed_and_aligned, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pieces_do_not_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_end_in_a_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(arrays_are_typed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
