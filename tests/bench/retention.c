/* retention - what finished mail costs Redis, and that it does not grow.
 *
 *   bench_retention --redis PORT [--mails 1000000] [--flight 64] [--room 64]
 *                   [--parts 10]
 *
 * Mails go through the queue's scripts, stored, claimed, marked and reported,
 * while a hooks child makes timelines and index. First without a limit: what
 * a retained mail takes, part by part. Then with a history_max of a quarter
 * of that: what Redis holds after each part of the run.
 */
#include "queue/core.h"
#include "server/base/clock.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/deliver.h"
#include "tests/bench/lib/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES = 200,
    BUCKET_BYTES = 12, /* of the table of keys */
    PATIENCE_MS = 60000,
    SLACK_BYTES = 2 << 20,
};

static struct bench {
    struct loop *loop;
    struct config config;
    struct queue *api;
    struct queue *worker;
    struct queue *hooks;
    struct deliver deliver;
    struct queue_hooks tell;
    size_t flight;
    size_t room;
    size_t sent;
    struct id samples[SAMPLES];
    int64_t empty_bytes; /* what Redis uses without data */
} bench;

/* --- questions to Redis --- */

static struct answered {
    bool known;
    int64_t number;
    int64_t used_memory;
} answered;

static void on_answer(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    static const char name[] = "used_memory:";
    struct str text = reply_str(reply);
    ptrdiff_t at = str_find(text, str_of(name), 0);

    (void)ctx;
    CHECK(why == NULL);
    answered.number = reply_int(reply);
    if (at >= 0)
        answered.used_memory =
            strtoll(text.ptr + (size_t)at + strlen(name), NULL, 10);
    answered.known = true;
}

static int64_t ask(struct redis_command *command)
{
    answered.known = false;
    redis_send(bench.api->main, command, PATIENCE_MS, on_answer, NULL);
    while (!answered.known)
        loop_turn(bench.loop, 100);
    return answered.number;
}

static int64_t used_memory(void)
{
    struct redis_command command;

    command_init(&command, "INFO");
    command_add_cstr(&command, "memory");
    ask(&command);
    return answered.used_memory;
}

static int64_t memory_usage(const char *key)
{
    struct redis_command command;

    command_init(&command, "MEMORY");
    command_add_cstr(&command, "USAGE");
    command_add_cstr(&command, key);
    command_add_cstr(&command, "SAMPLES");
    command_add_cstr(&command, "0");
    return ask(&command);
}

static int64_t counter(const char *name)
{
    struct redis_command command;

    command_init(&command, "HGET");
    command_add_cstr(&command, "ph:{0}:n");
    command_add_cstr(&command, name);
    return ask(&command);
}

static int64_t length(const char *how, const char *key)
{
    struct redis_command command;

    command_init(&command, how);
    command_add_cstr(&command, key);
    return ask(&command);
}

/* --- the API's side --- */

static void on_stored(void *ctx, const struct queue_answer *answer)
{
    (void)ctx;
    if (answer->status != QUEUE_OK) {
        fprintf(stderr, "retention: %s\n", answer->why.text);
        CHECK(!"stored");
    }
}

static void store_one(void)
{
    static struct str to[] = {STR("somebody@example.net")};
    static const struct queue_recipient recipient = {0, STR("main"),
                                                     STR("ada@example.net")};
    struct summary summary = {
        .email = id_new(0),
        .owner = S("default"),
        .from = S("shop@example.com"),
        .to = to,
        .to_count = 1,
        .subject = S("Your order"),
        .mail_class = CLASS_TRANSACTIONAL,
        .created_ms = clock_wall_ms(),
    };
    char message_id[64];

    snprintf(message_id, sizeof message_id, "<%s@example.com>",
             summary.email.text);
    summary.message_id = str_of(message_id);
    bench.samples[bench.sent++ % SAMPLES] = summary.email;
    queue_enqueue(bench.api,
                  &(struct queue_mail){
                      .summary = &summary,
                      .mail_json = S("{\"text\":\"It is on its way.\"}"),
                      .recipients = &recipient,
                      .recipient_count = 1,
                      .date_ms = summary.created_ms,
                      .max_age_ms = 259200000,
                      .answer = S("{}"),
                  },
                  on_stored, NULL);
}

/* --- the hooks' side: nobody listens --- */

static size_t no_room(void *ctx)
{
    (void)ctx;
    return 0;
}

static void no_task(void *ctx, struct queue_task *task)
{
    (void)ctx;
    (void)task;
    CHECK(!"a task");
}

/* --- runs --- */

static struct queue *open_queue(void)
{
    struct queue *queue = queue_open(bench.loop, &bench.config, NULL);

    while (!queue_is_ready(queue, NULL))
        loop_turn(bench.loop, 100);
    return queue;
}

/* Redis gives memory back behind the answer. */
static void flush(void)
{
    struct redis_command command;

    command_init(&command, "FLUSHALL");
    command_add_cstr(&command, "ASYNC");
    ask(&command);
    while (used_memory() > bench.empty_bytes + SLACK_BYTES)
        loop_turn(bench.loop, 100);
}

