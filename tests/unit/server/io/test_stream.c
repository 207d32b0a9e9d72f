#include "server/io/stream.h"

#include "server/base/clock.h"

#include "stream_probe.h"

#include <stdlib.h>

static int setup(void **state)
{
    *state = loop_create();
    return 0;
}

static int teardown(void **state)
{
    struct loop *loop = *state;

    loop_turn(loop, 0); /* frees what the test closed */
    loop_destroy(&loop);
    return 0;
}

static void assert_got(const struct probe *probe, const char *text)
{
    assert_int_equal(probe->got.len, strlen(text));
    assert_memory_equal(probe->got.data, text, strlen(text));
}

static void connects_talks_and_ends_in_order(void **state)
{
    struct loop *loop = *state;
    struct address address;
    int listener = probe_listen(&address);
    struct probe client;
    struct probe server;

    probe_connect(&client, loop, &address);
    assert_true(stream_write(client.stream, S("early ")));
    turn_until(loop, probe_saw(&client, "o"));
    probe_accept(&server, loop, accept(listener, NULL, NULL));
    assert_true(stream_write(client.stream, S("late")));
    turn_until(loop, server.got.len == 10);
    assert_got(&server, "early late");
    assert_true(stream_write(server.stream, S("answer")));
    turn_until(loop, client.got.len == 6);
    assert_string_equal(server.trace, "rd");
    stream_close(&client.stream);
    turn_until(loop, probe_saw(&server, "e"));
    assert_int_equal(server.end, STREAM_EOF);
    probe_finish(&client);
    probe_finish(&server);
    close(listener);
}

static void refusal_is_told_after_the_call(void **state)
{
    struct loop *loop = *state;
    struct address tcp;
    struct address path;
    struct probe probe;

    close(probe_listen(&tcp)); /* now nobody listens there */
    probe_connect(&probe, loop, &tcp);
    turn_until(loop, probe_saw(&probe, "e"));
    assert_string_equal(probe.trace, "e");
    assert_int_equal(probe.end, STREAM_REFUSED);
    assert_string_equal(probe.reason, "Connection refused");
    probe_finish(&probe);

    assert_true(address_of_path(S("/nonexistent/socket"), &path));
    probe_connect(&probe, loop, &path);
    turn_until(loop, probe_saw(&probe, "e"));
    assert_int_equal(probe.end, STREAM_REFUSED);
    probe_finish(&probe);
}

static void a_source_that_is_not_ours_is_unreachable(void **state)
{
    struct loop *loop = *state;
    struct address to;
    struct address from;
    int listener = probe_listen(&to);
    struct probe probe;
    struct stream_options options = probe_options(&probe);

    assert_true(address_parse(S("192.0.2.77"), 0, &from));
    probe.stream = stream_connect(loop, &options, &to, &from);
    turn_until(loop, probe_saw(&probe, "e"));
    assert_int_equal(probe.end, STREAM_UNREACHABLE);
    probe_finish(&probe);
    close(listener);
}

/* Records of a SEQPACKET socket show each write as it was. */
static void a_turn_leaves_in_one_write(void **state)
{
    struct loop *loop = *state;
    struct probe probe;
    char record[64];
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    probe_accept(&probe, loop, ends[0]);
    assert_true(stream_write(probe.stream, S("MAIL ")));
    buf_add_cstr(stream_output(probe.stream), "RCPT ");
    assert_true(stream_write(probe.stream, S("DATA")));
    assert_int_equal(stream_queued_bytes(probe.stream), 14);
    turn_until(loop, probe_saw(&probe, "d"));
    assert_int_equal(recv(ends[1], record, sizeof record, 0), 14);
    assert_memory_equal(record, "MAIL RCPT DATA", 14);
    assert_int_equal(stream_sent_bytes(probe.stream), 14);
    assert_true(stream_write(probe.stream, S("QUIT")));
    stream_flush(probe.stream);
    stream_close(&probe.stream);
    assert_int_equal(recv(ends[1], record, sizeof record, 0), 4);
    probe_finish(&probe);
    close(ends[1]);
}

static void write_elsewhere(void *ctx, int events)
{
    struct probe *probe = ctx;

    (void)events;
    assert_true(stream_write(probe->stream, S("pong")));
}

