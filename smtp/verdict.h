/* verdict.h - what a failure means: the only failure policy.
 *
 * One table, read from the top, first fit holds; its rows carry the numbers
 * of the catalogue of SMTP servers' behaviour that they implement. Pure.
 */
#ifndef SMTP_VERDICT_H
#define SMTP_VERDICT_H

#include "smtp/reply.h"
#include "smtp/smtp.h"

#include <stdbool.h>

/* What went wrong where no reply tells. */
enum smtp_trouble {
    TROUBLE_NONE, /* the reply decides */
    TROUBLE_NO_NAME,
    TROUBLE_NO_DNS,
    TROUBLE_LACKING, /* of descriptors, of memory: here, not there */
    TROUBLE_REFUSED,
    TROUBLE_TIMEOUT,
    TROUBLE_LOST,
    TROUBLE_PROTOCOL,
    TROUBLE_TLS_MISSING,
    TROUBLE_TLS_INJECTED,
    TROUBLE_TLS_UNTRUSTED,
    TROUBLE_TLS_UNSHARED, /* no version or cipher in common */
    TROUBLE_TLS_FAILED,
    TROUBLE_AUTH_MISSING,
    TROUBLE_AUTH_CHALLENGE,
    TROUBLE_AUTH_TOKEN,  /* none is to be had for now */
    TROUBLE_AUTH_FORGED, /* the server does not know our password */
    TROUBLE_UTF8_MISSING,
    TROUBLE_TOO_LARGE,
    TROUBLE_BAD_MESSAGE, /* a bug of the composer: not for any wire */
};

/* What happened, and where. */
struct smtp_finding {
    enum smtp_stage stage;
    enum smtp_trouble trouble;
    bool reused; /* on a session that had carried a mail before */
    bool paired; /* the commands of one mail were behind the dot of another,
                    and this befell one of the two: txn_is_paired */
    unsigned code;
    char enhanced[REPLY_ENHANCED_SIZE];
    char text[REPLY_TEXT_MAX + 1]; /* clean, see reply_text_add */
};

void finding_of_reply(struct smtp_finding *finding, enum smtp_stage stage,
                      const struct smtp_reply *reply);
/* words: what happened; cleaned and cut as a reply's text is. */
void finding_of_trouble(struct smtp_finding *finding, enum smtp_stage stage,
                        enum smtp_trouble trouble, const char *words);

/* What follows for others than the mail itself. */
enum {
    THEN_AGAIN = 1,    /* a new session to the same upstream, no attempt */
    THEN_NEXT = 2,     /* the next upstream of the route, at once */
    THEN_BACK_OFF = 4, /* the upstream rests, for seconds */
    THEN_PAUSE = 8,    /* the upstream rests 1, 5, 15 minutes */
    THEN_ALARM = 16,   /* the operator is told */
    THEN_CLOSE = 32,   /* the session is of no more use */
    THEN_SLOW = 64,    /* the upstream wants fewer sessions */
    THEN_APART = 128,  /* nothing goes behind a dot to it any more */
    THEN_ALL = 255,
};

struct smtp_ruling {
    unsigned row; /* of the catalogue */
    enum smtp_verdict verdict;
    enum smtp_bounce bounce;
    bool suppress;
    enum smtp_pace pace;
    unsigned then;
};

struct smtp_ruling smtp_judge(const struct smtp_finding *finding);

#endif
