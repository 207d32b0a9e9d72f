/* send.h - one HTTP request to a customer's endpoint, or for a page of his.
 *
 * libcurl on our loop, led on a short line: no proxy, no redirect, no netrc,
 * http and https only. The host is resolved by io/dns, every address of it
 * must pass the guard, curl is pinned to these addresses, and the socket
 * callback looks at the address once more. A resolver that fails is a
 * refusal. Connections are kept and used again.
 *
 * It knows no queue and no schedule: what an answer means stands in plan.h.
 *
 * Source: Standard Webhooks 1.0.0 (delivery), docs/webhooks.md.
 */
#ifndef HOOKS_SEND_H
#define HOOKS_SEND_H

#include "server/base/check.h"
#include "server/base/config.h"
#include "server/base/error.h"
#include "server/base/str.h"
#include "server/hooks/sign.h"
#include "server/io/dns.h"
#include "server/io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct sender;

/* loop, dns and policy outlive it. NULL: there is no libcurl. */
MUST_USE struct sender *sender_open(struct loop *loop, struct dns *dns,
                                    const struct config_webhook *policy,
                                    struct error *err);
/* Requests under way end without a callback; their handles are dead then. */
void sender_close(struct sender **sender);

enum {
    SEND_READ_MAX = 64 * 1024, /* of a response: head, and body */
    SEND_RESPONSE_MAX = 1024,  /* kept of the body behind a POST */
};

struct send_request {
    struct str url;
    struct str body;                    /* JSON */
    const struct sign_headers *headers; /* NULL: a GET, without a body */
};

/* Texts are valid during the callback. */
struct send_result {
    int status; /* HTTP; 0: no answer came, error tells why */
    /* Behind a POST the beginning of the body, clean UTF-8; behind a GET all
     * that was read, as it came. */
    struct str response;
    bool is_cut;           /* there was more than we read */
    struct str type;       /* Content-Type; its first 100 bytes */
    const char *error;     /* "" when an answer came */
    bool refused;          /* the guard: nothing was sent */
    int64_t retry_after_s; /* 0: the server did not ask for it */
    int64_t took_ms;
    bool reused; /* over a connection that was open */
};
/* The handle is dead when it is called. */
typedef void (*send_fn)(void *ctx, const struct send_result *result);

/* The request is copied. done fires exactly once, later, at the latest when
 * webhook.timeout is over (resolving included). */
struct send;
struct send *send_start(struct sender *sender,
                        const struct send_request *request, send_fn done,
                        void *ctx);
void send_cancel(struct send **send); /* no callback */

#endif
