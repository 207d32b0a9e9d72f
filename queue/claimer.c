#include "queue/claims_core.h"

#include "server/base/arena.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"

#include <stdlib.h>

enum { DRAIN_MS = 10000 }; /* Redis away while stopping: that is all we wait */

/* --- partitions --- */

static struct claims *claims_of(const struct claimer *claimer,
                                unsigned partition)
{
    list_each (at, &claimer->claims) {
        struct claims *claims = LIST_MEMBER(at, struct claims, link);

        if (claims->partition == partition)
            return claims;
    }
    return NULL;
}

static void on_partition_changed(void *ctx, unsigned partition, bool up)
{
    struct claimer *claimer = ctx;
    struct claims *claims = claims_of(claimer, partition);

    if (claims == NULL && up && !claimer->is_stopping)
        claims = claims_open(claimer, partition);
    if (claims != NULL)
        claims_change(claims, up);
}

struct str queue_worker_epoch(const struct queue *queue)
{
    if (queue->dispatcher != NULL)
        return dispatcher_child(queue->dispatcher);
    if (queue->claimer == NULL)
        return S("");
    list_each (at, &queue->claimer->claims) {
        const struct claims *claims = LIST_MEMBER(at, struct claims, link);

        if (claims->epoch[0] != '\0')
            return str_of(claims->epoch);
    }
    return S("");
}

/* --- life --- */

static void on_token(void *ctx)
{
    claims_ask(ctx);
}

/* More urgent lanes first; turn.c, wake_name knows the order. */
struct wake *claimer_open_wake(struct claimer *claimer)
{
    const struct queue_worker *worker = claimer->worker;
    size_t count = worker->route_count * LANE_COUNT;
    struct arena *arena = arena_create();
    struct str *names = ARENA_ARRAY(arena, struct str, count + 1);
    struct wake *wake;

    for (size_t i = 0; i < count; i++)
        names[i] = arena_printf(
            arena, KEY_WAKE "%u:%.*s", (unsigned)(i / worker->route_count),
            STR_ARG(worker->routes[i % worker->route_count]));
    wake = wake_open(claimer->queue, names, count, on_token);
    arena_destroy(&arena);
    return wake;
}

static void on_drain_timer(void *ctx)
{
    struct claimer *claimer = ctx;

    list_each (at, &claimer->claims)
        claims_plan_turn(LIST_MEMBER(at, struct claims, link));
    claimer_look(claimer);
}

static void claimer_close(void *ctx)
{
    struct claimer *claimer = ctx;

    list_each_safe (at, &claimer->claims)
        claims_close(LIST_MEMBER(at, struct claims, link));
    wake_close(&claimer->wake);
    journal_close(&claimer->journal);
    timer_clear(claimer->queue->loop, &claimer->drain);
    timer_clear(claimer->queue->loop, &claimer->pace.pause);
    free(claimer->untold);
    loop_free_later(claimer->queue->loop, free, claimer);
}

/* A partition that had no work left waits for its token instead: room that
 * was there before brings nothing, and a child of many partitions does not
 * ask them all after each mail. */
static void look_for_work(struct claimer *claimer)
{
    list_each (at, &claimer->claims) {
        struct claims *claims = LIST_MEMBER(at, struct claims, link);

        if (claims->left_work)
            claims_ask(claims);
        else
            claims_wait_for_work(claims);
    }
}

/* Results have waited, too. */
static void on_pause_over(void *ctx)
{
    struct claimer *claimer = ctx;

    list_each (at, &claimer->claims)
        claims_plan_turn(LIST_MEMBER(at, struct claims, link));
    look_for_work(claimer);
}

void queue_worker_start(struct queue *queue, const struct queue_worker *worker)
{
    struct claimer *claimer = xcalloc(1, sizeof *claimer);

    CHECK(queue->claimer == NULL);
    queue->claimer = claimer;
    claimer->queue = queue;
    claimer->worker = worker;
    claimer->untold =
        xcalloc(worker->route_count * LANE_COUNT + 1, sizeof *claimer->untold);
    child_name_make(&claimer->name);
    list_init(&claimer->claims);
    timer_init(&claimer->drain, on_drain_timer, claimer);
    claimer->pace.loop = queue->loop;
    timer_init(&claimer->pace.pause, on_pause_over, claimer);
    if (!redis_link_is_cluster(queue->main))
        claimer->wake = claimer_open_wake(claimer);
    claimer->part = (struct queue_part){
        .partition_changed = on_partition_changed,
        .close = claimer_close,
        .ctx = claimer,
    };
    queue_part_add(queue, &claimer->part);
    sweep_start(queue);
}

