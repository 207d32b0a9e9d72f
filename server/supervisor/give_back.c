#include "server/supervisor/give_back.h"

#include "queue/queue.h"
#include "server/base/fault.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <stdlib.h>

enum { AGAIN_MS = 1000 };

/* An epoch whose claims are being given back. */
struct release {
    struct list link; /* of give_back.releases */
    struct give_back *give_back;
    char *epoch;   /* owned */
    char *suspect; /* owned */
};

struct give_back {
    struct loop *loop;
    const struct config *config;
    const char *state_dir;
    struct queue *queue; /* NULL until there is something to tell */
    struct list releases;
    bool journal_is_due;
    bool is_under_way; /* one call at a time */
    struct timer again;
    struct timer lease; /* set: it has not ended what is to be told */
    struct task *done;
};

static void go_on(struct give_back *give_back);

static void on_ready(void *ctx)
{
    go_on(ctx);
}

static void on_again(void *ctx)
{
    struct give_back *give_back = ctx;

    give_back->journal_is_due = true;
    go_on(give_back);
}

static void release_free(struct release *release)
{
    list_remove(&release->link);
    free(release->epoch);
    free(release->suspect);
    free(release);
}

static void on_released(void *ctx, bool ok)
{
    struct release *release = ctx;
    struct give_back *give_back = release->give_back;

    FAULT_POINT("supervisor.released");
    log_write(ok ? LOG_INFO : LOG_WARN, LOG_WORK_RELEASED,
              log_cstr("epoch", release->epoch),
              log_cstr("outcome", ok ? "ok" : "left to the lease"));
    release_free(release);
    give_back->is_under_way = false;
    go_on(give_back);
}

/* Epochs do not wait for a journal that Redis did not take: what they had
 * marked waits for the lease anyway. */
static void on_replayed(void *ctx, bool ok)
{
    struct give_back *give_back = ctx;

    FAULT_POINT("supervisor.replayed");
    if (!ok)
        timer_set(give_back->loop, &give_back->again, AGAIN_MS);
    give_back->is_under_way = false;
    go_on(give_back);
}

static void go_on(struct give_back *give_back)
{
    struct release *release =
        LIST_FIRST(&give_back->releases, struct release, link);

    if (give_back->is_under_way || !queue_is_ready(give_back->queue, NULL))
        return;
    if (give_back->journal_is_due) {
        give_back->is_under_way = true;
        give_back->journal_is_due = false;
        queue_journal_replay(give_back->queue, give_back->state_dir,
                             on_replayed, give_back);
    } else if (release != NULL) {
        give_back->is_under_way = true;
        FAULT_POINT("supervisor.release_begun");
        queue_release(give_back->queue, str_of(release->epoch),
                      str_of(release->suspect), on_released, release);
    } else {
        timer_clear(give_back->loop, &give_back->lease);
        task_run_soon(give_back->loop, give_back->done);
    }
}

static void on_lease_over(void *ctx)
{
    struct give_back *give_back = ctx;

    task_run_soon(give_back->loop, give_back->done);
}

static void begin(struct give_back *give_back)
{
    if (!timer_is_set(&give_back->lease))
        timer_set(give_back->loop, &give_back->lease,
                  give_back->config->worker.lease_ms);
    if (give_back->queue == NULL) {
        give_back->queue = queue_open(give_back->loop, give_back->config, NULL);
        queue_watch_ready(give_back->queue, on_ready, give_back);
    }
    go_on(give_back);
}

static bool is_busy(const struct give_back *give_back)
{
    return give_back->journal_is_due || give_back->is_under_way ||
           !list_is_empty(&give_back->releases);
}

void give_back_died(struct give_back *give_back, struct str epoch,
                    struct str in_hand)
{
    struct release *release;

    if (epoch.len > 0) {
        release = xcalloc(1, sizeof *release);
        release->give_back = give_back;
        release->epoch = xmemdup0(epoch.ptr, epoch.len);
        release->suspect = xmemdup0(in_hand.ptr, in_hand.len);
        list_add_last(&give_back->releases, &release->link);
    }
    if (give_back->state_dir[0] != '\0')
        give_back->journal_is_due = true;
    if (is_busy(give_back))
        begin(give_back);
}

bool give_back_is_awaited(const struct give_back *give_back)
{
    return is_busy(give_back) && timer_is_set(&give_back->lease);
}

struct give_back *give_back_open(struct loop *loop, const struct config *config,
                                 const char *state_dir, struct task *done)
{
    struct give_back *give_back = xcalloc(1, sizeof *give_back);

    give_back->loop = loop;
    give_back->config = config;
    give_back->state_dir = state_dir;
    give_back->done = done;
    list_init(&give_back->releases);
    timer_init(&give_back->again, on_again, give_back);
    timer_init(&give_back->lease, on_lease_over, give_back);
    if (state_dir[0] != '\0' && queue_journal_is_due(state_dir)) {
        give_back->journal_is_due = true;
        begin(give_back);
    }
    return give_back;
}

void give_back_close(struct give_back **ptr)
{
    struct give_back *give_back = *ptr;

    *ptr = NULL;
    if (give_back == NULL)
        return;
    queue_close(&give_back->queue);
    timer_clear(give_back->loop, &give_back->again);
    timer_clear(give_back->loop, &give_back->lease);
    list_each_safe (link, &give_back->releases)
        release_free(LIST_MEMBER(link, struct release, link));
    free(give_back);
}
