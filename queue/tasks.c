#include "queue/core.h"
#include "queue/task.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"

#include <stdlib.h>
#include <string.h>

/* The life of a hooks child: it registers after every connect, and from then
 * on three things go on side by side, each at most once at a time:
 *
 *   events   fanout, then project, until evring is empty
 *   turn     heartbeat, reports, claims (task_turn)
 *   waiting  BLPOP hwake on a link of its own, while there is room and
 *            nothing else to do
 *
 * A token, a heartbeat and a due task all make it look for events and claims
 * again. A lost turn is made good by register: what it claimed without our
 * knowledge is given back, what it reported is reported again and changes
 * nothing the second time. */

enum {
    EVENTS_A_CALL = 200,
    CLAIMS_A_TURN = 64,
    REPORTS_A_TURN = 128,
    BEATS_A_LEASE = 5,
    CALL_BUDGET_MS = 5000,
    WAIT_S = 5,
    WAIT_BUDGET_MS = WAIT_S * 1000 + 3000,
    KEY_PAUSE_MS = 5000, /* before a task without its key is tried again */
    PARTITION = 0,
    EPOCH_SIZE = 17,
};

/* Projections of mail that waits longer than any may be scheduled ahead go by
 * themselves. */
static const int64_t PROJECTION_SPARE_MS = INT64_C(40) * 86400000;

struct tasks {
    struct queue *queue;
    const struct queue_hooks *hooks;
    struct queue_part part;
    struct redis_link *waiter;
    size_t calls; /* under way on the main link */
    bool ended;   /* by queue_hooks_end; their answers are still to come */
    char epoch[EPOCH_SIZE]; /* "" before the first register */
    char next_epoch[EPOCH_SIZE];
    struct buf defaults; /* events for endpoints that name none */
    bool registered;
    bool registering;

    struct list held;     /* in the owner's hand */
    struct list reported; /* not told to Redis yet */
    struct list told;     /* by the turn under way */
    bool turning;
    bool failed;   /* the last one: the next waits for the heartbeat */
    size_t wanted; /* by the turn under way */
    bool hungry;   /* there may be something to claim */
    bool beat_due;
    bool left; /* the last turn of a child that stops */

    bool fanning; /* fanout under way */
    bool projecting;
    bool news;    /* there may be new events */
    bool waiting; /* BLPOP under way */

    struct task run; /* once a turn of the loop */
    struct timer beat;
    struct timer due;
    int64_t key_told_ms; /* when a missing key was logged last */

