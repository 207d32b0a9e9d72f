/* accept.h - which form of the metrics a scraper wants. Pure.
 *
 * Source: RFC 9110 section 12.5.1; OpenMetrics 1.0.0.
 */
#ifndef SUPERVISOR_ACCEPT_H
#define SUPERVISOR_ACCEPT_H

#include "server/base/metrics.h"
#include "server/base/str.h"

/* accept: the field's value; empty: there is none. OpenMetrics is for those
 * who name it, and do not like plain text better. */
enum metrics_form accept_metrics_form(struct str accept);

#endif
