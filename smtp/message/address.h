/* address.h - one mailbox: name@domain or Name <name@domain>.
 *
 * Parsed once; the header text and the envelope come from the same struct,
 * so they cannot differ. Stricter than the RFCs on purpose: groups, routes,
 * comments, obsolete forms, address literals and quoted local parts that
 * mean anything beyond a dot-atom are refused, since mail systems disagree
 * about them. One text is one mailbox, so a comma in an unquoted display name
 * belongs to the name.
 *
 * Source: RFC 5322 section 3.4, RFC 5321 section 4.5.3.1, RFC 6531, RFC 5891
 * and UTS 46 (non-transitional).
 */
#ifndef SMTP_MESSAGE_ADDRESS_H
#define SMTP_MESSAGE_ADDRESS_H

#include "server/base/arena.h"
#include "server/base/str.h"
#include "smtp/message/flaw.h"

#include <stdbool.h>

enum {
    ADDRESS_MAX = 254,        /* bytes of local@domain */
    ADDRESS_LOCAL_MAX = 64,   /* bytes */
    ADDRESS_DOMAIN_MAX = 253, /* bytes, as A-labels */
    ADDRESS_NAME_MAX = 320,   /* bytes of a display name */
    ADDRESS_TEXT_MAX = 4096,  /* bytes of what is parsed */
};

struct mailbox {
    struct str name;    /* without quotation marks; empty: none */
    struct str address; /* as MAIL, RCPT and the headers carry it */
    struct str local;   /* as given, case kept */
    struct str domain;  /* A-labels, lower case */
    struct str key;     /* ASCII lower case of local@A-labels: for comparing */
    bool needs_utf8;    /* the local part is not ASCII: SMTPUTF8 (RFC 6531) */
};

/* Fills box on FLAW_NONE and leaves it alone otherwise. Everything lives in
 * arena; text need not outlive the call. Linear time. */
MUST_USE enum flaw mailbox_parse(struct arena *arena, struct str text,
                                 struct mailbox *box);

/* A domain name, IDN or not, as lower case A-labels in arena. */
MUST_USE enum flaw domain_parse(struct arena *arena, struct str text,
                                struct str *domain);

#endif
