/* smtp.h - the door to the delivery engine.
 *
 * Takes one delivery (one recipient, one message) at a time, brings it to an
 * upstream of its route over a pooled session, and tells what became of it.
 * It knows no queue: the worker claims, marks and reports.
 *
 * Every callback fires from the loop, never inside a call into this door,
 * and never after smtp_close.
 *
 * Source: RFC 5321, 2920 (pipelining), 3207 (STARTTLS), 4954 (AUTH), 8314,
 * 6531 (SMTPUTF8); docs of failures: verdict.c.
 */
#ifndef SMTP_SMTP_H
#define SMTP_SMTP_H

#include "server/base/config.h"
#include "server/base/error.h"
#include "server/base/list.h"
#include "server/base/str.h"
#include "smtp/feedback.h"
#include "smtp/inbox.h"
#include "smtp/message/message.h"
#include "smtp/retry.h"
#include "smtp/return_path.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct dns;

/* --- which route: pure, on the configuration alone (api uses it too) --- */

struct smtp_tag {
    struct str name;
    struct str value;
};

struct smtp_route_query {
    enum mail_class mail_class;
    struct str from_domain; /* of the header From, any case, A-labels */
    struct str to_domain;
    const struct smtp_tag *tags;
    size_t tag_count;
};

/* The first route whose matchers all fit; its name and its final flag are
 * members. NULL: none fits. A domain matcher is the domain, or "*.domain"
 * for everything below it; a tag matcher is a tag's name, or "name=value". */
const struct config_route *
smtp_route_find(const struct config *config,
                const struct smtp_route_query *query);

/* A mail as it is stored: mailboxes as its caller wrote them. */
struct smtp_route_mail {
    enum mail_class mail_class;
    struct str from;
    struct str to;
    struct str tags_json; /* [{"name":..,"value":..}] or empty */
};
const struct config_route *smtp_route_for(const struct config *config,
                                          const struct smtp_route_mail *mail);

/* --- what became of a delivery --- */

enum smtp_verdict {
    SMTP_SENT,    /* the server took responsibility */
    SMTP_SOFT,    /* refused for now: an attempt, try again by the plan */
    SMTP_HARD,    /* refused for good */
    SMTP_UNSENT,  /* certainly not sent, and no attempt: back to the queue */
    SMTP_UNKNOWN, /* lost behind the final dot: may have been delivered */
};

/* Why a delivery came back SMTP_UNSENT. */
enum smtp_unsent {
    SMTP_UNSENT_NONE,     /* the verdict is another one */
    SMTP_UNSENT_DEADLINE, /* it passed before the dot: the mail is expired */
    SMTP_UNSENT_MARK,     /* the mark was refused, or its time ran out with
                             the dot written but not away */
    SMTP_UNSENT_STOPPED,  /* smtp_stop or smtp_cancel */
    SMTP_UNSENT_ROOM,     /* no upstream of the route is free or well */
    SMTP_UNSENT_DOMAIN,   /* its domain wants fewer at a time: see hold_ms */
    SMTP_UNSENT_ALARM,    /* the operator is asked: see alarm in the result */
};

/* Where it was decided, in the order of a session. */
enum smtp_stage {
    SMTP_STAGE_NONE, /* before any upstream was asked */
    SMTP_STAGE_DNS,
    SMTP_STAGE_CONNECT,
    SMTP_STAGE_BANNER,
    SMTP_STAGE_EHLO,
    SMTP_STAGE_STARTTLS,
    SMTP_STAGE_TLS, /* the handshake */
    SMTP_STAGE_AUTH,
    SMTP_STAGE_MAIL,
    SMTP_STAGE_RCPT,
    SMTP_STAGE_DATA,
    SMTP_STAGE_BODY, /* before the dot */
    SMTP_STAGE_DOT,
    SMTP_STAGE_COUNT
};
const char *smtp_stage_name(enum smtp_stage stage); /* "RCPT TO" ... */

