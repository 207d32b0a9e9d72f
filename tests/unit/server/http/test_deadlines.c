/* How long a client may take. */
#include "http_world.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_dripping_head_is_closed),
        HTTP_TEST(a_head_that_never_begins_is_closed),
        HTTP_TEST(a_second_head_that_drips_is_closed),
        HTTP_TEST(an_idle_connection_lives_longer_than_a_proxys),
        HTTP_TEST(a_stalled_body_is_told_so),
        HTTP_TEST(an_answer_that_nobody_reads_is_given_up),
        HTTP_TEST(a_cut_body_is_forgotten),
        HTTP_TEST(drippers_do_not_disturb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
