/* locale.h - how a language writes dates, numbers and amounts of money.
 *
 * The tag that is asked for is shortened from its end until it is known:
 * zh-Hant-TW, zh-Hant, zh; what is not known at all is English. Upper and
 * lower case are the same, and so are _ and -.
 *
 * Source: Unicode CLDR; BCP 47 (RFC 4647 section 3.4, lookup).
 */
#ifndef SMTP_MESSAGE_LOCALE_H
#define SMTP_MESSAGE_LOCALE_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct locale;

const struct locale *locale_find(struct str tag);

/* Of such a look-up: whether two tags are the same, and the tag without its
 * last subtag (empty behind the last one). */
bool locale_tag_is(struct str a, struct str b);
struct str locale_tag_shorten(struct str tag);

enum locale_style {
    LOCALE_SHORT,
    LOCALE_MEDIUM,
    LOCALE_LONG,
    LOCALE_FULL,
    LOCALE_STYLES,
};

/* local_ms is Unix time with the offset of the place added. */
void locale_add_date(struct buf *out, const struct locale *locale,
                     enum locale_style style, int64_t local_ms);
void locale_add_time(struct buf *out, const struct locale *locale,
                     int64_t local_ms);

/* A number in decimal: an optional minus, digits, an optional point and
 * digits. places: digits behind the point, rounded half away from zero;
 * negative: as many as there are. False: it is no such number, or too long. */
MUST_USE bool locale_add_number(struct buf *out, const struct locale *locale,
                                struct str number, int places);
/* currency: three letters of ISO 4217, which say how many places it has. */
MUST_USE bool locale_add_money(struct buf *out, const struct locale *locale,
                               struct str number, struct str currency);

#endif
