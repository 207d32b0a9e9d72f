#include "smtp/message/flaw.h"

#include "server/base/check.h"

static const struct {
    const char *code;
    const char *text;
} FLAWS[FLAW_COUNT] = {
#define FLAW(name, code, text) [FLAW_##name] = {code, text},
#include "smtp/message/flaw.def"
#undef FLAW
};

const char *flaw_text(enum flaw flaw)
{
    CHECK(flaw < FLAW_COUNT);
    return FLAWS[flaw].text;
}

const char *flaw_code(enum flaw flaw)
{
    CHECK(flaw < FLAW_COUNT);
    return FLAWS[flaw].code;
}
