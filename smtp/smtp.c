#include "smtp/smtp.h"

#include "server/base/mem.h"
#include "smtp/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNDOTTED_MS = 10 * 1000 }; /* that a stop waits for a dot to go out */

/* --- the end of a turn --- */

static struct smtp_delivery *first(struct list *list)
{
    return LIST_FIRST(list, struct smtp_delivery, link);
}

static void take_answer(struct smtp_delivery *delivery)
{
    list_remove(&delivery->link);
    list_add_last(&delivery->smtp->active, &delivery->link);
    if (delivery->mark == MARK_NO) {
        pool_remove(delivery);
        delivery_return(delivery, SMTP_UNSENT_MARK);
    } else {
        pool_go_on(delivery);
    }
}

/* Once it is told of, its bytes are the owner's: no twin may know them. */
static struct smtp_delivery *next_ended(struct smtp *smtp)
{
    hedge_let_losers_go(smtp);
    return first(&smtp->ended);
}

static void on_task(void *ctx)
{
    struct smtp *smtp = ctx;
    struct smtp_delivery *delivery;

    hedge_let_losers_go(smtp);
    while ((delivery = first(&smtp->answered)) != NULL)
        take_answer(delivery);
    while ((delivery = first(&smtp->fresh)) != NULL)
        delivery_place(delivery);
    while ((delivery = next_ended(smtp)) != NULL)
        delivery_tell(delivery);
}

void smtp_wake(struct smtp *smtp)
{
    task_run_soon(smtp->loop, &smtp->task);
}

static void on_undotted(void *ctx);

static void on_room_task(void *ctx)
{
    struct smtp *smtp = ctx;

    smtp->on_room(smtp->ctx);
}

void smtp_note_room(struct smtp *smtp)
{
    if (smtp->on_room != NULL && !smtp->is_stopping)
        task_run_soon(smtp->loop, &smtp->room_task);
}

/* --- open and close --- */

/* A host without a full name says an address literal instead, as RFC 5321
 * section 4.1.4 asks: containers are called 3f2a9c or so. */
static char *own_name(void)
{
    char name[256];

    if (gethostname(name, sizeof name) != 0)
        return xstrdup("[127.0.0.1]");
    name[sizeof name - 1] = '\0';
    return xstrdup(strchr(name, '.') == NULL ? "[127.0.0.1]" : name);
}

static struct smtp_upstream *find_upstream(struct smtp *smtp, const char *name)
{
    size_t i = 0;

    while (i < smtp->upstream_count &&
           strcmp(smtp->upstreams[i].config->name, name) != 0)
        i++;
    CHECK(i < smtp->upstream_count); /* config.c has found every name */
    return &smtp->upstreams[i];
}

static void init_route(struct smtp *smtp, struct smtp_route *route,
                       const struct config_route *config)
{
    CHECK(config->upstreams.count <= UPSTREAMS_MAX);
    route->smtp = smtp;
    route->config = config;
    route->count = config->upstreams.count;
    route->upstreams = xcalloc(route->count, sizeof *route->upstreams);
    for (size_t i = 0; i < route->count; i++)
        route->upstreams[i] = find_upstream(smtp, config->upstreams.items[i]);
}

static bool init_upstreams(struct smtp *smtp,
                           const struct smtp_settings *settings,
                           struct error *err)
{
    const struct config *config = smtp->config;
    bool is_fit = true;

    smtp->upstreams = xcalloc(config->upstream_count, sizeof *smtp->upstreams);
    for (size_t i = 0; is_fit && i < config->upstream_count; i++) {
        struct smtp_upstream *upstream = &smtp->upstreams[i];

        upstream->index = (unsigned)i;
        upstream->share =
            upstream_share(config->upstreams[i].max_sessions, settings->child,
                           settings->child_count);
        upstream->limit = upstream->share;
        smtp->upstream_count++;
        is_fit = upstream_init(upstream, smtp, &config->upstreams[i],
                               smtp->hello_name, &smtp->helper, err);
        pool_init(upstream); /* smtp_close ends both, fit or not */
    }
    return is_fit;
}

