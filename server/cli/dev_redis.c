#include "server/cli/dev_redis.h"

#include "server/base/clock.h"
#include "server/io/address.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_MAX_MS = 10000, RETRY_MS = 2, EXIT_NOT_INSTALLED = 127 };

/* The path of a socket is short (107 bytes): a deep folder gets one in /tmp. */
static bool choose_socket(struct dev_redis *redis, const char *dir,
                          struct error *err)
{
    struct address address;
    int len = snprintf(redis->socket_path, sizeof redis->socket_path,
                       "%s/redis.sock", dir);

    if (len > 0 && (size_t)len < sizeof redis->socket_path &&
        address_of_path(str_of(redis->socket_path), &address))
        return true;
    snprintf(redis->temporary, sizeof redis->temporary,
             "/tmp/posthaste-dev-XXXXXX");
    if (mkdtemp(redis->temporary) == NULL) {
        redis->temporary[0] = '\0';
        error_set(err, ERR_SYSTEM, "/tmp: cannot make a folder: %s",
                  strerror(errno));
        return false;
    }
    snprintf(redis->socket_path, sizeof redis->socket_path, "%s/redis.sock",
             redis->temporary);
    return true;
}

NORETURN static void exec_server(const struct dev_redis *redis, const char *dir,
                                 pid_t parent)
{
    char socket_path[PATH_MAX];
    char folder[PATH_MAX];
    char *const arguments[] = {
        (char[]){"redis-server"},
        (char[]){"--port"},
        (char[]){"0"},
        (char[]){"--unixsocket"},
        socket_path,
        (char[]){"--unixsocketperm"},
        (char[]){"700"},
        (char[]){"--dir"},
        folder,
        (char[]){"--logfile"},
        (char[]){"redis.log"},
        (char[]){"--save"},
        (char[]){""},
        (char[]){"--appendonly"},
        (char[]){"yes"},
        (char[]){"--appendfsync"},
        (char[]){"always"},
        (char[]){"--maxmemory"},
        (char[]){"512mb"},
        (char[]){"--maxmemory-policy"},
        (char[]){"noeviction"},
        NULL,
    };

    snprintf(socket_path, sizeof socket_path, "%s", redis->socket_path);
    snprintf(folder, sizeof folder, "%s", dir);
    setpgid(0, 0); /* Ctrl-C is for us; it ends behind our children */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0);
    execvp(arguments[0], arguments);
    _exit(errno == ENOENT ? EXIT_NOT_INSTALLED : 1);
}

static bool answers(const struct dev_redis *redis)
{
    static const char PING[] = "PING\r\n";
    char reply[16];
    struct address address;
    bool good;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK(address_of_path(str_of(redis->socket_path), &address));
    good = connect(fd, &address.at.any, address.len) == 0 &&
           send(fd, PING, sizeof PING - 1, MSG_NOSIGNAL) > 0 &&
           recv(fd, reply, sizeof reply, 0) > 0 && reply[0] == '+';
    close(fd);
    return good;
}

static bool wait_for_answer(struct dev_redis *redis, const char *dir,
                            struct error *err)
{
    const struct timespec pause = {0, RETRY_MS * 1000000};
    int status;

    for (int waited = 0; waited < START_MAX_MS; waited += RETRY_MS) {
        if (answers(redis))
            return true;
        if (waitpid(redis->pid, &status, WNOHANG) == redis->pid) {
            redis->pid = 0;
            if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_INSTALLED)
                error_set(err, ERR_SYSTEM,
                          "redis-server is not installed; install the package "
                          "redis-server");
            else
                error_set(err, ERR_SYSTEM,
                          "redis-server ended at once; see %s/redis.log", dir);
            return false;
        }
        nanosleep(&pause, NULL);
    }
    error_set(err, ERR_TIMEOUT,
              "redis-server did not answer within %d s; see %s/redis.log",
              START_MAX_MS / 1000, dir);
    return false;
}

bool dev_redis_start(struct dev_redis *redis, const char *dir,
                     struct error *err)
{
    pid_t parent = getpid();

    if (!choose_socket(redis, dir, err))
        return false;
    unlink(redis->socket_path); /* of a server that was killed */
    fflush(NULL);
    redis->pid = fork();
    CHECK(redis->pid >= 0);
    if (redis->pid == 0)
        exec_server(redis, dir, parent);
    if (wait_for_answer(redis, dir, err))
        return true;
    dev_redis_stop(redis);
    return false;
}

void dev_redis_stop(struct dev_redis *redis)
{
    if (redis->pid > 0) {
        kill(redis->pid, SIGTERM);
        waitpid(redis->pid, NULL, 0);
        redis->pid = 0;
    }
    if (redis->temporary[0] != '\0') {
        unlink(redis->socket_path); /* of one that was killed */
        rmdir(redis->temporary);
        redis->temporary[0] = '\0';
    }
}
