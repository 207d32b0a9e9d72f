#include "queue/redis_core.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_MIN_MS = 20,
    BACKOFF_MAX_MS = 500, /* deliveries resume within 2 s of Redis' return */
    /* A connection that ends sooner was no good: the back-off goes on. */
    GOOD_AFTER_MS = 2000,
};

static void link_connect(struct redis_link *link);
static void link_gone(struct redis_link *link, const struct error *why);

/* By its timer, for it may be in the middle of something. */
void link_drop_soon(struct redis_link *link)
{
    if (link->state == LINK_UP)
        timer_set(link->loop, &link->timer, 0);
}

/* What the head of a family lost to silence, the others lost, too: what they
 * wait for may be long in coming, as a token of new work is. Of a cluster that
 * is one node's. */
static void family_is_silent(const struct redis_link *head,
                             const struct redis_node *where)
{
    if (head->settings.family != NULL)
        return;
    list_each (at, &head->family) {
        struct redis_link *other = LIST_MEMBER(at, struct redis_link, family);

        if (other->cluster != NULL)
            cluster_drop_soon(other->cluster, where);
        else
            link_drop_soon(other);
    }
}

void link_is_silent(struct redis_link *link, const char *why)
{
    family_is_silent(link->whole != NULL ? link->whole : link, &link->node);
    redis_link_reset(link, why);
}

static void on_timer(void *ctx)
{
    struct redis_link *link = ctx;
    struct error why;

    if (link->is_misconfigured) {
        if (link->settings.on_down != NULL)
            link->settings.on_down(link->settings.ctx, &link->lost);
    } else if (link->state == LINK_DOWN) {
        link_connect(link);
    } else if (link->state == LINK_RESOLVING) {
        dns_cancel(&link->lookup);
        error_set(&why, ERR_TIMEOUT,
                  "redis: %s: its address is not found in time",
                  link->node.host);
        link_gone(link, &why);
    } else if (link->state == LINK_UP) {
        redis_link_reset(link, "the main connection had no answer in time");
    } else {
        link_is_silent(link, "no answer to the greeting in time");
    }
}

/* Half to all of a doubling step, so that processes come back spread out. One
 * that waited in vain for an answer has waited already. */
static void plan_reconnect(struct redis_link *link, int64_t waited_ms)
{
    int64_t step = link->backoff_ms;
    int64_t jitter = arc4random_uniform((uint32_t)step / 2 + 1);
    int64_t delay_ms = step / 2 + jitter - waited_ms;

    timer_set(link->loop, &link->timer, delay_ms > 0 ? delay_ms : 0);
    link->backoff_ms =
        step * 2 > BACKOFF_MAX_MS ? (int64_t)BACKOFF_MAX_MS : step * 2;
}

static bool leads_to(const struct redis_link *link,
                     const struct redis_node *node)
{
    return link->node.port == node->port &&
           strcmp(link->node.host, node->host) == 0;
}

static void tell_of_master(const struct redis_link *link,
                           const struct redis_node *before)
{
    if (link->settings.loads_scripts && before->host[0] != '\0' &&
        !leads_to(link, before))
        log_write(LOG_WARN, LOG_REDIS_MASTER,
                  log_cstr("name", link->address.master),
                  log_cstr("host", link->node.host),
                  log_int("port", link->node.port));
}

static void link_leave(struct redis_link *link, const struct redis_node *master)
{
    struct redis_node before = link->node;

    if (link->address.sentinel_count == 0 || leads_to(link, master))
        return;
    master_search_close(&link->search);
    dns_cancel(&link->lookup);
    link->node = *master;
    link->is_told = true;
    tell_of_master(link, &before);
    if (link->ac != NULL)
        redis_link_reset(link, "another server is the master now");
    else
        link->state = LINK_DOWN;
    timer_set(link->loop, &link->timer, 0);
}

void link_follow(struct redis_link *link, const struct redis_node *master)
{
    struct redis_node node = *master;

    list_each (at, &link->family)
        link_leave(LIST_MEMBER(at, struct redis_link, family), &node);
    link_leave(link, &node);
}

void link_is_up(struct redis_link *link)
{
    link->state = LINK_UP;
    link->up_since_ms = clock_now_ms();
    timer_clear(link->loop, &link->timer);
    wait_link_is_up(link);
    if (link->settings.loads_scripts) /* it was the first to notice */
        link_follow(link, &link->node);
    if (link->settings.on_up != NULL)
        link->settings.on_up(link->settings.ctx);
}

