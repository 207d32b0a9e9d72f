/* lanes - how soon a verification mail is delivered, alone and beside bulk.
 *
 *   bench_lanes fill --redis R --first F --mails N [--class bulk]
 *   bench_lanes mail --port P --key K --sink-port S [--prefix NAME]
 *                    [--rate 200] [--seconds 20] [--bulk N]
 *
 * fill stores mails of that class, numbered from F on, while no worker runs.
 * mail sends
 * verification mails at a steady rate (open loop): the latency of each counts
 * from the moment when its POST was due until the sink answered 250. Fails
 * when one was lost or doubled, or when there was no bulk mail left at the
 * end though some were stored.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/sink.h"
#include "tests/bench/lib/store.h"
#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATIENCE_S = 30, STEP_MS = 5 };

static void fill(int argc, char **argv)
{
    struct loop *loop = loop_create();
    struct config config;
    struct queue *queue =
        store_open(loop, arg_number(argc, argv, "--redis", -1), &config);
    struct store_plan plan = {
        .loop = loop,
        .queue = queue,
        .owner = "default",
        .route = "sink",
        .first = (size_t)arg_number(argc, argv, "--first", -1),
        .mails = (size_t)arg_number(argc, argv, "--mails", -1),
        .flight = 256,
    };
    uint64_t start = now_ns();

    CHECK(mail_class_parse(str_of(arg_text(argc, argv, "--class", "bulk")),
                           &plan.mail_class));
    store_mails(&plan);
    report("lanes", "fill_rate",
           (double)plan.mails * 1e9 / (double)(now_ns() - start), "mail/s");
    queue_close(&queue);
    loop_turn(loop, 0);
    loop_destroy(&loop);
}

static void code_body(void *ctx, size_t number, struct buf *out)
{
    load_mail_body(ctx, number, out);
    buf_truncate(out, out->len - 1);
    buf_add_cstr(out, ",\"class\":\"verification\"}");
}

static void rest(void)
{
    struct timespec step = {.tv_nsec = STEP_MS * 1000000};

    nanosleep(&step, NULL);
}

static size_t arrived(const struct sink *sink, size_t count)
{
    size_t come = 0;

    for (size_t i = 0; i < count; i++)
        come += sink_arrival_ns(sink, i) != 0;
    return come;
}

/* Bulk mails are going out; true as well when there are none to come. */
static void wait_for_bulk(const struct sink *sink, size_t bulk)
{
    while (bulk > 0 && sink_mails(sink) == 0)
        rest();
}

static int mail(int argc, char **argv)
{
    const char *prefix = arg_text(argc, argv, "--prefix", "lanes");
    double rate = (double)arg_number(argc, argv, "--rate", 200);
    long seconds = arg_number(argc, argv, "--seconds", 20);
    size_t bulk = (size_t)arg_number(argc, argv, "--bulk", 0);
    size_t mails = (size_t)(rate * (double)seconds);
    struct sink_plan sink_plan = {
        .port = (uint16_t)arg_number(argc, argv, "--sink-port", -1),
        .capacity = mails + bulk,
    };
    struct load_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--port", -1),
        .path = "/v1/emails",
        .key = arg_text(argc, argv, "--key", NULL),
        .connections = 64,
        .requests = mails,
        .rate = rate,
        .body = code_body,
        .started_ns = xcalloc(mails, sizeof(uint64_t)),
    };
    uint64_t *ns = xcalloc(mails, sizeof *ns);
    struct sink *sink = sink_start(&sink_plan);
    struct load_result result;
    uint64_t drained;
    uint64_t end;
    size_t come = 0;
    size_t count = 0;
    char name[64];

    wait_for_bulk(sink, bulk);
    drained = sink_mails(sink);
    result = load_run(&plan);
    end = now_ns() + (uint64_t)PATIENCE_S * 1000000000u;
    while ((come = arrived(sink, mails)) < result.answered && now_ns() < end)
        rest();
    drained = sink_mails(sink) - drained - come;
    for (size_t i = 0; i < mails; i++)
        if (sink_arrival_ns(sink, i) != 0)
            ns[count++] = sink_arrival_ns(sink, i) - plan.started_ns[i];
    report_latency(prefix, ns, count);
    snprintf(name, sizeof name, "%s_accept", prefix);
    report_latency(name, result.latency_ns, result.answered);
    report(prefix, "lost", (double)(mails - count), "mails");
    report(prefix, "doubled", (double)sink_doubles(sink), "mails");
    report(prefix, "bulk_rate", (double)drained / result.seconds, "mail/s");
    report(prefix, "bulk_left", (double)(bulk - drained), "mails");
    count += sink_doubles(sink);
    sink_stop(&sink);
    load_result_finish(&result);
    free(plan.started_ns);
    free(ns);
    return count == mails && (bulk == 0 || drained < bulk) ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "fill") == 0) {
        fill(argc, argv);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "mail") == 0)
        return mail(argc, argv);
    fprintf(stderr, "lanes: fill or mail?\n");
    return 2;
}
