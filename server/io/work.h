/* work.h - a few helper threads for pure functions.
 *
 * The one exception to "one thread": what costs more than some hundred
 * microseconds (RSA signatures, large JSON bodies) would hold the loop. A job
 * is a function and the memory it works on, lent to the pool until it is
 * done; the thread touches nothing else: no log, no clock, no metrics, no
 * loop. Completion is posted back and told on the loop's thread.
 *
 * The queue is bounded: a refused job is done in place or refused in turn.
 */
#ifndef IO_WORK_H
#define IO_WORK_H

#include "server/base/check.h"
#include "server/base/list.h"
#include "server/io/loop.h"

#include <stdbool.h>
#include <stddef.h>

/* Memory of the caller, untouched by it between work_submit and done; may be
 * submitted again afterwards. */
struct work_job {
    struct list link;
    void (*run)(void *ctx);  /* on a helper thread */
    void (*done)(void *ctx); /* on the loop, exactly once after run */
    void *ctx;
};
void work_job_init(struct work_job *job, void (*run)(void *ctx),
                   void (*done)(void *ctx), void *ctx);

/* After the fork. Signals are blocked in the threads. waiting_max: jobs
 * submitted and not done yet. NULL: the system has no descriptor or no thread
 * for it now; there may be fewer threads than were wanted. */
struct work;
MUST_USE struct work *work_open(struct loop *loop, unsigned threads,
                                size_t waiting_max);

/* False when waiting_max is reached, or work is NULL; nothing was taken. */
MUST_USE bool work_submit(struct work *work, struct work_job *job);

/* Drops the jobs that have not begun, waits for those that run, joins the
 * threads. No done fires from now on: every job and its memory belongs to
 * its submitter again. */
void work_close(struct work **work);

#endif
