#include "smtp/engine.h"

#include "server/base/clock.h"
#include "server/base/codec.h"
#include "server/base/log.h"
#include "server/base/mask.h"

#include <string.h>

enum {
    /* What waits longer than this for a session goes elsewhere: the upstream
     * has come to a halt. */
    PATIENCE_MS = 1000,
    MASKED_MAX = 8 * REPLY_TEXT_MAX, /* six dots may stand for 4 bytes */
};

static const struct session_events EVENTS;

/* --- lists --- */

/* A session's state is the list that it is in; only this moves it. */
static void move(struct smtp_session *session, int state)
{
    struct smtp_upstream *upstream = session->upstream;

    if (session->state != SESSION_STATE_COUNT)
        upstream->counts[session->state]--;
    list_remove(&session->link);
    session->state = state;
    if (state == SESSION_STATE_COUNT)
        return;
    list_add_first(&upstream->sessions[state], &session->link);
    upstream->counts[state]++;
}

static void show_counts(const struct smtp_upstream *upstream)
{
    for (size_t i = 0; i < SESSION_STATE_COUNT; i++)
        series_set(upstream->state_series[i], (int64_t)upstream->counts[i]);
}

static void drop(struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;

    CHECK(session->delivery == NULL);
    if (session->is_greeted) {
        series_observe(upstream->messages_series, session->messages);
        log_write(LOG_DEBUG, LOG_SMTP_SESSION_CLOSED,
                  log_cstr("upstream", upstream->config->name),
                  log_int("messages", session->messages),
                  log_int("ms", clock_now_ms() - session->began_ms));
    }
    move(session, SESSION_STATE_COUNT);
    session_close(&session);
    smtp_note_room(upstream->smtp);
}

void pool_close_idle(struct smtp_upstream *upstream)
{
    list_each_safe (link, &upstream->sessions[SESSION_IDLE])
        drop(LIST_MEMBER(link, struct smtp_session, link));
}

void pool_close_all(struct smtp_upstream *upstream)
{
    timer_clear(upstream->smtp->loop, &upstream->rest_timer);
    timer_clear(upstream->smtp->loop, &upstream->patience_timer);
    for (size_t i = 0; i < LANE_COUNT; i++)
        delivery_forget_all(&upstream->waiting[i]);
    for (size_t i = 0; i < SESSION_STATE_COUNT; i++) {
        list_each_safe (link, &upstream->sessions[i]) {
            struct smtp_session *session =
                LIST_MEMBER(link, struct smtp_session, link);

            session->delivery = NULL;
            drop(session);
        }
    }
}

/* Off its session, or out of the waiting ones. */
static void detach(struct smtp_delivery *delivery)
{
    struct smtp_upstream *upstream = delivery->upstream;

    if (delivery->session != NULL) {
        delivery->session->delivery = NULL;
        delivery->session = NULL;
        upstream->carried[delivery->lane]--;
    } else {
        upstream->waiting_count[delivery->lane]--;
    }
    delivery->upstream = NULL;
    smtp_note_room(upstream->smtp);
}

static void attach(struct smtp_delivery *delivery, struct smtp_session *session)
{
    struct smtp_upstream *upstream = delivery->upstream;

    upstream->waiting_count[delivery->lane]--;
    upstream->carried[delivery->lane]++;
    list_remove(&delivery->link);
    list_add_last(&upstream->smtp->active, &delivery->link);
    delivery->session = session;
    session->delivery = delivery;
}

static size_t waiting(const struct smtp_upstream *upstream)
{
    size_t count = 0;

    for (size_t i = 0; i < LANE_COUNT; i++)
        count += upstream->waiting_count[i];
    return count;
}

/* The next of those that wait; it is with no upstream any more. */
static struct smtp_delivery *take_waiting(struct smtp_upstream *upstream)
{
    for (size_t i = 0; i < LANE_COUNT; i++) {
        struct smtp_delivery *delivery =
            LIST_FIRST(&upstream->waiting[i], struct smtp_delivery, link);

        if (delivery == NULL)
            continue;
        detach(delivery);
        list_remove(&delivery->link);
        return delivery;
    }
    return NULL;
}

/* --- matching --- */

/* Sessions that lanes 2 and 3 may take now. */
static size_t late_room(const struct smtp_upstream *upstream)
{
    size_t limit = upstream->limit - upstream_reserve(upstream);
    size_t taken = upstream->carried[2] + upstream->carried[3];

    return limit > taken ? limit - taken : 0;
}

