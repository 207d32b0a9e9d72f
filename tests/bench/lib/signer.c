#include "tests/bench/lib/signer.h"

#include "tests/bench/lib/report.h"

void signer_init(struct signer *signer, enum dkim_algorithm algorithm)
{
    const unsigned char *at;
    struct buf der;
    struct buf public_text;

    *signer = (struct signer){0};
    buf_init(&der, DKIM_PRIVATE_MAX);
    buf_init(&public_text, DKIM_PUBLIC_MAX);
    dkim_key_make(algorithm, &der, &public_text);
    signer->key = dkim_key_load(algorithm, buf_str(&der));
    at = (const unsigned char *)der.data;
    signer->pkey = d2i_AutoPrivateKey(NULL, &at, (long)der.len);
    CHECK(signer->key != NULL && signer->pkey != NULL);
    if (algorithm == DKIM_RSA) {
        signer->rsa = EVP_PKEY_CTX_new(signer->pkey, NULL);
        CHECK(EVP_PKEY_sign_init(signer->rsa) == 1);
    } else {
        signer->ed25519 = EVP_MD_CTX_new();
        CHECK(EVP_DigestSignInit(signer->ed25519, NULL, NULL, NULL,
                                 signer->pkey) == 1);
    }
    buf_finish(&der);
    buf_finish(&public_text);
}

void signer_finish(struct signer *signer)
{
    EVP_PKEY_CTX_free(signer->rsa);
    EVP_MD_CTX_free(signer->ed25519);
    EVP_PKEY_free(signer->pkey);
    dkim_key_destroy(&signer->key);
}

static void sign_bare(const struct signer *signer)
{
    static const unsigned char hash[SHA256_SIZE];
    unsigned char out[DKIM_SIGNATURE_MAX];
    size_t len = sizeof out;

    if (signer->rsa != NULL)
        CHECK(EVP_PKEY_sign(signer->rsa, out, &len, hash, sizeof hash) == 1);
    else
        CHECK(EVP_DigestSign(signer->ed25519, out, &len, hash, sizeof hash) ==
              1);
}

double signers_bare_ns(const struct signer *signers, size_t count,
                       size_t rounds)
{
    uint64_t start = now_ns();

    for (size_t i = 0; i < rounds; i++)
        for (size_t n = 0; n < count; n++)
            sign_bare(&signers[n]);
    return (double)(now_ns() - start) / (double)rounds;
}
