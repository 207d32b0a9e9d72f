/* bigbody - whether a 40 MiB POST holds up the small ones.
 *
 *   bench_bigbody --port P --key K [--seconds 10] [--rate 200]
 *
 * Small mails at a fixed rate, first alone, then while one connection posts
 * a mail with an attachment of the greatest size, one after the other.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"

#include <string.h>

enum { BIG_BYTES = 39 * 1024 * 1024, NEVER_ENDING = 1 << 20 };

static void big_body(void *ctx, size_t number, struct buf *out)
{
    const size_t *bytes = ctx;
    char *space;

    buf_addf(out,
             "{\"from\":\"login@sender.test\",\"to\":[\"n%zu@sink.test\"],"
             "\"subject\":\"Big\",\"text\":\"See the attachment.\","
             "\"attachments\":[{\"filename\":\"big.bin\",\"content\":\"",
             number);
    space = buf_space(out, *bytes);
    CHECK(space != NULL);
    memset(space, 'A', *bytes); /* base64 of zeros */
    buf_grown(out, *bytes);
    buf_add_cstr(out, "\"}]}");
}

static void run_small(struct load_plan plan, const char *prefix, size_t first)
{
    struct load_result result;

    plan.first = first;
    result = load_run(&plan);
    report_latency(prefix, result.latency_ns, result.answered);
    report(prefix, "refused", (double)(result.refused + result.broken),
           "requests");
    load_result_finish(&result);
}

int main(int argc, char **argv)
{
    size_t bytes = (size_t)arg_number(argc, argv, "--bytes", BIG_BYTES);
    struct load_plan small = load_plan_of(argc, argv, 200);
    struct load_plan big = small;
    int pid;

    big.connections = 1;
    big.requests = NEVER_ENDING;
    big.rate = 1; /* a second each, so that Redis does not fill */
    big.body = big_body;
    big.ctx = &bytes;
    run_small(small, "bigbody_alone", 0);
    pid = load_start(&big);
    run_small(small, "bigbody_beside", small.requests);
    load_stop(pid);
    return 0;
}
