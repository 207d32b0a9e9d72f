#include "http_world.h"

#include "server/base/clock.h"
#include "server/io/listen.h"

#include <signal.h>

void reply_text(struct http_request *request, unsigned status, struct str text)
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

struct httpd_options options_for(struct world *world)
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

struct world *world_open(const struct httpd_options *options, const char *where)
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

void world_close(struct world *world)
{
    httpd_close(&world->httpd);
    close(world->listen_fd);
    loop_destroy(&world->loop);
    clock_set(-1, -1);
    free(world);
}

int setup(void **state)
{
    *state = world_open(NULL, "127.0.0.1:0");
    return 0;
}

int teardown(void **state)
{
    world_close(*state);
    return 0;
}

void pass_ms(struct world *world, int64_t ms)
{
    world->now_ms += ms;
    clock_set(world->now_ms, 1790000000000 + world->now_ms);
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
}

struct client *enter(const struct world *world)
{
    return client_open(world->loop, &world->address, NULL);
}

void turn_until_asked(struct world *world, size_t count)
{
    for (int i = 0; i < RAW_TURNS_MAX && world->asked < count; i++)
        loop_turn(world->loop, 1);
    assert_int_equal(world->asked, count);
}
