/* judge.h - what findings mean for a domain that was looked at before: states,
 * status, and when to look again. Pure.
 *
 * Source: docs/decisions/0036; Resend's 72 hours.
 */
#ifndef DOMAIN_JUDGE_H
#define DOMAIN_JUDGE_H

#include "server/domain/domain.h"

/* report holds raw findings (checks.h); past is what was reported last. Fills
 * states, times and misses of the findings, status, checked_ms and next_ms. */
void judge(struct domain_report *report, const struct domain_report *past,
           const struct domain_past *since, int64_t now_ms);

#endif
