/* stream_probe.h - an end of a stream that notes what it is told. */
#ifndef TESTS_STREAM_PROBE_H
#define TESTS_STREAM_PROBE_H

#include "server/base/buf.h"
#include "server/io/loop.h"
#include "server/io/stream.h"

#include "check_cmocka.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROBE_MAX = 64 * 1024 };

/* What happened, a letter each: o opened, s secured, r readable, d drained,
 * e ended. Bytes are taken unless keep says how many may stay. */
struct probe {
    struct stream *stream;
    char trace[256];
    struct buf got;
    bool keep;          /* takes nothing from the input */
    const char *answer; /* written for each readable, if set */
    char close_on;      /* closes at that letter */
    enum stream_end end;
    char reason[256];
    bool in_call; /* a call of the module is under way */
};

static inline bool probe_note(struct probe *probe, char what)
{
    size_t len = strlen(probe->trace);

    assert_false(probe->in_call);
    assert_non_null(probe->stream); /* nothing after close */
    if (len + 1 < sizeof probe->trace &&
        !(what == 'r' && len > 0 && probe->trace[len - 1] == 'r'))
        probe->trace[len] = what;
    if (probe->close_on == what) {
        stream_close(&probe->stream);
        return false;
    }
    return true;
}

static inline void probe_opened(void *ctx)
{
    probe_note(ctx, 'o');
}

static inline void probe_secured(void *ctx)
{
    probe_note(ctx, 's');
}

static inline void probe_readable(void *ctx, struct buf *input)
{
    struct probe *probe = ctx;

    if (!probe_note(probe, 'r') || probe->keep)
        return;
    buf_add(&probe->got, buf_str(input));
    buf_consume(input, input->len);
    if (probe->answer != NULL)
        assert_true(stream_write(probe->stream, str_of(probe->answer)));
}

static inline void probe_drained(void *ctx)
{
    probe_note(ctx, 'd');
}

static inline void probe_ended(void *ctx, enum stream_end end,
                               const char *reason)
{
    struct probe *probe = ctx;

    probe->end = end;
    snprintf(probe->reason, sizeof probe->reason, "%s", reason);
    probe_note(probe, 'e');
}

static const struct stream_events PROBE_EVENTS = {
    .opened = probe_opened,
    .secured = probe_secured,
    .readable = probe_readable,
    .drained = probe_drained,
    .ended = probe_ended,
};

static inline struct stream_options probe_options(struct probe *probe)
{
    memset(probe, 0, sizeof *probe);
    buf_init(&probe->got, 64 * 1024 * 1024);
    return (struct stream_options){&PROBE_EVENTS, probe, PROBE_MAX, PROBE_MAX};
}

static inline void probe_accept(struct probe *probe, struct loop *loop, int fd)
{
    struct stream_options options = probe_options(probe);

    probe->in_call = true;
    probe->stream = stream_accept(loop, &options, fd);
    probe->in_call = false;
}

static inline void probe_connect(struct probe *probe, struct loop *loop,
                                 const struct address *to)
{
    struct stream_options options = probe_options(probe);

    probe->in_call = true;
    probe->stream = stream_connect(loop, &options, to, NULL);
    probe->in_call = false;
}

static inline void probe_forget(struct probe *probe)
{
    memset(probe->trace, 0, sizeof probe->trace);
}

static inline void probe_finish(struct probe *probe)
{
    stream_close(&probe->stream);
    buf_finish(&probe->got);
}

static inline bool probe_saw(const struct probe *probe, const char *letters)
{
    return strstr(probe->trace, letters) != NULL;
}

/* Turns the loop until condition holds; a wait of 10 s is a failure. */
#define turn_until(loop, condition)                                            \
    do {                                                                       \
        for (int turns_ = 0; !(condition); turns_++) {                         \
            assert_true(turns_ < 100000);                                      \
            loop_turn(loop, 10000);                                            \
        }                                                                      \
    } while (0)

/* Two probes joined by a socket pair. */
static inline void probe_pair(struct loop *loop, struct probe *a,
                              struct probe *b)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    probe_accept(a, loop, ends[0]);
    probe_accept(b, loop, ends[1]);
}

/* A listening TCP socket on a free port of 127.0.0.1. */
static inline int probe_listen(struct address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(address_parse(S("127.0.0.1"), 0, address));
    assert_int_equal(bind(fd, &address->at.any, address->len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, &address->at.any, &address->len), 0);
    return fd;
}

#endif
