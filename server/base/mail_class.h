/* mail_class.h - what kind of mail it is, which decides how urgent it is. */
#ifndef BASE_MAIL_CLASS_H
#define BASE_MAIL_CLASS_H

#include "server/base/check.h"
#include "server/base/str.h"

#include <stdbool.h>

enum mail_class {
    CLASS_VERIFICATION,
    CLASS_RESET,
    CLASS_ALERT,
    CLASS_TRANSACTIONAL,
    CLASS_BULK,
    CLASS_COUNT
};

/* Lanes are served in their order: 0 verification and reset, 1 alert,
 * 2 transactional, 3 bulk. */
enum { LANE_COUNT = 4 };

const char *mail_class_name(enum mail_class mail_class);
/* Exact, lower case. False: no class of that name. */
MUST_USE bool mail_class_parse(struct str name, enum mail_class *mail_class);
unsigned mail_class_lane(enum mail_class mail_class);

#endif
