#include "queue/core.h"
#include "queue/task.h"
#include "queue/wake.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"

#include <stdlib.h>
#include <string.h>

/* The life of a hooks child, in each partition: it registers after every
 * connect, and from then on three things go on side by side, each at most
 * once at a time:
 *
 *   events   fanout, then project, until evring is empty
 *   turn     heartbeat, reports, claims (task_turn)
 *   waiting  for hwake's token, while there is room and nothing else to do
 *
 * The room is shared: what the turn of one partition may claim is not there
 * for another's until its answer has come.
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
    KEY_PAUSE_MS = 5000, /* before a task without its key is tried again */
};

/* Projections of mail that waits longer than any may be scheduled ahead go by
 * themselves. */
static const int64_t PROJECTION_SPARE_MS = INT64_C(40) * 86400000;

/* A hooks child: what its partitions share. */
struct dispatcher {
    struct queue *queue;
    struct queue_part part;
    const struct queue_hooks *hooks;
    struct child_name name;
    struct list tasks;   /* of tasks.link */
    struct wake *wake;   /* one for all; NULL in a cluster */
    struct buf defaults; /* events for endpoints that name none */
    size_t calls;        /* under way on the main link */
    bool ended; /* by queue_hooks_end; their answers are still to come */
    int64_t key_told_ms; /* when a missing key was logged last */
    bool stopping;
    struct task look; /* has everybody left? */
    void (*drained)(void *ctx);
    void *drained_ctx;
};

struct tasks {
    struct list link; /* of dispatcher.tasks */
    struct dispatcher *dispatcher;
    struct queue *queue;
    unsigned partition;
    struct wake *own_wake; /* in a cluster: keys of a BLPOP share a slot */
    struct wake *wake;
    size_t wake_place;
    char epoch[EPOCH_SIZE];      /* "" before the first register */
    char next_epoch[EPOCH_SIZE]; /* of a register that is not confirmed */
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
    bool left;       /* the last turn of a child that stops */
    int64_t backlog; /* of the partition */

    bool fanning; /* fanout under way */
    bool projecting;
    bool news; /* there may be new events */

    struct task run; /* once a turn of the loop */
    struct timer beat;
    struct timer due;
};

static void run_soon(struct tasks *tasks)
{
    task_run_soon(tasks->queue->loop, &tasks->run);
}

static void send(struct tasks *tasks, struct redis_command *command,
                 redis_fn fn)
{
    command->lasts = false; /* at least once is all that webhooks promise */
    tasks->dispatcher->calls++;
    redis_send(tasks->queue->main, command, CALL_BUDGET_MS, fn, tasks);
}

static void free_at_last(struct dispatcher *dispatcher)
{
    struct loop *loop = dispatcher->queue->loop;

    list_remove(&dispatcher->part.link);
    list_each_safe (at, &dispatcher->tasks) {
        list_remove(at);
        loop_free_later(loop, free, LIST_MEMBER(at, struct tasks, link));
    }
    loop_free_later(loop, free, dispatcher);
}

/* Begins each callback of the main link. False: nobody is interested. */
static bool is_wanted(struct tasks *tasks)
{
    struct dispatcher *dispatcher = tasks->dispatcher;
    bool ended = dispatcher->ended;

    dispatcher->calls--;
    if (ended && dispatcher->calls == 0)
        free_at_last(dispatcher);
    return !ended;
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
    command_init_partition(&command, tasks->queue, SCRIPT_PROJECT,
                           tasks->partition);
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
    if (is_answer(reply, why)) {
        tasks->hungry = true;
        tasks->news = tasks->news || reply_int(reply_at(reply, 1)) > 0;
        if (owner.len > 0)
            project(tasks, owner);
    }
    run_soon(tasks);
}

