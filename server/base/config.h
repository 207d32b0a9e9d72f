/* config.h - what the operator may set, read once and then constant.
 *
 * config.def is the one list of keys: names, types, defaults and their
 * documentation come from it, and so do the environment variables,
 * `posthaste config show` and the commented posthaste.toml. The file is a
 * strict subset of TOML (toml.h). Order: environment over credentials over
 * conf.d/NAME.toml beside the file, the later name over the earlier, over the
 * file over default. An [[upstream]] or [[route]] whose name an earlier file
 * has changes that one, key by key; another one comes behind all.
 *
 * A variable is POSTHASTE_ and the path with __ between its parts, in
 * capitals: POSTHASTE_API__LISTEN (lists: with commas). A repeated table is
 * named by its name: POSTHASTE_UPSTREAM__main__HOST; it comes to be if the
 * file has none of that name. A secret may come itself, without _FILE:
 * POSTHASTE_REDIS__PASSWORD.
 *
 * A file in $CREDENTIALS_DIRECTORY, where systemd's LoadCredential= puts them,
 * is named as its key without _file: redis.password, secrets.keyring,
 * upstream.main.password.
 */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { CONFIG_UPSTREAMS_MAX = 64, CONFIG_ROUTE_NAME_MAX = 400 };

/* Members are named as their keys; a unit is appended: _ms for durations,
 * _bytes for sizes. Strings end in NUL, "" when not set. */
struct config_list {
    const char **items;
    size_t count;
};

struct config_rate {
    int64_t count; /* at least 1 */
    int64_t per_ms;
};

struct config_rate_list {
    const struct config_rate *items;
    size_t count;
};

struct config_duration_list {
    int64_t *items_ms;
    size_t count;
};

enum config_tls { TLS_IMPLICIT, TLS_STARTTLS, TLS_OPPORTUNISTIC, TLS_OFF };
/* Which messages go by BDAT (RFC 3030), where CHUNKING is offered. */
enum config_chunking { CHUNKING_LARGE, CHUNKING_ALWAYS, CHUNKING_NEVER };
/* Of which attempts what both sides said is kept. */
enum config_transcripts {
    TRANSCRIPTS_FAILED,
    TRANSCRIPTS_ALL,
    TRANSCRIPTS_NONE
};
enum config_auth {
    AUTH_AUTO,
    AUTH_NONE,
    AUTH_PLAIN,
    AUTH_LOGIN,
    AUTH_CRAM_MD5,
    AUTH_SCRAM_SHA_1,
    AUTH_SCRAM_SHA_256,
    AUTH_OAUTHBEARER,
    AUTH_XOAUTH2
};

struct config_api {
    struct config_list listen; /* "host:port" or "unix:/path" */
    const char *admin_listen;
    int64_t max_body_bytes;
    int64_t header_timeout_ms;
    int64_t body_timeout_ms;
    int64_t connections_per_ip;
    struct config_list trusted_proxies;
    const char *operator; /* an owner; "": none */
};

/* Of a whole that is known later, or in bytes; both 0: no limit. */
struct config_part {
    int64_t percent; /* 1..100 */
    int64_t bytes;
};

struct config_redis {
    /* "redis://host:port/db", "unix:/path?db=N",
     * "sentinel://host:port,host/name/db" or "cluster://host:port,host/" */
    const char *url;
    const char *username;
    const char *password; /* read from password_file */
    const char *sentinel_username;
    const char *sentinel_password; /* read from sentinel_password_file */
    const char *prefix;
    bool allow_volatile;
    struct config_part history_max;
    int64_t wait_replicas;
};

struct config_secrets {
    const char *keyring_file;
    const char *worker_key_file;
    const char *worker_public_key; /* text of seal.h, or "" */
};

struct config_worker {
    const char *admin_listen;
    int64_t message_ttl_ms;
    int64_t stop_timeout_ms; /* 0: the dot timeout */
    int64_t lease_ms;
    const char *state_dir;             /* "": none */
    struct config_duration_list retry; /* empty: each class's own plan */
};

