/* lint.h - what is not wrong with a mail, and yet makes it arrive late, look
 * odd, or be taken for spam. Pure; linear time.
 *
 * It looks at what the composer gets. Of a template's preview recipients,
 * headers and attachments are not known: what is not there is not judged.
 *
 * Source: docs/lint.md, where each row of lint.def has its reason.
 */
#ifndef SMTP_MESSAGE_LINT_H
#define SMTP_MESSAGE_LINT_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/mail_class.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message;

enum lint_level {
    LINT_ADVICE,
    LINT_WARNING,
    LINT_ERROR, /* the mail fails its purpose */
};

enum lint_code {
#define LINT(name, code, level, text) LINT_##name,
#include "smtp/message/lint.def"
#undef LINT
    LINT_CODES,
};

enum lint_dkim {
    LINT_DKIM_NOT_ASKED,
    LINT_DKIM_ALIGNED,
    LINT_DKIM_OTHER,
    LINT_DKIM_ABSENT
};

/* What the mail itself does not say. */
struct lint_facts {
    enum mail_class mail_class;
    struct str code;     /* of a verification; empty: it is looked for */
    size_t size;         /* bytes of the composed mail; 0: not known */
    enum lint_dkim dkim; /* the signature, by the domain of From */
};

/* Each code at most once, with the first place where it was found. */
struct lint_findings {
    struct lint_finding {
        enum lint_code code;
        struct str where;   /* JSON pointer into the request; empty: all */
        struct str example; /* may be empty */
    } rows[LINT_CODES];
    size_t count;
};

/* What is found lives in arena and in the message. From may be empty. */
void lint_message(const struct message *message, const struct lint_facts *facts,
                  struct arena *arena, struct lint_findings *findings);

const char *lint_code_name(enum lint_code code); /* "link_http" */
enum lint_level lint_level_of(enum lint_code code);
const char *lint_level_name(enum lint_level level); /* "warning" */
const char *lint_text(enum lint_code code);

/* A list of {"code", "level", "where", "text", "example"}, errors first. */
void lint_put(const struct lint_findings *findings, struct json_out *json);

#endif