static void fan_out(struct tasks *tasks)
{
    struct redis_command command;

    tasks->fanning = true;
    tasks->news = false; /* but for a token that comes from now on */
    command_init_partition(&command, tasks->queue, SCRIPT_FANOUT,
                           tasks->partition);
    command_add(&command, buf_str(&tasks->dispatcher->defaults));
    command_add_int(&command, EVENTS_A_CALL);
    COMMAND_SENT_POINT(&command, "fanout.sent");
    send(tasks, &command, on_fanned_out);
}

/* --- turns --- */

static size_t room(const struct tasks *tasks)
{
    const struct dispatcher *dispatcher = tasks->dispatcher;
    size_t room;
    size_t asked = 0;

    if (dispatcher->stopping)
        return 0;
    room = dispatcher->hooks->room(dispatcher->hooks->ctx);
    list_each (at, &dispatcher->tasks) {
        const struct tasks *other = LIST_MEMBER(at, struct tasks, link);

        if (other != tasks && other->turning)
            asked += other->wanted;
    }
    room = room > asked ? room - asked : 0;
    return room < CLAIMS_A_TURN ? room : CLAIMS_A_TURN;
}

static void run_all(struct dispatcher *dispatcher)
{
    list_each (at, &dispatcher->tasks)
        run_soon(LIST_MEMBER(at, struct tasks, link));
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
    if (clock_now_ms() - tasks->dispatcher->key_told_ms < KEY_PAUSE_MS)
        return;
    tasks->dispatcher->key_told_ms = clock_now_ms();
    log_write(LOG_ERROR, LOG_WEBHOOK_KEY_MISSING,
              log_cstr("keyring", tasks->queue->config->secrets.keyring_file));
}

