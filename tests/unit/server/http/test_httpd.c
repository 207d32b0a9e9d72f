/* The server with real sockets, clients and server in one loop. The clock
 * stands still unless a test moves it. */
#include "server/http/httpd.h"

#include "server/base/clock.h"
#include "server/base/mem.h"
#include "server/io/listen.h"

#include "raw_client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HELD_MAX = 600, BODY_MAX = 100000, LARGE = 32 << 20 };

struct world {
    struct loop *loop;
    struct httpd *httpd;
    int listen_fd;
    struct address address;
    struct http_request *held[HELD_MAX]; /* asked, not answered */
    size_t held_count;
    size_t asked;
    unsigned deadlines;
    bool drained;
    int64_t now_ms;
};

/* --- the served --- */

static void reply_text(struct http_request *request, unsigned status,
                       struct str text)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_add(&body, text);
    http_reply(request, status, "text/plain", &body);
    buf_finish(&body);
}

static void problem(void *ctx, struct http_request *request, unsigned status,
                    const char *detail)
{
    struct buf body;

    (void)ctx;
    buf_init(&body, 1 << 16);
    buf_addf(&body, "{\"statusCode\":%u,\"message\":\"%s\"}", status, detail);
    http_reply(request, status, "application/json", &body);
    buf_finish(&body);
}

/* Says what it was asked. */
static void echo(void *ctx, struct http_request *request)
{
    struct world *world = ctx;
    struct str q = S("-");
    struct str text;

    world->asked++;
    (void)http_query(request, "q", &q);
    text =
        arena_printf(http_arena(request), "%.*s %.*s q=%.*s body=%.*s;",
                     STR_ARG(http_method(request)), STR_ARG(http_path(request)),
                     STR_ARG(q), STR_ARG(http_body(request)));
    reply_text(request, 200, text);
}

static void count_bytes(void *ctx, struct http_request *request)
{
    struct world *world = ctx;

    world->asked++;
    reply_text(
        request, 200,
        arena_printf(http_arena(request), "%zu bytes", http_body(request).len));
}

static void hold(void *ctx, struct http_request *request)
{
    struct world *world = ctx;

    assert_true(world->held_count < HELD_MAX);
    world->asked++;
    world->held[world->held_count++] = request;
}

static void on_deadline(void *ctx)
{
    struct world *world = ctx;

    world->deadlines++;
    reply_text(world->held[--world->held_count], 503, S("late"));
}

static void hold_for_a_second(void *ctx, struct http_request *request)
{
    hold(ctx, request);
    http_set_deadline(request, 1000, on_deadline, ctx);
}

static void large(void *ctx, struct http_request *request)
{
    struct world *world = ctx;
    struct buf body;

    world->asked++;
    buf_init(&body, LARGE);
    memset(buf_space(&body, LARGE), 'x', LARGE);
    buf_grown(&body, LARGE);
    http_reply(request, 200, "text/plain", &body);
    buf_finish(&body);
}

static void who(void *ctx, struct http_request *request)
{
    (void)ctx;
    reply_text(request, 200, http_client(request));
}

static const struct http_route ROUTES[] = {
    {"GET", "/echo", echo, NULL},
    {"POST", "/echo", echo, "application/json"},
    {"PATCH", "/echo", echo, "application/json"},
    {"DELETE", "/echo/{id}", echo, NULL},
    {"POST", "/bytes", count_bytes, "application/json"},
    {"GET", "/hold", hold, NULL},
    {"POST", "/hold", hold, "application/json"},
    {"GET", "/second", hold_for_a_second, NULL},
    {"GET", "/large", large, NULL},
    {"GET", "/who", who, NULL},
};

/* "no" may not pass its head. */
static bool vet_head(void *ctx, struct http_request *request)
{
    (void)ctx;
    if (!str_eq(http_field(request, HTTP_AUTHORIZATION), S("no")))
        return true;
    reply_text(request, 401, S("not you"));
    return false;
}

/* --- the world --- */

static struct httpd_options options_for(struct world *world)
{
    return (struct httpd_options){
        .routes = ROUTES,
        .route_count = COUNT_OF(ROUTES),
        .problem = problem,
        .head = vet_head,
        .ctx = world,
        .body_max = BODY_MAX,
        .bodies_max = 3 * BODY_MAX,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 30000,
        .connections_max = 600,
        .connections_per_ip = 600,
    };
}

