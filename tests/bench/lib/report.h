/* report.h - what a benchmark prints: one line "name value unit" a figure. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "server/base/check.h"

#include <stddef.h>
#include <stdint.h>

/* The name is made of prefix and name, joined by "_", but for a prefix that is
 * "" or ends in ".". */
void report(const char *prefix, const char *name, double value,
            const char *unit);

/* Lines prefix_p50, prefix_p99 and prefix_max, in milliseconds. Sorts. */
void report_latency(const char *prefix, uint64_t *ns, size_t count);

/* The value below which the given share (0 to 1) of a sorted array lies. */
uint64_t percentile(const uint64_t *sorted, size_t count, double share);

uint64_t now_ns(void); /* monotonic */

/* What this process spent on something, its children apart. */
struct effort {
    double wall_s;
    double cpu_s;
};

struct effort effort_begin(void);
void effort_end(struct effort *effort);
/* Lines prefix_rate and prefix_per_core (a second), prefix_cpu (us each). */
void report_effort(const char *prefix, const struct effort *effort,
                   size_t count, const char *things);

#endif