void queue_worker_journal(struct queue *queue, struct journal *journal)
{
    CHECK(queue->claimer != NULL && queue->claimer->journal == NULL);
    queue->claimer->journal = journal;
}

void queue_worker_hungry(struct queue *queue)
{
    struct claimer *claimer = queue->claimer;

    if (claimer == NULL)
        return;
    if (pace_rests(&claimer->pace) && !claimer->lacks_room)
        return; /* the end of the pause asks */
    look_for_work(claimer);
}

/* --- stopping --- */

static bool have_all_left(const struct claimer *claimer)
{
    list_each (at, &claimer->claims)
        if (!LIST_MEMBER(at, struct claims, link)->has_left)
            return false;
    return true;
}

void claimer_look(struct claimer *claimer)
{
    void (*fn)(void *ctx) = claimer->drained;

    if (!claimer->is_stopping || fn == NULL || !have_all_left(claimer))
        return;
    claimer->drained = NULL;
    timer_clear(claimer->queue->loop, &claimer->drain);
    fn(claimer->drained_ctx);
}

void queue_worker_stop(struct queue *queue, void (*fn)(void *ctx), void *ctx)
{
    struct claimer *claimer = queue->claimer;

    CHECK(claimer != NULL && !claimer->is_stopping);
    claimer->is_stopping = true;
    claimer->drained = fn;
    claimer->drained_ctx = ctx;
    timer_set(queue->loop, &claimer->drain,
              list_is_empty(&claimer->claims) ? 0 : DRAIN_MS);
    list_each (at, &claimer->claims)
        claims_wait_for_work(LIST_MEMBER(at, struct claims, link)); /* none */
    list_each (at, &claimer->claims) {
        struct claims *claims = LIST_MEMBER(at, struct claims, link);

        wake_rest(claims->wake);
        claims_ask(claims); /* tokens go back */
    }
}

/* --- release, by the supervisor --- */

struct release {
    struct queue_call call;
    unsigned under_way;
    bool ok;
    void (*done)(void *ctx, bool ok);
    void *ctx;
};

enum { RELEASE_SUSPECTS = 3, RELEASE_DEAD = 4 };

static void tell_suspects(const struct reply *reply)
{
    const struct reply *suspects = reply_at(reply, RELEASE_SUSPECTS);
    const struct reply *dead = reply_at(reply, RELEASE_DEAD);

    for (size_t i = 0; i < reply_count(suspects); i++)
        log_write(LOG_WARN, LOG_QUEUE_SUSPECT,
                  log_str("job", reply_str(reply_at(suspects, i))));
    for (size_t i = 0; i < reply_count(dead); i++)
        log_write(LOG_ERROR, LOG_QUEUE_POISON,
                  log_str("job", reply_str(reply_at(dead, i))));
    series_add(metrics_series(METRIC_QUEUE_POISON, NULL), reply_count(dead));
}

static void on_released(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    struct release *release = ctx;

    (void)why;
    release->ok = release->ok && str_eq(reply_str(reply_at(reply, 0)), S("ok"));
    tell_suspects(reply);
    if (--release->under_way > 0)
        return;
    release->done(release->ctx, release->ok);
    queue_call_end(&release->call);
}

void queue_release(struct queue *queue, struct str epoch, struct str suspect,
                   void (*done)(void *ctx, bool ok), void *ctx)
{
    struct release *release = queue_call_new(queue, sizeof *release);
    char master[REDIS_NODE_TEXT_SIZE];

    release->done = done;
    release->ctx = ctx;
    release->ok = true;
    release->under_way = queue->partitions.count;
    for (unsigned i = 0; i < queue->partitions.count; i++) {
        struct redis_command command;

        command_init_partition(&command, queue, SCRIPT_RELEASE, i);
        command_add(&command, str_slice(epoch, 0, CHILD_NAME_LEN));
        command_add(&command, suspect);
        command_add(&command, redis_link_master(queue->main, master));
        COMMAND_SENT_POINT(&command, "supervisor.release_sent");
        redis_send(queue->main, &command, REDIS_BUDGET_MS, on_released,
                   release);
    }
}
