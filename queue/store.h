/* store.h - what is stored beside mails: API keys, webhook endpoints,
 * suppressions, templates, idempotency of other POSTs, rate limits.
 */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

#include "queue/mail.h"

struct queue;

/* API keys: k:<sha256>, listed per owner. */
enum key_permission { KEY_FULL_ACCESS, KEY_SENDING_ACCESS, KEY_READ_ACCESS };
const char *key_permission_name(enum key_permission permission);
MUST_USE bool key_permission_parse(struct str name,
                                   enum key_permission *permission);

struct api_key {
    struct id id;
    struct str owner;
    struct str name;
    struct str prefix; /* "ph_live_abcd": shown in lists */
    enum key_permission permission;
    struct id domain_id; /* of the one it may send from; empty: from all */
    struct str domain;   /* the name of that one */
    unsigned partition;
    int64_t created_ms;
    int64_t last_used_ms; /* 0: never */
};

struct queue_keys {
    enum queue_status status;
    struct error why;
    const struct api_key *keys; /* newest first */
    size_t count;
    bool has_more;
};
typedef void (*queue_keys_fn)(void *ctx, const struct queue_keys *keys);

/* hash: SHA-256 of the token in hex. */
void queue_key_find(struct queue *queue, struct str hash, queue_keys_fn done,
                    void *ctx);
/* In the owner's home, whatever key->partition says; an owner that is new is
 * made, too. idempotency may be NULL, and so may every other one of this
 * header. */
void queue_key_create(struct queue *queue, const struct api_key *key,
                      struct str hash, const struct idempotency *idempotency,
                      struct str answer, queue_answer_fn done, void *ctx);

/* Where an owner lives. */
struct queue_home {
    enum queue_status status; /* OK, NOT_FOUND, AWAY, NOT_READY */
    struct error why;
    struct queue_owner owner;
};
typedef void (*queue_home_fn)(void *ctx, const struct queue_home *home);
void queue_home_find(struct queue *queue, struct str owner, queue_home_fn done,
                     void *ctx);
/* An owner that is new gets a home: where the fewest owners live. */
void queue_home_make(struct queue *queue, struct str owner, queue_home_fn done,
                     void *ctx);

struct queue_page {
    unsigned limit;   /* 1..100 */
    struct str after; /* ids, exclusive; empty: none */
    struct str before;
};
void queue_key_list(struct queue *queue, struct queue_owner owner,
                    const struct queue_page *page, queue_keys_fn done,
                    void *ctx);
/* OK or NOT_FOUND, both of them. */
void queue_key_rename(struct queue *queue, struct queue_owner owner,
                      const struct id *id, struct str name,
                      queue_answer_fn done, void *ctx);
void queue_key_delete(struct queue *queue, struct queue_owner owner,
                      const struct id *id, queue_answer_fn done, void *ctx);
/* Batched, at most once a minute per key. */
void queue_key_used(struct queue *queue, const struct api_key *key);

/* Webhook endpoints. */
struct endpoint {
    struct id id;
    struct str owner;
    struct str url;
    struct str *events; /* names; count 0: all of Resend's */
    size_t event_count;
    bool enabled;
    struct str disabled_reason;
    /* "whsec_..." in clear while in memory; sealed under the keyring (label
     * "webhook", context endpoint id) in Redis. */
    struct str secret;
    int64_t created_ms;
};

struct queue_endpoints {
    enum queue_status status;
    struct error why;
    const struct endpoint *endpoints; /* newest first; without secrets */
    size_t count;
    bool has_more;
};
typedef void (*queue_endpoints_fn)(void *ctx,
                                   const struct queue_endpoints *endpoints);

/* A fresh secret: "whsec_" and 32 random bytes in base64. */
void endpoint_secret_new(struct buf *out);

/* answer: what a replay gets, with status 201 and without the secret
 * (blueprint 10.6). Statuses: OK, REPLAY, CONFLICT; NO_KEYRING;
 * OWNER_FULL above 100 endpoints. Events: at most 100 names of at most 64
 * bytes, without blanks; "x.*" stands for all of x, "*" for all. */