static struct world *world_open(const struct httpd_options *options,
                                const char *where)
{
    struct world *world = xcalloc(1, sizeof *world);
    struct httpd_options defaults = options_for(world);
    struct error err;

    signal(SIGPIPE, SIG_IGN);
    world->now_ms = 1000000;
    clock_set(world->now_ms, 1790000000000);
    world->loop = loop_create();
    world->listen_fd =
        listen_open(where, &(struct listen_options){.backlog = 0}, &err);
    assert_true(world->listen_fd >= 0);
    listen_address(world->listen_fd, &world->address);
    if (options != NULL) {
        defaults = *options;
        defaults.ctx = world;
    }
    world->httpd =
        httpd_open(world->loop, &world->listen_fd, 1, &defaults, &err);
    assert_non_null(world->httpd);
    return world;
}

static void world_close(struct world *world)
{
    httpd_close(&world->httpd);
    close(world->listen_fd);
    loop_destroy(&world->loop);
    clock_set(-1, -1);
    free(world);
}

static int setup(void **state)
{
    *state = world_open(NULL, "127.0.0.1:0");
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    return 0;
}

static void pass_ms(struct world *world, int64_t ms)
{
    world->now_ms += ms;
    clock_set(world->now_ms, 1790000000000 + world->now_ms);
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
}

static struct client *enter(const struct world *world)
{
    return client_open(world->loop, &world->address, NULL);
}

static void turn_until_asked(struct world *world, size_t count)
{
    for (int i = 0; i < RAW_TURNS_MAX && world->asked < count; i++)
        loop_turn(world->loop, 1);
    assert_int_equal(world->asked, count);
}

#define GET(path) S("GET " path " HTTP/1.1\r\nHost: h\r\n\r\n")
#define JSON      "Content-Type: application/json\r\n"

/* --- framing --- */

/* One connection each. The server must say exactly one answer with that
 * status; ends: it also closes, without reading on. */
