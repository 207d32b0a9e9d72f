/* feedback.h - what a message that came back says of a delivery. Pure.
 *
 * Whose it is, is told by a return path that this service signed, and by
 * nothing else; what it means, by the same table as a server's reply.
 *
 * Source: docs/feedback.md; report.h, return_path.h, verdict.h.
 */
#ifndef SMTP_FEEDBACK_H
#define SMTP_FEEDBACK_H

#include "server/base/arena.h"
#include "server/base/id.h"
#include "server/base/secret.h"

#include <stdbool.h>

struct smtp_bounce_words;

/* What is looked at of a message: what a report says comes before the mail
 * that it is about. */
enum { SMTP_FEEDBACK_BYTES_MAX = 1024 * 1024 };

enum smtp_feedback_kind {
    SMTP_FEEDBACK_NO_REPORT, /* an auto-reply, or any other mail */
    SMTP_FEEDBACK_UNSIGNED,  /* no return path of ours in it */
    SMTP_FEEDBACK_NEWS,      /* a report of what is no fact yet: delayed, ... */
    SMTP_FEEDBACK_BOUNCED,
    SMTP_FEEDBACK_DELIVERED,
    SMTP_FEEDBACK_COMPLAINED,
};

/* The texts are valid UTF-8 without controls; empty: not told. */
struct smtp_feedback {
    enum smtp_feedback_kind kind;
    struct id email; /* from SMTP_FEEDBACK_NEWS on */
    unsigned number; /* of the recipient */
    unsigned code;   /* 550; 0: not told */
    struct str enhanced;
    struct str text;                        /* what the server said */
    const struct smtp_bounce_words *bounce; /* its class; NULL: is none */
    bool suppress;                          /* the address gets no more mail */
};

/* recipient: the address that the message came to, as the envelope had it;
 * empty: not known. keyring NULL: nothing is signed. Texts live in arena, or
 * are slices of message. */
void smtp_feedback_read(struct smtp_feedback *feedback,
                        const struct keyring *keyring, struct str recipient,
                        struct str message, struct arena *arena);

#endif
