/* What an operator wants to see of an upstream, asked of the workers: keys
 * test, tested:<test>, trace and trail beside those of upstreams.c. Nothing of
 * it outlives a minute. */
#include "queue/core.h"

#include "server/base/arena.h"
#include "server/base/clock.h"
#include "server/base/id.h"

#include <stdio.h>

enum {
    POLL_EVERY_MS = 150,
    KEPT_MS = 60 * 1000, /* what nobody fetches */
    TRAIL_MAX = 1000,    /* lines */
    LINES_A_CALL = 100,
};

static void set_for(struct redis_command *command, struct str key,
                    struct str value, int64_t for_ms)
{
    command_init(command, "SET");
    command->lasts = false;
    command_add(command, key);
    command_add(command, value);
    command_add_cstr(command, "PX");
    command_add_int(command, for_ms);
}

static struct str tested_key(const struct queue *queue, struct str name,
                             struct str test, char *out)
{
    char what[sizeof "tested:" + UPSTREAM_TEST_ID_SIZE];

    snprintf(what, sizeof what, "tested:%.*s", STR_ARG(test));
    return upstream_key(queue, name, what, out);
}

/* --- by a worker --- */

void queue_upstream_tested(struct queue *queue, struct str upstream,
                           struct str test, struct str result)
{
    struct redis_command command;
    char key[KEY_MAX];

    set_for(&command, tested_key(queue, upstream, test, key), result, KEPT_MS);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}

void queue_upstream_traced(struct queue *queue, struct str upstream,
                           struct str line)
{
    struct redis_command command;
    char key[KEY_MAX];
    struct str trail = upstream_key(queue, upstream, "trail", key);

    command_init(&command, "XADD");
    command.lasts = false;
    command_add(&command, trail);
    command_add_cstr(&command, "MAXLEN");
    command_add_cstr(&command, "~");
    command_add_int(&command, TRAIL_MAX);
    command_add_cstr(&command, "*");
    command_add_cstr(&command, "l");
    command_add(&command, line);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
    command_init(&command, "PEXPIRE");
    command.lasts = false;
    command_add(&command, trail);
    command_add_int(&command, KEPT_MS);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}

/* --- a test, by who asks for it --- */

struct testing {
    struct queue_call call;
    struct str name;
    struct str id;
    int64_t since_ms;
    struct timer timer;
    queue_upstream_test_fn done;
    void *ctx;
};

static void ask_for_test(struct testing *testing);

static void finish_testing(struct queue_call *call)
{
    struct testing *testing = CONTAINER_OF(call, struct testing, call);

    timer_clear(call->queue->loop, &testing->timer);
}

static void tell_tested(struct testing *testing,
                        const struct queue_upstream_test *test)
{
    testing->done(testing->ctx, test);
    queue_call_end(&testing->call);
}

/* False: that was told. */
static bool is_answered(struct testing *testing, const struct reply *reply,
                        const struct error *why)
{
    struct queue_upstream_test test = {0};

    test.status = reply_status(reply, why, &test.why);
    if (test.status == QUEUE_OK)
        return true;
    tell_tested(testing, &test);
    return false;
}

/* No worker is there. */
static void take_back(const struct testing *testing)
{
    struct queue *queue = testing->call.queue;
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "DEL");
    command.lasts = false;
    command_add(&command, upstream_key(queue, testing->name, "test", key));
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}

/* Its result, and the test as long as no worker has taken it. */
static void on_polled(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct testing *testing = ctx;
    struct queue_upstream_test test = {0};
    int64_t passed_ms = clock_now_ms() - testing->since_ms;
    bool is_left;

    if (!is_answered(testing, reply, why))
        return;
    test.result = reply_str(reply_at(reply, 0));
    is_left = passed_ms >= UPSTREAM_TEST_TAKEN_MS &&
              str_eq(reply_str(reply_at(reply, 1)), testing->id);
    if (is_left)
        take_back(testing);
    if (is_left || test.result.len > 0 || passed_ms >= UPSTREAM_TEST_MAX_MS)
        tell_tested(testing, &test);
    else
        timer_set(testing->call.queue->loop, &testing->timer, POLL_EVERY_MS);
}

