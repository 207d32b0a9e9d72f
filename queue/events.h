/* events.h - what happened to a mail: the record in the owner's stream and
 * the payload that a webhook gets. Pure.
 *
 * A record is one JSON map. Scripts make it by joining texts, so its members
 * have this order, and what is zero or empty is left out, save the first
 * six:
 *
 *   {"t":"email.sent"   type
 *   ,"e":"<uuid>"       email; what else it is of: endpoint, suppression
 *   ,"n":0              recipient; -1: the whole email
 *   ,"g":1              generation
 *   ,"o":1              ordinal: n-th of its type in the generation
 *   ,"s":3              sequence in the email
 *   ,"at":1764000000000 time, Unix ms
 *   ,"a":1              attempt
 *   ,"dup":1            possible duplicate
 *   ,"next":1764..      next attempt, Unix ms: delivery_delayed
 *   ,"x":"r...g..."     marks for the index (index.h): queued, scheduled
 *   DETAIL}
 *
 * DETAIL is what event_detail_write made of an event_detail: members that
 * each begin with a comma, so a script adds it as it is, and the empty text
 * where there is none. Its members: c code, ec enhanced code, r response,
 * u upstream, mx, tls, why reason, bt and bs bounce type and subtype, q
 * queued_ms, ms total_ms, url of an endpoint, ip address of the server, hg
 * the upstream that was asked beside a slow one, p
 * the phases (PHASES_MAX numbers, or those from MAIL FROM on if the session
 * was reused), cn and ce certificate subject and expiry, tq tr tu of an
 * expired one the ms in the queue, between attempts, and at upstreams; box by
 * src cr of a suppression its address, origin, email and creation; dom of a
 * domain Resend's data but for its id.
 *
 * Source: docs/webhooks.md; Resend's event payloads; Standard Webhooks 1.0.
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
    EVENT_COMPLAINED,
    EVENT_FAILED,
    EVENT_SUPPRESSED,
    EVENT_EXPIRED,
    EVENT_SUPERSEDED,
    EVENT_CANCELED,
    EVENT_WEBHOOK_DISABLED, /* of an endpoint, not of an email */
    EVENT_SUPPRESSION_ADDED,
    EVENT_SUPPRESSION_REMOVED,
    EVENT_DOMAIN_CREATED,
    EVENT_DOMAIN_UPDATED,
    EVENT_DOMAIN_DELETED,
    EVENT_DOMAIN_VERIFIED,
    EVENT_DOMAIN_FAILED,
    EVENT_TYPE_COUNT
};
const char *event_type_name(enum event_type type); /* "email.sent" */
MUST_USE bool event_type_parse(struct str name, enum event_type *type);
/* Resend's own types go to every endpoint that lists them or has no list;
 * ours (email.expired, ...) only to endpoints that name them. */
bool event_type_is_resend(enum event_type type);
bool event_type_is_of_email(enum event_type type);

/* Milliseconds: connect, TLS, AUTH, MAIL FROM, RCPT TO, DATA, message and
 * dot. */
enum { PHASES_MAX = 7, PHASES_REUSED = 4 };

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
    struct str url;    /* webhook.disabled: the endpoint's */
    bool is_late;      /* email.expired: where the time went since it was due */
    int64_t late_queue_ms;
    int64_t late_retry_ms;
    int64_t late_upstream_ms;
    struct str mailbox;     /* suppression.*: its address */
    struct str origin;      /* "bounce", "complaint", "manual" */
    struct str source;      /* the email that bounced; empty: none */
    int64_t created_ms;     /* Unix time */
    struct str domain_json; /* domain.*: a map */
    /* For those who look at attempts (attempts.h); webhooks are not told. */
    struct str address;
    struct str hedge; /* upstream that was asked beside the first, a slow one */
    unsigned phase_count; /* 0, PHASES_REUSED: the last ones, PHASES_MAX */
    unsigned phase_ms[PHASES_MAX];
    struct str tls_subject;   /* of the server's certificate */
    int64_t tls_not_after_ms; /* Unix time */
};

struct event {
    enum event_type type;
    struct id email; /* or of the endpoint, or the suppression */
    int number;      /* recipient; -1: the whole email (queued, scheduled) */
    unsigned generation;
    unsigned ordinal;  /* n-th of its type in the generation, from 1 */
    unsigned sequence; /* per email, from 1 */
    int64_t at_ms;
    unsigned attempt;
    bool possible_duplicate;
    int64_t next_attempt_ms; /* delivery_delayed; scheduled: when it was due */
    struct event_detail detail;
};

/* Texts must be valid UTF-8 (utf8_clean_add); response is cut to what is
 * kept. */
void event_detail_write(const struct event_detail *detail, struct buf *out);
/* The members alone, into a map that is open; and back, texts in arena. */
void event_detail_add(const struct event_detail *detail, struct json_out *out);
void event_detail_read(const struct json *map, struct arena *arena,
                       struct event_detail *detail);
void event_write(const struct event *event, struct buf *out);
/* False: not one of ours. The texts of event are copies in arena. */
MUST_USE bool event_read(struct str bytes, struct arena *arena,
                         struct event *event);

/* webhook-id: "msg_" and 32 hex digits, a pure function of (delivery,
 * generation, type, ordinal). */
enum { EVENT_WEBHOOK_ID_LEN = 4 + 32 };
void event_webhook_id(const struct event *event, struct buf *out);

/* No payload is larger: 100 mailboxes of 4 KiB, 50 tags, escaped, and the
 * rest. */
enum { EVENT_PAYLOAD_MAX = 2 * 1024 * 1024 };

/* {"type","created_at","data"} in Resend's shape with our additions inside
 * of data. summary NULL: not of an email, or of one of which nothing else is
 * known any more; then what it would tell is left out. */
void event_payload(const struct event *event, const struct summary *summary,
                   struct buf *out);

#endif
