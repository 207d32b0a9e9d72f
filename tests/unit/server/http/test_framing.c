/* Where a request begins and ends, and what is refused. */
#include "http_world.h"

#include <stdio.h>

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

/* Large ones that come slowly, as anybody may send them, fill their room. */
static void small_bodies_have_room_of_their_own(void **state)
{
    struct httpd_options options = options_for(*state);
    struct world *world;
    struct client *large, *small, *chunked;
    char bytes[90000];

    options.bodies_max = 100000;
    world = world_open(&options, "127.0.0.1:0");
    memset(bytes, 'x', sizeof bytes);
    large = enter(world);
    small = enter(world);
    chunked = enter(world);
    say(large, S("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
                 "Content-Length: 95000\r\n\r\n"));
    say(large, str_make(bytes, sizeof bytes));
    for (int i = 0; i < 20; i++)
        loop_turn(world->loop, 1);
    say(small, S("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
                 "Content-Length: 50000\r\n\r\n"));
    say(small, str_make(bytes, 50000));
    turn_until_heard(small, "50000 bytes", 1);
    say(chunked, S("POST /bytes HTTP/1.1\r\nHost: h\r\n" JSON
                   "Transfer-Encoding: chunked\r\n\r\n4e20\r\n"));
    say(chunked, str_make(bytes, 20000));
    turn_until_heard(chunked, "HTTP/1.1 503 ", 1);
    say(large, str_make(bytes, 5000));
    turn_until_heard(large, "95000 bytes", 1);
    client_close(large);
    client_close(small);
    client_close(chunked);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(heads_get_the_status_they_deserve),
        HTTP_TEST(answers_name_the_request),
        HTTP_TEST(a_chunked_body_over_the_limit_is_cut_off),
        HTTP_TEST(a_body_at_the_limit_passes_in_drops),
        HTTP_TEST(bodies_together_have_a_limit),
        HTTP_TEST(small_bodies_have_room_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
