#include "queue/claims_core.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/mem.h"

#include <stdlib.h>

/* The marks of one turn of the loop leave in one call; its answer has their
 * order. */
struct mark_batch {
    struct list link; /* of claims.mark_batches */
    struct claims *claims;
    struct list marks;
    int64_t valid_until_ms;
};

static void mark_answer(struct mark *mark, bool may_go, int64_t valid_until_ms)
{
    struct claim *claim = mark->claim;

    list_remove(&mark->link);
    if (claim != NULL) {
        claim->mark = NULL;
        mark->fn(mark->ctx, may_go, valid_until_ms);
    }
    free(mark);
}

static void marks_refuse(struct list *marks)
{
    struct mark *mark;

    while ((mark = LIST_FIRST(marks, struct mark, link)) != NULL)
        mark_answer(mark, false, 0);
}

static void on_marked(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct mark_batch *batch = ctx;
    struct mark *mark;
    size_t i = 0;

    FAULT_POINT("mark.done");
    list_remove(&batch->link);
    while ((mark = LIST_FIRST(&batch->marks, struct mark, link)) != NULL)
        mark_answer(mark, why == NULL && reply_int(reply_at(reply, i++)) == 1,
                    batch->valid_until_ms);
    free(batch);
}

/* Their claims were reported before anything was sent. */
static void drop_ended(struct claims *claims)
{
    list_each_safe (at, &claims->marks) {
        struct mark *mark = LIST_MEMBER(at, struct mark, link);

        if (mark->claim == NULL)
            mark_answer(mark, false, 0);
    }
}

static void send_marks(struct claims *claims)
{
    struct mark_batch *batch = xcalloc(1, sizeof *batch);
    struct redis_command command;

    batch->claims = claims;
    batch->valid_until_ms = clock_now_ms() + claims_lease_ms(claims) / 2;
    list_init(&batch->marks);
    list_add_last(&claims->mark_batches, &batch->link);
    command_init_partition(&command, claims->queue, SCRIPT_MARK,
                           claims->partition);
    command_add_cstr(&command, claims->epoch);
    command_add_int(&command, claims_lease_ms(claims));
    list_each_safe (at, &claims->marks) {
        struct claim *claim = LIST_MEMBER(at, struct mark, link)->claim;

        command_add_cstr(&command, claim->id);
        command_add_cstr(&command, claim->token);
        list_remove(at);
        list_add_last(&batch->marks, at);
    }
    FAULT_POINT("mark.begun");
    COMMAND_SENT_POINT(&command, "mark.sent");
    redis_send(claims->queue->main, &command, claims_budget_ms(claims),
               on_marked, batch);
}

void claims_on_mark_task(void *ctx)
{
    struct claims *claims = ctx;

    drop_ended(claims);
    if (claims->state != CLAIMS_WORKING)
        marks_refuse(&claims->marks);
    else if (!list_is_empty(&claims->marks))
        send_marks(claims);
}

void queue_mark(struct queue *queue, struct queue_claim *pub,
                queue_mark_fn done, void *ctx)
{
    struct claim *claim = CONTAINER_OF(pub, struct claim, pub);
    struct mark *mark = xcalloc(1, sizeof *mark);

    CHECK(claim->is_told && claim->mark == NULL);
    mark->claim = claim;
    mark->fn = done;
    mark->ctx = ctx;
    claim->mark = mark;
    list_add_last(&claim->claims->marks, &mark->link);
    task_run_soon(queue->loop, &claim->claims->mark_task);
}

void marks_close(struct claims *claims)
{
    marks_refuse(&claims->marks); /* nobody hears it: their claims ended */
    list_each_safe (at, &claims->mark_batches) {
        struct mark_batch *batch = LIST_MEMBER(at, struct mark_batch, link);

        marks_refuse(&batch->marks);
        free(batch);
    }
}
