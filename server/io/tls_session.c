#include "server/io/tls_session.h"

#include "server/base/mem.h"
#include "server/io/address.h"
#include "server/io/tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct tls_session {
    SSL *ssl;
    struct tls_peer peer; /* client: held; NULL on the server's side */
    char *host;           /* NULL on the server's side */
    bool ready;           /* the handshake came through */
    bool dead;
    char reason[256];
    char untrusted[200]; /* which certificate was refused, and why */
};

const struct tls_peer *tls_session_peer(const SSL *ssl)
{
    const struct tls_session *session = SSL_get_app_data(ssl);

    return &session->peer;
}

static void subject_of(X509 *cert, char *out, size_t size)
{
    BIO *memory = BIO_new(BIO_s_mem());
    int got;

    CHECK(memory != NULL);
    X509_NAME_print_ex(memory, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
    got = BIO_read(memory, out, (int)size - 1);
    out[got > 0 ? got : 0] = '\0';
    BIO_free(memory);
}

/* Judges nothing: keeps which certificate it was that OpenSSL refused, as
 * nobody can tell afterwards. */
static int on_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl =
        X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *session = SSL_get_app_data(ssl);
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    char subject[128] = "no certificate";

    if (good)
        return 1;
    if (cert != NULL)
        subject_of(cert, subject, sizeof subject);
    snprintf(session->untrusted, sizeof session->untrusted, "%s (%s)",
             X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)),
             subject);
    return 0;
}

/* In the place of OpenSSL's own judgement of chain, name and dates. */
int tls_session_judge_pin(X509_STORE_CTX *store, void *client)
{
    SSL *ssl =
        X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *session = SSL_get_app_data(ssl);
    char digest[SHA256_HEX_SIZE];

    if (tls_client_pins(client, X509_STORE_CTX_get0_cert(store), digest)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    snprintf(session->untrusted, sizeof session->untrusted,
             "the certificate is not pinned; its SHA-256 is %s", digest);
    return 0;
}

static struct tls_session *session_new(SSL_CTX *ctx, int fd)
{
    struct tls_session *session = xcalloc(1, sizeof *session);

    session->ssl = SSL_new(ctx);
    CHECK(session->ssl != NULL);
    CHECK(SSL_set_fd(session->ssl, fd) == 1);
    SSL_set_app_data(session->ssl, session);
    SSL_set_verify(session->ssl, SSL_CTX_get_verify_mode(ctx), on_verify);
    return session;
}

/* An address is matched against the certificate's addresses and is no SNI
 * (RFC 6066 section 3). */
static bool set_host(SSL *ssl, char *host)
{
    struct address address;

    if (address_parse(str_of(host), 0, &address)) {
        char text[ADDRESS_TEXT_SIZE];

        address_format_host(&address, text);
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), text) == 1;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return host[0] != '\0' && SSL_set1_host(ssl, host) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

static void resume(struct tls_session *session)
{
    SSL_SESSION *ticket =
        tls_client_take_ticket(session->peer.client, session->host);

    if (ticket == NULL)
        return;
    SSL_set_session(session->ssl, ticket); /* if refused: full handshake */
    SSL_SESSION_free(ticket);
}

struct tls_session *tls_session_create_client(struct tls_client *client,
                                              const char *host, int fd,
                                              struct error *err)
{
    struct tls_session *session = session_new(tls_client_ssl_ctx(client), fd);

    session->host = xstrdup(host);
    session->peer = (struct tls_peer){tls_client_hold(client), session->host};
    SSL_set_connect_state(session->ssl);
    if (!set_host(session->ssl, session->host)) {
        error_set(err, ERR_CONFIG, "%.100s: cannot be the name of a server",
                  host);
        ERR_clear_error();
        tls_session_destroy(&session);
        return NULL;
    }
    resume(session);
    return session;
}

struct tls_session *tls_session_create_server(struct tls_server *server, int fd)
{
    struct tls_session *session = session_new(tls_server_ssl_ctx(server), fd);

    SSL_set_accept_state(session->ssl);
    return session;
}

void tls_session_destroy(struct tls_session **session)
{
    if (*session == NULL)
        return;
    SSL_free((*session)->ssl);
    if ((*session)->peer.client != NULL)
        tls_client_release((*session)->peer.client);
    free((*session)->host);
    free(*session);
    *session = NULL;
}

static enum tls_step die(struct tls_session *session, enum tls_step step,
                         const char *reason)
{
    session->dead = true;
    snprintf(session->reason, sizeof session->reason, "%s", reason);
    return step;
}

/* By our own verdict or by the peer's alert (RFC 8446 section 6.2). */
static bool is_unshared(int reason)
{
    return reason == SSL_R_UNSUPPORTED_PROTOCOL ||
           reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION ||
           reason == SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY ||
           reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE;
}

static enum tls_step protocol_error(struct tls_session *session)
{
    unsigned long code = ERR_peek_error();
    const char *reason;

    if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
        if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return die(session, TLS_CUT, "ended without a TLS close");
        if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
            return die(session, TLS_UNTRUSTED, session->untrusted);
    }
    reason = ERR_reason_error_string(code);
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && is_unshared(ERR_GET_REASON(code)))
        return die(session, TLS_UNSHARED, reason);
    return die(session, TLS_FAILED, reason == NULL ? "TLS failed" : reason);
}

