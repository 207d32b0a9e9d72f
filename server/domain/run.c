/* The look-ups of a check, on the loop. */
#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/domain/answers.h"
#include "server/domain/checks.h"
#include "server/domain/judge.h"
#include "server/io/dns.h"
#include "server/io/loop.h"

#include <stdlib.h>

enum { RUN_MS = 10000 };

/* One look-up under way. */
struct look {
    struct list link;
    struct domain_run *run;
    struct dns_query *query;
    const char *name;
    enum dns_type type;
};

struct domain_run {
    struct loop *loop;
    struct dns *dns;
    const struct domain_fetcher *fetcher;
    void *fetch; /* while it is under way */
    domain_checked_fn fn;
    void *ctx;
    struct arena *arena; /* of setup and past */
    struct domain_setup setup;
    struct domain_past past;
    struct answers *answers;
    struct list looks;
    struct timer limit;
    struct task task; /* runs the checks on what came in this turn */
};

static void run_free(void *ptr)
{
    struct domain_run *run = ptr;

    answers_destroy(&run->answers);
    arena_destroy(&run->arena);
    free(run);
}

static void look_end(struct look *look)
{
    list_remove(&look->link);
    dns_query_cancel(&look->query);
    free(look);
}

static void run_end(struct domain_run *run)
{
    list_each_safe (link, &run->looks)
        look_end(LIST_MEMBER(link, struct look, link));
    if (run->fetch != NULL)
        run->fetcher->cancel(run->fetcher->self, run->fetch);
    run->fetch = NULL;
    timer_clear(run->loop, &run->limit);
    task_cancel(&run->task);
    loop_free_later(run->loop, run_free, run);
}

static void on_reply(void *ctx, const struct dns_reply *reply)
{
    struct look *look = ctx;
    struct domain_run *run = look->run;

    answers_put(run->answers, look->name, look->type, reply);
    task_run_soon(run->loop, &run->task);
    look->query = NULL;
    look_end(look);
}

static void on_fetched(void *ctx, const struct policy_reply *reply)
{
    struct domain_run *run = ctx;

    run->fetch = NULL;
    answers_put_policy(run->answers, reply);
    task_run_soon(run->loop, &run->task);
}

static void fetch_wanted(struct domain_run *run)
{
    struct str domain;

    if (answers_take_policy(run->answers, &domain))
        run->fetch = run->fetcher->start(run->fetcher->self,
                                         policy_url(run->arena, domain),
                                         on_fetched, run);
}

static void ask_wanted(struct domain_run *run)
{
    const char *name;
    enum dns_type type;

    fetch_wanted(run);
    while (answers_take_wanted(run->answers, &name, &type)) {
        struct look *look = xcalloc(1, sizeof *look);

        look->run = run;
        look->name = name;
        look->type = type;
        list_add_last(&run->looks, &look->link);
        look->query = dns_query(run->dns, name, type, on_reply, look);
    }
}

static void tell(struct domain_run *run, struct domain_report *report,
                 struct arena *arena)
{
    struct domain_report *past = ARENA_NEW(arena, struct domain_report);

    domain_report_read(run->past.report, arena, past);
    judge(report, past, &run->past, clock_shared_ms());
    run_end(run);
    run->fn(run->ctx, report);
}

static void on_task(void *ctx)
{
    struct domain_run *run = ctx;
    struct arena *arena = arena_create();
    struct domain_report *report = ARENA_NEW(arena, struct domain_report);

    checks_run(&run->setup, run->answers, arena, report);
    if (answers_are_missing(run->answers))
        ask_wanted(run);
    else
        tell(run, report, arena);
    arena_destroy(&arena);
}

static void on_limit(void *ctx)
{
    struct domain_run *run = ctx;

    answers_give_up(run->answers, "no answer within 10 seconds");
    on_task(run);
}

static const struct str *copy_texts(struct arena *arena, const struct str *from,
                                    size_t count)
{
    struct str *texts = ARENA_ARRAY(arena, struct str, count + 1);

    for (size_t i = 0; i < count; i++)
        texts[i] = arena_copy(arena, from[i]);
    return texts;
}

static void copy_setup(struct domain_run *run, const struct domain_setup *from)
{
    struct arena *arena = run->arena;
    struct domain_key *keys =
        ARENA_ARRAY(arena, struct domain_key, DOMAIN_KEYS_MAX);

    CHECK(from->key_count <= DOMAIN_KEYS_MAX);
    for (size_t i = 0; i < from->key_count; i++) {
        keys[i] = from->keys[i];
        keys[i].selector = arena_copy(arena, keys[i].selector);
        keys[i].public_key = arena_copy(arena, keys[i].public_key);
    }
    run->setup = (struct domain_setup){
        .name = arena_copy(arena, from->name),
        .return_path = arena_copy(arena, from->return_path),
        .keys = keys,
        .key_count = from->key_count,
        .spf_include = arena_copy(arena, from->spf_include),
        .bounce_mx = arena_copy(arena, from->bounce_mx),
        .bounce_domain = arena_copy(arena, from->bounce_domain),
        .addresses = copy_texts(arena, from->addresses, from->address_count),
        .address_count = from->address_count,
        .zones = copy_texts(arena, from->zones, from->zone_count),
        .zone_count = from->zone_count,
    };
}

struct domain_run *domain_check(struct loop *loop, struct dns *dns,
                                const struct domain_fetcher *fetcher,
                                const struct domain_setup *setup,
                                const struct domain_past *past,
                                domain_checked_fn fn, void *ctx)
{
    struct domain_run *run = xcalloc(1, sizeof *run);

    run->loop = loop;
    run->dns = dns;
    run->fetcher = fetcher;
    run->fn = fn;
    run->ctx = ctx;
    run->arena = arena_create();
    copy_setup(run, setup);
    run->past = *past;
    run->past.report = arena_copy(run->arena, past->report);
    run->answers = answers_create();
    list_init(&run->looks);
    timer_init(&run->limit, on_limit, run);
    timer_set(loop, &run->limit, RUN_MS);
    task_init(&run->task, on_task, run);
    task_run_soon(loop, &run->task);
    return run;
}

void domain_check_cancel(struct domain_run **handle)
{
    struct domain_run *run = *handle;

    if (run == NULL)
        return;
    *handle = NULL;
    run_end(run);
}
