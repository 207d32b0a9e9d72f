/* redis_fixture.h - a redis-server of our own, for one test program.
 *
 * On a Unix socket in a fresh folder, durable as a real one must be: under
 * everysec Redis holds writes back while an fsync is slow, and a kill then
 * loses what it had acknowledged. It dies with the program, also when that
 * crashes. A blocking connection of its own looks at the data (redis_ask).
 */
#ifndef TESTS_REDIS_FIXTURE_H
#define TESTS_REDIS_FIXTURE_H

#include "queue/core.h"
#include "server/base/clock.h"
#include "server/base/log.h"

#include "check_cmocka.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* Bounds a hang; no test waits that long on a machine with time to spare. */
enum { FIXTURE_PATIENCE_MS = 40000 };

static struct fixture {
    char dir[64];
    char url[160];
    char socket[128];
    pid_t pid;
    redisContext *redis;
    struct config config;
} fixture;

/* Makes a folder for what servers keep, in memory if there is room: how busy
 * this machine's disk is just now is no test's trouble. */
static inline void fixture_folder(const char *name, char *dir, size_t size)
{
    static const char MEMORY[] = "/dev/shm";
    enum { ROOM = 1 << 30 };
    struct statvfs left;
    bool has_room = statvfs(MEMORY, &left) == 0 &&
                    (uint64_t)left.f_bavail * left.f_frsize >= ROOM;

    snprintf(dir, size, "%s/posthaste-%s-XXXXXX", has_room ? MEMORY : "/tmp",
             name);
    assert_non_null(mkdtemp(dir));
}

/* Waits until the server says so itself. */
static inline void fixture_await_ready(int out)
{
    static const char word[] = "eady to accept connections";
    FILE *log = fdopen(out, "r");
    char line[512];

    assert_non_null(log);
    while (fgets(line, sizeof line, log) != NULL)
        if (strstr(line, word) != NULL)
            break;
    assert_non_null(strstr(line, word));
    /* Left open: the server would get SIGPIPE from a closed one. */
}

static inline void fixture_exec(int out, const char *appendonly,
                                const char *maxmemory, const char *policy)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, 1);
    dup2(out, 2);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
           fixture.socket, "--dir", fixture.dir, "--save", "", "--appendonly",
           appendonly, "--appendfsync", "always", "--maxmemory", maxmemory,
           "--maxmemory-policy", policy, "--enable-debug-command", "local",
           (char *)NULL);
    _exit(127);
}

static inline void fixture_start_as(const char *appendonly,
                                    const char *maxmemory, const char *policy)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fixture.pid = fork();
    assert_true(fixture.pid >= 0);
    if (fixture.pid == 0)
        fixture_exec(ends[1], appendonly, maxmemory, policy);
    close(ends[1]);
    fixture_await_ready(ends[0]);
    fixture.redis = redisConnectUnix(fixture.socket);
    assert_non_null(fixture.redis);
    assert_int_equal(fixture.redis->err, 0);
}

static inline void fixture_start(void)
{
    fixture_start_as("yes", "256mb", "noeviction");
}

static inline void fixture_stop(void)
{
    if (fixture.redis != NULL)
        redisFree(fixture.redis);
    fixture.redis = NULL;
    if (fixture.pid <= 0)
        return;
    kill(fixture.pid, SIGKILL);
    waitpid(fixture.pid, NULL, 0);
    fixture.pid = 0;
}

static inline int fixture_group_setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    fixture_folder("queue", fixture.dir, sizeof fixture.dir);
    snprintf(fixture.socket, sizeof fixture.socket, "%s/redis.sock",
             fixture.dir);
    snprintf(fixture.url, sizeof fixture.url, "unix:%s?db=0", fixture.socket);
    fixture.config = (struct config){
        .redis = {.url = fixture.url,
                  .username = "",
                  .password = "",
                  .prefix = "ph:"},
        .worker = {.lease_ms = 10000, .message_ttl_ms = 259200000},
        .privacy = {.keep_bodies_ms = 86400000,
                    .keep_events_ms = INT64_C(2592000000)},
        .limits = {.rate = 100, .rate_per_ms = 1000},
    };
    fixture_start();
    return 0;
}

static inline int fixture_group_teardown(void **state)
{
    char command[128];

    (void)state;
    fixture_stop();
    snprintf(command, sizeof command, "rm -rf '%s'", fixture.dir);
    return system(command);
}

/* --- a look at the data, by a connection of our own --- */

static inline redisReply *redis_raw(const char *format, ...)
{
    redisReply *reply;
    va_list args;

    va_start(args, format);
    reply = redisvCommand(fixture.redis, format, args);
    va_end(args);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    return reply;
}

static inline void reply_text(const redisReply *reply, char *out, size_t size)
{
    size_t len = strlen(out);

    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(out + len, size - len, "%lld", reply->integer);
    else if (reply->type == REDIS_REPLY_NIL)
        snprintf(out + len, size - len, "nil");
    else if (reply->type != REDIS_REPLY_ARRAY)
        snprintf(out + len, size - len, "%s", reply->str);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements;
         i++) {
        len = strlen(out);
        snprintf(out + len, size - len, "%s", i == 0 ? "" : " ");
        reply_text(reply->element[i], out, size);
    }
}

/* The reply as text, lists joined by blanks; valid until the next call. */
#define redis_ask(...) redis_text(redis_raw(__VA_ARGS__))
static inline const char *redis_text(redisReply *reply)
{
    static char text[65536];

    text[0] = '\0';
    reply_text(reply, text, sizeof text);
    freeReplyObject(reply);
    return text;
}

#define redis_do(...) freeReplyObject(redis_raw(__VA_ARGS__))

/* Of the partition that there always is. */
static inline struct queue_owner owner_of(const char *name)
{
    return (struct queue_owner){.name = str_of(name)};
}

/* --- the loop --- */

static inline int64_t real_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Turns the loop until the condition holds. */
#define until(loop, condition)                                                 \
    do {                                                                       \
        int64_t until_start = real_ms();                                       \
        while (!(condition)) {                                                 \
            if (real_ms() - until_start > FIXTURE_PATIENCE_MS)                 \
                fail_msg("waited in vain: %s", #condition);                    \
            loop_turn(loop, 50);                                               \
        }                                                                      \
    } while (0)

#endif
