/* stuck - whether an upstream that is stuck holds up the mail of another one,
 * all the way; smtp_stuck is the engine alone.
 *
 *   bench_stuck --port P --sink-port S --stuck-port T --key K --prefix NAME
 *               [--seconds 10] [--rate 100] [--mails 0] [--sessions 1]
 *
 * Small mails at a fixed rate, from the moment when each POST was due until the
 * sink answered 250. With --mails, that many to stuck.test were posted before,
 * and as many sessions as --sessions says wait for the banner of its upstream,
 * which never comes. Fails when a small one was lost.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/timed.h"

#include <time.h>

enum { NEVER_MS = 3600 * 1000, STEP_MS = 5 };

static void stuck_body(void *ctx, size_t number, struct buf *out)
{
    (void)ctx;
    buf_addf(out,
             "{\"from\":\"login@sender.test\",\"to\":[\"n%zu@stuck.test\"],"
             "\"subject\":\"Late\",\"text\":\"This may take its time.\"}",
             number);
}

/* Returns once its sessions are all taken. */
static void get_stuck(const struct sink *sink, struct load_plan plan,
                      size_t mails, uint64_t sessions)
{
    const struct timespec step = {.tv_nsec = STEP_MS * 1000000};
    struct load_result result;

    plan.requests = mails;
    plan.rate = 0;
    plan.body = stuck_body;
    result = load_run(&plan);
    CHECK(result.answered == mails);
    load_result_finish(&result);
    while (sink_connections(sink) < sessions)
        nanosleep(&step, NULL);
}

int main(int argc, char **argv)
{
    const char *prefix = arg_text(argc, argv, "--prefix", NULL);
    size_t mails = (size_t)arg_number(argc, argv, "--mails", 0);
    const struct load_plan plan = load_plan_of(argc, argv, 100);
    const struct sink_plan well_plan = {
        .port = (uint16_t)arg_number(argc, argv, "--sink-port", -1),
        .capacity = plan.requests,
    };
    const struct sink_plan stuck_plan = {
        .port = (uint16_t)arg_number(argc, argv, "--stuck-port", -1),
        .delay_ms = NEVER_MS,
        .capacity = 1,
    };
    struct sink *well = sink_start(&well_plan);
    struct sink *stuck = sink_start(&stuck_plan);
    size_t lost;

    if (mails > 0)
        get_stuck(stuck, plan, mails,
                  (uint64_t)arg_number(argc, argv, "--sessions", 1));
    lost = timed_run(well, plan, prefix);
    report(prefix, "lost", (double)lost, "mails");
    sink_stop(&stuck);
    sink_stop(&well);
    return lost == 0 ? 0 : 1;
}
