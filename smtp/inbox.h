/* inbox.h - a capturing SMTP server: takes every mail, delivers none.
 *
 * For development and tests: it answers as a real server does (STARTTLS,
 * AUTH, PIPELINING), keeps the newest mails in memory and tells what they
 * say: subject, bodies, and the code or link in them. What is kept is
 * bounded by number and bytes; the oldest make room.
 *
 * Callbacks fire from the loop, never inside a call of this header, never
 * after inbox_close.
 *
 * Source: RFC 5321; extensions in inbox_session.h.
 */
#ifndef SMTP_INBOX_H
#define SMTP_INBOX_H

#include "server/base/error.h"
#include "server/base/str.h"
#include "smtp/inbox_view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address;
struct inbox;
struct loop;
struct tls_server;

/* Zero or NULL takes the default. Texts must outlive the inbox. */
struct inbox_options {
    const char *listen;     /* as listen_open takes it; "127.0.0.1:0" */
    const char *name;       /* in greetings; "inbox.localhost" */
    struct tls_server *tls; /* borrowed; NULL: no TLS */
    bool implicit_tls;      /* TLS from the first byte, no STARTTLS */
    const char *username;   /* NULL: any pair is accepted */
    const char *password;
    bool demands_auth;       /* before MAIL */
    size_t sessions_max;     /* 256; more are told 421 */
    size_t mail_max;         /* bytes of one mail; 40 MiB */
    size_t kept_mails_max;   /* 1000 */
    size_t kept_bytes_max;   /* 64 MiB; at least one mail_max is kept */
    int64_t idle_timeout_ms; /* 5 min (RFC 5321 section 4.5.3.2.7) */
};

/* NULL and err when it cannot listen. */
MUST_USE struct inbox *inbox_open(struct loop *loop,
                                  const struct inbox_options *options,
                                  struct error *err);
void inbox_close(struct inbox **inbox);
/* Where it listens. */
void inbox_address(const struct inbox *inbox, struct address *address);

struct inbox_mail {
    uint64_t number;     /* from 1, in order of arrival, never used again */
    int64_t at_ms;       /* Unix time */
    struct str peer;     /* address of the client */
    struct str hello;    /* its argument of EHLO or HELO */
    struct str username; /* empty: not authenticated */
    bool tls;
    bool smtputf8;
    struct str mail_from; /* empty: <> */
    const struct str *rcpt_to;
    size_t rcpt_count;
    struct str raw; /* as it came, without the stuffed dots */
};

/* What is kept. A mail is valid until the caller returns to the loop, or
 * calls inbox_clear. rcpt: one of its
 * recipients, case ignored; empty: any. NULL: there is none. */
const struct inbox_mail *inbox_newest(const struct inbox *inbox,
                                      struct str rcpt);
/* The oldest with a number above after. */
const struct inbox_mail *inbox_next(const struct inbox *inbox, struct str rcpt,
                                    uint64_t after);
size_t inbox_count(const struct inbox *inbox);
void inbox_clear(struct inbox *inbox); /* numbers go on */

/* Tells inbox_next as soon as there is one: exactly once, at once if it is
 * kept already. The handle is dead then. Patience is the caller's. */
typedef void (*inbox_fn)(void *ctx, const struct inbox_mail *mail);
struct inbox_wait;
struct inbox_wait *inbox_wait(struct inbox *inbox, struct str rcpt,
                              uint64_t after, inbox_fn fn, void *ctx);
void inbox_cancel(struct inbox_wait **wait);

#endif
