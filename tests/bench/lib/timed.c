#include "tests/bench/lib/timed.h"

#include "server/base/mem.h"
#include "tests/bench/lib/report.h"

#include <stdlib.h>
#include <time.h>

enum { PATIENCE_S = 60, STEP_MS = 5 };

/* Those that have come, as the time that each took. */
static size_t arrived(const struct sink *sink, const struct load_plan *plan,
                      uint64_t *ns)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->requests; i++) {
        uint64_t at = sink_arrival_ns(sink, plan->first + i);

        if (at != 0)
            ns[count++] = at - plan->started_ns[i];
    }
    return count;
}

size_t timed_run(const struct sink *sink, struct load_plan plan,
                 const char *prefix)
{
    const struct timespec step = {.tv_nsec = STEP_MS * 1000000};
    uint64_t *ns = xcalloc(plan.requests, sizeof *ns);
    struct load_result result;
    uint64_t end;
    size_t come;

    plan.started_ns = xcalloc(plan.requests, sizeof *plan.started_ns);
    result = load_run(&plan);
    end = now_ns() + (uint64_t)PATIENCE_S * 1000000000u;
    while ((come = arrived(sink, &plan, ns)) < result.answered &&
           now_ns() < end)
        nanosleep(&step, NULL);
    report_latency(prefix, ns, come);
    come = result.answered > come ? result.answered - come : 0;
    load_result_finish(&result);
    free(plan.started_ns);
    free(ns);
    return come;
}
