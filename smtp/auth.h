/* auth.h - logging in by SASL, as pure protocol: which mechanism, and what to
 * say.
 *
 * A mechanism is a row of a table in auth.c. An exchange is one AUTH command
 * and the answers to the challenges behind it.
 *
 * Source: RFC 4954 (AUTH), 4616 (PLAIN), 2195 (CRAM-MD5), 5802 and 7677
 * (SCRAM), 7628 (OAUTHBEARER); LOGIN is draft-murchison-sasl-login, XOAUTH2
 * what Google's and Microsoft's manuals say of it.
 */
#ifndef SMTP_AUTH_H
#define SMTP_AUTH_H

#include "server/base/buf.h"
#include "server/base/config.h"
#include "smtp/scram.h"

#include <stdbool.h>

struct auth_login {
    struct str username;
    struct str password;
    bool has_token;   /* an OAuth token is to be had */
    struct str token; /* it; before auth_begin it may be missing */
    struct str host;  /* of the server, for OAUTHBEARER; so is port */
    unsigned port;
};

/* Adds name and password as PLAIN says them, before base64. */
void auth_add_pair(const struct auth_login *login, struct buf *out);

/* A row of the table. */
struct auth_mechanism;
const char *auth_name(const struct auth_mechanism *mechanism);
bool auth_needs_token(const struct auth_mechanism *mechanism);

struct auth_terms {
    enum config_auth wanted;
    unsigned offered; /* OFFERS_ bits of ehlo.h */
    unsigned passed;  /* those of them that are passed by */
    bool may_show;    /* the password, or the token, may be shown: TLS, or
                         auth_in_clear */
    bool has_binding; /* of the channel, for -PLUS */
};

/* The mechanism to use; NULL when none may be. */
const struct auth_mechanism *auth_choose(const struct auth_terms *terms,
                                         const struct auth_login *login);

/* Of SASLprep nothing is built here, so SCRAM is for names and passwords that
 * it leaves as they are: those of printable ASCII (RFC 4013 section 2). */
bool auth_fits_scram(const struct auth_login *login);

enum {
    AUTH_STATUS_SIZE = 64,
    AUTH_LINES_MAX = 2, /* that say anything: LOGIN, SCRAM */
    AUTH_HEAD = 4,      /* base64 comes by fours */
};

struct auth_exchange {
    const struct auth_mechanism *mechanism;
    const struct auth_login *login;
    bool owes_first;     /* it did not fit into the command */
    bool is_proved;      /* or never had to be */
    unsigned challenges; /* behind the first response */
    const char *why;     /* of AUTH_STUCK */
    /* Of the JSON with which a server says no to a token, clean; "": it said
     * none. */
    char status[AUTH_STATUS_SIZE];
    char heads[AUTH_LINES_MAX][AUTH_HEAD]; /* of what was said, in base64 */
    unsigned head_count;
    struct scram scram;
};

/* Adds the AUTH command, with the first response if it is short. login must
 * outlive the exchange; binding: NULL if there is none; nonce: random text, see
 * scram.h. Begins anew what was begun before. */
void auth_begin(struct auth_exchange *exchange,
                const struct auth_mechanism *mechanism,
                const struct auth_terms *terms, const struct auth_login *login,
                const struct tls_binding *binding, const char *nonce,
                struct buf *out);
/* One that was never begun may be zero. */
void auth_finish(struct auth_exchange *exchange);

enum auth_turn {
    AUTH_ANSWERED,
    AUTH_NEEDS_KEYS, /* derive those of exchange->scram.recipe, then call
                        auth_take_keys */
    AUTH_STUCK,      /* there is no answer: exchange->why, in words */
    AUTH_FORGED,     /* the server does not know the password */
};
/* Takes a challenge as it stands in the 334, and adds the answer. */
enum auth_turn auth_answer(struct auth_exchange *exchange, struct str challenge,
                           struct buf *out);
void auth_take_keys(struct auth_exchange *exchange,
                    const struct scram_keys *keys, struct buf *out);

/* Whether a refusal that comes now says that the server cannot do it for this
 * user, rather than that the password is wrong: SCRAM, before its challenge. */
bool auth_is_unfit(const struct auth_exchange *exchange);
/* What must be offered for it: an OFFERS_ bit. */
unsigned auth_offer(const struct auth_mechanism *mechanism);

/* Whether a 235 may be believed: where the mechanism lets the server prove
 * that it knows the password, it did. */
bool auth_may_end(const struct auth_exchange *exchange);

/* Whether a server's words hold the password, or the head of anything that was
 * said in its place: a quote may be cut short. Of a token: never. */
bool auth_is_quoted(const struct auth_exchange *exchange, struct str words);

#endif
