/* conn.h - one session with an upstream: moves bytes, keeps the time.
 *
 * Look-up, connect, greeting (greet.h), then one transaction (txn.h) after
 * another; the commands of the next one may follow the final dot before it is
 * answered (RFC 2920 section 3.1). It knows no queue and no pool: events tell
 * its owner what came.
 *
 * Each wait has its timer (step.h); a reply that trickles in does not
 * prolong it. All events fire from the loop, or from session_carry,
 * session_follow, session_go_on and session_abandon; the owner may close the
 * session in opened, failed, free and gone.
 */
#ifndef SMTP_CONN_H
#define SMTP_CONN_H

#include "server/base/list.h"
#include "server/io/loop.h"
#include "server/io/stream.h"
#include "smtp/greet.h"
#include "smtp/transcript.h"
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

/* A mail that a session carries. */
struct session_mail {
    struct smtp_session *session;
    struct smtp_delivery *delivery; /* the owner's */
    bool is_second;                 /* the owner's */
    struct txn txn;
    bool is_told;      /* settled was called for it, or it was given up */
    unsigned then;     /* of the ruling on it */
    unsigned number;   /* of the session's mails, from 1 */
    int64_t dot_by_ms; /* monotonic; 0: whenever. The owner's */
    uint64_t dot_at;   /* bytes that the stream sent when the dot has left */
    int64_t until_ms;  /* of use so long; monotonic, 0: for ever. The
                        * owner's, from before it is carried */
    int64_t since_ms;  /* MAIL FROM was written */
    int64_t turn_ms;   /* the mail before it had ended */
    int64_t reply_ms;  /* the last reply came; before the first: since_ms */
    int64_t phase_ms[SMTP_PHASE_COUNT];
    struct transcript transcript;
};

struct session_events {
    /* It was greeted and may carry a mail. */
    void (*opened)(struct smtp_session *session);
    /* It never came so far. Close it; finding stays valid in the call. */
    void (*failed)(struct smtp_session *session,
                   const struct smtp_finding *finding);
    /* Its recipient was; DATA goes next, or is on its way. */
    void (*accepted)(struct session_mail *mail);
    /* May its commands be written? Not asked when the mark was due. */
    enum session_leave (*may_command)(struct session_mail *mail);
    /* The dot may come soon: the mark is due in this turn. */
    void (*mark_due)(struct session_mail *mail);
    /* May the final dot be written? SESSION_GO: until dot_by_ms. */
    enum session_leave (*may_dot)(struct session_mail *mail);
    /* The dot was written, and the server takes commands behind it: the
     * moment for session_follow. */
    void (*dotted)(struct smtp_session *session);
    /* until_ms has come short of the dot. True: it was given up, as by
     * session_abandon. False: it is of use until another time. */
    bool (*overdue)(struct session_mail *mail);
    /* The dot had not left by dot_by_ms, so it never will: the mail is surely
     * unsent, without a word to settled. gone follows. */
    void (*late)(struct session_mail *mail);
    /* What became of the mail. */
    void (*settled)(struct session_mail *mail,
                    const struct smtp_finding *finding);
    /* It was to follow, and the session ends before its turn: surely unsent,
     * and no fault of its own. Without a word to settled; gone follows. */
    void (*left_over)(struct session_mail *mail);
    /* It may carry the next mail. */
    void (*free)(struct smtp_session *session);
    /* It is of no more use; its mail, if any, was settled. Close it. */
    void (*gone)(struct smtp_session *session);
};

enum { SESSION_TRIES_MAX = 4 }; /* addresses */

/* A connect to one of the host's addresses. The one that comes through first
 * gives its stream to the session. */
struct session_try {
    struct smtp_session *session;
    struct address address;
    struct stream *stream; /* owned; NULL: not under way */
};

struct smtp_session {
    struct list link; /* the owner's */
    int state;        /* the owner's */
    bool is_owing;    /* the owner's */

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
    size_t tries_count;
    size_t tries_left; /* not begun yet */

    struct greet greet;
    struct keys_job *keys_job;     /* NULL: none is under way */
    struct token_wait *token_wait; /* NULL: it waits for none */
    bool is_greeted;
    bool says_quit;            /* if it is closed now */
    struct session_mail *mail; /* whose replies come; NULL: none */
    struct session_mail *next; /* written behind its dot; NULL: none */
    struct session_mail seats[2];

    int64_t began_ms;
    int64_t phase_since_ms;
    int64_t phase_ms[SMTP_PHASE_COUNT]; /* of the opening */
    struct transcript transcript;       /* of the opening */
    struct address address;  /* of the server; len 0: none was tried */
    unsigned messages;       /* begun so far, this one included */
    const char *tls_version; /* "" in the clear */
    const char *tls_cipher;
    bool tls_verified;
    char tls_subject[256];    /* of the server's certificate */
    int64_t tls_not_after_ms; /* Unix time; 0: it showed none */
    bool is_closed;
};

/* Begins to open one. The caller closes it, whatever comes. */
struct smtp_session *session_open(struct loop *loop, struct dns *dns,
                                  struct smtp_upstream *upstream,
                                  const struct session_events *events);
/* With a last QUIT if the server still listens. */
void session_close(struct smtp_session **session);

/* The free seat, for the delivery that is carried next. */
struct session_mail *session_seat(struct smtp_session *session);
/* Carries the mail in that seat; envelope's bytes must live until settled. */
void session_carry(struct smtp_session *session,
                   const struct txn_envelope *envelope);
/* Whether the server takes such a mail: else it is for session_carry, which
 * tells why. */
bool session_may_follow(const struct smtp_session *session,
                        const struct txn_envelope *envelope);
/* The same as session_carry, during dotted, behind the dot. */
void session_follow(struct smtp_session *session,
                    const struct txn_envelope *envelope);
/* After SESSION_HOLD. */
void session_go_on(struct smtp_session *session);
/* Gives a mail up without a word to settled, short of the dot. The session
 * becomes free, or gone. */
void session_abandon(struct session_mail *mail);

/* What it waits for. */
enum smtp_stage session_stage(const struct smtp_session *session);
bool session_is_dotted(const struct smtp_session *session);
/* Whether it is young enough, and has carried few enough, for one more. */
bool session_may_carry(const struct smtp_session *session);

#endif
