/* checks.h - every check of a domain, as a pure function over what the DNS
 * answered.
 *
 * States are raw here: VERIFIED, FAILED (surely), TEMPORARY (DNS does not
 * answer for now) or NOT_STARTED (not there, and not needed); what they mean
 * for a domain that was seen before is judge.h's business.
 */
#ifndef DOMAIN_CHECKS_H
#define DOMAIN_CHECKS_H

#include "server/domain/answers.h"
#include "server/domain/domain.h"
#include "server/domain/tags.h"

/* Fills findings and count, in arena. Where an answer is missing, a finding is
 * left out: run again when it is there (answers_are_missing). */
void checks_run(const struct domain_setup *setup, struct answers *answers,
                struct arena *arena, struct domain_report *report);

/* For checks*.c only. */
struct checks {
    const struct domain_setup *setup;
    struct answers *answers;
    struct arena *arena;
    struct domain_report *report;
};
struct domain_finding checks_begin(enum domain_check check,
                                   enum domain_weight weight, struct str name,
                                   enum dns_type type);
/* The answer for its name and type. NULL: it is missing, or it failed, which
 * is said: the check is over. */
const struct dns_reply *checks_ask(struct checks *checks,
                                   struct domain_finding *finding);
/* Advice about a TXT record at a label below the domain. */
struct domain_finding checks_begin_below(struct checks *checks,
                                         enum domain_check check,
                                         struct str label);
/* The one record of that version there; what is wrong with it is said, use
 * where it is not. False: the check is over. */
bool checks_read_tags(struct checks *checks, struct domain_finding *finding,
                      const char *version, const char *use, struct tags *tags);
/* All records of an answer, or one text, as found. */
void checks_found(struct checks *checks, struct domain_finding *finding,
                  const struct dns_reply *reply);
void checks_found_text(struct checks *checks, struct domain_finding *finding,
                       struct str text);
/* The end of a check: its state, and why. */
void checks_say(struct checks *checks, struct domain_finding *finding,
                enum domain_state state, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* Verified, and yet there is something to read. */
void checks_warn(struct checks *checks, struct domain_finding *finding,
                 const char *format, ...) PRINTF_LIKE(3, 4);
void checks_fine(struct checks *checks, struct domain_finding *finding);
void checks_failed_for_now(struct checks *checks,
                           struct domain_finding *finding, struct str name,
                           struct str reason);

void checks_dkim(struct checks *checks);
void checks_return_path(struct checks *checks); /* MX and SPF */
void checks_spf(struct checks *checks);
void checks_dmarc(struct checks *checks);
void checks_advice(struct checks *checks);
void checks_mta_sts(struct checks *checks);
void checks_hosts(struct checks *checks);

#endif
