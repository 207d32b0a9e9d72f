/* tls.h - TLS policies (contexts) for both sides, and what a session was.
 *
 * TLS 1.2 at least. A client context also keeps the tickets that its servers
 * handed out, so that later sessions resume: bounded, and each TLS 1.3
 * ticket is used once (RFC 8446 appendix C.4). One context per upstream and
 * policy, then sessions of different policies never mix.
 *
 * Source: RFC 8446, RFC 9325 (use of TLS), RFC 6125 (names).
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "server/base/check.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_trust {
    TLS_TRUST_VERIFIED, /* chain and name must be good: the default */
    TLS_TRUST_ANY,      /* anything goes; tls_facts tells what it was */
};

struct tls_client_options {
    enum tls_trust trust;
    const char *ca_file;   /* PEM; NULL: the system's */
    const char *cert_file; /* PEM chain to show to the server; NULL: none */
    const char *key_file;  /* its key; NULL: in cert_file */
    /* SHA-256 of the only certificates to accept, 64 hex digits in lower case
     * each: no authority, name or date counts then. Copied. */
    const char *const *fingerprints;
    size_t fingerprint_count; /* 0: trust decides */
};

/* Contexts may be destroyed while streams still use them. */
struct tls_client;
MUST_USE struct tls_client *
tls_client_create(const struct tls_client_options *options, struct error *err);
/* The file that keeps a client from being made, as options name it, and err
 * says why; NULL: there is none. */
const char *tls_client_misfit(const struct tls_client_options *options,
                              struct error *err);
void tls_client_destroy(struct tls_client **client);
/* Tickets at hand, for all hosts together. */
size_t tls_client_tickets(const struct tls_client *client);

struct tls_server;
MUST_USE struct tls_server *tls_server_create(const char *cert_file,
                                              const char *key_file,
                                              struct error *err);
/* With a key and certificate (P-256, valid for a year) made now, which lives
 * only in memory: for development and tests. name: host name or address. */
MUST_USE struct tls_server *tls_server_create_self_signed(const char *name,
                                                          struct error *err);
void tls_server_destroy(struct tls_server **server);

struct tls_facts {
    const char *version;    /* "TLSv1.3"; static */
    const char *cipher;     /* "TLS_AES_256_GCM_SHA384"; static */
    bool resumed;           /* by a ticket of an earlier session */
    bool verified;          /* chain and name are good, or it is pinned */
    int64_t not_after_ms;   /* Unix time; 0: the peer showed none */
    char subject[256];      /* of the peer's certificate; "" if none */
    char verify_reason[64]; /* why not verified; "" if it is */
};

/* What both ends know of a session and nobody between them: for channel
 * binding (RFC 5056). */
enum { TLS_BINDING_MAX = 64 };
struct tls_binding {
    const char *name; /* "tls-exporter", "tls-unique"; static */
    size_t len;
    unsigned char bytes[TLS_BINDING_MAX];
};

#endif
