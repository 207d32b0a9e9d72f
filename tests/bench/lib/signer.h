/* signer.h - a key of DKIM, and the price of its signatures alone. */
#ifndef BENCH_SIGNER_H
#define BENCH_SIGNER_H

#include "smtp/message/dkim_key.h"

#include <openssl/evp.h>
#include <stddef.h>

struct signer {
    struct dkim_key *key;
    EVP_PKEY *pkey; /* the same, for the library alone */
    EVP_PKEY_CTX *rsa;
    EVP_MD_CTX *ed25519;
};

void signer_init(struct signer *signer, enum dkim_algorithm algorithm);
void signer_finish(struct signer *signer);

/* What one signature of each takes, in nanoseconds: as `openssl speed` does
 * it, one context again and again. */
double signers_bare_ns(const struct signer *signers, size_t count,
                       size_t rounds);

#endif
