#include "tests/bench/lib/report.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

void report(const char *prefix, const char *name, double value,
            const char *unit)
{
    size_t len = strlen(prefix);
    bool is_joined = len == 0 || prefix[len - 1] == '.';

    printf("%s%s%s %.3f %s\n", prefix, is_joined ? "" : "_", name, value, unit);
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

static double cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct effort effort_begin(void)
{
    return (struct effort){(double)now_ns() / 1e9, cpu_s()};
}

void effort_end(struct effort *effort)
{
    effort->wall_s = (double)now_ns() / 1e9 - effort->wall_s;
    effort->cpu_s = cpu_s() - effort->cpu_s;
}

void report_effort(const char *prefix, const struct effort *effort,
                   size_t count, const char *things)
{
    char unit[32];

    snprintf(unit, sizeof unit, "%s/s", things);
    report(prefix, "rate", (double)count / effort->wall_s, unit);
    report(prefix, "per_core", (double)count / effort->cpu_s, unit);
    report(prefix, "cpu", effort->cpu_s / (double)count * 1e6, "us each");
}
