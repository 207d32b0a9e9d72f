#include "server/base/check.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BACKTRACE_MAX = 64 };

void check_failed(const char *condition, const char *file, int line)
{
    void *frames[BACKTRACE_MAX];

    fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
    fflush(stderr);
    backtrace_symbols_fd(frames, backtrace(frames, BACKTRACE_MAX),
                         STDERR_FILENO);
    abort();
}
