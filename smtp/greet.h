/* greet.h - from the banner to the first MAIL FROM, as pure protocol.
 *
 * Banner, EHLO (or HELO), STARTTLS, AUTH. It knows no socket and no clock:
 * conn.c moves the bytes and makes the handshake when greet asks for it.
 *
 * Source: RFC 5321 sections 3.1, 4.1.1.1; RFC 3207; RFC 4954; RFC 8314.
 */
#ifndef SMTP_GREET_H
#define SMTP_GREET_H

#include "server/base/buf.h"
#include "smtp/auth.h"
#include "smtp/ehlo.h"
#include "smtp/step.h"
#include "smtp/verdict.h"

#include <stdbool.h>

struct greet_policy {
    const char *hello_name;
    enum config_tls tls;
    enum config_auth auth;
    bool auth_in_clear;
    struct auth_login login;
};

enum greet_state {
    GREET_GOING,
    GREET_HANDSHAKE, /* make one now, then call greet_secured */
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
    enum config_auth mechanism;
    unsigned challenges;
    struct smtp_offers offers; /* of the last EHLO only (RFC 3207) */
    struct smtp_finding finding;
    struct buf *out; /* for answers, during greet_reply */
};

/* policy must outlive it. */
void greet_init(struct greet *greet, const struct greet_policy *policy);

/* Adds the command that is due; often none. */
void greet_write(struct greet *greet, struct buf *out);

/* Takes the next reply and adds what is due now. False: nobody asked for it,
 * so close the session. */
MUST_USE bool greet_reply(struct greet *greet, const struct smtp_reply *reply,
                          struct buf *out);

void greet_secured(struct greet *greet);

/* Where it stands, and how long it may stay there. */
enum smtp_stage greet_stage(const struct greet *greet);
enum smtp_wait greet_wait(const struct greet *greet);

#endif
