#include "queue/core.h"

#include "server/base/arena.h"
#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TELL_EVERY_MS = 1000,
    SEAT_MS = 3500, /* kept for who says nothing */
    HURRY_MS = 100, /* sessions are about to change hands; twice as long each
                       time that they did not */
    ALIVE_MS = 10000,
    WORDS_MAX = 4096, /* of one worker about one upstream */
};

struct str upstream_prefix(const struct queue *queue, struct str name,
                           char *out)
{
    return queue_global_key(queue, out, KEY_UPSTREAM "{%.*s}:", STR_ARG(name));
}

struct str upstream_key(const struct queue *queue, struct str name,
                        const char *what, char *out)
{
    return queue_global_key(queue, out, KEY_UPSTREAM "{%.*s}:%s", STR_ARG(name),
                            what);
}

/* --- by a worker --- */

struct told {
    struct upstream_teller *teller;
    size_t index;
    bool is_known; /* Redis has said whether it is paused */
    bool is_paused;
    bool is_traced;
    int64_t share; /* as told last; -1: not yet */
    char test[UPSTREAM_TEST_ID_SIZE];
};

struct upstream_teller {
    struct queue_part part;
    struct queue *queue;
    const struct upstream_side *side;
    struct child_name name;
    struct told *told; /* one for each upstream */
    struct timer timer;
    int64_t hurry_ms;
    bool is_hurried;
    bool is_stopped;
};

static void write_words(const struct upstream_report *report, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_open_map(&json);
    json_add_int(&json, "trouble", report->trouble);
    json_add_str(&json, "why", report->why);
    json_add_int(&json, "sessions", report->sessions);
    json_add_int(&json, "busy", report->busy);
    json_add_int(&json, "limit", report->limit);
    json_add_int(&json, "waiting", report->waiting);
    json_add_int(&json, "slowed", report->slowed);
    json_add_int(&json, "sent_rate", report->sent_rate);
    json_close_map(&json);
}

static void take_pause(struct told *told, bool is_paused)
{
    const struct upstream_side *side = told->teller->side;

    if (told->is_known && told->is_paused == is_paused)
        return;
    told->is_known = true;
    told->is_paused = is_paused;
    side->pause(side->ctx, told->index, is_paused);
}

/* Asks again sooner, once for all that change in this round. */
static void hurry(struct upstream_teller *teller)
{
    if (teller->is_stopped || teller->is_hurried ||
        teller->hurry_ms >= TELL_EVERY_MS)
        return;
    teller->is_hurried = true;
    timer_set(teller->queue->loop, &teller->timer, teller->hurry_ms);
    teller->hurry_ms *= 2;
}

/* wanted: its part, which others may still hold. */
static void take_share(struct told *told, int64_t share, int64_t wanted)
{
    struct upstream_teller *teller = told->teller;
    bool is_lower = share < told->share;

    if (share != told->share) {
        teller->hurry_ms = HURRY_MS;
        teller->side->share(teller->side->ctx, told->index, (size_t)share);
    }
    told->share = share;
    if (share != wanted || is_lower)
        hurry(teller);
}

/* What it has, or may still open. */
static int64_t held_by(const struct told *told,
                       const struct upstream_report *report)
{
    return report->sessions > told->share ? report->sessions : told->share;
}

static void on_test_taken(void *ctx, const struct reply *reply,
                          const struct error *why)
{
    struct told *told = ctx;
    const struct upstream_side *side = told->teller->side;

    (void)why;
    if (reply_type(reply) == REPLY_INT && reply_int(reply) == 1)
        side->test(side->ctx, told->index, str_of(told->test));
}

/* The worker whose DEL finds it has it. */
static void take_test(struct told *told, struct str test)
{
    struct upstream_teller *teller = told->teller;
    struct redis_command command;
    char key[KEY_MAX];

    if (test.len == 0 || test.len >= sizeof told->test)
        return;
    snprintf(told->test, sizeof told->test, "%.*s", STR_ARG(test));
    command_init(&command, "DEL");
    command_add(&command,
                upstream_key(teller->queue, teller->side->names[told->index],
                             "test", key));
    redis_send(teller->queue->main, &command, REDIS_BUDGET_MS, on_test_taken,
               told);
}