static void poll(void *ctx)
{
    struct testing *testing = ctx;
    struct queue *queue = testing->call.queue;
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "MGET");
    command_add(&command, tested_key(queue, testing->name, testing->id, key));
    command_add(&command, upstream_key(queue, testing->name, "test", key));
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_polled, testing);
}

/* Another one has asked; or a worker took that test in between. */
static void on_other(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct testing *testing = ctx;

    if (!is_answered(testing, reply, why))
        return;
    if (reply_type(reply) != REPLY_TEXT) {
        ask_for_test(testing);
        return;
    }
    testing->id = arena_copy(testing->call.arena, reply_str(reply));
    poll(testing);
}

static void on_asked(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct testing *testing = ctx;
    struct queue *queue = testing->call.queue;
    struct redis_command command;
    char key[KEY_MAX];

    if (reply_type(reply) != REPLY_NIL) {
        if (is_answered(testing, reply, why))
            poll(testing);
        return;
    }
    command_init(&command, "GET");
    command_add(&command, upstream_key(queue, testing->name, "test", key));
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_other, testing);
}

static void ask_for_test(struct testing *testing)
{
    struct queue *queue = testing->call.queue;
    struct redis_command command;
    char key[KEY_MAX];

    set_for(&command, upstream_key(queue, testing->name, "test", key),
            testing->id, UPSTREAM_TEST_MAX_MS);
    command_add_cstr(&command, "NX");
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_asked, testing);
}

void queue_upstream_test(struct queue *queue, struct str name,
                         queue_upstream_test_fn done, void *ctx)
{
    struct testing *testing = queue_call_new(queue, sizeof *testing);
    struct id id = id_new(0);

    testing->call.finish = finish_testing;
    testing->name = arena_copy(testing->call.arena, name);
    testing->id = arena_copy(testing->call.arena, str_of(id.text));
    testing->since_ms = clock_now_ms();
    testing->done = done;
    testing->ctx = ctx;
    timer_init(&testing->timer, poll, testing);
    ask_for_test(testing);
}

/* --- a trace, by who watches --- */

struct tracing {
    struct queue_call call;
    char after[UPSTREAM_TRACE_ID_SIZE];
    queue_upstream_trace_fn done;
    void *ctx;
};

static void on_trail(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct tracing *tracing = ctx;
    struct queue_upstream_trace trace = {0};
    struct str *lines =
        ARENA_ARRAY(tracing->call.arena, struct str, reply_count(reply) + 1);

    trace.status = reply_status(reply, why, &trace.why);
    snprintf(trace.last, sizeof trace.last, "%s", tracing->after);
    for (size_t i = 0; i < reply_count(reply); i++) {
        const struct reply *entry = reply_at(reply, i);

        snprintf(trace.last, sizeof trace.last, "%.*s",
                 STR_ARG(reply_str(reply_at(entry, 0))));
        lines[trace.count++] = reply_str(reply_at(reply_at(entry, 1), 1));
    }
    trace.lines = lines;
    tracing->done(tracing->ctx, &trace);
    queue_call_end(&tracing->call);
}

void queue_upstream_trace(struct queue *queue, struct str name,
                          const char *after, queue_upstream_trace_fn done,
                          void *ctx)
{
    struct tracing *tracing = queue_call_new(queue, sizeof *tracing);
    struct redis_command command;
    char key[KEY_MAX];

    tracing->done = done;
    tracing->ctx = ctx;
    if (after[0] != '\0')
        snprintf(tracing->after, sizeof tracing->after, "%s", after);
    else
        snprintf(tracing->after, sizeof tracing->after, "%lld-0",
                 (long long)clock_shared_ms());
    set_for(&command, upstream_key(queue, name, "trace", key), S("1"),
            UPSTREAM_TRACE_MS);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
    command_init(&command, "XRANGE");
    command_add(&command, upstream_key(queue, name, "trail", key));
    command_addf(&command, "(%s", tracing->after);
    command_add_cstr(&command, "+");
    command_add_cstr(&command, "COUNT");
    command_add_int(&command, LINES_A_CALL);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_trail, tracing);
}
