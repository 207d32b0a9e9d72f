#include "server/base/secret.h"

#include "server/base/codec.h"
#include "server/base/key_file.h"
#include "server/base/mem.h"
#include "server/base/random.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what the library makes, once a process ---
 *
 * A fetch costs more than hashing a kilobyte. Helper threads hash too, hence
 * pthread_once. */
static struct {
    EVP_MD *sha256;
    EVP_CIPHER *aes;
    EVP_MAC_CTX *hmac; /* without a key: a mould to copy */
} fetched;

static void fetch(void)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
    char digest[] = OSSL_DIGEST_NAME_SHA2_256;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    fetched.sha256 = EVP_MD_fetch(NULL, OSSL_DIGEST_NAME_SHA2_256, NULL);
    fetched.aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    fetched.hmac = EVP_MAC_CTX_new(mac);
    CHECK(fetched.sha256 != NULL && fetched.aes != NULL);
    CHECK(EVP_MAC_CTX_set_params(fetched.hmac, params) == 1);
    EVP_MAC_free(mac);
}

static void fetch_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    CHECK(pthread_once(&once, fetch) == 0);
}

/* The library takes no null pointer for "no bytes". */
static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)(s.len == 0 ? "" : s.ptr);
}

/* --- hashes --- */

void secret_sha256(struct str data, unsigned char out[SHA256_SIZE])
{
    fetch_once();
    CHECK(EVP_Digest(bytes_of(data), data.len, out, NULL, fetched.sha256,
                     NULL) == 1);
}

void secret_sha256_hex(struct str data, char out[SHA256_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[SHA256_SIZE];

    secret_sha256(data, hash);
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[SHA256_HEX_SIZE - 1] = '\0';
}

/* Never complete: it is the library's context by another name. */
static EVP_MD_CTX *context_of(struct sha256 *hash)
{
    return (EVP_MD_CTX *)hash;
}

struct sha256 *sha256_begin(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    fetch_once();
    CHECK(ctx != NULL);
    CHECK(EVP_DigestInit_ex(ctx, fetched.sha256, NULL) == 1);
    return (struct sha256 *)ctx;
}

void sha256_add(struct sha256 *hash, struct str data)
{
    CHECK(EVP_DigestUpdate(context_of(hash), bytes_of(data), data.len) == 1);
}

void sha256_end(struct sha256 *hash, unsigned char out[SHA256_SIZE])
{
    CHECK(EVP_DigestFinal_ex(context_of(hash), out, NULL) == 1);
    EVP_MD_CTX_free(context_of(hash));
}

/* Over several pieces, as if they were one. */
static void hmac(struct str key, const struct str *pieces, size_t count,
                 unsigned char out[SHA256_SIZE])
{
    EVP_MAC_CTX *ctx;
    size_t len;

    fetch_once();
    ctx = EVP_MAC_CTX_dup(fetched.hmac);
    CHECK(ctx != NULL);
    CHECK(EVP_MAC_init(ctx, bytes_of(key), key.len, NULL) == 1);
    for (size_t i = 0; i < count; i++)
        CHECK(EVP_MAC_update(ctx, bytes_of(pieces[i]), pieces[i].len) == 1);
    CHECK(EVP_MAC_final(ctx, out, &len, SHA256_SIZE) == 1);
    CHECK(len == SHA256_SIZE);
    EVP_MAC_CTX_free(ctx);
}

void secret_hmac_sha256(struct str key, struct str data,
                        unsigned char out[SHA256_SIZE])
{
    hmac(key, &data, 1, out);
}

void secret_hmac_md5(struct str key, struct str data,
                     unsigned char out[MD5_SIZE])
{
    CHECK(key.len <= INT_MAX);
    CHECK(HMAC(EVP_md5(), bytes_of(key), (int)key.len, bytes_of(data), data.len,
               out, NULL) != NULL);
}

static const EVP_MD *digest_of(enum secret_hash hash)
{
    return hash == SECRET_SHA1 ? EVP_sha1() : EVP_sha256();
}

size_t secret_hash_size(enum secret_hash hash)
{
    return (size_t)EVP_MD_get_size(digest_of(hash));
}

void secret_digest(enum secret_hash hash, struct str data,
                   unsigned char out[SECRET_HASH_MAX])
{
    CHECK(EVP_Digest(bytes_of(data), data.len, out, NULL, digest_of(hash),
                     NULL) == 1);
}

void secret_hmac(enum secret_hash hash, struct str key, struct str data,
                 unsigned char out[SECRET_HASH_MAX])
{
    CHECK(key.len <= INT_MAX);
    CHECK(HMAC(digest_of(hash), bytes_of(key), (int)key.len, bytes_of(data),
               data.len, out, NULL) != NULL);
}

void secret_pbkdf2(enum secret_hash hash, struct str password, struct str salt,
                   unsigned iterations, unsigned char out[SECRET_HASH_MAX])
{
    CHECK(password.len <= INT_MAX && salt.len <= INT_MAX);
    CHECK(iterations > 0 && iterations <= INT_MAX);
    CHECK(PKCS5_PBKDF2_HMAC((const char *)bytes_of(password), (int)password.len,
                            bytes_of(salt), (int)salt.len, (int)iterations,
                            digest_of(hash), (int)secret_hash_size(hash),
                            out) == 1);
}

uint32_t secret_crc32(struct str data)
{
    /* Four bits at a time; entry i is the remainder of i. */
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < data.len; i++) {
        crc ^= (unsigned char)data.ptr[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

bool secret_equal(struct str a, struct str b)
{
    return a.len == b.len &&
           CRYPTO_memcmp(bytes_of(a), bytes_of(b), a.len) == 0;
}

void secret_wipe(void *ptr, size_t len)
{
    OPENSSL_cleanse(ptr, len);
}

/* --- AES-256-GCM --- */

enum {
    TAG_SIZE = 16,
    SEALED_MAX = 1 << 30, /* the library counts in int */
};

/* A context that goes the given way, with key, nonce and context set. */
static EVP_CIPHER_CTX *begin_cipher(const unsigned char key[SHA256_SIZE],
                                    const unsigned char nonce[NONCE_SIZE],
                                    struct str context, int encrypts)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len;

    fetch_once();
    CHECK(ctx != NULL && context.len < SEALED_MAX);
    CHECK(EVP_CipherInit_ex2(ctx, fetched.aes, key, nonce, encrypts, NULL) ==
          1);
    CHECK(EVP_CipherUpdate(ctx, NULL, &len, bytes_of(context),
                           (int)context.len) == 1);
    return ctx;
}

void secret_encrypt(const unsigned char key[SHA256_SIZE],
                    const unsigned char nonce[NONCE_SIZE], struct str context,
                    struct str plain, struct buf *out)
{
    EVP_CIPHER_CTX *ctx = begin_cipher(key, nonce, context, 1);
    unsigned char *body;
    int len;

    CHECK(plain.len < SEALED_MAX);
    body = (unsigned char *)buf_space(out, plain.len + TAG_SIZE);
    CHECK(body != NULL);
    CHECK(EVP_CipherUpdate(ctx, body, &len, bytes_of(plain), (int)plain.len) ==
          1);
    CHECK((size_t)len == plain.len);
    CHECK(EVP_CipherFinal_ex(ctx, body + len, &len) == 1 && len == 0);
    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE,
                              body + plain.len) == 1);
    EVP_CIPHER_CTX_free(ctx);
    buf_grown(out, plain.len + TAG_SIZE);
}

