#include "tests/bench/lib/deliver.h"

static size_t room(void *ctx, struct str route, unsigned lane)
{
    const struct deliver *deliver = ctx;

    (void)route;
    (void)lane;
    return deliver->plan.room - deliver->held;
}

static void on_marked(void *ctx, bool may_go, int64_t valid_until_ms)
{
    struct queue_claim *claim = ctx;
    struct deliver *deliver = claim->ctx;

    (void)valid_until_ms;
    CHECK(may_go);
    queue_report(deliver->plan.queue, claim, OUTCOME_SENT, 0, false,
                 deliver->plan.detail);
    deliver->held--;
    deliver->done++;
}

static void on_claimed(void *ctx, struct queue_claim *claim)
{
    struct deliver *deliver = ctx;

    claim->ctx = deliver;
    deliver->held++;
    queue_mark(deliver->plan.queue, claim, on_marked, claim);
}

static struct str reroute(void *ctx, const struct record *record,
                          unsigned number)
{
    (void)ctx;
    (void)record;
    (void)number;
    return S("");
}

void deliver_start(struct deliver *deliver, const struct deliver_plan *plan)
{
    static const struct str routes[] = {STR("main")};

    *deliver = (struct deliver){
        .plan = *plan,
        .worker = {.ctx = deliver,
                   .room = room,
                   .claimed = on_claimed,
                   .reroute = reroute,
                   .routes = routes,
                   .route_count = COUNT_OF(routes)},
    };
    queue_worker_start(plan->queue, &deliver->worker);
}
