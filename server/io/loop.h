/* loop.h - the event loop of a process, with its timers and watched fds.
 *
 * One process, one thread, one loop. A callback fires never inside the call
 * that asked for it. What is closed during a turn leaves its lists at once
 * and is freed when the turn ends (loop_free_later), since an event for it
 * may be under way. The clock is read once a turn (clock.h).
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "server/base/check.h"
#include "server/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_create(void); /* after the fork, in the child itself */
void loop_destroy(struct loop **loop);
void loop_run(struct loop *loop); /* until loop_stop */
void loop_stop(struct loop *loop);
/* One turn: waits up to wait_ms (negative: for ever) for something to do.
 * For tests and for tools that drive the loop themselves. */
void loop_turn(struct loop *loop, int64_t wait_ms);

/* Timers: memory of the caller, zeroed by timer_init. A timer that is set
 * again moves. Fires once, not before its time, in order of time. */
typedef void (*timer_fn)(void *ctx);
struct timer {
    timer_fn fn;
    void *ctx;
    int64_t at_ms; /* monotonic */
    size_t place;  /* in the heap, from 1; 0: not set */
};
void timer_init(struct timer *timer, timer_fn fn, void *ctx);
void timer_set(struct loop *loop, struct timer *timer, int64_t delay_ms);
void timer_set_at(struct loop *loop, struct timer *timer, int64_t at_ms);
void timer_clear(struct loop *loop, struct timer *timer);
bool timer_is_set(const struct timer *timer);

/* File descriptors. The watch does not own the fd. */
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
typedef void (*watch_fn)(void *ctx, int events);
struct watch;
struct watch *watch_open(struct loop *loop, int fd, watch_fn fn, void *ctx);
void watch_set(struct watch *watch, int events); /* 0: rest */
void watch_close(struct watch **watch);

/* Signals, as events of this loop (signalfd, so that a fork leaves no handler
 * behind). The signal stays blocked in this process after the close. */
typedef void (*signal_fn)(void *ctx, int number);
struct signal_watch;
struct signal_watch *signal_watch_open(struct loop *loop, int number,
                                       signal_fn fn, void *ctx);
void signal_watch_close(struct signal_watch **watch);

/* Runs once at the end of this turn, or of the next one when called outside
 * of one; each task at most once however often it is asked for. What a
 * whole turn has gathered leaves in one write that way. */
typedef void (*task_fn)(void *ctx);
struct task {
    struct list link;
    task_fn fn;
    void *ctx;
};
void task_init(struct task *task, task_fn fn, void *ctx);
void task_run_soon(struct loop *loop, struct task *task);
void task_cancel(struct task *task);

/* free_fn(ptr) when the turn ends. */
void loop_free_later(struct loop *loop, void (*free_fn)(void *), void *ptr);

#endif
