/* dev_redis.h - a redis-server of our own, for `posthaste dev`.
 *
 * Durable as in production (AOF, fsync always), on a Unix socket in the dev
 * folder, reachable by nobody else. It ends when its parent ends.
 */
#ifndef CLI_DEV_REDIS_H
#define CLI_DEV_REDIS_H

#include "server/base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct dev_redis {
    pid_t pid;
    char socket_path[PATH_MAX];
    char temporary[32]; /* the socket's folder, if dir is too deep; "" */
};

/* dir: absolute, exists, is ours. Blocks until the server answers. False and
 * err: not installed, or it did not start (its log is dir/redis.log). */
MUST_USE bool dev_redis_start(struct dev_redis *redis, const char *dir,
                              struct error *err);
/* SIGTERM, and waits for its end; nothing is left outside of dir. */
void dev_redis_stop(struct dev_redis *redis);

#endif
