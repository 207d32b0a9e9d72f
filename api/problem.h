/* problem.h - the only place where something that went wrong becomes an
 * answer.
 *
 * One shape for all: Resend's statusCode, name and message, the members of
 * RFC 9457 (type, title, status, detail, instance), errors[] with everything
 * that is wrong, code and request_id.
 */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include "api/faults.h"
#include "queue/queue.h"
#include "server/base/error.h"
#include "server/http/httpd.h"

struct problem {
    enum problem_kind kind;
    const char *message;         /* a sentence; NULL: that of the first fault */
    const struct faults *faults; /* or NULL */
    int64_t retry_after_s;       /* 0: not said, but 503 says 1 */
};

void problem_reply(struct http_request *request, const struct problem *problem);
/* The body that problem_reply sends. */
void problem_write(struct http_request *request, const struct problem *problem,
                   struct buf *body);

/* The kind of the first fault names the whole. */
void problem_reply_faults(struct http_request *request,
                          const struct faults *faults);

/* Every status that is a failure; missing says what was not found. */
void problem_reply_queue(struct http_request *request, enum queue_status status,
                         const struct error *why, const char *missing);

unsigned problem_status(enum problem_kind kind);

#endif
