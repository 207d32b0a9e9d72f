/* inbox_session.h - the server's side of one SMTP session, pure protocol.
 *
 * Takes the bytes of a client and gives replies and events. It knows no
 * socket, no clock and no store: inbox.c moves the bytes, and a test or a
 * fuzzer can move them from memory just as well.
 *
 * A mail ends at CRLF dot CRLF and nowhere else: a bare LF or CR is content
 * (else one client's mail could smuggle another one in). Command lines end
 * in CRLF and are refused otherwise.
 *
 * Source: RFC 5321, 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531
 * (SMTPUTF8), 2034 (ENHANCEDSTATUSCODES), 3207 (STARTTLS), 4954 (AUTH).
 */
#ifndef SMTP_INBOX_SESSION_H
#define SMTP_INBOX_SESSION_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct inbox_policy {
    struct str name; /* of this server */
    size_t mail_max; /* bytes of a mail, dots unstuffed */
    bool offers_tls; /* STARTTLS */
    bool demands_auth;
    struct str username; /* empty: any pair is accepted */
    struct str password;
};

/* Lives until inbox_session_answer. */
struct inbox_envelope {
    struct str hello;
    struct str username; /* empty: not authenticated */
    bool tls;
    bool smtputf8;
    struct str mail_from; /* empty: <> */
    const struct str *rcpt_to;
    size_t rcpt_count;
};

enum inbox_event {
    INBOX_HUNGRY,    /* wants more bytes than there are */
    INBOX_ON,        /* something was done; step on */
    INBOX_MAIL,      /* a mail is complete: take it, then answer */
    INBOX_START_TLS, /* once the replies have left; then _secured */
    INBOX_CLOSE,     /* once the replies have left */
};

struct inbox_session;

/* policy must outlive it. tls: the connection is under TLS already. */
struct inbox_session *inbox_session_create(const struct inbox_policy *policy,
                                           bool tls);
void inbox_session_destroy(struct inbox_session **session);

void inbox_session_greet(struct inbox_session *session, struct buf *out);

/* Takes one command, or a piece of a mail, off the front of *rest and adds
 * the reply to out: at most INBOX_REPLY_MAX bytes. What is left in *rest is
 * to be offered again, with more behind it when INBOX_HUNGRY. */
enum { INBOX_REPLY_MAX = 1024 };
enum inbox_event inbox_session_step(struct inbox_session *session,
                                    struct str *rest, struct buf *out);

/* After INBOX_MAIL: who and what. The bytes may be taken (buf_take). */
void inbox_session_envelope(const struct inbox_session *session,
                            struct inbox_envelope *envelope);
struct buf *inbox_session_mail(struct inbox_session *session);
/* Ends the transaction. number: under which it was kept; 0: there was no
 * room for it now. */
void inbox_session_answer(struct inbox_session *session,
                          unsigned long long number, struct buf *out);

/* After INBOX_START_TLS: forgets all that was said before (RFC 3207 section
 * 4.2). */
void inbox_session_secured(struct inbox_session *session);

/* The last word to a client that was silent for too long. */
void inbox_session_time_out(struct buf *out);

/* Bytes that a command line may have, its end included; what is offered to
 * inbox_session_step must be able to hold as many. */
enum { INBOX_LINE_MAX = 12288 }; /* RFC 4954 section 4 */

#endif
