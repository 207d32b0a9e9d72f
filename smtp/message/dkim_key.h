/* dkim_key.h - key pairs of DKIM: made, loaded, used; and what is published.
 *
 * Two algorithms: rsa-sha256, which every verifier knows, and ed25519-sha256.
 * Private halves are PKCS#8 in DER, to be sealed before they leave memory;
 * whoever holds such bytes wipes them. Pure: no file, no clock.
 *
 * Source: RFC 6376 sections 3.3 and 3.6.1, RFC 8301 (sizes of RSA keys),
 * RFC 8463 (Ed25519), RFC 5958 and RFC 8410 (PKCS#8).
 */
#ifndef SMTP_MESSAGE_DKIM_KEY_H
#define SMTP_MESSAGE_DKIM_KEY_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/secret.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum dkim_algorithm { DKIM_RSA, DKIM_ED25519 };

enum {
    DKIM_ALGORITHMS = 2,
    DKIM_RSA_BITS = 2048,     /* of the keys that we make */
    DKIM_RSA_BITS_MIN = 1024, /* below, verifiers must refuse: RFC 8301 */
    DKIM_RSA_BITS_MAX = 8192, /* above, we do not read */
    DKIM_PRIVATE_MAX = 8192,  /* bytes of DER */
    DKIM_PUBLIC_MAX = 1400,   /* characters of p=, of 8192 bits */
    DKIM_SIGNATURE_MAX = DKIM_RSA_BITS_MAX / 8,
};

/* The word of k=, and of a=: "rsa", "ed25519". */
const char *dkim_algorithm_name(enum dkim_algorithm algorithm);

/* Adds the private half as DER, and the public one as the text of p=: base64
 * of a SubjectPublicKeyInfo (RSA), of the 32 bytes alone (Ed25519). RSA takes
 * 50 to 500 ms: for helper threads. */
void dkim_key_make(enum dkim_algorithm algorithm, struct buf *private_der,
                   struct buf *public_text);

/* Constant once loaded: several threads may sign with it. */
struct dkim_key;

/* NULL: not PKCS#8 of that algorithm, bytes behind it, or RSA of less than
 * DKIM_RSA_BITS. */
struct dkim_key *dkim_key_load(enum dkim_algorithm algorithm,
                               struct str private_der);
void dkim_key_destroy(struct dkim_key **key); /* wipes it */
enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *key);
/* Its public half, as the text of p=. */
void dkim_key_public(const struct dkim_key *key, struct buf *public_text);
/* Signs the hash that stands for a message (RFC 6376 section 3.7). The same
 * bytes each time. Returns their number. RSA takes 0.3 to 0.6 ms: for helper
 * threads. */
size_t dkim_key_sign(const struct dkim_key *key,
                     const unsigned char hash[SHA256_SIZE],
                     unsigned char out[DKIM_SIGNATURE_MAX]);

/* A published key: the word of k= (empty: rsa) and the text of p=, from which
 * white space is gone. RSA may be a bare RSAPublicKey, too. */
struct dkim_public {
    enum dkim_algorithm algorithm;
    unsigned bits; /* 256 for Ed25519 */
};

/* False: another algorithm, not base64, or not a key of that algorithm of at
 * most DKIM_RSA_BITS_MAX. */
MUST_USE bool dkim_public_read(struct str k, struct str p,
                               struct dkim_public *key);

#endif
