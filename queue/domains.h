/* domains.h - the domains that an owner sends from, and their DKIM keys.
 *
 * A domain belongs to one owner: its name is claimed in a key of its own
 * before it is stored with him (docs/decisions/0035). What it is stands in one
 * text with a version, so a change is read, made and put back against that
 * version; who comes second reads again. Private keys come sealed to the
 * workers' key (server/base/seal.h), lie apart and are never given to those
 * who show a domain; they outlive it for as long as queued mail may name them.
 *
 * What DNS must show, and whether it does, is not known here: the status and
 * the report are texts of those who check (server/domain/domain.h).
 *
 * Source: reference message.md section 3 (rotation); blueprint 10.9, 10.11.
 */
#ifndef QUEUE_DOMAINS_H
#define QUEUE_DOMAINS_H

#include "queue/store.h"

enum {
    SENDER_NAME_MAX = 253,
    SENDER_SELECTOR_MAX = 63,  /* one label */
    SENDER_PUBLIC_MAX = 1024,  /* of RSA with 4096 bits 736 */
    SENDER_WORD_MAX = 64,      /* return_path, region, status */
    SENDER_KEYS_MAX = 4,       /* generations that are remembered */
    SENDER_DOMAINS_MAX = 1000, /* of one owner: scripts/domain_create.lua */
    SENDER_REPORT_MAX = 64 * 1024,
    /* All of a domain; quotation marks in its report are escaped. */
    SENDER_TEXT_MAX = 2 * SENDER_REPORT_MAX + 64 * 1024,
};

/* A generation of keys: one RSA, one Ed25519. It is published from creation;
 * signs from signs_ms on (0: its records were not seen yet), until retires_ms
 * (0: nobody has taken over); its p= stays for SENDER_KEY_OLD_MS more and is
 * empty then, for as long as its private halves are kept. Of one that is
 * compromised it is empty at once when it retires, and the halves go then. */
struct sender_key {
    struct id id;
    unsigned generation; /* from 1 */
    struct str rsa_selector;
    struct str ed25519_selector;
    struct str rsa_public; /* as p= has it: base64 */
    struct str ed25519_public;
    int64_t created_ms;
    int64_t signs_ms;
    int64_t retires_ms;
    int64_t compromised_ms; /* since then others may have it; 0: it is not */
};
#define SENDER_KEY_OLD_MS (INT64_C(7) * 24 * 3600 * 1000)
#define SENDER_KEY_KEPT_MS                                                     \
    (INT64_C(30) * 24 * 3600 * 1000) /* + message_ttl                          \
                                      */

enum sender_key_state {
    SENDER_KEY_NEXT, /* published, signs nothing yet */
    SENDER_KEY_SIGNS,
    SENDER_KEY_OLD,         /* published, signs nothing any more */
    SENDER_KEY_REVOKED,     /* p= is empty */
    SENDER_KEY_COMPROMISED, /* the same, before its time */
};
enum sender_key_state sender_key_state(const struct sender_key *key,
                                       int64_t now_ms);
/* Of the last two. */
bool sender_key_is_revoked(enum sender_key_state state);

struct sender_domain {
    struct id id;
    struct str name;        /* A-labels, lower case */
    struct str return_path; /* the label before it: "send" */
    struct str region;      /* as it was asked for, and shown again */
    struct str status;      /* Resend's word: "not_started" */
    int64_t created_ms;
    struct sender_key keys[SENDER_KEYS_MAX]; /* oldest first */
    size_t key_count;
    struct str report;  /* of the last check; empty: none */
    int64_t checked_ms; /* 0: never */
    int64_t due_ms;     /* of the next check; 0: none */
    int64_t since_ms;   /* that it is looked at for the status it lacks */
    unsigned checks;    /* since then */
    uint64_t version;
};

/* The one that signs now; NULL: none. */
const struct sender_key *
sender_domain_signer(const struct sender_domain *domain, int64_t now_ms);
/* The newest one, if it does not sign yet. */
struct sender_key *sender_domain_next(struct sender_domain *domain,
                                      int64_t now_ms);
/* Which generation signs a mail that was accepted with that one: accepted until
 * it is revoked, the one that signs now from then on. domain NULL: it was
 * deleted, so accepted. */
const struct id *sender_domain_signs_for(const struct sender_domain *domain,
                                         const struct id *accepted,
                                         int64_t now_ms);
/* Its records were seen: it takes over in delay_ms, unless that time is set; at
 * once from one that is compromised. */
void sender_domain_switch(struct sender_domain *domain, int64_t now_ms,
                          int64_t delay_ms);
/* They were not, or are gone again: who signs goes on. */
void sender_domain_stay(struct sender_domain *domain, int64_t now_ms);
/* Others may have the keys of every generation: what signs does so until it is
 * replaced, all else is revoked, what was to sign next too. */
void sender_domain_compromise(struct sender_domain *domain, int64_t now_ms);
/* Makes room for one more generation: those are forgotten whose private halves
 * are swept, else the oldest that signs nothing. */
