/* tls_session.h - one TLS session over a socket, driven by hand.
 *
 * Inside of server/io: stream.c decides when to call, tls_session.c knows
 * OpenSSL. Each call does what can be done without blocking and says what it
 * waits for. After anything below TLS_CLOSED the session is dead.
 */
#ifndef IO_TLS_SESSION_H
#define IO_TLS_SESSION_H

#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"
#include "server/io/tls.h"

#include <stdbool.h>
#include <stddef.h>

enum tls_step {
    TLS_DONE,
    TLS_WANT_READ,  /* the socket must become readable first */
    TLS_WANT_WRITE, /* ... writable ... */
    TLS_CLOSED,     /* the peer said close_notify */
    TLS_CUT,        /* the connection ended without it */
    TLS_RESET,      /* the system says that the connection is broken */
    TLS_UNTRUSTED,  /* certificate refused by our policy */
    TLS_UNSHARED,   /* both sides speak TLS, with no version or cipher that
                       the other would take */
    TLS_FAILED,     /* anything else: alerts, broken records */
};

struct tls_session;

/* NULL and err when host cannot be a name. Keeps a hold on the context. */
struct tls_session *tls_session_create_client(struct tls_client *client,
                                              const char *host, int fd,
                                              struct error *err);
struct tls_session *tls_session_create_server(struct tls_server *server,
                                              int fd);
void tls_session_destroy(struct tls_session **session);

enum tls_step tls_session_handshake(struct tls_session *session);
enum tls_step tls_session_read(struct tls_session *session, char *to,
                               size_t max, size_t *got);
/* May put less than all. What was not put must be offered again, from the
 * same byte on, before anything else. After TLS_RESET reading may go on: the
 * peer's last words may have come before it broke off. */
enum tls_step tls_session_write(struct tls_session *session, struct str bytes,
                                size_t *put);
/* Decrypted bytes are at hand that the socket will not tell of. */
bool tls_session_holds_bytes(const struct tls_session *session);
/* Sends close_notify, if that can be done at once. */
void tls_session_say_goodbye(struct tls_session *session);

/* Why the last step was none of the first three. */
const char *tls_session_reason(const struct tls_session *session);
void tls_session_facts(const struct tls_session *session,
                       struct tls_facts *facts);
/* False: this session has none that is safe. */
MUST_USE bool tls_session_binding(const struct tls_session *session,
                                  struct tls_binding *binding);

#endif
