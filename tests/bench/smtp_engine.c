/* smtp_engine - what the delivery engine can do alone.
 *
 *   bench_smtp_engine [--mails 100000] [--sessions 16] [--bytes 2048]
 *
 * Mails go to the sink over reused sessions, in the clear and by STARTTLS,
 * the mark being answered at once. "per core" divides by the CPU time that
 * this process used, the sink's apart. The yardstick is a bare pipelining
 * client on as many sockets, without policy, timers or a mark.
 */
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/io/dns.h"
#include "server/io/loop.h"
#include "smtp/smtp.h"
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/sink.h"
#include "tests/unit/certs.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { SESSIONS_MAX = 256, COMMANDS_MAX = 256 };

struct bench {
    size_t mails;
    size_t sessions;
    struct buf message;
    struct sink *sink;
};

static double cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report_run(const char *name, size_t mails, uint64_t from_ns,
                       double from_cpu_s)
{
    double wall_s = (double)(now_ns() - from_ns) / 1e9;
    double used_s = cpu_s() - from_cpu_s;

    report(name, "rate", (double)mails / wall_s, "mails/s");
    report(name, "per_core", (double)mails / used_s, "mails/s");
    report(name, "cpu", used_s / (double)mails * 1e6, "us/mail");
}

/* --- the engine --- */

struct driver {
    struct bench *bench;
    struct loop *loop;
    struct smtp *smtp;
    size_t begun;
    size_t done;
    struct errand *errands;
};

struct errand {
    struct driver *driver;
    struct smtp_delivery delivery;
    struct task task;
    char rcpt[32];
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
                       driver->begun++);

    errand->delivery = (struct smtp_delivery){
        .id = S("bench"),
        .mail_from = S("bounce@bench.example"),
        .rcpt_to = str_make(errand->rcpt, (size_t)len),
        .message = buf_str(&driver->bench->message),
        .route = smtp_route_named(driver->smtp, S("sink")),
        .lane = 0,
        .on_mark = on_mark,
        .on_done = on_done,
        .ctx = errand,
    };
    smtp_deliver(driver->smtp, &errand->delivery);
}

static void on_done(void *ctx, const struct smtp_result *result)
{
    struct errand *errand = ctx;
    struct driver *driver = errand->driver;

    CHECK(result->verdict == SMTP_SENT);
    driver->done++;
    if (driver->begun < driver->bench->mails)
        errand_go(errand);
}

static void run_engine(struct bench *bench, const char *name,
                       enum config_tls tls)
{
    const char *upstream_name = "sink";
    struct config_upstream upstream = {
        .name = "sink",
        .host = "127.0.0.1",
        .port = sink_port(bench->sink),
        .tls = tls,
        .tls_ca_file = "",
        .username = "",
        .password = "",
        .max_sessions = (int64_t)bench->sessions,
        .messages_per_session = INT32_MAX,
        .pipeline_next = true,
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
    struct config_route route = {"sink", "", "", "", "", {&upstream_name, 1},
                                 false};
    const struct config config = {.upstreams = &upstream,
                                  .upstream_count = 1,
                                  .routes = &route,
                                  .route_count = 1};
    const struct smtp_settings settings = {.child_count = 1,
                                           .hello_name = "bench.example"};
    struct driver driver = {.bench = bench, .loop = loop_create()};
    struct dns *dns = dns_open(driver.loop, NULL, NULL);
    uint64_t from_ns = now_ns();
    double from_cpu_s = cpu_s();

