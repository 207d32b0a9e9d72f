/* partitions - the rate of mails from enqueue to result, in a cluster.
 *
 *   bench_partitions --url cluster://HOST:PORT/ --partitions N
 *                    [--mails 20000] [--flight 128] [--room 128]
 *
 * Stores mails of 1 KiB in all partitions in turn, and claims, marks and
 * reports them at the same time as one child would. The cluster must be
 * empty but for meta.partitions.
 */
#include "queue/core.h"
#include "server/base/clock.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/deliver.h"
#include "tests/bench/lib/report.h"

#include <stdio.h>
#include <string.h>

enum { BODY_SIZE = 700 };

static struct bench {
    struct loop *loop;
    struct queue *queue;
    struct deliver deliver;
    unsigned partitions;
    size_t mails;
    size_t flight; /* enqueues at once */
    size_t room;   /* claims at once */
    size_t sent;
    size_t stored;
} bench;

static void on_stored(void *ctx, const struct queue_answer *answer)
{
    (void)ctx;
    if (answer->status != QUEUE_OK) {
        fprintf(stderr, "partitions: %s\n", answer->why.text);
        CHECK(!"stored");
    }
    bench.stored++;
}

static void store_one(void)
{
    static struct str to[] = {STR("somebody@example.net")};
    static const struct queue_recipient recipient = {0, STR("main"),
                                                     STR("ada@example.net")};
    char json[BODY_SIZE + 300];
    struct summary summary = {
        .email = id_new((unsigned)(bench.sent++ % bench.partitions)),
        .owner = S("default"),
        .from = S("Shop <shop@example.com>"),
        .to = to,
        .to_count = 1,
        .subject = S("Your order has been shipped"),
        .mail_class = CLASS_TRANSACTIONAL,
        .message_id = S("<0189c000-0000-7000-8000-000000000001@example.com>"),
        .created_ms = clock_wall_ms(),
    };
    struct queue_mail mail = {
        .summary = &summary,
        .recipients = &recipient,
        .recipient_count = 1,
        .date_ms = summary.created_ms,
        .max_age_ms = 259200000,
        .answer = S("{}"),
    };

    snprintf(json, sizeof json,
             "{\"from\":\"shop@example.com\",\"html\":\"%0*d\"}",
             (int)BODY_SIZE, 0);
    mail.mail_json = str_of(json);
    queue_enqueue(bench.queue, &mail, on_stored, NULL);
}

static void run(void)
{
    static const struct event_detail detail = {
        .code = 250,
        .enhanced_code = STR("2.0.0"),
        .response = STR("2.0.0 Ok: queued as 4F8A1234"),
        .upstream = STR("main"),
    };

    deliver_start(&bench.deliver, &(struct deliver_plan){.queue = bench.queue,
                                                         .room = bench.room,
                                                         .detail = &detail});
    while (bench.deliver.done < bench.mails) {
        while (bench.sent < bench.mails &&
               bench.sent - bench.stored < bench.flight)
            store_one();
        loop_turn(bench.loop, 100);
    }
}

int main(int argc, char **argv)
{
    struct config config = {
        .redis = {.username = "", .password = "", .prefix = "ph:"},
        .worker = {.lease_ms = 10000},
        .privacy = {.keep_bodies_ms = 0, .keep_events_ms = 2592000000},
    };
    char name[32];
    uint64_t start;

    config.redis.url = arg_text(argc, argv, "--url", NULL);
    bench.partitions = (unsigned)arg_number(argc, argv, "--partitions", -1);
    bench.mails = (size_t)arg_number(argc, argv, "--mails", 20000);
    bench.flight = (size_t)arg_number(argc, argv, "--flight", 128);
    bench.room = (size_t)arg_number(argc, argv, "--room", 128);
    bench.loop = loop_create();
    bench.queue = queue_open(bench.loop, &config, NULL);
    while (!queue_is_ready(bench.queue, NULL) ||
           bench.queue->partitions.count < bench.partitions)
        loop_turn(bench.loop, 100);
    start = now_ns();
    run();
    snprintf(name, sizeof name, "partitions_%u", bench.partitions);
    report(name, "rate",
           (double)bench.mails / ((double)(now_ns() - start) / 1e9), "mails/s");
    queue_close(&bench.queue);
    loop_turn(bench.loop, 0);
    loop_destroy(&bench.loop);
    return 0;
}
