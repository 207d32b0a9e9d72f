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
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SCRIPTED_CLIENTS = 8, SCRIPTED_MAX = 4 << 20, SCRIPTED_TEXT = 1024 };

struct scripted {
    unsigned port;
    /* In the thread: what is answered, in RESP; NULL: the connection ends. */
    const char *(*answer)(struct scripted *scripted, const char *command);
    void *ctx;
    size_t client;     /* in answer: who asks */
    atomic_uint heard; /* commands that answer counts */
    int wake[2];
    pthread_t thread;
    struct pollfd fds[2 + SCRIPTED_CLIENTS];
    struct {
        char *bytes; /* that were heard, and are no whole command yet */
        size_t len;
    } pending[SCRIPTED_CLIENTS];
};

/* The command that bytes begins with, as text that ends where out does; what
 * is behind it, or NULL when it is not whole. */
static inline char *scripted_cut(char *bytes, const char *end,
                                 char out[SCRIPTED_TEXT])
{
    unsigned long count;
    size_t len = 0;

    if (memchr(bytes, '\n', (size_t)(end - bytes)) == NULL)
        return NULL;
    out[0] = '\0';
    count = strtoul(bytes + 1, &bytes, 10);
    for (bytes += 2; count > 0; count--) {
        unsigned long arg;

        if (memchr(bytes, '\n', (size_t)(end - bytes)) == NULL)
            return NULL;
        arg = strtoul(bytes + 1, &bytes, 10);
        if ((size_t)(end - bytes) < arg + 4)
            return NULL;
        snprintf(out + len, SCRIPTED_TEXT - len, "%s%.*s", len > 0 ? " " : "",
                 (int)arg, bytes + 2);
        len = strlen(out);
        bytes += arg + 4;
    }
    return bytes;
}

static inline void scripted_drop(struct scripted *scripted, size_t client)
{
    close(scripted->fds[2 + client].fd);
    scripted->fds[2 + client].fd = -1;
    free(scripted->pending[client].bytes);
    scripted->pending[client].bytes = NULL;
}

static inline void scripted_say(const struct scripted *scripted, size_t client,
                                const char *answer)
{
    (void)send(scripted->fds[2 + client].fd, answer, strlen(answer),
               MSG_NOSIGNAL);
}

/* False: the connection ends. */
static inline bool scripted_answer(struct scripted *scripted, size_t client)
{
    char *bytes = scripted->pending[client].bytes;
    char *end = bytes + scripted->pending[client].len;
    char command[SCRIPTED_TEXT];
    char *at = bytes;
    char *next;

    scripted->client = client;
    while ((next = scripted_cut(at, end, command)) != NULL) {
        const char *answer = scripted->answer(scripted, command);

        if (answer == NULL)
            return false;
        scripted_say(scripted, client, answer);
        at = next;
    }
    memmove(bytes, at, (size_t)(end - at));
    scripted->pending[client].len = (size_t)(end - at);
    return true;
}

static inline void scripted_read(struct scripted *scripted, size_t client)
{
    size_t had = scripted->pending[client].len;
    ssize_t len =
        recv(scripted->fds[2 + client].fd,
             scripted->pending[client].bytes + had, SCRIPTED_MAX - had, 0);

    if (len > 0)
        scripted->pending[client].len += (size_t)len;
    if (len <= 0 || !scripted_answer(scripted, client))
        scripted_drop(scripted, client);
}

static inline void scripted_accept(struct scripted *scripted)
{
    int fd = accept(scripted->fds[1].fd, NULL, NULL);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    for (size_t i = 0; i < SCRIPTED_CLIENTS; i++) {
        if (scripted->fds[2 + i].fd >= 0)
            continue;
        scripted->fds[2 + i] = (struct pollfd){fd, POLLIN, 0};
        scripted->pending[i].bytes = malloc(SCRIPTED_MAX);
        scripted->pending[i].len = 0;
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
        for (size_t i = 0; i < SCRIPTED_CLIENTS; i++)
            if (scripted->fds[2 + i].fd >= 0 &&
                scripted->fds[2 + i].revents != 0)
                scripted_read(scripted, i);
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
    close(scripted->fds[1].fd);
    for (size_t i = 0; i < SCRIPTED_CLIENTS; i++)
        if (scripted->fds[2 + i].fd >= 0)
            scripted_drop(scripted, i);
}

#endif
