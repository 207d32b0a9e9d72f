#include "queue/core.h"

#include "server/base/arena.h"
#include "server/base/json.h"
#include "server/base/metrics.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TELL_EVERY_MS = 3000,
    ALIVE_MS = 10000,
    WORDS_MAX = 1024, /* what a process says of itself */
};

unsigned level_newest(void)
{
#ifdef FAULT_POINTS
    const char *text = getenv("POSTHASTE_LEVEL");

    if (text != NULL)
        return (unsigned)strtoul(text, NULL, 10);
#endif
    return LEVEL_NEWEST;
}

bool levels_take(struct queue *queue, struct str text, struct error *why)
{
    unsigned newest = queue->levels.newest;
    unsigned oldest = newest > LEVEL_OLDEST ? newest - 1 : newest;
    uint64_t write;

    if (!str_to_u64(text, &write) || write == 0) {
        error_set(why, ERR_CONFIG,
                  "redis: the write_level in %smeta is \"%.*s\", which is no "
                  "level: it should be %u to %u",
                  queue->config->redis.prefix, STR_ARG(text), oldest, newest);
        return false;
    }
    if (write >= oldest && write <= newest) {
        queue->levels.write = (unsigned)write;
        return true;
    }
    error_set(why, ERR_CONFIG,
              "redis holds data of level %llu, this release reads %u to %u: "
              "%s",
              (unsigned long long)write, oldest, newest,
              write > newest
                  ? "run a newer one"
                  : "run posthaste migrate with the release before it");
    return false;
}

/* --- what this process says --- */

static void write_words(struct queue *queue, struct buf *out)
{
    struct json_out json;
    char host[HOST_NAME_MAX + 1] = "";

    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    json_out_init(&json, out);
    json_open_map(&json);
    json_add_cstr(&json, "role", queue->levels.role);
    json_add_cstr(&json, "version", POSTHASTE_VERSION);
    json_add_cstr(&json, "host", host);
    json_add_int(&json, "pid", getpid());
    json_add_int(&json, "level", queue->levels.newest);
    json_close_map(&json);
}

static struct str processes_prefix(const struct queue *queue, char *out)
{
    return queue_global_key(queue, out, "{processes}:");
}

static void on_told(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    (void)ctx;
    (void)why;
    if (reply_count(reply) == 2)
        series_set(metrics_series(METRIC_WORKERS_ALIVE, NULL),
                   reply_int(reply_at(reply, 1)));
}

static void tell(struct queue *queue, int64_t alive_ms)
{
    struct redis_command command;
    struct buf words;
    char prefix[KEY_MAX];

    buf_init(&words, WORDS_MAX);
    write_words(queue, &words);
    command_init_script(&command, SCRIPT_PROCESS,
                        processes_prefix(queue, prefix));
    command_add(&command, buf_str(&words));
    command_add_int(&command, alive_ms);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_told, NULL);
    buf_finish(&words);
}

static void on_meta(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct queue *queue = ctx;

    (void)why;
    if (reply_type(reply_at(reply, 0)) != REPLY_TEXT ||
        !queue->health.has_schema)
        return; /* the link's loss, or the next answer, tells */
    queue->levels.is_behind =
        !levels_take(queue, reply_str(reply_at(reply, 0)), &queue->levels.why);
    partitions_learn(queue, reply_int(reply_at(reply, 1)));
    health_look(queue);
}

static void on_time(void *ctx)
{
    struct queue *queue = ctx;
    struct redis_command command;
    char key[KEY_MAX];

    timer_set(queue->loop, &queue->levels.timer, TELL_EVERY_MS);
    if (queue->levels.role != NULL)
        tell(queue, ALIVE_MS);
    command_init(&command, "HMGET");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    command_add_cstr(&command, "write_level");
    command_add_cstr(&command, "partitions");
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_meta, queue);
}

void queue_join(struct queue *queue, const char *role)
{
    queue->levels.role = role;
    if (queue->health.has_schema)
        on_time(queue);
}

void queue_leave(struct queue *queue)
{
    if (queue->levels.role != NULL && queue->health.has_schema)
        tell(queue, 0);
    queue->levels.role = NULL;
}

/* --- life --- */

void levels_open(struct queue *queue)
{
    queue->levels.newest = level_newest();
    timer_init(&queue->levels.timer, on_time, queue);
}

void levels_close(struct queue *queue)
{
    timer_clear(queue->loop, &queue->levels.timer);
}

void levels_link_is_up(struct queue *queue)
{
    on_time(queue);
}

void levels_link_is_down(struct queue *queue)
{
    timer_clear(queue->loop, &queue->levels.timer);
}

/* --- for `posthaste migrate` --- */

struct asking {
    struct queue_call call;
    struct queue_levels levels;
    queue_levels_fn done;
    queue_answer_fn raised;
    void *ctx;
};

static struct level_process read_process(struct asking *asking, struct str text)
{
    struct level_process process = {0};
    struct json *words = json_parse(text, NULL);
    struct arena *arena = asking->call.arena;

    process.role = arena_copy(arena, json_get_str(words, "role"));
    process.version = arena_copy(arena, json_get_str(words, "version"));
    process.host = arena_copy(arena, json_get_str(words, "host"));
    process.pid = json_get_int(words, "pid");
    process.newest = (unsigned)json_get_int(words, "level");
    json_destroy(&words);
    return process;
}

static void on_processes(void *ctx, const struct reply *reply,
                         const struct error *why)
{
    struct asking *asking = ctx;
    struct queue_levels *levels = &asking->levels;
    size_t count = reply_count(reply);
    struct level_process *processes =
        ARENA_ARRAY(asking->call.arena, struct level_process, count + 1);

    levels->status = reply_status(reply, why, &levels->why);
    for (size_t i = 0; i < count; i++)
        processes[i] = read_process(asking, reply_str(reply_at(reply, i)));
    levels->processes = processes;
    levels->count = count;
    levels->write = asking->call.queue->levels.write;
    asking->done(asking->ctx, levels);
    queue_call_end(&asking->call);
}

void queue_levels_get(struct queue *queue, queue_levels_fn done, void *ctx)
{
    struct asking *asking = queue_call_new(queue, sizeof *asking);
    struct redis_command command;
    char prefix[KEY_MAX];

    asking->done = done;
    asking->ctx = ctx;
    command_init_script(&command, SCRIPT_PROCESSES,
                        processes_prefix(queue, prefix));
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_processes, asking);
}

static void on_raised(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct asking *asking = ctx;
    struct queue_answer answer = {0};

    answer.status = reply_status(reply, why, &answer.why);
    asking->raised(asking->ctx, &answer);
    queue_call_end(&asking->call);
}

void queue_levels_raise(struct queue *queue, unsigned level,
                        queue_answer_fn done, void *ctx)
{
    struct asking *asking = queue_call_new(queue, sizeof *asking);
    struct redis_command command;
    char key[KEY_MAX];

    asking->raised = done;
    asking->ctx = ctx;
    command_init(&command, "HSET");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    command_add_cstr(&command, "write_level");
    command_add_int(&command, level);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_raised, asking);
}
