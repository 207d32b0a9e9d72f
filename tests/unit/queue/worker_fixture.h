/* worker_fixture.h - a worker that does as it is told. */
#ifndef TESTS_WORKER_FIXTURE_H
#define TESTS_WORKER_FIXTURE_H

#include "mail_fixture.h"

enum { CLAIMS_MAX = 600, ROUTES_MAX = 4 };

static const struct str FIXTURE_ROUTES[ROUTES_MAX] = {STR("main"),
                                                      STR("other")};

struct worker {
    struct queue *queue;
    struct queue_worker side;
    size_t room[LANE_COUNT]; /* of each route; claims held take of it */
    struct queue_claim *claims[CLAIMS_MAX];
    size_t count; /* claims ever told */
    size_t held;
    const char *reroute; /* what reroute answers */
    unsigned drained;
};

static inline size_t worker_room(void *ctx, struct str route, unsigned lane)
{
    struct worker *worker = ctx;

    (void)route;
    return worker->room[lane] > worker->held ? worker->room[lane] - worker->held
                                             : 0;
}

static inline void worker_claimed(void *ctx, struct queue_claim *claim)
{
    struct worker *worker = ctx;

    assert_true(worker->count < CLAIMS_MAX);
    worker->claims[worker->count++] = claim;
    worker->held++;
}

static inline struct str worker_reroute(void *ctx, const struct record *record,
                                        unsigned number)
{
    struct worker *worker = ctx;

    assert_non_null(record->job.mail);
    assert_int_equal(number, 0);
    return str_of(worker->reroute);
}

static inline void worker_init(struct worker *worker, struct queue *queue,
                               size_t room)
{
    *worker = (struct worker){
        .queue = queue,
        .side = {.ctx = worker,
                 .room = worker_room,
                 .claimed = worker_claimed,
                 .reroute = worker_reroute,
                 .routes = FIXTURE_ROUTES,
                 .route_count = 2},
        .reroute = "",
    };
    for (unsigned lane = 0; lane < LANE_COUNT; lane++)
        worker->room[lane] = room;
}

static inline void worker_start(struct worker *worker, struct queue *queue,
                                size_t room)
{
    worker_init(worker, queue, room);
    queue_worker_start(queue, &worker->side);
}

/* Reports claim i. */
static inline void worker_report(struct worker *worker, size_t i,
                                 enum outcome outcome, int64_t retry_at_ms)
{
    static const struct event_detail detail = {
        .code = 250,
        .enhanced_code = STR("2.0.0"),
        .response = STR("2.0.0 \"Ok\""),
        .upstream = STR("main"),
    };

    assert_non_null(worker->claims[i]);
    queue_report(worker->queue, worker->claims[i], outcome, retry_at_ms, false,
                 &detail);
    worker->claims[i] = NULL;
    worker->held--;
}

struct marked {
    unsigned count;
    bool may_go;
    int64_t valid_until_ms;
};

static inline void on_marked(void *ctx, bool may_go, int64_t valid_until_ms)
{
    struct marked *marked = ctx;

    marked->count++;
    marked->may_go = may_go;
    marked->valid_until_ms = valid_until_ms;
}

/* Marks claim i and waits for the answer. */
static inline bool worker_mark(struct world *world, struct worker *worker,
                               size_t i)
{
    struct marked marked = {0};

    queue_mark(worker->queue, worker->claims[i], on_marked, &marked);
    assert_int_equal(marked.count, 0);
    until(world->loop, marked.count > 0);
    return marked.may_go;
}

static inline void on_drained(void *ctx)
{
    ((struct worker *)ctx)->drained++;
}

/* Longer than a test runs: nothing happens by heartbeat. */
enum { NO_HEARTBEAT_MS = 600000 };

static inline int slow_setup(void **state)
{
    fixture.config.worker.lease_ms = NO_HEARTBEAT_MS;
    return world_setup(state);
}

static inline int slow_teardown(void **state)
{
    fixture.config.worker.lease_ms = 10000;
    return world_teardown(state);
}

/* A child waits once its BLPOP is there. */
static inline bool is_blocked(const char *clients)
{
    char want[64];

    snprintf(want, sizeof want, "blocked_clients:%s", clients);
    return strstr(redis_ask("INFO clients"), want) != NULL;
}

#define SLOW_TEST(fn)                                                          \
    cmocka_unit_test_setup_teardown(fn, slow_setup, slow_teardown)

#endif
