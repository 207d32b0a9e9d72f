#include "receiver.h"

#include "server/base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    struct list link;
    struct receiver *receiver;
    struct watch *watch;
    int fd;
    struct buf in;
    struct buf out;
};

static int bound(int type, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void client_close(struct client *client)
{
    list_remove(&client->link);
    watch_close(&client->watch);
    close(client->fd);
    buf_finish(&client->in);
    buf_finish(&client->out);
    loop_free_later(client->receiver->loop, free, client);
}

/* Length of the first request in it; 0 when it is not whole yet. */
static size_t request_len(struct str in)
{
    ptrdiff_t end = str_find(in, S("\r\n\r\n"), 0);
    ptrdiff_t at;
    struct str digits;
    uint64_t body = 0;

    if (end < 0)
        return 0;
    at = str_find(in, S("Content-Length: "), 0);
    if (at < 0 && str_starts(in, S("GET ")))
        return (size_t)end + 4;
    CHECK(at >= 0 && at < end);
    digits = str_from(in, (size_t)at + 16);
    digits.len = (size_t)str_index(digits, '\r', 0);
    CHECK(str_to_u64(digits, &body));
    return in.len < (size_t)end + 4 + body ? 0 : (size_t)end + 4 + body;
}

static void client_write(struct client *client)
{
    ssize_t sent =
        send(client->fd, client->out.data, client->out.len, MSG_NOSIGNAL);

    if (sent > 0) {
        buf_consume(&client->out, (size_t)sent);
        client->receiver->taken_bytes += (size_t)sent;
    }
    if (client->out.len == 0 && client->receiver->closes)
        client_close(client);
    else
        watch_set(client->watch,
                  client->out.len > 0 ? WATCH_READ | WATCH_WRITE : WATCH_READ);
}

static void answer(struct client *client, size_t len)
{
    struct receiver *receiver = client->receiver;
    char *space;

    receiver->requests++;
    buf_clear(&receiver->last);
    buf_add(&receiver->last, str_make(client->in.data, len));
    buf_consume(&client->in, len);
    if (receiver->on_request != NULL)
        receiver->on_request(receiver);
    if (receiver->answer != NULL)
        buf_add_cstr(&client->out, receiver->answer);
    if (receiver->repeat_last > 0) {
        space = buf_space(&client->out, receiver->repeat_last);
        CHECK(space != NULL);
        memset(space, 'x', receiver->repeat_last);
        buf_grown(&client->out, receiver->repeat_last);
    }
    client_write(client);
}

static void on_client(void *ctx, int events)
{
    struct client *client = ctx;
    char *space = buf_space(&client->in, 65536);
    ssize_t got;
    size_t len;

    if (events & WATCH_WRITE) {
        client_write(client);
        return;
    }
    CHECK(space != NULL);
    got = recv(client->fd, space, 65536, 0);
    if (got <= 0) {
        client_close(client);
        return;
    }
    buf_grown(&client->in, (size_t)got);
    len = request_len(buf_str(&client->in));
    if (len > 0)
        answer(client, len);
}

static void on_accept(void *ctx, int events)
{
    struct receiver *receiver = ctx;
    struct client *client;
    int fd = accept4(receiver->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    receiver->connections++;
    client = xcalloc(1, sizeof *client);
    client->receiver = receiver;
    client->fd = fd;
    buf_init(&client->in, 1024 * 1024);
    buf_init(&client->out, 16 * 1024 * 1024);
    list_add_last(&receiver->clients, &client->link);
    client->watch = watch_open(receiver->loop, fd, on_client, client);
    watch_set(client->watch, WATCH_READ);
}

void receiver_open(struct receiver *receiver, struct loop *loop)
{
    *receiver = (struct receiver){.loop = loop};
    list_init(&receiver->clients);
    buf_init(&receiver->last, 1024 * 1024);
    receiver->fd = bound(SOCK_STREAM, &receiver->port);
    CHECK(listen(receiver->fd, 64) == 0);
    receiver->watch = watch_open(loop, receiver->fd, on_accept, receiver);
    watch_set(receiver->watch, WATCH_READ);
}

void receiver_close(struct receiver *receiver)
{
    list_each_safe (link, &receiver->clients)
        client_close(LIST_MEMBER(link, struct client, link));
    watch_close(&receiver->watch);
    close(receiver->fd);
    buf_finish(&receiver->last);
}

/* --- DNS: RFC 1035 section 4.1, one question a message --- */

enum { HEAD = 12, TYPE_A = 1 };

static size_t question_end(const unsigned char *query, size_t len)
{
    size_t at = HEAD;

    while (at < len && query[at] != 0)
        at += query[at] + 1u;
    return at + 5;
}

static size_t add_address(unsigned char *out, uint32_t address)
{
    static const unsigned char head[] = {0xc0, HEAD, 0, TYPE_A, 0, 1,
                                         0,    0,    0, 0,      0, 4};

    memcpy(out, head, sizeof head);
    address = htonl(address);
    memcpy(out + sizeof head, &address, 4);
    return sizeof head + 4;
}

static void on_question(void *ctx, int events)
{
    struct dns_stub *stub = ctx;
    unsigned char packet[1024];
    uint32_t addresses[STUB_ADDRESSES_MAX];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    size_t count = 0;
    size_t len;
    ssize_t got =
        recvfrom(stub->fd, packet, 512, 0, (struct sockaddr *)&from, &from_len);

    (void)events;
    if (got < HEAD)
        return;
    len = question_end(packet, (size_t)got);
    CHECK(len <= (size_t)got);
    packet[2] = 0x84; /* an authoritative answer */
    packet[3] = 0x00;
    memset(packet + 6, 0, 6);
    if (packet[len - 3] == TYPE_A) {
        count = stub->answer(++stub->questions, addresses);
        packet[3] = count == 0 ? 2 : 0; /* SERVFAIL */
        packet[7] = (unsigned char)count;
        for (size_t i = 0; i < count; i++)
            len += add_address(packet + len, addresses[i]);
    }
    sendto(stub->fd, packet, len, 0, (struct sockaddr *)&from, from_len);
}

void dns_stub_open(struct dns_stub *stub, struct loop *loop)
{
    uint16_t port;

    *stub = (struct dns_stub){.loop = loop, .answer = stub->answer};
    stub->fd = bound(SOCK_DGRAM, &port);
    snprintf(stub->servers, sizeof stub->servers, "127.0.0.1:%u", port);
    stub->watch = watch_open(loop, stub->fd, on_question, stub);
    watch_set(stub->watch, WATCH_READ);
}

void dns_stub_close(struct dns_stub *stub)
{
    watch_close(&stub->watch);
    close(stub->fd);
}
