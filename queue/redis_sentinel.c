#include "queue/redis_core.h"

#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Where is the master? One Sentinel after the other is asked, as
 * https://redis.io/docs/reference/sentinel-clients/ has it. Each gets a
 * short time, so that those which are away cost little. */

enum { SENTINEL_BUDGET_MS = 300 };

struct master_search {
    struct loop *loop;
    struct config_redis config; /* a Sentinel's user and password */
    const struct redis_address *address;
    struct redis_link *link; /* to the Sentinel that is asked */
    struct timer timer;
    unsigned *first;
    unsigned asked;
    struct error why; /* of the last one that did not help */
    master_found_fn done;
    void *ctx;
};

static const struct redis_node *sentinel_of(const struct master_search *search)
{
    size_t which =
        (*search->first + search->asked) % search->address->sentinel_count;

    return &search->address->sentinels[which];
}

static void search_end(struct master_search *search,
                       const struct redis_node *found)
{
    master_found_fn done = search->done;
    void *ctx = search->ctx;
    struct error why = search->why;

    master_search_close(&search);
    done(ctx, found, &why);
}

static void ask_next(void *ctx);

static void no_help(struct master_search *search, const char *why)
{
    const struct redis_node *sentinel = sentinel_of(search);

    error_set(&search->why, ERR_REMOTE, "redis: sentinel %s:%u: %s",
              sentinel->host, sentinel->port, why);
    redis_link_close(&search->link);
    search->asked++;
    if (search->asked < search->address->sentinel_count)
        ask_next(search);
    else
        search_end(search, NULL);
}

static bool read_node(const struct reply *reply, struct redis_node *node)
{
    struct str host = reply_str(reply_at(reply, 0));
    int64_t port = reply_int(reply_at(reply, 1));

    if (host.len == 0 || host.len >= sizeof node->host || port <= 0 ||
        port > UINT16_MAX)
        return false;
    memcpy(node->host, host.ptr, host.len);
    node->host[host.len] = '\0';
    node->port = (uint16_t)port;
    return true;
}

static void on_master(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct master_search *search = ctx;
    struct redis_node node;
    struct error err;

    if (read_node(reply, &node)) {
        *search->first += search->asked;
        *search->first %= (unsigned)search->address->sentinel_count;
        search_end(search, &node);
    } else if (reply == NULL) {
        no_help(search, why->text);
    } else if (reply_type(reply) == REPLY_ERROR) {
        error_set(&err, ERR_REMOTE, "%.*s", STR_ARG(reply_str(reply)));
        no_help(search, err.text);
    } else {
        error_set(&err, ERR_REMOTE, "it watches no master \"%s\"",
                  search->address->master);
        no_help(search, err.text);
    }
}

static void on_up(void *ctx)
{
    struct master_search *search = ctx;
    struct redis_command command;

    command_init(&command, "SENTINEL");
    command_add_cstr(&command, "get-master-addr-by-name");
    command_add_cstr(&command, search->address->master);
    redis_send(search->link, &command, SENTINEL_BUDGET_MS, on_master, search);
}

static void on_down(void *ctx, const struct error *why)
{
    no_help(ctx, why->text);
}

static void on_timer(void *ctx)
{
    no_help(ctx, "no answer in time");
}

static void ask_next(void *ctx)
{
    struct master_search *search = ctx;
    struct redis_address address = {.node = *sentinel_of(search)};

    search->link = redis_link_open(search->loop, &(struct redis_link_settings){
                                                     .config = &search->config,
                                                     .address = &address,
                                                     .name = "sentinel",
                                                     .in_flight_max = 4,
                                                     .on_up = on_up,
                                                     .on_down = on_down,
                                                     .ctx = search,
                                                 });
    timer_set(search->loop, &search->timer, SENTINEL_BUDGET_MS);
}

struct config_redis sentinel_config(const struct config_redis *config)
{
    return (struct config_redis){
        .url = config->url,
        .username = config->sentinel_username,
        .password = config->sentinel_password,
        .prefix = config->prefix,
    };
}

struct master_search *master_search_open(struct loop *loop,
                                         const struct config_redis *config,
                                         const struct redis_address *address,
                                         unsigned *first, master_found_fn done,
                                         void *ctx)
{
    struct master_search *search = xcalloc(1, sizeof *search);

    search->loop = loop;
    search->config = sentinel_config(config);
    search->address = address;
    search->first = first;
    search->done = done;
    search->ctx = ctx;
    timer_init(&search->timer, on_timer, search);
    ask_next(search);
    return search;
}

void master_search_close(struct master_search **search_ptr)
{
    struct master_search *search = *search_ptr;

    if (search == NULL)
        return;
    *search_ptr = NULL;
    redis_link_close(&search->link);
    timer_clear(search->loop, &search->timer);
    loop_free_later(search->loop, free, search);
}
