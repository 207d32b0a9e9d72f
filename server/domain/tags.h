/* tags.h - records made of "tag=value;" (DKIM, DMARC, MTA-STS, TLS-RPT,
 * BIMI). Pure.
 *
 * Source: RFC 6376 section 3.2.
 */
#ifndef DOMAIN_TAGS_H
#define DOMAIN_TAGS_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>

enum { TAGS_MAX = 32 };

struct tag {
    struct str name;  /* as written */
    struct str value; /* without blanks around it */
    struct str whole; /* "name = value" */
};
struct tags {
    struct tag list[TAGS_MAX];
    size_t count;
    struct str bad; /* what could not be read; else empty */
};

/* False, and bad says which part: no "=", no name, a tag twice, too many. The
 * texts point into text. */
MUST_USE bool tags_read(struct str text, struct tags *tags);
/* NULL: not there. Names are compared as written (RFC 6376: case counts). */
const struct str *tags_get(const struct tags *tags, const char *name);
/* The first tag is "v", of that value: what makes it such a record. */
bool tags_begin(const struct tags *tags, const char *version);
/* The same before parsing: text begins with "v=VERSION", blanks allowed, and
 * ";" or the end behind it. */
bool tags_claim(struct str text, const char *version);
/* A list like "y:s" holds item; blanks around items do not count. */
bool tags_has_item(struct str list, char between, struct str item);

#endif
