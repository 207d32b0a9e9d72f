#include "server/io/loop.h"

#include "server/base/clock.h"

#include "check_cmocka.h"

#include <signal.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static char trace[64];

static void note(char c)
{
    size_t len = strlen(trace);

    assert_true(len + 1 < sizeof trace);
    trace[len] = c;
    trace[len + 1] = '\0';
}

static void note_first(void *ctx)
{
    note(*(const char *)ctx);
}

static int setup(void **state)
{
    trace[0] = '\0';
    clock_set(1000, 1000000);
    *state = loop_create();
    return 0;
}

static int teardown(void **state)
{
    struct loop *loop = *state;

    loop_destroy(&loop);
    clock_set(-1, -1);
    return 0;
}

static void timers_fire_in_order_of_time(void **state)
{
    struct loop *loop = *state;
    struct timer timers[5];
    static char names[] = "abcde";
    static const int64_t delays[] = {50, 10, 40, 20, 30};

    for (size_t i = 0; i < 5; i++) {
        timer_init(&timers[i], note_first, &names[i]);
        timer_set(loop, &timers[i], delays[i]);
    }
    timer_clear(loop, &timers[2]);
    timer_set(loop, &timers[0], 5); /* moves */
    loop_turn(loop, 0);
    assert_string_equal(trace, "");
    clock_set(1030, 1000030);
    loop_turn(loop, 0);
    assert_string_equal(trace, "abde");
    assert_false(timer_is_set(&timers[0]));
}

static void a_moved_clock_wakes_a_waiting_loop(void **state)
{
    struct loop *loop = *state;
    struct timer timer;

    timer_init(&timer, note_first, (char[]){'t', 0});
    timer_set(loop, &timer, 60000);
    loop_turn(loop, 0); /* armed for a minute from now */
    clock_set(62000, 1061000);
    loop_turn(loop, -1);
    assert_string_equal(trace, "t");
}

static void a_task_runs_once_however_often_asked(void **state)
{
    struct loop *loop = *state;
    struct task task;

    task_init(&task, note_first, (char[]){'t', 0});
    task_run_soon(loop, &task);
    task_run_soon(loop, &task);
    loop_turn(loop, -1);
    loop_turn(loop, 0);
    assert_string_equal(trace, "t");
}

static void note_events(void *ctx, int events)
{
    (void)ctx;
    note((char)('0' + events));
}

static void a_watch_tells_what_is_ready(void **state)
{
    struct loop *loop = *state;
    struct watch *watch;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    watch = watch_open(loop, ends[0], note_events, NULL);
    watch_set(watch, WATCH_READ);
    loop_turn(loop, 0);
    assert_string_equal(trace, "");
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_turn(loop, 1000);
    assert_string_equal(trace, "1");
    watch_set(watch, 0);
    loop_turn(loop, 0);
    assert_string_equal(trace, "1");
    watch_close(&watch);
    assert_null(watch);
    close(ends[0]);
    close(ends[1]);
}

static int64_t seen_ms;

static void see_clock(void *ctx, int events)
{
    (void)events;
    seen_ms = clock_now_ms();
    watch_set(*(struct watch **)ctx, 0);
}

static int64_t true_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Else a timer that it sets fires too early, by as long as the loop slept. */
static void what_woke_a_loop_sees_the_time(void **state)
{
    enum { SLEEP_MS = 200 };
    struct loop *loop = *state;
    struct itimerspec when = {.it_value.tv_nsec = SLEEP_MS * 1000000L};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct watch *watch;
    int64_t began_ms;

    clock_set(-1, -1);
    watch = watch_open(loop, fd, see_clock, &watch);
    watch_set(watch, WATCH_READ);
    began_ms = true_ms();
    assert_int_equal(timerfd_settime(fd, 0, &when, NULL), 0);
    loop_turn(loop, 10000);
    assert_true(seen_ms >= began_ms + SLEEP_MS - 1);
    watch_close(&watch);
    close(fd);
}

static void note_signal(void *ctx, int number)
{
    (void)ctx;
    note(number == SIGUSR1 ? 's' : '?');
}

static void a_signal_is_an_event(void **state)
{
    struct loop *loop = *state;
    struct signal_watch *watch;

    watch = signal_watch_open(loop, SIGUSR1, note_signal, NULL);
    raise(SIGUSR1);
    loop_turn(loop, 1000);
    assert_string_equal(trace, "s");
    signal_watch_close(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_order_of_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_moved_clock_wakes_a_waiting_loop,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_task_runs_once_however_often_asked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_tells_what_is_ready, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_woke_a_loop_sees_the_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_signal_is_an_event, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
