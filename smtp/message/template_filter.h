/* template_filter.h - what may stand behind a bar: {{total | currency:"EUR"}}.
 * Inside of the room.
 */
#ifndef SMTP_MESSAGE_TEMPLATE_FILTER_H
#define SMTP_MESSAGE_TEMPLATE_FILTER_H

#include "server/base/buf.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* The filter that text names (name, or name:argument, the argument in
 * quotation marks or not), as its row. False and err: there is none, or it
 * does not take that argument; the text names what there is. */
MUST_USE bool template_filter_parse(struct str text, uint32_t *row,
                                    struct str *argument, struct error *err);

/* What date and time take: seconds since 1970, a date, or RFC 3339, whose own
 * offset is kept: that is the time where the sender of the data says it is.
 * False: it is none of them. */
MUST_USE bool template_filter_time(struct str value, int64_t *local_ms);

/* Adds the value as the filter puts it in that locale (BCP 47). What the
 * filter wants when the value is not fit for it, else NULL. */
MUST_USE const char *template_filter_run(uint32_t row, struct str value,
                                         struct str argument, struct str locale,
                                         struct buf *out);

#endif
