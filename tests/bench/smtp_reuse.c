/* smtp_reuse - what it is worth to use a session again.
 *
 *   bench_smtp_reuse [--mails 20000] [--sessions 16] [--bytes 2048]
 *
 * Sessions of any number of mails against sessions of one, in the clear and by
 * STARTTLS; there a sink that lets TLS sessions be resumed, against one that
 * forgets them. A tenth of the mails where each has a session of its own.
 */
#include "server/base/log.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/engine.h"
#include "tests/bench/lib/sink.h"
#include "tests/unit/certs.h"

enum { SHARE_ALONE = 10 };

struct bench {
    struct engine_plan plan;
    struct sink_plan sink_plan;
};

/* Mails a second. */
static double send_all(const struct bench *bench, const char *name,
                       enum config_tls tls, bool is_reused, bool is_resumed)
{
    struct engine_plan plan = bench->plan;
    struct sink_plan sink_plan = bench->sink_plan;
    struct sink *sink;
    struct effort effort;

    sink_plan.forgets = !is_resumed;
    sink = sink_start(&sink_plan);
    plan.port = sink_port(sink);
    plan.tls = tls;
    plan.messages_per_session = is_reused ? INT32_MAX : 1;
    if (!is_reused)
        plan.mails = (plan.mails + SHARE_ALONE - 1) / SHARE_ALONE;
    if (plan.sessions > plan.mails)
        plan.sessions = plan.mails;
    effort = engine_send(&plan);
    report_effort(name, &effort, plan.mails, "mails");
    report(name, "connections",
           1000 * (double)sink_connections(sink) / (double)plan.mails,
           "per 1000 mails");
    sink_stop(&sink);
    return (double)plan.mails / effort.wall_s;
}

static void compare(const struct bench *bench)
{
    double plain = send_all(bench, "smtp_reuse_plain", TLS_OFF, true, true);
    double plain_alone =
        send_all(bench, "smtp_alone_plain", TLS_OFF, false, true);
    double tls =
        send_all(bench, "smtp_reuse_starttls", TLS_OPPORTUNISTIC, true, true);
    double tls_alone =
        send_all(bench, "smtp_alone_starttls", TLS_OPPORTUNISTIC, false, true);
    double tls_anew = send_all(bench, "smtp_alone_starttls_anew",
                               TLS_OPPORTUNISTIC, false, false);

    report("smtp_reuse_plain", "ratio", plain / plain_alone, "times");
    report("smtp_reuse_starttls", "ratio", tls / tls_alone, "times");
    report("smtp_resume", "ratio", tls_alone / tls_anew, "times");
}

int main(int argc, char **argv)
{
    static const struct cert_spec CERTS[] = {
        {"sink", "IP:127.0.0.1", -3600, 3600, 1}};
    struct bench bench = {
        .plan = {.mails = (size_t)arg_number(argc, argv, "--mails", 20000),
                 .sessions = (size_t)arg_number(argc, argv, "--sessions", 16),
                 .pipeline_next = true},
    };
    struct buf message;
    struct certs certs;

    log_setup(LOG_WARN, LOG_AUTO, "bench");
    engine_message(&message, (size_t)arg_number(argc, argv, "--bytes", 2048));
    certs_make(&certs, CERTS, COUNT_OF(CERTS));
    bench.plan.message = buf_str(&message);
    bench.sink_plan = (struct sink_plan){
        .capacity = bench.plan.mails,
        .cert_file = certs_path(&certs, "sink", "pem"),
        .key_file = certs_path(&certs, "sink", "key"),
    };
    compare(&bench);
    certs_remove(&certs, CERTS, COUNT_OF(CERTS));
    buf_finish(&message);
    return 0;
}
