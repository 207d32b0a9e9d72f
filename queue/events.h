/* events.h - what happened to a mail: the record in the owner's stream and
 * the payload that a webhook gets. Pure.
 *
 * Source: design/api.md 5; Resend's payload shapes (wire contracts 2.11);
 * blueprint 10, rulings 1-3.
 */
#ifndef QUEUE_EVENTS_H
#define QUEUE_EVENTS_H

#include "queue/record.h"

enum event_type {
    EVENT_QUEUED,
    EVENT_SCHEDULED,
    EVENT_SENT,
    EVENT_DELIVERED,
    EVENT_DELIVERY_DELAYED,
    EVENT_BOUNCED,
    EVENT_FAILED,
    EVENT_SUPPRESSED,
    EVENT_EXPIRED,
    EVENT_SUPERSEDED,
    EVENT_CANCELED,
    EVENT_TYPE_COUNT
};
const char *event_type_name(enum event_type type); /* "email.sent" */
MUST_USE bool event_type_parse(struct str name, enum event_type *type);
/* Resend's own types go to every endpoint that lists them or has no list;
 * ours (email.expired, ...) only to endpoints that name them. */
bool event_type_is_resend(enum event_type type);

/* What an attempt tells. Texts may be empty, numbers 0: then the member is
 * left out. */
struct event_detail {
    int code;
    struct str enhanced_code;
    struct str response; /* clean UTF-8, <= 1 KiB; 120 bytes are kept */
    struct str upstream;
    struct str mx;
    struct str tls;         /* "TLSv1.3 TLS_AES_256_GCM_SHA384" */
    struct str reason;      /* of failed and expired */
    struct str bounce_type; /* Resend's: Permanent, Transient, ... */
    struct str bounce_subtype;
    int64_t queued_ms; /* due -> claimed by this attempt */
    int64_t total_ms;  /* due -> now */
};

struct event {
    enum event_type type;
    struct id email;
    int number; /* recipient; -1: the whole email (queued, scheduled) */
    unsigned generation;
    unsigned ordinal;  /* n-th of its type in the generation, from 1 */
    unsigned sequence; /* per email, from 1 */
    int64_t at_ms;
    unsigned attempt;
    bool possible_duplicate;
    int64_t next_attempt_ms; /* delivery_delayed */
    struct event_detail detail;
};

/* One compact JSON text per event; read from Redis replies. False: not one
 * of ours. Texts of event point into arena. */
void event_write(const struct event *event, struct buf *out);
MUST_USE bool event_read(struct str bytes, struct arena *arena,
                         struct event *event);

/* webhook-id: a pure function of (delivery, generation, type, ordinal). */
void event_webhook_id(const struct event *event, struct buf *out);

/* {"type","created_at","data"} in Resend's shape with our additions. */
void event_payload(const struct event *event, const struct summary *summary,
                   struct buf *out);

#endif