/* Where the time of a try went. */
enum smtp_phase {
    SMTP_PHASE_CONNECT, /* DNS, TCP, banner and EHLO */
    SMTP_PHASE_TLS,
    SMTP_PHASE_AUTH,
    SMTP_PHASE_MAIL, /* the first one of the mail, not of the session */
    SMTP_PHASE_RCPT,
    SMTP_PHASE_DATA,
    SMTP_PHASE_DOT, /* the message and its dot, until that is answered */
    SMTP_PHASE_COUNT
};

/* The 12 classes of failures. */
enum smtp_bounce {
    SMTP_BOUNCE_NONE,
    SMTP_BOUNCE_INVALID_RECIPIENT,
    SMTP_BOUNCE_INACTIVE,
    SMTP_BOUNCE_MAILBOX_FULL,
    SMTP_BOUNCE_RATE_LIMITED,
    SMTP_BOUNCE_REPUTATION,
    SMTP_BOUNCE_CONTENT,
    SMTP_BOUNCE_AUTH_POLICY,
    SMTP_BOUNCE_DNS,
    SMTP_BOUNCE_CONNECTION,
    SMTP_BOUNCE_TOO_LARGE,
    SMTP_BOUNCE_PROTOCOL,
    SMTP_BOUNCE_UNKNOWN,
    SMTP_BOUNCE_COUNT
};

struct smtp_bounce_words {
    const char *name;    /* ours: "invalid_recipient" */
    const char *type;    /* Resend's: "Permanent", "Transient" ... */
    const char *subtype; /* Resend's: "NoEmail", "MailboxFull" ... */
};
const struct smtp_bounce_words *smtp_bounce_words(enum smtp_bounce bounce);

/* Valid during on_done only, the texts too. Texts are never NULL. */
struct smtp_result {
    enum smtp_verdict verdict;
    enum smtp_unsent unsent;
    enum smtp_stage stage;
    unsigned code;           /* 250, 550 ...; 0: no reply decided it */
    const char *enhanced;    /* "5.1.1"; "" when the reply has none */
    const char *text;        /* the reply, or what went wrong: valid UTF-8
                                without controls, at most 1 KiB */
    const char *upstream;    /* its name; "" when none was asked */
    const char *host;        /* its host name */
    const char *tls_version; /* "TLSv1.3"; "" in clear */
    const char *tls_cipher;
    bool tls_verified; /* chain and name are good */
    enum smtp_bounce bounce;
    bool suppress; /* the address is bad, not the mail: keep it off */
    enum smtp_pace pace;
    int64_t hold_ms; /* SMTP_UNSENT_DOMAIN: for how long it shall wait */
    bool alarm;      /* trouble of configuration or upstream, logged as such */
    bool reused;     /* the session had carried a mail before */
    const char *address;      /* of the server: "192.0.2.1"; "" not known */
    const char *tls_subject;  /* of its certificate; "" when there is none */
    int64_t tls_not_after_ms; /* of that; Unix time, 0: none */
    int64_t started_ms;       /* Unix time: the mail, or the session that was
                                 to carry it, began */
    unsigned data_ms;         /* from MAIL FROM to the last reply */
    unsigned phase_ms[SMTP_PHASE_COUNT]; /* those of the opening are 0 on a
                                            reused session */
    struct str transcript; /* transcript.h; empty: it is not to be kept
                              (privacy.transcripts) */
    const struct smtp_result *before; /* what other upstreams did with it, the
                                         last one first; NULL: none did */
    const char *hedge_upstream; /* that was offered the mail too, since the
                                   first was slow; "": none */
};

/* --- what an operator sees of an upstream --- */

enum smtp_health {
    SMTP_HEALTH_UP,      /* the best one first */
    SMTP_HEALTH_PROBING, /* rested, and nobody has come through yet */
    SMTP_HEALTH_RESTING, /* failures let it rest for seconds */
    SMTP_HEALTH_ALARM,   /* an operator must mend something */
    SMTP_HEALTH_COUNT
};
const char *smtp_health_name(enum smtp_health health); /* "up" ... */

/* Mails that the rate of an upstream has room for, of lanes 0 and 1, and of
 * the others. */
enum smtp_quota_kind { SMTP_QUOTA_URGENT, SMTP_QUOTA_OTHER, SMTP_QUOTA_KINDS };