    bool stopping;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

static void run_soon(struct tasks *tasks)
{
    task_run_soon(tasks->queue->loop, &tasks->run);
}

static void send(struct tasks *tasks, struct redis_command *command,
                 redis_fn fn)
{
    tasks->calls++;
    command->lasts = false; /* at least once is all that webhooks promise */
    redis_send(tasks->queue->main, command, CALL_BUDGET_MS, fn, tasks);
}

static void free_at_last(struct tasks *tasks)
{
    list_remove(&tasks->part.link);
    loop_free_later(tasks->queue->loop, free, tasks);
}

/* Begins each callback of the main link. False: nobody is interested. */
static bool is_wanted(struct tasks *tasks)
{
    tasks->calls--;
    if (tasks->ended && tasks->calls == 0)
        free_at_last(tasks);
    return !tasks->ended;
}

/* False: no answer, or an error; it is logged. */
static bool is_answer(const struct reply *reply, const struct error *why)
{
    struct error err;

    if (reply_status(reply, why, &err) == QUEUE_OK)
        return true;
    log_write(LOG_WARN, LOG_WEBHOOK_QUEUE_FAILED, log_error(&err));
    return false;
}

/* --- events --- */

static void on_projected(void *ctx, const struct reply *reply,
                         const struct error *why)
{
    struct tasks *tasks = ctx;

    if (!is_wanted(tasks))
        return;
    FAULT_POINT("project.done");
    tasks->projecting = false;
    tasks->news = is_answer(reply, why);
    run_soon(tasks);
}

static void project(struct tasks *tasks, struct str owner)
{
    struct redis_command command;

    tasks->projecting = true;
    command_init_partition(&command, tasks->queue, SCRIPT_PROJECT, PARTITION);
    command_add(&command, owner);
    command_add_int(&command, EVENTS_A_CALL);
    command_add_int(&command, tasks->queue->config->privacy.keep_events_ms +
                                  PROJECTION_SPARE_MS);
    COMMAND_SENT_POINT(&command, "project.sent");
    send(tasks, &command, on_projected);
}

static void on_fanned_out(void *ctx, const struct reply *reply,
                          const struct error *why)
{
    struct tasks *tasks = ctx;
    struct str owner = reply_str(reply_at(reply, 0));

    if (!is_wanted(tasks))
        return;
    if (owner.len > 0)
        FAULT_POINT("fanout.done");
    tasks->fanning = false;
    tasks->news = false;
    if (is_answer(reply, why)) {
        tasks->hungry = true;
        tasks->news = reply_int(reply_at(reply, 1)) > 0;
        if (owner.len > 0)
            project(tasks, owner);
    }
    run_soon(tasks);
}

static void fan_out(struct tasks *tasks)
{
    struct redis_command command;

    tasks->fanning = true;
    command_init_partition(&command, tasks->queue, SCRIPT_FANOUT, PARTITION);
    command_add(&command, buf_str(&tasks->defaults));
    command_add_int(&command, EVENTS_A_CALL);
    COMMAND_SENT_POINT(&command, "fanout.sent");
    send(tasks, &command, on_fanned_out);
}

/* --- turns --- */

static size_t room(const struct tasks *tasks)
{
    size_t room = tasks->stopping ? 0 : tasks->hooks->room(tasks->hooks->ctx);

    return room < CLAIMS_A_TURN ? room : CLAIMS_A_TURN;
}

static void report(struct tasks *tasks, struct held *held,
                   enum task_outcome outcome, int64_t retry_at_ms,
                   const struct task_detail *detail)
{
    held_report(held, outcome, retry_at_ms, detail);
    list_remove(&held->link);
    list_add_last(&tasks->reported, &held->link);
    run_soon(tasks);
}

static void tell_missing_key(struct tasks *tasks)
{
    if (clock_now_ms() - tasks->key_told_ms < KEY_PAUSE_MS)
        return;
    tasks->key_told_ms = clock_now_ms();
    log_write(LOG_ERROR, LOG_WEBHOOK_KEY_MISSING,
              log_cstr("keyring", tasks->queue->config->secrets.keyring_file));
}

static void take_claim(struct tasks *tasks, const struct reply *claim)
{
    struct held *held = held_create(claim, tasks->queue->keyring);

    list_add_last(&tasks->held, &held->link);
    if (held->result == HELD_READY) {
        tasks->hooks->claimed(tasks->hooks->ctx, &held->task);
    } else if (held->result == HELD_LATER) {
        tell_missing_key(tasks);
        report(tasks, held, TASK_UNSENT, clock_wall_ms() + KEY_PAUSE_MS, NULL);
    } else {
        report(tasks, held, TASK_LOST, 0,
               &(struct task_detail){
                   .error = S("the event or its email cannot be read"),
                   .sent_ms = clock_wall_ms()});
    }
}

static void tell_disabled(const struct reply *disabled)
{
    for (size_t i = 0; i < reply_count(disabled); i++) {
        struct str reason = reply_str(reply_at(disabled, i));
        struct str endpoint;

        if (str_cut(&reason, ' ', &endpoint))
            log_write(LOG_WARN, LOG_WEBHOOK_DISABLED,
                      log_str("endpoint", endpoint), log_str("reason", reason));
    }
}

static void drop_list(struct list *list)
{
    list_each_safe (link, list) {
        struct held *held = LIST_MEMBER(link, struct held, link);

        held_destroy(&held);
    }
}

/* Where the claims begin in the reply of task_turn. */
enum { STATUS, NEXT_DUE_MS, BACKLOG, DISABLED, CLAIMS };

static void take_turn(struct tasks *tasks, const struct reply *reply)
{
    int64_t due_ms = reply_int(reply_at(reply, NEXT_DUE_MS));
    size_t claims = reply_count(reply) - CLAIMS;

    if (claims > 0)
        FAULT_POINT("task_claim.done");
    if (list_is_empty(&tasks->told))
        FAULT_POINT("task_heartbeat.done");
    else
        FAULT_POINT("ack.done");
    drop_list(&tasks->told);
    series_set(metrics_series(METRIC_WEBHOOK_BACKLOG, NULL),
               reply_int(reply_at(reply, BACKLOG)));
    tell_disabled(reply_at(reply, DISABLED));
    if (due_ms >= 0)
        timer_set(tasks->queue->loop, &tasks->due, due_ms);
    else
        timer_clear(tasks->queue->loop, &tasks->due);
    /* As much as was wanted: there may be more. */
    tasks->hungry = claims >= tasks->wanted;
    for (size_t i = 0; i < claims; i++)
        take_claim(tasks, reply_at(reply, CLAIMS + i));
}

/* What was told may not have been heard: it is reported again. */
static void untell(struct tasks *tasks)
{
    while (!list_is_empty(&tasks->told)) {
        struct list *link = tasks->told.prev;

        list_remove(link);
        list_add_first(&tasks->reported, link);
    }
}

static void begin(struct tasks *tasks);

static void on_turn(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct tasks *tasks = ctx;

    if (!is_wanted(tasks))
        return;
    tasks->turning = false;
    tasks->failed = !is_answer(reply, why);
    if (tasks->failed) {
        untell(tasks);
    } else if (reply_count(reply) < CLAIMS) {
        untell(tasks);
        begin(tasks); /* our lease ran out: some of it may be with others */
    } else {
        take_turn(tasks, reply);
    }
    run_soon(tasks);
}

static size_t add_results(struct tasks *tasks, struct redis_command *command)
{
    size_t count = 0;
    struct held *held;

    while (count < REPORTS_A_TURN &&
           (held = LIST_FIRST(&tasks->reported, struct held, link)) != NULL) {
        held_add_result(held, command);
        list_remove(&held->link);
        list_add_last(&tasks->told, &held->link);
        count++;
    }
    return count;
}

static size_t count_up_to(const struct list *list, size_t max)
{
    size_t count = 0;

    list_each (link, list) {
        if (count == max)
            break;
        count++;
    }
    return count;
}

static void take_a_turn(struct tasks *tasks, bool leave)
{
    struct redis_command command;
    size_t results = count_up_to(&tasks->reported, REPORTS_A_TURN);

    tasks->turning = true;
    tasks->left = leave;
    tasks->wanted = room(tasks);
    command_init_partition(&command, tasks->queue, SCRIPT_TASK_TURN, PARTITION);
    command_add_cstr(&command, tasks->epoch);
    command_add_int(&command, tasks->queue->config->worker.lease_ms);
    command_add_int(&command, leave ? -1 : (int64_t)tasks->wanted);
    command_add_int(&command, (int64_t)results);
    CHECK(add_results(tasks, &command) == results);
    if (results > 0)
        COMMAND_SENT_POINT(&command, "ack.sent");
    else if (tasks->beat_due)
        COMMAND_SENT_POINT(&command, "task_heartbeat.sent");
    else
        COMMAND_SENT_POINT(&command, "task_claim.sent");
    tasks->beat_due = false;
    send(tasks, &command, on_turn);
}

/* --- waiting --- */

static void on_token(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct tasks *tasks = ctx;

    tasks->waiting = false;
    /* Without a link on_waiter_up begins anew, after an error the heartbeat. */
    if (reply == NULL || !is_answer(reply, why))
        return;
    if (reply_type(reply) == REPLY_LIST)
        tasks->news = tasks->hungry = true;
    run_soon(tasks);
}

static void wait_for_token(struct tasks *tasks)
{
    struct redis_command command;
    char key[KEY_MAX];

    tasks->waiting = true;
    command_init(&command, "BLPOP");
    command_add(&command,
                queue_key(tasks->queue, PARTITION, key, "%s", KEY_HOOKS_WAKE));
    command_add_int(&command, WAIT_S);
    redis_send(tasks->waiter, &command, WAIT_BUDGET_MS, on_token, tasks);
}

static void on_waiter_up(void *ctx)
{
    run_soon(ctx);
}

/* --- one step --- */

static bool is_empty_handed(const struct tasks *tasks)
{
    return list_is_empty(&tasks->held) && list_is_empty(&tasks->reported) &&
           list_is_empty(&tasks->told);
}

/* Reports that Redis does not take are lost with us: the lease gives the
 * tasks back, and they are sent once more. */
static void stop(struct tasks *tasks)
{
    void (*drained)(void *ctx) = tasks->drained;

    if (tasks->registered && !tasks->left) {
        if (is_empty_handed(tasks) && !tasks->turning)
            take_a_turn(tasks, true);
        return;
    }
    if (tasks->turning || !list_is_empty(&tasks->held) || drained == NULL)
        return;
    tasks->drained = NULL;
    drained(tasks->drained_ctx);
}

static bool wants_turn(const struct tasks *tasks, bool has_room)
{
    if (tasks->turning || (tasks->failed && !tasks->beat_due))
        return false;
    return tasks->beat_due || !list_is_empty(&tasks->reported) ||
           (tasks->hungry && has_room && !tasks->fanning);
}

static void step(struct tasks *tasks)
{
    bool has_room = room(tasks) > 0;

    if (tasks->news && !tasks->fanning && !tasks->projecting &&
        !tasks->stopping)
        fan_out(tasks);
    if (wants_turn(tasks, has_room))
        take_a_turn(tasks, false);
    if (has_room && !tasks->waiting && !tasks->turning && !tasks->fanning &&
        !tasks->projecting && redis_link_is_up(tasks->waiter))
        wait_for_token(tasks);
}

static void on_run(void *ctx)
{
    struct tasks *tasks = ctx;

    if (tasks->registered && !tasks->left)
        step(tasks);
    if (tasks->stopping)
        stop(tasks);
}

static void on_due(void *ctx)
{
    struct tasks *tasks = ctx;

    tasks->hungry = true;
    run_soon(tasks);
}

static void on_beat(void *ctx)
{
    struct tasks *tasks = ctx;

    timer_set(tasks->queue->loop, &tasks->beat,
              tasks->queue->config->worker.lease_ms / BEATS_A_LEASE);
    tasks->beat_due = tasks->news = tasks->hungry = true;
    if (!tasks->registered && tasks->queue->health.has_schema)
        begin(tasks);
    run_soon(tasks);
}

/* --- registration --- */

static void on_registered(void *ctx, const struct reply *reply,
                          const struct error *why)
{
    struct tasks *tasks = ctx;

    if (!is_wanted(tasks))
        return;
    FAULT_POINT("task_register.done");
    tasks->registering = false;
    if (!is_answer(reply, why))
        return; /* the next heartbeat tries again */
    memcpy(tasks->epoch, tasks->next_epoch, EPOCH_SIZE);
    tasks->registered = true;
    tasks->failed = false;
    tasks->news = tasks->hungry = true;
    run_soon(tasks);
}

static void add_names(const struct list *list, struct redis_command *command)
{
    list_each (link, list) {
        held_add_name(LIST_MEMBER(link, struct held, link), command);
    }
}

/* A fresh epoch each time: a turn that is still on its way over the lost
 * connection belongs to the old one and is refused. */
static void begin(struct tasks *tasks)
{
    struct redis_command command;
    unsigned char random[8];
    struct buf hex;

    if (tasks->registering)
        return;
    tasks->registered = false;
    tasks->registering = true;
    secret_random(random, sizeof random);
    buf_init(&hex, EPOCH_SIZE);
    codec_hex_add(&hex, str_make(random, sizeof random));
    memcpy(tasks->next_epoch, hex.data, EPOCH_SIZE);
    buf_finish(&hex);
    command_init_partition(&command, tasks->queue, SCRIPT_TASK_REGISTER,
                           PARTITION);
    command_add_cstr(&command, tasks->next_epoch);
    command_add_cstr(&command, tasks->epoch);
    command_add_int(&command, tasks->queue->config->worker.lease_ms);
    add_names(&tasks->held, &command);
    add_names(&tasks->reported, &command);
    add_names(&tasks->told, &command);
    COMMAND_SENT_POINT(&command, "task_register.sent");
    send(tasks, &command, on_registered);
}

static void on_partition_changed(void *ctx, unsigned partition, bool up)
{
    struct tasks *tasks = ctx;

    if (tasks->ended || partition != PARTITION)
        return;
    tasks->registered = false;
    if (up)
        begin(tasks);
    else
        run_soon(tasks); /* a child that stops need not wait */
}

/* --- the door --- */

static void end(struct tasks *tasks)
{
    struct loop *loop = tasks->queue->loop;

    tasks->ended = true;
    task_cancel(&tasks->run);
    timer_clear(loop, &tasks->beat);
    timer_clear(loop, &tasks->due);
    redis_link_close(&tasks->waiter);
    drop_list(&tasks->held);
    drop_list(&tasks->reported);
    drop_list(&tasks->told);
    buf_finish(&tasks->defaults);
    tasks->queue->tasks = NULL;
}

/* The links close with the queue: no answer comes any more. */
static void on_close(void *ctx)
{
    struct tasks *tasks = ctx;

    if (!tasks->ended)
        end(tasks);
    free_at_last(tasks);
}

void queue_hooks_end(struct queue *queue)
{
    struct tasks *tasks = queue->tasks;

    if (tasks == NULL)
        return;
    end(tasks);
    if (tasks->calls == 0)
        free_at_last(tasks);
}

static void list_defaults(struct buf *out)
{
    buf_init(out, 1024);
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++) {
        if (event_type_is_resend((enum event_type)i))
            buf_addf(out, "%s ", event_type_name((enum event_type)i));
    }
}

