#include "smtp/return_path.h"

#include "server/base/file.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <unistd.h>

#define KEY_1 "one AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
#define KEY_2 "two AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"

static const char EMAIL[] = "019ac3f2-7b1c-7d3e-8f4a-5b6c7d8e9f01";

static struct keyring *keyring_of(const char *text)
{
    char path[64];
    struct keyring *keyring;

    snprintf(path, sizeof path, "/tmp/posthaste-return-path-%d", getpid());
    assert_true(file_create(path, str_of(text), 0600, NULL));
    keyring = keyring_load(path, NULL);
    assert_non_null(keyring);
    unlink(path);
    return keyring;
}

static struct str make(const struct keyring *keyring, unsigned number,
                       struct arena *arena)
{
    struct return_path path;
    struct id email;

    assert_true(id_parse(str_of(EMAIL), &email));
    return_path_init(&path, keyring);
    return return_path_make(&path, S("bounce.example.com"), &email, number,
                            arena);
}

static void assert_read(const struct keyring *keyring, struct str text,
                        unsigned want)
{
    struct id email;
    unsigned number = 1 << 20;

    assert_true(return_path_read(keyring, text, &email, &number));
    assert_string_equal(email.text, EMAIL);
    assert_int_equal(number, want);
}

static void assert_not_read(const struct keyring *keyring, struct str text)
{
    struct id email;
    unsigned number;

    assert_false(return_path_read(keyring, text, &email, &number));
}

static void it_says_which_delivery_it_was(void **state)
{
    struct keyring *keyring = keyring_of(KEY_1);
    struct arena *arena = arena_create();
    struct str address = make(keyring, 258, arena);

    (void)state;
    assert_true(
        str_starts(address, S("b+019ac3f27b1c7d3e8f4a5b6c7d8e9f010102")));
    assert_true(str_ends(address, S("@bounce.example.com")));
    assert_in_range(str_index(address, '@', 0), 1, 64);
    assert_true(str_eq(address, make(keyring, 258, arena)));
    assert_read(keyring, address, 258);
    assert_read(keyring, make(keyring, 0, arena), 0);
    assert_read(keyring, make(keyring, 65535, arena), 65535);
    arena_destroy(&arena);
    keyring_destroy(&keyring);
}

static void what_systems_do_to_an_address_does_no_harm(void **state)
{
    struct keyring *keyring = keyring_of(KEY_1);
    struct arena *arena = arena_create();
    struct str address = make(keyring, 7, arena);
    ptrdiff_t at = str_index(address, '@', 0);
    char upper[128] = "";

    (void)state;
    for (size_t i = 0; i < address.len; i++)
        upper[i] = address.ptr[i] >= 'a' && address.ptr[i] <= 'z'
                       ? (char)(address.ptr[i] - 'a' + 'A')
                       : address.ptr[i];
    assert_read(keyring, str_of(upper), 7);
    assert_read(keyring, arena_printf(arena, " <%s> ", upper), 7);
    assert_read(keyring, str_slice(address, 0, (size_t)at), 7);
    arena_destroy(&arena);
    keyring_destroy(&keyring);
}

/* A letter of the token changed, in each place; another key; other text. */
static void nobody_else_can_make_one(void **state)
{
    struct keyring *keyring = keyring_of(KEY_1);
    struct keyring *other = keyring_of(KEY_2);
    struct arena *arena = arena_create();
    struct str address = make(keyring, 0, arena);

    (void)state;
    for (ptrdiff_t i = 0; i < str_index(address, '@', 0); i++) {
        char copy[128] = "";

        snprintf(copy, sizeof copy, "%.*s", STR_ARG(address));
        copy[i] = copy[i] == '0' ? '1' : '0';
        assert_not_read(keyring, str_of(copy));
    }
    assert_not_read(other, address);
    assert_not_read(keyring, S(""));
    assert_not_read(keyring, S("<>"));
    assert_not_read(keyring, S("b+@bounce.example.com"));
    assert_not_read(keyring, str_slice(address, 0, 40));
    assert_not_read(
        keyring, arena_printf(arena, "b+0%.*s", STR_ARG(str_from(address, 2))));
    arena_destroy(&arena);
    keyring_destroy(&other);
    keyring_destroy(&keyring);
}

static void what_an_older_key_made_is_still_read(void **state)
{
    struct keyring *before = keyring_of(KEY_1);
    struct keyring *after = keyring_of(KEY_2 KEY_1);
    struct arena *arena = arena_create();

    (void)state;
    assert_read(after, make(before, 3, arena), 3);
    assert_not_read(before, make(after, 3, arena));
    arena_destroy(&arena);
    keyring_destroy(&after);
    keyring_destroy(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_which_delivery_it_was),
        cmocka_unit_test(what_systems_do_to_an_address_does_no_harm),
        cmocka_unit_test(nobody_else_can_make_one),
        cmocka_unit_test(what_an_older_key_made_is_still_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
