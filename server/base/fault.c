#include "server/base/fault.h"

#ifdef FAULT_POINTS

#include "server/base/mem.h"
#include "server/base/nearest.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char VARIABLE[] = "POSTHASTE_FAULT_POINT";

/* Where the linker puts the section; a program without points has none. */
extern struct fault_point fault_points_begin[] __asm__("__start_fault_points")
    __attribute__((weak));
extern struct fault_point fault_points_end[] __asm__("__stop_fault_points")
    __attribute__((weak));

static struct {
    struct str name; /* empty: none is wanted */
    uint64_t every;
    uint64_t times;
    atomic_uint *passages; /* shared with all children to come */
} wanted;

static size_t point_count(void)
{
    return (size_t)(fault_points_end - fault_points_begin);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once; the caller frees the array. */
static const char **names_of_points(size_t *count)
{
    const char **names = xcalloc(point_count() + 1, sizeof *names);
    size_t kept = 0;

    for (size_t i = 0; i < point_count(); i++)
        names[i] = fault_points_begin[i].name;
    qsort(names, point_count(), sizeof *names, compare_names);
    for (size_t i = 0; i < point_count(); i++)
        if (kept == 0 || strcmp(names[i], names[kept - 1]) != 0)
            names[kept++] = names[i];
    *count = kept;
    return names;
}

void fault_list(struct buf *out)
{
    size_t count;
    const char **names = names_of_points(&count);

    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s\n", names[i]);
    free(names);
}

static bool is_known(struct str name, struct error *err)
{
    size_t count;
    const char **names = names_of_points(&count);
    const char *nearest = nearest_name(name, names, count);
    bool found = false;

    for (size_t i = 0; i < count; i++)
        found = found || str_eq(str_of(names[i]), name);
    free(names);
    if (!found)
        error_set(err, ERR_CONFIG,
                  "%s: there is no point '%.*s'%s%s%s; posthaste version "
                  "--fault-points lists them",
                  VARIABLE, STR_ARG(name), nearest == NULL ? "" : ", but '",
                  nearest == NULL ? "" : nearest, nearest == NULL ? "" : "'");
    return found;
}

static bool is_count(struct str text, uint64_t *count)
{
    return str_to_u64(text, count) && *count > 0 && *count <= UINT32_MAX;
}

static bool read_counts(struct str counts)
{
    struct str every;

    wanted.times = 1;
    return str_cut(&counts, ':', &every) && is_count(every, &wanted.every) &&
           (counts.ptr == NULL || is_count(counts, &wanted.times));
}

static void arm(bool is_supervisor)
{
    for (size_t i = 0; i < point_count(); i++) {
        struct fault_point *point = &fault_points_begin[i];
        struct str name = str_of(point->name);

        point->is_armed = str_eq(name, wanted.name) &&
                          str_starts(name, S("supervisor.")) == is_supervisor;
    }
}

bool fault_prepare(struct error *err)
{
    struct str rest = str_of(getenv(VARIABLE));
    struct str value = rest;
    struct str name;

    if (value.len == 0)
        return true;
    CHECK(str_cut(&rest, ':', &name));
    if (!is_known(name, err))
        return false;
    if (!read_counts(rest)) {
        error_set(err, ERR_CONFIG,
                  "%s: '%.*s' is not name:n or name:n:times, with n and times "
                  "from 1",
                  VARIABLE, STR_ARG(value));
        return false;
    }
    wanted.name = name;
    wanted.passages =
        mmap(NULL, sizeof *wanted.passages, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(wanted.passages != MAP_FAILED);
    arm(true);
    return true;
}

void fault_arm(void)
{
    arm(false);
}

void fault_pass(void)
{
    uint64_t passage = atomic_fetch_add(wanted.passages, 1) + 1;

    if (passage % wanted.every == 0 && passage / wanted.every <= wanted.times)
        _exit(FAULT_EXIT);
}

void fault_poison(struct str bytes)
{
    struct str poison = str_of(getenv("POSTHASTE_FAULT_POISON"));

    if (poison.len > 0 && str_contains(bytes, poison))
        abort();
}

const char *fault_name_servers(void)
{
    return getenv("POSTHASTE_FAULT_NAME_SERVERS");
}

const char *fault_policy_port(void)
{
    return getenv("POSTHASTE_FAULT_POLICY_PORT");
}

bool fault_was_hit(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == FAULT_EXIT;
}

#endif
