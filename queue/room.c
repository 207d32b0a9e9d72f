#include "queue/claims_core.h"

/* The room is the worker's, its turns are the partitions': what the turn of
 * one may claim is not there for another's until its answer has come. */

/* Without enough replicas no mark is given (redis.wait_replicas). */
static bool lacks_replicas(const struct claims *claims)
{
    const struct queue *queue = claims->queue;
    char prefix[KEY_MAX];

    return redis_link_lacks_replicas(
        queue->main, queue_partition_prefix(queue, claims->partition, prefix));
}

size_t claims_whole_room(const struct claims *claims, size_t route,
                         unsigned lane)
{
    const struct claimer *claimer = claims->claimer;
    const struct queue_worker *worker = claimer->worker;
    size_t room;
    size_t untold = 0;

    if (claimer->is_stopping || claimer->alone_state != ALONE_NOT ||
        lacks_replicas(claims))
        return 0;
    if (!pace_is_urgent(lane) && pace_rests(&claimer->pace))
        return 0;
    room = worker->room(worker->ctx, worker->routes[route], lane);
    for (unsigned l = lane; l < LANE_COUNT; l++)
        untold += claimer->untold[route * LANE_COUNT + l];
    return room > untold ? room - untold : 0;
}

static size_t asked_by_others(const struct claims *claims, size_t slot)
{
    size_t asked = 0;

    list_each (at, &claims->claimer->claims) {
        const struct claims *other = LIST_MEMBER(at, struct claims, link);

        if (other != claims)
            asked += other->asked[slot];
    }
    return asked;
}

/* Those whose turn is still to come, this one included. */
static size_t waiting_count(const struct claims *claims)
{
    size_t count = 1;

    list_each (at, &claims->claimer->claims) {
        const struct claims *other = LIST_MEMBER(at, struct claims, link);

        count += other != claims && other->ask && !other->turn_is_under_way &&
                 other->state == CLAIMS_WORKING;
    }
    return count;
}

size_t claims_room(const struct claims *claims, size_t route, unsigned lane)
{
    size_t room = claims_whole_room(claims, route, lane);
    size_t asked = asked_by_others(claims, route * LANE_COUNT + lane);
    size_t waiting = waiting_count(claims);

    if (room <= asked)
        return 0;
    return pace_room(&claims->claimer->pace, lane,
                     (room - asked + waiting - 1) / waiting);
}

bool claims_must_wait(const struct claims *claims)
{
    bool must_wait = false;

    for (size_t route = 0; route < claims->worker->route_count; route++) {
        if (claims_room(claims, route, 0) > 0)
            return false;
        must_wait = must_wait || claims_whole_room(claims, route, 0) > 0;
    }
    return must_wait;
}
