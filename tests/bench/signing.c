/* signing - mails to be signed by a worker, and what the signatures alone cost.
 *
 *   bench_signing queue --port P --key K [--mails 10000]
 *   bench_signing bare [--rounds 2000]
 *
 * run.sh starts the worker that drains them and takes its time.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/signer.h"

#include <stdio.h>
#include <string.h>

/* Mails of about 1 KiB from login@sender.test. */
static int queue(int argc, char **argv)
{
    struct load_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--port", -1),
        .path = "/v1/emails",
        .key = arg_text(argc, argv, "--key", NULL),
        .connections = 64,
        .requests = (size_t)arg_number(argc, argv, "--mails", 10000),
        .body = load_mail_body,
    };
    struct load_result result = load_run(&plan);
    bool are_queued = result.answered == plan.requests;

    if (!are_queued)
        fprintf(stderr, "signing: refused %zu (%u), broken %zu\n",
                result.refused, result.last_refusal, result.broken);
    load_result_finish(&result);
    return are_queued ? 0 : 1;
}

/* Processor time, as the worker's is taken. */
static int bare(int argc, char **argv)
{
    size_t rounds = (size_t)arg_number(argc, argv, "--rounds", 2000);
    double sum_us = 0;

    for (int i = 0; i < DKIM_ALGORITHMS; i++) {
        enum dkim_algorithm algorithm = (enum dkim_algorithm)i;
        struct signer signer;
        struct effort effort;
        double us;

        signer_init(&signer, algorithm);
        effort = effort_begin();
        signers_bare_ns(&signer, 1, rounds);
        effort_end(&effort);
        us = effort.cpu_s * 1e6 / (double)rounds;
        report("signing_bare", dkim_algorithm_name(algorithm), us, "us");
        sum_us += us;
        signer_finish(&signer);
    }
    report("signing_bare", "both", sum_us, "us");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "queue") == 0)
        return queue(argc, argv);
    if (argc > 1 && strcmp(argv[1], "bare") == 0)
        return bare(argc, argv);
    fprintf(stderr, "usage: bench_signing queue|bare …\n");
    return 2;
}
