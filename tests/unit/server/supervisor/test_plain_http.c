/* The server of short answers with real sockets, clients and server in one
 * loop. The clock stands still unless a test moves it. */
#include "server/supervisor/plain_http.h"

#include "server/base/clock.h"
#include "server/io/listen.h"
#include "server/supervisor/plain_head.h"

#include "raw_client.h"

#include <signal.h>

enum { WALL_S = 1790000000, LARGE = 3 << 20 };

struct world {
    struct loop *loop;
    struct plain_http *http;
    int listen_fd;
    struct address address;
    int64_t now_ms;
};

static void hello(void *ctx, struct str accept, struct plain_answer *answer)
{
    (void)ctx;
    (void)accept;
    buf_add_cstr(&answer->body, "hello");
    answer->type = "text/plain";
}

static void busy(void *ctx, struct str accept, struct plain_answer *answer)
{
    (void)ctx;
    (void)accept;
    buf_add_cstr(&answer->body, "{}");
    answer->status = 503;
}

static void write_bytes(struct plain_answer *answer, size_t count)
{
    char *space = buf_space(&answer->body, PLAIN_HTTP_BODY_MAX);

    assert_non_null(space);
    memset(space, 'x', count);
    buf_grown(&answer->body, count);
}

static void large(void *ctx, struct str accept, struct plain_answer *answer)
{
    (void)ctx;
    (void)accept;
    write_bytes(answer, LARGE);
}

static void too_large(void *ctx, struct str accept, struct plain_answer *answer)
{
    (void)ctx;
    (void)accept;
    write_bytes(answer, PLAIN_HTTP_BODY_MAX);
    buf_add_char(&answer->body, 'x');
}

static void refuse(void *ctx, struct plain_answer *answer, const char *detail)
{
    (void)ctx;
    buf_addf(&answer->body, "{\"statusCode\":%u,\"message\":\"%s\"}",
             answer->status, detail);
}

static const struct plain_page PAGES[] = {
    {"/hello", hello},
    {"/busy", busy},
    {"/large", large},
    {"/too-large", too_large},
};

static int setup(void **state)
{
    const struct plain_http_options options = {
        .pages = PAGES, .page_count = COUNT_OF(PAGES), .refuse = refuse};
    const struct listen_options listen_options = {.backlog = 0};
    struct world *world = xcalloc(1, sizeof *world);
    struct error err;

    signal(SIGPIPE, SIG_IGN);
    world->now_ms = 1000000;
    clock_set(world->now_ms, WALL_S * 1000LL);
    world->loop = loop_create();
    world->listen_fd = listen_open("127.0.0.1:0", &listen_options, &err);
    assert_true(world->listen_fd >= 0);
    /* The sockets that come of it take little of a large answer. */
    assert_int_equal(setsockopt(world->listen_fd, SOL_SOCKET, SO_SNDBUF,
                                &(int){65536}, sizeof(int)),
                     0);
    listen_address(world->listen_fd, &world->address);
    world->http = plain_http_open(world->loop, world->listen_fd, &options);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    plain_http_close(&world->http);
    close(world->listen_fd);
    loop_destroy(&world->loop);
    clock_set(-1, -1);
    free(world);
    return 0;
}

static struct client *enter(const struct world *world)
{
    return client_open(world->loop, &world->address, NULL);
}

static void pass_ms(struct world *world, int64_t ms)
{
    world->now_ms += ms;
    clock_set(world->now_ms, WALL_S * 1000LL);
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
}

static const struct {
    const char *name;
    struct str bytes;
    const char *answer; /* all of it behind the date */
} CASES[] = {
    {"GET", STR("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"),
     "Connection: close\r\nContent-Type: text/plain\r\n"
     "Content-Length: 5\r\n\r\nhello"},
    {"HEAD", STR("HEAD /hello HTTP/1.1\r\n\r\n"),
     "Connection: close\r\nContent-Type: text/plain\r\n"
     "Content-Length: 5\r\n\r\n"},
    {"a page that is not well", STR("GET /busy HTTP/1.1\r\n\r\n"),
     "Connection: close\r\nContent-Type: application/json\r\n"
     "Content-Length: 2\r\n\r\n{}"},
    {"no such page", STR("GET /hell HTTP/1.1\r\n\r\n"),
     "Connection: close\r\nContent-Type: application/json\r\n"
     "Content-Length: 61\r\n\r\n"
     "{\"statusCode\":404,\"message\":\"There is nothing at this path.\"}"},
    {"another method", STR("POST /hello HTTP/1.1\r\n\r\nwith a body"),
     "Connection: close\r\nAllow: GET, HEAD\r\n"
     "Content-Type: application/json\r\nContent-Length: 64\r\n\r\n"
     "{\"statusCode\":405,\"message\":\"The path takes GET and HEAD only.\"}"},
    {"no HTTP", STR("EHLO me\r\n\r\n"),
     "Connection: close\r\nContent-Type: application/json\r\n"
     "Content-Length: 59\r\n\r\n"
     "{\"statusCode\":400,\"message\":\"The request is not HTTP/1.1.\"}"},
    {"too large an answer", STR("GET /too-large HTTP/1.1\r\n\r\n"),
     "Connection: close\r\nContent-Type: application/json\r\n"
     "Content-Length: 59\r\n\r\n"
     "{\"statusCode\":500,\"message\":\"The answer became too large.\"}"},
};

