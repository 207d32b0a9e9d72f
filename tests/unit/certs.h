/* certs.h - certificates for tests, made on the spot in a folder of their own.
 *
 * certs_make leaves in certs.dir: ca.pem, and for each name a name.pem (chain)
 * and name.key. All keys are P-256.
 */
#ifndef TESTS_CERTS_H
#define TESTS_CERTS_H

#include "server/base/check.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct certs {
    char dir[64];
    EVP_PKEY *ca_key;
    X509 *ca;
    long serial;
};

struct cert_spec {
    const char *name; /* of the files */
    const char *san;  /* "DNS:mail.test,IP:127.0.0.1" */
    long from_s;      /* from now on */
    long until_s;
    int self_signed;
};

/* dir/name.suffix; valid until the fourth call from here. */
static inline const char *certs_path(const struct certs *certs,
                                     const char *name, const char *suffix)
{
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s.%s", certs->dir, name, suffix);
    return path;
}

static inline void certs_extend(X509 *cert, X509 *issuer, int nid,
                                const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(extension != NULL);
    CHECK(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline X509 *certs_cert(struct certs *certs, EVP_PKEY *key,
                               const struct cert_spec *spec, X509 *issuer,
                               EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    const unsigned char *name = (const unsigned char *)spec->name;

    if (issuer == NULL)
        issuer = cert;
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++certs->serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), spec->from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), spec->until_s);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
    X509_set_pubkey(cert, key);
    if (spec->san != NULL)
        certs_extend(cert, issuer, NID_subject_alt_name, spec->san);
    else
        certs_extend(cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
    CHECK(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    return cert;
}

static inline void certs_add(struct certs *certs, const struct cert_spec *spec)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = spec->self_signed
                     ? certs_cert(certs, key, spec, NULL, key)
                     : certs_cert(certs, key, spec, certs->ca, certs->ca_key);
    FILE *file = fopen(certs_path(certs, spec->name, "pem"), "w");

    CHECK(file != NULL && PEM_write_X509(file, cert) == 1);
    fclose(file);
    file = fopen(certs_path(certs, spec->name, "key"), "w");
    CHECK(file != NULL);
    CHECK(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static inline void certs_make(struct certs *certs,
                              const struct cert_spec *specs, size_t count)
{
    static const struct cert_spec ca = {"ca", NULL, -86400, 86400, 1};
    FILE *file;

    memset(certs, 0, sizeof *certs);
    snprintf(certs->dir, sizeof certs->dir, "/tmp/posthaste-certs-XXXXXX");
    CHECK(mkdtemp(certs->dir) != NULL);
    certs->ca_key = EVP_EC_gen("P-256");
    certs->ca = certs_cert(certs, certs->ca_key, &ca, NULL, certs->ca_key);
    file = fopen(certs_path(certs, "ca", "pem"), "w");
    CHECK(file != NULL && PEM_write_X509(file, certs->ca) == 1);
    fclose(file);
    for (size_t i = 0; i < count; i++)
        certs_add(certs, &specs[i]);
}

static inline void certs_remove(struct certs *certs,
                                const struct cert_spec *specs, size_t count)
{
    unlink(certs_path(certs, "ca", "pem"));
    for (size_t i = 0; i < count; i++) {
        unlink(certs_path(certs, specs[i].name, "pem"));
        unlink(certs_path(certs, specs[i].name, "key"));
    }
    rmdir(certs->dir);
    X509_free(certs->ca);
    EVP_PKEY_free(certs->ca_key);
}

#endif
