/* lint_folder.h - what may be wrong with the templates of a folder
 * (template_folder.h). */
#ifndef CLI_LINT_FOLDER_H
#define CLI_LINT_FOLDER_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/mail_class.h"
#include "server/cli/cli.h"

/* Adds to answer, as JSON, what lint finds; the operands are the folder and
 * aliases. An exit code: what could not be read was said, and all else is in
 * the answer, if there is one. */
MUST_USE int lint_folder(const struct cli_args *args,
                         enum mail_class mail_class, struct buf *answer);

#endif
