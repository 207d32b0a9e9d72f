/* upstreams.h - what all processes know of an upstream together.
 *
 * Each worker child says every second how its sessions do, and learns what an
 * operator wants and how many sessions it may have: no mail waits for that,
 * and none costs a round trip more. An upstream is known by its name; its host
 * and its limits are the configuration's business.
 */
#ifndef QUEUE_UPSTREAMS_H
#define QUEUE_UPSTREAMS_H

#include "queue/mail.h"
#include "server/base/config.h"

struct queue;

/* What one worker says, or all of them together: numbers are added up. */
struct upstream_report {
    unsigned trouble; /* 0: none; of all the highest counts, with its why */
    struct str why;
    int64_t sessions; /* open, or about to */
    int64_t busy;
    int64_t limit; /* that it may have now */
    int64_t waiting;
    int64_t slowed;    /* recipient domains that get fewer mails at a time */
    int64_t sent_rate; /* thousandths a second */
};

/* --- by a worker --- */

struct upstream_side {
    void *ctx;
    size_t count;
    const struct str *names;
    const int64_t *max_sessions; /* of all workers, one for each upstream */
    const char *seat; /* no dash in it: the same for each worker that comes in
                         this one's place, since sessions are divided by it */
    /* Fills in *out; its text lives until the next call. */
    void (*report)(void *ctx, size_t index, struct upstream_report *out);
    /* How many sessions this worker may have, whenever that changes; the first
     * time before pause. While Redis is away the last word holds. */
    void (*share)(void *ctx, size_t index, size_t sessions);
    /* An operator wants it to take nothing, or not any more. Called for each
     * upstream as soon as Redis has said so for the first time, then at each
     * change. */
    void (*pause)(void *ctx, size_t index, bool is_paused);
    /* An operator asks whether a session can be opened: queue_upstream_tested
     * is the answer. Of all workers one is asked. */
    void (*test)(void *ctx, size_t index, struct str test);
    /* Somebody watches: each attempt is to be told by queue_upstream_traced,
     * or not any more. */
    void (*trace)(void *ctx, size_t index, bool is_traced);
};

/* From now until the queue closes, or until stop. side outlives that. */
void queue_upstreams_start(struct queue *queue,
                           const struct upstream_side *side);
/* This worker has nothing more to say. */
void queue_upstreams_stop(struct queue *queue);

/* result: JSON, for who asked. */
void queue_upstream_tested(struct queue *queue, struct str upstream,
                           struct str test, struct str result);
/* line: JSON, for who watches. */
void queue_upstream_traced(struct queue *queue, struct str upstream,
                           struct str line);

/* Mails of an upstream's rate, leased from Redis: for lanes 0 and 1, for
 * which a fiftieth is kept, and for the others. */
struct quota_ask {
    int64_t urgent;
    int64_t other;
    int64_t back;  /* of the last lease, unused */
    int64_t stamp; /* that it had */
};

/* Times are monotonic. Not OK: Redis is away, and nothing was leased. */
struct quota_lease {
    enum queue_status status;
    int64_t urgent;
    int64_t other;
    int64_t until_ms; /* they may be used until then: a second at most */
    int64_t urgent_used_up_until_ms; /* past: more is to be had */
    int64_t other_used_up_until_ms;
    int64_t stamp;
};
typedef void (*quota_fn)(void *ctx, const struct quota_lease *lease);
/* rates: as configured, at least one, at most UPSTREAM_WINDOWS_MAX. */
void queue_quota_lease(struct queue *queue, struct str upstream,
                       const struct config_rate_list *rates,
                       const struct quota_ask *ask, quota_fn done, void *ctx);

/* --- by those who look --- */

struct upstream_window {
    int64_t ms;
    int64_t used; /* mails of it that are leased, or were sent */
};
enum { UPSTREAM_WINDOWS_MAX = 4 };

struct queue_upstream {
    struct upstream_window windows[UPSTREAM_WINDOWS_MAX]; /* of its rates */
    size_t window_count;
    unsigned workers;  /* that told of it within the last 10 s */
    int64_t paused_ms; /* wall clock: when an operator paused it; 0: not */
    struct upstream_report all;
};

struct queue_upstreams {
    enum queue_status status;
    struct error why;
    const struct queue_upstream *upstreams; /* in the order of the names */
    size_t count;
};
typedef void (*queue_upstreams_fn)(void *ctx,
                                   const struct queue_upstreams *upstreams);
/* The names are copied. */
void queue_upstreams_get(struct queue *queue, const struct str *names,
                         size_t count, queue_upstreams_fn done, void *ctx);

/* What a worker found; empty: there is none that took the test within
 * UPSTREAM_TEST_TAKEN_MS, or it did not end it. */
struct queue_upstream_test {
    enum queue_status status;
    struct error why;
    struct str result;
};
enum {
    UPSTREAM_TEST_TAKEN_MS = 4000,
    UPSTREAM_TEST_MAX_MS = 26 * 1000,
    UPSTREAM_TEST_ID_SIZE = 40,
};
typedef void (*queue_upstream_test_fn)(void *ctx,
                                       const struct queue_upstream_test *test);
/* Two who ask at the same time may get the same answer. */
void queue_upstream_test(struct queue *queue, struct str name,
                         queue_upstream_test_fn done, void *ctx);

enum { UPSTREAM_TRACE_ID_SIZE = 44 };
struct queue_upstream_trace {
    enum queue_status status;
    struct error why;
    const struct str *lines; /* the oldest first */
    size_t count;
    char last[UPSTREAM_TRACE_ID_SIZE]; /* to go on from */
};
typedef void (*queue_upstream_trace_fn)(
    void *ctx, const struct queue_upstream_trace *trace);
/* What was told since after (empty: now), at most 100 lines. Has the workers
 * tell of it for UPSTREAM_TRACE_MS more. */
enum { UPSTREAM_TRACE_MS = 5000 };
void queue_upstream_trace(struct queue *queue, struct str name,
                          const char *after, queue_upstream_trace_fn done,
                          void *ctx);

/* Both hold for all workers, also for those that start later; asked twice,
 * the first time counts. */
void queue_upstream_pause(struct queue *queue, struct str name,
                          queue_answer_fn done, void *ctx);
void queue_upstream_resume(struct queue *queue, struct str name,
                           queue_answer_fn done, void *ctx);

#endif
