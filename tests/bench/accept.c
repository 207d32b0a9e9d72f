/* accept - how many mails a second the API takes, and how fast.
 *
 *   bench_accept --port P [--key K] [--path /v1/emails] [--prefix NAME]
 *                [--requests N] [--pids API] [--redis-pids REDIS]
 *
 * Closed loop with 64 and 256 connections, then just below and exactly at a
 * multiple of 128, where an event loop that drains its events in batches of
 * 128 may hang. One line a figure; with pids, also the CPU time of each
 * request, which other work on the machine disturbs less than the rate.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/tree.h"

#include <stdio.h>

struct bench {
    struct load_plan plan;
    const char *prefix;
    const char *pids;
    const char *redis_pids;
};

static double cpu_us(double seconds, size_t requests)
{
    return seconds * 1e6 / (double)requests;
}

static double run(struct bench *bench, unsigned connections)
{
    struct load_plan plan = bench->plan;
    double cpu = tree_cpu_s(bench->pids);
    double redis_cpu = tree_cpu_s(bench->redis_pids);
    struct load_result result;
    double rate;
    char name[128];

    plan.connections = connections;
    bench->plan.first += plan.requests;
    result = load_run(&plan);
    rate = (double)result.answered / result.seconds;
    snprintf(name, sizeof name, "%s_c%u", bench->prefix, connections);
    report(name, "rate", rate, "req/s");
    report_latency(name, result.latency_ns, result.answered);
    if (bench->pids[0] != '\0')
        report(name, "cpu",
               cpu_us(tree_cpu_s(bench->pids) - cpu, plan.requests), "us/req");
    if (bench->redis_pids[0] != '\0')
        report(name, "redis_cpu",
               cpu_us(tree_cpu_s(bench->redis_pids) - redis_cpu, plan.requests),
               "us/req");
    if (result.refused + result.broken > 0) {
        report(name, "refused", (double)result.refused, "requests");
        report(name, "broken", (double)result.broken, "requests");
        fprintf(stderr, "last refusal: %u\n", result.last_refusal);
    }
    load_result_finish(&result);
    return rate;
}

int main(int argc, char **argv)
{
    static const unsigned PAIRS[][2] = {{127, 128}, {255, 256}, {511, 512}};
    const char *key = arg_text(argc, argv, "--key", "");
    struct bench bench = {
        .plan = {.port = (uint16_t)arg_number(argc, argv, "--port", -1),
                 .path = arg_text(argc, argv, "--path", "/v1/emails"),
                 .key = key[0] == '\0' ? NULL : key,
                 .requests =
                     (size_t)arg_number(argc, argv, "--requests", 30000),
                 .body = load_mail_body},
        .prefix = arg_text(argc, argv, "--prefix", "accept"),
        .pids = arg_text(argc, argv, "--pids", ""),
        .redis_pids = arg_text(argc, argv, "--redis-pids", ""),
    };

    run(&bench, 64);
    run(&bench, 256);
    if (arg_number(argc, argv, "--pairs", 1) == 0)
        return 0;
    for (size_t i = 0; i < COUNT_OF(PAIRS); i++) {
        double below = run(&bench, PAIRS[i][0]);
        double exact = run(&bench, PAIRS[i][1]);
        char name[32];

        snprintf(name, sizeof name, "c%u_to_c%u", PAIRS[i][1], PAIRS[i][0]);
        report(bench.prefix, name, exact / below, "ratio");
    }
    return 0;
}
