/* beside - whether mails of 25 MB hold up the small ones, all the way.
 *
 *   bench_beside --port P --sink-port S --key K [--seconds 10] [--rate 100]
 *                [--bytes 25000000]
 *
 * Small mails at a fixed rate, from the moment when each POST was due until
 * the sink answered 250: first alone, which is the yardstick, then while a
 * mail with that attachment is posted each second. Fails when a small one was
 * lost: not at the sink within a minute.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/sink.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATIENCE_S = 60, STEP_MS = 5, NEVER_ENDING = 1 << 20 };

static void large_body(void *ctx, size_t number, struct buf *out)
{
    const size_t *bytes = ctx;
    size_t digits = *bytes / 3 * 4;
    char *space;

    buf_addf(out,
             "{\"from\":\"login@sender.test\",\"to\":[\"n%zu@sink.test\"],"
             "\"subject\":\"Large\",\"text\":\"See the attachment.\","
             "\"attachments\":[{\"filename\":\"a.bin\",\"content\":\"",
             number);
    space = buf_space(out, digits);
    CHECK(space != NULL);
    memset(space, 'A', digits);
    buf_grown(out, digits);
    buf_add_cstr(out, "\"}]}");
}

/* Those of the small mails that have come, as the time that each took. */
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

/* Returns how many are lost. */
static size_t run_small(struct sink *sink, struct load_plan plan,
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

int main(int argc, char **argv)
{
    long rate = arg_number(argc, argv, "--rate", 100);
    long seconds = arg_number(argc, argv, "--seconds", 10);
    size_t bytes = (size_t)arg_number(argc, argv, "--bytes", 25000000);
    struct load_plan small = {
        .port = (uint16_t)arg_number(argc, argv, "--port", -1),
        .path = "/v1/emails",
        .key = arg_text(argc, argv, "--key", NULL),
        .connections = 16,
        .requests = (size_t)(rate * seconds),
        .rate = (double)rate,
        .body = load_mail_body,
    };
    struct sink_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--sink-port", -1),
        .capacity = 2 * small.requests,
    };
    struct load_plan large = small;
    struct sink *sink = sink_start(&plan);
    size_t lost;
    int pid;

    large.connections = 1;
    large.requests = NEVER_ENDING;
    large.first = plan.capacity; /* which the sink does not note */
    large.rate = 1;
    large.body = large_body;
    large.ctx = &bytes;
    lost = run_small(sink, small, "beside_alone");
    pid = load_start(&large);
    small.first = small.requests;
    lost += run_small(sink, small, "beside_large");
    load_stop(pid);
    report("beside", "large", (double)(sink_mails(sink) - plan.capacity),
           "mails");
    report("beside", "lost", (double)lost, "mails");
    sink_stop(&sink);
    return lost == 0 ? 0 : 1;
}
