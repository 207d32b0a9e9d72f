/* pipeline - from the POST to the upstream's 250.
 *
 *   bench_pipeline --port P --sink-port S [--key K] [--path /v1/emails]
 *                  [--prefix NAME] [--mails N] [--connections 64]
 *                  [--seconds 10] [--pids API,WORKER,…]
 *   bench_pipeline --smtp-port P --sink-port S [--prefix NAME] [--mails N]
 *
 * First at 50, 200 and 500 mails a second (open loop), where the latency of
 * each mail counts from the moment when its POST was due until the sink
 * answered 250; then as fast as it goes (closed loop). What takes mails by
 * SMTP is only asked how fast it goes. Fails when a mail was doubled or lost:
 * accepted, and not at the sink within a minute and a half.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/blast.h"
#include "tests/bench/lib/engine.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/sink.h"
#include "tests/bench/lib/tree.h"
#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Longer than the first retry of a mail whose session was lost. */
enum { PATIENCE_S = 90, STEP_MS = 5 };

enum { SMTP_SESSIONS = 20, SMTP_BYTES = 1024 };

static const double RATES[] = {50, 200, 500};

struct bench {
    struct load_plan plan;
    struct sink *sink;
    const char *prefix;
    const char *pids;
    size_t next; /* number of the next mail */
    size_t refused;
    size_t lost;
};

static void rest(void)
{
    struct timespec step = {.tv_nsec = STEP_MS * 1000000};

    nanosleep(&step, NULL);
}

/* Waits until as many of the mails from first on have come as were accepted,
 * and counts what did not. */
static void wait_for_all(struct bench *bench, size_t first, size_t count,
                         const struct load_result *result)
{
    uint64_t end = now_ns() + (uint64_t)PATIENCE_S * 1000000000u;
    size_t come = 0;

    while (come < result->answered && now_ns() < end) {
        rest();
        come = 0;
        for (size_t i = 0; i < count; i++)
            come += sink_arrival_ns(bench->sink, first + i) != 0;
    }
    bench->refused += result->refused + result->broken;
    if (come < result->answered)
        bench->lost += result->answered - come;
}

static uint64_t last_arrival(const struct sink *sink, size_t first,
                             size_t count)
{
    uint64_t last = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t at = sink_arrival_ns(sink, first + i);

        last = at > last ? at : last;
    }
    return last;
}

static void report_rate(const struct bench *bench, size_t first, size_t mails,
                        uint64_t begin)
{
    uint64_t took = last_arrival(bench->sink, first, mails) - begin;

    report(bench->prefix, "closed_rate", (double)mails * 1e9 / (double)took,
           "mail/s");
}

static void smtp_loop(struct bench *bench, uint16_t port, size_t mails)
{
    uint64_t begin = now_ns();
    struct load_result accepted = {.answered = mails};
    struct effort effort;
    struct buf message;

    engine_message(&message, SMTP_BYTES);
    effort = blast(port, mails, SMTP_SESSIONS, buf_str(&message));
    wait_for_all(bench, 0, mails, &accepted);
    report_rate(bench, 0, mails, begin);
    report(bench->prefix, "closed_accept_rate", (double)mails / effort.wall_s,
           "mail/s");
    buf_finish(&message);
}

static void closed_loop(struct bench *bench, size_t mails)
{
    struct load_plan plan = bench->plan;
    double cpu = tree_cpu_s(bench->pids);
    uint64_t begin = now_ns();
    struct load_result result;

    plan.requests = mails;
    plan.first = bench->next;
    bench->next += mails;
    result = load_run(&plan);
    wait_for_all(bench, plan.first, mails, &result);
    report_rate(bench, plan.first, mails, begin);
    report(bench->prefix, "closed_accept_rate",
           (double)result.answered / result.seconds, "mail/s");
    report(bench->prefix, "closed_cpu",
           (tree_cpu_s(bench->pids) - cpu) * 1e6 / (double)mails, "us/mail");
    load_result_finish(&result);
}

static void open_loop(struct bench *bench, double rate, long seconds)
{
    size_t mails = (size_t)(rate * (double)seconds);
    uint64_t *ns = xcalloc(mails, sizeof *ns);
    struct load_plan plan = bench->plan;
    struct load_result result;
    size_t arrived = 0;
    char name[64];

    plan.requests = mails;
    plan.rate = rate;
    plan.first = bench->next;
    plan.started_ns = xcalloc(mails, sizeof *plan.started_ns);
    bench->next += mails;
    result = load_run(&plan);
    wait_for_all(bench, plan.first, mails, &result);
    for (size_t i = 0; i < mails; i++) {
        uint64_t at = sink_arrival_ns(bench->sink, plan.first + i);

        if (at != 0)
            ns[arrived++] = at - plan.started_ns[i];
    }
    snprintf(name, sizeof name, "%s_%.0f", bench->prefix, rate);
    report_latency(name, ns, arrived);
    load_result_finish(&result);
    free(plan.started_ns);
    free(ns);
}

int main(int argc, char **argv)
{
    const char *key = arg_text(argc, argv, "--key", "");
    long smtp_port = arg_number(argc, argv, "--smtp-port", 0);
    size_t mails = (size_t)arg_number(argc, argv, "--mails", 30000);
    long seconds = arg_number(argc, argv, "--seconds", 10);
    struct bench bench = {
        .plan = {.port = (uint16_t)arg_number(argc, argv, "--port",
                                              smtp_port == 0 ? -1 : 0),
                 .path = arg_text(argc, argv, "--path", "/v1/emails"),
                 .key = key[0] == '\0' ? NULL : key,
                 .connections =
                     (unsigned)arg_number(argc, argv, "--connections", 64),
                 .body = load_mail_body},
        .prefix = arg_text(argc, argv, "--prefix", "pipeline"),
        .pids = arg_text(argc, argv, "--pids", ""),
    };
    struct sink_plan sink = {
        .port = (uint16_t)arg_number(argc, argv, "--sink-port", -1),
        .delay_ms = (unsigned)arg_number(argc, argv, "--delay", 0),
        .capacity = mails + (size_t)(750 * (seconds + 1)),
    };
    uint64_t doubles;

    bench.sink = sink_start(&sink);
    for (size_t i = 0; i < COUNT_OF(RATES) && smtp_port == 0; i++)
        open_loop(&bench, RATES[i], seconds);
    if (smtp_port != 0)
        smtp_loop(&bench, (uint16_t)smtp_port, mails);
    else
        closed_loop(&bench, mails);
    doubles = sink_doubles(bench.sink);
    report(bench.prefix, "connections", (double)sink_connections(bench.sink),
           "sessions");
    report(bench.prefix, "refused", (double)bench.refused, "requests");
    report(bench.prefix, "lost", (double)bench.lost, "mails");
    report(bench.prefix, "doubled", (double)doubles, "mails");
    sink_stop(&bench.sink);
    return bench.lost + doubles == 0 ? 0 : 1;
}
