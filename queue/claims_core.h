/* claims_core.h - what the files behind claims.h share.
 *
 * A child is one claimer with a struct claims for each partition: each has
 * its own epoch, heartbeat, turns and marks, as if it were alone; the room
 * that the worker has is of all of them together.
 *
 * claim.c      claims and their results, as Redis tells and is told of them
 * turn.c       a child's turn: when it is sent, what goes in, what comes out
 * room.c       who may claim how much
 * pace.c       how lower lanes make way for urgent mail
 * marks.c      the write-ahead marks
 * reconcile.c  counts whether all are in a place
 * alone.c      suspects, claimed one by one
 * claims.c     life in one partition: registering, leaving
 * claimer.c    life of the child; release by the supervisor
 */
#ifndef QUEUE_CLAIMS_CORE_H
#define QUEUE_CLAIMS_CORE_H

#include "queue/content.h"
#include "queue/journal.h"
#include "queue/wake.h"

#include <limits.h>

enum {
    CLAIM_TOKEN_SIZE = 48,
    CLAIM_ID_SIZE = ID_SIZE + 12,
};

/* A slot is a route and a lane: route * LANE_COUNT + lane. */
#define NO_SLOT    SIZE_MAX
#define NO_JOURNAL UINT_MAX

struct mark;

struct claim {
    struct queue_claim pub;
    struct list link; /* of claims.held */
    struct claims *claims;
    char id[CLAIM_ID_SIZE]; /* "email:number" */
    char token[CLAIM_TOKEN_SIZE];
    char *route; /* owned */
    size_t slot; /* route and lane; NO_SLOT: the configuration lacks it */
    struct content_user content;
    bool is_told;          /* the worker has it */
    struct mark *mark;     /* while it is not answered */
    struct buf attempts;   /* records, a line each */
    struct buf suppressed; /* what queue_suppress said, as of the result */
};

/* Lives until Redis has answered; its claim may end before: NULL then. */
struct mark {
    struct list link; /* of claims.marks or mark_batch.marks */
    struct claim *claim;
    queue_mark_fn fn;
    void *ctx;
};

/* What became of a claim; kept until Redis has taken it. */
struct result {
    struct list link; /* of claims.results or claims.sent */
    char id[CLAIM_ID_SIZE];
    char token[CLAIM_TOKEN_SIZE];
    char kind; /* of turn.lua */
    bool final_route;
    int64_t due_ms;
    unsigned journal_file; /* NO_JOURNAL: it stands in none */
    struct buf outcome;    /* code,"enhanced","reply"; or the new route */
    struct buf fields;     /* of the event */
    struct buf attempts;   /* records, a line each */
    struct buf suppressed; /* of kind p: "id hash address" */
};

enum claims_state { CLAIMS_AWAY, CLAIMS_REGISTERING, CLAIMS_WORKING };

/* On the way to a suspect (alone.c). */
enum alone_state {
    ALONE_NOT,
    ALONE_QUIET, /* claims nothing, and waits until all it held is reported */
    ALONE_BUSY,  /* has the suspect, and nothing else */
};

/* How a child goes about lower lanes (pace.c). */
struct pace {
    struct loop *loop;
    int64_t urgent_ms; /* when urgent mail was claimed last; 0: never */
    bool has_made_way; /* since the last turn that brought lower lanes */
    struct timer pause;
};

