/* fake_queue.h - a queue made of memory that answers whatever a test wants, in
 * the place of the real one (queue/queue.h). */
#ifndef TESTS_API_FAKE_QUEUE_H
#define TESTS_API_FAKE_QUEUE_H

#include "api/api.h"
#include "server/base/list.h"

#define WALL_MS INT64_C(1795521600000) /* 2026-11-24T12:00:00Z */
#define ID      "019300a0-0000-7000-8000-000000000001"

/* What it knows and answers, and what it was asked. */
/* A bounce, as POST /feedback takes it, of a delivery of ID. */
const char *fake_bounce(void);

extern struct fake {
    struct loop *loop;
    char token[API_TOKEN_SIZE];
    struct api_key key;
    bool key_is_known;
    enum queue_status key_status;
    size_t key_lookups;
    bool upstream_is_paused;
    bool has_no_worker;
    enum feedback_fate fate; /* of what came back */
    bool rate_needs_lease;
    int64_t rate_left;
    enum queue_status status; /* of everything else */
    bool silent;              /* keeps its answers: fake_speak */
    struct list kept;         /* owned: answers not given */
    size_t enqueued;
    struct buf seen; /* of the last enqueue: what matters, as text */
    char answer[512];
    struct queue_answer acted; /* under a key that is looked up */
    char finished[64];
    struct queue_delivery deliveries[3];
    size_t delivery_count;
    queue_email_view_fn view; /* of the get under way */
    struct record record;
    struct sender_domain domain;
    size_t domain_count; /* 0: no owner has one */
    size_t domain_lookups;
    const char *template_source;
    struct buf stored; /* of the last change of a template: its source */
    bool (*wants)(void *ctx, const struct queue_email *email); /* of the list */
} fake;

/* One owner with a full-access key and one email. */
void fake_fill(struct loop *loop);
/* It answers again: first what it kept, in the next turn. */
void fake_speak(void);
void fake_forget(void); /* what it kept, as a queue that closes */

#endif