static struct smtp_delivery *first_waiting(const struct smtp_upstream *upstream)
{
    unsigned lanes = late_room(upstream) > 0 ? LANE_COUNT : 2;

    for (unsigned i = 0; i < lanes; i++)
        if (!list_is_empty(&upstream->waiting[i]))
            return LIST_FIRST(&upstream->waiting[i], struct smtp_delivery,
                              link);
    return NULL;
}

/* Sessions that will be free without our doing: about to open, or clearing up
 * after a mail. */
static size_t coming(const struct smtp_upstream *upstream)
{
    size_t carrying = 0;

    for (size_t i = 0; i < LANE_COUNT; i++)
        carrying += upstream->carried[i];
    return upstream->counts[SESSION_OPENING] +
           (upstream->counts[SESSION_BUSY] - carrying);
}

/* How many of those that wait could start if there were sessions. */
static size_t startable(const struct smtp_upstream *upstream)
{
    size_t others = upstream->waiting_count[2] + upstream->waiting_count[3];
    size_t room = late_room(upstream);

    return upstream->waiting_count[0] + upstream->waiting_count[1] +
           (others < room ? others : room);
}

static void carry(struct smtp_session *session, struct smtp_delivery *delivery)
{
    const struct txn_envelope envelope = {
        .id = delivery->id,
        .mail_from = delivery->mail_from,
        .rcpt_to = delivery->rcpt_to,
        .needs_smtputf8 = delivery->needs_smtputf8,
        .message = delivery->message,
    };
    enum smtp_unsent hurdle = delivery_hurdle(delivery);

    if (hurdle != SMTP_UNSENT_NONE) {
        detach(delivery);
        delivery_return(delivery, hurdle);
        return;
    }
    attach(delivery, session);
    move(session, SESSION_BUSY);
    session_carry(session, &envelope);
}

/* The session that rested last goes first: the rest may grow old. */
static bool serve_one(struct smtp_upstream *upstream)
{
    struct smtp_session *session = LIST_FIRST(&upstream->sessions[SESSION_IDLE],
                                              struct smtp_session, link);
    struct smtp_delivery *delivery = first_waiting(upstream);

    if (session == NULL || delivery == NULL)
        return false;
    if (session_may_carry(session))
        carry(session, delivery);
    else
        drop(session); /* it grew old while it rested */
    return true;
}

static void open_one(struct smtp_upstream *upstream)
{
    struct smtp *smtp = upstream->smtp;
    struct smtp_session *session =
        session_open(smtp->loop, smtp->dns, upstream, &EVENTS);

    session->state = SESSION_STATE_COUNT;
    move(session, SESSION_OPENING);
}

/* Nobody can say how long it will rest. */
static void place_elsewhere(struct smtp_upstream *upstream)
{
    struct smtp_delivery *delivery;

    while ((delivery = take_waiting(upstream)) != NULL)
        delivery_place(delivery);
}

void pool_serve(struct smtp_upstream *upstream)
{
    if (upstream->is_serving)
        return; /* the loop below will come to it */
    upstream->is_serving = true;
    while (serve_one(upstream))
        continue;
    while (startable(upstream) > coming(upstream) &&
           upstream_session_count(upstream) < upstream_capacity(upstream))
        open_one(upstream);
    if (upstream_capacity(upstream) == 0)
        place_elsewhere(upstream);
    if (waiting(upstream) > 0 && !timer_is_set(&upstream->patience_timer))
        timer_set(upstream->smtp->loop, &upstream->patience_timer, PATIENCE_MS);
    upstream->is_serving = false;
    show_counts(upstream);
}

/* One that no session to come is meant for, and that has waited for long;
 * the least urgent first. NULL: none. */
static struct smtp_delivery *first_impatient(struct smtp_upstream *upstream)
{
    if (waiting(upstream) <= upstream->counts[SESSION_OPENING])
        return NULL;
    for (size_t i = LANE_COUNT; i-- > 0;) {
        struct smtp_delivery *delivery =
            LIST_FIRST(&upstream->waiting[i], struct smtp_delivery, link);

        if (delivery != NULL &&
            clock_now_ms() - delivery->waiting_since_ms >= PATIENCE_MS)
            return delivery;
    }
    return NULL;
}

/* Its speed is not what it was, so nothing more is taken ahead. */
static void on_patience(void *ctx)
{
    struct smtp_upstream *upstream = ctx;
    struct smtp_delivery *delivery;

    while ((delivery = first_impatient(upstream)) != NULL) {
        upstream_note_halt(upstream);
        detach(delivery);
        delivery_place(delivery);
    }
    pool_serve(upstream);
}

