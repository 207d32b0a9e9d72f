/* report.h - what came back of a mail: a delivery report or a complaint. Pure.
 *
 * Reads one message. A delivery report is a multipart/report with a
 * message/delivery-status, a complaint one with a message/feedback-report;
 * anything else, an auto-reply for one, is no report. It believes nothing: who
 * sent it, and whether it is of one of our mails, is for others to say.
 *
 * Linear in the message, of which REPORT_BYTES_MAX are looked at: what a report
 * says comes before the mail that it is about. No part inside of a part is
 * read.
 *
 * Source: RFC 3462 (multipart/report), RFC 3464 and 6533 (delivery status),
 * RFC 5965 (feedback).
 */
#ifndef SMTP_REPORT_H
#define SMTP_REPORT_H

#include "server/base/arena.h"
#include "server/base/str.h"

#include <stddef.h>

enum {
    REPORT_BYTES_MAX = 1024 * 1024,
    REPORT_RECIPIENTS_MAX = 20,
    REPORT_ADDRESSES_MAX = 8,
};

enum report_kind { REPORT_NONE, REPORT_DELIVERY, REPORT_FEEDBACK };

enum report_action {
    REPORT_FAILED,
    REPORT_DELAYED,
    REPORT_DELIVERED,
    REPORT_RELAYED,
    REPORT_EXPANDED,
    REPORT_ACTION_UNKNOWN,
};

/* Of one recipient. Texts are valid UTF-8 without controls; empty: not told. */
struct report_recipient {
    enum report_action action;
    struct str status;     /* "5.1.1" */
    struct str diagnostic; /* without its type: "550 5.1.1 no such user" */
};

struct report {
    enum report_kind kind;
    struct report_recipient recipients[REPORT_RECIPIENTS_MAX];
    size_t recipient_count;
    struct str feedback_type; /* "abuse" */
    /* Addresses that may be the return path of the mail, as they stand there,
     * the likeliest first. */
    struct str addresses[REPORT_ADDRESSES_MAX];
    size_t address_count;
};

/* Texts live in arena, or are slices of message. */
void report_read(struct report *report, struct str message,
                 struct arena *arena);

#endif
