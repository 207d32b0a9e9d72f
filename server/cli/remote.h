/* remote.h - asking a running server: where it is, with which key, and what
 * its answer means for the exit code. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/str.h"
#include "server/cli/cli.h"

#include <stdint.h>

#define REMOTE_OPTION_URL                                                      \
    {                                                                          \
        "url", "URL", "where the API is: http://host:port or unix:/path",      \
            "POSTHASTE_URL", "http://127.0.0.1:8080"                           \
    }
/* A key is never an argument: those are for all to see. */
#define REMOTE_OPTION_KEY_FILE                                                 \
    {                                                                          \
        "key-file", "FILE",                                                    \
            "file that holds the API key; else POSTHASTE_API_KEY", NULL, NULL  \
    }

struct remote_request {
    const char *url; /* NULL: --url */
    const char *method;
    const char *path; /* percent-encoded */
    struct str body;  /* JSON; empty: none */
    bool needs_key;
    const char *idempotency; /* NULL: none */
    int64_t timeout_ms;      /* 0: the client's */
};

struct remote_answer {
    struct json *root; /* of body */
    struct buf body;
};

/* EXIT_OK and an answer of 2xx to be finished; else what was tried, what
 * happened and what to do has been said, and the exit code fits it. */
MUST_USE int remote_ask(const struct cli_args *args,
                        const struct remote_request *request,
                        struct remote_answer *answer);
void remote_answer_finish(struct remote_answer *answer);

/* The answer as it came, on one line. */
void remote_print_json(const struct remote_answer *answer);

/* Writes a good answer as text for people; root is that of the answer. */
typedef void (*remote_show_fn)(const struct json *root, struct buf *out);
/* Prints the answer, as JSON where that is wanted, else as show writes it. */
void remote_print(const struct cli_args *args,
                  const struct remote_answer *answer, remote_show_fn show);
/* Asks, and prints a good answer so. */
MUST_USE int remote_run(const struct cli_args *args,
                        const struct remote_request *request,
                        remote_show_fn show);

/* The same of a list: path, and the options of these names as its query. */
MUST_USE int remote_run_list(const struct cli_args *args, const char *path,
                             const char *const *names, size_t count,
                             remote_show_fn show);

/* Adds "?name=value", then "&": what the options of those names say, which the
 * verb must have. */
void remote_add_query(const struct cli_args *args, const char *const *names,
                      size_t count, struct buf *path);
/* Adds text with all but letters, digits and -._~ as %XX. */
void remote_encode(struct str text, struct buf *out);

#endif
