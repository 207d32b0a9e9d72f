/* A second upstream beside one that is slow.
 *
 * A delivery that may be hedged is carried without its message: MAIL and RCPT,
 * then DATA once the recipient was accepted. If that lasts longer than it does
 * with 95 of 100 at that upstream, a twin of the delivery is given to another
 * one. Both go the way of all deliveries, through waiting lists and sessions,
 * until one of these ends it:
 *   - a recipient is accepted: the delivery takes that one's place, and is
 *     from then on as any other;
 *   - one of the two is refused for good, or the deadline passes, or the owner
 *     wants it back: that counts for both;
 *   - one of the two has to leave its upstream for any other reason: the
 *     delivery is what is left.
 * The twin then stands where the delivery is not, and the end of the turn
 * takes it from there: a session that has begun with it says RSET. While
 * delivery.hedge is set no message may go; whoever lost keeps it for ever. */
#include "smtp/engine.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <stdlib.h>

enum {
    COST = 100,             /* each mail brings hedge_percent of it */
    CREDIT_MAX = 16 * COST, /* at once, after a time without trouble */
};

struct hedge {
    struct list link;               /* of smtp.hedges or smtp.losers */
    struct smtp_delivery *delivery; /* the owner's; NULL: it is over */
    struct smtp_delivery twin;      /* upstream NULL: it is with none */
    struct timer timer;             /* until the first upstream is slow */
};

static bool is_twin(const struct smtp_delivery *delivery)
{
    return delivery->hedge != NULL && delivery == &delivery->hedge->twin;
}

bool hedge_has_lost(const struct smtp_delivery *delivery)
{
    return delivery->hedge != NULL && delivery->hedge->delivery == NULL;
}

struct smtp_delivery *hedge_owner(struct smtp_delivery *delivery)
{
    return delivery->hedge == NULL ? delivery : delivery->hedge->delivery;
}

static void swap_links(struct list *a, struct list *b)
{
    struct list gap;

    list_init(&gap);
    list_add_before(a, &gap);
    list_remove(a);
    list_add_before(b, a);
    list_remove(b);
    list_add_before(&gap, b);
    list_remove(&gap);
}

static void sit(struct smtp_delivery *delivery, struct session_mail *seat)
{
    delivery->mail = seat;
    if (seat != NULL)
        seat->delivery = delivery;
}

/* Their lane is the same, so nobody's counts change. */
static void swap_places(struct smtp_delivery *a, struct smtp_delivery *b)
{
    const struct smtp_delivery old = *a;

    swap_links(&a->link, &b->link);
    a->upstream = b->upstream;
    a->slowed = b->slowed;
    a->waiting_since_ms = b->waiting_since_ms;
    sit(a, b->mail);
    b->upstream = old.upstream;
    b->slowed = old.slowed;
    b->waiting_since_ms = old.waiting_since_ms;
    sit(b, old.mail);
}

/* The delivery goes on alone from the place that one of the two had. */
static struct smtp_delivery *settle(struct smtp_delivery *winner)
{
    struct hedge *hedge = winner->hedge;
    struct smtp_delivery *delivery = hedge->delivery;
    struct smtp *smtp = delivery->smtp;

    if (is_twin(winner))
        swap_places(delivery, winner);
    delivery->hedge = NULL;
    hedge->delivery = NULL;
    timer_clear(smtp->loop, &hedge->timer);
    list_remove(&hedge->link);
    list_add_last(&smtp->losers, &hedge->link);
    smtp_wake(smtp);
    return delivery;
}

void hedge_choose(struct smtp_delivery *delivery)
{
    struct smtp_delivery *loser;

    if (delivery->hedge == NULL || hedge_has_lost(delivery))
        return;
    loser = &delivery->hedge->twin;
    (void)settle(delivery);
    if (loser->upstream != NULL)
        lag_note_more(&loser->upstream->lag,
                      clock_now_ms() - loser->waiting_since_ms);
}

struct smtp_delivery *hedge_end(struct smtp_delivery *delivery)
{
    if (delivery->hedge == NULL)
        return delivery;
    if (!hedge_has_lost(delivery))
        return settle(delivery);
    list_remove(&delivery->link);
    return NULL;
}

