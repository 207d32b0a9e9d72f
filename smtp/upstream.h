/* upstream.h - one upstream as this process sees it.
 *
 * Its policies, its share of sessions, its addresses, its health, and the
 * lists that pool.c keeps: a session's state is the list that it is in.
 */
#ifndef SMTP_UPSTREAM_H
#define SMTP_UPSTREAM_H

#include "server/base/config.h"
#include "server/base/list.h"
#include "server/base/mail_class.h"
#include "server/base/metrics.h"
#include "server/io/dns.h"
#include "server/io/loop.h"
#include "server/io/tls.h"
#include "smtp/greet.h"
#include "smtp/health.h"
#include "smtp/keys.h"
#include "smtp/lag.h"
#include "smtp/quota.h"
#include "smtp/quotes.h"
#include "smtp/race.h"
#include "smtp/slowed.h"
#include "smtp/smtp.h"
#include "smtp/tokens.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SESSION_OPENING, SESSION_BUSY, SESSION_IDLE, SESSION_STATE_COUNT };

struct smtp_upstream {
    struct smtp *smtp;
    const struct config_upstream *config;
    unsigned index;
    struct tls_client *tls; /* owned; NULL when TLS is off */
    struct greet_policy policy;
    struct quotes quotes;                        /* of its login */
    struct keys keys;                            /* of its password */
    struct tokens tokens;                        /* of OAuth, if any */
    char notify[sizeof "SUCCESS,FAILURE,DELAY"]; /* of DSN; "": not asked */
    size_t share;              /* sessions that this process may have */
    size_t limit;              /* while the server wants fewer; share else */
    unsigned taken_since_slow; /* mails, to raise the limit again */

    /* Written by pool.c alone. */
    struct list sessions[SESSION_STATE_COUNT];
    size_t counts[SESSION_STATE_COUNT];
    struct list waiting[LANE_COUNT]; /* deliveries without a session */
    size_t waiting_count[LANE_COUNT];
    size_t carried[LANE_COUNT];   /* deliveries with one */
    size_t following[LANE_COUNT]; /* with one, behind another */
    size_t owing; /* busy sessions without a delivery, whose server still owes
                     replies to one */
    bool takes_pairs; /* commands behind a dot */
    bool is_serving;  /* pool_serve is at work */

    struct address source; /* to connect from; len 0: any */
    struct race race;
    struct address addresses[DNS_ADDRESSES_MAX];
    size_t address_count;
    size_t address_first; /* the one that worked last */
    int64_t addresses_until_ms;
    int64_t addresses_stale_ms; /* last resort until then */

    struct health health;
    char why[SMTP_WHY_SIZE]; /* it rests; "": it is well */
    bool is_paused;          /* by an operator */
    bool is_traced;          /* somebody watches */
    uint64_t taken;          /* mails */
    int64_t not_after_ms;    /* of the last certificate; 0: none yet */
    struct slowed_domains slowed;
    struct quota quota;
    struct timer quota_timer;
    struct task quota_task;
    struct timer rest_timer;
    struct timer patience_timer; /* of those that wait */

    struct lag lag;    /* until it accepts a recipient */
    double average_ms; /* of a mail on a session, lately; 0: not known */

    struct series *state_series[SESSION_STATE_COUNT];
    struct series *messages_series;
    struct series *pairs_series;
    struct series *spilled_series;
    struct series *up_series;
    struct series *slowed_series;
    struct series *phase_series[4]; /* connect, tls, auth, data */
};

/* False and err: the CA file cannot be read. helper must outlive it; its loop
 * is that of the upstream. */
MUST_USE bool upstream_init(struct smtp_upstream *upstream, struct smtp *smtp,
                            const struct config_upstream *config,
                            const char *hello_name, struct helper *helper,
                            struct error *err);
/* Its sessions are closed, and so is the helper. */
void upstream_finish(struct smtp_upstream *upstream);

/* max_sessions is of the whole deployment: this child's part of it. */
size_t upstream_share(int64_t max_sessions, unsigned child,
                      unsigned child_count);

bool upstream_addresses_fresh(const struct smtp_upstream *upstream);
/* Takes what a look-up found, of the family of source if that is set. False:
 * there is nothing to connect to; then trouble and words say why. A failed
 * look-up falls back on the last answer. */
MUST_USE bool upstream_take_answer(struct smtp_upstream *upstream,
                                   const struct dns_answer *answer,
                                   enum smtp_trouble *trouble,
                                   const char **words);

/* At most max addresses to try, the one to begin with last. */
size_t upstream_tries(const struct smtp_upstream *upstream,
                      struct address *tries, size_t max);
/* That one works: the next session begins with it. The losers had been tried
 * before. */
void upstream_note_address(struct smtp_upstream *upstream,
                           const struct address *address,
                           const struct address *losers, size_t loser_count);
/* None of those that a session tried came through. */
void upstream_note_unreached(struct smtp_upstream *upstream, size_t try_count);

/* Sessions that it may have in all just now, the open ones included. */
size_t upstream_capacity(const struct smtp_upstream *upstream);
/* How many sessions lanes 2 and 3 leave to the others. */
size_t upstream_reserve(const struct smtp_upstream *upstream);
/* Deliveries that may be handed in for that lane. */
size_t upstream_room(const struct smtp_upstream *upstream, unsigned lane);
/* The most that upstream_room may have said a moment ago, when the upstream
 * was faster: what was claimed for that room may wait there. */
size_t upstream_room_once(const struct smtp_upstream *upstream, unsigned lane);

size_t upstream_session_count(const struct smtp_upstream *upstream);
void upstream_look(const struct smtp_upstream *upstream,
                   struct smtp_upstream_view *out);
/* What makes it rest; empty: it is well. */
void upstream_note_why(struct smtp_upstream *upstream, struct str why);
/* A greeting came to its end: what it passed by to log in, others shall not
 * try any more. */
void upstream_note_login(struct smtp_upstream *upstream,
                         const struct greet *greet);
/* The server wants fewer sessions than are open. */
void upstream_slow_down(struct smtp_upstream *upstream);
/* Whether the commands of another mail may go behind a dot to it: they were
 * never taken amiss, and it answers too soon for them to be stuck there. */
bool upstream_takes_pairs(const struct smtp_upstream *upstream);
/* Mails wait, and no session comes free. */
void upstream_note_halt(struct smtp_upstream *upstream);
/* A mail was taken, after so long on its session. */
void upstream_note_taken(struct smtp_upstream *upstream, int64_t ms);

#endif
