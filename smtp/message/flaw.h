/* flaw.h - what is wrong with a value that is to go into a message.
 *
 * Checks of this room return one flaw, the first that was found. The caller
 * knows the field and puts its name before the text.
 */
#ifndef SMTP_MESSAGE_FLAW_H
#define SMTP_MESSAGE_FLAW_H

enum flaw {
    FLAW_NONE,
#define FLAW(name, code, text) FLAW_##name,
#include "smtp/message/flaw.def"
#undef FLAW
    FLAW_COUNT,
};

/* "has more than one @"; NULL for FLAW_NONE. */
const char *flaw_text(enum flaw flaw);
/* "address_two_at": stable, for programs; NULL for FLAW_NONE. */
const char *flaw_code(enum flaw flaw);

#endif
