/* beside - whether mails of 25 MB hold up the small ones, all the way.
 *
 *   bench_beside --port P --sink-port S --key K [--seconds 10] [--rate 100]
 *                [--bytes 25000000]
 *
 * Small mails at a fixed rate, from the moment when each POST was due until
 * the sink answered 250: first alone, which is the yardstick, then while a
 * mail with that attachment is posted each second. Fails when a small one was
 * lost: not at the sink within a minute.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/timed.h"
#include "server/base/mem.h"

#include <string.h>

enum { NEVER_ENDING = 1 << 20 };

static void large_body(void *ctx, size_t number, struct buf *out)
{
    const size_t *bytes = ctx;
    size_t digits = *bytes / 3 * 4;
    char *space;

    buf_addf(out,
             "{\"from\":\"login@sender.test\",\"to\":[\"n%zu@sink.test\"],"
             "\"subject\":\"Large\",\"text\":\"See the attachment.\","
             "\"attachments\":[{\"filename\":\"a.bin\",\"content\":\"",
             number);
    space = buf_space(out, digits);
    CHECK(space != NULL);
    memset(space, 'A', digits);
    buf_grown(out, digits);
    buf_add_cstr(out, "\"}]}");
}

int main(int argc, char **argv)
{
    size_t bytes = (size_t)arg_number(argc, argv, "--bytes", 25000000);
    struct load_plan small = load_plan_of(argc, argv, 100);
    struct sink_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--sink-port", -1),
        .capacity = 2 * small.requests,
    };
    struct load_plan large = small;
    struct sink *sink = sink_start(&plan);
    size_t lost;
    int pid;

    large.connections = 1;
    large.requests = NEVER_ENDING;
    large.first = plan.capacity; /* which the sink does not note */
    large.rate = 1;
    large.body = large_body;
    large.ctx = &bytes;
    lost = timed_run(sink, small, "beside_alone");
    pid = load_start(&large);
    small.first = small.requests;
    lost += timed_run(sink, small, "beside_large");
    load_stop(pid);
    report("beside", "large", (double)(sink_mails(sink) - plan.capacity),
           "mails");
    report("beside", "lost", (double)lost, "mails");
    sink_stop(&sink);
    return lost == 0 ? 0 : 1;
}
