/* domain.h - the door: what a sender's domain has to publish in DNS, and
 * whether it does.
 *
 * The records are a pure function of the keys and of what the operator
 * configured. A check asks DNS for them and for what mail of that domain
 * rests on besides, and says of each what was found, what is wanted, and why
 * in words that its owner can act upon. It stores nothing: what was found
 * last comes in as text (domain_report_read) and goes out as text.
 *
 * Source: RFC 6376, RFC 8301, RFC 8463 (DKIM); RFC 7208 (SPF); RFC 7489 and
 * RFC 9091 (DMARC); RFC 7505 (null MX); RFC 8461 (MTA-STS); RFC 8460
 * (TLS-RPT); RFC 5782 (block lists); docs/domains.md.
 */
#ifndef DOMAIN_DOMAIN_H
#define DOMAIN_DOMAIN_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/json.h"
#include "server/base/str.h"
#include "smtp/message/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is looked at; docs/domains.md tells of each. */
#define DOMAIN_CHECKS(ROW)                                                     \
    ROW(CHECK_DKIM, "dkim")                                                    \
    ROW(CHECK_RETURN_PATH_MX, "return_path_mx")                                \
    ROW(CHECK_RETURN_PATH_SPF, "return_path_spf")                              \
    ROW(CHECK_SPF, "spf")                                                      \
    ROW(CHECK_DMARC, "dmarc")                                                  \
    ROW(CHECK_FROM_MX, "from_mx")                                              \
    ROW(CHECK_WILDCARD, "wildcard_txt")                                        \
    ROW(CHECK_MTA_STS, "mta_sts")                                              \
    ROW(CHECK_TLS_RPT, "tls_rpt")                                              \
    ROW(CHECK_BIMI, "bimi")                                                    \
    ROW(CHECK_SENDING_HOSTS, "sending_hosts")                                  \
    ROW(CHECK_DNSBL, "dnsbl")
/* How one of them stands; Resend's words for a record. */
#define DOMAIN_STATES(ROW)                                                     \
    ROW(NOT_STARTED, "not_started")                                            \
    ROW(PENDING, "pending")                                                    \
    ROW(VERIFIED, "verified")                                                  \
    ROW(FAILED, "failed")                                                      \
    ROW(TEMPORARY, "temporary_failure")
/* How the domain stands; Resend's words. */
#define DOMAIN_STATUSES(ROW)                                                   \
    ROW(STATUS_NOT_STARTED, "not_started")                                     \
    ROW(STATUS_PENDING, "pending")                                             \
    ROW(STATUS_VERIFIED, "verified")                                           \
    ROW(STATUS_PARTIALLY_VERIFIED, "partially_verified")                       \
    ROW(STATUS_PARTIALLY_FAILED, "partially_failed")                           \
    ROW(STATUS_FAILED, "failed")
/* REQUIRED ones make the domain's status, RECOMMENDED ones are what receivers
 * ask for besides, ADVICE is what good senders have. */
#define DOMAIN_WEIGHTS(ROW)                                                    \
    ROW(REQUIRED, "required")                                                  \
    ROW(RECOMMENDED, "recommended")                                            \
    ROW(ADVICE, "advice")

#define DOMAIN_MEMBER(member, name) DOMAIN_##member,
enum domain_check { DOMAIN_CHECKS(DOMAIN_MEMBER) DOMAIN_CHECK_COUNT };
enum domain_state { DOMAIN_STATES(DOMAIN_MEMBER) DOMAIN_STATE_COUNT };
enum domain_status { DOMAIN_STATUSES(DOMAIN_MEMBER) DOMAIN_STATUS_COUNT };
enum domain_weight { DOMAIN_WEIGHTS(DOMAIN_MEMBER) DOMAIN_WEIGHT_COUNT };
#undef DOMAIN_MEMBER

