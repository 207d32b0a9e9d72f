#include "server/base/seal.h"

#include "server/base/codec.h"
#include "server/base/mem.h"
#include "server/base/random.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEALED_MAX = 1 << 20 };

struct private_key {
    struct seal_public public;
    EVP_PKEY *pkey; /* owned */
};

struct seal_keys {
    size_t count;
    struct private_key keys[KEY_FILE_KEYS_MAX];
};

/* --- public halves --- */

static void name_key(struct seal_public *key)
{
    unsigned char hash[SHA256_SIZE];

    secret_sha256(str_make(key->bytes, KEY_SIZE), hash);
    snprintf(key->id, sizeof key->id, "w%02x%02x%02x%02x", hash[0], hash[1],
             hash[2], hash[3]);
}

bool seal_public_read(struct str text, struct seal_public *key)
{
    struct buf bytes;
    struct str id;
    bool ok;

    if (!str_cut(&text, '.', &id))
        return false;
    buf_init(&bytes, KEY_SIZE);
    ok = codec_base64url_decode(text, &bytes) && bytes.len == KEY_SIZE;
    if (ok) {
        memcpy(key->bytes, bytes.data, KEY_SIZE);
        name_key(key);
        ok = str_eq(id, str_of(key->id));
    }
    buf_finish(&bytes);
    return ok;
}

void seal_public_add(const struct seal_public *key, struct buf *out)
{
    buf_addf(out, "%s.", key->id);
    codec_base64url_add(out, str_make(key->bytes, KEY_SIZE));
}

/* --- private halves --- */

static EVP_PKEY *private_of(const unsigned char bytes[KEY_SIZE],
                            unsigned char public[KEY_SIZE])
{
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, bytes, KEY_SIZE);
    size_t len = KEY_SIZE;

    CHECK(pkey != NULL);
    CHECK(EVP_PKEY_get_raw_public_key(pkey, public, &len) == 1);
    CHECK(len == KEY_SIZE);
    return pkey;
}

static const struct private_key *find_key(const struct seal_keys *keys,
                                          struct str id)
{
    for (size_t i = 0; i < keys->count; i++)
        if (str_eq(str_of(keys->keys[i].public.id), id))
            return &keys->keys[i];
    return NULL;
}

static const char *take_key(void *ctx, struct str id,
                            const unsigned char bytes[KEY_SIZE])
{
    struct seal_keys *keys = ctx;
    struct private_key *key = &keys->keys[keys->count];

    if (find_key(keys, id) != NULL)
        return "has the id of an earlier line";
    key->pkey = private_of(bytes, key->public.bytes);
    keys->count++;
    name_key(&key->public);
    if (!str_eq(id, str_of(key->public.id)))
        return "has an id that is not that of its key: it is not one that "
               "`posthaste keyring create-worker` wrote";
    return NULL;
}

struct seal_keys *seal_keys_load(const char *path, struct error *err)
{
    struct seal_keys *keys = xcalloc(1, sizeof *keys);

    if (!key_file_read(path, take_key, keys, err))
        seal_keys_destroy(&keys);
    return keys;
}

void seal_keys_destroy(struct seal_keys **keys)
{
    if (*keys == NULL)
        return;
    for (size_t i = 0; i < (*keys)->count; i++)
        EVP_PKEY_free((*keys)->keys[i].pkey); /* which wipes it */
    free(*keys);
    *keys = NULL;
}

bool seal_keys_create(const char *path, struct seal_public *key,
                      struct error *err)
{
    unsigned char bytes[KEY_SIZE];
    EVP_PKEY *pkey;
    bool ok;

    random_bytes(bytes, sizeof bytes);
    pkey = private_of(bytes, key->bytes);
    EVP_PKEY_free(pkey);
    name_key(key);
    ok = key_file_create(
        path,
        "# The key of Posthaste's workers, for no other host: it opens the\n"
        "# DKIM keys in Redis. Back it up. Its public half goes into\n"
        "# secrets.worker_public_key. The first key is the current one.\n",
        key->id, bytes, err);
    secret_wipe(bytes, sizeof bytes);
    return ok;
}

bool seal_keys_public(const char *path, struct seal_public *key,
                      struct error *err)
{
    struct seal_keys *keys = seal_keys_load(path, err);

    if (keys == NULL)
        return false;
    *key = *seal_keys_current(keys);
    seal_keys_destroy(&keys);
    return true;
}

const struct seal_public *seal_keys_current(const struct seal_keys *keys)
{
    return &keys->keys[0].public;
}

