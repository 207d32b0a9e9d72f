/* mail.h - what the API does with emails: enqueue, look up, cancel, retry,
 * reschedule.
 *
 * enqueue is one atomic script: idempotency, content, deliveries, flows,
 * events. The answer the caller saw is stored with the idempotency key and
 * replayed as it was.
 */
#ifndef QUEUE_MAIL_H
#define QUEUE_MAIL_H

#include "queue/attempts.h"
#include "queue/events.h"
#include "queue/record.h"

struct queue;

enum queue_status {
    QUEUE_OK,
    QUEUE_AWAY,       /* no answer: unknown outcome. 503, Retry-After */
    QUEUE_NOT_READY,  /* nothing was stored: see queue_is_ready. 503 */
    QUEUE_FULL,       /* Redis is out of memory or a limit of ours. 503 */
    QUEUE_OWNER_FULL, /* the owner's quota. 429 */
    QUEUE_FROZEN,     /* the owner is being moved. 503 */
    QUEUE_MOVED,      /* the owner's home is another one: look it up again */
    QUEUE_NO_KEYRING, /* needs encryption at rest and there is none. 503 */
    QUEUE_NOT_FOUND,
    QUEUE_CONFLICT, /* idempotency key seen with another request. 409 */
    QUEUE_DONE,     /* its first request acted, and no answer was kept */
    QUEUE_REPLAY,   /* the first answer is in the result */
    QUEUE_REFUSED,  /* the state does not allow it. 409 */
};

/* A workspace, and the partition where everything of it lives. */
struct queue_owner {
    struct str name;
    unsigned home;
};

/* Of a POST. key_hash: SHA-256 in hex of the Idempotency-Key, "" without;
 * fingerprint: SHA-256 in hex of method, canonical path and body. */
struct idempotency {
    struct str key_hash;
    struct str fingerprint;
};

struct queue_recipient {
    unsigned number;  /* record.h */
    struct str route; /* name of the route that was matched */
    struct str key;   /* the address as the list of suppressions has it
                         (store.h); empty: it is not looked up */
};

/* Bytes that are too big for the record (attachments; also the JSON of the
 * mail when it is over 64 KiB, see queue_enqueue). */
struct queue_blob {
    struct str bytes;
};

struct queue_mail {
    const struct summary *summary;
    struct str mail_json; /* as for record_write */
    const struct job_attachment *attachments;
    const struct queue_blob *attachment_bytes; /* one per attachment */
    size_t attachment_count;                   /* <= 1000 */
    const struct queue_recipient *recipients;
    size_t recipient_count; /* 1..500; the first one's number is 0 */
    int64_t date_ms;
    int64_t due_ms;             /* 0: now */
    struct job_signing signing; /* record.h */
    int64_t max_age_ms; /* counted from due; 0 when there is a deadline */
    enum on_unknown on_unknown;
    struct idempotency idempotency;
    struct str answer; /* body that this request will be answered with */
    /* How long the callback may take; 0: as long as the commands may. When it
     * is over the answer is QUEUE_AWAY, and the mail may be stored or not. */
    int64_t patience_ms;
};

struct queue_answer {
    enum queue_status status;
    struct str answer; /* QUEUE_REPLAY: the stored body */
    int http_status;   /* QUEUE_REPLAY: the stored status */
    int64_t changed;   /* of an action, and QUEUE_DONE: how much it changed */
    struct error why;  /* for every status that is a failure */
};
typedef void (*queue_answer_fn)(void *ctx, const struct queue_answer *answer);

/* Everything mail points at is copied or used up before this returns,
 * attachment_bytes excepted: they stay until the callback. Big values go in
 * chunks over the bulk link first. */
void queue_enqueue(struct queue *queue, const struct queue_mail *mail,
                   queue_answer_fn done, void *ctx);

enum delivery_state {
    DELIVERY_QUEUED,
    DELIVERY_DUE, /* scheduled, or waiting for its next attempt */
    DELIVERY_CLAIMED,
    DELIVERY_DOTTED,
    DELIVERY_HELD,
    DELIVERY_DEAD,
    DELIVERY_SENT,
    DELIVERY_BOUNCED,
    DELIVERY_FAILED,
    DELIVERY_SUPPRESSED,
    DELIVERY_EXPIRED,
    DELIVERY_SUPERSEDED,
    DELIVERY_CANCELED,
    DELIVERY_STATE_COUNT
};
bool delivery_is_final(enum delivery_state state);

/* The last thing that came back of a delivery behind its end (feedback.h);
 * over a final route, the 250. */
enum delivery_sequel {
    SEQUEL_NONE,
    SEQUEL_BOUNCED,
    SEQUEL_DELIVERED,
    SEQUEL_COMPLAINED,
};

struct queue_delivery {
    unsigned number;
    enum delivery_state state;
    enum delivery_sequel sequel;
    int64_t sequel_ms; /* 0: none, or it came with the end */
    unsigned generation;
    unsigned attempts;
    int code; /* last reply; 0: none yet */
    struct str enhanced_code;
    struct str response;     /* short */
    int64_t next_attempt_ms; /* 0: none planned */
    int64_t ended_ms;        /* 0: not final */
};

