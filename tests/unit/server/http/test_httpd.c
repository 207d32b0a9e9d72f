/* The server with real sockets, clients and server in one loop. */
#include "http_world.h"

#include <stdio.h>

/* --- now or later --- */

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    say(client, S("GET /echo?q=1 HTTP/1.1\r\nHost: h\r\n\r\n"
                  "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"
                  "POST /echo?q=3 HTTP/1.1\r\nHost: h\r\n" JSON
                  "Content-Length: 2\r\n\r\n{}"
                  "GET /echo?q=4 HTTP/1.1\r\nHost: h\r\n\r\n"));
    turn_until_asked(world, 2);
    turn_until_heard(client, "q=1", 1);
    assert_false(has(client, "q=3"));
    assert_int_equal(httpd_in_flight(world->httpd), 1);
    reply_text(world->held[0], 200, S("q=2"));
    turn_until_heard(client, "q=4", 1);
    assert_int_equal(times(client, "HTTP/1.1 200"), 4);
    assert_true(str_find(buf_str(&client->in), S("q=2"), 0) <
                str_find(buf_str(&client->in), S("q=3"), 0));
    client_close(client);
}

static void an_answer_may_come_in_the_same_turn_or_later(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    for (int i = 0; i < 3; i++) {
        say(client, S("POST /hold HTTP/1.1\r\nHost: h\r\n" JSON
                      "Content-Length: 2\r\n\r\n{}"));
        turn_until_asked(world, (size_t)i + 1);
        for (int turns = 0; turns < i; turns++)
            loop_turn(world->loop, 0);
        assert_true(str_eq(http_body(world->held[0]), S("{}")));
        reply_text(world->held[0], 200, S("held"));
        world->held_count = 0;
        turn_until_heard(client, "held", (size_t)i + 1);
    }
    client_close(client);
}

static void a_client_that_leaves_meanwhile_does_no_harm(void **state)
{
    struct world *world = *state;
    struct client *clients[50];

    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        clients[i] = enter(world);
        say(clients[i], GET("/hold"));
    }
    turn_until_asked(world, COUNT_OF(clients));
    for (size_t i = 0; i < COUNT_OF(clients); i++)
        client_close(clients[i]);
    for (int i = 0; i < 10; i++)
        loop_turn(world->loop, 0);
    for (size_t i = 0; i < world->held_count; i++)
        reply_text(world->held[i], 200, S("nobody hears this"));
    for (int i = 0; i < RAW_TURNS_MAX && httpd_connections(world->httpd) > 0;
         i++)
        loop_turn(world->loop, 1);
    assert_int_equal(httpd_connections(world->httpd), 0);
    assert_int_equal(httpd_in_flight(world->httpd), 0);
}

/* A thread may be at work in it while the answer is made. */
static void the_arena_of_who_holds_a_request_is_left_to_him(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);
    struct http_request *request;
    struct arena *arena;
    struct str text;

    say(client, GET("/hold"));
    turn_until_asked(world, 1);
    request = world->held[0];
    arena = http_arena(request);
    http_hold(request);
    assert_ptr_not_equal(http_arena(request), arena);
    http_add_field(request, "X-Late", S("yes"));
    reply_text(request, 503, S("late"));
    turn_until_heard(client, "late", 1);
    assert_true(has(client, "X-Late: yes\r\n"));
    client_close(client);
    for (int i = 0; i < RAW_TURNS_MAX && httpd_connections(world->httpd) > 0;
         i++)
        loop_turn(world->loop, 1);
    text = arena_printf(arena, "still %s", "there");
    assert_true(str_eq(text, S("still there")));
    http_let_go(request);
}

/* The library writes the next request where the one before it stood. */
static void what_is_known_of_a_held_request_outlives_its_answer(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);
    struct http_request *request;
    struct str q = S("-");

    say(client, S("GET /hold?q=first HTTP/1.1\r\nHost: h\r\n"
                  "Authorization: Bearer first\r\n\r\n"));
    turn_until_asked(world, 1);
    request = world->held[0];
    http_hold(request);
    reply_text(request, 503, S("late"));
    turn_until_heard(client, "late", 1);
    say(client, S("GET /hold?q=other HTTP/1.1\r\nHost: h\r\n"
                  "Authorization: Bearer other\r\n\r\n"));
    turn_until_asked(world, 2);
    assert_true(http_query(request, "q", &q));
    assert_true(str_eq(q, S("first")));
    assert_true(
        str_eq(http_field(request, HTTP_AUTHORIZATION), S("Bearer first")));
    http_let_go(request);
    reply_text(world->held[1], 200, S("in time"));
    turn_until_heard(client, "in time", 1);
    client_close(client);
}

