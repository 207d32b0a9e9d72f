#include "server/io/loop.h"

#include "server/base/clock.h"
#include "server/base/mem.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* The order of a turn: libevent sleeps and runs what is ready (fds, timers),
 * then tasks run until none is left, then the dead are freed. */
struct dead {
    struct dead *next;
    void (*free_fn)(void *);
    void *ptr;
};

struct loop {
    struct event_base *base;
    struct event *timer_event; /* one for the whole heap */
    struct timer **heap;       /* from index 1 */
    size_t timers;
    size_t heap_size;
    int64_t armed_ms; /* when timer_event fires; 0: not armed */
    struct list tasks;
    struct dead *dead;
    bool clock_is_old; /* it may have slept since the clock was read */
    bool stopping;
};

struct watch {
    struct loop *loop;
    struct event *read;
    struct event *write;
    watch_fn fn;
    void *ctx;
    int events;
};

struct signal_watch {
    struct watch *watch;
    int fd;
    signal_fn fn;
    void *ctx;
};

static void heap_put(struct loop *loop, size_t place, struct timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place;
}

static void heap_up(struct loop *loop, size_t place)
{
    struct timer *timer = loop->heap[place];

    while (place > 1 && loop->heap[place / 2]->at_ms > timer->at_ms) {
        heap_put(loop, place, loop->heap[place / 2]);
        place /= 2;
    }
    heap_put(loop, place, timer);
}

static void heap_down(struct loop *loop, size_t place)
{
    struct timer *timer = loop->heap[place];
    size_t child;

    while ((child = place * 2) <= loop->timers) {
        if (child < loop->timers &&
            loop->heap[child + 1]->at_ms < loop->heap[child]->at_ms)
            child++;
        if (loop->heap[child]->at_ms >= timer->at_ms)
            break;
        heap_put(loop, place, loop->heap[child]);
        place = child;
    }
    heap_put(loop, place, timer);
}

static void heap_remove(struct loop *loop, struct timer *timer)
{
    size_t place = timer->place;
    struct timer *last = loop->heap[loop->timers--];

    timer->place = 0;
    if (last == timer)
        return;
    heap_put(loop, place, last);
    heap_up(loop, place);
    heap_down(loop, last->place);
}

static void timers_arm(struct loop *loop)
{
    int64_t at_ms = loop->timers == 0 ? 0 : loop->heap[1]->at_ms;
    int64_t wait_ms = at_ms - clock_now_ms();
    struct timeval wait;

    /* One that is due is armed again: a test may have moved the clock. */
    if (at_ms == loop->armed_ms && (at_ms == 0 || wait_ms > 0))
        return;
    loop->armed_ms = at_ms;
    if (at_ms == 0) {
        event_del(loop->timer_event);
        return;
    }
    if (wait_ms < 0)
        wait_ms = 0;
    wait.tv_sec = wait_ms / 1000;
    wait.tv_usec = wait_ms % 1000 * 1000;
    event_add(loop->timer_event, &wait);
}

static void timers_fire(struct loop *loop)
{
    int64_t now_ms = clock_now_ms();
    struct timer *timer;

    while (loop->timers > 0 && loop->heap[1]->at_ms <= now_ms) {
        timer = loop->heap[1];
        heap_remove(loop, timer);
        timer->fn(timer->ctx);
    }
}

static void on_timer_event(evutil_socket_t fd, short what, void *ctx)
{
    struct loop *loop = ctx;

    (void)fd;
    (void)what;
    loop->armed_ms = 0; /* loop_turn fires what is due */
}

struct loop *loop_create(void)
{
    struct loop *loop = xcalloc(1, sizeof *loop);

    loop->base = event_base_new();
    CHECK(loop->base != NULL);
    loop->timer_event = evtimer_new(loop->base, on_timer_event, loop);
    CHECK(loop->timer_event != NULL);
    list_init(&loop->tasks);
    return loop;
}

static void dead_free(struct loop *loop)
{
    struct dead *dead;

    while ((dead = loop->dead) != NULL) {
        loop->dead = dead->next;
        dead->free_fn(dead->ptr);
        free(dead);
    }
}

void loop_destroy(struct loop **loop)
{
    if (*loop == NULL)
        return;
    dead_free(*loop);
    event_free((*loop)->timer_event);
    event_base_free((*loop)->base);
    free((*loop)->heap);
    free(*loop);
    *loop = NULL;
}

static void tasks_run(struct loop *loop)
{
    struct task *task;

    while ((task = LIST_FIRST(&loop->tasks, struct task, link)) != NULL) {
        list_remove(&task->link);
        task->fn(task->ctx);
    }
}

static void turn(struct loop *loop, int flags)
{
    clock_tick();
    timers_arm(loop);
    loop->clock_is_old = true;
    event_base_loop(loop->base, EVLOOP_ONCE | flags);
    clock_tick();
    timers_fire(loop);
    tasks_run(loop);
    dead_free(loop);
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    while (!loop->stopping)
        turn(loop, list_is_empty(&loop->tasks) ? EVLOOP_NO_EXIT_ON_EMPTY
                                               : EVLOOP_NONBLOCK);
}

static void wake(void *ctx)
{
    (void)ctx;
}

