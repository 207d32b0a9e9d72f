/* lint_html.h - the part of lint that reads html. Inside of the room. */
#ifndef SMTP_MESSAGE_LINT_HTML_H
#define SMTP_MESSAGE_LINT_HTML_H

#include "server/base/map.h"
#include "smtp/message/lint.h"

struct lint {
    const struct message *message;
    const struct lint_facts *facts;
    struct arena *arena;
    struct lint_findings *findings;
    uint64_t found; /* a bit a code */
};

/* Once a code; example is cut to some length. */
void lint_add(struct lint *lint, enum lint_code code, const char *where,
              struct str example);

/* Whether mail of this kind lets its reader in somewhere. */
bool lint_is_key(const struct lint *lint);

/* An address as it stands in a link, trimmed. Judges its scheme and host. */
void lint_link(struct lint *lint, const char *where, struct str link);

/* The same for https://x.io/ and https://x.io. */
struct str lint_link_key(struct str link);

/* Judges the markup. links gets the addresses of the web as its keys. */
void lint_html(struct lint *lint, struct map *links);

#endif
