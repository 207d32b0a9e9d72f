#include "server/supervisor/admin.h"

#include "server/base/json.h"
#include "server/base/mem.h"
#include "server/http/httpd.h"
#include "server/io/listen.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ADMIN_CONNECTIONS = 64, METRICS_MAX = 4 << 20, ANSWER_MAX = 64 << 10 };

struct admin {
    struct httpd *httpd;
    int fd;
    struct admin_options options;
};

static void reply_json(struct http_request *request, unsigned status,
                       struct buf *body)
{
    http_reply(request, status, "application/json", body);
}

static void on_livez(void *ctx, struct http_request *request)
{
    const struct admin *admin = ctx;
    struct json_out out;
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "status", "ok");
    json_add_cstr(&out, "role", admin->options.role);
    json_close_map(&out);
    reply_json(request, 200, &body);
}

static unsigned add_children(const struct admin *admin, struct json_out *out)
{
    char reason[METRICS_REASON_SIZE];
    unsigned ready_count = 0;

    for (unsigned slot = 0; slot < admin->options.slots; slot++) {
        bool ready;

        if (!admin->options.slot_taken[slot])
            continue;
        ready = metrics_ready(admin->options.region, slot, reason);
        json_open_map(out);
        json_add_bool(out, "ready", ready);
        if (reason[0] != '\0')
            json_add_cstr(out, "reason", reason);
        json_close_map(out);
        ready_count += ready;
    }
    return ready_count;
}

static void add_workers(void *ctx, const char *label, int64_t count)
{
    (void)label;
    json_add_int(ctx, "workers", count);
}

static void add_upstream(void *ctx, const char *name, int64_t is_up)
{
    struct json_out *out = ctx;

    json_open_map(out);
    json_add_cstr(out, "name", name);
    json_add_bool(out, "up", is_up != 0);
    json_close_map(out);
}

/* What its children have seen; without Redis they know no workers. */
static void add_surroundings(const struct admin *admin, struct json_out *out,
                             bool ready)
{
    const struct metrics_region *region = admin->options.region;

    if (ready)
        metrics_each_gauge(region, METRIC_WORKERS_ALIVE, add_workers, out);
    if (strcmp(admin->options.role, "worker") != 0)
        return;
    json_name(out, "upstreams");
    json_open_list(out);
    metrics_each_gauge(region, METRIC_UPSTREAM_UP, add_upstream, out);
    json_close_list(out);
}

static void on_readyz(void *ctx, struct http_request *request)
{
    const struct admin *admin = ctx;
    struct json_out out;
    struct buf body;
    bool ready;

    buf_init(&body, ANSWER_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "role", admin->options.role);
    json_name(&out, "children");
    json_open_list(&out);
    ready = add_children(admin, &out) > 0;
    json_close_list(&out);
    add_surroundings(admin, &out, ready);
    json_add_cstr(&out, "status", ready ? "ready" : "not_ready");
    json_close_map(&out);
    reply_json(request, ready ? 200 : 503, &body);
}

static void on_metrics(void *ctx, struct http_request *request)
{
    const struct admin *admin = ctx;
    struct buf body;

    admin->options.sample(admin->options.ctx);
    buf_init(&body, METRICS_MAX);
    metrics_render(admin->options.region, &body);
    http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

static void on_problem(void *ctx, struct http_request *request, unsigned status,
                       const char *detail)
{
    struct json_out out;
    struct buf body;

    (void)ctx;
    buf_init(&body, ANSWER_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_int(&out, "statusCode", status);
    json_add_cstr(&out, "name",
                  status == 404   ? "not_found"
                  : status == 405 ? "method_not_allowed"
                                  : "validation_error");
    json_add_cstr(&out, "message", detail);
    json_close_map(&out);
    reply_json(request, status, &body);
}

static const struct http_route ROUTES[] = {
    {"GET", "/livez", on_livez, NULL},
    {"GET", "/readyz", on_readyz, NULL},
    {"GET", "/metrics", on_metrics, NULL},
};

struct admin *admin_open(struct loop *loop, const char *where,
                         const struct admin_options *options, struct error *err)
{
    struct admin *admin = xcalloc(1, sizeof *admin);
    const struct listen_options listen_options = {0};
    const struct httpd_options httpd_options = {
        .routes = ROUTES,
        .route_count = COUNT_OF(ROUTES),
        .problem = on_problem,
        .ctx = admin,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 10000,
        .connections_max = ADMIN_CONNECTIONS,
        .connections_per_ip = ADMIN_CONNECTIONS,
    };

    admin->options = *options;
    admin->fd = listen_open(where, &listen_options, err);
    if (admin->fd >= 0)
        admin->httpd = httpd_open(loop, &admin->fd, 1, &httpd_options, err);
    if (admin->httpd == NULL)
        admin_close(&admin);
    return admin;
}

void admin_close(struct admin **admin)
{
    if (*admin == NULL)
        return;
    httpd_close(&(*admin)->httpd);
    if ((*admin)->fd >= 0)
        close((*admin)->fd);
    free(*admin);
    *admin = NULL;
}
