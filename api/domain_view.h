/* domain_view.h - domains as the API and its events show them. Pure.
 *
 * Source: Resend's POST and GET /domains, domain.created; docs/domains.md. */
#ifndef API_DOMAIN_VIEW_H
#define API_DOMAIN_VIEW_H

#include "queue/queue.h"
#include "server/base/json.h"

enum { DOMAIN_VIEW_MAX = 256 * 1024 };

/* Into a map that is open. with_records: all that there is of it; else what a
 * list has. */
void domain_view(struct json_out *out, const struct sender_domain *domain,
                 const struct config *config, int64_t now_ms, bool with_records,
                 struct arena *arena);
/* What its owner's stream is told: in arena. */
struct domain_event domain_event_of(enum event_type type,
                                    const struct sender_domain *domain,
                                    const struct config *config, int64_t now_ms,
                                    struct arena *arena);

#endif
