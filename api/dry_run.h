/* dry_run.h - what a POST /emails?dry_run=true answers: the mail as it would
 * be sent, where to, until when, and what may be wrong with it. Pure, and fit
 * for a helper thread.
 *
 * The one thing that it cannot show is the signature itself: keys of DKIM are
 * sealed to the workers. Who will sign, it does.
 */
#ifndef API_DRY_RUN_H
#define API_DRY_RUN_H

#include "api/email_request.h"
#include "api/signing.h"

enum { DRY_RUN_MIME_MAX = 1 << 20 }; /* bytes of it that are shown */

struct dry_run {
    const struct email_request *request; /* that was read without a fault */
    const struct config *config;
    int64_t now_ms;
    struct str id; /* that the mail would have; it is in its Message-ID */
    struct str message_id;
    struct str template_id; /* empty: none */
    struct str locale;
    const struct signing *signing; /* NULL: only a server knows */
    /* Of request->recipients; NULL: routes are not asked for. */
    const struct config_route *const *routes;
};

void dry_run_write(const struct dry_run *dry, struct json_out *out);

#endif