struct config_upstream {
    const char *name;
    const char *host;
    int64_t port;
    enum config_tls tls;
    const char *tls_ca_file;             /* "": the system's */
    struct config_list tls_fingerprints; /* 64 digits, lower case, each */
    const char *tls_cert_file;           /* "": none */
    const char *tls_key_file;            /* "": in tls_cert_file */
    enum config_auth auth;
    bool auth_in_clear;
    const char *username;
    const char *password;             /* read from password_file */
    const char *token_file;           /* "": none */
    struct config_list token_command; /* a path first; empty: none */
    int64_t max_sessions;
    int64_t messages_per_session;
    int64_t weight;
    int64_t priority;
    struct config_rate_list rate; /* empty: none; each window once */
    bool pipeline_next;
    enum config_chunking chunking;
    struct config_list dsn_notify; /* empty: as the server likes */
    const char *source_address;    /* "": any */
    int64_t connect_timeout_ms;
    int64_t banner_timeout_ms;
    int64_t command_timeout_ms;
    int64_t data_timeout_ms;
    int64_t block_timeout_ms;
    int64_t dot_timeout_ms;
    int64_t session_timeout_ms;
    int64_t idle_timeout_ms;
};

struct config_route {
    const char *name;  /* given, or the upstreams' names joined by "+"; at most
                        * CONFIG_ROUTE_NAME_MAX bytes */
    const char *class; /* "" matches all; so do the next three */
    const char *from_domain;
    const char *to_domain;
    const char *tag;
    struct config_list upstreams; /* names, each known */
    bool final;
    int64_t hedge_percent; /* 0: no mail is offered to two upstreams */
};

struct config_sending {
    const char *bounce_domain; /* empty: none */
    const char *product_name;  /* of built-in templates; empty: none */
    const char *spf_include;   /* empty: none */
    const char *bounce_mx;     /* empty: none */
    struct config_list addresses;
    struct config_list dnsbl; /* zones */
};

struct config_hooks {
    const char *admin_listen;
};

struct config_domains {
    bool require_verified;
    struct config_list resolver; /* empty: the system's */
};

struct config_webhook {
    int64_t timeout_ms;
    struct config_list ports; /* decimal; empty: any */
    struct config_duration_list retry;
    bool allow_private;
};

struct config_limits {
    int64_t rate;        /* requests per window and key; 0: none */
    int64_t rate_per_ms; /* the window */
    int64_t queue;       /* open deliveries; 0: no limit; so is the next */
    int64_t owner_queue;
};

struct config_privacy {
    int64_t keep_bodies_ms;
    int64_t keep_events_ms;
    enum config_transcripts transcripts;
};

struct config_log {
    int level;  /* enum log_level */
    int format; /* enum log_format */
};

struct config {
    struct config_api api;
    struct config_redis redis;
    struct config_secrets secrets;
    struct config_worker worker;
    struct config_upstream *upstreams;
    size_t upstream_count;
    struct config_route *routes; /* the default route stands last */
    size_t route_count;
    struct config_sending sending;
    struct config_domains domains;
    struct config_hooks hooks;
    struct config_webhook webhook;
    struct config_limits limits;
    struct config_privacy privacy;
    struct config_log log;
    struct arena *arena;         /* owns all of it */
    struct config_block *blocks; /* who set what, for config_show */
    const char *file;            /* the first one; "" when there is none */
};

/* path NULL: only environment, credentials and defaults. Problems
 * ("file:line:column: text", below it the line with a caret; "POSTHASTE_X__Y:
 * text") are added to problems; NULL if there were any. Reads the files that
 * hold secrets. */
struct config *config_load(const char *path, struct buf *problems);
/* The same from memory; name stands for the file in problems. */
struct config *config_parse(struct str text, const char *name,
                            struct buf *problems);
void config_destroy(struct config **config);

/* A value, for what is found wrong with it later. */
struct config_value_name {
    const char *table; /* "secrets", "upstream" */
    size_t index;      /* of a repeated table */
    const char *key;
};

/* Adds text, and a newline, as config_load would have told it of that value. */
void config_add_problem(const struct config *config,
                        struct config_value_name value, const char *text,
                        struct buf *problems);
/* Puts "file:line:column: ", or what else set the value, before the error. */
void config_prefix_place(const struct config *config,
                         struct config_value_name value, struct error *err);

/* The file to use: the flag's, POSTHASTE_CONFIG, ./posthaste.toml,
 * /etc/posthaste/posthaste.toml; NULL when there is none. */
const char *config_find(const char *flag);

/* Every key with its value and who set it; secrets masked. */
void config_show(const struct config *config, bool as_json, struct buf *out);

/* A key to be set in the template; value is written as in the file. */
struct config_preset {
    const char *table;
    const char *key;
    const char *toml;
};

/* posthaste.toml with every key, its documentation and its default as a
 * comment; the presets are set. */
void config_template(const struct config_preset *presets, size_t count,
                     struct buf *out);

#endif