static void the_handlers_deadline_fires_once(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    say(client, GET("/second"));
    turn_until_asked(world, 1);
    pass_ms(world, 999);
    assert_int_equal(world->deadlines, 0);
    pass_ms(world, 1);
    assert_int_equal(world->deadlines, 1);
    turn_until_heard(client, "late", 1);
    say(client, GET("/second"));
    turn_until_asked(world, 2);
    reply_text(world->held[--world->held_count], 200, S("in time"));
    pass_ms(world, 2000);
    assert_int_equal(world->deadlines, 1);
    turn_until_heard(client, "in time", 1);
    client_close(client);
}

static void lockstep(struct world *world, size_t count)
{
    struct client **clients = xcalloc(count, sizeof *clients);

    for (size_t i = 0; i < count; i++)
        clients[i] = enter(world);
    for (size_t round = 1; round <= 3; round++) {
        world->asked = 0;
        for (size_t i = 0; i < count; i++)
            say(clients[i], GET("/hold"));
        turn_until_asked(world, count);
        for (size_t i = 0; i < count; i++)
            reply_text(world->held[i], 200, S("step"));
        world->held_count = 0;
        for (size_t i = 0; i < count; i++)
            turn_until_heard(clients[i], "step", round);
    }
    for (size_t i = 0; i < count; i++)
        client_close(clients[i]);
    free(clients);
}

/* The library's own epoll thread hangs at exactly these numbers. */
static void connections_in_lockstep_do_not_hang(void **state)
{
    lockstep(*state, 127);
    lockstep(*state, 128);
    lockstep(*state, 256);
    lockstep(*state, 512);
}

/* --- addresses --- */

static void an_address_has_its_limit_of_connections(void **state)
{
    struct httpd_options options = options_for(*state);
    struct world *world;
    struct client *clients[4];

    options.connections_per_ip = 2;
    world = world_open(&options, "127.0.0.1:0");
    for (size_t i = 0; i < 3; i++) {
        clients[i] = enter(world);
        loop_turn(world->loop, 10);
    }
    turn_until_ended(clients[2]);
    clients[3] = client_open(world->loop, &world->address, "127.0.0.2");
    say(clients[3], GET("/who"));
    turn_until_heard(clients[3], "127.0.0.2", 1);
    say(clients[0], GET("/who"));
    turn_until_heard(clients[0], "127.0.0.1", 1);
    for (size_t i = 0; i < 4; i++)
        client_close(clients[i]);
    world_close(world);
}

static void only_a_trusted_proxy_speaks_for_others(void **state)
{
    struct httpd_options options = options_for(*state);
    static const char *const trusted[] = {"127.0.0.2/32"};
    struct world *world;
    struct client *proxy;
    struct client *client;

    options.trusted_proxies = trusted;
    options.trusted_proxy_count = 1;
    world = world_open(&options, "127.0.0.1:0");
    proxy = client_open(world->loop, &world->address, "127.0.0.2");
    client = enter(world);
    say(proxy, S("GET /who HTTP/1.1\r\nHost: h\r\n"
                 "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n\r\n"));
    turn_until_heard(proxy, "203.0.113.9", 1);
    assert_false(has(proxy, "6.6.6.6"));
    say(client, S("GET /who HTTP/1.1\r\nHost: h\r\n"
                  "X-Forwarded-For: 203.0.113.9\r\n\r\n"));
    turn_until_heard(client, "127.0.0.1", 1);
    client_close(proxy);
    client_close(client);
    world_close(world);
}

static void more_connections_than_allowed_wait_their_turn(void **state)
{
    struct httpd_options options = options_for(*state);
    struct world *world;
    struct client *first, *second;

    options.connections_max = 1;
    world = world_open(&options, "127.0.0.1:0");
    first = enter(world);
    say(first, GET("/echo"));
    turn_until_heard(first, "body=;", 1);
    second = enter(world);
    say(second, GET("/echo"));
    for (int i = 0; i < 10; i++)
        loop_turn(world->loop, 1);
    hear(second);
    assert_int_equal(second->in.len, 0);
    client_close(first);
    turn_until_heard(second, "body=;", 1);
    client_close(second);
    world_close(world);
}

static void unix_sockets_serve_as_well(void **state)
{
    char where[64];
    struct world *world;
    struct client *client;

    (void)state;
    snprintf(where, sizeof where, "unix:/tmp/test_httpd.%d", (int)getpid());
    world = world_open(NULL, where);
    client = enter(world);
    say(client, GET("/who"));
    turn_until_heard(client, "\r\n\r\nunix", 1);
    client_close(client);
    world_close(world);
    unlink(where + 5);
}

/* --- drain --- */

