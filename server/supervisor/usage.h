/* usage.h - what processes cost, read from /proc: the process_* metrics. */
#ifndef SUPERVISOR_USAGE_H
#define SUPERVISOR_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
    int64_t resident_bytes;
    int64_t open_fds;
    int64_t max_fds;   /* limits of all, together */
    int64_t cpu_ticks; /* of the living; the dead are added by usage_tell */
};

/* A process that is gone adds nothing. */
void usage_add(struct usage *usage, pid_t pid);
/* Into the gauges and the counter of this process. */
void usage_tell(const struct usage *usage);

#endif