struct smtp_quota_ask {
    size_t wanted[SMTP_QUOTA_KINDS]; /* both 0: to give back only */
    size_t back;                     /* of the last grant, unused */
    int64_t stamp;                   /* that it had */
};

/* Times are monotonic. */
struct smtp_quota_grant {
    size_t tokens[SMTP_QUOTA_KINDS]; /* that replace what was left */
    int64_t until_ms;                /* they may be used until then */
    int64_t stamp;                   /* comes back with them; any number */
    int64_t used_up_until_ms[SMTP_QUOTA_KINDS]; /* past: more is to be had */
};

enum { SMTP_WHY_SIZE = 256 };

/* As this process sees it. */
struct smtp_upstream_view {
    enum smtp_health health;
    char why[SMTP_WHY_SIZE]; /* what it suffered last; "": it is up */
    size_t sessions;         /* open ones, and those about to open */
    size_t busy;             /* of them */
    size_t limit;            /* sessions that it may have now, ... */
    size_t share;            /* ... and when the server minds no number */
    size_t waiting;          /* deliveries that have no session yet */
    size_t slowed_domains;   /* of recipients, that want fewer at a time */
    uint64_t taken;          /* mails, since the engine was opened */
    int64_t not_after_ms;    /* Unix time: its certificate, as it was last
                                shown; 0: none was */
};

/* --- the engine --- */

struct smtp;
struct smtp_route;

struct smtp_settings {
    unsigned child;             /* index among the children of a supervisor */
    unsigned child_count;       /* they divide max_sessions, from 1, until
                                   smtp_upstream_share says more */
    const char *hello_name;     /* for EHLO; NULL: this host's */
    void (*on_room)(void *ctx); /* there may be room again: at most once a
                                   turn, after a delivery ended or an upstream
                                   came back; NULL: nobody asks */
    /* Mails wait for an upstream with a rate: smtp_upstream_grant is the
     * answer, which must come. NULL: rates do not count. */
    void (*on_quota)(void *ctx, size_t upstream,
                     const struct smtp_quota_ask *ask);
    /* An upstream that is traced did something with a delivery, or no session
     * could be opened (id is empty then): result is as for on_done, with a
     * transcript. Not called if nothing is traced; may be NULL then. */
    void (*on_trace)(void *ctx, size_t upstream, struct str id,
                     const struct smtp_result *result);
    void *ctx;
};

/* The config key of the authorities, the certificate or the key that an
 * upstream names and that cannot be used; err: which file, and why. NULL: all
 * can. */
const char *smtp_tls_misfit(const struct config_upstream *config,
                            struct error *err);

/* config must outlive it. NULL and err: a CA file that cannot be read. */
MUST_USE struct smtp *smtp_open(struct loop *loop, struct dns *dns,
                                const struct config *config,
                                const struct smtp_settings *settings,
                                struct error *err);
/* Closes all sessions at once. Deliveries in hand get no callback; they must
 * be there until it returns. Not from inside a callback. */
void smtp_close(struct smtp **smtp);

/* Graceful: what is not marked comes back SMTP_UNSENT, and so does within ten
 * seconds what is marked and has no dot yet; what is behind its dot goes on to
 * its end, sessions end, no delivery is taken any more. */
void smtp_stop(struct smtp *smtp);
/* Deliveries whose on_done has not fired. */
size_t smtp_in_hand(const struct smtp *smtp);

/* NULL: the configuration has no route of that name. */
struct smtp_route *smtp_route_named(struct smtp *smtp, struct str name);

/* index: that of the upstream in the configuration. */
void smtp_upstream_look(const struct smtp *smtp, size_t index,
                        struct smtp_upstream_view *out);
/* A paused one begins no transaction and keeps no session: what waits for it
 * goes to another upstream, or comes back SMTP_UNSENT; transactions that have
 * begun go on to their end. None is paused when the engine opens. */
void smtp_upstream_pause(struct smtp *smtp, size_t index, bool is_paused);
/* How many sessions it may have from now on: this process' part of
 * max_sessions. Those above it end as soon as they carry nothing. */