void queue_endpoint_create(struct queue *queue, const struct endpoint *endpoint,
                           const struct idempotency *idempotency,
                           struct str answer, queue_answer_fn done, void *ctx);
/* One page; another owner's endpoint is NOT_FOUND, as an unknown one. */
void queue_endpoint_list(struct queue *queue, struct queue_owner owner,
                         const struct queue_page *page, queue_endpoints_fn done,
                         void *ctx);
void queue_endpoint_get(struct queue *queue, struct queue_owner owner,
                        const struct id *id, queue_endpoints_fn done,
                        void *ctx);
/* NULL members of the change stay as they are; what waits for an endpoint
 * that is disabled or deleted is dropped. */
struct endpoint_change {
    const struct str *url;
    const struct str *events;
    size_t event_count;
    const bool *enabled;
};
void queue_endpoint_update(struct queue *queue, struct queue_owner owner,
                           const struct id *id,
                           const struct endpoint_change *change,
                           queue_answer_fn done, void *ctx);
void queue_endpoint_delete(struct queue *queue, struct queue_owner owner,
                           const struct id *id, queue_answer_fn done,
                           void *ctx);

/* Suppressions: addresses that no mail of the owner goes to. Enqueue ends what
 * goes there as DELIVERY_SUPPRESSED, a claim what waited; a hard bounce for the
 * address adds it (queue_suppress). A key is an address as it is compared:
 * ASCII lower case, the domain as A-labels. */
enum suppression_origin {
    SUPPRESSION_BOUNCE, /* until it ends */
    SUPPRESSION_COMPLAINT,
    SUPPRESSION_MANUAL, /* for ever */
    SUPPRESSION_ORIGIN_COUNT
};
const char *suppression_origin_name(enum suppression_origin origin);

struct suppression {
    struct id id;
    struct str address; /* as it was first written */
    enum suppression_origin origin;
    int64_t created_ms;
    int64_t until_ms; /* 0: for ever */
    unsigned bounces;
    struct str source; /* id of the email that bounced; empty: none */
    struct str reason; /* "550/5.1.1", or one of them; empty: none */
};

struct queue_suppressions {
    enum queue_status status;
    struct error why;
    const struct suppression *suppressions; /* newest first */
    size_t count;
    bool has_more;
};
typedef void (*queue_suppressions_fn)(void *ctx,
                                      const struct queue_suppressions *list);

/* One of them: an id, or an address. */
struct suppression_name {
    const struct id *id; /* NULL: the key */
    struct str key;
};

/* Puts on the list. */
struct suppression_entry {
    struct str address; /* as it is shown */
    struct str key;
};

/* origin SUPPRESSION_ORIGIN_COUNT: of all. */
void queue_suppression_list(struct queue *queue, struct queue_owner owner,
                            const struct queue_page *page,
                            enum suppression_origin origin,
                            queue_suppressions_fn done, void *ctx);
/* NOT_FOUND, or the one. */
void queue_suppression_get(struct queue *queue, struct queue_owner owner,
                           struct suppression_name name,
                           queue_suppressions_fn done, void *ctx);
/* One that is there keeps its id. OK and REPLAY have the answer's
 * JSON and status, of a batch {"data":[...]}; OWNER_FULL above 200,000. */
void queue_suppression_add(struct queue *queue, struct queue_owner owner,
                           const struct suppression_entry *entries,
                           size_t count, enum suppression_origin origin,
                           bool is_batch, const struct idempotency *idempotency,
                           queue_answer_fn done, void *ctx);
/* Likewise. A batch leaves out what is not there; else that is NOT_FOUND.
 * idempotency NULL: none. */
void queue_suppression_remove(struct queue *queue, struct queue_owner owner,
                              const struct suppression_name *names,
                              size_t count, bool is_batch,
                              const struct idempotency *idempotency,
                              queue_answer_fn done, void *ctx);

