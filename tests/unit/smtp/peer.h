/* peer.h - SMTP servers that a test plays line by line and by chance, in its
 * own loop: one for each connection, which begins with a struct peer and holds
 * what that test's server remembers.
 */
#ifndef TESTS_SMTP_PEER_H
#define TESTS_SMTP_PEER_H

#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/io/listen.h"
#include "server/io/stream.h"

#include "check_cmocka.h"

#include <stdlib.h>
#include <unistd.h>

enum { PEER_LINE_MAX = 256 };

struct peer;

struct peers {
    struct loop *loop;
    size_t size; /* of what begins with a struct peer */
    void (*greet)(struct peer *peer);
    void (*hear)(struct peer *peer, struct str line);
    void (*close)(struct peer *peer); /* NULL: there is nothing to end */
    struct list list;
    struct acceptor *acceptor;
    int fd;
    uint16_t port;
};

struct peer {
    struct list link;
    struct peers *peers;
    struct stream *stream; /* NULL: it is closed */
    bool is_deaf;          /* until peer_listen */
};

static uint32_t seed;

/* The same chance in each run: xorshift, of Marsaglia. */
static inline unsigned chance(unsigned of)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % of;
}

static inline void peer_close(struct peer *peer)
{
    if (peer->stream == NULL)
        return;
    if (peer->peers->close != NULL)
        peer->peers->close(peer);
    stream_flush(peer->stream);
    stream_close(&peer->stream);
}

/* What was said to it, and not heard yet. */
static inline struct str peer_unheard(const struct peer *peer)
{
    return buf_str(stream_input(peer->stream));
}

static inline void peer_hear(struct peer *peer)
{
    char line[PEER_LINE_MAX];
    ptrdiff_t end;

    while (peer->stream != NULL && !peer->is_deaf &&
           (end = str_find(peer_unheard(peer), S("\r\n"), 0)) >= 0) {
        size_t len = (size_t)end < sizeof line ? (size_t)end : sizeof line;

        memcpy(line, peer_unheard(peer).ptr, len);
        buf_consume(stream_input(peer->stream), (size_t)end + 2);
        peer->peers->hear(peer, str_make(line, len));
    }
}

static inline void peer_listen(struct peer *peer)
{
    peer->is_deaf = false;
    peer_hear(peer);
}

static inline void peer_readable(void *ctx, struct buf *input)
{
    (void)input;
    peer_hear(ctx);
}

static inline void peer_ended(void *ctx, enum stream_end end,
                              const char *reason)
{
    (void)end;
    (void)reason;
    peer_close(ctx);
}

static inline void peers_accept(void *ctx, int fd, const struct address *from)
{
    static const struct stream_events EVENTS = {.readable = peer_readable,
                                                .ended = peer_ended};
    struct peers *peers = ctx;
    struct peer *peer = xcalloc(1, peers->size);
    const struct stream_options options = {
        .events = &EVENTS,
        .ctx = peer,
        .input_max = 65536,
        .output_max = 65536,
    };

    (void)from;
    peer->peers = peers;
    peer->stream = stream_accept(peers->loop, &options, fd);
    list_add_last(&peers->list, &peer->link);
    peers->greet(peer);
}

/* With loop, size and what they do set. */
static inline void peers_open(struct peers *peers)
{
    const struct listen_options options = {0};
    struct address address;

    list_init(&peers->list);
    peers->fd = listen_open("127.0.0.1:0", &options, NULL);
    assert_true(peers->fd >= 0);
    listen_address(peers->fd, &address);
    peers->port = address_port(&address);
    peers->acceptor =
        acceptor_open(peers->loop, peers->fd, peers_accept, peers);
}

/* Never in a call of theirs. */
static inline void peers_free_closed(struct peers *peers)
{
    list_each_safe (link, &peers->list) {
        struct peer *peer = LIST_MEMBER(link, struct peer, link);

        if (peer->stream != NULL)
            continue;
        list_remove(&peer->link);
        free(peer);
    }
}

static inline void peers_close(struct peers *peers)
{
    list_each (link, &peers->list)
        peer_close(LIST_MEMBER(link, struct peer, link));
    peers_free_closed(peers);
    acceptor_close(&peers->acceptor);
    close(peers->fd);
}

#endif
