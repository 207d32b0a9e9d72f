#include "tests/bench/lib/engine.h"

#include "server/base/clock.h"
#include "server/base/mem.h"
#include "server/io/dns.h"
#include "server/io/loop.h"
#include "smtp/smtp.h"

#include <stdlib.h>

struct driver {
    const struct engine_plan *plan;
    struct loop *loop;
    struct smtp *smtp;
    size_t begun;
    size_t done;
    struct errand *errands;
    size_t errand_count;
    struct smtp_delivery *stuck;
};

struct errand {
    struct driver *driver;
    struct smtp_delivery delivery;
    struct task task;
    char rcpt[32];
    size_t number;
    uint64_t began_ns;
};

static void answer_mark(void *ctx)
{
    struct errand *errand = ctx;

    smtp_delivery_marked(&errand->delivery, true, clock_now_ms() + 60000);
}

static void on_mark(void *ctx)
{
    struct errand *errand = ctx;

    task_run_soon(errand->driver->loop, &errand->task);
}

static void on_done(void *ctx, const struct smtp_result *result);

static void errand_go(struct errand *errand)
{
    struct driver *driver = errand->driver;
    int len = snprintf(errand->rcpt, sizeof errand->rcpt, "n%zu@sink.example",
                       driver->begun);

    errand->number = driver->begun++;
    errand->began_ns = driver->plan->took_ns == NULL ? 0 : now_ns();

    errand->delivery = (struct smtp_delivery){
        .id = S("bench"),
        .mail_from = S("bounce@bench.example"),
        .rcpt_to = str_make(errand->rcpt, (size_t)len),
        .message = {.frame = driver->plan->message},
        .route = smtp_route_named(driver->smtp, S("sink")),
        .lane = 0,
        .may_hedge = driver->plan->hedge_percent > 0,
        .on_mark = on_mark,
        .on_done = on_done,
        .ctx = errand,
    };
    smtp_deliver(driver->smtp, &errand->delivery);
}

static size_t in_hand(const struct engine_plan *plan)
{
    return plan->in_hand == 0 ? plan->sessions : plan->in_hand;
}

/* As many as there are sessions, which open for them. */
static size_t first_ones(const struct engine_plan *plan)
{
    return in_hand(plan) < plan->sessions ? in_hand(plan) : plan->sessions;
}

/* Until there are so many. */
static void errands_begin(struct driver *driver, size_t count)
{
    while (driver->errand_count < count) {
        struct errand *errand = &driver->errands[driver->errand_count++];

        errand->driver = driver;
        task_init(&errand->task, answer_mark, errand);
        errand_go(errand);
    }
}

static void on_done(void *ctx, const struct smtp_result *result)
{
    struct errand *errand = ctx;
    struct driver *driver = errand->driver;

    CHECK(result->verdict == SMTP_SENT);
    if (driver->plan->took_ns != NULL)
        driver->plan->took_ns[errand->number] = now_ns() - errand->began_ns;
    if (++driver->done == first_ones(driver->plan)) /* all are open */
        errands_begin(driver, in_hand(driver->plan));
    if (driver->begun < driver->plan->mails)
        errand_go(errand);
}

static struct config_upstream upstream_of(const struct engine_plan *plan,
                                          const char *name, uint16_t port)
{
    return (struct config_upstream){
        .name = name,
        .host = "127.0.0.1",
        .port = port,
        .tls = plan->tls,
        .tls_ca_file = "",
        .username = "",
        .password = "",
        .token_file = "",
        .tls_cert_file = "",
        .tls_key_file = "",
        .source_address = "",
        .max_sessions = (int64_t)plan->sessions,
        .messages_per_session = (int64_t)plan->messages_per_session,
        .pipeline_next = plan->pipeline_next,
        .weight = 1,
        .connect_timeout_ms = 30000,
        .banner_timeout_ms = 30000,
        .command_timeout_ms = 30000,
        .data_timeout_ms = 30000,
        .block_timeout_ms = 30000,
        .dot_timeout_ms = 30000,
        .session_timeout_ms = 3600000,
        .idle_timeout_ms = 60000,
    };
}

static void never(void *ctx)
{
    (void)ctx;
    CHECK(!"the stuck upstream answered");
}

static void on_stuck(void *ctx, const struct smtp_result *result)
{
    (void)result;
    never(ctx);
}

static void stuck_begin(struct driver *driver)
{
    const struct engine_plan *plan = driver->plan;

    driver->stuck = xcalloc(plan->stuck_mails + 1, sizeof *driver->stuck);
    for (size_t i = 0; i < plan->stuck_mails; i++) {
        driver->stuck[i] = (struct smtp_delivery){
            .id = S("stuck"),
            .mail_from = S("bounce@bench.example"),
            .rcpt_to = S("n0@stuck.example"),
            .message = {.frame = plan->message},
            .route = smtp_route_named(driver->smtp, S("stuck")),
            .on_mark = never,
            .on_done = on_stuck,
        };
        smtp_deliver(driver->smtp, &driver->stuck[i]);
    }
}

static void drive(struct driver *driver)
{
    stuck_begin(driver);
    driver->errands = xcalloc(in_hand(driver->plan), sizeof *driver->errands);
    errands_begin(driver, first_ones(driver->plan));
    while (driver->done < driver->plan->mails)
        loop_turn(driver->loop, -1);
}

struct effort engine_send(const struct engine_plan *plan)
{
    const char *names[] = {"sink", "second", "stuck"};
    struct config_upstream upstreams[] = {
        upstream_of(plan, names[0], plan->port),
        upstream_of(plan, names[1], plan->second_port),
        upstream_of(plan, names[2], plan->stuck_port),
    };
    const size_t count = plan->second_port == 0 ? 1 : 2;
    struct config_route routes[] = {
        {"sink", "", "", "", "", {names, count}, false, plan->hedge_percent},
        {"stuck", "", "", "", "", {&names[2], 1}, false, 0},
    };
    const struct config config = {.upstreams = upstreams,
                                  .upstream_count = COUNT_OF(upstreams),
                                  .routes = routes,
                                  .route_count = COUNT_OF(routes)};
    const struct smtp_settings settings = {.child_count = 1,
                                           .hello_name = "bench.example"};
    struct driver driver = {.plan = plan, .loop = loop_create()};
    struct dns *dns = dns_open(driver.loop, NULL, NULL);
    struct effort effort = effort_begin();

    upstreams[1].priority = 1;
    driver.smtp = smtp_open(driver.loop, dns, &config, &settings, NULL);
    CHECK(driver.smtp != NULL);
    drive(&driver);
    effort_end(&effort);
    smtp_close(&driver.smtp);
    dns_close(&dns);
    loop_turn(driver.loop, 0);
    loop_destroy(&driver.loop);
    free(driver.errands);
    free(driver.stuck);
    return effort;
}

void engine_message(struct buf *message, size_t bytes)
{
    static const struct str LINE =
        STR("The quick brown fox jumps over the lazy dog, and then again.\r\n");

    buf_init(message, bytes + 2 * LINE.len);
    buf_add_cstr(message, "Subject: bench\r\n\r\n");
    while (message->len < bytes)
        buf_add(message, LINE);
}
