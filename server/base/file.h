/* file.h - small files: read whole, made new. They block, so they are for
 * start, reload and the command line, never for the loop. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <sys/types.h>

/* Adds the whole file to out. False and err (ERR_CONFIG, the text begins
 * with the path): not to be read, or more than out takes. */
MUST_USE bool file_read(const char *path, struct buf *out, struct error *err);

/* Makes a file that was not there, with that mode whatever the umask, and
 * syncs it. A file that could not be written whole is removed again. */
MUST_USE bool file_create(const char *path, struct str bytes, mode_t mode,
                          struct error *err);

#endif
