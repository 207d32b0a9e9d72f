/* builtin.h - the templates that come with the service: verification code,
 * verification link, password reset and alert, each in English and Simplified
 * Chinese. Pure look-up; the sources stand in smtp/message/builtin/.
 *
 * They are compiled with filters and rendered with the locale that was found.
 * Their variables are declared (docs/templates.md); of product_name the
 * default is [sending] product_name, which whoever renders puts in.
 */
#ifndef SMTP_MESSAGE_BUILTIN_H
#define SMTP_MESSAGE_BUILTIN_H

#include "server/base/buf.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct builtin_template {
    struct str alias;  /* "verification-code" */
    struct str locale; /* "en" */
    struct str subject;
    struct str text;
    struct str html;
    struct str variables; /* JSON, as template_variables_read wants it */
};

/* All of them, those of one alias in a row, English first. */
extern const struct builtin_template BUILTIN_TEMPLATES[];
extern const size_t BUILTIN_TEMPLATE_COUNT;

/* NULL: there is none of that alias. The locale is shortened from its end
 * until there is one (zh-Hant-TW, zh-Hant, zh), else it is English; upper and
 * lower case are the same, and so are _ and -. */
const struct builtin_template *builtin_template_find(struct str alias,
                                                     struct str locale);

/* The same as one source for mail_template_compile, all languages in it, added
 * to out: what an alias, or the name of a partial, means where the owner has
 * no template of that name. False: there is none. */
MUST_USE bool builtin_source_add(struct str name, struct buf *out);

/* The partial or parent that built-in templates name, which others may name
 * too: "builtin-layout". Empty: there is none of that name. */
struct str builtin_partial_find(struct str name);

#endif
