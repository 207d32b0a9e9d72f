/* file.h - small files: read whole, made new. They block, so they are for
 * start, reload and the command line, never for the loop. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "server/base/arena.h"
#include "server/base/buf.h"
#include "server/base/check.h"
#include "server/base/error.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <sys/types.h>

/* Adds the whole file to out. False and err (ERR_CONFIG, the text begins
 * with the path): not to be read, or more than out takes. */
MUST_USE bool file_read(const char *path, struct buf *out, struct error *err);

bool file_is_folder(const char *path);

/* The names in a folder that begin with no dot, in the order of their bytes;
 * they live in arena. A folder that is not there has none. False and err
 * (ERR_CONFIG, the text begins with the folder): not to be read. */
MUST_USE bool file_names(const char *folder, struct arena *arena,
                         const char ***names, size_t *count, struct error *err);

/* Those that are folders themselves. */
MUST_USE bool file_folders(const char *folder, struct arena *arena,
                           const char ***names, size_t *count,
                           struct error *err);

/* Makes a file that was not there, with that mode whatever the umask, and
 * syncs it. A file that could not be written whole is removed again. */
MUST_USE bool file_create(const char *path, struct str bytes, mode_t mode,
                          struct error *err);

#endif
