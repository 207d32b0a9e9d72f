#include "smtp/message/dkim_key.h"

#include "server/base/codec.h"
#include "server/base/mem.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <limits.h>
#include <stdlib.h>

enum { ED25519_SIZE = 32 };

/* To begin a signature costs some 8 us of RSA's, most of it looking up what is
 * the same each time: each one is a copy of a mould. */
struct dkim_key {
    enum dkim_algorithm algorithm;
    EVP_PKEY *pkey;      /* owned, as the rest */
    EVP_PKEY_CTX *rsa;   /* or NULL */
    EVP_MD_CTX *ed25519; /* or NULL */
};

/* What k= and a= say, and what the library does. */
static const struct {
    const char *name;
    const char *type; /* of the library */
} ALGORITHMS[DKIM_ALGORITHMS] = {
    [DKIM_RSA] = {"rsa", "RSA"},
    [DKIM_ED25519] = {"ed25519", "ED25519"},
};

const char *dkim_algorithm_name(enum dkim_algorithm algorithm)
{
    return ALGORITHMS[algorithm].name;
}

/* The library keeps a line of what failed; nobody here asks for it. */
static void forget_errors(void)
{
    ERR_clear_error();
}

/* --- made --- */

static void add_public(EVP_PKEY *pkey, enum dkim_algorithm algorithm,
                       struct buf *out)
{
    unsigned char raw[ED25519_SIZE];
    size_t raw_len = sizeof raw;
    unsigned char *der = NULL;
    int len;

    if (algorithm == DKIM_ED25519) {
        CHECK(EVP_PKEY_get_raw_public_key(pkey, raw, &raw_len) == 1);
        codec_base64_add(out, str_make(raw, raw_len));
        return;
    }
    len = i2d_PUBKEY(pkey, &der);
    CHECK(len > 0);
    codec_base64_add(out, str_make(der, (size_t)len));
    OPENSSL_free(der);
}

static void add_private(const EVP_PKEY *pkey, struct buf *out)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    unsigned char *at;
    int len;

    CHECK(info != NULL);
    len = i2d_PKCS8_PRIV_KEY_INFO(info, NULL);
    CHECK(len > 0);
    at = (unsigned char *)buf_space(out, (size_t)len);
    CHECK(at != NULL);
    CHECK(i2d_PKCS8_PRIV_KEY_INFO(info, &at) == len);
    buf_grown(out, (size_t)len);
    PKCS8_PRIV_KEY_INFO_free(info); /* wiped */
}

void dkim_key_make(enum dkim_algorithm algorithm, struct buf *private_der,
                   struct buf *public_text)
{
    EVP_PKEY *pkey = algorithm == DKIM_RSA
                         ? EVP_RSA_gen(DKIM_RSA_BITS)
                         : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    CHECK(pkey != NULL);
    add_private(pkey, private_der);
    add_public(pkey, algorithm, public_text);
    EVP_PKEY_free(pkey);
}

/* --- loaded --- */

static bool is_fit(const EVP_PKEY *pkey, enum dkim_algorithm algorithm,
                   int bits_min)
{
    int bits;

    if (pkey == NULL || !EVP_PKEY_is_a(pkey, ALGORITHMS[algorithm].type))
        return false;
    bits = EVP_PKEY_get_bits(pkey);
    return algorithm == DKIM_ED25519 ||
           (bits >= bits_min && bits <= DKIM_RSA_BITS_MAX);
}

static EVP_PKEY *read_private(struct str der)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    PKCS8_PRIV_KEY_INFO *info;
    EVP_PKEY *pkey = NULL;

    if (der.len > DKIM_PRIVATE_MAX)
        return NULL;
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
    if (info != NULL && (const char *)at == der.ptr + der.len)
        pkey = EVP_PKCS82PKEY(info);
    PKCS8_PRIV_KEY_INFO_free(info);
    forget_errors();
    return pkey;
}

/* PKCS #1 v1.5, which is what rsa-sha256 means; it knows no chance. */
static EVP_PKEY_CTX *begin_rsa(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);

    CHECK(ctx != NULL && EVP_PKEY_sign_init(ctx) == 1);
    CHECK(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1);
    CHECK(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1);
    return ctx;
}

static EVP_MD_CTX *begin_ed25519(EVP_PKEY *pkey)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(ctx != NULL);
    CHECK(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1);
    return ctx;
}

