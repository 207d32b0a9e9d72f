#include "queue/partitions.h"

#include "queue/core.h"

static void tell_all(struct queue *queue, unsigned partition, bool up)
{
    list_each_safe (at, &queue->parts) {
        struct queue_part *part = LIST_MEMBER(at, struct queue_part, link);

        if (part->partition_changed != NULL)
            part->partition_changed(part->ctx, partition, up);
    }
}

void partitions_look(struct queue *queue)
{
    struct partitions *partitions = &queue->partitions;
    char prefix[KEY_MAX];

    for (unsigned i = 0; i < partitions->count; i++) {
        bool up = queue->health.has_schema &&
                  redis_link_serves(queue->main,
                                    queue_partition_prefix(queue, i, prefix));

        if (up == partitions->is_up[i])
            continue;
        partitions->is_up[i] = up;
        tell_all(queue, i, up);
    }
}

void partitions_tell(struct queue *queue, const struct queue_part *part)
{
    if (part->partition_changed == NULL)
        return;
    for (unsigned i = 0; i < queue->partitions.count; i++)
        if (queue->partitions.is_up[i])
            part->partition_changed(part->ctx, i, true);
}

unsigned queue_partition_count(const struct queue *queue)
{
    return queue->partitions.count;
}

bool partition_is_up(const struct queue *queue, unsigned partition)
{
    return partition < queue->partitions.count &&
           queue->partitions.is_up[partition];
}

void partitions_learn(struct queue *queue, int64_t count)
{
    struct partitions *partitions = &queue->partitions;

    if (count > PARTITIONS_MAX)
        count = PARTITIONS_MAX;
    if (count > partitions->count)
        partitions->count = (unsigned)count;
    partitions_look(queue);
}

void partitions_open(struct queue *queue)
{
    queue->partitions.count = 1;
}
