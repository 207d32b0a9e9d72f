/* verbs.h - the files of verbs: each exports its rows. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "server/cli/cli.h"

struct verb_group {
    const struct verb *verbs;
    size_t count;
};

extern const struct verb_group VERBS_VERSION; /* version */

#endif