const char *domain_check_name(enum domain_check check);
const char *domain_state_name(enum domain_state state);
const char *domain_status_name(enum domain_status status);
const char *domain_weight_name(enum domain_weight weight);
/* False: not such a word. */
MUST_USE bool domain_status_of(struct str name, enum domain_status *status);

/* --- what there is to publish --- */

/* A DKIM key that receivers shall find. */
enum domain_key_use {
    DOMAIN_KEY_SIGNS,       /* mail is signed with it now: REQUIRED */
    DOMAIN_KEY_NEXT,        /* published ahead of its time: RECOMMENDED */
    DOMAIN_KEY_PAST,        /* what it signed may still be under way: ADVICE */
    DOMAIN_KEY_COMPROMISED, /* revoked, since others may have it: RECOMMENDED */
};
struct domain_key {
    struct str selector; /* "ph1r1": the label before ._domainkey */
    enum dkim_algorithm algorithm;
    struct str public_key; /* base64, as it stands in p= */
    enum domain_key_use use;
};

enum { DOMAIN_KEYS_MAX = 8 }; /* two algorithms, up to four generations */

enum { DOMAIN_ADDRESSES_MAX = 8, DOMAIN_ZONES_MAX = 4 };

/* All text belongs to the caller. */
struct domain_setup {
    struct str name;        /* A-labels, lower case */
    struct str return_path; /* a label like "send"; empty: none */
    const struct domain_key *keys;
    size_t key_count;       /* at most DOMAIN_KEYS_MAX */
    struct str spf_include; /* [sending] spf_include; empty: none */
    struct str bounce_mx;   /* [sending] bounce_mx; empty: none */
    /* [sending] bounce_domain: where return paths are unless the domain has
     * its own. Empty: the addresses of From. */
    struct str bounce_domain;
    const struct str *addresses; /* [sending] addresses: IPv4, IPv6 */
    size_t address_count;        /* at most DOMAIN_ADDRESSES_MAX */
    const struct str *zones;     /* [sending] dnsbl */
    size_t zone_count;           /* at most DOMAIN_ZONES_MAX */
};

struct domain_record {
    const char *record;      /* Resend's word: "DKIM", "SPF", "DMARC" */
    enum domain_check check; /* that looks at it */
    enum domain_weight weight;
    struct str name;   /* below the domain: "send", "_dmarc"; "@": itself */
    struct str fqdn;   /* the whole name, without a final dot */
    const char *type;  /* "TXT", "MX" */
    struct str value;  /* of TXT in one line, of MX the host */
    struct str split;  /* of TXT as zone files want it: "..." "...", at most
                        * 255 octets each; of MX "10 host." */
    unsigned priority; /* of MX; else 0 */
};

/* DKIM, two for the return path, SPF where there is none, DMARC. */
enum { DOMAIN_RECORDS_MAX = DOMAIN_KEYS_MAX + 4 };

/* The records, in arena, in the order to show them. With return_path and
 * bounce_mx: MX and SPF of the return path. With neither these nor
 * bounce_domain: SPF of the domain itself, since its addresses are the return
 * paths then. SPF only where there is spf_include. */
size_t domain_records(const struct domain_setup *setup, struct arena *arena,
                      struct domain_record records[DOMAIN_RECORDS_MAX]);

/* --- whether it is there --- */

enum { DOMAIN_TEXT_MAX = 600 }; /* bytes of each text of a finding */

struct domain_finding {
    enum domain_check check;
    enum domain_weight weight;
    enum domain_state state;
    bool warns;          /* though verified, the reason is worth reading */
    struct str name;     /* that was asked for */
    struct str type;     /* "TXT", "MX" */
    struct str found;    /* valid UTF-8 without controls; empty: nothing */
    struct str wanted;   /* empty: nothing certain */
    struct str reason;   /* a sentence or two; empty: all is well */
    int64_t since_ms;    /* of the state */
    int64_t verified_ms; /* seen as it should be last; 0: never */
    unsigned misses;     /* surely wrong so often since */
};