bool secret_decrypt(const unsigned char key[SHA256_SIZE],
                    const unsigned char nonce[NONCE_SIZE], struct str context,
                    struct str box, struct buf *plain)
{
    unsigned char tag[TAG_SIZE];
    EVP_CIPHER_CTX *ctx;
    size_t size;
    char *out;
    int len = 0;
    bool ok;

    if (box.len < TAG_SIZE || box.len >= SEALED_MAX)
        return false;
    size = box.len - TAG_SIZE;
    out = buf_space(plain, size);
    if (out == NULL)
        return false;
    memcpy(tag, box.ptr + size, TAG_SIZE);
    ctx = begin_cipher(key, nonce, context, 0);
    ok = EVP_CipherUpdate(ctx, (unsigned char *)out, &len, bytes_of(box),
                          (int)size) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1 &&
         EVP_CipherFinal_ex(ctx, (unsigned char *)out + len, &len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (ok)
        buf_grown(plain, size);
    else
        secret_wipe(out, size);
    return ok;
}

/* --- the keyring file --- */

struct key {
    char id[KEY_ID_SIZE];
    unsigned char root[SHA256_SIZE]; /* HKDF-Extract of what the file holds */
};

struct keyring {
    size_t count;
    struct key keys[KEY_FILE_KEYS_MAX]; /* the first one seals */
};

static const struct key *find_key(const struct keyring *keyring, struct str id)
{
    for (size_t i = 0; i < keyring->count; i++)
        if (str_eq(str_of(keyring->keys[i].id), id))
            return &keyring->keys[i];
    return NULL;
}

static const char *take_key(void *ctx, struct str id,
                            const unsigned char bytes[KEY_SIZE])
{
    struct keyring *keyring = ctx;
    struct key *key = &keyring->keys[keyring->count];

    if (find_key(keyring, id) != NULL)
        return "has the id of an earlier line";
    memcpy(key->id, id.ptr, id.len);
    secret_hmac_sha256(S(""), str_make(bytes, KEY_SIZE), key->root);
    keyring->count++;
    return NULL;
}

struct keyring *keyring_load(const char *path, struct error *err)
{
    struct keyring *keyring = xcalloc(1, sizeof *keyring);

