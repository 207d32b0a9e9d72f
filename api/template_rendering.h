/* template_rendering.h - from the name of a template to the texts of a mail.
 *
 * Looks the template up, and those that it names as partials; compiles what is
 * not cached; renders. What is small is done on the loop, the rest by a helper
 * thread. Partials are found as they come up, also those whose names are
 * values, so a rendering is begun anew when one had to be fetched: 64 of them
 * at most.
 */
#ifndef API_TEMPLATE_RENDERING_H
#define API_TEMPLATE_RENDERING_H

#include "api/call.h"
#include "api/template_cache.h"

enum { RENDERING_TEMPLATES_MAX = 65 };

struct template_rendering {
    /* Of the caller; all lives until the end. */
    struct call *call;
    struct str name;              /* id or alias */
    bool is_draft;                /* newest versions, else published ones */
    const struct json *variables; /* a map; NULL: none */
    struct str locale;
    bool with_examples;
    bool is_large; /* the variables are: not on the loop */
    void (*done)(void *ctx);
    void *ctx;

    /* What came of it. */
    enum queue_status status; /* NOT_FOUND: there is no such template */
    struct error why;
    bool is_rendered; /* else of OK: template_rendering_tell */
    struct error err;
    struct mail_rendering out;
    struct held_template *templates[RENDERING_TEMPLATES_MAX]; /* the first one
                                                 is it; NULL: there is none */

    /* Its own. */
    struct arena *arena;
    struct str names[RENDERING_TEMPLATES_MAX]; /* of templates */
    size_t name_count;
    size_t found;      /* that were looked up */
    struct str source; /* to compile */
    char id[ID_SIZE];
    char version[ID_SIZE];
    struct mail_template *compiled;
    bool is_quick;
    struct work_job job;
};

/* done comes within or later, or never when the call ends before it
 * (call_goes_on). */
void template_rendering_begin(struct template_rendering *rendering);
/* Once more is fine, and so is one that never began. */
void template_rendering_finish(struct template_rendering *rendering);

/* Adds what is wrong: variables at base/variables/NAME, the rest at base. */
void template_rendering_tell(const struct template_rendering *rendering,
                             struct str base, struct faults *faults);

#endif