static void each_request_gets_one_answer_and_the_end(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct client *client = enter(world);
        struct str heard;

        say(client, CASES[i].bytes);
        turn_until_ended(client);
        heard = buf_str(&client->in);
        heard = str_from(heard, (size_t)str_find(heard, S("Connection:"), 0));
        if (!str_eq(heard, str_of(CASES[i].answer)))
            fail_msg("%s: %.*s", CASES[i].name, STR_ARG(heard));
        client_close(client);
    }
}

static void an_answer_has_a_first_line_and_a_date(void **state)
{
    struct client *client = enter(*state);

    say(client, S("GET /busy HTTP/1.1\r\n\r\n"));
    turn_until_ended(client);
    assert_true(str_starts(buf_str(&client->in),
                           S("HTTP/1.1 503 Service Unavailable\r\n"
                             "Date: Mon, 21 Sep 2026 14:13:20 GMT\r\n")));
    client_close(client);
}

static void a_head_may_come_in_pieces(void **state)
{
    struct client *client = enter(*state);
    struct str head = S("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");

    for (size_t i = 0; i < head.len; i++) {
        say(client, str_slice(head, i, 1));
        loop_turn(client->loop, 0);
    }
    turn_until_heard(client, "hello", 1);
    client_close(client);
}

static void a_head_has_a_limit(void **state)
{
    static char bytes[2 * PLAIN_HEAD_MAX];
    struct client *client = enter(*state);

    memset(bytes, 'x', sizeof bytes);
    say(client, str_make(bytes, sizeof bytes));
    turn_until_ended(client);
    assert_true(has(client, "{\"statusCode\":431,"));
    client_close(client);
}

static void a_client_that_has_hung_up_is_answered(void **state)
{
    struct client *client = enter(*state);

    say(client, S("GET /large HTTP/1.1\r\n\r\n"));
    shutdown(client->fd, SHUT_WR);
    turn_until_ended(client);
    assert_true(client->in.len > LARGE);
    client_close(client);
}

static void slow_heads_and_slow_readers_are_dropped(void **state)
{
    struct world *world = *state;
    struct client *slow = enter(world);
    struct client *deaf = enter(world);

    say(slow, S("GET /hello"));
    say(deaf, S("GET /large HTTP/1.1\r\n\r\n"));
    pass_ms(world, 0); /* they are in */
    pass_ms(world, 9999);
    hear(slow);
    assert_false(slow->ended);
    pass_ms(world, 1);
    turn_until_ended(slow);
    assert_int_equal(slow->in.len, 0);
    pass_ms(world, 10000);
    turn_until_ended(deaf);
    assert_true(deaf->in.len < LARGE);
    client_close(slow);
    client_close(deaf);
}

static void more_clients_wait_for_their_turn(void **state)
{
    struct world *world = *state;
    struct client *idle[PLAIN_HTTP_CLIENTS_MAX];
    struct client *more;

    for (size_t i = 0; i < COUNT_OF(idle); i++) {
        idle[i] = enter(world);
        loop_turn(world->loop, 0);
    }
    more = enter(world);
    say(more, S("GET /hello HTTP/1.1\r\n\r\n"));
    for (int i = 0; i < 20; i++)
        loop_turn(world->loop, 0);
    hear(more);
    assert_int_equal(more->in.len, 0);
    client_close(idle[0]);
    turn_until_heard(more, "hello", 1);
    client_close(more);
    for (size_t i = 1; i < COUNT_OF(idle); i++)
        client_close(idle[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_request_gets_one_answer_and_the_end),
        TEST(an_answer_has_a_first_line_and_a_date),
        TEST(a_head_may_come_in_pieces),
        TEST(a_head_has_a_limit),
        TEST(a_client_that_has_hung_up_is_answered),
        TEST(slow_heads_and_slow_readers_are_dropped),
        TEST(more_clients_wait_for_their_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