void pool_add(struct smtp_upstream *upstream, struct smtp_delivery *delivery)
{
    delivery->upstream = upstream;
    delivery->waiting_since_ms = clock_now_ms();
    list_remove(&delivery->link);
    list_add_last(&upstream->waiting[delivery->lane], &delivery->link);
    upstream->waiting_count[delivery->lane]++;
    pool_serve(upstream);
}

void pool_remove(struct smtp_delivery *delivery)
{
    struct smtp_session *session = delivery->session;

    if (delivery->upstream == NULL)
        return;
    detach(delivery);
    if (session != NULL)
        session_abandon(session);
}

void pool_go_on(struct smtp_delivery *delivery)
{
    session_go_on(delivery->session);
}

/* --- health --- */

static void rest_is_over(void *ctx)
{
    struct smtp_upstream *upstream = ctx;

    pool_serve(upstream);
    smtp_note_room(upstream->smtp);
}

void pool_init(struct smtp_upstream *upstream)
{
    timer_init(&upstream->rest_timer, rest_is_over, upstream);
    timer_init(&upstream->patience_timer, on_patience, upstream);
}

static void raise_alarm(struct smtp_upstream *upstream,
                        const struct smtp_finding *finding, unsigned row)
{
    series_set(upstream->up_series, 0);
    log_write(LOG_ERROR, LOG_UPSTREAM_ALARM,
              log_cstr("upstream", upstream->config->name),
              log_cstr("host", upstream->config->host),
              log_cstr("step", smtp_stage_name(finding->stage)),
              log_int("code", finding->code),
              log_cstr("enhanced", finding->enhanced), log_int("rule", row),
              log_cstr("text", finding->text));
}

static bool is_paused(const struct smtp_upstream *upstream)
{
    return upstream->health.is_paused &&
           health_is_resting(&upstream->health, clock_now_ms());
}

/* What a finding means for the upstream, whoever was on the session. */
static void suffer(struct smtp_upstream *upstream,
                   const struct smtp_finding *finding)
{
    struct smtp_ruling ruling = smtp_judge(finding);
    int64_t now_ms = clock_now_ms();

    if ((ruling.then & THEN_ALARM) != 0 && !is_paused(upstream))
        raise_alarm(upstream, finding, ruling.row);
    if ((ruling.then & THEN_SLOW) != 0)
        upstream_slow_down(upstream);
    if ((ruling.then & THEN_PAUSE) != 0)
        health_paused(&upstream->health, now_ms);
    else if ((ruling.then & THEN_BACK_OFF) != 0)
        health_failed(&upstream->health, now_ms);
    else if (finding->code != 0 && finding->stage >= SMTP_STAGE_MAIL &&
             (ruling.then & THEN_CLOSE) == 0) {
        health_well(&upstream->health);
        series_set(upstream->up_series, 1);
    }
    if ((ruling.then & (THEN_PAUSE | THEN_AGAIN)) != 0)
        pool_close_idle(upstream);
    if (health_is_resting(&upstream->health, now_ms))
        timer_set_at(upstream->smtp->loop, &upstream->rest_timer,
                     upstream->health.rest_until_ms);
}

/* --- what sessions tell --- */

static void observe_phases(const struct smtp_session *session)
{
    for (size_t i = 0; i < PHASE_COUNT; i++)
        series_observe(session->upstream->phase_series[i],
                       (double)session->phase_ms[i] / 1000);
}

static void on_opened(struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;

    health_reached(&upstream->health);
    observe_phases(session);
    log_write(LOG_DEBUG, LOG_SMTP_SESSION_OPENED,
              log_cstr("upstream", upstream->config->name),
              log_cstr("tls", session->tls_version),
              log_cstr("cipher", session->tls_cipher),
              log_int("ms", clock_now_ms() - session->began_ms));
    move(session, SESSION_IDLE);
    pool_serve(upstream);
    if (upstream->smtp->is_stopping)
        pool_close_idle(upstream);
    smtp_note_room(upstream->smtp);
}

/* Nobody is left to carry those that wait: what befell the last session
 * befell them. */
static void fail_waiting(struct smtp_upstream *upstream,
                         const struct smtp_session *session,
                         const struct smtp_finding *finding)
{
    struct smtp_delivery *delivery;

    while ((delivery = take_waiting(upstream)) != NULL)
        delivery_take(delivery, upstream, session, finding);
}