struct queue_email {
    enum queue_status status; /* OK, NOT_FOUND, AWAY, NOT_READY */
    struct error why;
    const struct record *record; /* job.mail NULL once the bodies are gone */
    const struct queue_delivery *deliveries;
    size_t delivery_count;
    struct buf *shown; /* what the view made; may be taken over */
};
typedef void (*queue_email_fn)(void *ctx, const struct queue_email *email);

/* What is made of an email that was found, in memory of arena. Pure: for a
 * large mail a helper thread calls it, so that the loop is not held. */
typedef void (*queue_email_view_fn)(struct arena *arena,
                                    const struct queue_email *email,
                                    struct buf *out);

/* Another owner's email is QUEUE_NOT_FOUND, as an unknown one. view: NULL for
 * none. */
void queue_email_get(struct queue *queue, struct queue_owner owner,
                     const struct id *email, queue_email_view_fn view,
                     queue_email_fn done, void *ctx);

struct queue_timeline {
    enum queue_status status;
    struct error why;
    const struct event *events; /* oldest first */
    size_t count;
    const struct record *record;
};
typedef void (*queue_timeline_fn)(void *ctx,
                                  const struct queue_timeline *timeline);
void queue_email_events(struct queue *queue, struct queue_owner owner,
                        const struct id *email, queue_timeline_fn done,
                        void *ctx);

/* What upstreams did with it, of all recipients, in the order in which that
 * began: NOT_FOUND as above. What succeeded is a few milliseconds behind, as
 * the timeline is. */
struct queue_attempts {
    enum queue_status status;
    struct error why;
    const struct attempt *attempts;
    size_t count;
    const struct record *record;
};
typedef void (*queue_attempts_fn)(void *ctx,
                                  const struct queue_attempts *attempts);
void queue_email_attempts(struct queue *queue, struct queue_owner owner,
                          const struct id *email, queue_attempts_fn done,
                          void *ctx);

/* Per recipient: OK with the deliveries' new states if at least one was
 * stopped; REFUSED with the states when none could be. The action and its
 * idempotency key (NULL: none) are one step: CONFLICT; REPLAY: it was done and
 * answered meanwhile, queue_idempotency_look has the answer. */
void queue_email_cancel(struct queue *queue, struct queue_owner owner,
                        const struct id *email,
                        const struct idempotency *idempotency,
                        queue_email_fn done, void *ctx);

/* What a cancel or a retry tells that has changed so much, by the states of
 * now. */
void queue_email_acted(struct queue *queue, struct queue_owner owner,
                       const struct id *email, int64_t changed,
                       queue_email_fn done, void *ctx);

/* How an email is sent again. */
struct queue_retry {
    const struct queue_recipient *recipients; /* one per delivery */
    size_t recipient_count;
    int64_t ends_ms; /* of what had ended; Unix time */
    bool is_deadline;
    enum on_unknown on_unknown;
};
/* Asked before done, once the email is known to be the owner's; what out
 * points at is used up when it returns. False: REFUSED. */
typedef bool (*queue_retry_fn)(void *ctx, const struct queue_email *email,
                               struct queue_retry *out);

/* Per recipient: what waits is queued at once; what ended without being sent
 * (neither sent nor superseded) is queued as its next generation, as long as
 * the content is kept. OK with the new states if at least one is queued;
 * REFUSED with the states when none can be. idempotency: as for a cancel. */
void queue_email_retry(struct queue *queue, struct queue_owner owner,
                       const struct id *email,
                       const struct idempotency *idempotency,
                       queue_retry_fn plan, queue_email_fn done, void *ctx);

/* When an email goes instead. */
struct queue_reschedule {
    int64_t due_ms;     /* Unix time; not ahead: at once */
    int64_t ends_ms;    /* end of its life */
    int64_t expires_ms; /* the same if that is a deadline, else 0 */
};
/* Asked before done, once the email is known to be the owner's. False:
 * REFUSED. */
typedef bool (*queue_reschedule_fn)(void *ctx, const struct queue_email *email,
                                    struct queue_reschedule *out);

/* All recipients or none: OK with the new states if they all wait for their
 * first attempt, else REFUSED with the states. */
void queue_email_reschedule(struct queue *queue, struct queue_owner owner,
                            const struct id *email, queue_reschedule_fn plan,
                            queue_email_fn done, void *ctx);

struct queue_lane_stats {
    uint64_t queued;
    uint64_t due;
    int64_t oldest_ms; /* age of the oldest one queued; 0 when empty */
    /* Recipients in 1,000 seconds, of the last minute. */
    int64_t accepted_rate;
    int64_t delivered_rate; /* that an upstream took */
};
struct queue_stats {
    enum queue_status status;
    struct error why;
    struct queue_lane_stats lanes[LANE_COUNT];
    uint64_t owned; /* claimed or dotted */
    uint64_t held;
    uint64_t dead;
    uint64_t accepted;
    uint64_t final;
    uint64_t webhook_tasks; /* waiting */
};
/* The lanes together. */
struct queue_lane_stats queue_stats_all(const struct queue_stats *stats);
typedef void (*queue_stats_fn)(void *ctx, const struct queue_stats *stats);
void queue_stats_get(struct queue *queue, queue_stats_fn done, void *ctx);
/* Of one owner: queued, oldest_ms and the rates of the lanes alone, by one
 * look. */
void queue_stats_of(struct queue *queue, struct queue_owner owner,
                    queue_stats_fn done, void *ctx);

#endif
