/* partitions.h - how many partitions there are, and which can be served.
 *
 * meta says how many; it only ever grows, and every process that is
 * connected looks at meta again and again (levels.c), so a new partition is
 * served within seconds. Parts of the queue (core.h) hear of each partition
 * whose scripts may be called from now on, or not any more.
 */
#ifndef QUEUE_PARTITIONS_H
#define QUEUE_PARTITIONS_H

#include "server/base/id.h"

#include <stdbool.h>
#include <stdint.h>

struct queue;
struct queue_part;

enum { PARTITIONS_MAX = ID_PARTITION_MAX + 1 };

struct partitions {
    unsigned count;             /* at least 1 */
    bool is_up[PARTITIONS_MAX]; /* as the parts were told */
};

void partitions_open(struct queue *queue);
/* What meta says; the parts are told of what is new. */
void partitions_learn(struct queue *queue, int64_t count);
/* Something happened to a link or to meta: tells of what is different. */
void partitions_look(struct queue *queue);
bool partition_is_up(const struct queue *queue, unsigned partition);
/* Tells a new part what is up. */
void partitions_tell(struct queue *queue, const struct queue_part *part);

#endif