/* What an SSL_* call that did not succeed means. errno is the system's of
 * that call. */
static enum tls_step step_of(struct tls_session *session, int result)
{
    int system_error = errno;

    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        snprintf(session->reason, sizeof session->reason, "closed by the peer");
        return TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        if (system_error == 0)
            return die(session, TLS_CUT, "ended without a TLS close");
        return die(session, TLS_RESET, strerror(system_error));
    default:
        return protocol_error(session);
    }
}

/* OpenSSL reads its error queue to tell what happened, so what another
 * session left there must go first. */
static void before_call(const struct tls_session *session)
{
    CHECK(!session->dead);
    ERR_clear_error();
    errno = 0;
}

enum tls_step tls_session_handshake(struct tls_session *session)
{
    int result;

    before_call(session);
    result = SSL_do_handshake(session->ssl);
    session->ready = result == 1;
    return session->ready ? TLS_DONE : step_of(session, result);
}

enum tls_step tls_session_read(struct tls_session *session, char *to,
                               size_t max, size_t *got)
{
    int result;

    before_call(session);
    *got = 0;
    result = SSL_read_ex(session->ssl, to, max, got);
    return result == 1 ? TLS_DONE : step_of(session, result);
}

enum tls_step tls_session_write(struct tls_session *session, struct str bytes,
                                size_t *put)
{
    int result;

    enum tls_step step;

    before_call(session);
    *put = 0;
    result = SSL_write_ex(session->ssl, bytes.ptr, bytes.len, put);
    if (result == 1)
        return TLS_DONE;
    step = step_of(session, result);
    session->dead = session->dead && step != TLS_RESET;
    return step;
}

bool tls_session_holds_bytes(const struct tls_session *session)
{
    return SSL_pending(session->ssl) > 0;
}

void tls_session_say_goodbye(struct tls_session *session)
{
    if (!session->ready || session->dead)
        return;
    before_call(session);
    SSL_shutdown(session->ssl);
    ERR_clear_error();
}

const char *tls_session_reason(const struct tls_session *session)
{
    return session->reason;
}

static int64_t not_after_ms(const X509 *cert)
{
    struct tm time = {0};

    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &time) != 1)
        return 0;
    return (int64_t)timegm(&time) * 1000;
}

void tls_session_facts(const struct tls_session *session,
                       struct tls_facts *facts)
{
    const SSL *ssl = session->ssl;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    long verdict = SSL_get_verify_result(ssl);

    *facts = (struct tls_facts){
        .version = SSL_get_version(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .resumed = SSL_session_reused(ssl) == 1,
        .verified = cert != NULL && verdict == X509_V_OK,
    };
    if (cert != NULL) {
        subject_of(cert, facts->subject, sizeof facts->subject);
        facts->not_after_ms = not_after_ms(cert);
    }
    if (!facts->verified)
        snprintf(facts->verify_reason, sizeof facts->verify_reason, "%s",
                 cert == NULL ? "no certificate"
                              : X509_verify_cert_error_string(verdict));
}

/* RFC 9266 section 2. */
static bool export_binding(SSL *ssl, struct tls_binding *binding)
{
    static const char LABEL[] = "EXPORTER-Channel-Binding";

    binding->name = "tls-exporter";
    binding->len = 32;
    return SSL_export_keying_material(ssl, binding->bytes, binding->len, LABEL,
                                      sizeof LABEL - 1,
                                      (const unsigned char *)"", 0, 1) == 1;
}

/* RFC 5929 section 3: the first Finished of the handshake, which is the
 * server's when it resumed. Only the extended master secret makes it one
 * session's own (RFC 7627 section 1). */
static bool unique_binding(SSL *ssl, struct tls_binding *binding)
{
    if (SSL_get_extms_support(ssl) != 1)
        return false;
    binding->name = "tls-unique";
    binding->len =
        SSL_is_server(ssl) == SSL_session_reused(ssl)
            ? SSL_get_finished(ssl, binding->bytes, TLS_BINDING_MAX)
            : SSL_get_peer_finished(ssl, binding->bytes, TLS_BINDING_MAX);
    return binding->len > 0 && binding->len <= TLS_BINDING_MAX;
}

bool tls_session_binding(const struct tls_session *session,
                         struct tls_binding *binding)
{
    CHECK(session->ready);
    *binding = (struct tls_binding){.name = ""};
    return SSL_version(session->ssl) >= TLS1_3_VERSION
               ? export_binding(session->ssl, binding)
               : unique_binding(session->ssl, binding);
}
