#include "smtp/quota.h"

#include "server/base/check.h"

enum { PORTIONS = 100 }; /* one of them is leased beyond what waits */

static enum smtp_quota_kind kind_of(unsigned lane)
{
    return lane < 2 ? SMTP_QUOTA_URGENT : SMTP_QUOTA_OTHER;
}

void quota_init(struct quota *quota, const struct config_rate_list *rates)
{
    *quota = (struct quota){.is_limited = rates->count > 0, .least = SIZE_MAX};
    for (size_t i = 0; i < rates->count; i++)
        if ((size_t)rates->items[i].count < quota->least)
            quota->least = (size_t)rates->items[i].count;
}

static size_t left(const struct quota *quota)
{
    return quota->tokens[SMTP_QUOTA_URGENT] + quota->tokens[SMTP_QUOTA_OTHER];
}

static size_t usable(const struct quota *quota, unsigned lane, int64_t now_ms)
{
    if (now_ms >= quota->tokens_until_ms)
        return 0;
    return lane < 2 ? left(quota) : quota->tokens[SMTP_QUOTA_OTHER];
}

bool quota_has(const struct quota *quota, unsigned lane, int64_t now_ms)
{
    return !quota->is_limited || usable(quota, lane, now_ms) > 0;
}

void quota_take(struct quota *quota, unsigned lane, int64_t now_ms)
{
    if (!quota->is_limited)
        return;
    CHECK(quota_has(quota, lane, now_ms));
    if (quota->tokens[kind_of(lane)] > 0)
        quota->tokens[kind_of(lane)]--;
    else
        quota->tokens[SMTP_QUOTA_OTHER]--;
}

bool quota_is_used_up(const struct quota *quota, unsigned lane, int64_t now_ms)
{
    return quota->is_limited && now_ms < quota->used_up_until_ms[kind_of(lane)];
}

size_t quota_room(const struct quota *quota, unsigned lane, size_t room,
                  int64_t now_ms)
{
    size_t most;

    if (!quota->is_limited)
        return room;
    most = quota_is_used_up(quota, lane, now_ms) ? usable(quota, lane, now_ms)
                                                 : quota->least;
    return room < most ? room : most;
}

void quota_ask(struct quota *quota, const size_t waiting[SMTP_QUOTA_KINDS],
               struct smtp_quota_ask *ask)
{
    size_t urgent = waiting[SMTP_QUOTA_URGENT];
    size_t other = waiting[SMTP_QUOTA_OTHER];

    *ask = (struct smtp_quota_ask){
        .wanted = {[SMTP_QUOTA_URGENT] = urgent, [SMTP_QUOTA_OTHER] = other},
        .back = left(quota),
        .stamp = quota->stamp,
    };
    if (urgent + other > 0)
        ask->wanted[SMTP_QUOTA_OTHER] += quota->least / PORTIONS;
    quota->tokens[SMTP_QUOTA_URGENT] = quota->tokens[SMTP_QUOTA_OTHER] = 0;
    quota->is_asked = true;
}

void quota_grant(struct quota *quota, const struct smtp_quota_grant *grant)
{
    quota->is_asked = false;
    quota->tokens_until_ms = grant->until_ms;
    quota->stamp = grant->stamp;
    for (size_t i = 0; i < SMTP_QUOTA_KINDS; i++) {
        quota->tokens[i] = grant->tokens[i];
        quota->used_up_until_ms[i] = grant->used_up_until_ms[i];
    }
}

int64_t quota_ends_ms(const struct quota *quota, int64_t now_ms)
{
    int64_t ends_ms = left(quota) > 0 ? quota->tokens_until_ms : 0;

    for (size_t i = 0; i < SMTP_QUOTA_KINDS; i++) {
        int64_t until_ms = quota->used_up_until_ms[i];

        if (until_ms > now_ms && (ends_ms == 0 || until_ms < ends_ms))
            ends_ms = until_ms;
    }
    return ends_ms;
}

bool quota_is_stale(const struct quota *quota, int64_t now_ms)
{
    return left(quota) > 0 && now_ms >= quota->tokens_until_ms;
}