struct smtp *smtp_open(struct loop *loop, struct dns *dns,
                       const struct config *config,
                       const struct smtp_settings *settings, struct error *err)
{
    struct smtp *smtp;

    CHECK(config->upstream_count <= UPSTREAMS_MAX); /* config_check.c */
    smtp = xcalloc(1, sizeof *smtp);
    smtp->loop = loop;
    smtp->dns = dns;
    smtp->helper.loop = loop;
    smtp->config = config;
    smtp->on_room = settings->on_room;
    smtp->on_quota = settings->on_quota;
    smtp->on_trace = settings->on_trace;
    smtp->ctx = settings->ctx;
    smtp->hello_name = settings->hello_name == NULL
                           ? own_name()
                           : xstrdup(settings->hello_name);
    list_init(&smtp->fresh);
    list_init(&smtp->active);
    list_init(&smtp->answered);
    list_init(&smtp->unanswered);
    list_init(&smtp->ended);
    list_init(&smtp->probes);
    list_init(&smtp->hedges);
    list_init(&smtp->losers);
    task_init(&smtp->task, on_task, smtp);
    task_init(&smtp->room_task, on_room_task, smtp);
    timer_init(&smtp->undotted, on_undotted, smtp);
    if (!init_upstreams(smtp, settings, err)) {
        smtp_close(&smtp);
        return NULL;
    }
    smtp->routes = xcalloc(config->route_count, sizeof *smtp->routes);
    for (size_t i = 0; i < config->route_count; i++)
        init_route(smtp, &smtp->routes[i], &config->routes[i]);
    smtp->route_count = config->route_count;
    return smtp;
}

void smtp_close(struct smtp **ptr)
{
    struct smtp *smtp = *ptr;

    *ptr = NULL;
    if (smtp == NULL)
        return;
    smtp->on_room = NULL;
    smtp->on_quota = NULL;
    hedge_stop(smtp);
    delivery_forget_all(&smtp->fresh);
    delivery_forget_all(&smtp->active);
    delivery_forget_all(&smtp->answered);
    delivery_forget_all(&smtp->unanswered);
    delivery_forget_all(&smtp->ended);
    inspect_close(smtp);
    for (size_t i = 0; i < smtp->upstream_count; i++)
        pool_close_all(&smtp->upstreams[i]);
    hedge_close(smtp);
    helper_close(&smtp->helper);
    for (size_t i = 0; i < smtp->upstream_count; i++)
        upstream_finish(&smtp->upstreams[i]);
    task_cancel(&smtp->task);
    task_cancel(&smtp->room_task);
    timer_clear(smtp->loop, &smtp->undotted);
    for (size_t i = 0; i < smtp->route_count; i++)
        free(smtp->routes[i].upstreams);
    free(smtp->routes);
    free(smtp->upstreams);
    free(smtp->hello_name);
    free(smtp);
}

static bool give_back(struct smtp_delivery *delivery)
{
    if (delivery->mark != MARK_NONE || delivery->is_ended)
        return false;
    pool_remove(delivery);
    delivery_return(delivery, SMTP_UNSENT_STOPPED);
    return true;
}

static void give_back_all(struct list *list)
{
    list_each_safe (link, list)
        (void)give_back(LIST_MEMBER(link, struct smtp_delivery, link));
}

static bool is_dotted(const struct smtp_delivery *delivery)
{
    return delivery->mail != NULL && delivery->mail->txn.is_dotted;
}

static void give_back_undotted(struct list *list)
{
    list_each_safe (link, list) {
        struct smtp_delivery *delivery =
            LIST_MEMBER(link, struct smtp_delivery, link);

        if (is_dotted(delivery))
            continue;
        pool_remove(delivery);
        delivery_return(delivery, SMTP_UNSENT_STOPPED);
    }
}

/* A server may take minutes to say 354, or to read a message. Who waits for it
 * until he is killed leaves a mark on a mail that was certainly not sent. */
static void on_undotted(void *ctx)
{
    struct smtp *smtp = ctx;

    for (size_t i = 0; i < smtp->upstream_count; i++)
        for (size_t lane = 0; lane < LANE_COUNT; lane++)
            give_back_undotted(&smtp->upstreams[i].waiting[lane]);
    give_back_undotted(&smtp->answered);
    give_back_undotted(&smtp->active);
}

void smtp_stop(struct smtp *smtp)
{
    smtp->is_stopping = true;
    timer_set(smtp->loop, &smtp->undotted, UNDOTTED_MS);
    hedge_stop(smtp);
    give_back_all(&smtp->fresh);
    for (size_t i = 0; i < smtp->upstream_count; i++)
        for (size_t lane = 0; lane < LANE_COUNT; lane++)
            give_back_all(&smtp->upstreams[i].waiting[lane]);
    give_back_all(&smtp->active);
    for (size_t i = 0; i < smtp->upstream_count; i++)
        pool_stop(&smtp->upstreams[i]);
}

