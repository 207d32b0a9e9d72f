#include "smtp/message/dkim_key.h"

#include "server/base/codec.h"

#include "check_cmocka.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

enum { OUT_MAX = 1 << 16 };

static struct buf private_der;
static struct buf public_text;
static struct buf text;

static int setup(void **state)
{
    (void)state;
    buf_init(&private_der, DKIM_PRIVATE_MAX);
    buf_init(&public_text, DKIM_PUBLIC_MAX);
    buf_init(&text, OUT_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_finish(&private_der);
    buf_finish(&public_text);
    buf_finish(&text);
    return 0;
}

static const unsigned char HASH[SHA256_SIZE] = "31 bytes and the NUL behind it";

/* By the library, from the published text alone. */
static bool rsa_verifies(struct str signature)
{
    const unsigned char *at;
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *pkey;
    bool ok;

    buf_clear(&text);
    assert_true(codec_base64_decode(buf_str(&public_text), &text));
    at = (const unsigned char *)text.data;
    pkey = d2i_PUBKEY(NULL, &at, (long)text.len);
    ctx = EVP_PKEY_CTX_new(pkey, NULL);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()), 1);
    ok = EVP_PKEY_verify(ctx, (const unsigned char *)signature.ptr,
                         signature.len, HASH, sizeof HASH) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

static bool ed25519_verifies(struct str signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *pkey;
    bool ok;

    buf_clear(&text);
    assert_true(codec_base64_decode(buf_str(&public_text), &text));
    assert_int_equal(text.len, 32);
    pkey = EVP_PKEY_new_raw_public_key(
        EVP_PKEY_ED25519, NULL, (const unsigned char *)text.data, text.len);
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey), 1);
    ok = EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr,
                          signature.len, HASH, sizeof HASH) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

/* Made, loaded, signed with twice; the public half is the same again. */
static void check_pair(enum dkim_algorithm algorithm, size_t public_len,
                       bool (*verifies)(struct str signature))
{
    unsigned char one[DKIM_SIGNATURE_MAX] = {0};
    unsigned char two[DKIM_SIGNATURE_MAX] = {0};
    struct dkim_key *key;
    struct dkim_public public;
    struct buf again;
    size_t len;

    dkim_key_make(algorithm, &private_der, &public_text);
    assert_int_equal(public_text.len, public_len);
    key = dkim_key_load(algorithm, buf_str(&private_der));
    assert_non_null(key);
    assert_null(dkim_key_load(algorithm == DKIM_RSA ? DKIM_ED25519 : DKIM_RSA,
                              buf_str(&private_der)));
    buf_init(&again, DKIM_PUBLIC_MAX);
    dkim_key_public(key, &again);
    assert_true(str_eq(buf_str(&again), buf_str(&public_text)));
    buf_finish(&again);
    len = dkim_key_sign(key, HASH, one);
    assert_int_equal(dkim_key_sign(key, HASH, two), len);
    assert_memory_equal(one, two, sizeof one);
    assert_true(verifies(str_make(one, len)));
    one[0] ^= 1;
    assert_false(verifies(str_make(one, len)));
    assert_true(dkim_public_read(str_of(dkim_algorithm_name(algorithm)),
                                 buf_str(&public_text), &public));
    assert_int_equal(public.algorithm, algorithm);
    assert_int_equal(public.bits, algorithm == DKIM_RSA ? DKIM_RSA_BITS : 256);
    dkim_key_destroy(&key);
    assert_null(key);
    dkim_key_destroy(&key);
}

static void an_rsa_pair_signs_and_verifies(void **state)
{
    (void)state;
    check_pair(DKIM_RSA, 392, rsa_verifies);
}

static void an_ed25519_pair_signs_and_verifies(void **state)
{
    (void)state;
    check_pair(DKIM_ED25519, 44, ed25519_verifies);
}

#define RSA_1024_SPKI                                                          \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDK7WoI4DBkwDiY1OTtYYkfSSUPcTIS"     \
    "SY6QW9BAoNCZqEbeaj9AW1wBPcF3q0Jihfj7QPYOEvqzepFv7uYPw6btakBSmXA+tjyG"     \
    "HPDjBEYDfHdSSiizirpAwS+fPzuT8UwJNI8+nX2gk1Tpi66sBi74tjJXoKkUpsuM9UOd"     \
    "XUSDHwIDAQAB"
#define RSA_1024_BARE                                                          \
    "MIGJAoGBAMrtagjgMGTAOJjU5O1hiR9JJQ9xMhJJjpBb0ECg0JmoRt5qP0BbXAE9wXer"     \
    "QmKF+PtA9g4S+rN6kW/u5g/Dpu1qQFKZcD62PIYc8OMERgN8d1JKKLOKukDBL58/O5Px"     \
    "TAk0jz6dfaCTVOmLrqwGLvi2MlegqRSmy4z1Q51dRIMfAgMBAAE="
