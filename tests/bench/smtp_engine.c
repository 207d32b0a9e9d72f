/* smtp_engine - what the delivery engine can do alone.
 *
 *   bench_smtp_engine [--mails 100000] [--sessions 16] [--bytes 2048]
 *                     [--postfix-sink PORT]
 *
 * Mails go to the sink over reused sessions, in the clear and by STARTTLS, and
 * to Postfix's smtp-sink on that port, the mark being answered at once. "per
 * core" divides by the CPU time that this process used, the sink's apart. The
 * yardstick is the bare client on as many sockets; run.sh adds smtp-source.
 */
#include "server/base/log.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/blast.h"
#include "tests/bench/lib/engine.h"
#include "tests/bench/lib/sink.h"
#include "tests/unit/certs.h"

static void measure(const struct engine_plan *plan, const char *name)
{
    struct effort effort = engine_send(plan);

    report_effort(name, &effort, plan->mails, "mails");
}

int main(int argc, char **argv)
{
    uint16_t postfix = (uint16_t)arg_number(argc, argv, "--postfix-sink", 0);
    static const struct cert_spec CERTS[] = {
        {"sink", "IP:127.0.0.1", -3600, 3600, 1}};
    struct engine_plan plan = {
        .tls = TLS_OFF,
        .mails = (size_t)arg_number(argc, argv, "--mails", 100000),
        .sessions = (size_t)arg_number(argc, argv, "--sessions", 16),
        .messages_per_session = INT32_MAX,
        .pipeline_next = true,
    };
    struct sink_plan sink_plan = {.capacity = plan.mails};
    struct effort effort;
    struct buf message;
    struct certs certs;
    struct sink *sink;

    log_setup(LOG_WARN, LOG_AUTO, "bench");
    engine_message(&message, (size_t)arg_number(argc, argv, "--bytes", 2048));
    certs_make(&certs, CERTS, COUNT_OF(CERTS));
    sink_plan.cert_file = certs_path(&certs, "sink", "pem");
    sink_plan.key_file = certs_path(&certs, "sink", "key");
    sink = sink_start(&sink_plan);
    plan.port = sink_port(sink);
    plan.message = buf_str(&message);
    effort = blast(plan.port, plan.mails, plan.sessions, plan.message);
    report_effort("engine.bare.", &effort, plan.mails, "mails");
    measure(&plan, "engine.plain.");
    plan.tls = TLS_OPPORTUNISTIC;
    measure(&plan, "engine.starttls.");
    CHECK(sink_mails(sink) == 3 * plan.mails);
    if (postfix != 0) {
        plan.tls = TLS_OFF;
        plan.port = postfix;
        measure(&plan, "engine.postfix_sink.");
    }
    sink_stop(&sink);
    certs_remove(&certs, CERTS, COUNT_OF(CERTS));
    buf_finish(&message);
    return 0;
}