static const struct {
    const char *name;
    struct str bytes;
    const char *status;
    const char *text; /* NULL: any */
    bool ends;
} CASES[] = {
    {"plain GET", STR("GET /v1/echo?q=a%20b HTTP/1.1\r\nHost: h\r\n\r\n"),
     "200", "GET /echo q=a b body=;", false},
    {"HEAD has no body", STR("HEAD /echo HTTP/1.1\r\nHost: h\r\n\r\n"), "200",
     "Content-Length: 21\r\n", false},
    {"body",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Content-Length: 2\r\n\r\n{}"),
     "200", "body={};", false},
    {"chunked body",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
     "200", "body={};", false},
    {"empty body with a type (Resend's SDK)",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON "Content-Length: 0\r\n\r\n"),
     "200", "body=;", false},
    {"body without a type",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n"
         "Content-Length: 2\r\n\r\n{}"),
     "200", "body={};", false},
    {"body of a GET is dropped",
     STR("GET /echo HTTP/1.1\r\nHost: h\r\n"
         "Content-Length: 2\r\n\r\n{}"),
     "200", "body=;", false},
    {"DELETE with a parameter",
     STR("DELETE /v1/echo/a%40b HTTP/1.1\r\nHost: h\r\n\r\n"), "200",
     "DELETE /echo/a@b", false},
    {"unknown path", STR("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"), "404",
     "\"statusCode\":404", false},
    {"unknown path with a small body",
     STR("POST /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"),
     "404", NULL, false},
    {"other method", STR("PUT /echo HTTP/1.1\r\nHost: h\r\n\r\n"), "405",
     "Allow: GET, HEAD, POST, PATCH\r\n", false},
    {"OPTIONS", STR("OPTIONS /echo HTTP/1.1\r\nHost: h\r\n\r\n"), "405",
     "Allow: GET, HEAD, POST, PATCH\r\n", false},
    {"other type",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
         "Content-Length: 2\r\n\r\n{}"),
     "415", NULL, false},
    {"empty type",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type:\r\n"
         "Content-Length: 2\r\n\r\n{}"),
     "415", NULL, false},
    {"blank before a colon",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
     "400", NULL, true},
    {"packed body",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
     "415", NULL, true},
    {"bad path", STR("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n"), "400", NULL,
     false},
    {"line end in the path", STR("GET /%0d%0a HTTP/1.1\r\nHost: h\r\n\r\n"),
     "400", NULL, false},
    {"bad query", STR("GET /echo?q=%00 HTTP/1.1\r\nHost: h\r\n\r\n"), "400",
     NULL, false},
    {"too big by its length",
     STR("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
         "Content-Length: 100001\r\n\r\n{}"),
     "413", NULL, true},
    {"4 GiB and 2 bytes",
     STR("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
         "Content-Length: 4294967298\r\n\r\n{}"),
     "413", NULL, true},
    {"too big, asked before it is sent",
     STR("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
         "Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n"),
     "413", NULL, true},
    {"refused by its head, asked before it is sent",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON "Authorization: no\r\n"
         "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
     "401", NULL, true},
    {"refused by its head, small",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Authorization: no\r\nContent-Length: 2\r\n\r\n{}"),
     "401", "not you", false},
    {"PATCH refused by its head, large",
     STR("PATCH /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Authorization: no\r\nContent-Length: 90000\r\n\r\n{}"),
     "401", "not you", true},
    {"two keys",
     STR("GET /echo HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\n"
         "Authorization: b\r\n\r\n"),
     "400", "Authorization came twice", true},
    {"two lengths",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
     "400", NULL, true},
    {"no Host", STR("GET /echo HTTP/1.1\r\n\r\n"), "400", "Host", true},
    {"no Host in 1.0", STR("GET /echo HTTP/1.0\r\n\r\n"), "200", NULL, true},
    {"NUL in a value",
     STR("GET /echo HTTP/1.1\r\nHost: h\r\nAuthorization: KEY\0junk\r\n\r\n"),
     "400", "Authorization", true},
    {"NUL in the last value",
     STR("GET /echo HTTP/1.1\r\nAuthorization: KEY\r\nHost: h\0x\r\n\r\n"),
     "400", "Host", true},
    {"bare CR in a value",
     STR("GET /echo HTTP/1.1\r\nHost: h\r\nAuthorization: K\rX: y\r\n\r\n"),
     "400", "Authorization", true},
    {"unknown transfer coding",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Transfer-Encoding: gzip\r\n\r\n{}"),
     "501", NULL, true},
    {"length and chunks",
     STR("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
         "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     "400", NULL, true},
    {"Expect something else",
     STR("GET /echo HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n"), "417", NULL,
     true},
    {"HTTP/2", STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "505", NULL, true},
    {"star", STR("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), "400", NULL, false},
    {"a second request behind a refused body is not carried out",
     STR("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
         "Content-Length: 100001\r\n\r\nGET /echo HTTP/1.1\r\nHost: h\r\n\r\n"),
     "413", NULL, true},
};

static void heads_get_the_status_they_deserve(void **state)
{
    struct world *world = *state;
    char status_line[64];

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct client *client = enter(world);

        print_message("         - %s\n", CASES[i].name);
        say(client, CASES[i].bytes);
        snprintf(status_line, sizeof status_line, "HTTP/1.1 %s ",
                 CASES[i].status);
        turn_until_heard(client, status_line, 1);
        turn_until_heard(client, "\r\n\r\n", 1);
        if (CASES[i].text != NULL)
            turn_until_heard(client, CASES[i].text, 1);
        if (CASES[i].ends) {
            turn_until_ended(client);
        } else {
            buf_clear(&client->in);
            say(client, GET("/echo?q=again"));
            turn_until_heard(client, "q=again", 1);
        }
        if (strcmp(CASES[i].status, "400") != 0) /* see httpd.h */
            assert_int_equal(times(client, "HTTP/1.1 "), 1);
        client_close(client);
    }
}

static void answers_name_the_request(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    say(client, S("GET /echo HTTP/1.1\r\nHost: h\r\n"
                  "X-Request-Id: Mine-1.2_3\r\n\r\n"));
    turn_until_heard(client, "X-Request-Id: Mine-1.2_3\r\n", 1);
    say(client, S("GET /echo HTTP/1.1\r\nHost: h\r\n"
                  "X-Request-Id: <not sane>\r\n\r\n"));
    turn_until_heard(client, "HTTP/1.1 200", 2);
    turn_until_heard(client, "X-Request-Id: ", 2);
    assert_false(has(client, "not sane"));
    client_close(client);
}

static void a_chunked_body_over_the_limit_is_cut_off(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);
    char chunk[10007];

    memset(chunk, 'x', sizeof chunk);
    memcpy(chunk, "2710\r\n", 6); /* 10,000 bytes */
    memcpy(chunk + sizeof chunk - 2, "\r\n", 2);
    say(client, S("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
                  "Transfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 11; i++) {
        say(client, str_make(chunk, 6));
        say(client, str_make(chunk + 6, 10000 - 0 - 0));
        say(client, S("\r\n"));
        loop_turn(world->loop, 0);
    }
    turn_until_heard(client, "HTTP/1.1 413 ", 1);
    turn_until_ended(client);
    assert_int_equal(world->asked, 0);
    client_close(client);
}

static void a_body_at_the_limit_passes_in_drops(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);
    char bytes[1000];

    memset(bytes, 'x', sizeof bytes);
    say(client, S("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
                  "Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n"));
    turn_until_heard(client, "HTTP/1.1 100 ", 1);
    for (int i = 0; i < 100; i++) {
        say(client, str_make(bytes, sizeof bytes));
        loop_turn(world->loop, 0);
    }
    turn_until_heard(client, "100000 bytes", 1);
    client_close(client);
}

static void bodies_together_have_a_limit(void **state)
{
    struct httpd_options options = options_for(*state);
    struct world *world;
    struct client *first, *second;
    char bytes[60000];

    options.bodies_max = 100000;
    world = world_open(&options, "127.0.0.1:0");
    memset(bytes, 'x', sizeof bytes);
    first = enter(world);
    second = enter(world);
    say(first, S("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
                 "Content-Length: 90000\r\n\r\n"));
    say(second, S("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
                  "Content-Length: 90000\r\n\r\n"));
    say(first, str_make(bytes, sizeof bytes));
    for (int i = 0; i < 20; i++)
        loop_turn(world->loop, 1);
    say(second, str_make(bytes, sizeof bytes));
    turn_until_heard(second, "HTTP/1.1 503 ", 1);
    turn_until_ended(second);
    say(first, str_make(bytes, 30000));
    turn_until_heard(first, "90000 bytes", 1);
    client_close(first);
    client_close(second);
    world_close(world);
}

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

/* --- deadlines --- */

static void a_dripping_head_is_closed(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    say(client, S("GET /echo HTTP/1.1\r\nX: "));
    loop_turn(world->loop, 10);
    for (int i = 0; i < 9; i++) {
        pass_ms(world, 1000);
        say(client, S("x"));
    }
    hear(client);
    assert_false(client->ended);
    pass_ms(world, 1000);
    turn_until_ended(client);
    client_close(client);
}

static void a_head_that_never_begins_is_closed(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    loop_turn(world->loop, 10);
    pass_ms(world, 9999);
    hear(client);
    assert_false(client->ended);
    pass_ms(world, 1);
    turn_until_ended(client);
    client_close(client);
}

static void a_second_head_that_drips_is_closed(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);
    int seconds = 0;

    say(client, GET("/echo"));
    turn_until_heard(client, "body=;", 1);
    while (!client->ended && seconds < 60) {
        (void)!send(client->fd, "G", 1, MSG_NOSIGNAL);
        pass_ms(world, 1000);
        hear(client);
        seconds++;
    }
    assert_true(client->ended);
    assert_in_range(seconds, 10, 31);
    client_close(client);
}