/* Two things happen in one turn, and both write to the same stream. */
static void events_of_a_turn_share_a_write(void **state)
{
    struct loop *loop = *state;
    struct probe probe;
    struct watch *watch;
    char record[64];
    int ends[2];
    int other[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    assert_int_equal(pipe(other), 0);
    probe_accept(&probe, loop, ends[0]);
    loop_turn(loop, 0); /* it reads from now on */
    probe.answer = "ping";
    watch = watch_open(loop, other[0], write_elsewhere, &probe);
    watch_set(watch, WATCH_READ);
    assert_int_equal(send(ends[1], "?", 1, 0), 1);
    assert_int_equal(write(other[1], "!", 1), 1);
    loop_turn(loop, 1000);
    assert_int_equal(recv(ends[1], record, sizeof record, MSG_DONTWAIT), 8);
    watch_close(&watch);
    probe_finish(&probe);
    close(ends[1]);
    close(other[0]);
    close(other[1]);
}

static void close_drops_what_has_not_left(void **state)
{
    struct loop *loop = *state;
    struct probe probe;
    char bytes[8];
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    probe_accept(&probe, loop, ends[0]);
    assert_true(stream_write(probe.stream, S(".\r\n")));
    stream_close(&probe.stream);
    assert_int_equal(recv(ends[1], bytes, sizeof bytes, 0), 0);
    probe_finish(&probe);
    close(ends[1]);
}

/* Decided in time, but the process slept before its turn ended. */
static void what_is_late_does_not_leave(void **state)
{
    struct loop *loop = *state;
    struct probe a;
    struct probe b;

    clock_set(1000, 1000);
    probe_pair(loop, &a, &b);
    assert_true(stream_write(a.stream, S("in time")));
    stream_write_by(a.stream, 2000);
    clock_set(1999, 1999);
    turn_until(loop, b.got.len == 7);
    clock_set(3000, 3000); /* that limit went with its bytes */
    assert_true(stream_write(a.stream, S(" free")));
    turn_until(loop, b.got.len == 12);
    assert_true(stream_write(a.stream, S(" late")));
    stream_write_by(a.stream, 4000);
    clock_set(4000, 4000);
    turn_until(loop, probe_saw(&a, "e"));
    assert_int_equal(a.end, STREAM_STALE);
    stream_close(&a.stream);
    turn_until(loop, probe_saw(&b, "e"));
    assert_got(&b, "in time free");
    probe_finish(&a);
    probe_finish(&b);
    clock_set(-1, -1);
}

static void trickled_bytes_gather(void **state)
{
    struct loop *loop = *state;
    struct probe probe;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    probe_accept(&probe, loop, ends[0]);
    probe.keep = true;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(write(ends[1], &"hello"[i], 1), 1);
        turn_until(loop, stream_input(probe.stream)->len == i + 1);
    }
    probe.keep = false;
    stream_resume(probe.stream);
    turn_until(loop, probe.got.len == 5);
    assert_got(&probe, "hello");
    probe_finish(&probe);
    close(ends[1]);
}

static void a_full_input_stops_reading(void **state)
{
    struct loop *loop = *state;
    struct probe probe;
    char *bytes = calloc(1, PROBE_MAX);
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    probe_accept(&probe, loop, ends[0]);
    probe.keep = true;
    assert_int_equal(write(ends[1], bytes, PROBE_MAX), PROBE_MAX);
    turn_until(loop, stream_input(probe.stream)->len == PROBE_MAX);
    assert_int_equal(write(ends[1], "more", 4), 4);
    close(ends[1]);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, 0);
    assert_int_equal(stream_input(probe.stream)->len, PROBE_MAX);
    assert_false(probe_saw(&probe, "e"));
    probe.keep = false;
    stream_resume(probe.stream);
    turn_until(loop, probe_saw(&probe, "e"));
    assert_int_equal(probe.got.len, PROBE_MAX + 4);
    assert_int_equal(probe.end, STREAM_EOF);
    probe_finish(&probe);
    free(bytes);
}

static void a_paused_stream_hears_nothing(void **state)
{
    struct loop *loop = *state;
    struct probe a;
    struct probe b;

    probe_pair(loop, &a, &b);
    stream_pause(b.stream);
    assert_true(stream_write(a.stream, S("x")));
    turn_until(loop, probe_saw(&a, "d"));
    stream_close(&a.stream);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, 0);
    assert_string_equal(b.trace, "");
    stream_resume(b.stream);
    turn_until(loop, probe_saw(&b, "e"));
    assert_got(&b, "x");
    probe_finish(&a);
    probe_finish(&b);
}

/* Fills the output until it refuses, waits for drained, and again. */
static void output_is_bounded_and_tells_when_it_drained(void **state)
{
    struct loop *loop = *state;
    static char block[8 * 1024];
    const size_t goal = 4 * 1024 * 1024;
    size_t written = 0;
    struct probe a;
    struct probe b;

    probe_pair(loop, &a, &b);
    while (written < goal) {
        memset(block, (int)('a' + written / sizeof block % 26), sizeof block);
        if (stream_write(a.stream, str_make(block, sizeof block))) {
            written += sizeof block;
            continue;
        }
        assert_true(stream_queued_bytes(a.stream) <= PROBE_MAX);
        probe_forget(&a);
        turn_until(loop, probe_saw(&a, "d"));
    }
    turn_until(loop, b.got.len == goal);
    for (size_t i = 0; i < goal; i += sizeof block)
        assert_int_equal(b.got.data[i], 'a' + i / sizeof block % 26);
    assert_int_equal(stream_sent_bytes(a.stream), goal);
    probe_finish(&a);
    probe_finish(&b);
}

