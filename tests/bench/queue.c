/* queue - what the scripts cost Redis, without HTTP and SMTP around them.
 *
 *   bench_queue --redis PORT [--mails 50000] [--flight 64] [--room 64]
 *               [--queued 0] [--prefix queue]
 *
 * Stores mails of 1 KiB in a closed loop, then claims, marks and reports as
 * many as one child would; --queued: behind that many others. CPU is that of
 * Redis' main thread, protocol and append-only file included.
 */
#include "queue/core.h"
#include "server/base/clock.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/deliver.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bench {
    struct loop *loop;
    struct queue *queue;
    struct deliver deliver;
    size_t mails;
    size_t flight; /* enqueues at once */
    size_t room;   /* claims at once */
} bench;

/* --- what Redis says of itself --- */

static struct figures {
    bool known;
    double cpu_us;
    uint64_t scripts;
    uint64_t memory_bytes;
} figures;

static uint64_t number_behind(struct str text, const char *name)
{
    ptrdiff_t at = str_find(text, str_of(name), 0);
    struct str rest;
    size_t len = 0;
    uint64_t value = 0;

    if (at < 0)
        return 0;
    rest = str_from(text, (size_t)at + strlen(name));
    while (len < rest.len && ascii_is_digit(rest.ptr[len]))
        len++;
    CHECK(str_to_u64(str_slice(rest, 0, len), &value));
    return value;
}

static double seconds_behind(struct str text, const char *name)
{
    ptrdiff_t at = str_find(text, str_of(name), 0);

    CHECK(at >= 0); /* INFO ends in a line's end, so strtod does too */
    return strtod(text.ptr + at + strlen(name), NULL);
}

static void on_info(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct str text = reply_str(reply);
    struct str scripts;
    ptrdiff_t at;

    (void)ctx;
    CHECK(why == NULL);
    at = str_find(text, S("cmdstat_evalsha:"), 0);
    scripts = at < 0 ? S("") : str_from(text, (size_t)at);
    figures.scripts = number_behind(scripts, "calls=");
    figures.cpu_us = seconds_behind(text, "used_cpu_user_main_thread:") * 1e6 +
                     seconds_behind(text, "used_cpu_sys_main_thread:") * 1e6;
    figures.memory_bytes = number_behind(text, "used_memory:");
    figures.known = true;
}

static struct figures look(void)
{
    struct redis_command command;

    figures.known = false;
    command_init(&command, "INFO");
    command_add_cstr(&command, "all");
    redis_send(bench.queue->main, &command, 5000, on_info, NULL);
    while (!figures.known)
        loop_turn(bench.loop, 100);
    return figures;
}

static void store(size_t first, size_t mails)
{
    store_mails(&(struct store_plan){.loop = bench.loop,
                                     .queue = bench.queue,
                                     .owner = "default",
                                     .route = "main",
                                     .mail_class = CLASS_TRANSACTIONAL,
                                     .first = first,
                                     .mails = mails,
                                     .flight = bench.flight});
}

/* --- draining --- */

static void on_left(void *ctx)
{
    *(bool *)ctx = true;
}

static void drain_all(void)
{
    static const struct event_detail detail = {
        .code = 250,
        .enhanced_code = STR("2.0.0"),
        .response = STR("2.0.0 Ok: queued as 4F8A1234"),
        .upstream = STR("main"),
        .mx = STR("smtp.example.net"),
        .tls = STR("TLSv1.3 TLS_AES_256_GCM_SHA384"),
        .queued_ms = 12,
        .total_ms = 34,
    };
    bool left = false;

    deliver_start(&bench.deliver, &(struct deliver_plan){.queue = bench.queue,
                                                         .room = bench.room,
                                                         .detail = &detail});
    while (bench.deliver.done < bench.mails)
        loop_turn(bench.loop, 100);
    queue_worker_stop(bench.queue, on_left, &left);
    while (!left)
        loop_turn(bench.loop, 100);
}

/* --- all of it --- */

static void report_part(const char *prefix, const char *name,
                        const struct figures *before,
                        const struct figures *after, uint64_t took_ns)
{
    double mails = (double)bench.mails;
    double scripts = (double)(after->scripts - before->scripts);
    char part[64];

    snprintf(part, sizeof part, "%s_%s", prefix, name);

    report(part, "redis_cpu", (after->cpu_us - before->cpu_us) / mails, "us");
    report(part, "mails_per_call", mails / scripts, "mails");
    report(part, "rate", mails / ((double)took_ns / 1e9), "mails/s");
}

int main(int argc, char **argv)
{
    const char *prefix = arg_text(argc, argv, "--prefix", "queue");
    size_t queued = (size_t)arg_number(argc, argv, "--queued", 0);
    struct config config;
    struct figures empty;
    struct figures full;
    struct figures drained;
    uint64_t start;
    uint64_t stored;

    bench.mails = (size_t)arg_number(argc, argv, "--mails", 50000);
    bench.flight = (size_t)arg_number(argc, argv, "--flight", 64);
    bench.room = (size_t)arg_number(argc, argv, "--room", 64);
    bench.loop = loop_create();
    bench.queue =
        store_open(bench.loop, arg_number(argc, argv, "--redis", -1), &config);
    store(0, queued);
    empty = look();
    start = now_ns();
    store(queued, bench.mails);
    stored = now_ns();
    full = look();
    report_part(prefix, "enqueue", &empty, &full, stored - start);
    report(prefix, "bytes_per_mail",
           (double)(full.memory_bytes - empty.memory_bytes) /
               (double)bench.mails,
           "bytes");
    start = now_ns();
    drain_all();
    stored = now_ns();
    drained = look();
    report_part(prefix, "drain", &full, &drained, stored - start);
    report(prefix, "bytes_per_history",
           (double)(drained.memory_bytes - empty.memory_bytes) /
               (double)bench.mails,
           "bytes");
    queue_close(&bench.queue);
    loop_turn(bench.loop, 0);
    loop_destroy(&bench.loop);
    return 0;
}