bool smtp_cancel(struct smtp_delivery *delivery)
{
    return give_back(delivery);
}

size_t smtp_in_hand(const struct smtp *smtp)
{
    return smtp->in_hand;
}

/* --- routes --- */

struct smtp_route *smtp_route_named(struct smtp *smtp, struct str name)
{
    for (size_t i = 0; i < smtp->route_count; i++)
        if (str_eq(str_of(smtp->routes[i].config->name), name))
            return &smtp->routes[i];
    return NULL;
}

/* --- upstreams --- */

const char *smtp_health_name(enum smtp_health health)
{
    static const char *const NAMES[SMTP_HEALTH_COUNT] = {
        [SMTP_HEALTH_UP] = "up",
        [SMTP_HEALTH_PROBING] = "probing",
        [SMTP_HEALTH_RESTING] = "resting",
        [SMTP_HEALTH_ALARM] = "alarm",
    };

    CHECK(health < SMTP_HEALTH_COUNT);
    return NAMES[health];
}

void smtp_upstream_look(const struct smtp *smtp, size_t index,
                        struct smtp_upstream_view *out)
{
    CHECK(index < smtp->upstream_count);
    upstream_look(&smtp->upstreams[index], out);
}

void smtp_upstream_pause(struct smtp *smtp, size_t index, bool is_paused)
{
    struct smtp_upstream *upstream;

    CHECK(index < smtp->upstream_count);
    upstream = &smtp->upstreams[index];
    if (upstream->is_paused == is_paused)
        return;
    upstream->is_paused = is_paused;
    pool_serve(upstream);
    smtp_note_room(smtp);
}

void smtp_upstream_share(struct smtp *smtp, size_t index, size_t sessions)
{
    CHECK(index < smtp->upstream_count);
    pool_set_share(&smtp->upstreams[index], sessions);
}

void smtp_upstream_test(struct smtp *smtp, size_t index, smtp_test_fn done,
                        void *ctx)
{
    CHECK(index < smtp->upstream_count);
    inspect_upstream(&smtp->upstreams[index], done, ctx);
}

void smtp_upstream_trace(struct smtp *smtp, size_t index, bool is_traced)
{
    CHECK(index < smtp->upstream_count && smtp->on_trace != NULL);
    smtp->upstreams[index].is_traced = is_traced;
}

void smtp_upstream_grant(struct smtp *smtp, size_t index,
                         const struct smtp_quota_grant *grant)
{
    CHECK(index < smtp->upstream_count);
    pool_grant(&smtp->upstreams[index], grant);
}

size_t smtp_room(struct smtp *smtp, const struct smtp_route *route,
                 unsigned lane)
{
    size_t room = 0;

    CHECK(lane < LANE_COUNT);
    if (smtp->is_stopping)
        return 0;
    for (size_t i = 0; i < route->count; i++)
        room += upstream_room(route->upstreams[i], lane);
    return room;
}

/* --- deliveries --- */

void smtp_deliver(struct smtp *smtp, struct smtp_delivery *delivery)
{
    CHECK(delivery->route != NULL && delivery->route->smtp == smtp);
    CHECK(delivery->lane < LANE_COUNT && delivery->on_mark != NULL &&
          delivery->on_done != NULL);
    delivery->smtp = smtp;
    list_init(&delivery->link);
    list_add_last(&smtp->fresh, &delivery->link);
    smtp->in_hand++;
    smtp_wake(smtp);
}

void smtp_delivery_marked(struct smtp_delivery *delivery, bool may_go,
                          int64_t valid_until_ms)
{
    struct smtp *smtp = delivery->smtp;

    CHECK(delivery->mark == MARK_ASKED);
    delivery->mark = may_go ? MARK_YES : MARK_NO;
    delivery->mark_until_ms = valid_until_ms;
    if (!delivery->is_ended && delivery->mail == NULL)
        return; /* on its way to another session, which will look */
    list_remove(&delivery->link);
    list_add_last(delivery->is_ended ? &smtp->ended : &smtp->answered,
                  &delivery->link);
    smtp_wake(smtp);
}
