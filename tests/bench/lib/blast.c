#include "tests/bench/lib/blast.h"

#include "server/base/buf.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { COMMANDS_MAX = 256 };

struct bare {
    int fd;
    bool in_body;
    unsigned awaited; /* replies */
};

static void bare_send(struct bare *bare, struct str bytes)
{
    CHECK(send(bare->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) ==
          (ssize_t)bytes.len);
}

static void bare_begin(struct bare *bare, size_t number)
{
    char commands[COMMANDS_MAX];
    int len = snprintf(commands, sizeof commands,
                       "MAIL FROM:<bounce@bench.example>\r\n"
                       "RCPT TO:<n%zu@sink.example>\r\nDATA\r\n",
                       number);

    bare_send(bare, str_make(commands, (size_t)len));
    bare->awaited = 3;
    bare->in_body = false;
}

static void bare_open(struct bare *bare, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char replies[4096];
    int on = 1;

    bare->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(bare->fd, (struct sockaddr *)&to, sizeof to) == 0);
    setsockopt(bare->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    CHECK(recv(bare->fd, replies, sizeof replies, 0) > 0);
    bare_send(bare, S("EHLO bench.example\r\n"));
    CHECK(recv(bare->fd, replies, sizeof replies, 0) > 0);
}

/* True when a mail was accepted. */
static bool bare_read(struct bare *bare, struct str body)
{
    char replies[4096];
    ssize_t len = recv(bare->fd, replies, sizeof replies, 0);

    CHECK(len > 0);
    for (ssize_t i = 0; i < len; i++)
        if (replies[i] == '\n')
            bare->awaited--;
    if (bare->awaited > 0)
        return false;
    if (bare->in_body)
        return true;
    bare_send(bare, body);
    bare->in_body = true;
    bare->awaited = 1;
    return false;
}

struct effort blast(uint16_t port, size_t mails, size_t sessions,
                    struct str message)
{
    struct bare bares[BLAST_SESSIONS_MAX];
    struct pollfd fds[BLAST_SESSIONS_MAX];
    struct effort effort;
    size_t begun = 0;
    size_t done = 0;
    struct buf body;

    CHECK(sessions > 0 && sessions <= BLAST_SESSIONS_MAX && sessions <= mails);
    buf_init(&body, message.len + 3);
    buf_add(&body, message);
    buf_add_cstr(&body, ".\r\n");
    for (size_t i = 0; i < sessions; i++) {
        bare_open(&bares[i], port);
        fds[i] = (struct pollfd){.fd = bares[i].fd, .events = POLLIN};
    }
    effort = effort_begin(); /* its sessions are open, one after another */
    for (size_t i = 0; i < sessions; i++)
        bare_begin(&bares[i], begun++);
    while (done < mails) {
        CHECK(poll(fds, sessions, -1) > 0);
        for (size_t i = 0; i < sessions; i++) {
            if ((fds[i].revents & POLLIN) == 0 ||
                !bare_read(&bares[i], buf_str(&body)))
                continue;
            done++;
            if (begun < mails)
                bare_begin(&bares[i], begun++);
        }
    }
    effort_end(&effort);
    for (size_t i = 0; i < sessions; i++)
        close(bares[i].fd);
    buf_finish(&body);
    return effort;
}
