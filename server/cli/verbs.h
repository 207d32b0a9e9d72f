/* verbs.h - the files of verbs: each exports its rows. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "server/cli/cli.h"

struct verb_group {
    const struct verb *verbs;
    size_t count;
};

extern const struct verb_group VERBS_DEV;          /* dev */
extern const struct verb_group VERBS_ROLES;        /* api worker hooks */
extern const struct verb_group VERBS_SETUP;        /* init config */
extern const struct verb_group VERBS_KEYRING;      /* keyring ... */
extern const struct verb_group VERBS_KEYS;         /* keys create|list|revoke */
extern const struct verb_group VERBS_EMAILS;       /* send, emails ... */
extern const struct verb_group VERBS_LINT;         /* lint */
extern const struct verb_group VERBS_LISTS;        /* emails list, events */
extern const struct verb_group VERBS_WEBHOOKS;     /* webhooks ... */
extern const struct verb_group VERBS_SUPPRESSIONS; /* suppressions ... */
extern const struct verb_group VERBS_TEMPLATES;    /* templates ... */
extern const struct verb_group VERBS_DOMAINS;      /* domains ... */
extern const struct verb_group VERBS_INBOX;        /* inbox ... */
extern const struct verb_group VERBS_QUEUE;        /* queue stats */
extern const struct verb_group VERBS_PARTITION;    /* partition ... */
extern const struct verb_group VERBS_PARKED;       /* queue held|dead ... */
extern const struct verb_group VERBS_UPSTREAMS;    /* upstreams ... */
extern const struct verb_group VERBS_MIGRATE;      /* migrate */
extern const struct verb_group VERBS_RETURN_PATH;  /* return-path */
extern const struct verb_group VERBS_FEEDBACK;     /* feedback */
extern const struct verb_group VERBS_PROBE;        /* live ready */
extern const struct verb_group VERBS_VERSION;      /* version */

#endif
