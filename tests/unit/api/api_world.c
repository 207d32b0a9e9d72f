#include "api_world.h"

#include "server/base/clock.h"
#include "server/io/listen.h"

#include <signal.h>
#include <stdio.h>

static const struct config_rate RATES[] = {{50, 1000}, {2000, 86400000}};

static void config_fill(struct world *world)
{
    struct config *config = &world->config;

    world->route = (struct config_route){.name = "main",
                                         .class = "",
                                         .from_domain = "",
                                         .to_domain = "",
                                         .tag = ""};
    config->api.max_body_bytes = 1 << 20;
    config->api.header_timeout_ms = 10000;
    config->api.body_timeout_ms = 30000;
    config->api.connections_per_ip = 100;
    config->worker.message_ttl_ms = INT64_C(72) * 3600000;
    config->api.operator= "acme";
    world->upstream =
        (struct config_upstream){.name = "main",
                                 .host = "smtp.example",
                                 .port = 587,
                                 .max_sessions = 9,
                                 .rate = {RATES, COUNT_OF(RATES)}};
    config->upstreams = &world->upstream;
    config->upstream_count = 1;
    config->routes = &world->route;
    config->route_count = 1;
}

int setup(void **state)
{
    struct world *world = xcalloc(1, sizeof *world);
    struct error err;

    signal(SIGPIPE, SIG_IGN);
    world->now_ms = 1000000;
    clock_set(world->now_ms, WALL_MS);
    world->loop = loop_create();
    config_fill(world);
    fake_fill(world->loop);
    world->listen_fd = listen_open(
        "127.0.0.1:0", &(struct listen_options){.backlog = 0}, &err);
    assert_true(world->listen_fd >= 0);
    listen_address(world->listen_fd, &world->address);
    world->api = api_open(world->loop, &world->config, (struct queue *)&fake,
                          &world->listen_fd, 1, &err);
    assert_non_null(world->api);
    world->client = client_open(world->loop, &world->address, NULL);
    *state = world;
    return 0;
}

int teardown(void **state)
{
    struct world *world = *state;

    client_close(world->client);
    api_close(&world->api);
    close(world->listen_fd);
    loop_turn(world->loop, 0);
    loop_destroy(&world->loop);
    fake_forget();
    buf_finish(&fake.seen);
    buf_finish(&fake.stored);
    clock_set(-1, -1);
    free(world);
    return 0;
}

void pass_ms(struct world *world, int64_t ms)
{
    world->now_ms += ms;
    clock_set(world->now_ms, WALL_MS + world->now_ms);
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
}

void say_call(struct world *world, const char *request_line, const char *fields,
              const char *body)
{
    struct client *client = world->client;
    struct buf out;

    buf_clear(&client->in);
    buf_init(&out, 1 << 22);
    buf_addf(&out, "%s HTTP/1.1\r\nHost: h\r\n%s", request_line, fields);
    if (body != NULL)
        buf_addf(&out,
                 "Content-Type: application/json\r\nContent-Length: "
                 "%zu\r\n\r\n%s",
                 strlen(body), body);
    else
        buf_add_cstr(&out, "\r\n");
    say(client, buf_str(&out));
    buf_finish(&out);
}

unsigned ask_with(struct world *world, const char *request_line,
                  const char *fields, const char *body)
{
    struct client *client = world->client;
    uint64_t status = 0;

    say_call(world, request_line, fields, body);
    turn_until_heard(client, "\r\n\r\n", 1);
    if (str_starts(buf_str(&client->in), S("HTTP/1.1 413")) || body == NULL ||
        !has(client, "Connection: close"))
        turn_until_heard(client, "}", 1);
    CHECK(str_to_u64(str_slice(buf_str(&client->in), 9, 3), &status));
    return (unsigned)status;
}

const char *key_field(void)
{
    static char field[256];

    snprintf(field, sizeof field, "Authorization: Bearer %s\r\n", fake.token);
    return field;
}

unsigned ask(struct world *world, const char *request_line, const char *body)
{
    return ask_with(world, request_line, key_field(), body);
}

void expect(const struct world *world, const char *text)
{
    if (!has(world->client, text))
        fail_msg("wanted %s in %.*s", text,
                 STR_ARG(buf_str(&world->client->in)));
}
