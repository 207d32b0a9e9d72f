/* raw_client.h - a client socket for tests whose server runs in the same
 * loop: says bytes, and turns the loop until it has heard what it wants. */
#ifndef TESTS_RAW_CLIENT_H
#define TESTS_RAW_CLIENT_H

#include "server/base/buf.h"
#include "server/base/mem.h"
#include "server/io/address.h"
#include "server/io/loop.h"

#include "check_cmocka.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RAW_TURNS_MAX = 2000 };

struct client {
    struct loop *loop;
    int fd;
    struct buf in;
    bool ended;
};

/* source: address to come from, or NULL. */
static inline struct client *
client_open(struct loop *loop, const struct address *to, const char *source)
{
    struct client *client = xcalloc(1, sizeof *client);
    struct address from;

    client->loop = loop;
    buf_init(&client->in, 1 << 22);
    client->fd = socket(to->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    /* Each byte on its own; a Unix socket doesn't know the option. */
    (void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1},
                     sizeof(int));
    if (source != NULL) {
        assert_true(address_parse(str_of(source), 0, &from));
        assert_int_equal(bind(client->fd, &from.at.any, from.len), 0);
    }
    assert_int_equal(connect(client->fd, &to->at.any, to->len), 0);
    return client;
}

static inline void client_close(struct client *client)
{
    close(client->fd);
    buf_finish(&client->in);
    free(client);
}

static inline void say(struct client *client, struct str bytes)
{
    ssize_t sent = send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

    assert_int_equal(sent, (ssize_t)bytes.len);
}

/* What has arrived, without turning the loop. */
static inline void hear(struct client *client)
{
    char *space;
    ssize_t got;

    for (;;) {
        space = buf_space(&client->in, 65536);
        assert_non_null(space);
        got = recv(client->fd, space, 65536, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            client->ended = true;
        if (got <= 0)
            return;
        buf_grown(&client->in, (size_t)got);
    }
}

static inline bool has(const struct client *client, const char *text)
{
    return str_contains(buf_str(&client->in), str_of(text));
}

static inline size_t times(const struct client *client, const char *text)
{
    struct str all = buf_str(&client->in);
    size_t count = 0;
    ptrdiff_t at = 0;

    while ((at = str_find(all, str_of(text), (size_t)at)) >= 0) {
        count++;
        at++;
    }
    return count;
}

static inline void turn_until_heard(struct client *client, const char *text,
                                    size_t count)
{
    for (int i = 0; i < RAW_TURNS_MAX; i++) {
        hear(client);
        if (times(client, text) >= count)
            return;
        if (client->ended)
            break;
        loop_turn(client->loop, 1);
    }
    fail_msg("wanted \"%s\" %zu times, heard \"%.*s\"%s", text, count,
             STR_ARG(buf_str(&client->in)), client->ended ? " and end" : "");
}

static inline void turn_until_ended(struct client *client)
{
    for (int i = 0; i < RAW_TURNS_MAX && !client->ended; i++) {
        hear(client);
        loop_turn(client->loop, client->ended ? 0 : 1);
    }
    assert_true(client->ended);
}

#endif
