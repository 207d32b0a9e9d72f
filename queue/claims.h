/* claims.h - the worker's side: claim deliveries, mark them, report.
 *
 * The queue drives itself: it registers after every connect, sends turns
 * (heartbeat, results, claims) when there is something to tell or to ask,
 * and waits for wake tokens otherwise. The worker says how much it can take
 * and gets claims; each claim ends with exactly one queue_report.
 */
#ifndef QUEUE_CLAIMS_H
#define QUEUE_CLAIMS_H

#include "queue/attempts.h"
#include "queue/events.h"
#include "queue/journal.h"
#include "queue/record.h"
#include "server/io/loop.h"

struct queue;

struct queue_claim {
    struct id email;
    unsigned home;   /* partition of its owner */
    unsigned number; /* recipient */
    unsigned lane;
    struct str route;
    unsigned attempt; /* from 1 */
    unsigned generation;
    bool possible_duplicate; /* an earlier attempt may have been delivered */
    enum on_unknown on_unknown;
    int64_t accepted_ms; /* wall clock: when it was due for the first time */
    int64_t deadline_ms; /* wall clock; 0: none */
    int64_t expires_ms;  /* wall clock: deadline or end of its maximum age */
    /* Shared by the claims of one email; destroyed with the last of them. */
    const struct record *record;
    const struct str *attachments; /* raw bytes, in the job's order */
    void *ctx;                     /* the worker's own */
};

struct queue_worker {
    void *ctx;
    /* How many more deliveries of that route may be claimed now for this lane
     * and the less urgent ones together: what is claimed of lanes l and later
     * never passes room(route, l). Asked for every route before each claim,
     * lane by lane; it does not rise with the lane. */
    size_t (*room)(void *ctx, struct str route, unsigned lane);
    /* A claim of ours. It lives until queue_report. */
    void (*claimed)(void *ctx, struct queue_claim *claim);
    /* The name of the route for a mail whose route the config does not know
     * any more; empty: there is none, the mail waits. */
    struct str (*reroute)(void *ctx, const struct record *record,
                          unsigned number);
    const struct str *routes; /* that the config knows */
    size_t route_count;
};

/* worker must outlive the queue. */
void queue_worker_start(struct queue *queue, const struct queue_worker *worker);

/* Writes 250s down until Redis has taken them. The queue takes it over, right
 * behind queue_worker_start. */
void queue_worker_journal(struct queue *queue, struct journal *journal);

/* There is room again: claim if there was none before. */
void queue_worker_hungry(struct queue *queue);

/* The write-ahead mark before the final dot: claimed -> dotted. All marks of
 * one turn of the loop go in one script call. may_go false: the delivery is
 * canceled, late or no longer ours: no dot. valid_until_ms (monotonic): a
 * dot sent later than that may meet another worker's, so it is not sent; ask
 * once more, when the last answer was heard, to send it after all. A
 * report of the claim takes the place of an answer that has not come yet:
 * done is not called any more. */
typedef void (*queue_mark_fn)(void *ctx, bool may_go, int64_t valid_until_ms);
void queue_mark(struct queue *queue, struct queue_claim *claim,
                queue_mark_fn done, void *ctx);

enum outcome {
    OUTCOME_SENT,
    OUTCOME_SOFT,    /* again at retry_at_ms */
    OUTCOME_EXPIRED, /* soft, and no next try lies within its time */
    OUTCOME_BOUNCED, /* a server refused it for good */
    OUTCOME_FAILED,  /* composer error and the like: reason says */
    OUTCOME_UNSENT,  /* certainly no dot; no attempt counted. retry_at_ms 0:
                        back to the head of its queue; else it waits */
    OUTCOME_UNKNOWN, /* lost after the dot: on_unknown decides. retry_at_ms:
                        when to try again (0: at once) if that is retry */
};

/* Keeps an attempt of the claim, the oldest first, before the queue_report
 * that ends it. OUTCOME_UNSENT takes none: it is not one. */
void queue_report_attempt(struct queue_claim *claim,
                          const struct attempt *attempt);

/* Says, before the queue_report of a OUTCOME_BOUNCED, that its address is the
 * reason: it goes on the list of suppressions. key: store.h. */
void queue_suppress(struct queue_claim *claim, struct str key);

/* Ends the claim (and frees it): one script call a turn for all. detail
 * (events.h) is what the event tells; its type, times and sequence are
 * filled in by the queue; NULL: nothing to tell. final_route: raise delivered
 * behind sent. A mark that is not answered yet gets no callback any more. */
void queue_report(const struct queue *queue, struct queue_claim *claim,
                  enum outcome outcome, int64_t retry_at_ms, bool final_route,
                  const struct event_detail *detail);

/* Claims nothing more. The worker reports what it holds; drained is called
 * once when every report has reached Redis (or can't). */
void queue_worker_stop(struct queue *queue, void (*drained)(void *ctx),
                       void *ctx);

/* By the supervisor when a child died: gives back what the child's epochs
 * owned, mails or webhook tasks, in all partitions; any one of them tells
 * which child it was. The child tells it through the shared region. */
struct str queue_worker_epoch(const struct queue *queue);
/* suspect: what it had its hands on (server/base/hand.h), empty if nothing:
 * that is claimed alone from now on, and is dead when it has crashed its child
 * five times so. */
void queue_release(struct queue *queue, struct str epoch, struct str suspect,
                   void (*done)(void *ctx, bool ok), void *ctx);

/* Tells Redis what dead workers wrote into the journal of that folder, and
 * removes it: before their epochs are released, and at start. ok false: it is
 * still there. A look into the folder may block for a moment, so this is for
 * a supervisor. */
void queue_journal_replay(struct queue *queue, const char *dir,
                          void (*done)(void *ctx, bool ok), void *ctx);
/* Whether there is anything to replay. */
bool queue_journal_is_due(const char *dir);

#endif
