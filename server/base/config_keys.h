/* config_keys.h - config.def as tables, and what was set by whom. Inside of
 * config*.c only. */
#ifndef BASE_CONFIG_KEYS_H
#define BASE_CONFIG_KEYS_H

#include "server/base/arena.h"
#include "server/base/config.h"
#include "server/base/str.h"
#include "server/base/toml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a value looks like, and what struct config holds of it. */
enum config_kind {
    KIND_TEXT,         /* const char *, without controls */
    KIND_NAME,         /* of letters, digits, - and _ */
    KIND_NAMES,        /* struct config_list of them */
    KIND_HOST,         /* a host name or an address */
    KIND_HOSTS,        /* struct config_list; max: how many */
    KIND_DOMAIN,       /* lower case; may begin with "*." */
    KIND_ENDPOINT,     /* "host:port" or "unix:/path" */
    KIND_ENDPOINTS,    /* struct config_list of them */
    KIND_ADDRESS,      /* an IP address, or "" */
    KIND_ADDRESSES,    /* struct config_list; max as above */
    KIND_NETWORKS,     /* addresses, or address/bits */
    KIND_FINGERPRINTS, /* struct config_list of SHA-256 in lower-case hex */
    KIND_REDIS_URL,
    KIND_PREFIX,        /* of Redis keys */
    KIND_SECRET_FILE,   /* its path here, its content in struct config */
    KIND_READABLE_FILE, /* a path, or "" */
    KIND_PUBLIC_KEY,    /* of the workers, text of seal.h; or "" */
    KIND_COMMAND,       /* struct config_list: a path, and arguments */
    KIND_CLASS,         /* a mail class' name */
    KIND_INT,           /* int64_t */
    KIND_BOOL,
    KIND_DURATION,          /* "500ms" "10s" "5m" "72h" "30d"; int64_t of ms */
    KIND_OPTIONAL_DURATION, /* "" is 0 */
    KIND_DURATIONS,         /* struct config_duration_list */
    KIND_SIZE,              /* "512B" "16KiB" "40MiB" "1GiB"; int64_t */
    KIND_PART,              /* "25%" or a size, "" is 0; struct config_part */
    KIND_RATE,              /* "100/s"; two int64_t: how many, per ms */
    KIND_RATES,             /* struct config_rate_list; min, max: how many */
    KIND_PORTS,             /* struct config_list, decimal */
    KIND_TLS,               /* enum config_tls */
    KIND_AUTH,              /* enum config_auth */
    KIND_CHUNKING,          /* enum config_chunking */
    KIND_TRANSCRIPTS,       /* enum config_transcripts */
    KIND_LOG_LEVEL,         /* enum log_level in an int */
    KIND_LOG_FORMAT,        /* enum log_format in an int */
    KIND_LATER,             /* only its default is allowed */
};

struct config_key {
    const char *name;
    const char *doc;
    const char *default_toml;
    enum config_kind kind;
    int64_t min;
    int64_t max;
    size_t offset; /* in the section's struct */
};

struct config_section {
    const char *name;
    const char *doc;
    bool is_list;
    size_t offset;       /* in struct config: the struct, or the pointer */
    size_t count_offset; /* lists only */
    size_t size;         /* of one struct; 0: there is none */
    size_t first_key;
};

enum { CONFIG_SECTIONS_MAX = 16, CONFIG_KEYS_MAX = 40, CONFIG_LABEL_SIZE = 32 };

size_t config_section_count(void);
const struct config_section *config_section_at(size_t index);
const struct config_section *config_section_find(struct str name); /* or NULL */

size_t config_key_count(const struct config_section *section);
const struct config_key *config_key_at(const struct config_section *section,
                                       size_t index);
/* Its index, or -1. */
ptrdiff_t config_key_find(const struct config_section *section,
                          struct str name);
struct toml_value config_key_default(const struct config_key *key,
                                     struct arena *arena);

/* "[api]" or "[[upstream]]", for messages. */
const char *config_section_label(const struct config_section *section,
                                 char out[CONFIG_LABEL_SIZE]);

/* A file as it was read. */
struct config_source {
    const char *name;
    struct str text;
    unsigned rank; /* among the files, in their order */
};

/* Who set a value: a variable or a credential, or a place in a file. All
 * empty: nobody. */
struct config_origin {
    const char *variable; /* what it is called; NULL: a file */
    const struct config_source *source;
    struct toml_place place;
};

struct config_setting {
    bool is_set;    /* else the default holds */
    bool is_secret; /* the value is the secret itself, not its file's path */
    struct toml_value value;
    struct config_origin origin;
};

/* One table of the files, or what stands for it. */
struct config_block {
    const struct config_section *section;
    struct config_origin origin;        /* where it came to be */
    const struct config_source *latest; /* the last file that names it */
    struct config_setting settings[CONFIG_KEYS_MAX]; /* by index of key */
    struct config_block *next;
};

#endif
