#include "server/io/work.h"

#include "stream_probe.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    loop = loop_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

struct sum {
    struct work_job job;
    unsigned upto;
    unsigned long value;
    pthread_t ran_on;
    bool signals_blocked;
    unsigned done;
    struct work **work; /* closed in done, if set */
};

static void sum_run(void *ctx)
{
    struct sum *sum = ctx;
    sigset_t mask;

    sum->value = 0;
    for (unsigned i = 1; i <= sum->upto; i++)
        sum->value += i;
    sum->ran_on = pthread_self();
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    sum->signals_blocked =
        sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGCHLD) == 1;
}

static void sum_done(void *ctx)
{
    struct sum *sum = ctx;

    sum->done++;
    assert_false(pthread_equal(sum->ran_on, pthread_self()));
    if (sum->work != NULL)
        work_close(sum->work);
}

static void sum_init(struct sum *sum, unsigned upto)
{
    *sum = (struct sum){.upto = upto};
    work_job_init(&sum->job, sum_run, sum_done, sum);
}

static void jobs_run_elsewhere_and_are_told_here(void **state)
{
    struct work *work = work_open(loop, 2, 64);
    struct sum sums[64];
    unsigned done = 0;
    sigset_t mask;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(sums); i++) {
        sum_init(&sums[i], i * 1000);
        assert_true(work_submit(work, &sums[i].job));
    }
    while (done < COUNT_OF(sums)) {
        loop_turn(loop, 10000);
        done = 0;
        for (unsigned i = 0; i < COUNT_OF(sums); i++)
            done += sums[i].done;
    }
    for (unsigned i = 0; i < COUNT_OF(sums); i++) {
        assert_int_equal(sums[i].value, i * 1000UL * (i * 1000 + 1) / 2);
        assert_int_equal(sums[i].done, 1);
        assert_true(sums[i].signals_blocked);
    }
    assert_true(work_submit(work, &sums[0].job)); /* once more */
    turn_until(loop, sums[0].done == 2);
    work_close(&work);
    work_close(&work);
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM)); /* ours are open still */
}

/* A job that runs until the test opens the gate. */
struct gate {
    struct work_job job;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool entered;
    bool open;
    unsigned done;
};

static void gate_run(void *ctx)
{
    struct gate *gate = ctx;

    pthread_mutex_lock(&gate->lock);
    gate->entered = true;
    pthread_cond_signal(&gate->moved);
    while (!gate->open)
        pthread_cond_wait(&gate->moved, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_done(void *ctx)
{
    struct gate *gate = ctx;

    gate->done++;
}

static void gate_submit(struct gate *gate, struct work *work)
{
    *gate = (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER,
                          .moved = PTHREAD_COND_INITIALIZER};
    work_job_init(&gate->job, gate_run, gate_done, gate);
    assert_true(work_submit(work, &gate->job));
    pthread_mutex_lock(&gate->lock);
    while (!gate->entered)
        pthread_cond_wait(&gate->moved, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_signal(&gate->moved);
    pthread_mutex_unlock(&gate->lock);
}

static void a_full_queue_refuses(void **state)
{
    struct work *work = work_open(loop, 1, 2);
    struct gate gate;
    struct sum sums[2];

    (void)state;
    gate_submit(&gate, work);
    sum_init(&sums[0], 1);
    sum_init(&sums[1], 1);
    assert_true(work_submit(work, &sums[0].job));
    assert_false(work_submit(work, &sums[1].job));
    gate_open(&gate);
    turn_until(loop, sums[0].done == 1);
    assert_int_equal(gate.done, 1);
    assert_true(work_submit(work, &sums[1].job));
    turn_until(loop, sums[1].done == 1);
    work_close(&work);
}

static void close_waits_for_what_runs_and_drops_the_rest(void **state)
{
    struct work *work = work_open(loop, 1, 2);
    struct gate gate;
    struct sum sum;

    (void)state;
    gate_submit(&gate, work);
    sum_init(&sum, 1);
    assert_true(work_submit(work, &sum.job));
    gate_open(&gate);
    work_close(&work);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_int_equal(gate.done, 0);
    assert_int_equal(sum.done, 0);
    assert_true(list_is_empty(&sum.job.link)); /* may be used again */
}

static void closed_by_its_own_callback(void **state)
{
    struct work *work = work_open(loop, 1, 8);
    struct sum sums[4];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(sums); i++) {
        sum_init(&sums[i], 1);
        sums[i].work = &work;
        assert_true(work_submit(work, &sums[i].job));
    }
    turn_until(loop, *sums[0].work == NULL);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_int_equal(sums[0].done, 1);
    assert_int_equal(sums[1].done + sums[2].done + sums[3].done, 0);
}

/* Each caller has another way. */
static void without_a_descriptor_there_is_none(void **state)
{
    struct rlimit before;
    struct rlimit none;
    struct work *work;
    struct sum sum;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    work = work_open(loop, 1, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(work);
    sum_init(&sum, 1);
    assert_false(work_submit(work, &sum.job));
}

/* No system has room for a stack of that size. */
static void nor_without_a_thread(void **state)
{
    pthread_attr_t usual;
    pthread_attr_t vast;
    struct work *work;

    (void)state;
    assert_int_equal(pthread_getattr_default_np(&usual), 0);
    assert_int_equal(pthread_attr_init(&vast), 0);
    assert_int_equal(pthread_attr_setstacksize(&vast, (size_t)1 << 47), 0);
    assert_int_equal(pthread_setattr_default_np(&vast), 0);
    work = work_open(loop, 2, 1);
    assert_int_equal(pthread_setattr_default_np(&usual), 0);
    assert_null(work);
    pthread_attr_destroy(&vast);
    pthread_attr_destroy(&usual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(jobs_run_elsewhere_and_are_told_here),
        TEST(a_full_queue_refuses),
        TEST(close_waits_for_what_runs_and_drops_the_rest),
        TEST(closed_by_its_own_callback),
        TEST(without_a_descriptor_there_is_none),
        TEST(nor_without_a_thread),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
