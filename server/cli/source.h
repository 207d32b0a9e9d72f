/* source.h - what a verb reads: a file, or standard input. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "server/base/buf.h"
#include "server/base/error.h"

/* Adds the file of that path, for "-" all of standard input. False and err: it
 * cannot be read, or is more than out takes. */
MUST_USE bool cli_read_source(const char *path, struct buf *out,
                              struct error *err);

#endif