static void take_trace(struct told *told, bool is_traced)
{
    const struct upstream_side *side = told->teller->side;

    if (told->is_traced != is_traced)
        side->trace(side->ctx, told->index, is_traced);
    told->is_traced = is_traced;
}

static void on_told(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    (void)why;
    if (reply_count(reply) != 6)
        return;
    take_share(ctx, reply_int(reply_at(reply, 2)),
               reply_int(reply_at(reply, 3)));
    take_pause(ctx, reply_int(reply_at(reply, 1)) != 0);
    take_test(ctx, reply_str(reply_at(reply, 4)));
    take_trace(ctx, reply_str(reply_at(reply, 5)).len > 0);
}

static void tell(struct told *told, int64_t alive_ms)
{
    struct upstream_teller *teller = told->teller;
    struct upstream_report report = {0};
    struct redis_command command;
    struct buf words;
    char key[KEY_MAX];

    buf_init(&words, WORDS_MAX);
    if (alive_ms > 0)
        teller->side->report(teller->side->ctx, told->index, &report);
    write_words(&report, &words);
    command_init_script(
        &command, SCRIPT_UPSTREAM_TELL,
        upstream_prefix(teller->queue, teller->side->names[told->index], key));
    command.lasts = false; /* said again in a moment */
    command_addf(&command, "%s-%s", teller->side->seat, teller->name.text);
    command_add(&command, buf_str(&words));
    command_add_int(&command, alive_ms);
    command_add_int(&command, teller->side->max_sessions[told->index]);
    command_add_int(&command, held_by(told, &report));
    command_add_int(&command, SEAT_MS);
    redis_send(teller->queue->main, &command, REDIS_BUDGET_MS,
               alive_ms > 0 ? on_told : NULL, told);
    buf_finish(&words);
}

static void on_time(void *ctx)
{
    struct upstream_teller *teller = ctx;

    teller->is_hurried = false;
    for (size_t i = 0; i < teller->side->count; i++)
        tell(&teller->told[i], ALIVE_MS);
    timer_set(teller->queue->loop, &teller->timer, TELL_EVERY_MS);
}

/* Scripts can be called now: mail waits for what Redis says. */
static void on_partition_changed(void *ctx, unsigned partition, bool up)
{
    struct upstream_teller *teller = ctx;

    (void)partition;
    if (!up || teller->is_stopped)
        return;
    timer_set(teller->queue->loop, &teller->timer, 0);
}

static void teller_close(void *ctx)
{
    struct upstream_teller *teller = ctx;

    timer_clear(teller->queue->loop, &teller->timer);
    free(teller->told);
    loop_free_later(teller->queue->loop, free, teller);
}

void queue_upstreams_start(struct queue *queue,
                           const struct upstream_side *side)
{
    struct upstream_teller *teller = xcalloc(1, sizeof *teller);

    CHECK(queue->upstream_teller == NULL);
    queue->upstream_teller = teller;
    teller->queue = queue;
    teller->side = side;
    teller->hurry_ms = HURRY_MS;
    child_name_make(&teller->name);
    teller->told = xcalloc(side->count + 1, sizeof *teller->told);
    for (size_t i = 0; i < side->count; i++)
        teller->told[i] =
            (struct told){.teller = teller, .index = i, .share = -1};
    timer_init(&teller->timer, on_time, teller);
    teller->part = (struct queue_part){
        .partition_changed = on_partition_changed,
        .close = teller_close,
        .ctx = teller,
    };
    queue_part_add(queue, &teller->part);
}

void queue_upstreams_stop(struct queue *queue)
{
    struct upstream_teller *teller = queue->upstream_teller;

    CHECK(teller != NULL && !teller->is_stopped);
    teller->is_stopped = true;
    timer_clear(queue->loop, &teller->timer);
    for (size_t i = 0; i < teller->side->count; i++)
        tell(&teller->told[i], 0);
}

/* --- by those who look --- */

struct looking {
    struct queue_call call;
    struct queue_upstreams upstreams;
    struct queue_upstream *found;
    struct look *looks; /* one for each */
    size_t under_way;
    queue_upstreams_fn done;
    void *ctx;
};

struct look {
    struct looking *looking;
    struct queue_upstream *out;
};

