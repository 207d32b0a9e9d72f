/* greet.h - from the banner to the first MAIL FROM, as pure protocol.
 *
 * Banner, EHLO (or HELO), STARTTLS, AUTH. It knows no socket and no clock:
 * opening.c moves the bytes, and makes the handshake, has keys derived or a
 * token fetched when greet asks for it. A token that is refused may have been
 * too old: it asks for another one, once. With AUTH_AUTO, a mechanism that the
 * server offers and cannot do for this user is passed by for the next best
 * one, where TLS has shown who the server is.
 *
 * Source: RFC 5321 sections 3.1, 4.1.1.1; RFC 3207; RFC 4954; RFC 8314.
 */
#ifndef SMTP_GREET_H
#define SMTP_GREET_H

#include "server/base/buf.h"
#include "smtp/auth.h"
#include "smtp/ehlo.h"
#include "smtp/step.h"
#include "smtp/token.h"
#include "smtp/verdict.h"

#include <stdbool.h>

struct greet_policy {
    const char *hello_name;
    enum config_tls tls;
    enum config_auth auth;
    bool auth_in_clear;
    struct auth_login login; /* less the token */
    unsigned passed;         /* offers that did not serve once: auth_terms */
};

enum greet_state {
    GREET_GOING,
    GREET_HANDSHAKE, /* make one now, then call greet_secured */
    GREET_KEYS,      /* derive them by greet_recipe, then call
                        greet_take_keys */
    GREET_TOKEN,     /* have one fetched, other than greet_refused_token,
                        then call greet_take_token or greet_lack_token */
    GREET_READY,
    GREET_FAILED, /* finding says why */
};

struct greet {
    const struct greet_policy *policy;
    enum greet_state state;
    unsigned step;
    bool is_written;
    bool is_secured;
    bool tls_declined; /* opportunistic, and the server would not */
    bool has_banner;
    char nonce[SCRAM_NONCE_SIZE];
    struct tls_binding binding; /* length 0: there is none */
    struct auth_terms terms;
    const struct auth_mechanism *mechanism; /* NULL: no login yet */
    struct auth_login login; /* of the policy, with the token below */
    struct buf token;        /* owned, secret: during AUTH alone */
    bool is_refused;         /* a token was, and finding says how */
    struct auth_exchange auth;
    struct smtp_offers offers; /* of the last EHLO only (RFC 3207) */
    struct smtp_finding finding;
    struct buf *out; /* for answers, during greet_reply */
};

/* policy must outlive it. nonce: random text, see scram.h. */
void greet_init(struct greet *greet, const struct greet_policy *policy,
                const char *nonce);
/* One that was never begun may be zero. */
void greet_finish(struct greet *greet);

/* Adds the command that is due; often none. */
void greet_write(struct greet *greet, struct buf *out);

/* Takes the next reply and adds what is due now. False: nobody asked for it,
 * so close the session. */
MUST_USE bool greet_reply(struct greet *greet, const struct smtp_reply *reply,
                          struct buf *out);

/* Takes out of the end of a login, or of a refusal, what it quotes of the
 * login, before anybody sees it;
 * of a token, which may be quoted in part, all that could be one. masked: room
 * for that, empty, which must live as long as the reply. */
enum { GREET_MASKED_MAX = 2 * REPLY_SIZE_MAX }; /* dots for 20 bytes or more */
void greet_hide_login(const struct greet *greet, struct smtp_reply *reply,
                      struct buf *masked);

/* binding: of the channel; NULL: it has none. */
void greet_secured(struct greet *greet, const struct tls_binding *binding);

const struct scram_recipe *greet_recipe(const struct greet *greet);
void greet_take_keys(struct greet *greet, const struct scram_keys *keys,
                     struct buf *out);

/* Empty: any token will do. */
struct str greet_refused_token(const struct greet *greet);
/* token is copied. The refused one once more: the greeting has failed. */
void greet_take_token(struct greet *greet, struct str token, struct buf *out);
void greet_lack_token(struct greet *greet, const char *why);

/* Where it stands, and how long it may stay there. */
enum smtp_stage greet_stage(const struct greet *greet);
enum smtp_wait greet_wait(const struct greet *greet);

#endif
