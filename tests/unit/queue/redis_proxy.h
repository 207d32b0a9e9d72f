/* redis_proxy.h - stands before the fixture's Redis and spoils what it says.
 *
 * A thread of its own, so that it goes on while the loop of the test waits.
 * What a client writes is passed on, until the proxy is told to answer in
 * Redis' place: then what holds that word gets that answer, and Redis never
 * sees it; or Redis sees it, and its answer is lost.
 */
#ifndef TESTS_REDIS_PROXY_H
#define TESTS_REDIS_PROXY_H

#include "redis_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { PROXY_PAIRS = 16, PROXY_CHUNK = 1 << 20 };

struct spoil {
    const char *word;   /* in what the client writes: "EVALSHA" */
    const char *answer; /* NULL: silence */
    bool closes;        /* behind the answer */
    bool passes;        /* Redis executes it, but nobody hears of it */
};

static struct proxy {
    char socket[140];
    char url[160];
    int listener;
    int wake[2];
    pthread_t thread;
    pthread_mutex_t lock;
    struct spoil spoil; /* under the lock; word NULL: none */
    atomic_uint connections;
    atomic_uint spoiled;
    struct pollfd fds[2 + 2 * PROXY_PAIRS]; /* client, server, client, ... */
    bool is_deaf[PROXY_PAIRS];              /* all is dropped from now on */
} proxy;

static inline int proxy_socket(const char *path, bool listens)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int done;

    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    done = listens ? bind(fd, (struct sockaddr *)&address, sizeof address)
                   : connect(fd, (struct sockaddr *)&address, sizeof address);
    if (done == 0 && listens)
        done = listen(fd, PROXY_PAIRS);
    if (done == 0)
        return fd;
    close(fd);
    return -1;
}

static inline void proxy_drop(size_t pair)
{
    for (size_t i = 2 + 2 * pair; i < 4 + 2 * pair; i++) {
        close(proxy.fds[i].fd);
        proxy.fds[i].fd = -1;
    }
}

static inline void proxy_accept(void)
{
    int client = accept(proxy.listener, NULL, NULL);
    int server = proxy_socket(fixture.socket, false);
    size_t pair = 0;

    while (pair < PROXY_PAIRS && proxy.fds[2 + 2 * pair].fd >= 0)
        pair++;
    if (client < 0 || server < 0 || pair == PROXY_PAIRS) {
        close(client);
        close(server);
        return;
    }
    proxy.fds[2 + 2 * pair] = (struct pollfd){client, POLLIN, 0};
    proxy.fds[3 + 2 * pair] = (struct pollfd){server, POLLIN, 0};
    proxy.is_deaf[pair] = false;
    proxy.connections++;
}

static inline void proxy_write(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

        if (sent <= 0)
            return; /* who is gone is noticed by the next read */
        bytes += sent;
        len -= (size_t)sent;
    }
}

/* True: it was answered in Redis' place. */
static inline bool proxy_spoil(size_t pair, const char *bytes, size_t len)
{
    struct spoil spoil;

    pthread_mutex_lock(&proxy.lock);
    spoil = proxy.spoil;
    pthread_mutex_unlock(&proxy.lock);
    if (spoil.word == NULL ||
        memmem(bytes, len, spoil.word, strlen(spoil.word)) == NULL)
        return false;
    proxy.spoiled++;
    if (spoil.passes)
        proxy_write(proxy.fds[3 + 2 * pair].fd, bytes, len);
    proxy.is_deaf[pair] = spoil.answer == NULL;
    if (spoil.answer != NULL)
        proxy_write(proxy.fds[2 + 2 * pair].fd, spoil.answer,
                    strlen(spoil.answer));
    if (spoil.closes)
        proxy_drop(pair);
    return true;
}

static inline void proxy_read(size_t i, char *bytes)
{
    size_t pair = (i - 2) / 2;
    bool is_client = i % 2 == 0;
    ssize_t len = recv(proxy.fds[i].fd, bytes, PROXY_CHUNK, 0);

    if (len <= 0)
        proxy_drop(pair);
    else if (!proxy.is_deaf[pair] &&
             !(is_client && proxy_spoil(pair, bytes, (size_t)len)))
        proxy_write(proxy.fds[is_client ? i + 1 : i - 1].fd, bytes,
                    (size_t)len);
}

static inline void *proxy_run(void *ctx)
{
    char *bytes = malloc(PROXY_CHUNK);

    (void)ctx;
    while (poll(proxy.fds, COUNT_OF(proxy.fds), -1) >= 0) {
        if (proxy.fds[0].revents != 0)
            break;
        if (proxy.fds[1].revents != 0)
            proxy_accept();
        for (size_t i = 2; i < COUNT_OF(proxy.fds); i++)
            if (proxy.fds[i].fd >= 0 && proxy.fds[i].revents != 0)
                proxy_read(i, bytes);
    }
    free(bytes);
    return NULL;
}

static inline void proxy_set(const struct spoil *spoil)
{
    pthread_mutex_lock(&proxy.lock);
    proxy.spoil = spoil != NULL ? *spoil : (struct spoil){0};
    pthread_mutex_unlock(&proxy.lock);
}

static inline void proxy_start(void)
{
    snprintf(proxy.socket, sizeof proxy.socket, "%s/proxy.sock", fixture.dir);
    snprintf(proxy.url, sizeof proxy.url, "unix:%s?db=0", proxy.socket);
    proxy.listener = proxy_socket(proxy.socket, true);
    assert_true(proxy.listener >= 0);
    assert_int_equal(pipe2(proxy.wake, O_CLOEXEC), 0);
    pthread_mutex_init(&proxy.lock, NULL);
    for (size_t i = 0; i < COUNT_OF(proxy.fds); i++)
        proxy.fds[i].fd = -1;
    proxy.fds[0] = (struct pollfd){proxy.wake[0], POLLIN, 0};
    proxy.fds[1] = (struct pollfd){proxy.listener, POLLIN, 0};
    assert_int_equal(pthread_create(&proxy.thread, NULL, proxy_run, NULL), 0);
}

static inline void proxy_stop(void)
{
    close(proxy.wake[1]);
    pthread_join(proxy.thread, NULL);
    close(proxy.wake[0]);
    close(proxy.listener);
    for (size_t i = 0; i < PROXY_PAIRS; i++)
        if (proxy.fds[2 + 2 * i].fd >= 0)
            proxy_drop(i);
    pthread_mutex_destroy(&proxy.lock);
}

#endif
