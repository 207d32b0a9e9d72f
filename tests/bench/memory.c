/* memory - what a queued mail, a process and an idle client cost.
 *
 *   bench_memory rest    --pids API,WORKER,…
 *   bench_memory queued  --port P --key K --redis R [--mails 100000]
 *   bench_memory drain   --redis R --pids … [--mails 100000]
 *   bench_memory clients --port P --key K --pids API [--clients 1000]
 *
 * Each part is a run of its own, since run.sh stops and starts the worker
 * between them.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/tree.h"
#include "server/base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1024 * 1024, PATIENCE_S = 120, STEP_MS = 20 };

/* A blocking connection to 127.0.0.1. */
static int dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("memory: connect");
        exit(1);
    }
    return fd;
}

/* Sends text and gives what comes back in one read, or more until the text
 * `until` is in it. */
static void ask(int fd, const char *text, const char *until, char *answer,
                size_t size)
{
    size_t len = 0;

    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    do {
        ssize_t got = read(fd, answer + len, size - 1 - len);

        CHECK(got > 0);
        len += (size_t)got;
        answer[len] = '\0';
    } while (strstr(answer, until) == NULL && len < size - 1);
}

static double redis_used(uint16_t port)
{
    char answer[16384];
    const char *at;
    int fd = dial(port);

    ask(fd, "INFO memory\r\n", "mem_allocator", answer, sizeof answer);
    close(fd);
    at = strstr(answer, "used_memory:");
    CHECK(at != NULL);
    return strtod(at + strlen("used_memory:"), NULL);
}

static void rest(int argc, char **argv)
{
    const char *pids = arg_text(argc, argv, "--pids", NULL);

    report("memory", "rest_rss", (double)tree_rss_bytes(pids) / MIB, "MiB");
    report("memory", "rest_pss", (double)tree_pss_bytes(pids) / MIB, "MiB");
}

static void queued(int argc, char **argv)
{
    uint16_t redis = (uint16_t)arg_number(argc, argv, "--redis", -1);
    struct load_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--port", -1),
        .path = "/v1/emails",
        .key = arg_text(argc, argv, "--key", NULL),
        .connections = 64,
        .requests = (size_t)arg_number(argc, argv, "--mails", 100000),
        .body = load_mail_body,
    };
    double before = redis_used(redis);
    struct load_result result = load_run(&plan);
    double after = redis_used(redis);

    report("memory", "queued", (double)result.answered, "mails");
    report("memory", "per_queued_mail",
           (after - before) / (double)result.answered, "bytes");
    load_result_finish(&result);
}

static double redis_final(uint16_t port)
{
    char answer[64];
    int fd = dial(port);
    const char *digits;

    ask(fd, "HGET ph:{0}:n final\r\n", "\r\n", answer, sizeof answer);
    close(fd);
    digits = strchr(answer, '\n'); /* "$6\r\n100000\r\n", or "$-1\r\n" */
    return digits == NULL ? 0 : strtod(digits, NULL);
}

static void drain(int argc, char **argv)
{
    const char *pids = arg_text(argc, argv, "--pids", NULL);
    double mails = (double)arg_number(argc, argv, "--mails", 100000);
    uint16_t redis = (uint16_t)arg_number(argc, argv, "--redis", -1);
    struct timespec step = {.tv_nsec = STEP_MS * 1000000};
    uint64_t begin = now_ns();
    uint64_t most = 0;
    double final = 0;

    while (final < mails &&
           now_ns() - begin < (uint64_t)PATIENCE_S * 1000000000u) {
        uint64_t rss = tree_rss_bytes(pids);

        most = rss > most ? rss : most;
        nanosleep(&step, NULL);
        final = redis_final(redis);
    }
    report("memory", "load_rss", (double)most / MIB, "MiB");
    report("memory", "drained", final, "mails");
    report("memory", "drain_rate", final * 1e9 / (double)(now_ns() - begin),
           "mail/s");
}

static void clients(int argc, char **argv)
{
    const char *pids = arg_text(argc, argv, "--pids", NULL);
    const char *key = arg_text(argc, argv, "--key", NULL);
    uint16_t port = (uint16_t)arg_number(argc, argv, "--port", -1);
    size_t count = (size_t)arg_number(argc, argv, "--clients", 400);
    int *fds = xcalloc(count, sizeof *fds);
    uint64_t before = tree_rss_bytes(pids);
    char request[512];
    char answer[8192];

    snprintf(request, sizeof request,
             "GET /v1/webhooks HTTP/1.1\r\nHost: localhost\r\n"
             "Authorization: Bearer %s\r\n\r\n",
             key);
    for (size_t i = 0; i < count; i++) {
        fds[i] = dial(port);
        ask(fds[i], request, "}", answer, sizeof answer);
    }
    report("memory", "per_idle_client",
           (double)(tree_rss_bytes(pids) - before) / (double)count / 1024,
           "KiB");
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    free(fds);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(int argc, char **argv);
    } PARTS[] = {{"rest", rest},
                 {"queued", queued},
                 {"drain", drain},
                 {"clients", clients}};

    for (size_t i = 0; argc > 1 && i < COUNT_OF(PARTS); i++)
        if (strcmp(argv[1], PARTS[i].name) == 0) {
            PARTS[i].run(argc, argv);
            return 0;
        }
    fprintf(stderr, "usage: bench_memory rest|queued|drain|clients …\n");
    return 2;
}
