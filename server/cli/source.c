#include "server/cli/source.h"

#include "server/base/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Adds all of standard input. */
static bool read_stdin(struct buf *out, struct error *err)
{
    char chunk[65536];
    ssize_t got;

    while ((got = read(STDIN_FILENO, chunk, sizeof chunk)) > 0)
        buf_add(out, str_make(chunk, (size_t)got));
    if (got < 0)
        error_set(err, ERR_SYSTEM, "standard input: %s", strerror(errno));
    else if (out->full)
        error_set(err, ERR_INPUT, "standard input is more than %zu MiB",
                  out->max >> 20);
    return got == 0 && !out->full;
}

bool cli_read_source(const char *path, struct buf *out, struct error *err)
{
    return strcmp(path, "-") == 0 ? read_stdin(out, err)
                                  : file_read(path, out, err);
}