    driver.smtp = smtp_open(driver.loop, dns, &config, &settings, NULL);
    CHECK(driver.smtp != NULL);
    driver.errands = xcalloc(bench->sessions, sizeof *driver.errands);
    for (size_t i = 0; i < bench->sessions; i++) {
        driver.errands[i].driver = &driver;
        task_init(&driver.errands[i].task, answer_mark, &driver.errands[i]);
        errand_go(&driver.errands[i]);
    }
    while (driver.done < bench->mails)
        loop_turn(driver.loop, -1);
    report_run(name, bench->mails, from_ns, from_cpu_s);
    smtp_close(&driver.smtp);
    dns_close(&dns);
    loop_turn(driver.loop, 0);
    loop_destroy(&driver.loop);
    free(driver.errands);
}

/* --- the yardstick --- */

struct bare {
    int fd;
    bool in_body;
    unsigned awaited; /* replies */
};

static void bare_send(struct bare *bare, struct str bytes)
{
    CHECK(send(bare->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) ==
          (ssize_t)bytes.len);
}

static void bare_begin(struct bare *bare, size_t number)
{
    char commands[COMMANDS_MAX];
    int len = snprintf(commands, sizeof commands,
                       "MAIL FROM:<bounce@bench.example>\r\n"
                       "RCPT TO:<n%zu@sink.example>\r\nDATA\r\n",
                       number);

    bare_send(bare, str_make(commands, (size_t)len));
    bare->awaited = 3;
    bare->in_body = false;
}

static void bare_open(struct bare *bare, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char replies[4096];
    int on = 1;

    bare->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(bare->fd, (struct sockaddr *)&to, sizeof to) == 0);
    setsockopt(bare->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    CHECK(recv(bare->fd, replies, sizeof replies, 0) > 0);
    bare_send(bare, S("EHLO bench.example\r\n"));
    CHECK(recv(bare->fd, replies, sizeof replies, 0) > 0);
}

/* True when a mail was accepted. */
static bool bare_read(struct bare *bare, struct str body)
{
    char replies[4096];
    ssize_t len = recv(bare->fd, replies, sizeof replies, 0);

    CHECK(len > 0);
    for (ssize_t i = 0; i < len; i++)
        if (replies[i] == '\n')
            bare->awaited--;
    if (bare->awaited > 0)
        return false;
    if (bare->in_body)
        return true;
    bare_send(bare, body);
    bare->in_body = true;
    bare->awaited = 1;
    return false;
}

static void run_bare(struct bench *bench)
{
    struct bare bares[SESSIONS_MAX];
    struct pollfd fds[SESSIONS_MAX];
    uint64_t from_ns = now_ns();
    double from_cpu_s = cpu_s();
    size_t begun = 0;
    size_t done = 0;
    struct buf body;

    buf_init(&body, bench->message.len + 3);
    buf_add(&body, buf_str(&bench->message));
    buf_add_cstr(&body, ".\r\n");
    for (size_t i = 0; i < bench->sessions; i++) {
        bare_open(&bares[i], sink_port(bench->sink));
        fds[i] = (struct pollfd){.fd = bares[i].fd, .events = POLLIN};
        bare_begin(&bares[i], begun++);
    }
    while (done < bench->mails) {
        CHECK(poll(fds, bench->sessions, -1) > 0);
        for (size_t i = 0; i < bench->sessions; i++) {
            if ((fds[i].revents & POLLIN) == 0 ||
                !bare_read(&bares[i], buf_str(&body)))
                continue;
            done++;
            if (begun < bench->mails)
                bare_begin(&bares[i], begun++);
        }
    }
    report_run("smtp_bare_plain", bench->mails, from_ns, from_cpu_s);
    for (size_t i = 0; i < bench->sessions; i++)
        close(bares[i].fd);
    buf_finish(&body);
}

static void make_message(struct buf *message, size_t bytes)
{
    buf_init(message, bytes + 200);
    buf_add_cstr(message, "Subject: bench\r\n\r\n");
    while (message->len < bytes)
        buf_add_cstr(message, "The quick brown fox jumps over the lazy dog, "
                              "and then it comes again.\r\n");
}

int main(int argc, char **argv)
{
    static const struct cert_spec CERTS[] = {
        {"sink", "IP:127.0.0.1", -3600, 3600, 1}};
    struct bench bench = {
        .mails = (size_t)arg_number(argc, argv, "--mails", 100000),
        .sessions = (size_t)arg_number(argc, argv, "--sessions", 16),
    };
    struct certs certs;
    struct sink_plan plan = {.capacity = bench.mails};

    CHECK(bench.sessions > 0 && bench.sessions <= SESSIONS_MAX &&
          bench.sessions <= bench.mails);
    log_setup(LOG_WARN, LOG_AUTO, "bench");
    make_message(&bench.message,
                 (size_t)arg_number(argc, argv, "--bytes", 2048));
    certs_make(&certs, CERTS, COUNT_OF(CERTS));
    plan.cert_file = certs_path(&certs, "sink", "pem");
    plan.key_file = certs_path(&certs, "sink", "key");
    bench.sink = sink_start(&plan);
    run_bare(&bench);
    run_engine(&bench, "smtp_engine_plain", TLS_OFF);
    run_engine(&bench, "smtp_engine_starttls", TLS_OPPORTUNISTIC);
    CHECK(sink_mails(bench.sink) == 3 * bench.mails);
    sink_stop(&bench.sink);
    certs_remove(&certs, CERTS, COUNT_OF(CERTS));
    buf_finish(&bench.message);
    return 0;
}
