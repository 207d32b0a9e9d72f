#include "server/worker/steer.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/metrics.h"
#include "server/base/secret.h"
#include "server/worker/result_view.h"

#include <stdio.h>
#include <stdlib.h>

struct steered {
    struct steer *steer;
    int64_t told_until_ms; /* that its rate is used up */
    bool was_paused;       /* by an operator */
    uint64_t taken;        /* mails, when it was looked at last */
    int64_t looked_ms;
};

enum {
    TRACES_A_SECOND = 50, /* of one worker; who watches cannot read more */
    MILLI = 1000,
    WORTH_TELLING_MS = 60 * 1000, /* that mail waits for so long */
};

/* Mails a second since the last look, in thousandths. */
static int64_t sent_rate(struct steered *steered, uint64_t taken)
{
    int64_t now_ms = clock_now_ms();
    int64_t passed_ms = now_ms - steered->looked_ms;
    int64_t count = (int64_t)(taken - steered->taken);

    steered->taken = taken;
    steered->looked_ms = now_ms;
    return passed_ms <= 0 ? 0 : count * MILLI * 1000 / passed_ms;
}

/* A certificate grows older between sessions, too. */
static void show(const char *upstream, const struct smtp_upstream_view *view)
{
    const char *const labels[] = {upstream};

    series_set(metrics_series(METRIC_UPSTREAM_STATE, labels), view->health);
    if (view->not_after_ms > 0)
        series_set(metrics_series(METRIC_UPSTREAM_TLS_EXPIRY, labels),
                   (view->not_after_ms - clock_wall_ms()) / 1000);
}

static void on_report(void *ctx, size_t index, struct upstream_report *out)
{
    struct steer *steer = ctx;
    struct smtp_upstream_view *view = &steer->view;

    smtp_upstream_look(steer->smtp, index, view);
    show(steer->config->upstreams[index].name, view);
    *out = (struct upstream_report){
        .trouble = view->health,
        .why = str_of(view->why),
        .sessions = (int64_t)view->sessions,
        .busy = (int64_t)view->busy,
        .limit = (int64_t)view->limit,
        .waiting = (int64_t)view->waiting,
        .slowed = (int64_t)view->slowed_domains,
        .sent_rate = sent_rate(&steer->steered[index], view->taken),
    };
}

static void on_share(void *ctx, size_t index, size_t sessions)
{
    struct steer *steer = ctx;

    smtp_upstream_share(steer->smtp, index, sessions);
}

static void on_pause(void *ctx, size_t index, bool is_paused)
{
    struct steer *steer = ctx;
    struct steered *steered = &steer->steered[index];
    const char *name = steer->config->upstreams[index].name;

    smtp_upstream_pause(steer->smtp, index, is_paused);
    series_set(
        metrics_series(METRIC_UPSTREAM_PAUSED, (const char *const[]){name}),
        is_paused);
    if (steered->was_paused == is_paused)
        return; /* it is not, and was said to be until this was known */
    steered->was_paused = is_paused;
    log_write(LOG_INFO, is_paused ? LOG_UPSTREAM_PAUSED : LOG_UPSTREAM_RESUMED,
              log_cstr("upstream", name));
}

/* --- what an operator wants to see --- */

struct trial {
    struct list link; /* of steer->trials */
    struct steer *steer;
    size_t index;
    char id[UPSTREAM_TEST_ID_SIZE];
};

static void on_tried(void *ctx, const struct smtp_result *result)
{
    struct trial *trial = ctx;
    struct steer *steer = trial->steer;
    struct buf view;

    buf_init(&view, RESULT_VIEW_MAX);
    result_view_test(&steer->config->upstreams[trial->index], result, &view);
    queue_upstream_tested(steer->queue, steer->names[trial->index],
                          str_of(trial->id), buf_str(&view));
    buf_finish(&view);
    list_remove(&trial->link);
    free(trial);
}

static void on_test(void *ctx, size_t index, struct str id)
{
    struct steer *steer = ctx;
    struct trial *trial = xcalloc(1, sizeof *trial);

    trial->steer = steer;
    trial->index = index;
    snprintf(trial->id, sizeof trial->id, "%.*s", STR_ARG(id));
    list_add_last(&steer->trials, &trial->link);
    smtp_upstream_test(steer->smtp, index, on_tried, trial);
}

static void on_trace(void *ctx, size_t index, bool is_traced)
{
    struct steer *steer = ctx;

    smtp_upstream_trace(steer->smtp, index, is_traced);
}

