/* scripted_redis.h - a server that says what a test tells it to.
 *
 * A thread of its own on a TCP port of loopback, for what no real Redis would
 * say. It hears commands one by one, as their words with blanks between them.
 */
#ifndef TESTS_SCRIPTED_REDIS_H
#define TESTS_SCRIPTED_REDIS_H

#include "check_cmocka.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SCRIPTED_CLIENTS = 8, SCRIPTED_CHUNK = 1 << 16 };

struct scripted {
    unsigned port;
    /* In the thread: what is answered, in RESP; NULL: the connection ends. */
    const char *(*answer)(struct scripted *scripted, const char *command);
    void *ctx;
    atomic_uint heard; /* commands that answer counts */
    int wake[2];
    pthread_t thread;
    struct pollfd fds[2 + SCRIPTED_CLIENTS];
};

/* The command that bytes begins with, as text; what is behind it, or NULL when
 * it is not whole. */
static inline char *scripted_cut(char *bytes, char *text, size_t size)
{
    unsigned long count = bytes[0] == '*' ? strtoul(bytes + 1, &bytes, 10) : 0;
    size_t len = 0;

    if (count == 0)
        return NULL;
    for (bytes += 2; count > 0; count--) {
        unsigned long arg = strtoul(bytes + 1, &bytes, 10);

        len += (size_t)snprintf(text + len, size - len, "%s%.*s",
                                len > 0 ? " " : "", (int)arg, bytes + 2);
        assert_true(len < size);
        bytes += 2 + arg + 2;
    }
    return bytes;
}

static inline void scripted_drop(struct pollfd *client)
{
    close(client->fd);
    client->fd = -1;
}

/* Commands are short, and come whole. */
static inline void scripted_read(struct scripted *scripted,
                                 struct pollfd *client)
{
    static _Thread_local char bytes[SCRIPTED_CHUNK];
    ssize_t len = recv(client->fd, bytes, sizeof bytes - 1, 0);
    char command[1024];
    char *at = bytes;

    if (len <= 0) {
        scripted_drop(client);
        return;
    }
    bytes[len] = '\0';
    while ((at = scripted_cut(at, command, sizeof command)) != NULL) {
        const char *answer = scripted->answer(scripted, command);

        if (answer == NULL) {
            scripted_drop(client);
            return;
        }
        (void)send(client->fd, answer, strlen(answer), MSG_NOSIGNAL);
    }
}

static inline void scripted_accept(struct scripted *scripted)
{
    int fd = accept(scripted->fds[1].fd, NULL, NULL);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    for (size_t i = 2; i < 2 + SCRIPTED_CLIENTS; i++) {
        if (scripted->fds[i].fd >= 0)
            continue;
        scripted->fds[i] = (struct pollfd){fd, POLLIN, 0};
        return;
    }
    close(fd);
}

static inline void *scripted_run(void *ctx)
{
    struct scripted *scripted = ctx;

    while (poll(scripted->fds, 2 + SCRIPTED_CLIENTS, -1) >= 0) {
        if (scripted->fds[0].revents != 0)
            break;
        if (scripted->fds[1].revents != 0)
            scripted_accept(scripted);
        for (size_t i = 2; i < 2 + SCRIPTED_CLIENTS; i++)
            if (scripted->fds[i].fd >= 0 && scripted->fds[i].revents != 0)
                scripted_read(scripted, &scripted->fds[i]);
    }
    return NULL;
}

/* Its port is known; it takes connections, but answers nothing yet. */
static inline void scripted_listen(struct scripted *scripted)
{
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof where;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&where, len), 0);
    assert_int_equal(listen(fd, SCRIPTED_CLIENTS), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&where, &len), 0);
    scripted->port = ntohs(where.sin_port);
    assert_int_equal(pipe(scripted->wake), 0);
    for (size_t i = 0; i < 2 + SCRIPTED_CLIENTS; i++)
        scripted->fds[i].fd = -1;
    scripted->fds[0] = (struct pollfd){scripted->wake[0], POLLIN, 0};
    scripted->fds[1] = (struct pollfd){fd, POLLIN, 0};
}

static inline void scripted_start(struct scripted *scripted)
{
    assert_int_equal(
        pthread_create(&scripted->thread, NULL, scripted_run, scripted), 0);
}

static inline void scripted_stop(struct scripted *scripted)
{
    close(scripted->wake[1]);
    pthread_join(scripted->thread, NULL);
    close(scripted->wake[0]);
    for (size_t i = 1; i < 2 + SCRIPTED_CLIENTS; i++)
        if (scripted->fds[i].fd >= 0)
            close(scripted->fds[i].fd);
}

#endif
