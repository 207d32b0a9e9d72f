#include "server/base/seal.h"

#include "server/base/codec.h"
#include "server/base/file.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUT_MAX = 1 << 16 };

/* BOB is that of RFC 7748 section 6.1. */
#define ALICE "w1cc06e33 dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqwXf7pR25LCo="
#define BOB   "wf35e5616 XasIfmJKikt54X+Lg4AO5m87sSkmGLb9HC+LJ/+I4Os="
static const struct str ALICE_PUBLIC =
    STR("w1cc06e33.KVPpfcoSKfl8YAvsLBf-6qs1zkvt9msdQvFqRJ3FwF8");

/* Sealed to Alice, label "dkim", context "place", by another implementation
 * (python cryptography). */
#define SEALED                                                                 \
    "w1cc06e33.j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF_GHJvkqTcsr13aV3Qm_b" \
    "Hair_prSpHOi_4DWdBiQ"

static char folder[] = "/tmp/posthaste-seal-XXXXXX";
static char path[sizeof folder + 16];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/worker.key", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static struct seal_keys *keys_of(const char *text)
{
    struct error err = {0};
    struct seal_keys *keys;

    unlink(path);
    assert_true(file_create(path, str_of(text), 0600, NULL));
    keys = seal_keys_load(path, &err);
    if (keys == NULL)
        fail_msg("%s", err.text);
    return keys;
}

static void public_halves_are_read_and_written(void **state)
{
    static const struct str bad[] = {
        STR(""),
        STR("w1cc06e33"),
        STR("w1cc06e33."),
        STR("KVPpfcoSKfl8YAvsLBf-6qs1zkvt9msdQvFqRJ3FwF8"),
        STR("w1cc06e33.KVPpfcoSKfl8YAvsLBf-6qs1zkvt9msdQvFqRJ3FwF"),
        STR("w1cc06e33.LVPpfcoSKfl8YAvsLBf-6qs1zkvt9msdQvFqRJ3FwF8"),
        STR("wf35e5616.KVPpfcoSKfl8YAvsLBf-6qs1zkvt9msdQvFqRJ3FwF8"),
        STR("w1cc06e33.KVPpfcoSKfl8YAvsLBf-6qs1zkvt9msdQvFqRJ3FwF8 "),
    };
    struct seal_public key;
    struct buf text;

    (void)state;
    assert_true(seal_public_read(ALICE_PUBLIC, &key));
    buf_init(&text, OUT_MAX);
    seal_public_add(&key, &text);
    assert_true(str_eq(buf_str(&text), ALICE_PUBLIC));
    buf_finish(&text);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(seal_public_read(bad[i], &key));
}

static void what_is_sealed_opens_with_the_private_half(void **state)
{
    struct seal_keys *keys = keys_of(BOB "\n" ALICE "\n");
    struct str plain = S("private\0key");
    struct seal_public alice;
    struct buf sealed;
    struct buf again;
    struct buf opened;

    (void)state;
    buf_init(&sealed, OUT_MAX);
    buf_init(&again, OUT_MAX);
    buf_init(&opened, OUT_MAX);
    assert_true(seal_public_read(ALICE_PUBLIC, &alice));
    assert_true(seal_keys_have(keys, &alice));
    assert_string_equal(seal_keys_current(keys)->id, "wf35e5616");
    seal_to(&alice, "dkim", S("place"), plain, &sealed);
    seal_to(&alice, "dkim", S("place"), plain, &again);
    assert_true(str_starts(buf_str(&sealed), S("w1cc06e33.")));
    assert_false(str_eq(buf_str(&sealed), buf_str(&again)));
    assert_int_equal(
        seal_open(keys, "dkim", S("place"), buf_str(&sealed), &opened),
        KEYRING_OK);
    assert_true(str_eq(buf_str(&opened), plain));
    seal_keys_destroy(&keys);
    assert_null(keys);
    seal_keys_destroy(&keys);
    assert_int_equal(
        seal_open(NULL, "dkim", S("place"), buf_str(&sealed), &opened),
        KEYRING_UNKNOWN_ID);
    keys = keys_of(BOB);
    assert_false(seal_keys_have(keys, &alice));
    assert_int_equal(
        seal_open(keys, "dkim", S("place"), buf_str(&sealed), &opened),
        KEYRING_UNKNOWN_ID);
    seal_keys_destroy(&keys);
    buf_finish(&sealed);
    buf_finish(&again);
    buf_finish(&opened);
}