static void an_idle_connection_lives_longer_than_a_proxys(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    say(client, GET("/echo"));
    turn_until_heard(client, "body=;", 1);
    for (int seconds = 0; seconds < 61; seconds++)
        pass_ms(world, 1000);
    say(client, GET("/echo"));
    turn_until_heard(client, "body=;", 2);
    for (int seconds = 0; seconds < 81; seconds++)
        pass_ms(world, 1000);
    turn_until_ended(client);
    client_close(client);
}

static void a_stalled_body_is_told_so(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    say(client, S("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
                  "Content-Length: 5\r\n\r\n{"));
    loop_turn(world->loop, 10);
    for (int i = 0; i < 29; i++)
        pass_ms(world, 1000);
    hear(client);
    assert_int_equal(client->in.len, 0);
    pass_ms(world, 1000);
    turn_until_heard(client, "HTTP/1.1 408 ", 1);
    turn_until_ended(client);
    assert_int_equal(world->asked, 0);
    client_close(client);
    pass_ms(world, 3000);
    assert_int_equal(httpd_connections(world->httpd), 0);
}

/* 32 MiB have 128 s on top of the 30. */
static void an_answer_that_nobody_reads_is_given_up(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    say(client, GET("/large"));
    turn_until_asked(world, 1);
    for (int seconds = 0; seconds < 157; seconds++)
        pass_ms(world, 1000);
    assert_int_equal(httpd_connections(world->httpd), 1);
    pass_ms(world, 1000);
    for (int i = 0; i < RAW_TURNS_MAX && httpd_connections(world->httpd) > 0;
         i++)
        loop_turn(world->loop, 1);
    assert_int_equal(httpd_connections(world->httpd), 0);
    client_close(client);
}