static void on_failed(struct smtp_session *session,
                      const struct smtp_finding *finding)
{
    struct smtp_upstream *upstream = session->upstream;
    log_write(LOG_DEBUG, LOG_SMTP_SESSION_FAILED,
              log_cstr("upstream", upstream->config->name),
              log_cstr("step", smtp_stage_name(finding->stage)),
              log_int("code", finding->code), log_cstr("text", finding->text));
    suffer(upstream, finding);
    drop(session); /* its memory lasts until the end of the turn */
    if (upstream_session_count(upstream) == 0)
        fail_waiting(upstream, session, finding);
    else
        pool_serve(upstream);
}

static enum session_leave stop(struct smtp_session *session,
                               enum smtp_unsent hurdle)
{
    struct smtp_delivery *delivery = session->delivery;

    detach(delivery);
    delivery_return(delivery, hurdle);
    return SESSION_STOP;
}

static enum session_leave may_command(struct smtp_session *session)
{
    enum smtp_unsent hurdle = delivery_hurdle(session->delivery);

    return hurdle == SMTP_UNSENT_NONE ? SESSION_GO : stop(session, hurdle);
}

static void ask_mark(struct smtp_delivery *delivery)
{
    delivery->mark = MARK_ASKED;
    delivery->on_mark(delivery->ctx);
}

/* A server may take minutes to say 354, and as long for a big message: a mark
 * that grew too old meanwhile is asked for again, and refused if the delivery
 * is another's by now. The clock of the turn may be older than it knows. */
static enum session_leave may_dot(struct smtp_session *session)
{
    struct smtp_delivery *delivery = session->delivery;
    enum smtp_unsent hurdle;

    clock_tick();
    hurdle = delivery_hurdle(delivery);
    if (hurdle != SMTP_UNSENT_NONE)
        return stop(session, hurdle);
    CHECK(delivery->mark != MARK_NONE);
    if (delivery->mark == MARK_YES && clock_now_ms() >= delivery->mark_until_ms)
        ask_mark(delivery);
    if (delivery->mark != MARK_YES)
        return SESSION_HOLD;
    session->dot_by_ms = delivery->mark_until_ms;
    return SESSION_GO;
}

static void late(struct smtp_session *session)
{
    (void)stop(session, SMTP_UNSENT_MARK);
}

static void data_sent(struct smtp_session *session)
{
    if (session->delivery->mark == MARK_NONE)
        ask_mark(session->delivery); /* else it was on a session before */
}

/* Servers quote what they refuse. */
static void hide_codes(const struct smtp_delivery *delivery,
                       struct smtp_finding *finding)
{
    struct buf text;

    if (delivery->secret_subject.len == 0)
        return;
    buf_init(&text, MASKED_MAX);
    mask_quotes(str_of(finding->text), delivery->secret_subject, &text);
    buf_truncate(&text, utf8_cut(buf_str(&text), REPLY_TEXT_MAX));
    if (text.len > 0)
        memcpy(finding->text, text.data, text.len);
    finding->text[text.len] = '\0';
    buf_finish(&text);
}

static void settled(struct smtp_session *session,
                    const struct smtp_finding *told)
{
    struct smtp_finding shown = *told;
    const struct smtp_finding *finding = &shown;
    struct smtp_delivery *delivery = session->delivery;
    struct smtp_upstream *upstream = session->upstream;
    int64_t took_ms = clock_now_ms() - session->carry_since_ms;

    if (finding->stage == SMTP_STAGE_DOT && finding->code != 0) {
        upstream_note_taken(upstream, took_ms);
        series_observe(upstream->phase_series[PHASE_COUNT],
                       (double)took_ms / 1000);
    }
    hide_codes(delivery, &shown);
    suffer(upstream, finding);
    detach(delivery);
    delivery_take(delivery, upstream, session, finding);
}

static void on_free(struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;

    if (session_may_carry(session) &&
        upstream_session_count(upstream) <= upstream->limit)
        move(session, SESSION_IDLE);
    else
        drop(session);
    pool_serve(upstream);
    if (upstream->smtp->is_stopping)
        pool_close_idle(upstream);
}

static void on_gone(struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;

    drop(session);
    pool_serve(upstream);
}

static const struct session_events EVENTS = {
    .opened = on_opened,
    .failed = on_failed,
    .may_command = may_command,
    .data_sent = data_sent,
    .may_dot = may_dot,
    .late = late,
    .settled = settled,
    .free = on_free,
    .gone = on_gone,
};
