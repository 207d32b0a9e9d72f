/* zone.h - a DNS made of lines of text, for checks as pure functions. */
#ifndef TESTS_DOMAIN_ZONE_H
#define TESTS_DOMAIN_ZONE_H

#include "server/domain/answers.h"

/* Lines "name TYPE data": TXT data as it is, several lines of a name are
 * several records; "10 host" for MX. TYPE ALIAS: the data is the name that its
 * records are taken from. TYPE FAIL: any question fails. Whatever else is
 * asked is not there. "mta-sts.domain POLICY 200 text/plain body" is what a
 * policy is answered with; "... POLICY 0 late" or "... POLICY 0 words" that it
 * is not; "long" as the status: 200, and there was more. */
void zone_answer(const char *const *zone, const char *name, enum dns_type type,
                 struct answers *answers);
/* Answers all that is wanted, a policy too; how many that was. */
size_t zone_answer_all(const char *const *zone, struct answers *answers);

#endif