struct dkim_key *dkim_key_load(enum dkim_algorithm algorithm,
                               struct str private_der)
{
    EVP_PKEY *pkey = read_private(private_der);
    struct dkim_key *key;

    if (!is_fit(pkey, algorithm, DKIM_RSA_BITS)) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    key = xcalloc(1, sizeof *key);
    key->algorithm = algorithm;
    key->pkey = pkey;
    if (algorithm == DKIM_RSA)
        key->rsa = begin_rsa(pkey);
    else
        key->ed25519 = begin_ed25519(pkey);
    return key;
}

void dkim_key_destroy(struct dkim_key **key)
{
    if (*key == NULL)
        return;
    EVP_PKEY_CTX_free((*key)->rsa);
    EVP_MD_CTX_free((*key)->ed25519);
    EVP_PKEY_free((*key)->pkey);
    free(*key);
    *key = NULL;
}

enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *key)
{
    return key->algorithm;
}

void dkim_key_public(const struct dkim_key *key, struct buf *public_text)
{
    add_public(key->pkey, key->algorithm, public_text);
}

/* --- used --- */

static size_t sign_rsa(const EVP_PKEY_CTX *mould, const unsigned char *hash,
                       unsigned char *out)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(mould);
    size_t len = DKIM_SIGNATURE_MAX;

    CHECK(ctx != NULL);
    CHECK(EVP_PKEY_sign(ctx, out, &len, hash, SHA256_SIZE) == 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

/* The hash is the message of PureEdDSA (RFC 8463 section 3). */
static size_t sign_ed25519(const EVP_MD_CTX *mould, const unsigned char *hash,
                           unsigned char *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = DKIM_SIGNATURE_MAX;

    CHECK(ctx != NULL && EVP_MD_CTX_copy_ex(ctx, mould) == 1);
    CHECK(EVP_DigestSign(ctx, out, &len, hash, SHA256_SIZE) == 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

size_t dkim_key_sign(const struct dkim_key *key,
                     const unsigned char hash[SHA256_SIZE],
                     unsigned char out[DKIM_SIGNATURE_MAX])
{
    return key->algorithm == DKIM_RSA ? sign_rsa(key->rsa, hash, out)
                                      : sign_ed25519(key->ed25519, hash, out);
}

/* --- published --- */

static EVP_PKEY *read_spki(struct str der)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)der.len);

    if (pkey != NULL && (const char *)at == der.ptr + der.len)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static EVP_PKEY *read_bare(struct str der)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    EVP_PKEY *pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)der.len);

    if (pkey != NULL && (const char *)at == der.ptr + der.len)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static EVP_PKEY *read_bytes(enum dkim_algorithm algorithm, struct str bytes)
{
    EVP_PKEY *pkey;

    if (algorithm == DKIM_ED25519)
        return bytes.len != ED25519_SIZE
                   ? NULL
                   : EVP_PKEY_new_raw_public_key(
                         EVP_PKEY_ED25519, NULL,
                         (const unsigned char *)bytes.ptr, bytes.len);
    pkey = read_spki(bytes);
    return pkey != NULL ? pkey : read_bare(bytes);
}

static bool algorithm_of(struct str k, enum dkim_algorithm *algorithm)
{
    if (k.len == 0)
        k = S("rsa");
    for (unsigned i = 0; i < DKIM_ALGORITHMS; i++)
        if (str_eq(k, str_of(ALGORITHMS[i].name))) {
            *algorithm = (enum dkim_algorithm)i;
            return true;
        }
    return false;
}

static EVP_PKEY *read_public(enum dkim_algorithm algorithm, struct str p)
{
    EVP_PKEY *pkey = NULL;
    struct buf bytes;

    buf_init(&bytes, DKIM_PUBLIC_MAX);
    if (codec_base64_decode(p, &bytes) && bytes.len > 0)
        pkey = read_bytes(algorithm, buf_str(&bytes));
    buf_finish(&bytes);
    forget_errors();
    return pkey;
}

bool dkim_public_read(struct str k, struct str p, struct dkim_public *key)
{
    EVP_PKEY *pkey;
    bool ok;

    if (!algorithm_of(k, &key->algorithm))
        return false;
    pkey = read_public(key->algorithm, p);
    ok = is_fit(pkey, key->algorithm, 1);
    if (ok)
        key->bits = key->algorithm == DKIM_RSA
                        ? (unsigned)EVP_PKEY_get_bits(pkey)
                        : 8 * ED25519_SIZE;
    EVP_PKEY_free(pkey);
    return ok;
}
