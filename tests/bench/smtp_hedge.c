/* smtp_hedge - codes by an upstream that is slow now and then.
 *
 *   bench_smtp_hedge [--mails 20000] [--percent 5] [--slow 500] [--rounds 3]
 *
 * A route with two upstreams that answer after 5 ms; the first takes SLOW ms
 * more for PERCENT of 100 recipients. Without hedges, and with as many as are
 * allowed by default (5 of 100). Nothing here is bound by the CPU. By turns, so
 * that a busy machine does the same to both; medians of the rounds.
 */
#include "server/base/log.h"
#include "server/base/mem.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/engine.h"
#include "tests/bench/lib/sink.h"

#include <stdlib.h>

enum { IN_HAND = 16, ROUNDS_MAX = 15, DELAY_MS = 5, HEDGE_PERCENT = 5 };

enum { P50, P95, P99, RANK_COUNT };

static const struct {
    const char *names[2]; /* without, with */
    double rank;
} RANKS[RANK_COUNT] = {
    [P50] = {{"off_p50", "on_p50"}, 0.5},
    [P95] = {{"off_p95", "on_p95"}, 0.95},
    [P99] = {{"off_p99", "on_p99"}, 0.99},
};

static int by_size(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return *left < *right ? -1 : *left > *right;
}

static void run(struct engine_plan *plan, unsigned hedge_percent,
                uint64_t ns[RANK_COUNT][ROUNDS_MAX], size_t round)
{
    plan->hedge_percent = hedge_percent;
    engine_send(plan);
    qsort(plan->took_ns, plan->mails, sizeof *plan->took_ns, by_size);
    for (size_t i = 0; i < RANK_COUNT; i++)
        ns[i][round] = percentile(plan->took_ns, plan->mails, RANKS[i].rank);
}

static void compare(struct engine_plan *plan, size_t rounds)
{
    uint64_t ns[2][RANK_COUNT][ROUNDS_MAX];

    for (size_t i = 0; i < rounds; i++) {
        run(plan, 0, ns[0], i);
        run(plan, HEDGE_PERCENT, ns[1], i);
    }
    for (size_t i = 0; i < RANK_COUNT; i++)
        for (size_t on = 0; on < 2; on++) {
            qsort(ns[on][i], rounds, sizeof ns[on][i][0], by_size);
            report("smtp_hedge", RANKS[i].names[on],
                   (double)percentile(ns[on][i], rounds, 0.5) / 1e6, "ms");
        }
}

int main(int argc, char **argv)
{
    size_t rounds = (size_t)arg_number(argc, argv, "--rounds", 3);
    struct engine_plan plan = {
        .tls = TLS_OFF,
        .mails = (size_t)arg_number(argc, argv, "--mails", 20000),
        .sessions = 4 * IN_HAND,
        .in_hand = IN_HAND,
        .messages_per_session = INT32_MAX,
    };
    const struct sink_plan first_plan = {
        .delay_ms = DELAY_MS,
        .slow_percent = (unsigned)arg_number(argc, argv, "--percent", 5),
        .slow_ms = (unsigned)arg_number(argc, argv, "--slow", 500),
        .capacity = plan.mails,
    };
    const struct sink_plan second_plan = {.delay_ms = DELAY_MS,
                                          .capacity = plan.mails};
    struct sink *first = sink_start(&first_plan);
    struct sink *second = sink_start(&second_plan);
    struct buf message;

    log_setup(LOG_WARN, LOG_AUTO, "bench");
    engine_message(&message, 1024);
    plan.message = buf_str(&message);
    plan.port = sink_port(first);
    plan.second_port = sink_port(second);
    plan.took_ns = xcalloc(plan.mails, sizeof *plan.took_ns);
    CHECK(rounds > 0 && rounds <= ROUNDS_MAX);
    compare(&plan, rounds);
    free(plan.took_ns);
    buf_finish(&message);
    sink_stop(&second);
    sink_stop(&first);
    return 0;
}
