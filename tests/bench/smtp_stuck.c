/* smtp_stuck - one upstream that is stuck delays no other.
 *
 *   bench_smtp_stuck [--delay 5] [--mails 20000] [--rounds 3]
 *
 * Mails to an upstream that answers after DELAY ms, by 16 sessions: alone, and
 * while as many sessions to another one wait for a banner that never comes.
 * Nothing here is bound by the CPU. By turns, so that a busy machine does the
 * same to both; the ratio is that of the medians.
 */
#include "server/base/log.h"
#include "server/base/mem.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/engine.h"
#include "tests/bench/lib/sink.h"

#include <stdlib.h>

enum { SESSIONS = 16, ROUNDS_MAX = 15, NEVER_MS = 3600 * 1000 };

static int by_size(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return *left < *right ? -1 : *left > *right;
}

/* The 99th percentile of one run, in ns. */
static uint64_t p99_of(const struct engine_plan *plan)
{
    engine_send(plan);
    qsort(plan->took_ns, plan->mails, sizeof *plan->took_ns, by_size);
    return percentile(plan->took_ns, plan->mails, 0.99);
}

static double median_ms(uint64_t *ns, size_t count)
{
    qsort(ns, count, sizeof *ns, by_size);
    return (double)percentile(ns, count, 0.5) / 1e6;
}

static void compare(struct engine_plan *plan, uint16_t stuck_port,
                    size_t rounds)
{
    uint64_t alone_ns[ROUNDS_MAX];
    uint64_t beside_ns[ROUNDS_MAX];
    double alone_ms;
    double beside_ms;

    for (size_t i = 0; i < rounds; i++) {
        plan->stuck_port = 0;
        plan->stuck_mails = 0;
        alone_ns[i] = p99_of(plan);
        plan->stuck_port = stuck_port;
        plan->stuck_mails = SESSIONS;
        beside_ns[i] = p99_of(plan);
    }
    alone_ms = median_ms(alone_ns, rounds);
    beside_ms = median_ms(beside_ns, rounds);
    report("smtp_stuck", "alone_p99", alone_ms, "ms");
    report("smtp_stuck", "beside_p99", beside_ms, "ms");
    report("smtp_stuck", "p99_ratio", beside_ms / alone_ms, "times");
}

int main(int argc, char **argv)
{
    size_t rounds = (size_t)arg_number(argc, argv, "--rounds", 3);
    struct engine_plan plan = {
        .tls = TLS_OFF,
        .mails = (size_t)arg_number(argc, argv, "--mails", 20000),
        .sessions = SESSIONS,
        .messages_per_session = INT32_MAX,
    };
    const struct sink_plan healthy_plan = {
        .delay_ms = (unsigned)arg_number(argc, argv, "--delay", 5),
        .capacity = plan.mails,
    };
    const struct sink_plan stuck_plan = {.delay_ms = NEVER_MS, .capacity = 1};
    struct sink *healthy = sink_start(&healthy_plan);
    struct sink *stuck = sink_start(&stuck_plan);
    struct buf message;

    log_setup(LOG_WARN, LOG_AUTO, "bench");
    engine_message(&message, 1024);
    plan.message = buf_str(&message);
    plan.port = sink_port(healthy);
    plan.took_ns = xcalloc(plan.mails, sizeof *plan.took_ns);
    CHECK(rounds > 0 && rounds <= ROUNDS_MAX);
    compare(&plan, sink_port(stuck), rounds);
    free(plan.took_ns);
    buf_finish(&message);
    sink_stop(&stuck);
    sink_stop(&healthy);
    return 0;
}
