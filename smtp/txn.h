/* txn.h - one mail transaction, as pure protocol.
 *
 * Turns an envelope into SMTP commands, and SMTP replies into what happened.
 * It knows no socket, no clock and no queue: conn.c moves the bytes, and a
 * test or a fuzzer can move them from memory just as well.
 *
 * One recipient a transaction. The message goes in one of three ways:
 *
 *   DATA           behind its reply, with a final dot
 *   BDAT n         all of it, once the recipient was accepted; then, once that
 *   BDAT 0 LAST    was, the commit
 *   BDAT n LAST    all of a small one at once, without a word about the
 *                  recipient if the server pipelines
 *
 * What commits it, the dot or the LAST chunk, is called the dot here, and it
 * waits for txn_allow_dot.
 *
 * Source: RFC 5321 section 4.1.1 (commands), RFC 2920 (pipelining),
 * RFC 1870 (SIZE), RFC 6531 (SMTPUTF8), RFC 3461 (DSN), RFC 2852 (DELIVERBY),
 * RFC 3030 (CHUNKING).
 */
#ifndef SMTP_TXN_H
#define SMTP_TXN_H

#include "server/base/buf.h"
#include "smtp/ehlo.h"
#include "smtp/message/message.h"
#include "smtp/step.h"
#include "smtp/transcript.h"
#include "smtp/verdict.h"

#include <stdbool.h>
#include <stddef.h>

enum { TXN_ONE_CHUNK_MAX = 32 * 1024 }; /* bytes of message */

enum txn_way { TXN_DATA, TXN_CHUNKS, TXN_ONE_CHUNK };

struct txn_envelope {
    struct str id;        /* whose reply is read: server/base/hand.h */
    struct str mail_from; /* empty: <> */
    struct str rcpt_to;
    bool needs_smtputf8;
    struct octets message;
    struct str notify; /* "FAILURE,DELAY", for DSN; empty: the server's way */
    unsigned by_s;     /* until its deadline, for DELIVERBY; 0: it has none */
    enum config_chunking chunking;
    bool is_hedged; /* nothing of the message goes before its recipient is
                       accepted: another server may be given it */
};

struct txn {
    struct txn_envelope envelope;
    const struct smtp_offers *offers;
    struct transcript *transcript; /* set behind txn_init; NULL: none */
    enum txn_way way;
    unsigned sent;   /* steps whose command was written */
    unsigned read;   /* steps whose reply was read */
    bool is_decided; /* finding holds the outcome */
    bool is_abandoned;
    bool mail_accepted;
    bool rcpt_accepted;
    bool mark_is_due;   /* the dot may come soon: DATA was written, or BDAT,
                         * or what BDAT n LAST follows */
    bool data_open;     /* 354 came: only a dot or a close ends it */
    bool owes_lone_dot; /* 354 came behind a refused recipient */
    bool may_dot;
    bool is_dotted; /* the dot was written */
    bool follows;   /* written behind another's dot */
    bool is_followed;
    bool must_close;
    size_t body_at; /* bytes of message written */
    struct smtp_finding finding;
};

/* What the mail needs and the server lacks; TROUBLE_NONE: nothing. */
enum smtp_trouble txn_lack(const struct txn_envelope *envelope,
                           const struct smtp_offers *offers);

/* envelope's bytes and offers must outlive it. It may be decided at once,
 * with nothing to write: txn_lack. */
void txn_init(struct txn *txn, const struct txn_envelope *envelope,
              const struct smtp_offers *offers);

/* Adds what may be sent now, a long message in pieces: stops once out holds
 * about out_max bytes. */
void txn_write(struct txn *txn, struct buf *out, size_t out_max);

/* More of the message could be written if out had room. */
bool txn_has_more(const struct txn *txn);

/* The message is out but for its final dot, which may not go yet. */
bool txn_awaits_dot(const struct txn *txn);
void txn_allow_dot(struct txn *txn);

/* Gives it up, short of the dot. The session goes on, with RSET, unless a
 * message is under way, or 354 is the answer to a DATA that was sent. The
 * envelope is not looked at any more. */
void txn_abandon(struct txn *txn);
/* The same behind a dot that was written and never left. */
void txn_take_back_dot(struct txn *txn);
/* A reply has come, and the dot that was written has not left: if it is the
 * one to the message, it is taken for one that came before the dot. */
void txn_answer_early(struct txn *txn);

/* All that was sent is answered, and the next command of the envelope is due:
 * no reply can be under way. */
bool txn_awaits_command(const struct txn *txn);

/* Whether the commands of another one may go behind its dot: not behind a
 * chunk, since a refused one leaves a transaction that RSET alone ends
 * (RFC 3030 section 2). */
bool txn_may_be_followed(const struct txn *txn);
/* txn, which was just begun, is written behind the dot of before. Replies go
 * to before until it is over, then to txn; if before must close the session,
 * txn came to nothing. A refused dot is not followed by RSET then: what
 * answers the dot ends the transaction (RFC 5321 section 4.1.1.4). */
void txn_follow(struct txn *txn, struct txn *before);
/* Whether what befalls it now may be due to the commands behind its dot, or
 * to its own behind another's. */
bool txn_is_paired(const struct txn *txn);

/* Takes the next reply. False: nobody asked for it, so close the session. */
MUST_USE bool txn_reply(struct txn *txn, const struct smtp_reply *reply);

/* Decided, and no reply is due: the outcome may be told. */
bool txn_is_settled(const struct txn *txn);
/* Settled, and the session may carry the next one (or should be closed). */
bool txn_is_over(const struct txn *txn);

/* Where it stands: the step whose reply is awaited. */
enum smtp_stage txn_stage(const struct txn *txn);
enum smtp_wait txn_wait(const struct txn *txn);

#endif