void sender_domain_forget(struct sender_domain *domain, int64_t now_ms,
                          int64_t message_ttl_ms);

/* The text of a domain, without its version. Pure; texts of a domain that was
 * read are in arena. False: not one of ours. */
void sender_domain_write(const struct sender_domain *domain, struct buf *out);
MUST_USE bool sender_domain_read(struct str text, struct arena *arena,
                                 struct sender_domain *domain);

/* Private halves: seal_to with these labels; the context names owner, domain
 * and generation: "owner/domain/key id". */
#define SENDER_SEAL_RSA     "dkim-rsa"
#define SENDER_SEAL_ED25519 "dkim-ed25519"
void sender_seal_context(struct str owner, struct str domain,
                         const struct id *key, struct buf *out);
struct sender_sealed {
    struct str rsa; /* of the DER of PKCS #8 */
    struct str ed25519;
};

/* What an owner's stream is told with a change: type of events.h, and Resend's
 * data without its id, as members of a JSON map ("\"name\":...,..."). type
 * EVENT_TYPE_COUNT: nothing. */
struct domain_event {
    enum event_type type;
    struct str members;
};
enum { DOMAIN_EVENT_MAX = 64 * 1024 };

struct queue_domains {
    enum queue_status status;
    struct error why;
    const struct sender_domain *domains; /* newest first */
    size_t count;
    bool has_more;
    bool owner_has_none; /* queue_domain_find: not a single domain */
};
typedef void (*queue_domains_fn)(void *ctx, const struct queue_domains *list);

/* One of an owner's: an id, or a name. */
struct domain_name {
    const struct id *id; /* NULL: the name */
    struct str name;
};

/* Claims the name and stores the domain with its one generation. REFUSED and
 * why: the name is taken, by whom; OWNER_FULL. answer: what a replay gets, with
 * status 201. */
void queue_domain_create(struct queue *queue, struct queue_owner owner,
                         const struct sender_domain *domain,
                         const struct sender_sealed *sealed,
                         const struct domain_event *event,
                         const struct idempotency *idempotency,
                         struct str answer, queue_answer_fn done, void *ctx);
void queue_domain_list(struct queue *queue, struct queue_owner owner,
                       const struct queue_page *page, queue_domains_fn done,
                       void *ctx);
/* NOT_FOUND, or the one. */
void queue_domain_get(struct queue *queue, struct queue_owner owner,
                      struct domain_name name, queue_domains_fn done,
                      void *ctx);

/* Puts a domain back that was read: REFUSED if it was changed meanwhile (read
 * it again), NOT_FOUND if it is gone. */
struct domain_put {
    const struct sender_domain *domain; /* its version is what was read */
    const struct domain_event *events;
    size_t event_count;
    const struct id *new_key; /* NULL: none; else with its private halves */
    const struct sender_sealed *sealed;
    const struct idempotency *idempotency; /* NULL: none */
    struct str answer;                     /* of a replay, with status 200 */
};
void queue_domain_put(struct queue *queue, struct queue_owner owner,
                      const struct domain_put *put, queue_answer_fn done,
                      void *ctx);

/* OK or NOT_FOUND. Private keys are kept as after a rotation. */
void queue_domain_delete(struct queue *queue, struct queue_owner owner,
                         const struct sender_domain *domain,
                         const struct domain_event *event, queue_answer_fn done,
                         void *ctx);

/* What a From of that domain can be signed as: the owner's domain of that name
 * and those above it, nearest first. */
void queue_domain_find(struct queue *queue, struct queue_owner owner,
                       struct str from_domain, queue_domains_fn done,
                       void *ctx);

/* Domains of a partition whose check is due, with their owners: at most limit,
 * all of one owner. Whoever asks has them for lease_ms; then they are due
 * again, unless they were put with another time. */
struct queue_due_domains {
    enum queue_status status;
    struct error why;
    struct queue_owner owner; /* name empty: none is due */
    const struct sender_domain *domains;
    size_t count;
    int64_t next_ms; /* until the next one is due; -1: none is waiting */
};
typedef void (*queue_due_domains_fn)(void *ctx,
                                     const struct queue_due_domains *due);
void queue_domains_due(struct queue *queue, unsigned partition, unsigned limit,
                       int64_t lease_ms, queue_due_domains_fn done, void *ctx);

/* For workers: the private halves of a generation, sealed. NOT_FOUND: they are
 * swept, or never were. */
struct queue_domain_key {
    enum queue_status status;
    struct error why;
    const struct sender_domain *present; /* OK, NOT_FOUND: the owner's domain of
                                          * that name by now; NULL: none */
    struct str domain;
    struct str rsa_selector;
    struct str ed25519_selector;
    struct sender_sealed sealed;
};
typedef void (*queue_domain_key_fn)(void *ctx,
                                    const struct queue_domain_key *key);
void queue_domain_key_get(struct queue *queue, struct queue_owner owner,
                          struct str domain, struct str key_id,
                          queue_domain_key_fn done, void *ctx);

#endif
