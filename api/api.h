/* api.h - the HTTP API: what callers see.
 *
 * Authenticates, limits, validates, hands to the queue, answers. One struct
 * api per child; it keeps nothing that must outlive the process.
 *
 * Source: docs/api.md, openapi.yaml; Resend's wire format.
 */
#ifndef API_API_H
#define API_API_H

#include "queue/queue.h"
#include "server/base/check.h"
#include "server/base/config.h"
#include "server/base/error.h"
#include "server/base/str.h"
#include "server/http/httpd.h"
#include "server/io/loop.h"
#include "smtp/smtp.h"

#include <stdbool.h>
#include <stddef.h>

struct api;

/* config and queue outlive it; a drain closes the listening sockets. NULL and
 * err: a value of the configuration that cannot be used. */
MUST_USE struct api *api_open(struct loop *loop, const struct config *config,
                              struct queue *queue, const int *listen_fds,
                              size_t listen_count, struct error *err);

/* Takes nothing new, answers what was accepted, then calls done once.
 * is_replaced: see httpd_drain. */
void api_drain(struct api *api, bool is_replaced, void (*done)(void *ctx),
               void *ctx);

/* Before queue_close. What is still unanswered is answered 503. */
void api_close(struct api **api);

/* Writes the JSON body of a refusal that has no call behind it (httpd.h,
 * http_problem_fn): the one shape of errors, for the admin listener too. */
void api_problem(void *ctx, struct http_request *request, unsigned status,
                 const char *detail);

/* --- upstreams, as GET /upstreams and `posthaste upstreams list` show one ---
 */

struct config_upstream;
struct json_out;
struct queue_upstream;

/* "paused", "unknown" (no worker tells), or smtp_health_name. */
const char *api_upstream_state(const struct queue_upstream *upstream);
void api_upstream_write(struct json_out *out,
                        const struct config_upstream *config,
                        const struct queue_upstream *upstream);

/* --- POST /emails?dry_run=true without a server, for `posthaste lint` --- */

/* Adds to out what would be answered for that body, save for routes and keys
 * of DKIM, which a server knows. False: problems has what is wrong with the
 * body, a line each. */
MUST_USE bool api_dry_run(struct str body, const struct config *config,
                          int64_t now_ms, struct buf *out,
                          struct buf *problems);

/* --- templates without a server, for `posthaste lint FOLDER` --- */

struct api_template {
    struct str alias;
    struct str body; /* as of a POST /templates that makes it */
    bool is_wanted;  /* else it is there for others to name */
};

/* All of it lives during the call that tells it. */
struct api_finding {
    struct str alias;   /* of what was judged */
    struct str locale;  /* empty: of them all */
    struct str source;  /* the alias of where it stands: a part has its own */
    struct str pointer; /* into the body of that one: "/locales/zh/html" */
    unsigned line;      /* of the text there, from 1; 0: not known */
    unsigned column;
    const char *level;
    struct str code;  /* of lint, or of a refusal */
    struct str where; /* as in a preview */
    struct str text;
    struct str example; /* may be empty */
};
typedef void (*api_finding_fn)(void *ctx, const struct api_finding *finding);

/* Tells what is wrong with them, in their order: what the server would refuse,
 * what it would not render, what declarations lack, and what lint says of the
 * mail that each makes of its examples, the same as a preview of it, save for
 * keys of DKIM. */
void api_lint_templates(const struct api_template *templates, size_t count,
                        enum mail_class mail_class, api_finding_fn tell,
                        void *ctx);

/* --- what came back of a mail, for `posthaste feedback` --- */

struct api_feedback {
    struct smtp_feedback said; /* by smtp_feedback_read */
    struct queue_feedback_answer answer;
    void (*done)(void *ctx); /* answer is there */
    void *ctx;
};

/* Takes down what it says; owner NULL: whoever's it is. It must live until
 * done, as the texts of said. False: nothing follows from what it says, so
 * nobody was asked. */
MUST_USE bool api_feedback_take(struct api_feedback *feedback,
                                struct queue *queue,
                                const struct queue_owner *owner);
/* Adds what became of it as JSON, unless it failed or is FEEDBACK_OPEN. */
void api_feedback_write(const struct api_feedback *feedback, struct buf *buf);

/* --- tokens of API keys ---
 *
 * "ph_live_" and 59 characters: 256 random bits and the CRC-32 of what
 * stands before it, in base 32 (lower case, without look-alikes). Stored as
 * SHA-256 in hex; shown in lists by its first characters. */
enum { API_TOKEN_SIZE = sizeof "ph_live_" + 52 + 7, API_TOKEN_PREFIX_LEN = 12 };

void api_token_create(char token[API_TOKEN_SIZE]);
/* Of the right form, CRC and all: worth asking Redis for. */
bool api_token_is_sound(struct str token);

#endif
