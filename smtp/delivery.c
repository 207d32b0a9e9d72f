#include "smtp/engine.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/random.h"
#include "server/base/secret.h"
#include "smtp/outcome.h"
#include "smtp/route.h"

static bool is_late(const struct smtp_delivery *delivery)
{
    return delivery->deadline_ms > 0 &&
           clock_shared_ms() >= delivery->deadline_ms;
}

int64_t delivery_until_ms(const struct smtp_delivery *delivery)
{
    int64_t left_ms = delivery->deadline_ms - clock_shared_ms();

    if (delivery->deadline_ms == 0)
        return 0;
    return clock_now_ms() + (left_ms > 0 ? left_ms : 0);
}

enum smtp_unsent delivery_hurdle(const struct smtp_delivery *delivery)
{
    if (hedge_has_lost(delivery))
        return SMTP_UNSENT_STOPPED;
    if (is_late(delivery))
        return SMTP_UNSENT_DEADLINE;
    return delivery->mark == MARK_NO ? SMTP_UNSENT_MARK : SMTP_UNSENT_NONE;
}

/* --- the end --- */

static void log_result(const struct smtp_delivery *delivery,
                       const struct smtp_result *result)
{
    static const struct {
        enum log_level level;
        enum log_event event;
    } LINES[] = {
        [SMTP_SENT] = {LOG_INFO, LOG_SMTP_SENT},
        [SMTP_SOFT] = {LOG_INFO, LOG_SMTP_DEFERRED},
        [SMTP_HARD] = {LOG_INFO, LOG_SMTP_REJECTED},
        [SMTP_UNSENT] = {LOG_DEBUG, LOG_SMTP_UNSENT},
        [SMTP_UNKNOWN] = {LOG_WARN, LOG_SMTP_UNKNOWN},
    };

    log_write(
        LINES[result->verdict].level, LINES[result->verdict].event,
        log_str("job", delivery->id), log_address("to", delivery->rcpt_to),
        log_cstr("upstream", result->upstream),
        log_cstr("step", smtp_stage_name(result->stage)),
        log_int("code", result->code), log_cstr("enhanced", result->enhanced),
        log_cstr("class", smtp_bounce_words(result->bounce)->name),
        log_cstr("tls", result->tls_version), log_int("ms", result->data_ms),
        log_cstr("text", result->text));
}

/* Where it was decided: by a reply, or by trouble of which kind. */
static const char *class_of(const struct smtp_result *result)
{
    if (result->stage == SMTP_STAGE_STARTTLS || result->stage == SMTP_STAGE_TLS)
        return "tls";
    if (result->stage == SMTP_STAGE_AUTH)
        return "auth";
    if (result->code == 0)
        return "io";
    return result->code < 400 ? "2xx" : result->code < 500 ? "4xx" : "5xx";
}

static void count(const struct smtp_result *result)
{
    static const char *const OUTCOMES[] = {
        [SMTP_SENT] = "sent",     [SMTP_SOFT] = "deferred",
        [SMTP_HARD] = "bounced",  [SMTP_UNSENT] = "error",
        [SMTP_UNKNOWN] = "error",
    };

    if (result->upstream[0] != '\0') /* else none was tried */
        metrics_count(METRIC_SMTP_ATTEMPTS, result->upstream, class_of(result),
                      OUTCOMES[result->verdict]);
}

/* An answer to the mark that is under way would find nobody: so it is waited
 * for. */
static void end(struct smtp_delivery *delivery)
{
    struct smtp *smtp = delivery->smtp;

    CHECK(delivery->upstream == NULL && delivery->mail == NULL);
    CHECK(delivery->hedge == NULL);
    CHECK(!delivery->is_ended);
    delivery->is_ended = true;
    list_remove(&delivery->link);
    list_add_last(delivery->mark == MARK_ASKED ? &smtp->unanswered
                                               : &smtp->ended,
                  &delivery->link);
    smtp_wake(smtp);
}

