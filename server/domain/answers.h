/* answers.h - what the DNS said, as far as it was asked, and a web server.
 *
 * Checks are pure functions over it: they look up what they need, and what is
 * not known yet is noted as wanted. Whoever runs them (run.c, or a test) asks
 * for that, puts the answers in and runs them again, until nothing is wanted.
 * So a check is written as if the DNS were a table, and its look-ups are
 * counted in one place.
 */
#ifndef DOMAIN_ANSWERS_H
#define DOMAIN_ANSWERS_H

#include "server/domain/domain.h"
#include "server/io/dns.h"

struct answers;

/* Look-ups of one domain: two keys of four generations, twenty of SPF, eight
 * of DMARC and what stands around them; eight hosts, each with a name or two
 * and four block lists. */
enum { ANSWERS_MAX = 160 };

struct answers *answers_create(void);
void answers_destroy(struct answers **answers);

/* NULL: not known yet. A name that cannot be one is not found; more than
 * ANSWERS_MAX fail. Valid as long as answers. */
const struct dns_reply *answers_get(struct answers *answers, struct str name,
                                    enum dns_type type);

/* The next one that nobody was told of: name, with a NUL behind it, is valid
 * as long as answers. False: none. */
bool answers_take_wanted(struct answers *answers, const char **name,
                         enum dns_type *type);
/* The policy of MTA-STS of a domain: one for all answers. */
struct str policy_url(struct arena *arena, struct str domain);
/* NULL: not known yet. */
const struct policy_reply *answers_get_policy(struct answers *answers,
                                              struct str domain);
/* Whether it is wanted and nobody was told of it; domain as above. */
bool answers_take_policy(struct answers *answers, struct str *domain);
void answers_put_policy(struct answers *answers,
                        const struct policy_reply *reply);

/* Copies. The name must be wanted. */
void answers_put(struct answers *answers, const char *name, enum dns_type type,
                 const struct dns_reply *reply);
/* Whether something that was wanted is not answered. */
bool answers_are_missing(const struct answers *answers);
/* From now on what is missing counts as failed, for that reason. */
void answers_give_up(struct answers *answers, const char *reason);

#endif