bool seal_keys_have(const struct seal_keys *keys, const struct seal_public *key)
{
    const struct private_key *found = find_key(keys, str_of(key->id));

    return found != NULL &&
           memcmp(found->public.bytes, key->bytes, KEY_SIZE) == 0;
}

/* --- sealing --- */

/* The key of one sealing. False: peer is a point that gives no secret. */
static bool agree(EVP_PKEY *own, EVP_PKEY *peer, const char *label,
                  const unsigned char ephemeral[KEY_SIZE],
                  const unsigned char recipient[KEY_SIZE],
                  unsigned char out[SHA256_SIZE])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
    unsigned char secret[KEY_SIZE];
    unsigned char root[SHA256_SIZE];
    size_t len = sizeof secret;
    struct buf info;
    bool ok;

    CHECK(ctx != NULL && EVP_PKEY_derive_init(ctx) == 1);
    ok = EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
         EVP_PKEY_derive(ctx, secret, &len) == 1 && len == sizeof secret;
    EVP_PKEY_CTX_free(ctx);
    if (!ok)
        return false;
    buf_init(&info, 1024);
    buf_add(&info, str_make(label, strlen(label) + 1));
    buf_add(&info, str_make(ephemeral, KEY_SIZE));
    buf_add(&info, str_make(recipient, KEY_SIZE));
    buf_add_char(&info, 1); /* the first block of HKDF-Expand */
    CHECK(!info.full);
    secret_hmac_sha256(S(""), str_make(secret, sizeof secret), root);
    secret_hmac_sha256(str_make(root, sizeof root), buf_str(&info), out);
    buf_finish(&info);
    secret_wipe(secret, sizeof secret);
    secret_wipe(root, sizeof root);
    return true;
}

static EVP_PKEY *public_of(const unsigned char bytes[KEY_SIZE])
{
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, bytes, KEY_SIZE);

    CHECK(pkey != NULL);
    return pkey;
}

static const unsigned char NO_NONCE[NONCE_SIZE];

void seal_to(const struct seal_public *key, const char *label,
             struct str context, struct str plain, struct buf *out)
{
    unsigned char bytes[KEY_SIZE];
    unsigned char ephemeral[KEY_SIZE];
    unsigned char derived[SHA256_SIZE];
    EVP_PKEY *peer = public_of(key->bytes);
    EVP_PKEY *own;
    struct buf box;

    random_bytes(bytes, sizeof bytes);
    own = private_of(bytes, ephemeral);
    secret_wipe(bytes, sizeof bytes);
    CHECK(agree(own, peer, label, ephemeral, key->bytes, derived));
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
    buf_init(&box, SEALED_MAX);
    buf_add(&box, str_make(ephemeral, KEY_SIZE));
    secret_encrypt(derived, NO_NONCE, context, plain, &box);
    secret_wipe(derived, sizeof derived);
    buf_addf(out, "%s.", key->id);
    codec_base64url_add(out, buf_str(&box));
    buf_finish(&box);
}

/* box: ephemeral public key, ciphertext, tag. */
static bool open_box(const struct private_key *key, const char *label,
                     struct str context, struct str box, struct buf *plain)
{
    unsigned char ephemeral[KEY_SIZE];
    unsigned char derived[SHA256_SIZE];
    EVP_PKEY *peer;
    bool ok;

    if (box.len < KEY_SIZE)
        return false;
    memcpy(ephemeral, box.ptr, KEY_SIZE);
    peer = public_of(ephemeral);
    ok = agree(key->pkey, peer, label, ephemeral, key->public.bytes, derived);
    EVP_PKEY_free(peer);
    if (!ok)
        return false;
    ok = secret_decrypt(derived, NO_NONCE, context, str_from(box, KEY_SIZE),
                        plain);
    secret_wipe(derived, sizeof derived);
    return ok;
}

enum keyring_result seal_open(const struct seal_keys *keys, const char *label,
                              struct str context, struct str sealed,
                              struct buf *plain)
{
    const struct private_key *key = NULL;
    struct str id;
    struct buf box;
    bool ok;

    if (sealed.len >= SEALED_MAX || str_index(sealed, '.', 0) < 0)
        return KEYRING_BROKEN;
    CHECK(str_cut(&sealed, '.', &id));
    if (keys != NULL)
        key = find_key(keys, id);
    if (key == NULL)
        return is_key_id(id) ? KEYRING_UNKNOWN_ID : KEYRING_BROKEN;
    buf_init(&box, SEALED_MAX);
    ok = codec_base64url_decode(sealed, &box) &&
         open_box(key, label, context, buf_str(&box), plain);
    buf_finish(&box);
    return ok ? KEYRING_OK : KEYRING_BROKEN;
}
