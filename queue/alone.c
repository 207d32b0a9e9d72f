/* Suspects: a delivery that may have crashed a child is claimed by a child
 * that has nothing else in hand, so that a second crash hits nobody else.
 *
 * Each heartbeat looks whether there is one (alone.lua). The child that gets
 * the duty claims nothing more, and once all it held is reported it claims
 * the suspect, alone; then it works on as before. */
#include "queue/claims_core.h"

#include "server/base/clock.h"
#include "server/base/log.h"

enum {
    QUIET_MAX_MS = 20000, /* a slow upstream keeps it from being alone: */
    REST_MS = 60000,      /* others may try, and it does after so long */
};

static bool has_nothing(const struct claimer *claimer)
{
    list_each (at, &claimer->claims) {
        const struct claims *claims = LIST_MEMBER(at, struct claims, link);

        if (!list_is_empty(&claims->held) || !list_is_empty(&claims->results) ||
            !list_is_empty(&claims->sent) || claims->turn_is_under_way)
            return false;
    }
    return true;
}

static void end(struct claimer *claimer)
{
    claimer->alone_state = ALONE_NOT;
    claimer->alone = NULL;
    list_each (at, &claimer->claims)
        claims_ask(LIST_MEMBER(at, struct claims, link)); /* room again */
}

static void on_answer(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct claims *claims = ctx;
    struct claimer *claimer = claims->claimer;
    struct str word = reply_str(reply_at(reply, 0));

    (void)why; /* the next heartbeat tries again */
    claimer->alone_asks = false;
    if (str_eq(word, S("quiet")) && !claimer->is_stopping) {
        if (claimer->alone_state == ALONE_NOT) {
            claimer->alone = claims;
            claimer->alone_state = ALONE_QUIET;
            claimer->alone_since_ms = clock_now_ms();
            claims_wait_for_work(claims); /* for none any more */
        }
        alone_step(claimer);
    } else if (str_eq(word, S("claim"))) {
        claimer->alone = claims;
        claimer->alone_state = ALONE_BUSY;
        claims_count_events(reply_at(reply, 3));
        claim_take(claims, reply_at(reply, 1), reply_at(reply, 2));
    } else if (claimer->alone_state != ALONE_NOT) {
        end(claimer);
    }
}

static void ask(struct claims *claims, const char *what)
{
    struct redis_command command;

    claims->claimer->alone_asks = true;
    command_init_partition(&command, claims->queue, SCRIPT_ALONE,
                           claims->partition);
    command_add_cstr(&command, claims->epoch);
    command_add_int(&command, claims_lease_ms(claims));
    command_add_int(&command, claims->queue->config->privacy.keep_bodies_ms);
    command_add_cstr(&command, what);
    command_add_int(&command, (int64_t)claims->next_token++);
    redis_send(claims->queue->main, &command, claims_budget_ms(claims),
               on_answer, claims);
}

static bool is_too_long(const struct claimer *claimer)
{
    return clock_now_ms() - claimer->alone_since_ms > QUIET_MAX_MS;
}

/* Others' mail is still in hand, or no longer. */
static void quiet_step(struct claimer *claimer)
{
    bool gives_up = is_too_long(claimer);

    if (!claimer->is_stopping && has_nothing(claimer)) {
        ask(claimer->alone, "claim");
    } else if (claimer->is_stopping || gives_up) {
        if (gives_up)
            claimer->alone_rest_until_ms = clock_now_ms() + REST_MS;
        ask(claimer->alone, "leave");
    }
}

void alone_step(struct claimer *claimer)
{
    struct claims *claims = claimer->alone;

    if (claims == NULL || claimer->alone_asks ||
        claims->state != CLAIMS_WORKING)
        return;
    if (claimer->alone_state == ALONE_QUIET)
        quiet_step(claimer);
    else if (claimer->alone_state == ALONE_BUSY && has_nothing(claimer))
        ask(claims, "leave");
}

/* For a suspect, or again, since the duty lasts two leases. */
static bool may_look(const struct claims *claims)
{
    const struct claimer *claimer = claims->claimer;

    if (claimer->alone_state == ALONE_NOT)
        return clock_now_ms() >= claimer->alone_rest_until_ms;
    return claimer->alone == claims && claimer->alone_state == ALONE_QUIET &&
           !has_nothing(claimer) && !is_too_long(claimer);
}

void alone_look(struct claims *claims)
{
    struct claimer *claimer = claims->claimer;

    if (claims->state != CLAIMS_WORKING || claimer->is_stopping ||
        claimer->alone_asks)
        return;
    if (may_look(claims))
        ask(claims, "look");
    else
        alone_step(claimer);
}