void delivery_return(struct smtp_delivery *delivery, enum smtp_unsent unsent)
{
    struct smtp_delivery *owner = hedge_end(delivery);

    if (owner == NULL)
        return;
    owner->unsent = unsent;
    end(owner);
}

static struct smtp_result result_of(const struct smtp_delivery *delivery)
{
    struct smtp_result result = {
        .verdict = SMTP_UNSENT,
        .unsent = delivery->unsent,
        .hold_ms = delivery->hold_ms,
        .enhanced = "",
        .text = "",
        .upstream = "",
        .host = "",
        .tls_version = "",
        .tls_cipher = "",
        .address = "",
        .tls_subject = "",
        .before = delivery->outcome == NULL ? NULL : &delivery->outcome->result,
    };

    CHECK(delivery->unsent != SMTP_UNSENT_NONE || delivery->outcome != NULL);
    if (delivery->unsent == SMTP_UNSENT_NONE)
        result = delivery->outcome->result;
    result.hedge_upstream =
        delivery->second == NULL ? "" : delivery->second->config->name;
    return result;
}

/* The delivery is its owner's again, who may free it in the call. */
void delivery_tell(struct smtp_delivery *delivery)
{
    struct smtp_outcome *outcome = delivery->outcome;
    const struct smtp_result result = result_of(delivery);

    list_remove(&delivery->link);
    delivery->smtp->in_hand--;
    smtp_note_room(delivery->smtp);
    log_result(delivery, &result);
    count(&result);
    hedge_count(delivery, &result);
    delivery->on_done(delivery->ctx, &result);
    outcome_destroy(&outcome);
}

void delivery_forget_all(struct list *list)
{
    list_each_safe (link, list) {
        struct smtp_delivery *delivery =
            LIST_MEMBER(link, struct smtp_delivery, link);

        list_remove(link);
        outcome_destroy(&delivery->outcome);
    }
}

/* --- what an upstream did --- */

static bool is_transcript_kept(const struct smtp_delivery *delivery,
                               const struct smtp_result *result)
{
    switch (delivery->smtp->config->privacy.transcripts) {
    case TRANSCRIPTS_FAILED:
        return result->verdict != SMTP_SENT;
    case TRANSCRIPTS_ALL:
        return true;
    case TRANSCRIPTS_NONE:
        break;
    }
    return false;
}

/* For the attempt, and for those who watch the upstream. */
static void note_transcript(struct smtp_delivery *delivery,
                            const struct smtp_session *session,
                            const struct session_mail *mail)
{
    struct smtp_outcome *outcome = delivery->outcome;
    struct smtp *smtp = delivery->smtp;
    bool is_kept = is_transcript_kept(delivery, &outcome->result);

    if (!is_kept && !session->upstream->is_traced)
        return;
    outcome_write_transcript(outcome, session, mail, delivery->secret_subject);
    if (session->upstream->is_traced)
        smtp->on_trace(smtp->ctx, session->upstream->index, delivery->id,
                       &outcome->result);
    if (!is_kept)
        outcome->result.transcript = S("");
}

void delivery_take(struct smtp_delivery *delivery,
                   const struct smtp_session *session,
                   const struct session_mail *mail,
                   const struct smtp_finding *finding)
{
    struct smtp_ruling ruling = smtp_judge(finding);
    struct smtp_delivery *owner = hedge_owner(delivery);

    if ((ruling.then & THEN_AGAIN) != 0 || owner == NULL) {
        delivery_place(delivery);
        return;
    }
    owner->outcome =
        outcome_create(session, mail, finding, &ruling, owner->outcome);
    note_transcript(owner, session, mail);
    owner->tried |= (uint64_t)1 << session->upstream->index;
    if ((ruling.then & THEN_NEXT) != 0)
        delivery_place(delivery);
    else if (ruling.verdict == SMTP_HARD || !hedge_leave(delivery))
        end(hedge_end(delivery));
}

