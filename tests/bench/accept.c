/* accept - how many mails a second the API takes, and how fast.
 *
 *   bench_accept --port P [--key K] [--path /v1/emails] [--prefix NAME]
 *                [--requests N]
 *
 * Closed loop with 64 and 256 connections, then just below and exactly at a
 * multiple of 128, where an event loop that drains its events in batches of
 * 128 may hang. One line a figure.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"

#include <stdio.h>

static size_t next_number;

static double run(const struct load_plan *base, const char *prefix,
                  unsigned connections)
{
    struct load_plan plan = *base;
    struct load_result result;
    double rate;
    char name[128];

    plan.connections = connections;
    plan.first = next_number;
    next_number += plan.requests;
    result = load_run(&plan);
    rate = (double)result.answered / result.seconds;
    snprintf(name, sizeof name, "%s_c%u", prefix, connections);
    report(name, "rate", rate, "req/s");
    report_latency(name, result.latency_ns, result.answered);
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
    const char *prefix = arg_text(argc, argv, "--prefix", "accept");
    const char *key = arg_text(argc, argv, "--key", "");
    struct load_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--port", -1),
        .path = arg_text(argc, argv, "--path", "/v1/emails"),
        .key = key[0] == '\0' ? NULL : key,
        .requests = (size_t)arg_number(argc, argv, "--requests", 30000),
        .body = load_mail_body,
    };

    run(&plan, prefix, 64);
    run(&plan, prefix, 256);
    if (arg_number(argc, argv, "--pairs", 1) == 0)
        return 0;
    for (size_t i = 0; i < COUNT_OF(PAIRS); i++) {
        double below = run(&plan, prefix, PAIRS[i][0]);
        double exact = run(&plan, prefix, PAIRS[i][1]);
        char name[32];

        snprintf(name, sizeof name, "c%u_to_c%u", PAIRS[i][1], PAIRS[i][0]);
        report(prefix, name, exact / below, "ratio");
    }
    return 0;
}