void loop_turn(struct loop *loop, int64_t wait_ms)
{
    struct timer limit;

    if (wait_ms == 0 || !list_is_empty(&loop->tasks)) {
        turn(loop, EVLOOP_NONBLOCK);
        return;
    }
    timer_init(&limit, wake, NULL);
    if (wait_ms > 0) {
        clock_tick();
        timer_set(loop, &limit, wait_ms);
    }
    turn(loop, EVLOOP_NO_EXIT_ON_EMPTY);
    timer_clear(loop, &limit);
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    event_base_loopbreak(loop->base);
}

void timer_init(struct timer *timer, timer_fn fn, void *ctx)
{
    *timer = (struct timer){.fn = fn, .ctx = ctx};
}

void timer_set(struct loop *loop, struct timer *timer, int64_t delay_ms)
{
    timer_set_at(loop, timer, clock_now_ms() + delay_ms);
}

void timer_set_at(struct loop *loop, struct timer *timer, int64_t at_ms)
{
    timer_clear(loop, timer);
    if (loop->timers + 2 > loop->heap_size) {
        loop->heap_size = loop->heap_size == 0 ? 64 : loop->heap_size * 2;
        loop->heap = xrealloc(loop->heap, loop->heap_size * sizeof *loop->heap);
    }
    timer->at_ms = at_ms;
    loop->timers++;
    heap_put(loop, loop->timers, timer);
    heap_up(loop, loop->timers);
}

void timer_clear(struct loop *loop, struct timer *timer)
{
    if (timer->place != 0)
        heap_remove(loop, timer);
}

bool timer_is_set(const struct timer *timer)
{
    return timer->place != 0;
}

static void on_watch(evutil_socket_t fd, short what, void *ctx)
{
    struct watch *watch = ctx;
    int events = ((what & EV_READ) ? WATCH_READ : 0) |
                 ((what & EV_WRITE) ? WATCH_WRITE : 0);

    (void)fd;
    if (watch->loop->clock_is_old) {
        watch->loop->clock_is_old = false;
        clock_tick();
    }
    events &= watch->events; /* an earlier callback may have changed it */
    if (events != 0)
        watch->fn(watch->ctx, events);
}

struct watch *watch_open(struct loop *loop, int fd, watch_fn fn, void *ctx)
{
    struct watch *watch = xcalloc(1, sizeof *watch);

    watch->loop = loop;
    watch->fn = fn;
    watch->ctx = ctx;
    watch->read =
        event_new(loop->base, fd, EV_READ | EV_PERSIST, on_watch, watch);
    watch->write =
        event_new(loop->base, fd, EV_WRITE | EV_PERSIST, on_watch, watch);
    CHECK(watch->read != NULL && watch->write != NULL);
    return watch;
}

void watch_set(struct watch *watch, int events)
{
    int changed = watch->events ^ events;

    if (changed & WATCH_READ)
        CHECK((events & WATCH_READ ? event_add(watch->read, NULL)
                                   : event_del(watch->read)) == 0);
    if (changed & WATCH_WRITE)
        CHECK((events & WATCH_WRITE ? event_add(watch->write, NULL)
                                    : event_del(watch->write)) == 0);
    watch->events = events;
}

void watch_close(struct watch **watch)
{
    struct loop *loop;

    if (*watch == NULL)
        return;
    loop = (*watch)->loop;
    event_free((*watch)->read);
    event_free((*watch)->write);
    (*watch)->events = 0;
    loop_free_later(loop, free, *watch);
    *watch = NULL;
}

static void on_signal(void *ctx, int events)
{
    struct signal_watch *watch = ctx;
    struct signalfd_siginfo info;

    (void)events;
    if (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info)
        watch->fn(watch->ctx, (int)info.ssi_signo);
}

struct signal_watch *signal_watch_open(struct loop *loop, int number,
                                       signal_fn fn, void *ctx)
{
    struct signal_watch *watch = xcalloc(1, sizeof *watch);
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    watch->fn = fn;
    watch->ctx = ctx;
    watch->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(watch->fd >= 0);
    watch->watch = watch_open(loop, watch->fd, on_signal, watch);
    watch_set(watch->watch, WATCH_READ);
    return watch;
}

void signal_watch_close(struct signal_watch **watch)
{
    struct loop *loop;

    if (*watch == NULL)
        return;
    loop = (*watch)->watch->loop;
    watch_close(&(*watch)->watch);
    close((*watch)->fd);
    loop_free_later(loop, free, *watch);
    *watch = NULL;
}

void task_init(struct task *task, task_fn fn, void *ctx)
{
    list_init(&task->link);
    task->fn = fn;
    task->ctx = ctx;
}

void task_run_soon(struct loop *loop, struct task *task)
{
    if (list_is_empty(&task->link))
        list_add_last(&loop->tasks, &task->link);
}

void task_cancel(struct task *task)
{
    list_remove(&task->link);
}

void loop_free_later(struct loop *loop, void (*free_fn)(void *), void *ptr)
{
    struct dead *dead = xmalloc(sizeof *dead);

    *dead = (struct dead){loop->dead, free_fn, ptr};
    loop->dead = dead;
}