/* The context is lost, whoever noticed first. hiredis frees it. */
static void link_lost(struct redis_link *link, const redisAsyncContext *ac,
                      const struct error *why)
{
    if (link == NULL || link->ac != ac)
        return;
    link->ac = NULL;
    link_gone(link, why);
}

/* It named a server that will not do: it may be behind. */
static void ask_another_sentinel(struct redis_link *link)
{
    if (link->address.sentinel_count > 0)
        link->first_sentinel =
            (link->first_sentinel + 1) % (unsigned)link->address.sentinel_count;
}

static void link_gone(struct redis_link *link, const struct error *why)
{
    int64_t now_ms = clock_now_ms();
    int64_t waited_ms =
        link->state == LINK_UP ? 0 : now_ms - link->attempted_ms;

    if (link->state != LINK_UP)
        ask_another_sentinel(link);
    if (link->state == LINK_UP && now_ms - link->up_since_ms >= GOOD_AFTER_MS)
        link->backoff_ms = BACKOFF_MIN_MS;
    link->state = LINK_DOWN;
    link->lost = *why;
    wait_link_is_lost(link);
    plan_reconnect(link, waited_ms);
    if (link->settings.on_down != NULL)
        link->settings.on_down(link->settings.ctx, why);
}

/* Of a connect that failed hiredis tells in the inner context alone. */
static const char *reason_of(const redisAsyncContext *ac)
{
    if (ac->err != 0)
        return ac->errstr;
    return ac->c.err != 0 ? ac->c.errstr : "connection closed";
}

void link_lost_by_hiredis(const redisAsyncContext *ac)
{
    struct redis_link *link = ac->data;
    struct error why;

    if (link == NULL)
        return;
    error_set(&why, ERR_REMOTE, "redis: %s", reason_of(ac));
    link_lost(link, ac, &why);
}

void redis_link_reset(struct redis_link *link, const char *why)
{
    redisAsyncContext *ac = link->ac;
    struct error err;

    if (link->cluster != NULL)
        cluster_reset(link->cluster, why);
    if (ac == NULL)
        return;
    error_set(&err, ERR_TIMEOUT, "redis: %s", why);
    link_lost(link, ac, &err);
    redisAsyncFree(ac); /* ends what is under way, without replies */
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    (void)status;
    link_lost_by_hiredis(ac);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis_link *link = ac->data;

    if (link == NULL || link->ac != ac)
        return;
    if (status == REDIS_OK)
        link_greet(link);
    else
        link_lost_by_hiredis(ac); /* hiredis frees it */
}

static void connect_failed(struct redis_link *link, redisAsyncContext *ac)
{
    link->ac = ac;
    link_lost_by_hiredis(ac);
    redisAsyncFree(ac);
}

/* host: a path, or a numeric address, so that hiredis need not resolve it,
 * which would block. */
static void connect_to(struct redis_link *link, const char *host)
{
    redisAsyncContext *ac;

    ac = link->address.is_unix ? redisAsyncConnectUnix(host)
                               : redisAsyncConnect(host, link->node.port);
    CHECK(ac != NULL); /* out of memory */
    ac->data = link;
    if (ac->err != 0) {
        connect_failed(link, ac);
        return;
    }
    link->ac = ac;
    link->state = LINK_CONNECTING;
    timer_set(link->loop, &link->timer, CONNECT_BUDGET_MS);
    redis_glue_attach(link->loop, ac);
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
}

static void on_resolved(void *ctx, const struct dns_answer *answer)
{
    struct redis_link *link = ctx;
    char host[ADDRESS_TEXT_SIZE];
    struct error why;

    link->lookup = NULL;
    if (answer->status == DNS_FOUND) {
        address_format_host(
            &answer->addresses[link->attempts++ % answer->count], host);
        connect_to(link, host);
        return;
    }
    error_set(&why, ERR_REMOTE, "redis: %s: %s", link->node.host,
              answer->reason);
    link_gone(link, &why);
}

