#include "server/hooks/hooks.h"

#include "server/base/clock.h"
#include "server/base/fault.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/base/secret.h"
#include "server/hooks/plan.h"
#include "server/hooks/rounds.h"
#include "server/hooks/send.h"
#include "server/hooks/sign.h"

#include <stdlib.h>

enum {
    /* Requests under way in one child: sixty endpoints may begin to hang at
     * once, with 8 each, and leave the others theirs. */
    POSTS_MAX = 512,
    DRAIN_MS = 8000,
};

struct hooks {
    struct loop *loop;
    const struct config *config;
    struct queue *queue;
    struct sender *sender;
    struct rounds *rounds;
    struct queue_hooks role;
    struct list posts;
    size_t post_count;
    struct timer drain_limit;
    bool draining;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

/* One task on its way. */
struct post {
    struct list link;
    struct hooks *hooks;
    struct queue_task *task;
    struct send *send;
    int64_t sent_ms;
};

static void post_free(struct post *post)
{
    list_remove(&post->link);
    post->hooks->post_count--;
    free(post);
}

static uint32_t random_number(void)
{
    uint32_t number;

    random_bytes(&number, sizeof number);
    return number;
}

/* --- what became of it --- */

static const char *const OUTCOMES[] = {
    [TASK_DONE] = "done",     [TASK_AGAIN] = "again", [TASK_BUSY] = "busy",
    [TASK_FAILED] = "failed", [TASK_LOST] = "lost",   [TASK_GONE] = "gone",
    [TASK_UNSENT] = "unsent",
};

static void tell_log(const struct post *post, const struct plan *plan,
                     const struct send_result *result)
{
    const struct queue_task *task = post->task;
    struct log_field retry = log_int("retry_in_ms", plan->retry_in_ms);
    struct log_field error = log_cstr("error", result->error);
    bool again = plan->outcome == TASK_AGAIN || plan->outcome == TASK_BUSY;

    if (!again)
        retry.key = NULL;
    if (result->error[0] == '\0')
        error.key = NULL;
    log_write(plan->outcome == TASK_DONE ? LOG_DEBUG : LOG_WARN,
              plan->outcome == TASK_DONE ? LOG_WEBHOOK_DELIVERED
              : again                    ? LOG_WEBHOOK_DELAYED
                                         : LOG_WEBHOOK_FAILED,
              log_str("endpoint", id_str(&task->endpoint->id)),
              log_str("webhook_id", task->webhook_id),
              log_int("attempt", task->attempt),
              log_int("status", result->status), error,
              log_int("ms", result->took_ms), retry);
}

static void tell(const struct post *post, const struct plan *plan,
                 const struct send_result *result)
{
    bool refused = result->refused && plan->outcome != TASK_LOST;

    metrics_count(METRIC_WEBHOOK_ATTEMPTS,
                  refused ? "refused" : OUTCOMES[plan->outcome]);
    if (!result->refused)
        series_observe(metrics_series(METRIC_WEBHOOK_ATTEMPT_SECONDS, NULL),
                       (double)result->took_ms / 1000);
    tell_log(post, plan, result);
}

static void report(struct post *post, const struct plan *plan,
                   const struct send_result *result)
{
    const struct task_detail detail = {
        .http_status = result->status,
        .response = result->response,
        .error = str_of(result->error),
        .sent_ms = post->sent_ms,
        .took_ms = result->took_ms,
    };

    tell(post, plan, result);
    queue_task_report(post->hooks->queue, post->task, plan->outcome,
                      clock_shared_ms() + plan->retry_in_ms, &detail);
    FAULT_POINT("webhook.reported");
    post_free(post);
}

static void on_sent(void *ctx, const struct send_result *result)
{
    struct post *post = ctx;
    struct plan plan =
        plan_after(&post->hooks->config->webhook, post->task->attempt,
                   result->status, result->retry_after_s, random_number());

    post->send = NULL;
    FAULT_POINT("webhook.answered");
    report(post, &plan, result);
}

/* --- the queue's side --- */

static size_t room(void *ctx)
{
    const struct hooks *hooks = ctx;

    return POSTS_MAX - hooks->post_count;
}

static void claimed(void *ctx, struct queue_task *task)
{
    struct hooks *hooks = ctx;
    struct post *post = xcalloc(1, sizeof *post);
    struct sign_headers headers;

    CHECK(hooks->post_count < POSTS_MAX);
    FAULT_POINT("webhook.claimed");
    hooks->post_count++;
    list_add_last(&hooks->posts, &post->link);
    post->hooks = hooks;
    post->task = task;
    post->sent_ms = clock_wall_ms(); /* receivers compare with their own */
    if (!sign_headers(task->endpoint->secret, task->webhook_id,
                      post->sent_ms / 1000, task->payload, &headers)) {
        report(post, &(struct plan){.outcome = TASK_LOST},
               &(struct send_result){.error = "the secret is not usable",
                                     .refused = true});
        return;
    }
    post->send = send_start(hooks->sender,
                            &(struct send_request){
                                .url = task->endpoint->url,
                                .body = task->payload,
                                .headers = &headers,
                            },
                            on_sent, post);
}

/* --- the end --- */

/* An endpoint may have taken the event already: it is sent again under the
 * same webhook-id. */
static void on_drain_limit(void *ctx)
{
    struct hooks *hooks = ctx;

    list_each_safe (link, &hooks->posts) {
        struct post *post = LIST_MEMBER(link, struct post, link);

        send_cancel(&post->send);
        queue_task_report(hooks->queue, post->task, TASK_UNSENT, 0, NULL);
        post_free(post);
    }
}

static void on_drained(void *ctx)
{
    struct hooks *hooks = ctx;

    timer_clear(hooks->loop, &hooks->drain_limit);
    hooks->drained(hooks->drained_ctx);
}

void hooks_drain(struct hooks *hooks, void (*done)(void *ctx), void *ctx)
{
    CHECK(!hooks->draining);
    hooks->draining = true;
    hooks->drained = done;
    hooks->drained_ctx = ctx;
    timer_set(hooks->loop, &hooks->drain_limit, DRAIN_MS);
    rounds_stop(hooks->rounds);
    queue_hooks_stop(hooks->queue, on_drained, hooks);
}

struct hooks *hooks_open(struct loop *loop, const struct config *config,
                         struct queue *queue, struct dns *dns,
                         struct error *err)
{
    struct sender *sender = sender_open(loop, dns, &config->webhook, err);
    struct rounds *rounds;
    struct hooks *hooks;

    if (sender == NULL)
        return NULL;
    rounds = rounds_open(loop, config, queue, dns, err);
    if (rounds == NULL) {
        sender_close(&sender);
        return NULL;
    }
    hooks = xcalloc(1, sizeof *hooks);
    hooks->loop = loop;
    hooks->config = config;
    hooks->queue = queue;
    hooks->sender = sender;
    hooks->rounds = rounds;
    list_init(&hooks->posts);
    timer_init(&hooks->drain_limit, on_drain_limit, hooks);
    hooks->role = (struct queue_hooks){
        .ctx = hooks,
        .room = room,
        .claimed = claimed,
    };
    queue_hooks_start(queue, &hooks->role);
    return hooks;
}

void hooks_close(struct hooks **hooks_ptr)
{
    struct hooks *hooks = *hooks_ptr;

    if (hooks == NULL)
        return;
    *hooks_ptr = NULL;
    queue_hooks_end(hooks->queue);
    rounds_close(&hooks->rounds);
    sender_close(&hooks->sender);
    timer_clear(hooks->loop, &hooks->drain_limit);
    list_each_safe (link, &hooks->posts)
        post_free(LIST_MEMBER(link, struct post, link));
    loop_free_later(hooks->loop, free, hooks);
}