static void begin(int64_t history_max)
{
    static const struct event_detail detail = {
        .code = 250,
        .enhanced_code = STR("2.0.0"),
        .response = STR("2.0.0 Ok: queued as 4F8A1234"),
        .upstream = STR("main"),
        .tls = STR("TLSv1.3 TLS_AES_256_GCM_SHA384"),
        .queued_ms = 12,
        .total_ms = 34,
    };

    bench.config.redis.history_max.bytes = history_max;
    bench.sent = 0;
    bench.api = open_queue();
    if (bench.empty_bytes == 0)
        bench.empty_bytes = used_memory();
    flush();
    bench.worker = open_queue();
    bench.hooks = open_queue();
    bench.tell = (struct queue_hooks){.room = no_room, .claimed = no_task};
    deliver_start(&bench.deliver, &(struct deliver_plan){.queue = bench.worker,
                                                         .room = bench.room,
                                                         .detail = &detail});
    queue_hooks_start(bench.hooks, &bench.tell);
}

static void end(void)
{
    queue_close(&bench.worker);
    queue_close(&bench.hooks);
    queue_close(&bench.api);
    loop_turn(bench.loop, 0);
}

/* Until all are final, and told. */
static void run(size_t mails)
{
    while (bench.deliver.done < mails) {
        while (bench.sent < mails &&
               bench.sent - bench.deliver.done < bench.flight)
            store_one();
        loop_turn(bench.loop, 100);
    }
    while (counter("final") < (int64_t)mails ||
           length("LLEN", "ph:{0}:evring") > 0)
        loop_turn(bench.loop, 10);
}

static double sampled(const char *kind)
{
    int64_t bytes = 0;
    char key[64];

    for (size_t i = 0; i < SAMPLES; i++) {
        snprintf(key, sizeof key, "ph:{0}:%s:%s", kind, bench.samples[i].text);
        bytes += memory_usage(key);
    }
    return (double)bytes / SAMPLES + BUCKET_BYTES;
}

/* A run may pass midnight. */
static double index_bytes(void)
{
    int64_t today = clock_wall_ms() / 86400000;
    double bytes = 0;
    char key[64];

    for (int64_t day = today - 1; day <= today; day++) {
        snprintf(key, sizeof key, "ph:{0}:x:default:%lld", (long long)day);
        bytes += (double)memory_usage(key);
    }
    return bytes;
}

/* What one retained mail takes; returns history_bytes of all. */
static int64_t measure(size_t mails)
{
    double count = (double)mails;
    double history, line, events, timeline, index;
    int64_t before;
    int64_t after;
    int64_t counted;

    begin(0);
    before = used_memory();
    run(mails);
    after = used_memory();
    counted = counter("history_bytes");
    history = sampled("h");
    line = (double)memory_usage("ph:{0}:ended") / count;
    events = (double)memory_usage("ph:{0}:ev:default") / count;
    timeline = sampled("t");
    index = index_bytes() / count;
    report("retention", "history", history, "bytes/mail");
    report("retention", "line", line, "bytes/mail");
    report("retention", "events", events, "bytes/mail");
    report("retention", "timeline", timeline, "bytes/mail");
    report("retention", "index", index, "bytes/mail");
    report("retention", "all", (double)(after - before) / count, "bytes/mail");
    report("retention", "counted", (double)counted / count, "bytes/mail");
    report("retention", "unexplained",
           (double)(after - before) / count - history - line - events -
               timeline - index,
           "bytes/mail");
    end();
    return counted;
}

/* Mails through under a limit: what Redis holds after each part. */
static void hold(size_t mails, unsigned parts, int64_t limit)
{
    uint64_t start = now_ns();
    int64_t before;
    int64_t least = INT64_MAX;
    int64_t most = 0;

    begin(limit);
    before = used_memory();
    for (unsigned part = 1; part <= parts; part++) {
        char name[32];
        int64_t used;

        run(mails / parts * part);
        while (counter("history_bytes") > limit)
            loop_turn(bench.loop, 10);
        used = used_memory() - before;
        snprintf(name, sizeof name, "used_%u", part);
        report("retention", name, (double)used / 1048576, "MiB");
        if (part < parts / 2)
            continue; /* it fills */
        least = used < least ? used : least;
        most = used > most ? used : most;
    }
    report("retention", "limit", (double)limit / 1048576, "MiB");
    report("retention", "drift", 100.0 * (double)(most - least) / (double)most,
           "%");
    report("retention", "rate",
           (double)mails / ((double)(now_ns() - start) / 1e9), "mails/s");
    end();
}

int main(int argc, char **argv)
{
    size_t mails = (size_t)arg_number(argc, argv, "--mails", 1000000);
    unsigned parts = (unsigned)arg_number(argc, argv, "--parts", 10);
    char url[64];

    snprintf(url, sizeof url, "redis://127.0.0.1:%ld/0",
             arg_number(argc, argv, "--redis", -1));
    bench.flight = (size_t)arg_number(argc, argv, "--flight", 64);
    bench.room = (size_t)arg_number(argc, argv, "--room", 64);
    bench.config = (struct config){
        .redis = {.url = url, .username = "", .password = "", .prefix = "ph:"},
        .worker = {.lease_ms = 10000},
        .privacy = {.keep_bodies_ms = 0, .keep_events_ms = 2592000000},
    };
    bench.loop = loop_create();
    hold(mails, parts, measure(mails) / 4);
    loop_destroy(&bench.loop);
    return 0;
}
