#include "queue/redis_core.h"

#include "server/base/mem.h"

#include <hiredis/async.h>
#include <stdlib.h>
#include <time.h>

enum { SCRIPT_TEXT_MAX = 1 << 20 };

static void request_destroy(struct request *request)
{
    command_finish(&request->command);
    reply_destroy(&request->reply);
    free(request);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Scripts only: the others are few, and some wait on purpose. */
static void count_time(const struct request *request)
{
    struct redis_link *link = request->owner;
    int script = request->command.script;
    char name[64];
    size_t len = 0;

    if (script < 0)
        return;
    if (link->seconds[script] == NULL) {
        for (const char *at = script_name((enum script)script);
             *at != '\0' && len + 1 < sizeof name; at++)
            name[len++] = ascii_lower(*at);
        name[len] = '\0';
        link->seconds[script] = metrics_series(METRIC_REDIS_COMMAND_SECONDS,
                                               (const char *const[]){name});
    }
    series_observe(link->seconds[script],
                   (double)(now_ns() - request->sent_ns) / 1e9);
}

void request_answer(struct request *request, const struct reply *reply,
                    const struct error *why)
{
    redis_fn fn = request->fn;

    if (reply != NULL)
        count_time(request);
    list_remove(&request->link);
    if (request->owner != NULL)
        timer_clear(request->owner->loop, &request->timer);
    request->fn = NULL;
    if (fn != NULL)
        fn(request->ctx, reply, why);
    request_destroy(request);
}

static void refuse_all(void *ctx)
{
    struct redis_link *link = ctx;
    struct request *request;

    while ((request = LIST_FIRST(&link->refused, struct request, link)) != NULL)
        request_answer(request, NULL, &request->why);
}

void request_refuse_later(struct request *request)
{
    struct redis_link *link = request->owner;

    timer_clear(link->loop, &request->timer);
    list_remove(&request->link);
    list_add_last(&link->refused, &request->link);
    task_run_soon(link->loop, &link->refuse);
}

static struct request *request_create(struct redis_link *link,
                                      struct redis_command *command,
                                      int64_t budget_ms, redis_fn fn,
                                      void *ctx);

void link_refuse(struct redis_link *link, redis_fn fn, void *ctx,
                 const struct error *why)
{
    struct redis_command none = {.script = -1};
    struct request *request = request_create(link, &none, 0, fn, ctx);

    request->why = *why;
    request_refuse_later(request);
}

static void request_refuse(struct request *request, const char *why)
{
    error_set(&request->why, ERR_BUSY, "redis: %s", why);
    request_refuse_later(request);
}

static void request_timed_out(void *ctx)
{
    struct request *request = ctx;

    link_is_silent(request->owner, "no answer in time");
}

static void request_send(struct request *request);

void command_init_load(struct redis_command *command, unsigned script)
{
    struct buf text;

    buf_init(&text, SCRIPT_TEXT_MAX);
    script_add_text((enum script)script, &text);
    command_init(command, "SCRIPT");
    command_add_cstr(command, "LOAD");
    command_add(command, buf_str(&text));
    buf_finish(&text);
}

static void on_reloaded(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    bool *is_reloading = ctx;

    (void)reply;
    (void)why;
    *is_reloading = false;
}

/* Redis forgot its scripts (SCRIPT FLUSH): load this one, and ask once more.
 * Of the many that may be under way the first loads it for all. */
static void request_reload(struct request *request)
{
    struct redis_link *link = request->owner;
    int script = request->command.script;
    struct redis_command load;

    request->was_reloaded = true;
    list_remove(&request->link);
    timer_clear(link->loop, &request->timer);
    if (!link->is_reloading[script]) {
        link->is_reloading[script] = true;
        command_init_load(&load, (unsigned)script);
        link_send(link, &load, request->budget_ms, on_reloaded,
                  &link->is_reloading[script]);
    }
    request_send(request);
}

/* The link leads to a replica: a failover made it one. Whoever asks again
 * shall ask the master. */
static void drop_replica(struct redis_link *link, const struct reply *reply)
{
    if (reply_is_error(reply, "READONLY"))
        redis_link_reset(link, "this server is a replica, not the master");
}

/* Who heard of the link's loss may have closed it. */
static void request_end(struct request *request, const struct reply *reply)
{
    if (request->owner == NULL)
        request_destroy(request);
    else
        request_answer(request, reply,
                       reply == NULL ? &request->owner->lost : NULL);
}

static void request_replied(struct request *request, void *reply)
{
    struct redis_link *link = request->owner;
    int script = request->command.script;

    if (script >= 0 && reply_is_error(reply, "NOSCRIPT") &&
        !request->was_reloaded) {
        request_reload(request);
        return;
    }
    if (request->lasts && reply_type(reply) != REPLY_ERROR) {
        request->reply = reply_take(reply);
        list_remove(&request->link);
        list_add_last(&link->kept, &request->link);
        return;
    }
    link->in_flight--;
    drop_replica(link, reply);
    request_end(request, reply);
}

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct request *request = privdata;

    if (request->owner == NULL) { /* a tombstone */
        request_destroy(request);
    } else if (reply != NULL && request->goes_on) {
        timer_clear(request->owner->loop, &request->timer);
        request->fn(request->ctx, reply, NULL);
    } else if (reply != NULL) {
        request_replied(request, reply);
    } else {
        request->owner->in_flight--;
        link_lost_by_hiredis(ac);
        request_end(request, NULL);
    }
}

