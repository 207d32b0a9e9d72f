/* template.h - Mustache templates: a source compiled once, rendered often.
 *
 * Interpolation, sections, inverted sections, comments, partials, set
 * delimiters, dynamic names and inheritance. Lambdas there are none: data is
 * JSON. A compiled template is a flat program that never changes, so one may
 * be cached and shared by any number of renderings.
 *
 * A rendering is strict unless told otherwise: a variable that the data lack,
 * or have as null, is a flaw, and all flaws are found in one go. A section is
 * a question, not a flaw: what is absent, null, false, an empty list or an
 * empty text is "no".
 *
 * It knows no mail, no queue and no clock. Sizes, depth, steps and output are
 * bounded; time is linear in template, data and output.
 *
 * Source: mustache(5); github.com/mustache/spec 1.4.3, with its optional
 * modules ~dynamic-names and ~inheritance.
 */
#ifndef SMTP_MESSAGE_TEMPLATE_H
#define SMTP_MESSAGE_TEMPLATE_H

#include "server/base/buf.h"
#include "server/base/error.h"
#include "server/base/json.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    TEMPLATE_SOURCE_MAX = 512 << 10,
    TEMPLATE_TAGS_MAX = 20000, /* of one source */
    TEMPLATE_NAME_MAX = 128,   /* bytes, dots too */
    TEMPLATE_OUTPUT_MAX = 5 << 20,
    TEMPLATE_DEPTH_MAX = 32,      /* sections within sections */
    TEMPLATE_CALLS_MAX = 16,      /* partials within partials */
    TEMPLATE_STEPS_MAX = 1000000, /* of one rendering: an operation or look-up
                                   * is one, a filter or fraction some */
    TEMPLATE_FLAWS_MAX = 64,      /* that are told one by one */
};

struct template; /* compiled, immutable */

/* NULL and err (ERR_INPUT: "line 3, column 7: ...") when it is no template;
 * the text says what was found and what would be right. With filters, a name
 * may be followed by "| filter"; without, it may itself hold a bar. */
struct template *template_compile(struct str source, bool has_filters,
                                  struct error *err);
void template_destroy(struct template **program);

enum template_escape {
    TEMPLATE_HTML, /* & < > " ' become references, save in {{{name}}} */
    TEMPLATE_TEXT, /* nothing is escaped */
    TEMPLATE_LINE, /* for a subject: as text, but a control character of a
                    * value becomes a blank */
};

/* The partial or parent of that name; NULL: there is none. */
typedef const struct template *(*template_find_fn)(void *ctx, struct str name);

struct template_options {
    enum template_escape escape;
    bool is_lenient;       /* what is missing is empty, and no flaw */
    struct str locale;     /* of the filters, BCP 47; empty: English */
    size_t steps_max;      /* 0: TEMPLATE_STEPS_MAX */
    template_find_fn find; /* may be NULL: there are no partials */
    void *find_ctx;
};

enum template_flaw_kind {
    TEMPLATE_MISSING,    /* the data have no such variable */
    TEMPLATE_NULL,       /* they have it, as null */
    TEMPLATE_NO_TEXT,    /* they have an array or object: nothing to print */
    TEMPLATE_NO_PARTIAL, /* there is no partial or parent of that name */
    TEMPLATE_BAD_VALUE,  /* of another type, or a filter cannot take it */
};

struct template_flaw {
    enum template_flaw_kind kind;
    struct str name; /* "user.name"; lives as long as the template and data */
    const struct template *where; /* the template or partial that names it;
                                   * NULL: a declaration does */
    unsigned line;
    unsigned column;
    const char *wanted; /* TEMPLATE_BAD_VALUE: what would be right */
};

/* Each name once, in the order of the output. */
struct template_flaws {
    struct template_flaw rows[TEMPLATE_FLAWS_MAX];
    size_t count;
    size_t more; /* mentions beyond those, not told apart */
};

/* The same name was told of already; what a name of a template lacks is not
 * what one of a variable lacks. */
bool template_flaws_have(const struct template_flaws *flaws,
                         const struct template_flaw *flaw);
/* True: there is none. Else false and err (ERR_INPUT), which names them. */
MUST_USE bool template_flaws_tell(const struct template_flaws *flaws,
                                  struct error *err);

/* Adds the output to out, whose maximum is the caller's. False and err
 * (ERR_INPUT) when it has flaws (strict only; err names them all), or takes
 * too many steps, nests too deep or grows too big (there are no flaws then);
 * out is then of no use. flaws may be NULL. */
MUST_USE bool template_render(const struct template *program,
                              const struct json *data,
                              const struct template_options *options,
                              struct buf *out, struct template_flaws *flaws,
                              struct error *err);

/* A name of the data that a template uses, or the first part of one. */
typedef void (*template_use_fn)(void *ctx, struct str name);

/* Goes through all of a template and its partials instead, once each, whatever
 * sections ask; nothing is put out. data has each name that there may be, with
 * a value of its type. used is told those that are named. Flaws: MISSING, a
 * name that the data have not, save within a list, an object or what itself is
 * missing, where it may be one of theirs, and save in the sections of partials,
 * which ask what only some have; NO_PARTIAL. False: some was left out, being
 * too much, or a partial whose name only real data have. */
MUST_USE bool template_survey(const struct template *program,
                              const struct json *data,
                              const struct template_options *options,
                              template_use_fn used, void *ctx,
                              struct template_flaws *flaws);

#endif