static void the_format_stays(void **state)
{
    struct seal_keys *keys = keys_of(ALICE);
    struct buf opened;

    (void)state;
    buf_init(&opened, OUT_MAX);
    assert_int_equal(seal_open(keys, "dkim", S("place"), S(SEALED), &opened),
                     KEYRING_OK);
    assert_string_equal(opened.data, "a private key");
    buf_finish(&opened);
    seal_keys_destroy(&keys);
}

/* The point of order 2 and the like give no secret (RFC 7748 section 6.1). */
#define ZEROS  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ZEROS2 ZEROS "AAAAAAAAAAAAAAAAAAAAAAAA"

static void what_was_changed_does_not_open(void **state)
{
    static const struct str broken[] = {
        STR(""),
        STR("."),
        STR("w1"),
        STR("w1cc06e33."),
        STR("w 1.AA"),
        STR("w1cc06e33.AAAA"),
        STR("w !"),
        STR("w1cc06e33." ZEROS),
        STR("w1cc06e33." ZEROS2),
    };
    struct seal_keys *keys = keys_of(ALICE "\n" BOB);
    struct buf sealed;
    struct buf opened;

    (void)state;
    buf_init(&sealed, OUT_MAX);
    buf_init(&opened, OUT_MAX);
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        assert_int_equal(
            seal_open(keys, "dkim", S("place"), broken[i], &opened),
            KEYRING_BROKEN);
    assert_int_equal(seal_open(keys, "dkim", S("other"), S(SEALED), &opened),
                     KEYRING_BROKEN);
    assert_int_equal(seal_open(keys, "dki", S("place"), S(SEALED), &opened),
                     KEYRING_BROKEN);
    for (size_t i = 0; i < sizeof SEALED - 1; i++) {
        buf_clear(&sealed);
        buf_add(&sealed, S(SEALED));
        sealed.data[i] = sealed.data[i] == 'b' ? 'd' : 'b';
        assert_int_not_equal(
            seal_open(keys, "dkim", S("place"), buf_str(&sealed), &opened),
            KEYRING_OK);
    }
    assert_int_equal(opened.len, 0);
    buf_finish(&opened);
    buf_finish(&sealed);
    seal_keys_destroy(&keys);
}

static void ids_that_do_not_fit_are_told(void **state)
{
    struct error err = {0};
    char want[256];

    (void)state;
    unlink(path);
    assert_true(file_create(path,
                            S(ALICE "\nw4e35cc98 "
                                    "XasIfmJKinoYCU6g4sl+OOCyyThsTvtvi7C0kJRnMB"
                                    "s=\n"),
                            0600, NULL));
    assert_null(seal_keys_load(path, &err));
    snprintf(want, sizeof want,
             "%s:2: the line has an id that is not that of its key: it is not "
             "one that `posthaste keyring create-worker` wrote",
             path);
    assert_string_equal(err.text, want);
    unlink(path);
    assert_true(file_create(path, S(ALICE "\n" ALICE), 0600, NULL));
    assert_null(seal_keys_load(path, &err));
    assert_non_null(strstr(err.text, "has the id of an earlier line"));
}

static void a_new_key_is_private_and_never_overwrites(void **state)
{
    struct error err = {0};
    struct seal_public made;
    struct seal_public read;
    struct stat st;

    (void)state;
    unlink(path);
    assert_true(seal_keys_create(path, &made, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(seal_keys_public(path, &read, &err));
    assert_string_equal(read.id, made.id);
    assert_memory_equal(read.bytes, made.bytes, KEY_SIZE);
    assert_false(seal_keys_create(path, &made, &err));
    assert_non_null(strstr(err.text, "File exists"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_halves_are_read_and_written),
        cmocka_unit_test(what_is_sealed_opens_with_the_private_half),
        cmocka_unit_test(the_format_stays),
        cmocka_unit_test(what_was_changed_does_not_open),
        cmocka_unit_test(ids_that_do_not_fit_are_told),
        cmocka_unit_test(a_new_key_is_private_and_never_overwrites),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