/* --- where to --- */

static uint32_t any_number(void)
{
    uint32_t number;

    random_bytes(&number, sizeof number);
    return number;
}

typedef size_t (*room_fn)(const struct smtp_upstream *upstream, unsigned lane);

/* NULL: nothing keeps it from that upstream. */
static struct slowed *holder(const struct smtp_upstream *upstream,
                             const struct smtp_delivery *delivery)
{
    struct slowed *slowed =
        upstream->slowed.count == 0
            ? NULL
            : slowed_find(&upstream->slowed, slowed_domain(delivery->rcpt_to));

    return slowed != NULL && slowed_holds(slowed, delivery->lane) ? slowed
                                                                  : NULL;
}

/* NULL: none that was not tried is well and has room. One that has, but for
 * the domain, says when to come again. */
static struct smtp_upstream *choose(struct smtp_delivery *delivery,
                                    room_fn room)
{
    const struct smtp_upstream *held_by = NULL;
    const struct smtp_route *route = delivery->route;
    struct route_choice choices[UPSTREAMS_MAX];
    int at;

    CHECK(route->count > 0); /* config_check.c */
    for (size_t i = 0; i < route->count; i++) {
        const struct smtp_upstream *upstream = route->upstreams[i];
        bool was_tried = (delivery->tried >> upstream->index & 1) != 0;
        bool is_usable = !was_tried && room(upstream, delivery->lane) > 0;

        if (is_usable && holder(upstream, delivery) != NULL) {
            is_usable = false;
            held_by = upstream;
        }
        choices[i] = (struct route_choice){
            .priority = upstream->config->priority,
            .weight = upstream->config->weight,
            .is_usable = is_usable,
        };
    }
    at = route_choose(choices, route->count,
                      route->count > 1 ? any_number() : 0);
    if (at != ROUTE_NO_CHOICE)
        return route->upstreams[at];
    if (held_by != NULL)
        delivery->hold_ms =
            slowed_hold_ms(holder(held_by, delivery), delivery->lane,
                           held_by->average_ms, clock_now_ms());
    return NULL;
}

/* A claim is under way for a while, in which a fast upstream may have become
 * a slower one. To give back what was claimed for it would cost a second
 * claim, so it waits there if none has room. */
static struct smtp_upstream *choose_upstream(struct smtp_delivery *delivery)
{
    struct smtp_upstream *upstream;

    delivery->hold_ms = 0;
    upstream = choose(delivery, upstream_room);
    return upstream != NULL || delivery->hold_ms > 0
               ? upstream
               : choose(delivery, upstream_room_once);
}

struct smtp_upstream *delivery_next(struct smtp_delivery *delivery)
{
    return choose(delivery, upstream_room);
}

void delivery_place(struct smtp_delivery *delivery)
{
    enum smtp_unsent hurdle = delivery_hurdle(delivery);
    struct smtp_upstream *upstream;

    if (hedge_leave(delivery))
        return;
    if (hurdle == SMTP_UNSENT_NONE && delivery->smtp->is_stopping &&
        delivery->mark == MARK_NONE)
        hurdle = SMTP_UNSENT_STOPPED;
    upstream = hurdle == SMTP_UNSENT_NONE ? choose_upstream(delivery) : NULL;
    if (upstream != NULL) {
        hedge_begin(delivery, upstream);
        pool_add(upstream, delivery);
    } else if (delivery->outcome != NULL && hurdle != SMTP_UNSENT_DEADLINE)
        end(delivery); /* what the last one did with it is an attempt */
    else
        delivery_return(delivery, hurdle != SMTP_UNSENT_NONE ? hurdle
                                  : delivery->hold_ms > 0 ? SMTP_UNSENT_DOMAIN
                                                          : SMTP_UNSENT_ROOM);
}