/* Every key, and each other check once. */
enum { DOMAIN_FINDINGS_MAX = DOMAIN_KEYS_MAX + DOMAIN_CHECK_COUNT };

struct domain_report {
    enum domain_status status;
    int64_t checked_ms;
    int64_t next_ms; /* when to look again */
    /* To be kept with it, for the next struct domain_past. */
    int64_t since_ms;
    unsigned checks;
    struct domain_finding findings[DOMAIN_FINDINGS_MAX];
    size_t count;
};

/* As one JSON map, times in RFC 3339: what is stored and shown. */
enum { DOMAIN_REPORT_MAX = 64 * 1024 };
void domain_report_write(const struct domain_report *report, struct buf *out);
/* What was written, in arena; of anything else an empty report (not started,
 * never checked). */
void domain_report_read(struct str text, struct arena *arena,
                        struct domain_report *report);
/* What was found of a record; NULL: it was not looked at yet. */
const struct domain_finding *
domain_report_find(const struct domain_report *report,
                   const struct domain_record *record);

/* Mail of the domain passes DKIM at all receivers: with a status of verified
 * or partially so. */
bool domain_may_send(enum domain_status status);

/* Bounces to that host, a domain's return path, arrive, and SPF passes for it
 * as far as that is asked for: what was found of it is all as it should be, or
 * was so when the DNS answered last. */
bool domain_takes_bounces(const struct domain_report *report, struct str host);

/* What is known of a domain before it is checked. A new one, and one whose
 * owner asks to verify it, begins with since_ms of that time and no checks. */
struct domain_past {
    struct str report; /* domain_report_write of the last check; empty: none */
    int64_t since_ms;  /* it is waited for its records since then: 72 hours */
    unsigned checks;   /* since then */
};

/* How a check fetches what an https:// URL has: a GET without redirects, by
 * whoever speaks HTTP. start calls back exactly once, later, with texts that
 * are valid during the call, or never when it was cancelled, which takes what
 * start gave. */
struct policy_reply {
    int status;      /* HTTP; 0: no answer, why says it */
    const char *why; /* "" when there is one */
    bool is_late;    /* no answer in time: perhaps there is one later */
    struct str type; /* Content-Type, as it came */
    struct str body; /* any bytes; 64 KiB are read */
    bool is_cut;     /* there was more */
};
typedef void (*domain_fetched_fn)(void *ctx, const struct policy_reply *reply);
struct domain_fetcher {
    void *(*start)(void *self, struct str url, domain_fetched_fn fn, void *ctx);
    void (*cancel)(void *self, void *fetch);
    void *self;
};

/* Asks the DNS, and for a policy of MTA-STS, and judges what they say; at most
 * 160 look-ups and 10 seconds, what is not answered then counts as failed
 * for now. setup and past are copied; fetcher outlives the run. Fires exactly
 * once, later, or never when cancelled; report is valid during the call, the
 * handle of the run is dead. */
struct dns;
struct loop;
struct domain_run;
typedef void (*domain_checked_fn)(void *ctx,
                                  const struct domain_report *report);
struct domain_run *domain_check(struct loop *loop, struct dns *dns,
                                const struct domain_fetcher *fetcher,
                                const struct domain_setup *setup,
                                const struct domain_past *past,
                                domain_checked_fn fn, void *ctx);
void domain_check_cancel(struct domain_run **run);

/* --- what is shown --- */

struct domain_shown {
    const struct domain_setup *setup;
    const struct domain_report *report; /* NULL: none yet */
    struct str status;
    struct str region; /* as it was asked for */
    int64_t created_ms;
};
/* Members of a map that is open, in Resend's shape: name, status, created_at,
 * region, records. A record has found, reason, weight, fqdn and value_split
 * besides. */
void domain_show(struct json_out *out, const struct domain_shown *shown,
                 struct arena *arena);

#endif