static void add_words(struct arena *arena, struct queue_upstream *upstream,
                      struct str text)
{
    struct upstream_report *all = &upstream->all;
    struct json *words = json_parse(text, NULL);
    int64_t trouble = json_get_int(words, "trouble");

    upstream->workers++;
    if (trouble > all->trouble) {
        all->trouble = (unsigned)trouble;
        all->why = arena_copy(arena, json_get_str(words, "why"));
    }
    all->sessions += json_get_int(words, "sessions");
    all->busy += json_get_int(words, "busy");
    all->limit += json_get_int(words, "limit");
    all->waiting += json_get_int(words, "waiting");
    all->slowed += json_get_int(words, "slowed");
    all->sent_rate += json_get_int(words, "sent_rate");
    json_destroy(&words);
}

static void read_windows(const struct reply *reply, struct queue_upstream *out)
{
    for (size_t i = 0;
         i + 1 < reply_count(reply) && out->window_count < UPSTREAM_WINDOWS_MAX;
         i += 2)
        out->windows[out->window_count++] = (struct upstream_window){
            .ms = reply_int(reply_at(reply, i)),
            .used = reply_int(reply_at(reply, i + 1)),
        };
}

static void on_look(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct look *look = ctx;
    struct looking *looking = look->looking;
    const struct reply *said = reply_at(reply, 1);
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status != QUEUE_OK) {
        looking->upstreams.status = status;
        looking->upstreams.why = err;
    }
    read_windows(reply_at(reply, 2), look->out);
    look->out->paused_ms = reply_int(reply_at(reply, 0));
    for (size_t i = 0; i < reply_count(said); i++)
        add_words(looking->call.arena, look->out, reply_str(reply_at(said, i)));
    if (--looking->under_way > 0)
        return;
    looking->done(looking->ctx, &looking->upstreams);
    queue_call_end(&looking->call);
}

static void give_none(void *ctx)
{
    struct looking *looking = ctx;

    looking->done(looking->ctx, &looking->upstreams);
    queue_call_end(&looking->call);
}

void queue_upstreams_get(struct queue *queue, const struct str *names,
                         size_t count, queue_upstreams_fn done, void *ctx)
{
    struct looking *looking = queue_call_new(queue, sizeof *looking);
    struct arena *arena = looking->call.arena;

    looking->done = done;
    looking->ctx = ctx;
    looking->under_way = count;
    looking->found = ARENA_ARRAY(arena, struct queue_upstream, count + 1);
    looking->looks = ARENA_ARRAY(arena, struct look, count + 1);
    looking->upstreams.upstreams = looking->found;
    looking->upstreams.count = count;
    if (count == 0)
        queue_call_later(&looking->call, give_none);
    for (size_t i = 0; i < count; i++) {
        struct redis_command command;
        char key[KEY_MAX];

        looking->looks[i] = (struct look){looking, &looking->found[i]};
        command_init_script(&command, SCRIPT_UPSTREAM_LOOK,
                            upstream_prefix(queue, names[i], key));
        redis_send(queue->main, &command, REDIS_BUDGET_MS, on_look,
                   &looking->looks[i]);
    }
}

/* --- by an operator --- */

struct steering {
    struct queue_call call;
    queue_answer_fn done;
    void *ctx;
};

static void on_steered(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct steering *steering = ctx;
    struct queue_answer answer = {0};

    answer.status = reply_status(reply, why, &answer.why);
    steering->done(steering->ctx, &answer);
    queue_call_end(&steering->call);
}

static void steer(struct queue *queue, struct redis_command *command,
                  queue_answer_fn done, void *ctx)
{
    struct steering *steering = queue_call_new(queue, sizeof *steering);

    steering->done = done;
    steering->ctx = ctx;
    redis_send(queue->main, command, REDIS_BUDGET_MS, on_steered, steering);
}

void queue_upstream_pause(struct queue *queue, struct str name,
                          queue_answer_fn done, void *ctx)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "SET");
    command_add(&command, upstream_key(queue, name, "pause", key));
    command_add_int(&command, clock_shared_ms());
    command_add_cstr(&command, "NX");
    steer(queue, &command, done, ctx);
}

void queue_upstream_resume(struct queue *queue, struct str name,
                           queue_answer_fn done, void *ctx)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "DEL");
    command_add(&command, upstream_key(queue, name, "pause", key));
    steer(queue, &command, done, ctx);
}
