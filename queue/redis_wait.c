#include "queue/redis_core.h"

#include <hiredis/hiredis.h>

/* redis.wait_replicas: an answer is worth something when so many replicas
 * have what it tells of. Replies are kept until a WAIT behind them says so.
 *
 * Redis holds up everything behind a WAIT until it is done. So one is under
 * way at a time, and covers all that was answered before it; what is sent
 * meanwhile gets the next one. If it comes back short, the next ones are
 * short too: callers learn within their time limit, and the first that gets
 * its replicas ends the shortage. */

enum {
    WAIT_MS = 500,
    WAIT_SHORT_MS = 50, /* while replicas are too few */
    PROBE_EVERY_MS = 250,
    ANSWER_MS = 300, /* beyond Redis' own waiting */
};

static void release(struct redis_link *link, const struct error *why)
{
    struct request *request;

    while ((request = LIST_FIRST(&link->kept, struct request, link)) != NULL &&
           request->number <= link->wait.covered) {
        link->in_flight--;
        request_answer(request, request->reply, why);
    }
}

static void tell(struct redis_link *link, bool is_short)
{
    if (link->wait.is_short == is_short)
        return;
    link->wait.is_short = is_short;
    if (link->settings.on_replicas != NULL)
        link->settings.on_replicas(link->settings.ctx);
}

static void on_waited(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct redis_link *link = ctx;
    int64_t wanted = link->settings.config->wait_replicas;
    int64_t found = reply_int(reply);
    struct error few;

    (void)why;
    if (reply == NULL)
        return; /* the link's loss answers all */
    link->wait.is_under_way = false;
    if (found >= wanted) {
        tell(link, false);
        release(link, NULL);
    } else {
        error_set(&few, ERR_TIMEOUT,
                  "redis: %lld of the %lld replicas that redis.wait_replicas "
                  "asks for have it",
                  (long long)found, (long long)wanted);
        timer_set(link->loop, &link->wait.probe, PROBE_EVERY_MS);
        tell(link, true);
        release(link, &few);
    }
    if (link->wait.last > link->wait.covered)
        task_run_soon(link->loop, &link->wait.task);
}

static void send_wait(void *ctx)
{
    struct redis_link *link = ctx;
    int64_t wait_ms = link->wait.is_short ? WAIT_SHORT_MS : WAIT_MS;
    struct redis_command command;

    if (link->wait.is_under_way || link->state != LINK_UP)
        return;
    link->wait.is_under_way = true;
    link->wait.covered = link->sent;
    command_init(&command, "WAIT");
    command_add_int(&command, link->settings.config->wait_replicas);
    command_add_int(&command, wait_ms);
    link_send(link, &command, wait_ms + ANSWER_MS, on_waited, link);
}

void wait_open(struct redis_link *link)
{
    task_init(&link->wait.task, send_wait, link);
    timer_init(&link->wait.probe, send_wait, link);
}

void wait_close(struct redis_link *link)
{
    task_cancel(&link->wait.task);
    timer_clear(link->loop, &link->wait.probe);
}

static bool is_wanted(const struct redis_link *link)
{
    return link->settings.loads_scripts &&
           link->settings.config->wait_replicas > 0;
}

/* A new server: are its replicas there? */
void wait_link_is_up(struct redis_link *link)
{
    if (!is_wanted(link))
        return;
    link->wait.is_short = true; /* nobody may wait long for it */
    task_run_soon(link->loop, &link->wait.task);
}

void wait_link_is_lost(struct redis_link *link)
{
    wait_close(link);
    link->wait.is_under_way = false;
    list_each_safe (at, &link->kept) {
        struct request *request = LIST_MEMBER(at, struct request, link);

        link->in_flight--;
        request->why = link->lost;
        request_refuse_later(request);
    }
}

bool wait_concerns(const struct redis_link *link,
                   const struct redis_command *command)
{
    return is_wanted(link) && command->lasts;
}

void wait_sent(struct redis_link *link, const struct request *request)
{
    link->wait.last = request->number;
    task_run_soon(link->loop, &link->wait.task);
}

bool redis_link_lacks_replicas(const struct redis_link *link, struct str key)
{
    if (link->cluster != NULL)
        return cluster_lacks_replicas(link->cluster, key);
    return link->wait.is_short;
}