#define RSA_1024_PRIVATE                                                       \
    "MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAMrtagjgMGTAOJjU5O1h"     \
    "iR9JJQ9xMhJJjpBb0ECg0JmoRt5qP0BbXAE9wXerQmKF+PtA9g4S+rN6kW/u5g/Dpu1q"     \
    "QFKZcD62PIYc8OMERgN8d1JKKLOKukDBL58/O5PxTAk0jz6dfaCTVOmLrqwGLvi2Mleg"     \
    "qRSmy4z1Q51dRIMfAgMBAAECgYA/cd73C3DV7ytCzT0N4rLGb04A9/kZspm6FJqVujG9"     \
    "+Ni/bSR9cJLhaHd2fLrypsRjebn0SIbNWoLiJiUTxK4JeeTH3jFmmU+bcwBYuGwOicdc"     \
    "pR+E81iO70of6OWfTIw0hFUXeEhII/o1XnwHmxShc7g6zdCye0viYqltOAV/QQJBAOg1"     \
    "OMDGtdw9Shh5BKfNfJhOxhyTGT8lwHAJwKGXFWWXlJsXDZEadrxLfPQw/ITwNJhEQMgR"     \
    "GVfput7aGn5iag8CQQDfuCtgJ7zxNUYHq1JrgPX2zO/fkgdOYoWqkOb/ubtDkkJEcN9l"     \
    "ZaHHNxXGhoe13dTt6E9+K0fyH3HNgAbWjaXxAkEAkDpOb958orkmxqCUNa26T9fN0X3E"     \
    "VqaaKnzEOxneXmWSFepxsMjhKv8wM3QhxGh2IoVyP1Hvjd1NBpItloaGHQJBAMecwP8D"     \
    "ld82ZGy1XU3UfCIgiyrVVbWHzLH6plGn+8F3v67nczw6qVVh/gjrwizwaGt562us3H3Z"     \
    "tqXgRLmtG1ECQH3615ljBKrTu7qW+3tE8esvRs8hPWXRCCjy7lTuRQiaSmj9dW8IRPCH"     \
    "SnS91HlGV6e3tKweEpItoX0NzQwouRk="
#define ED25519 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static void published_keys_are_read(void **state)
{
    static const struct {
        const char *k;
        const char *p;
        unsigned bits; /* 0: refused */
    } cases[] = {
        {"rsa", RSA_1024_SPKI, 1024},
        {"", RSA_1024_SPKI, 1024},
        {"rsa", RSA_1024_BARE, 1024},
        {"ed25519", ED25519, 256},
        {"", ED25519, 0},
        {"rsa", ED25519, 0},
        {"ed25519", RSA_1024_SPKI, 0},
        {"ed448", ED25519, 0},
        {"RSA", RSA_1024_SPKI, 0},
        {"rsa", "", 0},
        {"ed25519", "", 0},
        {"ed25519", "AAAA", 0},
        {"rsa", "AAAA", 0},
        {"rsa", "=", 0},
        {"rsa", RSA_1024_SPKI "AAAA", 0},
        {"ed25519", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURoA", 0},
        {"ed25519", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlr wIaaPcHURo=", 0},
    };
    struct dkim_public key;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool ok =
            dkim_public_read(str_of(cases[i].k), str_of(cases[i].p), &key);

        if (ok != (cases[i].bits > 0) || (ok && key.bits != cases[i].bits))
            fail_msg("k=%s p=%s", cases[i].k, cases[i].p);
    }
}

static void what_is_no_private_key_is_refused(void **state)
{
    struct dkim_key *key;

    (void)state;
    assert_true(codec_base64_decode(S(RSA_1024_PRIVATE), &private_der));
    assert_null(dkim_key_load(DKIM_RSA, buf_str(&private_der)));
    assert_null(dkim_key_load(DKIM_RSA, S("")));
    assert_null(dkim_key_load(DKIM_RSA, S("0")));
    buf_clear(&private_der);
    dkim_key_make(DKIM_ED25519, &private_der, &public_text);
    buf_add_char(&private_der, '\0');
    assert_null(dkim_key_load(DKIM_ED25519, buf_str(&private_der)));
    for (size_t len = 0; len < private_der.len - 1; len++)
        assert_null(dkim_key_load(DKIM_ED25519,
                                  str_slice(buf_str(&private_der), 0, len)));
    key = dkim_key_load(
        DKIM_ED25519, str_slice(buf_str(&private_der), 0, private_der.len - 1));
    assert_non_null(key);
    dkim_key_destroy(&key);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_rsa_pair_signs_and_verifies, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_ed25519_pair_signs_and_verifies,
                                        setup, teardown),
        cmocka_unit_test(published_keys_are_read),
        cmocka_unit_test_setup_teardown(what_is_no_private_key_is_refused,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