static void request_send(struct request *request)
{
    struct redis_link *link = request->owner;
    int script = request->command.script;
    struct str bytes =
        command_bytes(&request->command, script < 0 ? NULL : link->sha[script]);

    if (redisAsyncFormattedCommand(link->ac, on_reply, request, bytes.ptr,
                                   bytes.len) != REDIS_OK) {
        if (request->was_reloaded)
            link->in_flight--;
        request_refuse(request, "connection is closing");
        return;
    }
    if (!request->was_reloaded)
        link->in_flight++;
    request->number = ++link->sent;
    request->sent_ns = now_ns();
    list_add_last(&link->requests, &request->link);
    timer_set(link->loop, &request->timer, request->budget_ms);
    if (request->lasts)
        wait_sent(link, request);
    if (script < 0)
        command_finish(&request->command);
}

static struct request *request_create(struct redis_link *link,
                                      struct redis_command *command,
                                      int64_t budget_ms, redis_fn fn, void *ctx)
{
    struct request *request = xcalloc(1, sizeof *request);

    list_init(&request->link);
    request->owner = link;
    request->fn = fn;
    request->ctx = ctx;
    request->budget_ms = budget_ms;
    request->lasts = wait_concerns(link, command);
    request->command = *command;
    timer_init(&request->timer, request_timed_out, request);
    *command = (struct redis_command){0};
    return request;
}

void link_send(struct redis_link *link, struct redis_command *command,
               int64_t budget_ms, redis_fn fn, void *ctx)
{
    request_send(request_create(link, command, budget_ms, fn, ctx));
}

void redis_send(struct redis_link *link, struct redis_command *command,
                int64_t budget_ms, redis_fn fn, void *ctx)
{
    struct request *request;

    if (link->cluster != NULL) {
        cluster_send(link->cluster, command, budget_ms, fn, ctx);
        return;
    }
    request = request_create(link, command, budget_ms, fn, ctx);
    if (link->state != LINK_UP)
        request_refuse(request, "not connected");
    else if (link->in_flight >= link->settings.in_flight_max)
        request_refuse(request, "too many requests under way");
    else
        request_send(request);
}

void redis_subscribe(struct redis_link *link, const char *channel,
                     int64_t budget_ms, redis_fn fn, void *ctx)
{
    struct redis_command command;
    struct request *request;

    CHECK(link->state == LINK_UP);
    command_init(&command, "SUBSCRIBE");
    command_add_cstr(&command, channel);
    request = request_create(link, &command, budget_ms, fn, ctx);
    request->goes_on = true;
    request_send(request);
}

/* What has left will be executed, whether or not we live to hear of it. */
void requests_written(const redisAsyncContext *ac)
{
#ifdef FAULT_POINTS
    const struct redis_link *link = ac->data;

    if (link == NULL || ac->c.obuf[0] != '\0')
        return;
    list_each (at, &link->requests) {
        struct request *request = LIST_MEMBER(at, struct request, link);
        struct fault_point *point = request->command.sent_point;

        request->command.sent_point = NULL;
        FAULT_PASS(point);
    }
#else
    (void)ac;
#endif
}

void requests_open(struct redis_link *link)
{
    list_init(&link->requests);
    list_init(&link->kept);
    list_init(&link->refused);
    task_init(&link->refuse, refuse_all, link);
}

static void forget(struct list *requests)
{
    list_each_safe (at, requests) {
        list_remove(at);
        request_destroy(LIST_MEMBER(at, struct request, link));
    }
}

/* Leaves tombstones for hiredis to bury. */
void requests_close(struct redis_link *link)
{
    list_each_safe (at, &link->requests) {
        struct request *request = LIST_MEMBER(at, struct request, link);

        timer_clear(link->loop, &request->timer);
        list_remove(&request->link);
        request->owner = NULL;
    }
    list_each (at, &link->kept)
        timer_clear(link->loop, &LIST_MEMBER(at, struct request, link)->timer);
    forget(&link->kept);
    forget(&link->refused);
    task_cancel(&link->refuse);
}