    if (!key_file_read(path, take_key, keyring, err))
        keyring_destroy(&keyring);
    return keyring;
}

void keyring_destroy(struct keyring **keyring)
{
    if (*keyring == NULL)
        return;
    secret_wipe(*keyring, sizeof **keyring);
    free(*keyring);
    *keyring = NULL;
}

bool keyring_create(const char *path, struct error *err)
{
    unsigned char bytes[KEY_SIZE];
    uint32_t number;
    char id[KEY_ID_SIZE];
    bool ok;

    random_bytes(bytes, sizeof bytes);
    random_bytes(&number, sizeof number);
    snprintf(id, sizeof id, "k%08" PRIx32, number);
    ok = key_file_create(
        path,
        "# Keys that encrypt what Posthaste stores in Redis. Back\n"
        "# this file up: without it, stored secrets are lost.\n"
        "# The first key seals, all open.\n",
        id, bytes, err);
    secret_wipe(bytes, sizeof bytes);
    return ok;
}

/* --- sealing --- */

enum {
    SALT_SIZE = 12,
    HEAD_SIZE = SALT_SIZE + NONCE_SIZE,
};

/* HKDF-Expand to one block: what it would put behind a first block is not
 * needed. The salt's length is fixed, so label and salt cannot be shifted. */
static void expand(const struct key *key, const char *label, struct str salt,
                   unsigned char out[SHA256_SIZE])
{
    const struct str pieces[] = {str_of(label), salt, STR("\x01")};

    hmac(str_make(key->root, SHA256_SIZE), pieces, COUNT_OF(pieces), out);
}

size_t keyring_count(const struct keyring *keyring)
{
    return keyring->count;
}

void keyring_derive(const struct keyring *keyring, size_t nth,
                    const char *label, unsigned char out[SHA256_SIZE])
{
    CHECK(nth < keyring->count);
    expand(&keyring->keys[nth], label, S(""), out);
}

void keyring_seal(const struct keyring *keyring, const char *label,
                  struct str context, struct str plain, struct buf *out)
{
    unsigned char derived[SHA256_SIZE];
    unsigned char head[HEAD_SIZE];
    struct buf box;

    random_bytes(head, HEAD_SIZE);
    expand(&keyring->keys[0], label, str_make(head, SALT_SIZE), derived);
    buf_init(&box, SEALED_MAX);
    buf_add(&box, str_make(head, HEAD_SIZE));
    secret_encrypt(derived, head + SALT_SIZE, context, plain, &box);
    secret_wipe(derived, sizeof derived);
    buf_add_cstr(out, keyring->keys[0].id);
    buf_add_char(out, '.');
    codec_base64url_add(out, buf_str(&box));
    buf_finish(&box);
}

/* box: salt, nonce, ciphertext, tag. */
static bool open_box(const struct key *key, const char *label,
                     struct str context, struct str box, struct buf *plain)
{
    const unsigned char *head = (const unsigned char *)box.ptr;
    unsigned char derived[SHA256_SIZE];
    bool ok;

    if (box.len < HEAD_SIZE)
        return false;
    expand(key, label, str_make(head, SALT_SIZE), derived);
    ok = secret_decrypt(derived, head + SALT_SIZE, context,
                        str_from(box, HEAD_SIZE), plain);
    secret_wipe(derived, sizeof derived);
    return ok;
}

enum keyring_result keyring_open(const struct keyring *keyring,
                                 const char *label, struct str context,
                                 struct str sealed, struct buf *plain)
{
    const struct key *key;
    struct str id;
    struct buf box;
    bool ok;

    if (sealed.len >= SEALED_MAX || str_index(sealed, '.', 0) < 0)
        return KEYRING_BROKEN;
    CHECK(str_cut(&sealed, '.', &id));
    key = find_key(keyring, id);
    if (key == NULL)
        return is_key_id(id) ? KEYRING_UNKNOWN_ID : KEYRING_BROKEN;
    buf_init(&box, SEALED_MAX);
    ok = codec_base64url_decode(sealed, &box) &&
         open_box(key, label, context, buf_str(&box), plain);
    buf_finish(&box);
    return ok ? KEYRING_OK : KEYRING_BROKEN;
}
