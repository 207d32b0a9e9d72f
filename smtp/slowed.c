#include "smtp/slowed.h"

#include "server/base/check.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    TAKEN_TO_RAISE = 16,
    LIMIT_MAX = 256, /* of no interest any more */
    REMEMBERED_MS = 10 * 60 * 1000,
    HOLD_MIN_MS = 1000,
    HOLD_MAX_MS = 5 * 60 * 1000,
    HOLD_URGENT_MS = 500,
    MAIL_MS = 100, /* nobody knows yet how long one takes */
};

struct slowed {
    struct list link; /* of slowed_domains.domains */
    char *domain;     /* owned */
    size_t limit;
    size_t urgent; /* mails of lanes 0 and 1 that the upstream has */
    size_t others;
    unsigned taken; /* since the limit changed */
    int64_t suffered_ms;
    int64_t turn_ms; /* of the next mail that is held */
};

void slowed_init(struct slowed_domains *all)
{
    list_init(&all->domains);
    all->count = 0;
}

static void drop(struct slowed_domains *all, struct slowed *slowed)
{
    list_remove(&slowed->link);
    all->count--;
    free(slowed->domain);
    free(slowed);
}

void slowed_finish(struct slowed_domains *all)
{
    list_each_safe (link, &all->domains)
        drop(all, LIST_MEMBER(link, struct slowed, link));
}

struct str slowed_domain(struct str address)
{
    size_t at = address.len;

    while (at > 0 && address.ptr[at - 1] != '@')
        at--;
    return str_from(address, at);
}

struct slowed *slowed_find(const struct slowed_domains *all, struct str domain)
{
    list_each (link, &all->domains) {
        struct slowed *slowed = LIST_MEMBER(link, struct slowed, link);

        if (str_eq_nocase(str_of(slowed->domain), domain))
            return slowed;
    }
    return NULL;
}

static size_t under_way(const struct slowed *slowed)
{
    return slowed->urgent + slowed->others;
}

/* The one that suffered the longest ago, and has no mail under way. */
static bool make_place(struct slowed_domains *all)
{
    for (struct list *link = all->domains.prev; link != &all->domains;
         link = link->prev) {
        struct slowed *slowed = LIST_MEMBER(link, struct slowed, link);

        if (under_way(slowed) > 0)
            continue;
        drop(all, slowed);
        return true;
    }
    return false;
}

struct slowed *slowed_add(struct slowed_domains *all, struct str domain)
{
    struct slowed *slowed;

    if (all->count >= SLOWED_MAX && !make_place(all))
        return NULL;
    slowed = xcalloc(1, sizeof *slowed);
    slowed->domain = xcalloc(1, domain.len + 1);
    if (domain.len > 0)
        memcpy(slowed->domain, domain.ptr, domain.len);
    slowed->limit = LIMIT_MAX;
    list_add_first(&all->domains, &slowed->link);
    all->count++;
    return slowed;
}

void slowed_enter(struct slowed *slowed, unsigned lane)
{
    ++*(lane < 2 ? &slowed->urgent : &slowed->others);
}

void slowed_leave(struct slowed_domains *all, struct slowed *slowed,
                  unsigned lane, int64_t now_ms)
{
    size_t *count = lane < 2 ? &slowed->urgent : &slowed->others;

    CHECK(*count > 0);
    --*count;
    if (under_way(slowed) == 0 &&
        (slowed->limit >= LIMIT_MAX ||
         now_ms - slowed->suffered_ms > REMEMBERED_MS))
        drop(all, slowed);
}

void slowed_suffer(struct slowed_domains *all, struct slowed *slowed,
                   int64_t now_ms)
{
    if (under_way(slowed) < slowed->limit)
        slowed->limit = under_way(slowed);
    slowed->limit /= 2;
    if (slowed->limit == 0)
        slowed->limit = 1;
    slowed->taken = 0;
    slowed->suffered_ms = now_ms;
    list_remove(&slowed->link);
    list_add_first(&all->domains, &slowed->link);
}

void slowed_take(struct slowed *slowed)
{
    if (slowed->limit >= LIMIT_MAX || ++slowed->taken < TAKEN_TO_RAISE)
        return;
    slowed->limit++;
    slowed->taken = 0;
}

bool slowed_holds(const struct slowed *slowed, unsigned lane)
{
    return (lane < 2 ? slowed->urgent : under_way(slowed)) >= slowed->limit;
}

/* Each that is held has its turn behind the one before, so a long queue to a
 * slow domain is not claimed again and again. */
int64_t slowed_hold_ms(struct slowed *slowed, unsigned lane, double mail_ms,
                       int64_t now_ms)
{
    double step_ms = (mail_ms > 0 ? mail_ms : MAIL_MS) / (double)slowed->limit;
    int64_t hold_ms;

    if (lane < 2)
        return HOLD_URGENT_MS;
    if (slowed->turn_ms < now_ms + HOLD_MIN_MS)
        slowed->turn_ms = now_ms + HOLD_MIN_MS;
    hold_ms = slowed->turn_ms - now_ms;
    if (hold_ms < HOLD_MAX_MS)
        slowed->turn_ms += step_ms < 1 ? 1 : (int64_t)step_ms;
    return hold_ms;
}
