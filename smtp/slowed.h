/* slowed.h - recipient domains to which an upstream lets fewer mails go at a
 * time, since a server said "too many" of one of them.
 *
 * Half of what was under way at each such word, one more for each 16 mails
 * taken. Mails of lanes 0 and 1 wait for their own kind only. What is over the
 * limit is told a time at which its turn may come. At most 64 domains, those
 * that are spoken of; a domain without trouble costs nothing.
 */
#ifndef SMTP_SLOWED_H
#define SMTP_SLOWED_H

#include "server/base/list.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SLOWED_MAX = 64 };

/* Of one upstream. */
struct slowed_domains {
    struct list domains; /* of struct slowed; the last one to suffer first */
    size_t count;
};

struct slowed; /* one domain */

void slowed_init(struct slowed_domains *all);
void slowed_finish(struct slowed_domains *all);

/* What stands behind the last @. */
struct str slowed_domain(struct str address);

/* NULL: it is not slowed; so for all when there are none. */
struct slowed *slowed_find(const struct slowed_domains *all, struct str domain);
/* NULL: there are too many, and mails of each are under way. */
struct slowed *slowed_add(struct slowed_domains *all, struct str domain);

/* One more mail of that lane is given to the upstream, or leaves it. */
void slowed_enter(struct slowed *slowed, unsigned lane);
void slowed_leave(struct slowed_domains *all, struct slowed *slowed,
                  unsigned lane, int64_t now_ms);

/* The server said it again. */
void slowed_suffer(struct slowed_domains *all, struct slowed *slowed,
                   int64_t now_ms);
/* It took one. */
void slowed_take(struct slowed *slowed);

/* Another one of that lane must not go now. */
bool slowed_holds(const struct slowed *slowed, unsigned lane);
/* For how long it shall wait; mail_ms: what a mail takes about. */
int64_t slowed_hold_ms(struct slowed *slowed, unsigned lane, double mail_ms,
                       int64_t now_ms);

#endif