static void half_closed_peers_are_still_answered(void **state)
{
    struct loop *loop = *state;
    struct probe probe;
    char bytes[8];
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    probe_accept(&probe, loop, ends[0]);
    assert_int_equal(write(ends[1], "QUIT", 4), 4);
    shutdown(ends[1], SHUT_WR);
    turn_until(loop, probe_saw(&probe, "re"));
    assert_int_equal(probe.end, STREAM_EOF);
    assert_true(stream_write(probe.stream, S("221")));
    turn_until(loop, probe_saw(&probe, "d"));
    assert_int_equal(recv(ends[1], bytes, sizeof bytes, 0), 3);
    close(ends[1]);
    assert_true(stream_write(probe.stream, S("gone")));
    probe_forget(&probe);
    turn_until(loop, probe_saw(&probe, "d")); /* dropped, and told once */
    loop_turn(loop, 0);
    assert_string_equal(probe.trace, "d");
    probe_finish(&probe);
}

/* A linger time of 0 makes close() send a reset. */
static void close_with_reset(int fd)
{
    struct linger linger = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void a_reset_is_no_end_of_file(void **state)
{
    struct loop *loop = *state;
    struct address address;
    int listener = probe_listen(&address);
    struct probe probe;

    probe_connect(&probe, loop, &address);
    turn_until(loop, probe_saw(&probe, "o"));
    close_with_reset(accept(listener, NULL, NULL));
    turn_until(loop, probe_saw(&probe, "e"));
    assert_int_equal(probe.end, STREAM_RESET);
    assert_true(stream_write(probe.stream, S("into the void")));
    loop_turn(loop, 0);
    assert_string_equal(probe.trace, "oe");
    probe_finish(&probe);
    close(listener);
}

/* The peer speaks and goes while we write: its words come before the end. */
static void last_words_survive_a_failing_write(void **state)
{
    struct loop *loop = *state;
    struct probe probe;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    probe_accept(&probe, loop, ends[0]);
    assert_int_equal(write(ends[1], "421 bye", 7), 7);
    close(ends[1]);
    assert_true(stream_write(probe.stream, S("body")));
    stream_flush(probe.stream); /* fails, and calls nobody back */
    assert_string_equal(probe.trace, "");
    turn_until(loop, probe_saw(&probe, "e"));
    assert_string_equal(probe.trace, "re");
    assert_got(&probe, "421 bye");
    assert_int_equal(probe.end, STREAM_RESET);
    probe_finish(&probe);
}

static void closed_in_a_callback_means_no_further_one(void **state)
{
    struct loop *loop = *state;
    static const char letters[] = "orde";
    struct address address;
    int listener = probe_listen(&address);
    struct probe probe;
    int peer;

    for (size_t i = 0; i < strlen(letters); i++) {
        probe_connect(&probe, loop, &address);
        probe.close_on = letters[i];
        peer = accept(listener, NULL, NULL);
        assert_int_equal(write(peer, "x", 1), 1);
        shutdown(peer, SHUT_WR);
        assert_true(stream_write(probe.stream, S("y")));
        turn_until(loop, probe.stream == NULL);
        assert_int_equal(probe.trace[strlen(probe.trace) - 1], letters[i]);
        for (int turns = 0; turns < 5; turns++)
            loop_turn(loop, 0);
        probe_finish(&probe);
        close(peer);
    }
    close(listener);
}

static void closed_before_the_first_turn(void **state)
{
    struct loop *loop = *state;
    struct address address;
    int listener = probe_listen(&address);
    struct probe probe;

    probe_connect(&probe, loop, &address);
    stream_close(&probe.stream);
    stream_close(&probe.stream); /* null is fine */
    for (int turns = 0; turns < 5; turns++)
        loop_turn(loop, 0);
    assert_string_equal(probe.trace, "");
    probe_finish(&probe);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(connects_talks_and_ends_in_order),
        TEST(refusal_is_told_after_the_call),
        TEST(a_source_that_is_not_ours_is_unreachable),
        TEST(a_turn_leaves_in_one_write),
        TEST(events_of_a_turn_share_a_write),
        TEST(close_drops_what_has_not_left),
        TEST(what_is_late_does_not_leave),
        TEST(trickled_bytes_gather),
        TEST(a_full_input_stops_reading),
        TEST(a_paused_stream_hears_nothing),
        TEST(output_is_bounded_and_tells_when_it_drained),
        TEST(half_closed_peers_are_still_answered),
        TEST(a_reset_is_no_end_of_file),
        TEST(last_words_survive_a_failing_write),
        TEST(closed_in_a_callback_means_no_further_one),
        TEST(closed_before_the_first_turn),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
