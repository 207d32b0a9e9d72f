/* play.h - an SMTP server that plays scripts, in the loop of the test.
 *
 * Each connection plays the next script. A script is a list of lines:
 *   ">250 ok"      the server says it, with CRLF
 *   "=250-half"    the server says it as it stands
 *   "<DATA"        the client must say exactly this line
 *   "<(message)"   any lines up to a lone dot; play.message has them unstuffed
 *   "!close"       the server closes the connection
 *   "!tls"         the server starts TLS
 *   "!hold"        waits for play_go_on
 *   "!move 5000"   both clocks move on by so many milliseconds
 *   "!deaf"        the server reads no more
 * At the end of a script the server is silent, and takes a QUIT.
 */
#ifndef TESTS_SMTP_PLAY_H
#define TESTS_SMTP_PLAY_H

#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/io/listen.h"
#include "server/io/stream.h"

#include "check_cmocka.h"

#include <stdlib.h>
#include <unistd.h>

enum { PLAY_SCRIPTS_MAX = 16 };

struct play {
    struct loop *loop;
    int fd;
    uint16_t port;
    struct acceptor *acceptor;
    struct tls_server *tls; /* for !tls */
    const char *const *scripts[PLAY_SCRIPTS_MAX];
    size_t count; /* scripts */
    size_t accepted;
    struct buf message; /* the last one that came by "<(message)" */
    size_t ended;       /* connections that the client or a script ended */
    struct list actors;
};

struct actor {
    struct list link;
    struct play *play;
    struct stream *stream;
    const char *const *line; /* the next one */
    size_t number;
    bool holds;
};

static inline void actor_close(struct actor *actor)
{
    if (actor->stream == NULL)
        return;
    stream_close(&actor->stream);
    actor->play->ended++;
}

static inline void play_move_clock(int64_t ms)
{
    clock_set(clock_now_ms() + ms, clock_wall_ms() + ms);
}

static inline void actor_do(struct actor *actor, const char *what)
{
    if (strcmp(what, "close") == 0) {
        stream_flush(actor->stream);
        actor_close(actor);
    } else if (strcmp(what, "hold") == 0)
        actor->holds = true;
    else if (strcmp(what, "deaf") == 0)
        stream_pause(actor->stream);
    else if (strcmp(what, "tls") == 0)
        assert_true(
            stream_start_tls_server(actor->stream, actor->play->tls, NULL));
    else if (strncmp(what, "move ", 5) == 0)
        play_move_clock(strtol(what + 5, NULL, 10));
    else
        fail_msg("no such act: %s", what);
}

/* All that need not wait for the client. */
static inline void actor_play(struct actor *actor)
{
    while (actor->stream != NULL && !actor->holds && *actor->line != NULL &&
           **actor->line != '<') {
        const char *line = *actor->line++;

        if (*line == '!') {
            bool is_tls = strcmp(line, "!tls") == 0;

            actor_do(actor, line + 1);
            if (is_tls)
                return; /* secured goes on */
            continue;
        }
        assert_true(stream_write(actor->stream, str_of(line + 1)));
        if (*line == '>')
            assert_true(stream_write(actor->stream, S("\r\n")));
    }
}

/* A line of a message; true at its end. */
static inline bool actor_collect(struct actor *actor, struct str heard)
{
    struct buf *message = &actor->play->message;

    if (str_eq(heard, S(".")))
        return true;
    buf_add(message, str_starts(heard, S(".")) ? str_from(heard, 1) : heard);
    buf_add_cstr(message, "\r\n");
    return false;
}

static inline void actor_hear(struct actor *actor, struct str heard)
{
    const char *want = *actor->line == NULL ? "(nothing)" : *actor->line;

    if (*actor->line == NULL && str_eq(heard, S("QUIT")))
        return;
    if (strcmp(want, "<(message)") == 0) {
        actor->line += actor_collect(actor, heard);
        return;
    }
    if (*want != '<' || !str_eq(str_of(want + 1), heard))
        fail_msg("connection %zu: heard \"%.*s\", expected \"%s\"",
                 actor->number, STR_ARG(heard), want);
    actor->line++;
}

static inline void actor_readable(void *ctx, struct buf *input)
{
    struct actor *actor = ctx;
    ptrdiff_t end;

    while (actor->stream != NULL &&
           (end = str_find(buf_str(input), S("\r\n"), 0)) >= 0) {
        actor_hear(actor, str_slice(buf_str(input), 0, (size_t)end));
        buf_consume(input, (size_t)end + 2);
        actor_play(actor);
    }
}

static inline void actor_secured(void *ctx)
{
    actor_play(ctx);
}

static inline void actor_ended(void *ctx, enum stream_end end,
                               const char *reason)
{
    (void)end;
    (void)reason;
    actor_close(ctx);
}

static inline void play_accept(void *ctx, int fd, const struct address *peer)
{
    static const struct stream_events EVENTS = {
        .secured = actor_secured,
        .readable = actor_readable,
        .ended = actor_ended,
    };
    struct play *play = ctx;
    struct actor *actor = xcalloc(1, sizeof *actor);
    const struct stream_options options = {
        .events = &EVENTS,
        .ctx = actor,
        .input_max = 1024 * 1024,
        .output_max = 4 * 1024 * 1024,
    };

    (void)peer;
    if (play->accepted >= play->count)
        fail_msg("one connection more than there are scripts");
    actor->play = play;
    actor->number = play->accepted;
    actor->line = play->scripts[play->accepted++];
    actor->stream = stream_accept(play->loop, &options, fd);
    list_add_last(&play->actors, &actor->link);
    actor_play(actor);
}

static inline void play_open(struct play *play, struct loop *loop)
{
    const struct listen_options options = {0};
    struct address address;

    *play = (struct play){.loop = loop};
    buf_init(&play->message, 8 * 1024 * 1024);
    list_init(&play->actors);
    play->fd = listen_open("127.0.0.1:0", &options, NULL);
    assert_true(play->fd >= 0);
    listen_address(play->fd, &address);
    play->port = address_port(&address);
    play->acceptor = acceptor_open(loop, play->fd, play_accept, play);
}

static inline void play_add(struct play *play, const char *const *script)
{
    assert_true(play->count < PLAY_SCRIPTS_MAX);
    play->scripts[play->count++] = script;
}

/* Every connection that holds plays on. */
static inline void play_go_on(struct play *play)
{
    list_each (link, &play->actors) {
        struct actor *actor = LIST_MEMBER(link, struct actor, link);

        if (actor->holds) {
            actor->holds = false;
            actor_play(actor);
        }
    }
}

/* Whether every line of every script was played. */
static inline void play_assert_over(struct play *play)
{
    assert_int_equal(play->accepted, play->count);
    list_each (link, &play->actors) {
        struct actor *actor = LIST_MEMBER(link, struct actor, link);

        if (*actor->line != NULL)
            fail_msg("connection %zu: \"%s\" did not come", actor->number,
                     *actor->line);
    }
}

static inline void play_close(struct play *play)
{
    list_each_safe (link, &play->actors) {
        struct actor *actor = LIST_MEMBER(link, struct actor, link);

        actor_close(actor);
        free(actor);
    }
    acceptor_close(&play->acceptor);
    close(play->fd);
    tls_server_destroy(&play->tls);
    buf_finish(&play->message);
}

#endif
