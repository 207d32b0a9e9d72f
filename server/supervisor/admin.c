#include "server/supervisor/admin.h"

#include "server/base/json.h"
#include "server/base/mem.h"
#include "server/io/listen.h"
#include "server/supervisor/accept.h"
#include "server/supervisor/plain_http.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct admin {
    struct plain_http *http;
    int fd;
    struct admin_options options;
};

static void on_livez(void *ctx, struct str accept, struct plain_answer *answer)
{
    const struct admin *admin = ctx;
    struct json_out out;

    (void)accept;
    json_out_init(&out, &answer->body);
    json_open_map(&out);
    json_add_cstr(&out, "status", "ok");
    json_add_cstr(&out, "role", admin->options.role);
    json_close_map(&out);
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

static void on_readyz(void *ctx, struct str accept, struct plain_answer *answer)
{
    const struct admin *admin = ctx;
    struct json_out out;
    bool ready;

    (void)accept;
    json_out_init(&out, &answer->body);
    json_open_map(&out);
    json_add_cstr(&out, "role", admin->options.role);
    json_name(&out, "children");
    json_open_list(&out);
    ready = add_children(admin, &out) > 0;
    json_close_list(&out);
    add_surroundings(admin, &out, ready);
    json_add_cstr(&out, "status", ready ? "ready" : "not_ready");
    json_close_map(&out);
    answer->status = ready ? 200 : 503;
}

static void on_metrics(void *ctx, struct str accept,
                       struct plain_answer *answer)
{
    const struct admin *admin = ctx;
    enum metrics_form form = accept_metrics_form(accept);

    admin->options.sample(admin->options.ctx);
    metrics_render(admin->options.region, form, &answer->body);
    answer->type =
        form == METRICS_OPENMETRICS
            ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
            : "text/plain; version=0.0.4; charset=utf-8";
}

static void on_refused(void *ctx, struct plain_answer *answer,
                       const char *detail)
{
    struct json_out out;

    (void)ctx;
    json_out_init(&out, &answer->body);
    json_open_map(&out);
    json_add_int(&out, "statusCode", answer->status);
    json_add_cstr(&out, "name",
                  answer->status == 404   ? "not_found"
                  : answer->status == 405 ? "method_not_allowed"
                  : answer->status == 500 ? "application_error"
                                          : "validation_error");
    json_add_cstr(&out, "message", detail);
    json_close_map(&out);
}

static const struct plain_page PAGES[] = {
    {"/livez", on_livez},
    {"/readyz", on_readyz},
    {"/metrics", on_metrics},
};

struct admin *admin_open(struct loop *loop, const char *where,
                         const struct admin_options *options, struct error *err)
{
    struct admin *admin = xcalloc(1, sizeof *admin);
    const struct listen_options listen_options = {0};
    const struct plain_http_options http_options = {
        .pages = PAGES,
        .page_count = COUNT_OF(PAGES),
        .refuse = on_refused,
        .ctx = admin,
    };

    admin->options = *options;
    admin->fd = listen_open(where, &listen_options, err);
    if (admin->fd >= 0)
        admin->http = plain_http_open(loop, admin->fd, &http_options);
    else
        admin_close(&admin);
    return admin;
}

void admin_close(struct admin **admin)
{
    if (*admin == NULL)
        return;
    plain_http_close(&(*admin)->http);
    if ((*admin)->fd >= 0)
        close((*admin)->fd);
    free(*admin);
    *admin = NULL;
}
