#include "server/base/mail_class.h"

static const struct {
    const char *name;
    unsigned lane;
} CLASSES[CLASS_COUNT] = {
    [CLASS_VERIFICATION] = {"verification", 0},
    [CLASS_RESET] = {"reset", 0},
    [CLASS_ALERT] = {"alert", 1},
    [CLASS_TRANSACTIONAL] = {"transactional", 2},
    [CLASS_BULK] = {"bulk", 3},
};

const char *mail_class_name(enum mail_class mail_class)
{
    CHECK(mail_class < CLASS_COUNT);
    return CLASSES[mail_class].name;
}

bool mail_class_parse(struct str name, enum mail_class *mail_class)
{
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        if (str_eq(name, str_of(CLASSES[i].name))) {
            *mail_class = (enum mail_class)i;
            return true;
        }
    }
    return false;
}

unsigned mail_class_lane(enum mail_class mail_class)
{
    CHECK(mail_class < CLASS_COUNT);
    return CLASSES[mail_class].lane;
}
