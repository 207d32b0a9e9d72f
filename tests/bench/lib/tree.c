#include "tests/bench/lib/tree.h"

#include "server/base/str.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef double (*measure_fn)(unsigned long pid);

static double over_tree(unsigned long pid, measure_fn measure)
{
    double sum = measure(pid);
    char path[64];
    unsigned long child;
    FILE *children;

    snprintf(path, sizeof path, "/proc/%lu/task/%lu/children", pid, pid);
    children = fopen(path, "r");
    if (children == NULL)
        return sum;
    while (fscanf(children, "%lu", &child) == 1)
        sum += over_tree(child, measure);
    fclose(children);
    return sum;
}

static double over_all(const char *pids, measure_fn measure)
{
    struct str rest = str_of(pids);
    struct str piece;
    double sum = 0;
    uint64_t pid;

    while (str_cut(&rest, ',', &piece))
        if (str_to_u64(piece, &pid))
            sum += over_tree((unsigned long)pid, measure);
    return sum;
}

static double rss(unsigned long pid)
{
    char path[64];
    unsigned long pages = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%lu/statm", pid);
    file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double pss(unsigned long pid)
{
    char path[64];
    char line[256];
    unsigned long kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%lu/smaps_rollup", pid);
    file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (kib == 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Pss: %lu kB", &kib) != 1)
            kib = 0;
    fclose(file);
    return (double)kib * 1024;
}

static double cpu(unsigned long pid)
{
    char path[64];
    char line[1024] = "";
    unsigned long user = 0;
    unsigned long system = 0;
    const char *at;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%lu/stat", pid);
    file = fopen(path, "r");
    if (file == NULL)
        return 0;
    at = fgets(line, sizeof line, file) == NULL ? NULL : strrchr(line, ')');
    fclose(file);
    /* Fields 14 and 15 of proc(5), counted behind the name in brackets. */
    if (at == NULL ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

uint64_t tree_rss_bytes(const char *pids)
{
    return (uint64_t)over_all(pids, rss);
}

uint64_t tree_pss_bytes(const char *pids)
{
    return (uint64_t)over_all(pids, pss);
}

double tree_cpu_s(const char *pids)
{
    return over_all(pids, cpu);
}
