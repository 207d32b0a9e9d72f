/* queue - what the scripts cost Redis, without HTTP and SMTP around them.
 *
 *   bench_queue --redis PORT [--mails 50000] [--flight 64] [--room 64]
 *
 * Stores mails of 1 KiB in a closed loop, then claims, marks and reports
 * them all as one child would. CPU is that of Redis' main thread, protocol
 * and append-only file included.
 */
#include "queue/core.h"
#include "server/base/clock.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_SIZE = 700 };

static struct bench {
    struct loop *loop;
    struct queue *queue;
    struct queue_worker worker;
    size_t mails;
    size_t flight; /* enqueues at once */
    size_t room;   /* claims at once */
    size_t sent;
    size_t stored;
    size_t held;
    size_t done;
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

/* --- storing --- */

static void on_stored(void *ctx, const struct queue_answer *answer)
{
    (void)ctx;
    if (answer->status != QUEUE_OK) {
        fprintf(stderr, "queue: %s\n", answer->why.text);
        CHECK(!"stored");
    }
    bench.stored++;
}

static void store_one(void)
{
    static struct str to[] = {STR("somebody@example.net")};
    static const struct queue_recipient recipient = {0, STR("main")};
    static char body[BODY_SIZE + 1];
    char key[SHA256_HEX_SIZE];
    char json[BODY_SIZE + 300];
    char number[32];
    struct summary summary = {
        .email = id_new(0),
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
        .answer = S("{\"id\":\"0189c000-0000-7000-8000-000000000001\","
                    "\"status\":\"queued\"}"),
    };

    memset(body, 'x', BODY_SIZE);
    snprintf(number, sizeof number, "%zu", bench.sent++);
    secret_sha256_hex(str_of(number), key);
    mail.idempotency.key_hash = mail.idempotency.fingerprint = str_of(key);
    snprintf(json, sizeof json,
             "{\"from\":\"Shop <shop@example.com>\",\"to\":\"somebody@"
             "example.net\",\"subject\":\"Your order has been shipped\","
             "\"html\":\"%s\"}",
             body);
    mail.mail_json = str_of(json);
    queue_enqueue(bench.queue, &mail, on_stored, NULL);
}

static void store_all(void)
{
    while (bench.stored < bench.mails) {
        while (bench.sent < bench.mails &&
               bench.sent - bench.stored < bench.flight)
            store_one();
        loop_turn(bench.loop, 100);
    }
}

/* --- draining --- */

static size_t room(void *ctx, struct str route, unsigned lane)
{
    (void)ctx;
    (void)route;
    (void)lane;
    return bench.room - bench.held;
}

static void on_marked(void *ctx, bool may_go, int64_t valid_until_ms)
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

    (void)valid_until_ms;
    CHECK(may_go);
    queue_report(bench.queue, ctx, OUTCOME_SENT, 0, false, &detail);
    bench.held--;
    bench.done++;
}

static void on_claimed(void *ctx, struct queue_claim *claim)
{
    (void)ctx;
    bench.held++;
    queue_mark(bench.queue, claim, on_marked, claim);
}

static struct str reroute(void *ctx, const struct record *record,
                          unsigned number)
{
    (void)ctx;
    (void)record;
    (void)number;
    return S("");
}

static void on_left(void *ctx)
{
    *(bool *)ctx = true;
}

static void drain_all(void)
{
    static const struct str routes[] = {STR("main")};
    bool left = false;

    bench.worker = (struct queue_worker){
        .room = room,
        .claimed = on_claimed,
        .reroute = reroute,
        .routes = routes,
        .route_count = 1,
    };
    queue_worker_start(bench.queue, &bench.worker);
    while (bench.done < bench.mails)
        loop_turn(bench.loop, 100);
    queue_worker_stop(bench.queue, on_left, &left);
    while (!left)
        loop_turn(bench.loop, 100);
}

/* --- all of it --- */

static void report_part(const char *part, const struct figures *before,
                        const struct figures *after, uint64_t took_ns)
{
    double mails = (double)bench.mails;
    double scripts = (double)(after->scripts - before->scripts);

    report(part, "redis_cpu", (after->cpu_us - before->cpu_us) / mails, "us");
    report(part, "mails_per_call", mails / scripts, "mails");
    report(part, "rate", mails / ((double)took_ns / 1e9), "mails/s");
}

int main(int argc, char **argv)
{
    char url[64];
    struct config config = {
        .redis = {.url = url, .username = "", .password = "", .prefix = "ph:"},
        .worker = {.lease_ms = 10000},
        .privacy = {.keep_bodies_ms = 0, .keep_events_ms = 2592000000},
    };
    struct figures empty;
    struct figures full;
    struct figures drained;
    uint64_t start;
    uint64_t stored;

    snprintf(url, sizeof url, "redis://127.0.0.1:%ld/0",
             arg_number(argc, argv, "--redis", -1));
    bench.mails = (size_t)arg_number(argc, argv, "--mails", 50000);
    bench.flight = (size_t)arg_number(argc, argv, "--flight", 64);
    bench.room = (size_t)arg_number(argc, argv, "--room", 64);
    bench.loop = loop_create();
    bench.queue = queue_open(bench.loop, &config, NULL);
    while (!queue_is_ready(bench.queue, NULL))
        loop_turn(bench.loop, 100);
    empty = look();
    start = now_ns();
    store_all();
    stored = now_ns();
    full = look();
    report_part("queue_enqueue", &empty, &full, stored - start);
    report("queue", "bytes_per_mail",
           (double)(full.memory_bytes - empty.memory_bytes) /
               (double)bench.mails,
           "bytes");
    start = now_ns();
    drain_all();
    stored = now_ns();
    drained = look();
    report_part("queue_drain", &full, &drained, stored - start);
    report("queue", "bytes_per_history",
           (double)(drained.memory_bytes - empty.memory_bytes) /
               (double)bench.mails,
           "bytes");
    queue_close(&bench.queue);
    loop_turn(bench.loop, 0);
    loop_destroy(&bench.loop);
    return 0;
}
