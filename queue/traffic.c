/* How much comes and goes, by owner and lane: counted in this process, told to
 * Redis once a second while something does, and added up there over all
 * processes (scripts/traffic.lua). A rate is worth no more than that: what a
 * process had not told when it died, or while Redis was away, is left out. */
#include "queue/core.h"

#include "server/base/map.h"
#include "server/base/mem.h"

#include <stdlib.h>

enum {
    TELL_EVERY_MS = 1000,
    OWNERS_MAX = 500, /* of a call, and kept until then */
};

struct count {
    unsigned home;
    uint32_t counts[TRAFFIC_KINDS][LANE_COUNT];
};

struct traffic {
    struct queue *queue;
    struct queue_part part;
    struct timer timer;
    struct map *owners; /* of struct count, by name */
};

static void add_owner(struct redis_command *command, struct str owner,
                      const struct count *count)
{
    command_add(command, owner);
    for (size_t kind = 0; kind < TRAFFIC_KINDS; kind++)
        for (size_t lane = 0; lane < LANE_COUNT; lane++)
            command_add_int(command, count->counts[kind][lane]);
}

static void tell_partition(struct traffic *traffic, unsigned partition)
{
    struct redis_command command;
    struct str owner;
    void *value;
    size_t at = 0;

    command_init_partition(&command, traffic->queue, SCRIPT_TRAFFIC_ADD,
                           partition);
    command.lasts = false;
    while (map_next(traffic->owners, &at, &owner, &value)) {
        const struct count *count = value;

        if (count->home != partition)
            continue;
        add_owner(&command, owner, count);
        free(map_remove(traffic->owners, owner));
    }
    redis_send(traffic->queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}

static void tell(void *ctx)
{
    struct traffic *traffic = ctx;
    struct str owner;
    void *value;
    size_t at = 0;

    timer_clear(traffic->queue->loop, &traffic->timer);
    while (map_next(traffic->owners, &at, &owner, &value)) {
        tell_partition(traffic, ((const struct count *)value)->home);
        at = 0; /* those of one partition are gone */
    }
}

static void traffic_close(void *ctx)
{
    struct traffic *traffic = ctx;
    struct str owner;
    void *value;
    size_t at = 0;

    timer_clear(traffic->queue->loop, &traffic->timer);
    while (map_next(traffic->owners, &at, &owner, &value))
        free(value);
    map_destroy(&traffic->owners);
    free(traffic);
}

static struct traffic *traffic_of(struct queue *queue)
{
    struct traffic *traffic = queue->traffic;

    if (traffic == NULL) {
        traffic = queue->traffic = xcalloc(1, sizeof *traffic);
        traffic->queue = queue;
        traffic->owners = map_create();
        timer_init(&traffic->timer, tell, traffic);
        traffic->part.close = traffic_close;
        traffic->part.ctx = traffic;
        queue_part_add(queue, &traffic->part);
    }
    return traffic;
}

void traffic_count(struct queue *queue, struct queue_owner owner,
                   enum traffic_kind kind, unsigned lane, size_t recipients)
{
    struct traffic *traffic = traffic_of(queue);
    struct count *count = map_get(traffic->owners, owner.name);

    CHECK(lane < LANE_COUNT);
    if (count == NULL) {
        if (map_count(traffic->owners) == OWNERS_MAX)
            tell(traffic);
        count = xcalloc(1, sizeof *count);
        count->home = owner.home;
        map_put(traffic->owners, owner.name, count);
    }
    count->counts[kind][lane] += (uint32_t)recipients;
    if (!timer_is_set(&traffic->timer))
        timer_set(queue->loop, &traffic->timer, TELL_EVERY_MS);
}