static void take_claim(struct tasks *tasks, const struct reply *claim)
{
    struct held *held = held_create(claim, tasks->queue->keyring);

    held->tasks = tasks;
    list_add_last(&tasks->held, &held->link);
    if (held->result == HELD_READY) {
        tasks->dispatcher->hooks->claimed(tasks->dispatcher->hooks->ctx,
                                          &held->task);
    } else if (held->result == HELD_LATER) {
        tell_missing_key(tasks);
        report(tasks, held, TASK_UNSENT, clock_shared_ms() + KEY_PAUSE_MS,
               NULL);
    } else {
        report(tasks, held, TASK_LOST, 0,
               &(struct task_detail){
                   .error = S("the event or its email cannot be read"),
                   .sent_ms = clock_shared_ms()});
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

static void tell_backlog(const struct dispatcher *dispatcher)
{
    int64_t backlog = 0;

    list_each (at, &dispatcher->tasks)
        backlog += LIST_MEMBER(at, struct tasks, link)->backlog;
    series_set(metrics_series(METRIC_WEBHOOK_BACKLOG, NULL), backlog);
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
    tasks->backlog = reply_int(reply_at(reply, BACKLOG));
    tell_backlog(tasks->dispatcher);
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
        if (tasks->registered && reply_is_lost(reply, why))
            begin(tasks);
    } else if (reply_count(reply) < CLAIMS) {
        untell(tasks);
        begin(tasks); /* our lease ran out: some of it may be with others */
    } else {
        take_turn(tasks, reply);
    }
    run_all(tasks->dispatcher); /* there is room for others */
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
    command_init_partition(&command, tasks->queue, SCRIPT_TASK_TURN,
                           tasks->partition);
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

static void on_token(void *ctx)
{
    struct tasks *tasks = ctx;
    struct wake *wake = tasks->wake;

    if (wake_has_token(wake, tasks->wake_place, 0)) {
        wake_drop_token(wake, tasks->wake_place, 0);
        tasks->news = tasks->hungry = true;
    }
    run_soon(tasks);
}

static void wait_for_token(struct tasks *tasks, bool wanted)
{
    wake_want(tasks->wake, tasks->wake_place, 0, wanted);
    if (wanted)
        wake_arm(tasks->wake);
}

/* --- one step --- */

static bool is_empty_handed(const struct tasks *tasks)
{
    return list_is_empty(&tasks->held) && list_is_empty(&tasks->reported) &&
           list_is_empty(&tasks->told);
}

static bool is_done(const struct tasks *tasks)
{
    if (tasks->registered && !tasks->left)
        return false;
    return !tasks->turning && list_is_empty(&tasks->held);
}

static void look(void *ctx)
{
    struct dispatcher *dispatcher = ctx;
    void (*drained)(void *ctx) = dispatcher->drained;

    list_each (at, &dispatcher->tasks)
        if (!is_done(LIST_MEMBER(at, struct tasks, link)))
            return;
    dispatcher->drained = NULL;
    if (drained != NULL)
        drained(dispatcher->drained_ctx);
}

/* Reports that Redis does not take are lost with us: the lease gives the
 * tasks back, and they are sent once more. */
static void stop(struct tasks *tasks)
{
    if (tasks->registered && !tasks->left && is_empty_handed(tasks) &&
        !tasks->turning)
        take_a_turn(tasks, true);
    look(tasks->dispatcher);
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
        !tasks->dispatcher->stopping)
        fan_out(tasks);
    if (wants_turn(tasks, has_room))
        take_a_turn(tasks, false);
    wait_for_token(tasks, has_room && !tasks->turning && !tasks->fanning &&
                              !tasks->projecting);
}

static void on_run(void *ctx)
{
    struct tasks *tasks = ctx;

    if (tasks->registered && !tasks->left)
        step(tasks);
    if (tasks->dispatcher->stopping)
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
    if (!tasks->registered && partition_is_up(tasks->queue, tasks->partition))
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
    tasks->next_epoch[0] = '\0';
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

/* A fresh epoch: a turn that is still on its way over the lost connection
 * belongs to the old one and is refused. But the answer of an earlier register
 * may have been lost, and then its epoch owns what is in our hand, so the same
 * one is asked for until it is confirmed: another would leave the tasks with
 * an owner who lets their lease end; given back, they would be sent, and
 * counted, twice. */
static void begin(struct tasks *tasks)
{
    struct redis_command command;

    if (tasks->registering)
        return;
    tasks->registered = false;
    tasks->registering = true;
    if (tasks->next_epoch[0] == '\0')
        child_name_epoch(&tasks->dispatcher->name, tasks->next_epoch);
    command_init_partition(&command, tasks->queue, SCRIPT_TASK_REGISTER,
                           tasks->partition);
    command_add_cstr(&command, tasks->next_epoch);
    command_add_cstr(&command, tasks->epoch);
    command_add_int(&command, tasks->queue->config->worker.lease_ms);
    add_names(&tasks->held, &command);
    add_names(&tasks->reported, &command);
    add_names(&tasks->told, &command);
    COMMAND_SENT_POINT(&command, "task_register.sent");
    send(tasks, &command, on_registered);
}

/* --- partitions --- */

static struct wake *open_wake(struct queue *queue)
{
    static const struct str name = STR(KEY_HOOKS_WAKE);

    return wake_open(queue, &name, 1, on_token);
}

static struct tasks *tasks_open(struct dispatcher *dispatcher,
                                unsigned partition)
{
    struct tasks *tasks = xcalloc(1, sizeof *tasks);

    tasks->dispatcher = dispatcher;
    tasks->queue = dispatcher->queue;
    tasks->partition = partition;
    list_init(&tasks->held);
    list_init(&tasks->reported);
    list_init(&tasks->told);
    task_init(&tasks->run, on_run, tasks);
    timer_init(&tasks->due, on_due, tasks);
    timer_init(&tasks->beat, on_beat, tasks);
    timer_set(tasks->queue->loop, &tasks->beat,
              tasks->queue->config->worker.lease_ms / BEATS_A_LEASE);
    if (dispatcher->wake == NULL)
        tasks->own_wake = open_wake(tasks->queue);
    tasks->wake = tasks->own_wake != NULL ? tasks->own_wake : dispatcher->wake;
    tasks->wake_place = wake_join(tasks->wake, partition, tasks);
    list_add_last(&dispatcher->tasks, &tasks->link);
    return tasks;
}

static struct tasks *tasks_of(const struct dispatcher *dispatcher,
                              unsigned partition)
{
    list_each (at, &dispatcher->tasks) {
        struct tasks *tasks = LIST_MEMBER(at, struct tasks, link);

        if (tasks->partition == partition)
            return tasks;
    }
    return NULL;
}

static void on_partition_changed(void *ctx, unsigned partition, bool up)
{
    struct dispatcher *dispatcher = ctx;
    struct tasks *tasks = tasks_of(dispatcher, partition);

    if (dispatcher->ended)
        return;
    if (tasks == NULL && up && !dispatcher->stopping)
        tasks = tasks_open(dispatcher, partition);
    if (tasks == NULL)
        return;
    tasks->registered = false;
    if (up)
        begin(tasks);
    else
        run_soon(tasks); /* a child that stops need not wait */
}

/* --- the door --- */

static void tasks_end(struct tasks *tasks)
{
    struct loop *loop = tasks->queue->loop;

    task_cancel(&tasks->run);
    timer_clear(loop, &tasks->beat);
    timer_clear(loop, &tasks->due);
    wake_close(&tasks->own_wake);
    drop_list(&tasks->held);
    drop_list(&tasks->reported);
    drop_list(&tasks->told);
}

static void end(struct dispatcher *dispatcher)
{
    dispatcher->ended = true;
    task_cancel(&dispatcher->look);
    list_each (at, &dispatcher->tasks)
        tasks_end(LIST_MEMBER(at, struct tasks, link));
    wake_close(&dispatcher->wake);
    buf_finish(&dispatcher->defaults);
    dispatcher->queue->dispatcher = NULL;
}

/* The links close with the queue: no answer comes any more. */
static void on_close(void *ctx)
{
    struct dispatcher *dispatcher = ctx;

    if (!dispatcher->ended)
        end(dispatcher);
    free_at_last(dispatcher);
}

void queue_hooks_end(struct queue *queue)
{
    struct dispatcher *dispatcher = queue->dispatcher;

    if (dispatcher == NULL)
        return;
    end(dispatcher);
    if (dispatcher->calls == 0)
        free_at_last(dispatcher);
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
    struct dispatcher *dispatcher = xcalloc(1, sizeof *dispatcher);

    CHECK(queue->dispatcher == NULL);
    queue->dispatcher = dispatcher;
    dispatcher->queue = queue;
    dispatcher->hooks = hooks;
    child_name_make(&dispatcher->name);
    dispatcher->key_told_ms = clock_now_ms() - KEY_PAUSE_MS;
    list_init(&dispatcher->tasks);
    list_defaults(&dispatcher->defaults);
    task_init(&dispatcher->look, look, dispatcher);
    if (!redis_link_is_cluster(queue->main))
        dispatcher->wake = open_wake(queue);
    dispatcher->part = (struct queue_part){
        .partition_changed = on_partition_changed,
        .close = on_close,
        .ctx = dispatcher,
    };
    queue_part_add(queue, &dispatcher->part);
    sweep_start(queue);
}

struct str dispatcher_child(const struct dispatcher *dispatcher)
{
    return str_of(dispatcher->name.text);
}

void queue_hooks_hungry(struct queue *queue)
{
    run_all(queue->dispatcher);
}

void queue_task_report(const struct queue *queue, struct queue_task *task,
                       enum task_outcome outcome, int64_t retry_at_ms,
                       const struct task_detail *detail)
{
    struct held *held = CONTAINER_OF(task, struct held, task);

    CHECK(held->tasks->queue == queue);
    report(held->tasks, held, outcome, retry_at_ms, detail);
}

void queue_hooks_stop(struct queue *queue, void (*drained)(void *ctx),
                      void *ctx)
{
    struct dispatcher *dispatcher = queue->dispatcher;

    dispatcher->stopping = true;
    dispatcher->drained = drained;
    dispatcher->drained_ctx = ctx;
    run_all(dispatcher);
    task_run_soon(queue->loop, &dispatcher->look);
}
