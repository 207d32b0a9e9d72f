#include "server/base/secret.h"

#include "server/base/codec.h"
#include "server/base/file.h"
#include "server/base/random.h"

#include "check_cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUT_MAX = 1 << 20 };

#define KEY_1 "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_2 "k2 AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

/* Salt, nonce, ciphertext and tag under KEY_1, label "mail". */
#define SEALED                                                                 \
    "k1.ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7m6gq6x"                                \
    "UGRDeuOSthbxqBJntnEHWeQ7_hL8qX9uz9-LtRyRA"

static char folder[] = "/tmp/posthaste-secret-XXXXXX";
static char path[sizeof folder + 16];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/keyring", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static struct keyring *keyring_of(const char *text)
{
    struct error err = {0};
    struct keyring *keyring;

    unlink(path);
    assert_true(file_create(path, str_of(text), 0600, NULL));
    keyring = keyring_load(path, &err);
    if (keyring == NULL)
        fail_msg("%s", err.text);
    return keyring;
}

static void assert_hex(const void *bytes, size_t len, const char *want)
{
    struct buf hex;

    buf_init(&hex, OUT_MAX);
    codec_hex_add(&hex, str_make(bytes, len));
    assert_string_equal(hex.data, want);
    buf_finish(&hex);
}

static void sha256_is_that_of_fips_180(void **state)
{
    char hex[SHA256_HEX_SIZE];

    (void)state;
    secret_sha256_hex(S("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb"
                             "410ff61f20015ad");
    secret_sha256_hex(S(""), hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca"
                             "495991b7852b855");
}

static void sha256_of_pieces_is_that_of_the_whole(void **state)
{
    unsigned char whole[SHA256_SIZE];
    unsigned char pieces[SHA256_SIZE];
    struct sha256 *hash = sha256_begin();

    (void)state;
    sha256_add(hash, S(""));
    sha256_add(hash, S("a"));
    sha256_add(hash, S("bc"));
    sha256_end(hash, pieces);
    secret_sha256(S("abc"), whole);
    assert_memory_equal(whole, pieces, sizeof whole);
}

/* RFC 4231 cases 1, 2 and 6. */
static void hmac_is_that_of_rfc_4231(void **state)
{
    unsigned char mac[SHA256_SIZE];
    char key[131];

    (void)state;
    memset(key, 0x0b, 20);
    secret_hmac_sha256(str_make(key, 20), S("Hi There"), mac);
    assert_hex(mac, sizeof mac,
               "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32"
               "cff7");
    secret_hmac_sha256(S("Jefe"), S("what do ya want for nothing?"), mac);
    assert_hex(mac, sizeof mac,
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec"
               "3843");
    memset(key, 0xaa, 131);
    secret_hmac_sha256(
        str_make(key, 131),
        S("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
    assert_hex(mac, sizeof mac,
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee3"
               "7f54");
}

static void crc32_is_that_of_zip(void **state)
{
    (void)state;
    assert_int_equal(secret_crc32(S("")), 0);
    assert_int_equal(secret_crc32(S("123456789")), 0xcbf43926);
}

static void equal_is_exact(void **state)
{
    (void)state;
    assert_true(secret_equal(S(""), S("")));
    assert_true(secret_equal(S("a\0b"), S("a\0b")));
    assert_false(secret_equal(S("a\0b"), S("a\0c")));
    assert_false(secret_equal(S("ab"), S("abc")));
}

static void random_bytes_differ(void **state)
{
    unsigned char a[32] = {0};
    unsigned char b[32] = {0};

    (void)state;
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* The value is that of `openssl kdf ... HKDF`. */
static void keys_are_derived_by_hkdf(void **state)
{
    struct keyring *keyring = keyring_of(KEY_1);
    unsigned char out[SHA256_SIZE];

    (void)state;
    keyring_derive(keyring, 0, "webhook", out);
    assert_hex(out, sizeof out,
               "cb52f1d28a375c1b14df8d8e37d28f57c9ef49ec97266af776d1ee24ea40"
               "d232");
    keyring_destroy(&keyring);
    assert_null(keyring);
    keyring_destroy(&keyring);
}

static void what_is_sealed_opens_again(void **state)
{
    struct keyring *keyring = keyring_of(KEY_1 "\n");
    struct str plain = S("481902\0is your code");
    struct buf sealed;
    struct buf again;
    struct buf opened;

    (void)state;
    buf_init(&sealed, OUT_MAX);
    buf_init(&again, OUT_MAX);
    buf_init(&opened, OUT_MAX);
    keyring_seal(keyring, "mail", S("place"), plain, &sealed);
    keyring_seal(keyring, "mail", S("place"), plain, &again);
    assert_true(str_starts(buf_str(&sealed), S("k1.")));
    assert_false(str_eq(buf_str(&sealed), buf_str(&again)));
    assert_int_equal(
        keyring_open(keyring, "mail", S("place"), buf_str(&sealed), &opened),
        KEYRING_OK);
    assert_true(str_eq(buf_str(&opened), plain));
    buf_clear(&sealed);
    buf_clear(&opened);
    keyring_seal(keyring, "", S(""), S(""), &sealed);
    assert_int_equal(
        keyring_open(keyring, "", S(""), buf_str(&sealed), &opened),
        KEYRING_OK);
    assert_int_equal(opened.len, 0);
    buf_finish(&sealed);
    buf_finish(&again);
    buf_finish(&opened);
    keyring_destroy(&keyring);
}

/* Made by another implementation (python cryptography). */
static void the_format_stays(void **state)
{
    struct keyring *keyring = keyring_of(KEY_2 "\n" KEY_1);
    struct buf opened;

    (void)state;
    buf_init(&opened, OUT_MAX);
    assert_int_equal(
        keyring_open(keyring, "mail", S("ph:{0}:c:1"), S(SEALED), &opened),
        KEYRING_OK);
    assert_string_equal(opened.data, "481902 is your code");
    buf_finish(&opened);
    keyring_destroy(&keyring);
}

static void what_was_changed_does_not_open(void **state)
{
    struct keyring *keyring = keyring_of(KEY_1 "\n" KEY_2);
    struct buf opened;
    struct buf sealed;
    static const struct str broken[] = {
        STR(""),        STR("."),      STR("k1"),   STR("k1."),
        STR("k1.AAAA"), STR("k 1.AA"), STR("k1.!"),
    };

    (void)state;
    buf_init(&opened, OUT_MAX);
    buf_init(&sealed, OUT_MAX);
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        assert_int_equal(
            keyring_open(keyring, "mail", S(""), broken[i], &opened),
            KEYRING_BROKEN);
    assert_int_equal(
        keyring_open(keyring, "mail", S("ph:{0}:c:2"), S(SEALED), &opened),
        KEYRING_BROKEN);
    assert_int_equal(
        keyring_open(keyring, "hook", S("ph:{0}:c:1"), S(SEALED), &opened),
        KEYRING_BROKEN);
    assert_int_equal(
        keyring_open(keyring, "mail", S("ph:{0}:c:1"), S("k3" SEALED), &opened),
        KEYRING_UNKNOWN_ID);
    for (size_t i = 0; i < sizeof SEALED - 1; i++) {
        buf_clear(&sealed);
        buf_add(&sealed, S(SEALED));
        sealed.data[i] = sealed.data[i] == '1' ? '2' : '1';
        assert_int_not_equal(keyring_open(keyring, "mail", S("ph:{0}:c:1"),
                                          buf_str(&sealed), &opened),
                             KEYRING_OK);
    }
    assert_int_equal(opened.len, 0);
    buf_finish(&opened);
    buf_finish(&sealed);
    keyring_destroy(&keyring);
}

static const struct file_case {
    const char *text;
    const char *error; /* behind the path */
} BAD_FILES[] = {
    {"", ": holds no key"},
    {"# nothing\n\n", ": holds no key"},
    {"k1\n", ":1: the line is not an id, a blank and 32 bytes in base64"},
    {KEY_1 "\n\nk2 AAAA\n",
     ":3: the line is not an id, a blank and 32 bytes in base64"},
    {KEY_1 "=\n", ":1: the line is not an id, a blank and 32 bytes in base64"},
    {KEY_1 "\n" KEY_1, ":2: the line has the id of an earlier line"},
    {"a.b AAAA",
     ":1: the line does not begin with a key id of letters, digits, - and _"},
};

static void bad_files_are_told_with_their_line(void **state)
{
    char want[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(BAD_FILES); i++) {
        struct error err = {0};

        unlink(path);
        assert_true(file_create(path, str_of(BAD_FILES[i].text), 0600, NULL));
        assert_null(keyring_load(path, &err));
        snprintf(want, sizeof want, "%s%s", path, BAD_FILES[i].error);
        assert_string_equal(err.text, want);
        assert_int_equal(err.kind, ERR_CONFIG);
    }
}

static void a_new_keyring_is_private_and_never_overwrites(void **state)
{
    struct error err = {0};
    struct keyring *keyring;
    struct stat st;

    (void)state;
    unlink(path);
    assert_true(keyring_create(path, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    keyring = keyring_load(path, &err);
    assert_non_null(keyring);
    keyring_destroy(&keyring);
    assert_false(keyring_create(path, &err));
    assert_non_null(strstr(err.text, "File exists"));
}

static void files_are_read_whole_or_not_at_all(void **state)
{
    struct error err = {0};
    struct buf text;

    (void)state;
    unlink(path);
    buf_init(&text, 6);
    assert_false(file_read(path, &text, &err));
    assert_non_null(strstr(err.text, "/keyring: No such file or directory"));
    assert_true(file_create(path, S("123456"), 0600, NULL));
    assert_true(file_read(path, &text, &err));
    assert_string_equal(text.data, "123456");
    assert_false(file_read(path, &text, &err));
    assert_non_null(strstr(err.text, "File too large"));
    assert_false(file_read(folder, &text, &err));
    assert_non_null(strstr(err.text, "Is a directory"));
    buf_finish(&text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_is_that_of_fips_180),
        cmocka_unit_test(sha256_of_pieces_is_that_of_the_whole),
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
        cmocka_unit_test(crc32_is_that_of_zip),
        cmocka_unit_test(equal_is_exact),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(keys_are_derived_by_hkdf),
        cmocka_unit_test(what_is_sealed_opens_again),
        cmocka_unit_test(the_format_stays),
        cmocka_unit_test(what_was_changed_does_not_open),
        cmocka_unit_test(bad_files_are_told_with_their_line),
        cmocka_unit_test(a_new_keyring_is_private_and_never_overwrites),
        cmocka_unit_test(files_are_read_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