static void connect_to_node(struct redis_link *link)
{
    const struct redis_node *node = &link->node;
    struct address numeric;
    struct error why;

    if (link->address.is_unix ||
        address_parse(str_of(node->host), node->port, &numeric)) {
        connect_to(link, node->host);
        return;
    }
    if (link->dns == NULL)
        link->dns = dns_open(link->loop, NULL, &why);
    if (link->dns == NULL) {
        link_gone(link, &why);
        return;
    }
    link->state = LINK_RESOLVING;
    timer_set(link->loop, &link->timer, CONNECT_BUDGET_MS);
    link->lookup =
        dns_lookup(link->dns, node->host, node->port, on_resolved, link);
}

static void on_master(void *ctx, const struct redis_node *found,
                      const struct error *why)
{
    struct redis_link *link = ctx;
    struct redis_node before = link->node;

    link->search = NULL;
    if (found == NULL) {
        link_gone(link, why);
        return;
    }
    link->node = *found;
    tell_of_master(link, &before);
    connect_to_node(link);
}

static void link_connect(struct redis_link *link)
{
    link->attempted_ms = clock_now_ms();
    if (link->address.sentinel_count == 0 || link->is_told) {
        link->is_told = false; /* if that one will not do, they are asked */
        connect_to_node(link);
        return;
    }
    link->state = LINK_SEARCHING;
    link->search =
        master_search_open(link->loop, link->settings.config, &link->address,
                           &link->first_sentinel, on_master, link);
}

struct redis_link *redis_link_open(struct loop *loop,
                                   const struct redis_link_settings *settings)
{
    struct redis_link *link = xcalloc(1, sizeof *link);

    link->loop = loop;
    link->settings = *settings;
    link->backoff_ms = BACKOFF_MIN_MS;
    list_init(&link->family);
    if (settings->family != NULL)
        list_add_last(&settings->family->family, &link->family);
    requests_open(link);
    wait_open(link);
    timer_init(&link->timer, on_timer, link);
    error_set(&link->lost, ERR_BUSY, REDIS_NOT_YET);
    if (settings->address != NULL)
        link->address = *settings->address;
    else
        link->is_misconfigured = !redis_address_parse(
            settings->config->url, &link->address, &link->lost);
    link->node = link->address.node;
    if (link->address.sentinel_count > 0 && settings->loads_scripts)
        link->watch = master_watch_open(link);
    if (link->address.seed_count > 0)
        link->cluster = cluster_open(link);
    else
        timer_set(loop, &link->timer, 0);
    return link;
}

void redis_link_close(struct redis_link **link_ptr)
{
    struct redis_link *link = *link_ptr;

    if (link == NULL)
        return;
    *link_ptr = NULL;
    list_remove(&link->family);
    cluster_close(&link->cluster);
    master_watch_close(&link->watch);
    requests_close(link);
    wait_close(link);
    timer_clear(link->loop, &link->timer);
    master_search_close(&link->search);
    dns_close(&link->dns);
    if (link->ac != NULL) {
        link->ac->data = NULL;
        redisAsyncFree(link->ac);
        link->ac = NULL;
    }
    loop_free_later(link->loop, free, link);
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->state == LINK_UP;
}

bool redis_link_serves(const struct redis_link *link, struct str key)
{
    return redis_link_is_up(link) &&
           (link->cluster == NULL || cluster_serves(link->cluster, key));
}

bool redis_link_is_cluster(const struct redis_link *link)
{
    return link->cluster != NULL;
}

const struct redis_node *redis_link_place(const struct redis_link *link,
                                          struct str key)
{
    if (link->cluster != NULL)
        return cluster_place(link->cluster, key);
    return &link->node;
}

struct redis_link *redis_link_node(struct redis_link *link, size_t *at)
{
    if (link->cluster != NULL)
        return cluster_node(link->cluster, at);
    return (*at)++ == 0 ? link : NULL;
}

size_t redis_link_in_flight(const struct redis_link *link)
{
    if (link->cluster != NULL)
        return cluster_in_flight(link->cluster);
    return link->in_flight;
}

const struct error *redis_link_trouble(const struct redis_link *link)
{
    return &link->lost;
}

struct str redis_link_master(const struct redis_link *link, char *out)
{
    int len = 0;

    if (link->address.sentinel_count > 0)
        len = snprintf(out, REDIS_NODE_TEXT_SIZE, "%s:%u", link->node.host,
                       (unsigned)link->node.port);
    CHECK(len >= 0 && len < REDIS_NODE_TEXT_SIZE);
    return str_make(out, (size_t)len);
}