bool hedge_leave(struct smtp_delivery *delivery)
{
    struct hedge *hedge = delivery->hedge;
    struct smtp_delivery *other;
    bool goes_on;

    if (hedge == NULL)
        return false;
    if (hedge_has_lost(delivery)) {
        list_remove(&delivery->link);
        return true;
    }
    other = is_twin(delivery) ? hedge->delivery : &hedge->twin;
    goes_on = other->upstream != NULL;
    (void)settle(goes_on ? other : delivery);
    return goes_on;
}

/* --- the second one --- */

static bool has_credit(const struct smtp_route *route)
{
    return route->hedge_credit >= COST;
}

static void on_slow(void *ctx)
{
    struct hedge *hedge = ctx;
    struct smtp_delivery *delivery = hedge->delivery;
    struct smtp_upstream *second;

    if (!has_credit(delivery->route) ||
        delivery_hurdle(delivery) != SMTP_UNSENT_NONE)
        return;
    hedge->twin.tried = (uint64_t)1 << delivery->upstream->index;
    second = delivery_next(&hedge->twin);
    if (second == NULL)
        return;
    delivery->route->hedge_credit -= COST;
    delivery->second = second;
    log_write(LOG_DEBUG, LOG_SMTP_HEDGED, log_str("job", delivery->id),
              log_cstr("upstream", delivery->upstream->config->name),
              log_cstr("second", second->config->name),
              log_int("ms", clock_now_ms() - delivery->waiting_since_ms));
    pool_add(second, &hedge->twin);
}

static bool has_alternative(const struct smtp_delivery *delivery,
                            const struct smtp_upstream *first)
{
    const struct smtp_route *route = delivery->route;

    for (size_t i = 0; i < route->count; i++)
        if (route->upstreams[i] != first &&
            upstream_room(route->upstreams[i], delivery->lane) > 0)
            return true;
    return false;
}

/* To its first upstream alone, and once. */
static bool is_wanted(const struct smtp_delivery *delivery,
                      const struct smtp_upstream *first)
{
    return delivery->may_hedge && !delivery->route->config->final &&
           delivery->mark == MARK_NONE && delivery->tried == 0 &&
           delivery->second == NULL && has_credit(delivery->route) &&
           has_alternative(delivery, first);
}

void hedge_begin(struct smtp_delivery *delivery,
                 const struct smtp_upstream *first)
{
    struct smtp *smtp = delivery->smtp;
    struct hedge *hedge;

    if (!is_wanted(delivery, first))
        return;
    hedge = xcalloc(1, sizeof *hedge);
    hedge->delivery = delivery;
    delivery->hedge = hedge;
    hedge->twin = *delivery;
    list_init(&hedge->twin.link);
    list_add_last(&smtp->hedges, &hedge->link);
    timer_init(&hedge->timer, on_slow, hedge);
    timer_set(smtp->loop, &hedge->timer, lag_p95_ms(&first->lag) + 1);
}

/* --- the whole --- */

void hedge_count(const struct smtp_delivery *delivery,
                 const struct smtp_result *result)
{
    struct smtp_route *route = delivery->route;
    const char *outcome = "none";

    if (!delivery->may_hedge || result->upstream[0] == '\0')
        return;
    route->hedge_credit += (unsigned)route->config->hedge_percent;
    if (route->hedge_credit > CREDIT_MAX)
        route->hedge_credit = CREDIT_MAX;
    if (delivery->second == NULL)
        return;
    if (result->verdict == SMTP_SENT)
        outcome = result->upstream == delivery->second->config->name ? "second"
                                                                     : "first";
    metrics_count(METRIC_SMTP_HEDGES, route->config->name, outcome);
}

static void hedge_free(struct hedge *hedge)
{
    list_remove(&hedge->link);
    free(hedge);
}

void hedge_let_losers_go(struct smtp *smtp)
{
    struct hedge *hedge;

    while ((hedge = LIST_FIRST(&smtp->losers, struct hedge, link)) != NULL) {
        pool_remove(&hedge->twin);
        list_remove(&hedge->twin.link);
        hedge_free(hedge);
    }
}

void hedge_stop(struct smtp *smtp)
{
    struct hedge *hedge;

    while ((hedge = LIST_FIRST(&smtp->hedges, struct hedge, link)) != NULL)
        (void)settle(hedge->delivery);
}

void hedge_close(struct smtp *smtp)
{
    list_each_safe (link, &smtp->losers)
        hedge_free(LIST_MEMBER(link, struct hedge, link));
}
