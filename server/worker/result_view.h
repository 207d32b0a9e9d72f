/* result_view.h - what an upstream did, as JSON for an operator who asked to
 * see it: the answer of a test, a line of a trace. Pure.
 */
#ifndef WORKER_RESULT_VIEW_H
#define WORKER_RESULT_VIEW_H

#include "server/base/buf.h"
#include "server/base/config.h"
#include "smtp/smtp.h"

enum { RESULT_VIEW_MAX = 32 * 1024 };

/* The answer to POST /v1/upstreams/{name}/test, see openapi.yaml. */
void result_view_test(const struct config_upstream *upstream,
                      const struct smtp_result *result, struct buf *out);
/* An attempt of the delivery with that id (empty: of none, a session could not
 * be opened), as GET /v1/emails/{id}/attempts shows it. */
void result_view_trace(struct str id, const struct smtp_result *result,
                       struct buf *out);

#endif
