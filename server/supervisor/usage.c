#include "server/supervisor/usage.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t fd_limit(pid_t pid)
{
    struct rlimit limit;

    if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) != 0)
        return 0;
    return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
}

static int64_t count_fds(pid_t pid)
{
    char path[64];
    int64_t count = 0;
    DIR *folder;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* proc(5): fields 14 and 15 are user and system time, 24 the resident pages.
 * The name in field 2 may hold anything, so the count begins behind it. */
void usage_add(struct usage *usage, pid_t pid)
{
    char path[64];
    char line[1024];
    unsigned long user;
    unsigned long system;
    long pages;
    const char *rest;
    FILE *file;
    size_t len;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return;
    len = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[len] = '\0';
    rest = strrchr(line, ')');
    if (rest == NULL ||
        sscanf(rest + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d "
               "%*d %*d %*d %*d %*u %*u %ld",
               &user, &system, &pages) != 3)
        return;
    usage->cpu_ticks += (int64_t)(user + system);
    usage->resident_bytes += pages * sysconf(_SC_PAGESIZE);
    usage->open_fds += count_fds(pid);
    usage->max_fds += fd_limit(pid);
}

static int64_t seconds_of_dead(void)
{
    struct rusage dead;

    if (getrusage(RUSAGE_CHILDREN, &dead) != 0)
        return 0;
    return dead.ru_utime.tv_sec + dead.ru_stime.tv_sec;
}

void usage_tell(const struct usage *usage)
{
    static int64_t told_s;
    static int64_t start_s;
    int64_t cpu_s = usage->cpu_ticks / sysconf(_SC_CLK_TCK) + seconds_of_dead();

    if (start_s == 0)
        start_s = clock_wall_ms() / 1000;
    series_set(metrics_series(METRIC_PROCESS_MEMORY, NULL),
               usage->resident_bytes);
    series_set(metrics_series(METRIC_PROCESS_FDS, NULL), usage->open_fds);
    series_set(metrics_series(METRIC_PROCESS_MAX_FDS, NULL), usage->max_fds);
    series_set(metrics_series(METRIC_PROCESS_START, NULL), start_s);
    if (cpu_s > told_s) {
        series_add(metrics_series(METRIC_PROCESS_CPU, NULL),
                   (uint64_t)(cpu_s - told_s));
        told_s = cpu_s;
    }
}
