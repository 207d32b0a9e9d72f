/* tls_context.h - what a session needs of its context; inside of server/io. */
#ifndef IO_TLS_CONTEXT_H
#define IO_TLS_CONTEXT_H

#include "server/base/secret.h"
#include "server/io/tls.h"

#include <openssl/ssl.h>

/* A context lives until its owner and all its sessions let go of it. */
struct tls_client *tls_client_hold(struct tls_client *client);
void tls_client_release(struct tls_client *client);
SSL_CTX *tls_client_ssl_ctx(const struct tls_client *client);
SSL_CTX *tls_server_ssl_ctx(const struct tls_server *server);

/* A session to resume with host, owned by the caller; NULL: none. */
SSL_SESSION *tls_client_take_ticket(struct tls_client *client,
                                    const char *host);
/* Takes over ticket. */
void tls_client_keep_ticket(struct tls_client *client, const char *host,
                            SSL_SESSION *ticket);

/* Whether cert is one of those that are pinned; digest: of it, in hex. */
bool tls_client_pins(const struct tls_client *client, X509 *cert,
                     char digest[SHA256_HEX_SIZE]);

/* The reason of the oldest error in OpenSSL's queue, which is emptied. */
const char *tls_openssl_reason(void);

/* For the callback of new tickets: the host that an SSL talks to, and its
 * client. */
struct tls_peer {
    struct tls_client *client;
    const char *host;
};
const struct tls_peer *tls_session_peer(const SSL *ssl);
/* For the callback that judges a pinned certificate. */
int tls_session_judge_pin(X509_STORE_CTX *store, void *client);

#endif
