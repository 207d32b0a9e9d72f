/* secret.h - hashes, random bytes, sealed values. All of it on OpenSSL. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { SHA256_SIZE = 32, SHA256_HEX_SIZE = 65 };

void secret_sha256(struct str data, unsigned char out[SHA256_SIZE]);
void secret_sha256_hex(struct str data, char out[SHA256_HEX_SIZE]);
/* Of what comes piece by piece. The end gives the hash and frees. */
struct sha256;
struct sha256 *sha256_begin(void);
void sha256_add(struct sha256 *hash, struct str data);
void sha256_end(struct sha256 *hash, unsigned char out[SHA256_SIZE]);
void secret_hmac_sha256(struct str key, struct str data,
                        unsigned char out[SHA256_SIZE]);
/* For CRAM-MD5 (RFC 2195), and nothing new. */
enum { MD5_SIZE = 16 };
void secret_hmac_md5(struct str key, struct str data,
                     unsigned char out[MD5_SIZE]);

/* The hashes that a protocol lets its peers choose from: SCRAM (RFC 5802). */
enum secret_hash { SECRET_SHA1, SECRET_SHA256 };
enum { SECRET_HASH_MAX = SHA256_SIZE };
/* Bytes that it gives, and that the next three fill. */
size_t secret_hash_size(enum secret_hash hash);
void secret_digest(enum secret_hash hash, struct str data,
                   unsigned char out[SECRET_HASH_MAX]);
void secret_hmac(enum secret_hash hash, struct str key, struct str data,
                 unsigned char out[SECRET_HASH_MAX]);
/* PBKDF2 (RFC 8018 section 5.2): slow, for a helper thread. */
void secret_pbkdf2(enum secret_hash hash, struct str password, struct str salt,
                   unsigned iterations, unsigned char out[SECRET_HASH_MAX]);
uint32_t secret_crc32(struct str data); /* IEEE, as in zip */

/* Same length and same bytes, in time that depends on the length only. */
bool secret_equal(struct str a, struct str b);
void secret_wipe(void *ptr, size_t len);

/* AES-256-GCM (NIST SP 800-38D). A pair of key and nonce encrypts once. */
enum { NONCE_SIZE = 12 };
/* Adds the ciphertext and its tag to out, which must have room. */
void secret_encrypt(const unsigned char key[SHA256_SIZE],
                    const unsigned char nonce[NONCE_SIZE], struct str context,
                    struct str plain, struct buf *out);
/* False: tampered with, other key, nonce or context, or no room. */
MUST_USE bool secret_decrypt(const unsigned char key[SHA256_SIZE],
                             const unsigned char nonce[NONCE_SIZE],
                             struct str context, struct str box,
                             struct buf *plain);

/* Keys that encrypt what is stored (secrets.keyring_file; key_file.h). The
 * first key seals, all open. What is used is derived by HKDF-SHA256 (RFC 5869)
 * with a label per purpose. */
struct keyring;

/* NULL and err: unreadable, a bad line (with its number), no key. */
struct keyring *keyring_load(const char *path, struct error *err);
void keyring_destroy(struct keyring **keyring);
/* Writes a new file with one fresh key, mode 0600; refuses to overwrite. */
MUST_USE bool keyring_create(const char *path, struct error *err);

/* AES-256-GCM. Adds "id.salt+nonce+ciphertext+tag", base64url behind the
 * dot. The salt goes into the derived key, so that no key comes near the 2^32
 * messages that random nonces allow (NIST SP 800-38D section 8.3). context is
 * authenticated and must be the same when opened: the name of the place where
 * the value is stored. */
void keyring_seal(const struct keyring *keyring, const char *label,
                  struct str context, struct str plain, struct buf *out);

enum keyring_result {
    KEYRING_OK,
    KEYRING_UNKNOWN_ID, /* sealed under a key that this process lacks */
    KEYRING_BROKEN,     /* tampered with, other label or context, or no room */
};
MUST_USE enum keyring_result keyring_open(const struct keyring *keyring,
                                          const char *label, struct str context,
                                          struct str sealed, struct buf *plain);

size_t keyring_count(const struct keyring *keyring); /* at least 1 */
/* 32 bytes for the label, from the nth key: for HMACs of ours. They are made
 * with key 0, which seals, and read with all. */
void keyring_derive(const struct keyring *keyring, size_t nth,
                    const char *label, unsigned char out[SHA256_SIZE]);

#endif
