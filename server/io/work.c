#include "server/io/work.h"

#include "server/base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct work {
    struct loop *loop;
    struct watch *watch;
    int event_fd; /* readable when finished gained its first job */
    size_t waiting;
    size_t waiting_max;
    struct list told; /* taken from finished, done not yet called */
    unsigned thread_count;
    pthread_t *threads;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct list queued;
    struct list finished;
    bool stopping;
};

void work_job_init(struct work_job *job, void (*run)(void *ctx),
                   void (*done)(void *ctx), void *ctx)
{
    *job = (struct work_job){.run = run, .done = done, .ctx = ctx};
    list_init(&job->link);
}

static void lock(struct work *work)
{
    CHECK(pthread_mutex_lock(&work->lock) == 0);
}

static void unlock(struct work *work)
{
    CHECK(pthread_mutex_unlock(&work->lock) == 0);
}

/* On a helper thread: the next job, or NULL when it is time to go. */
static struct work_job *take(struct work *work)
{
    struct work_job *job = NULL;

    lock(work);
    while (!work->stopping && list_is_empty(&work->queued))
        CHECK(pthread_cond_wait(&work->wake, &work->lock) == 0);
    if (!work->stopping) {
        job = LIST_MEMBER(work->queued.next, struct work_job, link);
        list_remove(&job->link);
    }
    unlock(work);
    return job;
}

static void give_back(struct work *work, struct work_job *job)
{
    bool first;

    lock(work);
    first = list_is_empty(&work->finished);
    list_add_last(&work->finished, &job->link);
    unlock(work);
    if (first)
        CHECK(eventfd_write(work->event_fd, 1) == 0);
}

static void *help(void *ctx)
{
    struct work *work = ctx;
    struct work_job *job;

    while ((job = take(work)) != NULL) {
        job->run(job->ctx);
        give_back(work, job);
    }
    return NULL;
}

static void list_move_all(struct list *from, struct list *to)
{
    struct list *link;

    while (!list_is_empty(from)) {
        link = from->next;
        list_remove(link);
        list_add_last(to, link);
    }
}

/* A done may submit again, or close the pool, which empties told. */
static void on_finished(void *ctx, int events)
{
    struct work *work = ctx;
    struct work_job *job;
    eventfd_t count;

    (void)events;
    CHECK(eventfd_read(work->event_fd, &count) == 0 || errno == EAGAIN);
    lock(work);
    list_move_all(&work->finished, &work->told);
    unlock(work);
    while ((job = LIST_FIRST(&work->told, struct work_job, link)) != NULL) {
        list_remove(&job->link);
        work->waiting--;
        job->done(job->ctx);
    }
}

/* As many as there are to be had. Threads inherit the mask: signals are the
 * loop's. */
static void threads_start(struct work *work, unsigned wanted)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    while (work->thread_count < wanted &&
           pthread_create(&work->threads[work->thread_count], NULL, help,
                          work) == 0)
        work->thread_count++;
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

struct work *work_open(struct loop *loop, unsigned threads, size_t waiting_max)
{
    int event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct work *work;

    CHECK(threads > 0 && waiting_max > 0);
    if (event_fd == -1)
        return NULL;
    work = xcalloc(1, sizeof *work);
    work->loop = loop;
    work->waiting_max = waiting_max;
    work->threads = xcalloc(threads, sizeof *work->threads);
    work->event_fd = event_fd;
    list_init(&work->told);
    list_init(&work->queued);
    list_init(&work->finished);
    CHECK(pthread_mutex_init(&work->lock, NULL) == 0);
    CHECK(pthread_cond_init(&work->wake, NULL) == 0);
    work->watch = watch_open(loop, work->event_fd, on_finished, work);
    watch_set(work->watch, WATCH_READ);
    threads_start(work, threads);
    if (work->thread_count == 0)
        work_close(&work);
    return work;
}

bool work_submit(struct work *work, struct work_job *job)
{
    CHECK(list_is_empty(&job->link));
    if (work == NULL || work->waiting == work->waiting_max)
        return false;
    work->waiting++;
    lock(work);
    list_add_last(&work->queued, &job->link);
    CHECK(pthread_cond_signal(&work->wake) == 0);
    unlock(work);
    return true;
}

static void threads_join(struct work *work)
{
    lock(work);
    work->stopping = true;
    CHECK(pthread_cond_broadcast(&work->wake) == 0);
    unlock(work);
    for (unsigned i = 0; i < work->thread_count; i++)
        CHECK(pthread_join(work->threads[i], NULL) == 0);
}

static void list_release(struct list *list)
{
    while (!list_is_empty(list))
        list_remove(list->next);
}

void work_close(struct work **handle)
{
    struct work *work = *handle;

    if (work == NULL)
        return;
    *handle = NULL;
    threads_join(work);
    list_release(&work->queued);
    list_release(&work->finished);
    list_release(&work->told);
    watch_close(&work->watch);
    close(work->event_fd);
    pthread_cond_destroy(&work->wake);
    pthread_mutex_destroy(&work->lock);
    free(work->threads);
    loop_free_later(work->loop, free, work);
}
