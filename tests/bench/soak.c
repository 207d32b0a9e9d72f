/* soak - whether a process that has seen a million mails holds more than one
 * that has seen some.
 *
 *   bench_soak --port P --sink-port S --key K --roles NAME=PID,NAME=PID...
 *              [--mails 1000000] [--parts 10] [--connections 64]
 *
 * Mails of all classes and of 0.2 to 8 KiB, as fast as they go. Behind each
 * part, when all of its mails are at the sink, stands what each role holds
 * with its children; the yardstick is what it held behind the first one.
 * Fails when a mail was doubled or lost: accepted, and not at the sink within
 * a minute and a half.
 */
#include "tests/bench/lib/args.h"
#include "tests/bench/lib/load.h"
#include "tests/bench/lib/report.h"
#include "tests/bench/lib/sink.h"
#include "tests/bench/lib/tree.h"
#include "server/base/str.h"

#include <stdio.h>
#include <time.h>

enum { ROLES_MAX = 4, NAME_SIZE = 32, PATIENCE_S = 90, STEP_MS = 20 };

static const double MIB = 1024 * 1024;

struct role {
    char name[NAME_SIZE];
    char pid[NAME_SIZE];
    double first_mib;
    double most_mib;
};

static struct {
    struct role roles[ROLES_MAX];
    size_t role_count;
    struct sink *sink;
    size_t accepted;
} bench;

static void body(void *ctx, size_t number, struct buf *out)
{
    static const char *const CLASSES[] = {"verification", "reset", "alert",
                                          "transactional", "bulk"};
    size_t bytes = 200 + number * 7919 % 8000;

    (void)ctx;
    buf_addf(out,
             "{\"from\":\"Example <login@sender.test>\","
             "\"to\":[\"n%zu@sink.test\"],\"class\":\"%s\","
             "\"subject\":\"Message %zu\",\"text\":\"",
             number, CLASSES[number % COUNT_OF(CLASSES)], number);
    while (out->len < bytes)
        buf_add_cstr(out, "Somebody asks for a code, and here it is. ");
    buf_add_cstr(out, "\"}");
}

static void add_roles(const char *text)
{
    struct str rest = str_of(text);
    struct str piece;

    while (str_cut(&rest, ',', &piece)) {
        struct role *role = &bench.roles[bench.role_count++];
        struct str name;

        CHECK(bench.role_count <= ROLES_MAX && str_cut(&piece, '=', &name));
        snprintf(role->name, NAME_SIZE, "%.*s", STR_ARG(name));
        snprintf(role->pid, NAME_SIZE, "%.*s", STR_ARG(piece));
    }
}

static void wait_for_all(void)
{
    struct timespec step = {.tv_nsec = STEP_MS * 1000000};
    uint64_t end = now_ns() + (uint64_t)PATIENCE_S * 1000000000u;

    while (sink_mails(bench.sink) < bench.accepted && now_ns() < end)
        nanosleep(&step, NULL);
}

static void look(unsigned part)
{
    for (size_t i = 0; i < bench.role_count; i++) {
        struct role *role = &bench.roles[i];
        double mib = (double)tree_rss_bytes(role->pid) / MIB;
        char name[2 * NAME_SIZE];

        snprintf(name, sizeof name, "%s_%u", role->name, part);
        report("soak", name, mib, "MiB");
        if (part == 1)
            role->first_mib = mib;
        role->most_mib = mib > role->most_mib ? mib : role->most_mib;
    }
}

static void send_part(struct load_plan *plan, unsigned part)
{
    struct load_result result;

    plan->first = (part - 1) * plan->requests;
    result = load_run(plan);
    bench.accepted += result.answered;
    load_result_finish(&result);
    wait_for_all();
    look(part);
}

/* How much more than behind the first part each role ever held. */
static void report_growth(void)
{
    for (size_t i = 0; i < bench.role_count; i++) {
        const struct role *role = &bench.roles[i];
        char name[2 * NAME_SIZE];

        snprintf(name, sizeof name, "%s_growth", role->name);
        report("soak", name, role->most_mib - role->first_mib, "MiB");
    }
}

int main(int argc, char **argv)
{
    size_t mails = (size_t)arg_number(argc, argv, "--mails", 1000000);
    unsigned parts = (unsigned)arg_number(argc, argv, "--parts", 10);
    struct load_plan plan = {
        .port = (uint16_t)arg_number(argc, argv, "--port", -1),
        .path = "/v1/emails",
        .key = arg_text(argc, argv, "--key", NULL),
        .connections = (unsigned)arg_number(argc, argv, "--connections", 64),
        .requests = mails / parts,
        .body = body,
    };
    const struct sink_plan sink = {
        .port = (uint16_t)arg_number(argc, argv, "--sink-port", -1),
        .capacity = mails,
    };
    uint64_t begin_ns;
    uint64_t lost;
    uint64_t doubled;

    add_roles(arg_text(argc, argv, "--roles", NULL));
    bench.sink = sink_start(&sink);
    begin_ns = now_ns();
    for (unsigned part = 1; part <= parts; part++)
        send_part(&plan, part);
    report("soak", "rate",
           (double)bench.accepted * 1e9 / (double)(now_ns() - begin_ns),
           "mail/s");
    report_growth();
    doubled = sink_doubles(bench.sink);
    lost = bench.accepted - (sink_mails(bench.sink) - doubled);
    report("soak", "lost", (double)lost, "mails");
    report("soak", "doubled", (double)doubled, "mails");
    sink_stop(&bench.sink);
    return lost + doubled == 0 ? 0 : 1;
}
