/* health.h - when an upstream is left alone, and when it is tried again.
 *
 * Failures to reach it let it rest for 1, 2, 4 ... 60 s, trouble that an
 * operator must mend for 1, 5, 15 minutes; transactions that break off count
 * as such failures from the fifth in a row on, for one may be the mail's fault.
 * After a rest one session probes; the others follow when it came through.
 * What sessions from before do meanwhile is no news. Pure: the time is given
 * in.
 */
#ifndef SMTP_HEALTH_H
#define SMTP_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

struct health {
    unsigned failures; /* in a row */
    unsigned pauses;   /* in a row */
    unsigned broken;   /* transactions in a row */
    int64_t failed_ms; /* the last of failures and pauses began */
    int64_t rest_until_ms;
    bool is_paused; /* the rest is one of those of minutes */
};

void health_failed(struct health *health, int64_t now_ms);
void health_paused(struct health *health, int64_t now_ms);
void health_broke_off(struct health *health, int64_t now_ms);
void health_reached(struct health *health); /* a session was opened */
/* And it took a mail's recipient. began_ms: the session was begun. False: that
 * was before the trouble, which stays. */
bool health_well(struct health *health, int64_t began_ms);

bool health_is_resting(const struct health *health, int64_t now_ms);
/* The rest is over and nobody has come through yet. */
bool health_is_probed(const struct health *health, int64_t now_ms);

#endif
