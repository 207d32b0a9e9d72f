/* files.h - whether the files that a configuration names will do.
 *
 * Looked at before a start and a reload: children that find out for themselves
 * die of it one after the other, while the log has told of a reload that
 * nobody can follow.
 */
#ifndef SUPERVISOR_FILES_H
#define SUPERVISOR_FILES_H

#include "server/base/check.h"
#include "server/base/config.h"
#include "server/base/error.h"
#include "server/supervisor/supervisor.h"

#include <stdbool.h>

/* state_dir: the role's; "": it has none. False, and err: ERR_CONFIG names what
 * will not do, ERR_SYSTEM why nobody could look. */
MUST_USE bool files_are_fit(const struct role *role,
                            const struct config *config, const char *state_dir,
                            struct error *err);

#endif
