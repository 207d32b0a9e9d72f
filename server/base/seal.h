/* seal.h - values that only the workers open.
 *
 * They are sealed to the public half of an X25519 key; the private half is in
 * a file that the workers alone have (secrets.worker_key_file; key_file.h).
 * So who reads Redis and the API's hosts still cannot sign as a customer.
 *
 * The id of a key is "w" and the first 8 hex digits of the SHA-256 of its
 * public half, so that a mistyped key is told from another one. A public half
 * is written "id.base64url"; a sealed value "id.base64url" of the ephemeral
 * public key, the ciphertext and its tag.
 *
 * Source: RFC 7748 (X25519), RFC 5869 (HKDF-SHA256 over the shared secret;
 * info: label, NUL, ephemeral and recipient's public key), NIST SP 800-38D
 * (AES-256-GCM; the nonce is zero, since each sealing has its own key).
 */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/key_file.h"
#include "server/base/secret.h"
#include "server/base/str.h"

#include <stdbool.h>

struct seal_public {
    char id[KEY_ID_SIZE];
    unsigned char bytes[KEY_SIZE];
};

/* False: not the text of a public half, or an id that is not that of it. */
MUST_USE bool seal_public_read(struct str text, struct seal_public *key);
void seal_public_add(const struct seal_public *key, struct buf *out);

/* Adds the sealed value. context is authenticated: the name of the place
 * where the value is stored. Some 0.1 ms. */
void seal_to(const struct seal_public *key, const char *label,
             struct str context, struct str plain, struct buf *out);

/* The private halves. The first one is the current key, all open. */
struct seal_keys;

/* NULL and err as key_file_read, or an id that is not that of its key. */
struct seal_keys *seal_keys_load(const char *path, struct error *err);
void seal_keys_destroy(struct seal_keys **keys);
/* A new file with one fresh key, mode 0600; refuses to overwrite. */
MUST_USE bool seal_keys_create(const char *path, struct seal_public *key,
                               struct error *err);

/* The public half of the current key of a file. */
MUST_USE bool seal_keys_public(const char *path, struct seal_public *key,
                               struct error *err);
const struct seal_public *seal_keys_current(const struct seal_keys *keys);
bool seal_keys_have(const struct seal_keys *keys,
                    const struct seal_public *key);

/* keys may be NULL: none, so every id is unknown. */
MUST_USE enum keyring_result seal_open(const struct seal_keys *keys,
                                       const char *label, struct str context,
                                       struct str sealed, struct buf *plain);

#endif