void steer_tell_trace(struct steer *steer, size_t index, struct str id,
                      const struct smtp_result *result)
{
    int64_t second = clock_now_ms() / 1000;
    struct buf line;

    if (second != steer->trace_second)
        steer->traces = 0;
    steer->trace_second = second;
    if (steer->traces++ >= TRACES_A_SECOND)
        return;
    buf_init(&line, RESULT_VIEW_MAX);
    result_view_trace(id, result, &line);
    queue_upstream_traced(steer->queue, steer->names[index], buf_str(&line));
    buf_finish(&line);
}

/* --- rates --- */

static void tell_used_up(struct steered *steered, const char *name,
                         int64_t until_ms)
{
    int64_t left_ms = until_ms - clock_now_ms();

    if (left_ms < WORTH_TELLING_MS || clock_now_ms() < steered->told_until_ms)
        return;
    steered->told_until_ms = until_ms;
    log_write(LOG_WARN, LOG_UPSTREAM_USED_UP, log_cstr("upstream", name),
              log_int("for_s", left_ms / 1000));
}

static void on_lease(void *ctx, const struct quota_lease *lease)
{
    struct steered *steered = ctx;
    struct steer *steer = steered->steer;
    size_t index = (size_t)(steered - steer->steered);
    const struct smtp_quota_grant grant = {
        .tokens = {[SMTP_QUOTA_URGENT] = (size_t)lease->urgent,
                   [SMTP_QUOTA_OTHER] = (size_t)lease->other},
        .until_ms = lease->until_ms,
        .stamp = lease->stamp,
        .used_up_until_ms = {[SMTP_QUOTA_URGENT] =
                                 lease->urgent_used_up_until_ms,
                             [SMTP_QUOTA_OTHER] =
                                 lease->other_used_up_until_ms},
    };

    tell_used_up(steered, steer->config->upstreams[index].name,
                 lease->other_used_up_until_ms);
    smtp_upstream_grant(steer->smtp, index, &grant);
}

void steer_ask_quota(struct steer *steer, size_t index,
                     const struct smtp_quota_ask *ask)
{
    const struct quota_ask wanted = {
        .urgent = (int64_t)ask->wanted[SMTP_QUOTA_URGENT],
        .other = (int64_t)ask->wanted[SMTP_QUOTA_OTHER],
        .back = (int64_t)ask->back,
        .stamp = ask->stamp,
    };

    queue_quota_lease(steer->queue, steer->names[index],
                      &steer->config->upstreams[index].rate, &wanted, on_lease,
                      &steer->steered[index]);
}

/* A child that comes in the place of another has the same. */
static void make_seat(char seat[STEER_SEAT_SIZE], const char *instance,
                      unsigned child)
{
    char place[SHA256_HEX_SIZE + 16];
    char hex[SHA256_HEX_SIZE];

    snprintf(place, sizeof place, "%s %u", instance, child);
    secret_sha256_hex(str_of(place), hex);
    snprintf(seat, STEER_SEAT_SIZE, "%.*s", STEER_SEAT_SIZE - 1, hex);
}

void steer_start(struct steer *steer, struct queue *queue, struct smtp *smtp,
                 const struct config *config, const char *instance,
                 unsigned child)
{
    size_t count = config->upstream_count;

    *steer = (struct steer){.queue = queue, .smtp = smtp, .config = config};
    list_init(&steer->trials);
    steer->names = xcalloc(count + 1, sizeof *steer->names);
    steer->max_sessions = xcalloc(count + 1, sizeof *steer->max_sessions);
    steer->steered = xcalloc(count + 1, sizeof *steer->steered);
    for (size_t i = 0; i < count; i++) {
        steer->names[i] = str_of(config->upstreams[i].name);
        steer->max_sessions[i] = config->upstreams[i].max_sessions;
        steer->steered[i].steer = steer;
        steer->steered[i].looked_ms = clock_now_ms();
        smtp_upstream_pause(smtp, i, true);
    }
    make_seat(steer->seat, instance, child);
    steer->side = (struct upstream_side){
        .ctx = steer,
        .count = count,
        .names = steer->names,
        .max_sessions = steer->max_sessions,
        .seat = steer->seat,
        .report = on_report,
        .share = on_share,
        .pause = on_pause,
        .test = on_test,
        .trace = on_trace,
    };
    queue_upstreams_start(queue, &steer->side);
}

void steer_stop(struct steer *steer)
{
    queue_upstreams_stop(steer->queue);
}

void steer_finish(struct steer *steer)
{
    list_each_safe (link, &steer->trials)
        free(LIST_MEMBER(link, struct trial, link));
    free(steer->names);
    free(steer->max_sessions);
    free(steer->steered);
}