static void a_cut_body_is_forgotten(void **state)
{
    struct world *world = *state;
    struct client *client = enter(world);

    say(client, S("POST /echo HTTP/1.1\r\nHost: h\r\n" JSON
                  "Content-Length: 5\r\n\r\n{"));
    loop_turn(world->loop, 10);
    client_close(client);
    for (int i = 0; i < RAW_TURNS_MAX && httpd_connections(world->httpd) > 0;
         i++)
        loop_turn(world->loop, 1);
    assert_int_equal(httpd_connections(world->httpd), 0);
    assert_int_equal(world->asked, 0);
}

/* 200 clients that drip keep nobody else waiting. */
static void drippers_do_not_disturb(void **state)
{
    struct world *world = *state;
    struct client *drippers[200];
    struct client *client;

    for (size_t i = 0; i < COUNT_OF(drippers); i++) {
        drippers[i] = enter(world);
        say(drippers[i], S("GET /echo HTTP/1.1\r\nX"));
    }
    client = enter(world);
    say(client, GET("/echo"));
    turn_until_heard(client, "body=;", 1);
    for (size_t i = 0; i < COUNT_OF(drippers); i++)
        client_close(drippers[i]);
    client_close(client);
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

    httpd_drain(world->httpd, note_drained, world);
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

static void a_drain_gives_silent_clients_a_second(void **state)
{
    struct world *world = *state;
    struct client *fresh = enter(world);
    struct client *idle = enter(world);
    struct client *quick = enter(world);

    say(idle, GET("/echo"));
    say(quick, GET("/echo"));
    turn_until_heard(idle, "body=;", 1);
    turn_until_heard(quick, "body=;", 1);
    httpd_drain(world->httpd, note_drained, world);
    world->listen_fd = -1; /* the drain closes it */
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 1);
    pass_ms(world, 999);
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

static void a_drain_of_nothing_ends_at_once(void **state)
{
    struct world *world = *state;

    httpd_drain(world->httpd, note_drained, world);
    world->listen_fd = -1; /* the drain closes it */
    assert_false(world->drained);
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
    assert_true(world->drained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(heads_get_the_status_they_deserve),
        TEST(answers_name_the_request),
        TEST(a_chunked_body_over_the_limit_is_cut_off),
        TEST(a_body_at_the_limit_passes_in_drops),
        TEST(bodies_together_have_a_limit),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(an_answer_may_come_in_the_same_turn_or_later),
        TEST(a_client_that_leaves_meanwhile_does_no_harm),
        TEST(the_handlers_deadline_fires_once),
        TEST(connections_in_lockstep_do_not_hang),
        TEST(a_dripping_head_is_closed),
        TEST(a_head_that_never_begins_is_closed),
        TEST(a_second_head_that_drips_is_closed),
        TEST(an_idle_connection_lives_longer_than_a_proxys),
        TEST(a_stalled_body_is_told_so),
        TEST(an_answer_that_nobody_reads_is_given_up),
        TEST(a_cut_body_is_forgotten),
        TEST(drippers_do_not_disturb),
        TEST(an_address_has_its_limit_of_connections),
        TEST(only_a_trusted_proxy_speaks_for_others),
        TEST(more_connections_than_allowed_wait_their_turn),
        TEST(unix_sockets_serve_as_well),
        TEST(a_drain_answers_all_that_was_accepted),
        TEST(a_drain_gives_silent_clients_a_second),
        TEST(a_drain_of_nothing_ends_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
