/* smtp_rtt - an upstream that is far away: each reply comes DELAY ms late.
 *
 *   bench_smtp_rtt [--delay 20] [--seconds 10] [--bytes 1024]
 *
 * 64 and 256 sessions: the engine with pipeline_next and without, beside the
 * bare client, which has one mail under way on each. Nothing here is bound by
 * the CPU, so the ratios count.
 */
#include "server/base/log.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/blast.h"
#include "tests/bench/lib/engine.h"
#include "tests/bench/lib/sink.h"

#include <stdio.h>

enum { ROUND_TRIPS = 2 }; /* of a mail: one for the envelope, one for its dot */

static double rate(const char *name, size_t sessions, struct effort effort,
                   size_t mails)
{
    char prefix[64];

    snprintf(prefix, sizeof prefix, "smtp_rtt_%zu_%s", sessions, name);
    report(prefix, "rate", (double)mails / effort.wall_s, "mails/s");
    return (double)mails / effort.wall_s;
}

static void compare(struct engine_plan *plan)
{
    char prefix[32];
    double bare =
        rate("bare", plan->sessions,
             blast(plan->port, plan->mails, plan->sessions, plan->message),
             plan->mails);
    double stepwise;
    double paired;

    plan->pipeline_next = false;
    stepwise = rate("stepwise", plan->sessions, engine_send(plan), plan->mails);
    plan->pipeline_next = true;
    paired = rate("paired", plan->sessions, engine_send(plan), plan->mails);
    snprintf(prefix, sizeof prefix, "smtp_rtt_%zu", plan->sessions);
    report(prefix, "stepwise_ratio", stepwise / bare, "times");
    report(prefix, "paired_ratio", paired / bare, "times");
}

int main(int argc, char **argv)
{
    static const size_t SESSIONS[] = {64, 256};
    unsigned delay_ms = (unsigned)arg_number(argc, argv, "--delay", 20);
    size_t ms = (size_t)(1000 * arg_number(argc, argv, "--seconds", 10));
    struct engine_plan plan = {.tls = TLS_OFF,
                               .messages_per_session = INT32_MAX};
    struct sink_plan sink_plan = {.delay_ms = delay_ms};
    struct buf message;
    struct sink *sink;

    log_setup(LOG_WARN, LOG_AUTO, "bench");
    engine_message(&message, (size_t)arg_number(argc, argv, "--bytes", 1024));
    plan.message = buf_str(&message);
    for (size_t i = 0; i < COUNT_OF(SESSIONS); i++) {
        plan.sessions = SESSIONS[i];
        plan.in_hand = 2 * plan.sessions; /* some wait, to be paired */
        plan.mails = plan.sessions * ms / (ROUND_TRIPS * delay_ms);
        sink_plan.capacity = plan.mails;
        sink = sink_start(&sink_plan);
        plan.port = sink_port(sink);
        compare(&plan);
        CHECK(sink_mails(sink) == 3 * plan.mails);
        sink_stop(&sink);
    }
    buf_finish(&message);
    return 0;
}
