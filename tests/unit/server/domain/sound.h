/* sound.h - a domain whose records are all as they should be, and what the
 * checks say when some of them are not. */
#ifndef TESTS_DOMAIN_SOUND_H
#define TESTS_DOMAIN_SOUND_H

#include "server/domain/checks.h"

#define RSA                                                                    \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1" \
    "fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR" \
    "+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
#define ED25519 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

#define R1     "r1._domainkey.mail.example.test"
#define E1     "e1._domainkey.mail.example.test"
#define R0     "r0._domainkey.mail.example.test"
#define RX     "rx._domainkey.mail.example.test"
#define RC     "rc._domainkey.mail.example.test"
#define SEND   "send.mail.example.test"
#define MAIL   "mail.example.test"
#define DMARC  "_dmarc.mail.example.test"
#define PROBE  "posthaste-asks-for-no-such-name.mail.example.test"
#define REPORT "mail.example.test._report._dmarc.reports.test"

#define STS_AT "mta-sts." MAIL " POLICY "
#define STS_POLICY(mode, mx)                                                   \
    "version: STSv1\r\nmode: " mode "\r\nmax_age: 604800\r\nmx: " mx "\r\n"

extern const struct domain_setup SOUND_SETUP;

enum { SOUND_CHANGES_MAX = 8, SOUND_LINES_MAX = 32 };

/* Its zone (zone.h), but for names and types that stand in lines, too ("name
 * TYPE" alone: nothing stands there). Ends with NULL, as lines do that are
 * fewer. */
void sound_zone(const char *const lines[SOUND_CHANGES_MAX],
                const char *zone[SOUND_LINES_MAX]);
/* Checks until all is known; how many questions that took. */
size_t sound_run(const struct domain_setup *setup, const char *const *zone,
                 struct arena *arena, struct domain_report *report);
/* The first one of a check; at: its name, NULL: whatever it is. NULL: none. */
const struct domain_finding *sound_find(const struct domain_report *report,
                                        enum domain_check check,
                                        const char *at);

#endif
