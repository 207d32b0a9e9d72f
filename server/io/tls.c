#include "server/io/tls.h"

#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/base/str.h"
#include "server/io/address.h"
#include "server/io/tls_context.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* A full handshake brings two tickets, and a pool seldom holds more than
 * some dozen sessions. Beyond that the oldest is dropped. */
enum { TICKETS_MAX = 64 };

struct ticket {
    struct list link; /* in tls_client.tickets */
    char *host;
    SSL_SESSION *session;
};

struct tls_client {
    SSL_CTX *ctx;
    unsigned holds;      /* the owner's and one a session */
    struct list tickets; /* the newest first */
    size_t ticket_count;
    char (*pins)[SHA256_HEX_SIZE]; /* owned */
    size_t pin_count;
};

struct tls_server {
    SSL_CTX *ctx;
};

const char *tls_openssl_reason(void)
{
    unsigned long code = ERR_get_error();
    const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                                : ERR_reason_error_string(code);

    ERR_clear_error();
    return reason == NULL ? "no reason given" : reason;
}

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

/* What both sides share. Buffers of idle sessions are released: 50 KiB each
 * otherwise (measured). Renegotiation has no use here and a history of
 * attacks. */
static SSL_CTX *ctx_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    CHECK(ctx != NULL);
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    return ctx;
}

/* The file that will not do; NULL: both are in use. */
static const char *use_certificate(SSL_CTX *ctx, const char *cert_file,
                                   const char *key_file, struct error *err)
{
    if (key_file == NULL)
        key_file = cert_file;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1) {
        error_set(err, ERR_CONFIG, "%s: no certificate: %s", cert_file,
                  tls_openssl_reason());
        return cert_file;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        error_set(err, ERR_CONFIG, "%s: no private key for %s: %s", key_file,
                  cert_file, tls_openssl_reason());
        return key_file;
    }
    return NULL;
}

static bool use_authorities(SSL_CTX *ctx, const char *ca_file,
                            struct error *err)
{
    ERR_clear_error();
    if (ca_file == NULL) {
        CHECK(SSL_CTX_set_default_verify_paths(ctx) == 1);
        return true;
    }
    if (SSL_CTX_load_verify_file(ctx, ca_file) == 1)
        return true;
    error_set(err, ERR_CONFIG, "%s: no authorities: %s", ca_file,
              tls_openssl_reason());
    return false;
}

static int on_new_ticket(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_peer *peer = tls_session_peer(ssl);

    tls_client_keep_ticket(peer->client, peer->host, session);
    return 1; /* it is ours now */
}

static void keep_pins(struct tls_client *client,
                      const struct tls_client_options *options)
{
    if (options->fingerprint_count == 0)
        return;
    client->pin_count = options->fingerprint_count;
    client->pins = xcalloc(client->pin_count, sizeof *client->pins);
    for (size_t i = 0; i < client->pin_count; i++)
        snprintf(client->pins[i], sizeof client->pins[i], "%s",
                 options->fingerprints[i]);
    SSL_CTX_set_cert_verify_callback(client->ctx, tls_session_judge_pin,
                                     client);
}

bool tls_client_pins(const struct tls_client *client, X509 *cert,
                     char digest[SHA256_HEX_SIZE])
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);

    CHECK(len > 0);
    secret_sha256_hex(str_make(der, (size_t)len), digest);
    OPENSSL_free(der);
    for (size_t i = 0; i < client->pin_count; i++)
        if (strcmp(client->pins[i], digest) == 0)
            return true;
    return false;
}

/* The same of all that a client's options name. */
static const char *use_files(SSL_CTX *ctx,
                             const struct tls_client_options *options,
                             struct error *err)
{
    if (!use_authorities(ctx, options->ca_file, err))
        return options->ca_file;
    if (options->cert_file == NULL)
        return NULL;
    return use_certificate(ctx, options->cert_file, options->key_file, err);
}

const char *tls_client_misfit(const struct tls_client_options *options,
                              struct error *err)
{
    SSL_CTX *ctx = ctx_new(TLS_client_method());
    const char *file = use_files(ctx, options, err);

    SSL_CTX_free(ctx);
    return file;
}

struct tls_client *tls_client_create(const struct tls_client_options *options,
                                     struct error *err)
{
    SSL_CTX *ctx = ctx_new(TLS_client_method());
    struct tls_client *client;

    if (use_files(ctx, options, err) != NULL) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx,
                       options->trust == TLS_TRUST_VERIFIED ? SSL_VERIFY_PEER
                                                            : SSL_VERIFY_NONE,
                       NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
                                            SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_ticket);
    client = xcalloc(1, sizeof *client);
    client->ctx = ctx;
    client->holds = 1;
    list_init(&client->tickets);
    keep_pins(client, options);
    return client;
}

static void ticket_destroy(struct tls_client *client, struct ticket *ticket)
{
    list_remove(&ticket->link);
    client->ticket_count--;
    SSL_SESSION_free(ticket->session);
    free(ticket->host);
    free(ticket);
}

