/* engine.h - the state behind the door, shared by smtp.c, delivery.c, hedge.c,
 * pool.c, aftermath.c and inspect.c.
 *
 * A delivery is always in exactly one list, which says what it waits for:
 *   fresh       for an upstream
 *   waiting     of an upstream, for a session
 *   active      for its session to carry it
 *   answered    for its session to go on, its mark being answered
 *   unanswered  it has ended, but for the answer to its mark
 *   ended       for its on_done
 * Calls through the door only move deliveries between these; the task at the
 * end of the turn does the rest, so no callback fires from inside a call.
 */
#ifndef SMTP_ENGINE_H
#define SMTP_ENGINE_H

#include "server/io/loop.h"
#include "smtp/conn.h"
#include "smtp/smtp.h"
#include "smtp/upstream.h"

#include <stdbool.h>
#include <stddef.h>

enum { UPSTREAMS_MAX = CONFIG_UPSTREAMS_MAX };
_Static_assert(UPSTREAMS_MAX <= 64, "smtp_delivery.tried has a bit for each");

struct smtp_route {
    struct smtp *smtp;
    const struct config_route *config;
    struct smtp_upstream **upstreams; /* owned array of others' upstreams */
    size_t count;
    unsigned hedge_credit; /* hundredths of a mail that may be hedged */
};

struct smtp {
    struct loop *loop;
    struct dns *dns;
    const struct config *config;
    char *hello_name; /* owned */
    struct helper helper;
    struct smtp_upstream *upstreams; /* owned array */
    size_t upstream_count;
    struct smtp_route *routes; /* owned array */
    size_t route_count;

    struct list fresh;
    struct list active;
    struct list answered;
    struct list unanswered;
    struct list ended;
    struct list hedges; /* whose choice is open */
    struct list losers; /* whose twin is to leave its upstream */
    size_t in_hand;     /* in any list */
    struct task task;

    void (*on_room)(void *ctx);
    void (*on_quota)(void *ctx, size_t upstream,
                     const struct smtp_quota_ask *ask);
    void (*on_trace)(void *ctx, size_t upstream, struct str id,
                     const struct smtp_result *result);
    void *ctx;
    struct task room_task;
    struct list probes;    /* of tests: inspect.c */
    struct timer undotted; /* set while it stops: smtp_stop */
    bool is_stopping;
};

/* --- delivery.c: where a delivery goes, and how it ends --- */

/* Gives it to an upstream of its route, or ends it. */
void delivery_place(struct smtp_delivery *delivery);
/* The upstream that it would be given to; NULL: none. */
struct smtp_upstream *delivery_next(struct smtp_delivery *delivery);
/* What befell it at an upstream: takes it to the next one, or ends it. It is
 * with no upstream any more. mail: of the session, that it was; NULL: none,
 * the session's failure befell it. */
void delivery_take(struct smtp_delivery *delivery,
                   const struct smtp_session *session,
                   const struct session_mail *mail,
                   const struct smtp_finding *finding);
/* Ends it as SMTP_UNSENT. It is with no upstream any more. */
void delivery_return(struct smtp_delivery *delivery, enum smtp_unsent unsent);
/* Calls on_done for one that has ended. */
void delivery_tell(struct smtp_delivery *delivery);
/* The engine closes: no more callback for those in that list. */
void delivery_forget_all(struct list *list);
/* Why its dot, or a command before, must not go now; SMTP_UNSENT_NONE: it
 * may. */
enum smtp_unsent delivery_hurdle(const struct smtp_delivery *delivery);
/* Its deadline by the monotonic clock; 0: it has none. */
int64_t delivery_until_ms(const struct smtp_delivery *delivery);

/* --- hedge.c: a second upstream beside one that is slow --- */

/* It is about to be given to that upstream: its message waits for the choice,
 * if a second one may be asked. */
void hedge_begin(struct smtp_delivery *delivery,
                 const struct smtp_upstream *first);
/* That one's recipient was accepted: its session gets the message. */
void hedge_choose(struct smtp_delivery *delivery);
/* That one is with no upstream any more. True: the other one of the two goes
 * on for both, or it had lost already. */
bool hedge_leave(struct smtp_delivery *delivery);
/* That one is with no upstream any more, and its end is that of both: returns
 * the owner's delivery, which is with no upstream. NULL: it had lost. */
struct smtp_delivery *hedge_end(struct smtp_delivery *delivery);
/* Another one has the message. */
bool hedge_has_lost(const struct smtp_delivery *delivery);
/* Of a delivery, or of its twin; NULL: it has lost. */
struct smtp_delivery *hedge_owner(struct smtp_delivery *delivery);
/* It has ended: for the route's credit, and the operator. */
void hedge_count(const struct smtp_delivery *delivery,
                 const struct smtp_result *result);
/* At the end of a turn. */
void hedge_let_losers_go(struct smtp *smtp);
/* No second upstream is asked any more, and none that was is waited for. */
void hedge_stop(struct smtp *smtp);
/* Behind that. */
void hedge_close(struct smtp *smtp);

/* --- pool.c: the sessions of an upstream --- */

void pool_init(struct smtp_upstream *upstream);
/* Takes a delivery that fits upstream_room_once. */
void pool_add(struct smtp_upstream *upstream, struct smtp_delivery *delivery);
/* Takes it off its upstream; a session that carries it goes on without. */
void pool_remove(struct smtp_delivery *delivery);
/* Lets the session that carries it go on: its mark was answered. */
void pool_go_on(struct smtp_delivery *delivery);
/* Matches deliveries and sessions anew. */
void pool_serve(struct smtp_upstream *upstream);
/* Tokens came, or the word that there are none. */
void pool_grant(struct smtp_upstream *upstream,
                const struct smtp_quota_grant *grant);
/* Its part of max_sessions is another one. */
void pool_set_share(struct smtp_upstream *upstream, size_t share);
/* No mail is to come: what waits was given back. */
void pool_stop(struct smtp_upstream *upstream);
void pool_close_idle(struct smtp_upstream *upstream);
void pool_close_all(struct smtp_upstream *upstream);

/* --- aftermath.c: what befell a mail or a session, for those to come --- */

/* Its health, its sessions, and what it is asked; whoever was on it. session:
 * that it befell. */
void aftermath_of_upstream(const struct smtp_session *session,
                           const struct smtp_finding *finding);
/* How many may go to the recipient's domain at a time. */
void aftermath_of_domain(struct smtp_delivery *delivery,
                         const struct smtp_finding *finding);
/* It has come to its upstream: counts it, if that domain is slowed. */
void aftermath_enter(struct smtp_delivery *delivery);

/* --- inspect.c: what an operator wants to see --- */

/* smtp_upstream_test */
void inspect_upstream(struct smtp_upstream *upstream, smtp_test_fn done,
                      void *ctx);
/* Tells whoever traces the upstream. */
void inspect_failed_session(const struct smtp_session *session,
                            const struct smtp_finding *finding);
/* The engine closes: no test is answered any more. */
void inspect_close(struct smtp *smtp);

/* --- smtp.c --- */

/* There may be room: on_room at the end of the turn. */
void smtp_note_room(struct smtp *smtp);
/* A list has got something for the task. */
void smtp_wake(struct smtp *smtp);

#endif
