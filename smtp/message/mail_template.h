/* mail_template.h - a template of a whole mail: sender, subject, html and text,
 * in one language or several, and what it says of its variables. Pure.
 *
 * Its source is one JSON object:
 *
 *     from, subject, html, text   texts; html or text must be there
 *     reply_to                    a list of texts
 *     default_locale              of these; "en" without
 *     locales                     {"zh": {subject, html, text}, ...}
 *     variables                   template_variables.h
 *     strict                      false: what is missing is empty
 *
 * All of it is compiled at once; what comes out never changes and may be
 * shared.
 *
 * Which language a mail gets: the tag that is asked for, shortened from its end
 * until there is a variant of that name, else English, else the default one
 * (RFC 4647 section 3.4). A variant has the default's subject if it has none,
 * but never its html or text. Beside the variables a template sees {{locale}},
 * the tag of the variant, and {{dir}}, "ltr" or "rtl", unless it has variables
 * of that name.
 */
#ifndef SMTP_MESSAGE_MAIL_TEMPLATE_H
#define SMTP_MESSAGE_MAIL_TEMPLATE_H

#include "server/base/arena.h"
#include "server/base/json.h"
#include "smtp/message/template.h"

enum {
    MAIL_TEMPLATE_LOCALES_MAX = 50,
    LOCALE_TAG_MAX = 35, /* bytes: RFC 5646 section 4.4.1 */
    MAIL_SUBJECT_SOURCE_MAX = 4096,
    MAIL_VARIABLES_MAX = 1 << 20, /* bytes, as JSON */
};

struct mail_template;

/* pointer: "/html", "/locales/zh/text", "/variables/2"; text completes a
 * sentence that begins with it. Both live during the call. */
typedef void (*mail_template_flaw_fn)(void *ctx, struct str pointer,
                                      const char *text);
/* NULL: it is no such source, and all that is wrong was told. Members have the
 * types said above. */
struct mail_template *
mail_template_compile(struct str source, mail_template_flaw_fn tell, void *ctx);
void mail_template_destroy(struct mail_template **mail);

/* Memory that it takes, about. */
size_t mail_template_bytes(const struct mail_template *mail);
struct str mail_template_from(const struct mail_template *mail);
const struct json *mail_template_reply_to(const struct mail_template *mail);
/* It has a variable that is to be hidden where the subject is shown. */
bool mail_template_is_sensitive(const struct mail_template *mail);

/* The default language first. */
size_t mail_template_locale_count(const struct mail_template *mail);
struct str mail_template_locale(const struct mail_template *mail, size_t i);
/* Declared variables, in their order. */
size_t mail_template_variable_count(const struct mail_template *mail);
struct str mail_template_variable(const struct mail_template *mail, size_t i);

/* What "subject", "html" or "text" is made from in that language, which for a
 * subject may be the default's. NULL: it has no such part. */
const struct template *mail_template_part(const struct mail_template *mail,
                                          struct str locale, const char *part);
/* Adds where that one stands in the source: "/html", "/locales/zh/html".
 * False: it is of another template. */
MUST_USE bool mail_template_pointer(const struct mail_template *mail,
                                    const struct template *program,
                                    struct buf *out);

/* A tag of BCP 47, by its form; _ for - is taken too. */
MUST_USE bool locale_tag_is_sound(struct str tag);

struct mail_template_request {
    const struct mail_template *mail;
    const struct json *variables; /* a map; NULL: none */
    struct str locale;            /* empty: the default */
    /* Of each part, with some 200 KiB of output; 0: as template.h has it. */
    size_t steps_max;
    bool with_examples; /* what is declared and not given gets its example */
    /* The template that a partial or parent names, of which the same part and
     * language are used; NULL: there is none. May be NULL. */
    const struct mail_template *(*find)(void *ctx, struct str name);
    void *find_ctx;
};

struct mail_rendering {
    struct str locale; /* of the variant; lives as long as the template */
    const char *dir;
    bool has_failed; /* by a limit: err says so */
    bool has_subject;
    bool has_html;
    bool has_text;
    struct buf subject;
    struct buf html;
    struct buf text;
    struct buf shown;            /* the subject without what is sensitive */
    struct template_flaws flaws; /* of all parts, each name once */
    struct json *data;           /* what names of flaws point into */
};

/* False: flaws, and err if it has failed, say why. Either way rendering is to
 * be finished, and not before its flaws are told. */
MUST_USE bool mail_template_render(const struct mail_template_request *request,
                                   struct mail_rendering *rendering,
                                   struct error *err);
void mail_rendering_finish(struct mail_rendering *rendering);

/* Goes through all parts of one language whatever their sections ask
 * (template_survey), for which variables of the request are of no matter. used
 * has a place for each declared variable, and what is named becomes true; flaws
 * are names that nothing declares, and partials that there are not. Names of
 * flaws live during tell. False: some was left out. */
bool mail_template_survey(
    const struct mail_template_request *request, bool *used,
    void (*tell)(void *ctx, const struct template_flaw *flaw), void *ctx);

#endif
