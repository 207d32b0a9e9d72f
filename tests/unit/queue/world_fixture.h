/* world_fixture.h - a queue on the fixture's Redis, and what it answers. */
#ifndef TESTS_WORLD_FIXTURE_H
#define TESTS_WORLD_FIXTURE_H

#include "redis_fixture.h"

struct world {
    struct loop *loop;
    struct queue *queue;
};

/* Not connected yet. */
static inline struct world *world_open(void)
{
    struct world *world = calloc(1, sizeof *world);

    redis_do("FLUSHALL");
    world->loop = loop_create();
    world->queue = queue_open(world->loop, &fixture.config, NULL);
    return world;
}

static inline struct world *world_create(void)
{
    struct world *world = world_open();

    until(world->loop, queue_is_ready(world->queue, NULL));
    return world;
}

static inline int world_setup(void **state)
{
    *state = world_create();
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;

    queue_close(&world->queue);
    loop_turn(world->loop, 0);
    loop_destroy(&world->loop);
    free(world);
    return 0;
}

struct answered {
    unsigned count;
    enum queue_status status;
    int http_status;
    char answer[512];
    struct error why;
};

static inline void on_answered(void *ctx, const struct queue_answer *answer)
{
    struct answered *to = ctx;

    to->count++;
    to->status = answer->status;
    to->http_status = answer->http_status;
    to->why = answer->why;
    snprintf(to->answer, sizeof to->answer, "%.*s", STR_ARG(answer->answer));
}

#endif