void smtp_upstream_share(struct smtp *smtp, size_t index, size_t sessions);
/* Opens a session beside all others, logs in, and quits, whether the upstream
 * is paused, rests or is full: after SMTP_TEST_MAX_MS at the latest done is
 * called, unless the engine is closed before. The verdict is SMTP_SENT if the
 * session could have carried a mail; there is always a transcript. */
enum { SMTP_TEST_MAX_MS = 20 * 1000 };
typedef void (*smtp_test_fn)(void *ctx, const struct smtp_result *result);
void smtp_upstream_test(struct smtp *smtp, size_t index, smtp_test_fn done,
                        void *ctx);
/* on_trace is called, or not any more. */
void smtp_upstream_trace(struct smtp *smtp, size_t index, bool is_traced);
/* The answer to on_quota, not from inside it. What finds no token goes to
 * another upstream, or comes back SMTP_UNSENT. */
void smtp_upstream_grant(struct smtp *smtp, size_t index,
                         const struct smtp_quota_grant *grant);

/* How many deliveries of that lane may be handed in now. Each upstream keeps
 * a quarter of its sessions, at least one, for lanes 0 and 1. Fast upstreams
 * are given a few more than they have free sessions: these wait at most some
 * 50 ms. 0 while all upstreams of the route are full or backing off. */
size_t smtp_room(struct smtp *smtp, const struct smtp_route *route,
                 unsigned lane);

/* One delivery: memory of the caller, who zeroes it, fills the first part
 * and keeps it and all it points at until on_done has been called (it may be
 * freed or used again inside on_done). */
struct smtp_delivery {
    struct str id;             /* for logs */
    struct str mail_from;      /* empty: <> */
    struct str rcpt_to;        /* A-label domains; local part may be UTF-8 */
    struct str secret_subject; /* its codes are hidden in the server's replies
                                  (base/mask.h); empty: nothing is secret */
    bool needs_smtputf8;
    struct octets message; /* headers and body, lines end in CRLF; this engine
                              stuffs the dots */
    struct smtp_route *route;
    unsigned lane;
    bool may_hedge;      /* a second upstream may be offered the mail, while the
                            first is slow to accept its recipient; one gets it */
    int64_t deadline_ms; /* Unix time; 0: none */

    /* DATA leaves in this turn: send the mark now. Again if the dot is due
     * when the time of the last answer has run out. The answer is brought by
     * smtp_delivery_marked, not from inside. */
    void (*on_mark)(void *ctx);
    /* Exactly once, and not between on_mark and its answer. */
    void (*on_done)(void *ctx, const struct smtp_result *result);
    void *ctx;

    /* From here on the engine's own. */
    struct list link; /* of the list that stands for what it waits for */
    struct smtp *smtp;
    struct session_mail *mail;      /* of a session; NULL: on none */
    struct smtp_upstream *upstream; /* that it was given to; NULL: none */
    uint64_t tried;                 /* upstreams that failed it: a bit each */
    enum { MARK_NONE, MARK_ASKED, MARK_YES, MARK_NO } mark;
    int64_t mark_until_ms;
    int64_t waiting_since_ms;
    bool is_ended;
    enum smtp_unsent unsent;
    int64_t hold_ms;
    struct slowed *slowed;        /* its domain, at that upstream; or NULL */
    struct smtp_outcome *outcome; /* what the last upstream did with it */
    struct hedge *hedge;          /* no upstream may have its message yet */
    struct smtp_upstream *second; /* that was offered it too; NULL: none */
};

void smtp_deliver(struct smtp *smtp, struct smtp_delivery *delivery);

/* The answer to on_mark, which must come: in the end, with no. The dot is
 * handed to the system only while the monotonic clock is below
 * valid_until_ms (half a lease after the mark was sent). */
void smtp_delivery_marked(struct smtp_delivery *delivery, bool may_go,
                          int64_t valid_until_ms);

/* Back as SMTP_UNSENT unless it is marked already: false then, and the
 * delivery goes on. */
bool smtp_cancel(struct smtp_delivery *delivery);

#endif