/* Templates of mails. Each has a newest version, the draft, and may have one
 * that is published; both may be the same. A version never changes: what
 * changes a template makes another, and older ones are not kept. A source is a
 * text of at most TEMPLATE_VERSION_MAX bytes, whatever it says. */
enum { TEMPLATE_VERSION_MAX = 1 << 20 };

struct stored_template {
    struct id id;
    struct str alias; /* empty: none */
    struct str name;
    struct str newest;    /* version id */
    struct str published; /* version id; empty: none */
    int64_t created_ms;
    int64_t updated_ms;
    int64_t published_ms; /* 0: never */
    struct str version; /* that source is of; of a list empty, and so is ... */
    struct str source;  /* ... this, and that of a version already known */
};

struct queue_templates {
    enum queue_status status;
    struct error why;
    const struct stored_template *templates; /* newest first */
    size_t count;
    bool has_more;
};
typedef void (*queue_templates_fn)(void *ctx,
                                   const struct queue_templates *list);

void queue_template_list(struct queue *queue, struct queue_owner owner,
                         const struct queue_page *page, queue_templates_fn done,
                         void *ctx);
/* which: an id as text, or an alias. NOT_FOUND, or the one. is_published: the
 * version that is; NOT_FOUND then without one. known: a version whose source
 * the caller has; may be empty. */
void queue_template_get(struct queue *queue, struct queue_owner owner,
                        struct str which, bool is_published, struct str known,
                        queue_templates_fn done, void *ctx);

/* What a template becomes. */
struct template_change {
    struct str alias; /* empty: none */
    struct str name;
    struct str source; /* empty, of an update: as it is */
};
/* OK and REPLAY have the answer's JSON and status. OWNER_FULL above 500
 * templates or 64 MiB of sources; REFUSED: another one has that alias. */
void queue_template_create(struct queue *queue, struct queue_owner owner,
                           const struct template_change *change,
                           const struct idempotency *idempotency,
                           queue_answer_fn done, void *ctx);
/* Likewise. known: the newest version when it was read; DONE: it is not that
 * any more, and nothing was changed. */
void queue_template_update(struct queue *queue, struct queue_owner owner,
                           struct str which, struct str known,
                           const struct template_change *change,
                           queue_answer_fn done, void *ctx);
void queue_template_publish(struct queue *queue, struct queue_owner owner,
                            struct str which,
                            const struct idempotency *idempotency,
                            queue_answer_fn done, void *ctx);
void queue_template_delete(struct queue *queue, struct queue_owner owner,
                           struct str which, queue_answer_fn done, void *ctx);

/* Idempotency of a POST whose action is one script and whose answer is not
 * (cancel, retry). OK: it never acted; DONE: it did, so make the answer anew
 * (queue_email_acted); REPLAY, CONFLICT: answer that. finish keeps the answer
 * for REPLAY, beside what the action kept; if that gets lost, it is DONE. */
void queue_idempotency_look(struct queue *queue, struct queue_owner owner,
                            const struct idempotency *idempotency,
                            queue_answer_fn done, void *ctx);
void queue_idempotency_finish(struct queue *queue, struct queue_owner owner,
                              const struct idempotency *idempotency,
                              int http_status, struct str answer);

/* Rate limit per API key, over all children and hosts within 5 %: tokens are
 * leased from Redis in portions of at most a second of use. */
struct queue_rate {
    bool allowed;
    int64_t limit;
    int64_t remaining;
    int64_t reset_s; /* until the window starts anew */
    int64_t window_s;
};
enum rate_answer {
    RATE_KNOWN, /* out is filled in */
    RATE_ASK,   /* no lease at hand: queue_rate_ask, then take again */
};
enum rate_answer queue_rate_take(struct queue *queue, const struct id *key,
                                 struct queue_rate *out);
void queue_rate_ask(struct queue *queue, const struct id *key,
                    queue_answer_fn done, void *ctx);

#endif
