/* when.h - the times that callers write. Pure.
 *
 * RFC 3339 ("2026-11-24T12:00:00Z") or a distance ("in 10 minutes"); what
 * Resend understands beyond that ("tomorrow at 9am") is refused, since it
 * depends on where one is.
 */
#ifndef API_WHEN_H
#define API_WHEN_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

MUST_USE bool when_parse(struct str text, int64_t now_ms, int64_t *at_ms);

#endif
