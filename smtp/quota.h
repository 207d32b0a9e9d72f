/* quota.h - what an upstream's rate leaves for this process. Pure.
 *
 * Each transaction takes a token. Tokens are leased for the mails that wait
 * and a few more, last for a second at most, and go back unused; so all
 * processes together keep the rate, and no mail asks for its own. A part of
 * each window is kept for lanes 0 and 1, which take those of the others too.
 */
#ifndef SMTP_QUOTA_H
#define SMTP_QUOTA_H

#include "server/base/config.h"
#include "smtp/smtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quota {
    bool is_limited; /* else all the rest is of no interest */
    size_t least;    /* mails that its narrowest window has */
    size_t tokens[SMTP_QUOTA_KINDS];
    int64_t tokens_until_ms;
    int64_t stamp; /* of the lease that they are of */
    int64_t used_up_until_ms[SMTP_QUOTA_KINDS];
    bool is_asked; /* an answer is under way */
};

void quota_init(struct quota *quota, const struct config_rate_list *rates);

/* A mail of that lane may begin now. */
bool quota_has(const struct quota *quota, unsigned lane, int64_t now_ms);
/* And it does. */
void quota_take(struct quota *quota, unsigned lane, int64_t now_ms);
/* Nothing is to be had for that lane until a window ends. */
bool quota_is_used_up(const struct quota *quota, unsigned lane, int64_t now_ms);
/* Mails of that lane that may be handed in, of so many. */
size_t quota_room(const struct quota *quota, unsigned lane, size_t room,
                  int64_t now_ms);

/* For so many that wait; what is left goes back. */
void quota_ask(struct quota *quota, const size_t waiting[SMTP_QUOTA_KINDS],
               struct smtp_quota_ask *ask);
void quota_grant(struct quota *quota, const struct smtp_quota_grant *grant);
/* When something of it ends next; 0: nothing does. */
int64_t quota_ends_ms(const struct quota *quota, int64_t now_ms);
/* Tokens are left that have outlived their time: they shall go back. */
bool quota_is_stale(const struct quota *quota, int64_t now_ms);

#endif
