/* conn.h - one session with an upstream: moves bytes, keeps the time.
 *
 * Look-up, connect, greeting (greet.h), then one transaction (txn.h) after
 * another. It knows no queue and no pool: events tell its owner what came.
 *
 * Each wait has its timer (step.h); a reply that trickles in does not
 * prolong it. All events fire from the loop, or from session_carry,
 * session_go_on and session_abandon; the owner may close the session in all
 * but may_command, data_sent, may_dot and late.
 */
#ifndef SMTP_CONN_H
#define SMTP_CONN_H

#include "server/base/list.h"
#include "server/io/loop.h"
#include "server/io/stream.h"
#include "smtp/greet.h"
#include "smtp/txn.h"
#include "smtp/upstream.h"

#include <stdbool.h>
#include <stdint.h>

struct smtp_session;
struct smtp_delivery;

/* What the owner answers when a session asks to go on. */
enum session_leave {
    SESSION_GO,
    SESSION_HOLD, /* session_go_on will come */
    SESSION_STOP, /* the mail must not be sent: as session_abandon */
};

struct session_events {
    /* It was greeted and may carry a mail. */
    void (*opened)(struct smtp_session *session);
    /* It never came so far. Close it; finding stays valid in the call. */
    void (*failed)(struct smtp_session *session,
                   const struct smtp_finding *finding);
    /* May what comes before DATA's reply be written? */
    enum session_leave (*may_command)(struct smtp_session *session);
    /* DATA was written: the mark is due in this turn. */
    void (*data_sent)(struct smtp_session *session);
    /* May the final dot be written? SESSION_GO: until dot_by_ms. */
    enum session_leave (*may_dot)(struct smtp_session *session);
    /* The dot had not left by dot_by_ms, so it never will: the mail is surely
     * unsent, without a word to settled. gone follows. */
    void (*late)(struct smtp_session *session);
    /* What became of the mail. */
    void (*settled)(struct smtp_session *session,
                    const struct smtp_finding *finding);
    /* It may carry the next mail. */
    void (*free)(struct smtp_session *session);
    /* It is of no more use; its mail, if any, was settled. Close it. */
    void (*gone)(struct smtp_session *session);
};

enum { SESSION_TRIES_MAX = 4 }; /* addresses */

enum session_phase { PHASE_CONNECT, PHASE_TLS, PHASE_AUTH, PHASE_COUNT };

/* A connect to one of the host's addresses. The one that comes through first
 * gives its stream to the session. */
struct session_try {
    struct smtp_session *session;
    struct address address;
    struct stream *stream; /* owned; NULL: not under way */
};

struct smtp_session {
    struct list link;               /* the owner's */
    int state;                      /* the owner's */
    struct smtp_delivery *delivery; /* the owner's */

    struct smtp_upstream *upstream;
    const struct session_events *events;
    struct loop *loop;
    struct dns *dns;
    struct dns_lookup *lookup; /* owned; NULL when none is under way */
    struct stream *stream;     /* owned; NULL until it is connected */
    struct reply_parser parser;
    struct timer timer;
    uint64_t sent_bytes;                         /* when the timer was set */
    struct session_try tries[SESSION_TRIES_MAX]; /* the last one goes first */
    size_t tries_left;                           /* not begun yet */

    struct greet greet;
    bool is_greeted;
    bool says_quit;    /* if it is closed now */
    bool is_carrying;  /* txn is under way */
    bool is_told;      /* settled was called for it */
    int64_t dot_by_ms; /* monotonic; 0: whenever */
    struct txn txn;
    unsigned then; /* of the ruling on it */

    int64_t began_ms;
    int64_t phase_since_ms;
    int64_t phase_ms[PHASE_COUNT];
    int64_t carry_since_ms;
    unsigned messages;       /* begun so far, this one included */
    const char *tls_version; /* "" in the clear */
    const char *tls_cipher;
    bool tls_verified;
    bool is_closed;
};

/* Begins to open one. The caller closes it, whatever comes. */
struct smtp_session *session_open(struct loop *loop, struct dns *dns,
                                  struct smtp_upstream *upstream,
                                  const struct session_events *events);
/* With a last QUIT if the server still listens. */
void session_close(struct smtp_session **session);

/* Carries a mail; envelope's bytes must live until settled. */
void session_carry(struct smtp_session *session,
                   const struct txn_envelope *envelope);
/* After SESSION_HOLD. */
void session_go_on(struct smtp_session *session);
/* Gives the mail up without a word to settled, short of the dot. The session
 * becomes free, or gone. */
void session_abandon(struct smtp_session *session);

bool session_is_dotted(const struct smtp_session *session);
/* Whether it is young enough, and has carried few enough, for one more. */
bool session_may_carry(const struct smtp_session *session);

#endif
