#include "server/base/map.h"

#include "check_cmocka.h"

#include <stdbool.h>
#include <stdio.h>

enum { MANY = 5000 };

static int values[MANY];

static int setup(void **state)
{
    *state = map_create();
    return 0;
}

static int teardown(void **state)
{
    struct map *map = *state;

    map_destroy(&map);
    assert_null(map);
    map_destroy(&map);
    return 0;
}

static struct str key_of(int i)
{
    static char text[32];

    snprintf(text, sizeof text, "key %d", i);
    return str_of(text);
}

static void an_empty_map_has_nothing(void **state)
{
    struct str key;
    void *value;
    size_t at = 0;

    assert_null(map_get(*state, S("a")));
    assert_null(map_remove(*state, S("a")));
    assert_int_equal(map_count(*state), 0);
    assert_false(map_next(*state, &at, &key, &value));
}

static void values_are_put_found_replaced_and_removed(void **state)
{
    assert_null(map_put(*state, S("a"), &values[1]));
    assert_null(map_put(*state, S("a\0"), &values[2]));
    assert_null(map_put(*state, S(""), &values[3]));
    assert_ptr_equal(map_get(*state, S("a")), &values[1]);
    assert_ptr_equal(map_get(*state, S("a\0")), &values[2]);
    assert_ptr_equal(map_get(*state, S("")), &values[3]);
    assert_ptr_equal(map_put(*state, S("a"), &values[4]), &values[1]);
    assert_int_equal(map_count(*state), 3);
    assert_ptr_equal(map_remove(*state, S("a")), &values[4]);
    assert_null(map_get(*state, S("a")));
    assert_null(map_remove(*state, S("a")));
    assert_int_equal(map_count(*state), 2);
}

static void keys_are_copied(void **state)
{
    char key[] = "abc";

    map_put(*state, str_of(key), &values[1]);
    key[0] = 'x';
    assert_ptr_equal(map_get(*state, S("abc")), &values[1]);
    assert_null(map_get(*state, S("xbc")));
}

static void many_come_and_go(void **state)
{
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            assert_null(map_put(*state, key_of(i), &values[i]));
        assert_int_equal(map_count(*state), MANY);
        for (int i = 0; i < MANY; i++)
            assert_ptr_equal(map_get(*state, key_of(i)), &values[i]);
        for (int i = 0; i < MANY; i++)
            assert_ptr_equal(map_remove(*state, key_of(i)), &values[i]);
        assert_int_equal(map_count(*state), 0);
    }
}

static void a_walk_meets_each_once_and_may_remove(void **state)
{
    static bool seen[MANY];
    struct str key;
    void *value;
    size_t at = 0;
    size_t met = 0;

    for (int i = 0; i < MANY; i++)
        map_put(*state, key_of(i), &values[i]);
    while (map_next(*state, &at, &key, &value)) {
        size_t i = (size_t)((int *)value - values);

        assert_true(str_eq(key, key_of((int)i)));
        assert_false(seen[i]);
        seen[i] = true;
        met++;
        if (i % 2 == 0)
            map_remove(*state, key_of((int)i));
    }
    assert_int_equal(met, MANY);
    assert_int_equal(map_count(*state), MANY / 2);
}

/* One that is filled and emptied again and again stays small: tombstones go
 * with the next rehash, so a look-up for what is not there ends. */
static void tombstones_do_not_pile_up(void **state)
{
    map_put(*state, S("stays"), &values[0]);
    for (int i = 0; i < 100 * MANY; i++) {
        map_put(*state, key_of(i), &values[1]);
        assert_ptr_equal(map_remove(*state, key_of(i)), &values[1]);
    }
    assert_null(map_get(*state, S("never")));
    assert_ptr_equal(map_get(*state, S("stays")), &values[0]);
}

static void the_hash_is_a_function_of_the_key(void **state)
{
    (void)state;
    assert_true(map_hash(S("a")) == map_hash(S("a")));
    assert_true(map_hash(S("a")) != map_hash(S("b")));
    assert_true(map_hash(S("")) != map_hash(S("\0")));
    assert_true(map_hash(S("12345678")) != map_hash(S("12345678\0")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(an_empty_map_has_nothing),
        TEST(values_are_put_found_replaced_and_removed),
        TEST(keys_are_copied),
        TEST(many_come_and_go),
        TEST(a_walk_meets_each_once_and_may_remove),
        TEST(tombstones_do_not_pile_up),
        TEST(the_hash_is_a_function_of_the_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