void queue_hooks_start(struct queue *queue, const struct queue_hooks *hooks)
{
    struct tasks *tasks = xcalloc(1, sizeof *tasks);

    CHECK(queue->tasks == NULL);
    queue->tasks = tasks;
    tasks->queue = queue;
    tasks->hooks = hooks;
    tasks->key_told_ms = clock_now_ms() - KEY_PAUSE_MS;
    list_init(&tasks->held);
    list_init(&tasks->reported);
    list_init(&tasks->told);
    list_defaults(&tasks->defaults);
    task_init(&tasks->run, on_run, tasks);
    timer_init(&tasks->due, on_due, tasks);
    timer_init(&tasks->beat, on_beat, tasks);
    timer_set(queue->loop, &tasks->beat,
              queue->config->worker.lease_ms / BEATS_A_LEASE);
    tasks->waiter = queue_link_open(queue, "hooks", on_waiter_up, NULL, tasks);
    tasks->part = (struct queue_part){
        .partition_changed = on_partition_changed,
        .close = on_close,
        .ctx = tasks,
    };
    queue_part_add(queue, &tasks->part);
    sweep_start(queue);
}

void queue_hooks_hungry(struct queue *queue)
{
    run_soon(queue->tasks);
}

void queue_task_report(struct queue *queue, struct queue_task *task,
                       enum task_outcome outcome, int64_t retry_at_ms,
                       const struct task_detail *detail)
{
    report(queue->tasks, CONTAINER_OF(task, struct held, task), outcome,
           retry_at_ms, detail);
}

void queue_hooks_stop(struct queue *queue, void (*drained)(void *ctx),
                      void *ctx)
{
    struct tasks *tasks = queue->tasks;

    tasks->stopping = true;
    tasks->drained = drained;
    tasks->drained_ctx = ctx;
    run_soon(tasks);
}
