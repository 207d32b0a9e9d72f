/* sts_policy.h - the policy that a domain has for mail to it (MTA-STS). Pure.
 *
 * Source: RFC 8461; its sections in brackets below.
 */
#ifndef DOMAIN_STS_POLICY_H
#define DOMAIN_STS_POLICY_H

#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STS_MAX_AGE_MAX INT64_C(31557600) /* seconds: a year [3.2] */

enum sts_mode { STS_ENFORCE, STS_TESTING, STS_NONE };

enum sts_flaw {
    STS_GOOD,
    STS_BAD_LINE,   /* detail: neither empty nor "key: value" */
    STS_NO_VERSION, /* absent, or another; detail: its value */
    STS_NO_MODE,    /* likewise */
    STS_NO_MAX_AGE, /* likewise */
    STS_BAD_MX,     /* detail: what is no name of a host */
    STS_NO_MX,      /* though the mode wants one */
};

struct sts_policy {
    struct str text; /* as it was read */
    enum sts_mode mode;
    int64_t max_age_s;
    size_t mx_count;
    struct str detail; /* points into the text */
};

/* The policy points into text. Lines end with LF or CRLF; of a key that comes
 * again the first counts, but for mx; unknown keys are passed over [3.2]. */
enum sts_flaw sts_policy_read(struct str text, struct sts_policy *policy);
/* One of its mx is that host, or "*." and all of it but its first label
 * [4.1]. The policy was good. */
bool sts_policy_allows(const struct sts_policy *policy, struct str host);

#endif
