/* client.h - a small blocking HTTP/1.1 client, for verbs that ask a running
 * server. Plain HTTP to a host or to a Unix socket; answers with a length or
 * in chunks, of at most CLIENT_ANSWER_MAX bytes.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { CLIENT_ANSWER_MAX = 64 << 20, CLIENT_TIMEOUT_MS = 30000 };

struct client_request {
    const char *base; /* "http://host:port", "host:port" or "unix:/path" */
    const char *method;
    const char *path;   /* with its query, percent-encoded */
    const char *token;  /* of Authorization: Bearer; NULL: none */
    struct str body;    /* JSON; empty: none */
    int64_t timeout_ms; /* of the whole exchange; 0: CLIENT_TIMEOUT_MS */
    const char *key;    /* Idempotency-Key; NULL: none */
};

struct client_answer {
    int status;
    uint64_t retry_after_s; /* 0: it says nothing of that */
    struct buf body;        /* owned: client_answer_finish */
};

/* False and err: ERR_INPUT (base or path), ERR_REMOTE (nobody there, or no
 * HTTP), ERR_TIMEOUT. answer needs no finish then. */
MUST_USE bool client_ask(const struct client_request *request,
                         struct client_answer *answer, struct error *err);
void client_answer_finish(struct client_answer *answer);

#endif
