#include "api/api.h"

#include "api/call.h"
#include "api/signing.h"
#include "api/template_cache.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <sys/resource.h>

enum {
    CONNECTIONS_MAX = 16384,
    DESCRIPTORS_SPARED = 64, /* for Redis, epoll and the like */
    BODIES_AT_ONCE = 8,      /* of the largest size */
    HELPERS = 1,
    HELPED_MAX = 64,
};

/* --- what a query may have --- */

static const char *const DRY_RUN[] = {"dry_run", NULL};
static const char *const PAGE[] = {"limit", "after", "before", NULL};
static const char *const EMAILS[] = {"limit", "after", "before", "status",
                                     "to",    "tag",   "class",  "since",
                                     "until", NULL};
static const char *const EVENTS[] = {"limit", "after", NULL};
static const char *const SUPPRESSIONS[] = {"limit", "after", "before", "origin",
                                           NULL};

static const struct endpoint_row ENDPOINTS[] = {
    {"POST", "/emails", NEED_SEND, true, true, emails_send, DRY_RUN},
    {"GET", "/emails", NEED_READ, false, false, emails_list, EMAILS},
    {"GET", "/emails/{id}", NEED_READ, false, false, emails_get, NULL},
    {"PATCH", "/emails/{id}", NEED_FULL, true, false, emails_reschedule, NULL},
    {"GET", "/emails/{id}/events", NEED_READ, false, false, emails_events,
     NULL},
    {"GET", "/emails/{id}/attempts", NEED_READ, false, false, emails_attempts,
     NULL},
    {"POST", "/emails/{id}/cancel", NEED_FULL, true, false, emails_cancel,
     NULL},
    {"POST", "/emails/{id}/retry", NEED_FULL, true, false, emails_retry, NULL},
    {"GET", "/events", NEED_READ, false, false, events_list, EVENTS},
    {"GET", "/queue", NEED_READ, false, false, queue_show, NULL},
    {"GET", "/upstreams", NEED_FULL, false, false, upstreams_list, NULL},
    {"POST", "/upstreams/{name}/pause", NEED_FULL, false, false,
     upstreams_pause, NULL},
    {"POST", "/upstreams/{name}/resume", NEED_FULL, false, false,
     upstreams_resume, NULL},
    {"POST", "/upstreams/{name}/test", NEED_FULL, false, false, upstreams_test,
     NULL},
    {"POST", "/webhooks", NEED_FULL, true, false, webhooks_create, NULL},
    {"GET", "/webhooks", NEED_READ, false, false, webhooks_list, PAGE},
    {"GET", "/webhooks/{id}", NEED_READ, false, false, webhooks_get, NULL},
    {"PATCH", "/webhooks/{id}", NEED_FULL, true, false, webhooks_update, NULL},
    {"DELETE", "/webhooks/{id}", NEED_FULL, false, false, webhooks_delete,
     NULL},
    {"POST", "/suppressions", NEED_FULL, true, false, suppressions_add, NULL},
    {"GET", "/suppressions", NEED_READ, false, false, suppressions_list,
     SUPPRESSIONS},
    {"POST", "/suppressions/batch/add", NEED_FULL, true, false,
     suppressions_add_batch, NULL},
    {"POST", "/suppressions/batch/remove", NEED_FULL, true, false,
     suppressions_remove_batch, NULL},
    {"GET", "/suppressions/{id}", NEED_READ, false, false, suppressions_get,
     NULL},
    {"DELETE", "/suppressions/{id}", NEED_FULL, false, false,
     suppressions_remove, NULL},
    {"POST", "/feedback", NEED_FULL, true, true, feedback_take, NULL},
    {"POST", "/templates", NEED_FULL, true, true, templates_create, NULL},
    {"GET", "/templates", NEED_READ, false, false, templates_list, PAGE},
    {"GET", "/templates/{id}", NEED_READ, false, false, templates_get, NULL},
    {"PATCH", "/templates/{id}", NEED_FULL, true, true, templates_update, NULL},
    {"DELETE", "/templates/{id}", NEED_FULL, false, false, templates_delete,
     NULL},
    {"POST", "/templates/{id}/publish", NEED_FULL, false, false,
     templates_publish, NULL},
    {"POST", "/templates/{id}/duplicate", NEED_FULL, false, false,
     templates_duplicate, NULL},
    {"POST", "/templates/{id}/preview", NEED_READ, true, true,
     templates_preview, NULL},
    {"POST", "/domains", NEED_FULL, true, false, domains_create, NULL},
    {"GET", "/domains", NEED_READ, false, false, domains_list, PAGE},
    {"GET", "/domains/{id}", NEED_READ, false, false, domains_get, NULL},
    {"PATCH", "/domains/{id}", NEED_FULL, true, false, domains_update, NULL},
    {"DELETE", "/domains/{id}", NEED_FULL, false, false, domains_delete, NULL},
    {"POST", "/domains/{id}/verify", NEED_FULL, true, false, domains_verify,
     NULL},
    {"POST", "/domains/{id}/rotate", NEED_FULL, true, false, domains_rotate,
     NULL},
    {"POST", "/api-keys", NEED_FULL, true, false, keys_create, NULL},
    {"GET", "/api-keys", NEED_FULL, false, false, keys_list, PAGE},
    {"PATCH", "/api-keys/{id}", NEED_FULL, true, false, keys_update, NULL},
    {"DELETE", "/api-keys/{id}", NEED_FULL, false, false, keys_delete, NULL},
};

