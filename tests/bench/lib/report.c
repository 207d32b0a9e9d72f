#include "tests/bench/lib/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void report(const char *prefix, const char *name, double value,
            const char *unit)
{
    printf("%s%s%s %.3f %s\n", prefix, prefix[0] == '\0' ? "" : "_", name,
           value, unit);
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return *x < *y ? -1 : *x > *y;
}

uint64_t percentile(const uint64_t *sorted, size_t count, double share)
{
    size_t at = (size_t)(share * (double)count);

    CHECK(count > 0);
    return sorted[at < count ? at : count - 1];
}

void report_latency(const char *prefix, uint64_t *ns, size_t count)
{
    if (count == 0)
        return;
    qsort(ns, count, sizeof *ns, compare);
    report(prefix, "p50", (double)percentile(ns, count, 0.50) / 1e6, "ms");
    report(prefix, "p99", (double)percentile(ns, count, 0.99) / 1e6, "ms");
    report(prefix, "max", (double)ns[count - 1] / 1e6, "ms");
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
