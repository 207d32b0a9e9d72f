/* levels.h - two releases at once on one Redis.
 *
 * What Redis holds has a level, which is the version of its records
 * (record.h). A release reads its own level and the one before, and writes
 * meta.write_level. So a release and the next one work side by side: the new
 * one writes what the old one reads, until `posthaste migrate` raises the
 * level, once every living process can read it. What each can read it says
 * every few seconds, in {processes}:alive.
 *
 * A process that finds a level above its own does nothing, and says why. A
 * record above its level, left by a race with a migration, is given back
 * without an attempt.
 */
#ifndef QUEUE_LEVELS_H
#define QUEUE_LEVELS_H

#include "queue/mail.h"

enum { LEVEL_OLDEST = 1, LEVEL_NEWEST = 1 };

/* LEVEL_NEWEST. A build with fault points plays the next release when
 * POSTHASTE_LEVEL in its environment says so. */
unsigned level_newest(void);

/* This process is one that a migration must wait for, until it leaves or has
 * not been heard of for 10 s. role ("api") outlives the queue. */
void queue_join(struct queue *queue, const char *role);
void queue_leave(struct queue *queue);

struct level_process {
    struct str role;
    struct str version;
    struct str host;
    int64_t pid;
    unsigned newest; /* level that it reads */
};

struct queue_levels {
    enum queue_status status;
    struct error why;
    unsigned write;
    const struct level_process *processes; /* alive within the last seconds */
    size_t count;
};
typedef void (*queue_levels_fn)(void *ctx, const struct queue_levels *levels);
void queue_levels_get(struct queue *queue, queue_levels_fn done, void *ctx);

/* From now on records are written at that level. The caller has looked at
 * the processes. */
void queue_levels_raise(struct queue *queue, unsigned level,
                        queue_answer_fn done, void *ctx);

#endif