/* A child: what its partitions share. */
struct claimer {
    struct queue *queue;
    struct queue_part part;
    const struct queue_worker *worker;
    struct wake *wake;  /* one for all; NULL in a cluster */
    struct list claims; /* of claims.link, by partition */
    size_t *untold;     /* by slot: claimed, but the worker cannot know yet */
    struct child_name name;
    struct journal *journal; /* owned; NULL: none */
    enum alone_state alone_state;
    struct claims *alone; /* whose suspect it is; NULL: ALONE_NOT */
    bool alone_asks;      /* a call is under way */
    int64_t alone_since_ms;
    int64_t alone_rest_until_ms;
    struct pace pace;
    bool lacks_room; /* for urgent mail, on some route */
    /* Stopping. */
    bool is_stopping;
    struct timer drain;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

struct claims {
    struct list link; /* of claimer.claims */
    struct claimer *claimer;
    struct queue *queue;
    unsigned partition;
    const struct queue_worker *worker;
    struct wake *own_wake; /* in a cluster: keys of a BLPOP share a slot */
    struct wake *wake;
    size_t wake_place;
    struct contents contents;
    enum claims_state state;
    char epoch[EPOCH_SIZE];
    /* Given up, but Redis has not said yet that it knows; "": none. */
    char old_epoch[EPOCH_SIZE];
    uint64_t next_token;
    struct list held;
    size_t *asked;       /* by slot: what the turn under way may claim yet */
    struct list results; /* to be sent */
    struct list sent;    /* with the turn under way */
    struct list marks;   /* to be sent */
    struct list mark_batches;
    struct task turn_task;
    struct task mark_task;
    struct timer heartbeat;
    struct timer due;
    bool turn_is_under_way;
    int64_t turn_sent_ms;
    bool registering_is_under_way;
    bool ask;       /* there may be work */
    bool left_work; /* the last turn may have had too little room */
    bool heartbeat_is_due;
    unsigned refusals; /* of turns, since one was taken */
    int64_t refusal_told_ms;
    unsigned turns;        /* that asked for lower lanes */
    char **unknown_routes; /* in Redis, but not in the configuration */
    size_t unknown_count;
    struct timer reconcile; /* counts, or the next step of a walk */
    bool reconcile_asks;
    char walk[64]; /* cursor of reconcile.lua; "": none */
    uint64_t repaired;
    bool is_leaving; /* the last call is under way */
    bool has_left;
};

/* claimer.c */
void claimer_look(struct claimer *claimer); /* tells when all have left */
/* One more wait for tokens. */
struct wake *claimer_open_wake(struct claimer *claimer);

/* claims.c */
struct claims *claims_open(struct claimer *claimer, unsigned partition);
void claims_close(struct claims *claims);
void claims_change(struct claims *claims, bool up); /* the partition's link */
int64_t claims_lease_ms(const struct claims *claims);
int64_t claims_budget_ms(const struct claims *claims); /* of a script */
void claims_register(struct claims *claims);
/* As a new epoch: what the one before has claimed and nobody heard of is given
 * back. */
void claims_begin_anew(struct claims *claims);
void claims_try_again(struct claims *claims); /* Redis said no */
/* For the log: it was refused to register, or a turn; a turn was taken. */
void claims_note_refusal(struct claims *claims, const struct error *why);
void claims_note_taken(struct claims *claims);
void claims_leave_if_done(struct claims *claims);

/* claim.c */
/* NO_SLOT: the configuration has no such route. */
size_t claims_slot(const struct claims *claims, struct str route,
                   unsigned lane);
/* One of turn.lua's claims; contents are those of the same answer. */
void claim_take(struct claims *claims, const struct reply *entry,
                const struct reply *contents);
unsigned claim_lane(const struct reply *entry);
void claim_destroy(struct claim *claim);
void result_destroy(struct result *result);
/* The same, when Redis has it. */
void result_taken(struct claims *claims, struct result *result);
/* What the history keeps of the reply, as the inside of a JSON list. */
void claim_outcome_write(const struct event_detail *detail, struct buf *out);

/* reconcile.c */
void reconcile_on_timer(void *claims);

/* alone.c */
void alone_look(struct claims *claims);   /* by each heartbeat */
void alone_step(struct claimer *claimer); /* it may have nothing in hand now */

/* room.c */
/* May be claimed of that lane and those behind it, by whoever comes first. */
size_t claims_whole_room(const struct claims *claims, size_t route,
                         unsigned lane);
/* The same without what the turns of other partitions may claim. */
size_t claims_room(const struct claims *claims, size_t route, unsigned lane);
/* There is room, but others are about to claim: their turn's end tells. */
bool claims_must_wait(const struct claims *claims);

/* pace.c */
bool pace_is_urgent(unsigned lane);
/* Lower lanes, and what is to be told, wait until the pause is over. */
bool pace_rests(const struct pace *pace);
/* What one turn may claim of a room. */
size_t pace_room(const struct pace *pace, unsigned lane, size_t room);
/* A token of urgent mail is at hand: the turn that fetches it brings nothing
 * else. */
void pace_make_way(struct pace *pace);
void pace_note_urgent(struct pace *pace);
/* It brought nothing of lanes behind last_lane. */
void pace_turn_done(struct pace *pace, int64_t sent_ms, unsigned last_lane);

/* turn.c */
void claims_on_turn_task(void *claims);
void claims_plan_turn(struct claims *claims);
void claims_ask(void *claims); /* a turn: there may be work */
void claims_wait_for_work(struct claims *claims); /* where there is room */
void claims_put_back_results(struct claims *claims);
void claims_forget_routes(struct claims *claims);

/* marks.c */
void claims_on_mark_task(void *claims);
void marks_close(struct claims *claims); /* without a callback */

#endif