struct tls_client *tls_client_hold(struct tls_client *client)
{
    client->holds++;
    return client;
}

void tls_client_release(struct tls_client *client)
{
    CHECK(client->holds > 0);
    if (--client->holds > 0)
        return;
    list_each_safe (link, &client->tickets)
        ticket_destroy(client, LIST_MEMBER(link, struct ticket, link));
    SSL_CTX_free(client->ctx);
    free(client->pins);
    free(client);
}

void tls_client_destroy(struct tls_client **client)
{
    if (*client == NULL)
        return;
    tls_client_release(*client);
    *client = NULL;
}

SSL_CTX *tls_client_ssl_ctx(const struct tls_client *client)
{
    return client->ctx;
}

size_t tls_client_tickets(const struct tls_client *client)
{
    return client->ticket_count;
}

void tls_client_keep_ticket(struct tls_client *client, const char *host,
                            SSL_SESSION *session)
{
    struct ticket *ticket = xmalloc(sizeof *ticket);

    ticket->host = xstrdup(host);
    ticket->session = session;
    list_add_first(&client->tickets, &ticket->link);
    if (++client->ticket_count > TICKETS_MAX)
        ticket_destroy(client,
                       LIST_MEMBER(client->tickets.prev, struct ticket, link));
}

/* A TLS 1.2 session serves many times; its server may not send a new one. */
static bool is_used_once(const SSL_SESSION *session)
{
    return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

SSL_SESSION *tls_client_take_ticket(struct tls_client *client, const char *host)
{
    list_each_safe (link, &client->tickets) {
        struct ticket *ticket = LIST_MEMBER(link, struct ticket, link);
        SSL_SESSION *session = ticket->session;

        if (!str_eq_nocase(str_of(ticket->host), str_of(host)))
            continue;
        if (!SSL_SESSION_is_resumable(session)) {
            ticket_destroy(client, ticket);
            continue;
        }
        CHECK(SSL_SESSION_up_ref(session) == 1);
        if (is_used_once(session))
            ticket_destroy(client, ticket);
        return session;
    }
    return NULL;
}

static struct tls_server *server_new(SSL_CTX *ctx)
{
    struct tls_server *server = xmalloc(sizeof *server);

    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    server->ctx = ctx;
    return server;
}

struct tls_server *tls_server_create(const char *cert_file,
                                     const char *key_file, struct error *err)
{
    SSL_CTX *ctx = ctx_new(TLS_server_method());

    if (use_certificate(ctx, cert_file, key_file, err) != NULL) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return server_new(ctx);
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(extension != NULL);
    CHECK(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* Letters, digits, dots, colons and hyphens only: a comma would begin a
 * further name in the extension's text. */
static bool is_plain_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '.' &&
            name.ptr[i] != '-' && name.ptr[i] != ':')
            return false;
    return name.len > 0 && name.len <= 64; /* ub-common-name, RFC 5280 */
}

static X509 *self_signed(EVP_PKEY *key, const char *name)
{
    X509 *cert = X509_new();
    BIGNUM *serial = BN_new();
    X509_NAME *subject;
    struct address address;
    char names[80];

    CHECK(cert != NULL && serial != NULL);
    CHECK(X509_set_version(cert, X509_VERSION_3) == 1);
    CHECK(BN_rand(serial, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1);
    CHECK(BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL);
    BN_free(serial);
    CHECK(X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL);
    CHECK(X509_gmtime_adj(X509_getm_notAfter(cert), 365L * 86400) != NULL);
    subject = X509_get_subject_name(cert);
    CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                     (const unsigned char *)name, -1, -1,
                                     0) == 1);
    CHECK(X509_set_issuer_name(cert, subject) == 1);
    CHECK(X509_set_pubkey(cert, key) == 1);
    snprintf(names, sizeof names, "%s:%s",
             address_parse(str_of(name), 0, &address) ? "IP" : "DNS", name);
    add_extension(cert, NID_subject_alt_name, names);
    add_extension(cert, NID_basic_constraints, "critical,CA:FALSE");
    CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

struct tls_server *tls_server_create_self_signed(const char *name,
                                                 struct error *err)
{
    SSL_CTX *ctx;
    EVP_PKEY *key;
    X509 *cert;

    if (!is_plain_name(str_of(name))) {
        error_set(err, ERR_CONFIG, "%s: not a name for a certificate", name);
        return NULL;
    }
    key = EVP_EC_gen("P-256");
    CHECK(key != NULL);
    cert = self_signed(key, name);
    ctx = ctx_new(TLS_server_method());
    CHECK(SSL_CTX_use_certificate(ctx, cert) == 1);
    CHECK(SSL_CTX_use_PrivateKey(ctx, key) == 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return server_new(ctx);
}

void tls_server_destroy(struct tls_server **server)
{
    if (*server == NULL)
        return;
    SSL_CTX_free((*server)->ctx);
    free(*server);
    *server = NULL;
}

SSL_CTX *tls_server_ssl_ctx(const struct tls_server *server)
{
    return server->ctx;
}
