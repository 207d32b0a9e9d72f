/* The rate of an upstream: mails of its windows are leased by worker children,
 * as many as wait there and a few more. */
#include "queue/core.h"

#include "server/base/clock.h"

enum { AWAY_MS = 1000 }; /* until Redis is asked again */

struct asking {
    struct queue_call call;
    int64_t asked_ms;
    quota_fn done;
    void *ctx;
};

enum { URGENT, OTHER, LASTS, NO_URGENT, NO_OTHER, STAMP, REPLY_COUNT };

static int64_t until(int64_t from_ms, int64_t lasts_ms)
{
    return lasts_ms == 0 ? 0 : from_ms + lasts_ms;
}

/* A lease lasts from when it was asked for: its windows end no earlier than
 * that. What is used up stays so until they have surely ended. */
static void on_leased(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct asking *asking = ctx;
    int64_t now_ms = clock_now_ms();
    struct quota_lease lease = {
        .status = QUEUE_AWAY,
        .urgent_used_up_until_ms = now_ms + AWAY_MS,
        .other_used_up_until_ms = now_ms + AWAY_MS,
    };

    (void)why;
    if (reply_count(reply) == REPLY_COUNT)
        lease = (struct quota_lease){
            .status = QUEUE_OK,
            .urgent = reply_int(reply_at(reply, URGENT)),
            .other = reply_int(reply_at(reply, OTHER)),
            .until_ms = asking->asked_ms + reply_int(reply_at(reply, LASTS)),
            .urgent_used_up_until_ms =
                until(now_ms, reply_int(reply_at(reply, NO_URGENT))),
            .other_used_up_until_ms =
                until(now_ms, reply_int(reply_at(reply, NO_OTHER))),
            .stamp = reply_int(reply_at(reply, STAMP)),
        };
    asking->done(asking->ctx, &lease);
    queue_call_end(&asking->call);
}

void queue_quota_lease(struct queue *queue, struct str upstream,
                       const struct config_rate_list *rates,
                       const struct quota_ask *ask, quota_fn done, void *ctx)
{
    struct asking *asking = queue_call_new(queue, sizeof *asking);
    struct redis_command command;
    char prefix[KEY_MAX];

    asking->done = done;
    asking->ctx = ctx;
    asking->asked_ms = clock_now_ms();
    command_init_script(&command, SCRIPT_QUOTA,
                        upstream_prefix(queue, upstream, prefix));
    command.lasts = false; /* a failover may grant a second of use twice */
    command_add_int(&command, ask->urgent);
    command_add_int(&command, ask->other);
    command_add_int(&command, ask->back);
    command_add_int(&command, ask->stamp);
    for (size_t i = 0; i < rates->count; i++) {
        command_add_int(&command, rates->items[i].count);
        command_add_int(&command, rates->items[i].per_ms);
    }
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_leased, asking);
}
