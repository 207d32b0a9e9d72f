#include "server/supervisor/notify.h"

#include "server/base/mem.h"
#include "server/base/str.h"
#include "server/io/address.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct watchdog {
    struct loop *loop;
    struct timer timer;
    int64_t every_ms;
};

static bool find_manager(struct address *address)
{
    struct str path = str_of(getenv("NOTIFY_SOCKET"));

    if (!address_of_path(path, address))
        return false;
    if (path.ptr[0] == '@') {
        /* An abstract name has no end but its length (unix(7)). */
        address->at.local.sun_path[0] = '\0';
        address->len =
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len);
    }
    return true;
}

static void tell(const char *state)
{
    struct address address;
    int fd;

    if (!find_manager(&address))
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    /* Best effort by design: a manager that is gone is no reason to stop. */
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, &address.at.any,
                 address.len);
    close(fd);
}

void notify_ready(void)
{
    tell("READY=1");
}

void notify_reloading(void)
{
    struct timespec now;
    char state[64];

    clock_gettime(CLOCK_MONOTONIC, &now); /* the manager compares it */
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    tell(state);
}

void notify_stopping(void)
{
    tell("STOPPING=1");
}

/* --- the watchdog --- */

static bool is_for_us(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t number;

    return pid == NULL ||
           (str_to_u64(str_of(pid), &number) && number == (uint64_t)getpid());
}

static void on_time(void *ctx)
{
    struct watchdog *watchdog = ctx;

    tell("WATCHDOG=1");
    timer_set(watchdog->loop, &watchdog->timer, watchdog->every_ms);
}

struct watchdog *watchdog_open(struct loop *loop)
{
    struct watchdog *watchdog;
    uint64_t limit_us;

    if (!str_to_u64(str_of(getenv("WATCHDOG_USEC")), &limit_us) ||
        limit_us < 2000 || limit_us > INT64_MAX || !is_for_us())
        return NULL;
    watchdog = xcalloc(1, sizeof *watchdog);
    watchdog->loop = loop;
    watchdog->every_ms = (int64_t)(limit_us / 2000);
    timer_init(&watchdog->timer, on_time, watchdog);
    timer_set(loop, &watchdog->timer, watchdog->every_ms);
    return watchdog;
}

void watchdog_close(struct watchdog **watchdog)
{
    if (*watchdog == NULL)
        return;
    timer_clear((*watchdog)->loop, &(*watchdog)->timer);
    free(*watchdog);
    *watchdog = NULL;
}