size_t api_endpoint_count(void)
{
    return COUNT_OF(ENDPOINTS);
}

const struct endpoint_row *api_endpoint(size_t row)
{
    CHECK(row < COUNT_OF(ENDPOINTS));
    return &ENDPOINTS[row];
}

static struct http_route *routes_create(void)
{
    struct http_route *routes = xcalloc(COUNT_OF(ENDPOINTS), sizeof *routes);

    for (size_t i = 0; i < COUNT_OF(ENDPOINTS); i++)
        routes[i] = (struct http_route){
            .method = ENDPOINTS[i].method,
            .path = ENDPOINTS[i].path,
            .handler = call_begin,
            .accepts = ENDPOINTS[i].takes_body ? "application/json" : NULL,
        };
    return routes;
}

/* The soft limit of descriptors is what a shell gives; up to the hard one is
 * ours to take. */
static unsigned connections_max(void)
{
    const rlim_t wanted = CONNECTIONS_MAX + DESCRIPTORS_SPARED;
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    if (limit.rlim_cur >= wanted)
        return CONNECTIONS_MAX;
    return limit.rlim_cur > 2 * DESCRIPTORS_SPARED
               ? (unsigned)limit.rlim_cur - DESCRIPTORS_SPARED
               : DESCRIPTORS_SPARED;
}

struct api *api_open(struct loop *loop, const struct config *config,
                     struct queue *queue, const int *listen_fds,
                     size_t listen_count, struct error *err)
{
    struct api *api = xcalloc(1, sizeof *api);
    struct httpd_options options = {
        .route_count = COUNT_OF(ENDPOINTS),
        .problem = api_problem,
        .head = call_vet_head,
        .ctx = api,
        .body_max = (size_t)config->api.max_body_bytes,
        .bodies_max = BODIES_AT_ONCE * (size_t)config->api.max_body_bytes,
        .header_timeout_ms = config->api.header_timeout_ms,
        .body_timeout_ms = config->api.body_timeout_ms,
        .connections_max = connections_max(),
        .connections_per_ip = (unsigned)config->api.connections_per_ip,
        .trusted_proxies = config->api.trusted_proxies.items,
        .trusted_proxy_count = config->api.trusted_proxies.count,
    };

    api->loop = loop;
    api->config = config;
    api->queue = queue;
    list_init(&api->calls);
    options.routes = api->routes = routes_create();
    api->work = work_open(loop, HELPERS, HELPED_MAX);
    if (api->work == NULL)
        error_set(err, ERR_SYSTEM, "there is no thread to be had");
    else
        api->httpd = httpd_open(loop, listen_fds, listen_count, &options, err);
    if (api->httpd == NULL) {
        work_close(&api->work);
        free(api->routes);
        free(api);
        return NULL;
    }
    api->keys = key_cache_create();
    api->signings = signing_cache_create();
    api->templates = template_cache_create();
    return api;
}

void api_drain(struct api *api, bool is_replaced, void (*done)(void *ctx),
               void *ctx)
{
    httpd_drain(api->httpd, is_replaced, done, ctx);
}

void api_close(struct api **api_at)
{
    struct api *api = *api_at;

    if (api == NULL)
        return;
    *api_at = NULL;
    work_close(&api->work); /* what it had in hand is ours again */
    calls_end(api);
    httpd_close(&api->httpd);
    key_cache_destroy(&api->keys);
    signing_cache_destroy(&api->signings);
    template_cache_destroy(&api->templates);
    free(api->routes);
    free(api);
}
