/* template_source.h - from the body of a request that makes a template, or
 * changes one, to what is kept of it: checked, compiled, and always written in
 * the same form. Pure, and fit for a helper thread.
 *
 * Source: docs/templates.md; smtp/message/mail_template.h (the form).
 */
#ifndef API_TEMPLATE_SOURCE_H
#define API_TEMPLATE_SOURCE_H

#include "api/faults.h"
#include "queue/queue.h"
#include "smtp/message/message.h"

enum { TEMPLATE_NAME_BYTES_MAX = 200 };

/* Begins zeroed but for what the caller gives. */
struct template_source {
    struct faults *faults; /* of the caller */
    struct str was;        /* what is changed; empty: a new one */
    struct str alias;      /* as it was, then as the body has it, in root */
    struct str name;       /* likewise */

    struct json *root; /* the body; NULL: it is no JSON */
    struct buf text;   /* what is to be kept */
    struct json *old;  /* its own */
};

/* Once more is fine, with faults of no count. NULL: faults say what is wrong.
 * What comes of it lives until template_source_finish, but for the template,
 * which is the caller's. */
MUST_USE struct mail_template *
template_source_read(struct template_source *source, struct str body);
void template_source_finish(struct template_source *source);

#endif