static void note_drained(void *ctx)
{
    struct world *world = ctx;

    world->drained = true;
}

static void a_drain_answers_all_that_was_accepted(void **state)
{
    struct world *world = *state;
    struct client *idle = enter(world);
    struct client *busy = enter(world);
    struct client *half = enter(world);
    struct client *waiting;

    say(idle, GET("/echo"));
    turn_until_heard(idle, "body=;", 1);
    say(busy, GET("/hold"));
    turn_until_asked(world, 2);
    say(half, S("POST /echo?q=half HTTP/1.1\r\nHost: h\r\n" JSON
                "Content-Length: 2\r\n\r\n{"));
    loop_turn(world->loop, 10);
    waiting = enter(world); /* in the backlog */
    say(waiting, GET("/echo?q=waiting"));
    say(idle, GET("/echo?q=last")); /* in the socket's buffer */

    httpd_drain(world->httpd, false, note_drained, world);
    world->listen_fd = -1; /* the drain closes it */
    assert_false(world->drained);
    turn_until_heard(waiting, "q=waiting", 1);
    turn_until_ended(waiting);
    turn_until_heard(idle, "q=last", 1);
    turn_until_ended(idle);
    assert_int_equal(times(idle, "Connection: close"), 1);
    say(half, S("}"));
    turn_until_heard(half, "q=half", 1);
    turn_until_ended(half);
    assert_false(world->drained);
    reply_text(world->held[0], 200, S("at last"));
    turn_until_heard(busy, "at last", 1);
    turn_until_ended(busy);
    for (int i = 0; i < RAW_TURNS_MAX && !world->drained; i++)
        loop_turn(world->loop, 1);
    assert_true(world->drained);
    client_close(idle);
    client_close(busy);
    client_close(half);
    client_close(waiting);
}

/* Closed while its client uses it again, a connection loses a request. */
static void drain_silent(struct world *world, bool is_replaced,
                         int64_t patience_ms)
{
    struct client *fresh = enter(world);
    struct client *idle = enter(world);
    struct client *quick = enter(world);

    say(idle, GET("/echo"));
    say(quick, GET("/echo"));
    turn_until_heard(idle, "body=;", 1);
    turn_until_heard(quick, "body=;", 1);
    httpd_drain(world->httpd, is_replaced, note_drained, world);
    world->listen_fd = -1; /* the drain closes it */
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 1);
    pass_ms(world, patience_ms - 1);
    hear(idle);
    assert_false(idle->ended);
    say(quick, GET("/echo?q=quick"));
    turn_until_heard(quick, "q=quick", 1);
    turn_until_heard(quick, "Connection: close", 1);
    turn_until_ended(quick);
    assert_false(world->drained);
    pass_ms(world, 1);
    turn_until_ended(fresh);
    turn_until_ended(idle);
    for (int i = 0; i < RAW_TURNS_MAX && !world->drained; i++)
        loop_turn(world->loop, 1);
    assert_true(world->drained);
    client_close(fresh);
    client_close(idle);
    client_close(quick);
}

static void a_drain_gives_silent_clients_a_second(void **state)
{
    drain_silent(*state, false, 1000);
}

/* Node's fetch closes what it did not use for four seconds. */
static void a_drain_of_who_is_replaced_gives_them_five(void **state)
{
    drain_silent(*state, true, 5000);
}

static void a_drain_of_nothing_ends_at_once(void **state)
{
    struct world *world = *state;

    httpd_drain(world->httpd, false, note_drained, world);
    world->listen_fd = -1; /* the drain closes it */
    assert_false(world->drained);
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
    assert_true(world->drained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(pipelined_requests_are_answered_in_order),
        HTTP_TEST(an_answer_may_come_in_the_same_turn_or_later),
        HTTP_TEST(a_client_that_leaves_meanwhile_does_no_harm),
        HTTP_TEST(the_arena_of_who_holds_a_request_is_left_to_him),
        HTTP_TEST(what_is_known_of_a_held_request_outlives_its_answer),
        HTTP_TEST(the_handlers_deadline_fires_once),
        HTTP_TEST(connections_in_lockstep_do_not_hang),
        HTTP_TEST(an_address_has_its_limit_of_connections),
        HTTP_TEST(only_a_trusted_proxy_speaks_for_others),
        HTTP_TEST(more_connections_than_allowed_wait_their_turn),
        HTTP_TEST(unix_sockets_serve_as_well),
        HTTP_TEST(a_drain_answers_all_that_was_accepted),
        HTTP_TEST(a_drain_gives_silent_clients_a_second),
        HTTP_TEST(a_drain_of_who_is_replaced_gives_them_five),
        HTTP_TEST(a_drain_of_nothing_ends_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
