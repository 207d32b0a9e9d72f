/* smtpsink - the bare SMTP sink of the benchmarks as a program.
 *
 *   bench_smtpsink [--port P] [--delay MS] [--cert FILE --key FILE]
 *                  [--capacity N]
 *
 * Prints "listening PORT", and when its input ends what it saw.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/sink.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    const char *cert = arg_text(argc, argv, "--cert", "");
    struct sink_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--port", 0),
        .delay_ms = (unsigned)arg_number(argc, argv, "--delay", 0),
        .capacity = (size_t)arg_number(argc, argv, "--capacity", 1000000),
    };
    struct sink *sink;

    if (cert[0] != '\0') {
        plan.cert_file = cert;
        plan.key_file = arg_text(argc, argv, "--key", NULL);
    }
    sink = sink_start(&plan);
    printf("listening %u\n", sink_port(sink));
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    report("smtpsink", "connections", (double)sink_connections(sink),
           "sessions");
    report("smtpsink", "mails", (double)sink_mails(sink), "mails");
    report("smtpsink", "doubled", (double)sink_doubles(sink), "mails");
    report("smtpsink", "cpu", sink_cpu_s(sink), "s");
    sink_stop(&sink);
    return 0;
}
