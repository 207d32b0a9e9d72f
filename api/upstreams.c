/* /upstreams: how they do, and an operator's pause. They are shared by all
 * owners, so only the keys of one owner, the operator, are let in. */
#include "api/call.h"

#include "smtp/smtp.h"

enum {
    UPSTREAM_BODY_MAX = 4096,
    ANSWER_REST_MS = 1000, /* behind the last look for a test's result */
};

const char *api_upstream_state(const struct queue_upstream *upstream)
{
    unsigned trouble = upstream->all.trouble;

    if (upstream->paused_ms != 0)
        return "paused";
    if (upstream->workers == 0)
        return "unknown";
    return smtp_health_name(trouble < SMTP_HEALTH_COUNT ? trouble
                                                        : SMTP_HEALTH_ALARM);
}

static int64_t used_of(const struct queue_upstream *upstream, int64_t window_ms)
{
    for (size_t i = 0; i < upstream->window_count; i++)
        if (upstream->windows[i].ms == window_ms)
            return upstream->windows[i].used;
    return 0;
}

static void write_rates(struct json_out *out,
                        const struct config_rate_list *rates,
                        const struct queue_upstream *upstream)
{
    json_name(out, "rates");
    json_open_list(out);
    for (size_t i = 0; i < rates->count; i++) {
        json_open_map(out);
        json_add_int(out, "limit", rates->items[i].count);
        json_add_int(out, "window_s", rates->items[i].per_ms / 1000);
        json_add_int(out, "used", used_of(upstream, rates->items[i].per_ms));
        json_close_map(out);
    }
    json_close_list(out);
}

void api_upstream_write(struct json_out *out,
                        const struct config_upstream *config,
                        const struct queue_upstream *upstream)
{
    const struct upstream_report *all = &upstream->all;

    json_open_map(out);
    json_add_cstr(out, "object", "upstream");
    json_add_cstr(out, "name", config->name);
    json_add_cstr(out, "host", config->host);
    json_add_int(out, "port", config->port);
    json_add_cstr(out, "state", api_upstream_state(upstream));
    json_add_str_or_null(out, "why", all->why);
    json_add_time_or_null(out, "paused_at", upstream->paused_ms);
    json_add_int(out, "workers", upstream->workers);
    json_name(out, "sessions");
    json_open_map(out);
    json_add_int(out, "open", all->sessions);
    json_add_int(out, "busy", all->busy);
    json_add_int(out, "limit", all->limit);
    json_add_int(out, "max", config->max_sessions);
    json_close_map(out);
    write_rates(out, &config->rate, upstream);
    json_add_int(out, "waiting", all->waiting);
    json_add_int(out, "slowed_domains", all->slowed);
    json_add_milli(out, "sent_per_s", all->sent_rate);
    json_close_map(out);
}

/* --- who may --- */

static bool let_operator_in(struct call *call)
{
    const char *operator= call->api->config->api.operator;

    if (operator[0] != '\0' && str_eq(call->key.owner, str_of(operator)))
        return true;
    call_fail(call, PROBLEM_RESTRICTED_API_KEY,
              "Upstreams are the operator's: only keys of the owner that "
              "api.operator names may see or steer them.");
    return false;
}

/* --- list --- */

static void on_list(void *ctx, const struct queue_upstreams *upstreams)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (upstreams->status != QUEUE_OK) {
        call_fail_queue(call, upstreams->status, &upstreams->why, NULL);
        return;
    }
    buf_init(&body, UPSTREAM_BODY_MAX * (upstreams->count + 1));
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "list");
    json_name(&out, "data");
    json_open_list(&out);
    for (size_t i = 0; i < upstreams->count; i++)
        api_upstream_write(&out, &call->api->config->upstreams[i],
                           &upstreams->upstreams[i]);
    json_close_list(&out);
    json_close_map(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void upstreams_list(struct call *call)
{
    const struct config *config = call->api->config;
    struct str *names =
        ARENA_ARRAY(call->arena, struct str, config->upstream_count + 1);

    if (!let_operator_in(call))
        return;
    for (size_t i = 0; i < config->upstream_count; i++)
        names[i] = str_of(config->upstreams[i].name);
    queue_upstreams_get(call->api->queue, names, config->upstream_count,
                        on_list, call);
}

/* --- pause, resume --- */

static void on_seen(void *ctx, const struct queue_upstreams *upstreams)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (upstreams->status != QUEUE_OK) {
        call_fail_queue(call, upstreams->status, &upstreams->why, NULL);
        return;
    }
    buf_init(&body, UPSTREAM_BODY_MAX);
    json_out_init(&out, &body);
    api_upstream_write(&out, call->own, upstreams->upstreams);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

static void on_steered(void *ctx, const struct queue_answer *answer)
{
    struct call *call = ctx;
    struct str name = http_param(call->request, 0);

    if (answer->status != QUEUE_OK)
        call_fail_queue(call, answer->status, &answer->why, NULL);
    else if (call_goes_on(call))
        queue_upstreams_get(call->api->queue, &name, 1, on_seen, call);
}

/* False: it was answered. */
static bool find_upstream(struct call *call)
{
    const struct config *config = call->api->config;
    struct str name = http_param(call->request, 0);

    if (!let_operator_in(call))
        return false;
    for (size_t i = 0; i < config->upstream_count; i++)
        if (str_eq(name, str_of(config->upstreams[i].name)))
            call->own = &config->upstreams[i];
    if (call->own == NULL)
        call_fail(call, PROBLEM_NOT_FOUND, "Upstream not found");
    return call->own != NULL;
}

typedef void (*steer_fn)(struct queue *queue, struct str name,
                         queue_answer_fn done, void *ctx);

static void steer(struct call *call, steer_fn fn)
{
    if (find_upstream(call))
        fn(call->api->queue, http_param(call->request, 0), on_steered, call);
}

void upstreams_pause(struct call *call)
{
    steer(call, queue_upstream_pause);
}

void upstreams_resume(struct call *call)
{
    steer(call, queue_upstream_resume);
}

/* --- test --- */

static void on_tested(void *ctx, const struct queue_upstream_test *test)
{
    struct call *call = ctx;
    struct buf body;

    if (test->status != QUEUE_OK) {
        call_fail_queue(call, test->status, &test->why, NULL);
        return;
    }
    if (test->result.len == 0) {
        call_fail(call, PROBLEM_UNAVAILABLE,
                  "No worker has taken the test, or none came to its end: is "
                  "one running?");
        return;
    }
    buf_init(&body, test->result.len);
    buf_add(&body, test->result);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void upstreams_test(struct call *call)
{
    if (!find_upstream(call))
        return;
    call_extend(call, UPSTREAM_TEST_MAX_MS + ANSWER_REST_MS);
    queue_upstream_test(call->api->queue, http_param(call->request, 0),
                        on_tested, call);
}
