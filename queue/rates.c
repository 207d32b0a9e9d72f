/* The rate limit per API key. Tokens of a window are leased in portions of a
 * hundredth of the limit, or as many as wait: children together never pass
 * the limit, and leave at most their unused portions. */
#include "queue/core.h"

#include "server/base/clock.h"
#include "server/base/map.h"
#include "server/base/mem.h"

#include <stdlib.h>

enum { LEASES_MAX = 10000, PORTIONS = 100 };

/* What this process may still take of one key's window. */
struct lease {
    struct id key;
    int64_t until_ms; /* monotonic: end of the window */
    int64_t tokens;
    int64_t left_behind; /* in Redis, when it was asked last */
    bool is_used_up;     /* Redis had none left */
    struct list askers;  /* of struct asker */
    size_t asker_count;
    struct list link; /* of rates.to_ask; unlinked while none */
    int64_t asked_ms;
};

struct asker {
    struct queue_call call;
    struct list link; /* of lease.askers */
    queue_answer_fn done;
    void *ctx;
};

struct rates {
    struct queue_part part;
    struct queue *queue;
    struct map *leases; /* by key id */
    struct list to_ask;
    struct task ask_task;
};

static void leases_drop(struct rates *rates, bool all)
{
    struct lease *lease;
    struct str id;
    void *value;
    size_t at = 0;

    while (map_next(rates->leases, &at, &id, &value)) {
        lease = value;
        if (all ||
            (lease->until_ms <= clock_now_ms() && lease->asker_count == 0)) {
            list_remove(&lease->link);
            map_remove(rates->leases, id_str(&lease->key));
            free(lease);
        }
    }
}

static void rates_close(void *ctx)
{
    struct rates *rates = ctx;

    task_cancel(&rates->ask_task);
    leases_drop(rates, true);
    map_destroy(&rates->leases);
    free(rates);
}

/* Calls everybody who asked; each takes again, and finds a token or none. */
static void lease_answer(struct lease *lease, const struct queue_answer *answer)
{
    struct list askers;
    struct asker *asker;

    list_init(&askers);
    while ((asker = LIST_FIRST(&lease->askers, struct asker, link)) != NULL) {
        list_remove(&asker->link);
        list_add_last(&askers, &asker->link);
    }
    lease->asker_count = 0;
    while ((asker = LIST_FIRST(&askers, struct asker, link)) != NULL) {
        list_remove(&asker->link);
        asker->done(asker->ctx, answer);
        queue_call_end(&asker->call);
    }
}

static void on_granted(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct lease *lease = ctx;
    struct queue_answer answer = {0};
    int64_t granted = reply_int(reply_at(reply, 0));

    answer.status = reply_status(reply, why, &answer.why);
    if (answer.status == QUEUE_OK) {
        /* From when it was sent: the window ends no earlier than that. */
        lease->until_ms = lease->asked_ms + reply_int(reply_at(reply, 2));
        lease->tokens = granted;
        lease->left_behind = reply_int(reply_at(reply, 1));
        lease->is_used_up = lease->left_behind == 0;
    }
    lease_answer(lease, &answer);
}

static void lease_ask(struct rates *rates, struct lease *lease)
{
    const struct config_limits *limits = &rates->queue->config->limits;
    int64_t wanted = limits->rate / PORTIONS;
    struct redis_command command;
    char name[KEY_MAX];

    if (wanted < (int64_t)lease->asker_count)
        wanted = (int64_t)lease->asker_count;
    lease->asked_ms = clock_now_ms();
    command_init_script(
        &command, SCRIPT_RATE,
        queue_global_key(rates->queue, name, KEY_RATE "%s", lease->key.text));
    command.lasts = false; /* a failover may grant a second of use twice */
    command_add_int(&command, wanted);
    command_add_int(&command, limits->rate);
    command_add_int(&command, limits->rate_per_ms);
    redis_send(rates->queue->main, &command, REDIS_BUDGET_MS, on_granted,
               lease);
}

static void on_ask(void *ctx)
{
    struct rates *rates = ctx;
    struct lease *lease;

    while ((lease = LIST_FIRST(&rates->to_ask, struct lease, link)) != NULL) {
        list_remove(&lease->link);
        lease_ask(rates, lease);
    }
}

static struct rates *rates_of(struct queue *queue)
{
    struct rates *rates = queue->rates;

    if (rates != NULL)
        return rates;
    rates = xcalloc(1, sizeof *rates);
    rates->queue = queue;
    rates->leases = map_create();
    list_init(&rates->to_ask);
    task_init(&rates->ask_task, on_ask, rates);
    rates->part.close = rates_close;
    rates->part.ctx = rates;
    queue->rates = rates;
    queue_part_add(queue, &rates->part);
    return rates;
}

static struct lease *lease_of(struct rates *rates, const struct id *key)
{
    struct lease *lease = map_get(rates->leases, id_str(key));

    if (lease != NULL)
        return lease;
    if (map_count(rates->leases) >= LEASES_MAX)
        leases_drop(rates, false);
    lease = xcalloc(1, sizeof *lease);
    lease->key = *key;
    list_init(&lease->askers);
    list_init(&lease->link);
    map_put(rates->leases, id_str(key), lease);
    return lease;
}

static void tell(const struct queue *queue, const struct lease *lease,
                 struct queue_rate *out)
{
    const struct config_limits *limits = &queue->config->limits;

    out->limit = limits->rate;
    out->window_s = (limits->rate_per_ms + 999) / 1000;
    out->remaining = lease->tokens + lease->left_behind;
    out->reset_s = (lease->until_ms - clock_now_ms() + 999) / 1000;
}

enum rate_answer queue_rate_take(struct queue *queue, const struct id *key,
                                 struct queue_rate *out)
{
    struct lease *lease;

    *out = (struct queue_rate){.allowed = true};
    if (queue->config->limits.rate == 0)
        return RATE_KNOWN;
    lease = lease_of(rates_of(queue), key);
    if (lease->until_ms <= clock_now_ms() ||
        (lease->tokens == 0 && !lease->is_used_up))
        return RATE_ASK;
    out->allowed = lease->tokens > 0;
    if (out->allowed)
        lease->tokens--;
    tell(queue, lease, out);
    return RATE_KNOWN;
}

void queue_rate_ask(struct queue *queue, const struct id *key,
                    queue_answer_fn done, void *ctx)
{
    struct rates *rates = rates_of(queue);
    struct lease *lease = lease_of(rates, key);
    struct asker *asker = queue_call_new(queue, sizeof *asker);

    asker->done = done;
    asker->ctx = ctx;
    list_add_last(&lease->askers, &asker->link);
    /* Those who come while Redis is being asked wait for its answer, and ask
     * again if it leaves nothing for them. */
    if (lease->asker_count++ == 0) {
        list_add_last(&rates->to_ask, &lease->link);
        task_run_soon(queue->loop, &rates->ask_task);
    }
}
