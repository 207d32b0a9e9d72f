/* Keys are derived beside the loop, and kept. */
#include "smtp/keys.h"

#include "server/base/clock.h"

#include "check_cmocka.h"

struct asker {
    struct scram_keys keys;
    unsigned done;
};

static struct loop *loop;
static struct helper helper;
static struct keys keys;

static int setup(void **state)
{
    (void)state;
    loop = loop_create();
    helper = (struct helper){.loop = loop};
    keys_init(&keys, &helper, S("sesame"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    helper_close(&helper);
    keys_finish(&keys);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

static void on_done(void *ctx, const struct scram_keys *derived)
{
    struct asker *asker = ctx;

    asker->keys = *derived;
    asker->done++;
}

static struct scram_recipe recipe_of(unsigned char salt)
{
    return (struct scram_recipe){.hash = SECRET_SHA256,
                                 .iterations = SCRAM_ITERATIONS_MIN,
                                 .salt_len = 1,
                                 .salt = {salt}};
}

static void ask(struct asker *asker, unsigned char salt)
{
    const struct scram_recipe recipe = recipe_of(salt);

    *asker = (struct asker){0};
    assert_non_null(keys_derive(&keys, &recipe, on_done, asker));
    assert_int_equal(asker->done, 0);
}

static void wait_for(const struct asker *asker)
{
    for (int i = 0; i < 1000 && asker->done == 0; i++)
        loop_turn(loop, 100);
    assert_int_equal(asker->done, 1);
}

static void derives_beside_and_keeps(void **state)
{
    const struct scram_recipe recipe = recipe_of(1);
    struct scram_recipe other = recipe;
    struct scram_keys wanted;
    struct asker asker;

    (void)state;
    assert_null(keys_find(&keys, &recipe));
    ask(&asker, 1);
    wait_for(&asker);
    scram_derive(&recipe, S("sesame"), &wanted);
    assert_memory_equal(&asker.keys, &wanted, sizeof wanted);
    assert_memory_equal(keys_find(&keys, &recipe), &wanted, sizeof wanted);
    other.iterations++;
    assert_null(keys_find(&keys, &other));
    other = recipe;
    other.hash = SECRET_SHA1;
    assert_null(keys_find(&keys, &other));
}

static void the_same_is_kept_once(void **state)
{
    struct asker askers[3];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        ask(&askers[i], 1);
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        wait_for(&askers[i]);
    assert_int_equal(keys.count, 1);
}

static void the_oldest_is_forgotten(void **state)
{
    struct asker asker;
    struct scram_recipe recipe;

    (void)state;
    for (unsigned char salt = 0; salt <= KEYS_KEPT; salt++) {
        ask(&asker, salt);
        wait_for(&asker);
    }
    recipe = recipe_of(0);
    assert_null(keys_find(&keys, &recipe));
    for (unsigned char salt = 1; salt <= KEYS_KEPT; salt++) {
        recipe = recipe_of(salt);
        assert_non_null(keys_find(&keys, &recipe));
    }
}

static void who_left_is_not_called(void **state)
{
    const struct scram_recipe recipe = recipe_of(1);
    struct asker gone = {0};
    struct asker here;
    struct keys_job *job = keys_derive(&keys, &recipe, on_done, &gone);

    (void)state;
    keys_cancel(&job);
    assert_null(job);
    keys_cancel(&job);
    ask(&here, 2);
    wait_for(&here);
    assert_int_equal(gone.done, 0);
    assert_non_null(keys_find(&keys, &recipe)); /* it was of use */
}

static void may_end_while_jobs_wait(void **state)
{
    struct asker askers[8];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        ask(&askers[i], (unsigned char)i);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(derives_beside_and_keeps), TEST(the_same_is_kept_once),
        TEST(the_oldest_is_forgotten),  TEST(who_left_is_not_called),
        TEST(may_end_while_jobs_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
