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
    upstream->owing -= session->is_owing;
    session->is_owing = false;
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
    series_set(upstream->slowed_series, (int64_t)upstream->slowed.count);
}

static void drop(struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;

    for (size_t i = 0; i < COUNT_OF(session->seats); i++)
        CHECK(session->seats[i].delivery == NULL);
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

/* Those that are on their way may come to nothing: until they are there, what
 * is there stays. Who has rested longest goes first. */
static void close_surplus(struct smtp_upstream *upstream)
{
    const size_t *counts = upstream->counts;
    struct list *idle = &upstream->sessions[SESSION_IDLE];

    while (counts[SESSION_IDLE] > 0 &&
           counts[SESSION_IDLE] + counts[SESSION_BUSY] > upstream->limit)
        drop(LIST_MEMBER(idle->prev, struct smtp_session, link));
}

void pool_close_all(struct smtp_upstream *upstream)
{
    timer_clear(upstream->smtp->loop, &upstream->rest_timer);
    slowed_finish(&upstream->slowed);
    timer_clear(upstream->smtp->loop, &upstream->quota_timer);
    task_cancel(&upstream->quota_task);
    timer_clear(upstream->smtp->loop, &upstream->patience_timer);
    for (size_t i = 0; i < LANE_COUNT; i++)
        delivery_forget_all(&upstream->waiting[i]);
    for (size_t i = 0; i < SESSION_STATE_COUNT; i++) {
        list_each_safe (link, &upstream->sessions[i]) {
            struct smtp_session *session =
                LIST_MEMBER(link, struct smtp_session, link);

            for (size_t seat = 0; seat < COUNT_OF(session->seats); seat++)
                session->seats[seat].delivery = NULL;
            drop(session);
        }
    }
}

/* The count that a mail of that lane belongs to. */
static size_t *count_of(const struct session_mail *mail, unsigned lane)
{
    struct smtp_upstream *upstream = mail->session->upstream;

    return mail->is_second ? &upstream->following[lane]
                           : &upstream->carried[lane];
}

static void sit_down(struct smtp_delivery *delivery, struct session_mail *seat,
                     bool is_second)
{
    delivery->mail = seat;
    seat->delivery = delivery;
    seat->is_second = is_second;
    ++*count_of(seat, delivery->lane);
}

/* Behind the first mail of a session, the second one becomes that. */
static void get_up(struct smtp_delivery *delivery)
{
    struct session_mail *seat = delivery->mail;
    struct session_mail *next = seat->session->next;

    --*count_of(seat, delivery->lane);
    seat->delivery = NULL;
    delivery->mail = NULL;
    if (seat->is_second || next == NULL || next->delivery == NULL)
        return;
    --*count_of(next, next->delivery->lane);
    sit_down(next->delivery, next, false);
}

/* Off its session, or out of the waiting ones: it is in no list, and nor is the
 * twin of a hedge that takes its place. */
static void detach(struct smtp_delivery *delivery)
{
    struct smtp_upstream *upstream = delivery->upstream;

    if (delivery->mail != NULL)
        get_up(delivery);
    else
        upstream->waiting_count[delivery->lane]--;
    if (delivery->slowed != NULL)
        slowed_leave(&upstream->slowed, delivery->slowed, delivery->lane,
                     clock_now_ms());
    delivery->slowed = NULL;
    delivery->upstream = NULL;
    list_remove(&delivery->link);
    smtp_note_room(upstream->smtp);
}

static void attach(struct smtp_delivery *delivery, struct session_mail *seat,
                   bool is_second)
{
    struct smtp_upstream *upstream = delivery->upstream;

    upstream->waiting_count[delivery->lane]--;
    list_remove(&delivery->link);
    list_add_last(&upstream->smtp->active, &delivery->link);
    seat->until_ms = delivery_until_ms(delivery);
    sit_down(delivery, seat, is_second);
}

static size_t sum(const size_t *counts)
{
    size_t all = 0;

    for (size_t i = 0; i < LANE_COUNT; i++)
        all += counts[i];
    return all;
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

/* lanes: how many may be served. NULL: nothing waits there. */
static struct smtp_delivery *first_of(const struct smtp_upstream *upstream,
                                      unsigned lanes)
{
    for (unsigned i = 0; i < lanes; i++)
        if (!list_is_empty(&upstream->waiting[i]))
            return LIST_FIRST(&upstream->waiting[i], struct smtp_delivery,
                              link);
    return NULL;
}

static struct smtp_delivery *first_waiting(const struct smtp_upstream *upstream)
{
    return first_of(upstream, late_room(upstream) > 0 ? LANE_COUNT : 2);
}

/* For a session that a mail still has: behind one of lanes 2 and 3 no more is
 * taken from the others than it takes already. */
static struct smtp_delivery *next_waiting(const struct smtp_session *session)
{
    if (session->mail->delivery->lane >= 2)
        return first_of(session->upstream, LANE_COUNT);
    return first_waiting(session->upstream);
}

/* Sessions that are free, or will be without our doing: about to open, or
 * clearing up after a mail that was answered. */
static size_t coming(const struct smtp_upstream *upstream)
{
    return upstream->counts[SESSION_IDLE] + upstream->counts[SESSION_OPENING] +
           (upstream->counts[SESSION_BUSY] - sum(upstream->carried) -
            upstream->owing);
}

/* How many of those that wait could start if there were sessions. */
static size_t startable(const struct smtp_upstream *upstream)
{
    size_t others = upstream->waiting_count[2] + upstream->waiting_count[3];
    size_t room = late_room(upstream);

    return upstream->waiting_count[0] + upstream->waiting_count[1] +
           (others < room ? others : room);
}

static unsigned seconds_left(const struct smtp_delivery *delivery)
{
    int64_t left_s = (delivery->deadline_ms - clock_shared_ms()) / 1000;

    if (delivery->deadline_ms == 0 || left_s < 0)
        return 0;
    return left_s > UINT32_MAX ? UINT32_MAX : (unsigned)left_s;
}

static struct txn_envelope envelope_of(const struct smtp_delivery *delivery)
{
    return (struct txn_envelope){
        .id = delivery->id,
        .mail_from = delivery->mail_from,
        .rcpt_to = delivery->rcpt_to,
        .needs_smtputf8 = delivery->needs_smtputf8,
        .message = delivery->message,
        .notify = str_of(delivery->upstream->notify),
        .by_s = seconds_left(delivery),
        .chunking = delivery->upstream->config->chunking,
        .is_hedged = delivery->hedge != NULL,
    };
}

static bool is_empty(const struct smtp_session *session)
{
    for (size_t i = 0; i < COUNT_OF(session->seats); i++)
        if (session->seats[i].delivery != NULL)
            return false;
    return true;
}

/* A mail has left it before all was answered: nobody knows when its server
 * will do that. */
static void note_owing(struct smtp_session *session)
{
    if (session->state != SESSION_BUSY || session->is_owing ||
        !is_empty(session))
        return;
    session->is_owing = true;
    session->upstream->owing++;
}

/* True, and it has ended, if it must not go any more. */
static bool is_turned_back(struct smtp_delivery *delivery)
{
    enum smtp_unsent hurdle = delivery_hurdle(delivery);
    struct session_mail *mail = delivery->mail;

    if (hurdle == SMTP_UNSENT_NONE)
        return false;
    detach(delivery);
    if (mail != NULL)
        note_owing(mail->session);
    delivery_return(delivery, hurdle);
    return true;
}

static void carry(struct smtp_session *session, struct smtp_delivery *delivery)
{
    struct smtp_upstream *upstream = session->upstream;
    const struct txn_envelope envelope = envelope_of(delivery);

    if (is_turned_back(delivery))
        return;
    quota_take(&upstream->quota, delivery->lane, clock_now_ms());
    attach(delivery, session_seat(session), false);
    move(session, SESSION_BUSY);
    session_carry(session, &envelope);
}

/* False: tokens are asked for, or there are none and its like go elsewhere
 * when the turn ends. */
static bool quota_lets(struct smtp_upstream *upstream,
                       const struct smtp_delivery *delivery)
{
    if (quota_has(&upstream->quota, delivery->lane, clock_now_ms()))
        return true;
    if (!upstream->quota.is_asked)
        task_run_soon(upstream->smtp->loop, &upstream->quota_task);
    return false;
}

/* The session that rested last goes first: the rest may grow old. */
static bool serve_one(struct smtp_upstream *upstream)
{
    struct smtp_session *session = LIST_FIRST(&upstream->sessions[SESSION_IDLE],
                                              struct smtp_session, link);
    struct smtp_delivery *delivery = first_waiting(upstream);

    if (delivery == NULL || !quota_lets(upstream, delivery) || session == NULL)
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

/* What is open is of no use either while it may have no session at all. */
static void leave_alone(struct smtp_upstream *upstream)
{
    if (upstream_capacity(upstream) > 0)
        return;
    place_elsewhere(upstream);
    pool_close_idle(upstream);
}

static void be_patient(struct smtp_upstream *upstream)
{
    if (sum(upstream->waiting_count) + sum(upstream->following) > 0 &&
        !timer_is_set(&upstream->patience_timer))
        timer_set(upstream->smtp->loop, &upstream->patience_timer, PATIENCE_MS);
}

void pool_serve(struct smtp_upstream *upstream)
{
    if (upstream->is_serving)
        return; /* the loop below will come to it */
    upstream->is_serving = true;
    leave_alone(upstream);
    while (serve_one(upstream))
        continue;
    while (startable(upstream) > coming(upstream) &&
           upstream_session_count(upstream) < upstream_capacity(upstream))
        open_one(upstream);
    leave_alone(upstream);
    be_patient(upstream);
    upstream->is_serving = false;
    show_counts(upstream);
}

/* Behind each session that came, or went, and a new limit. */
static void serve_anew(struct smtp_upstream *upstream)
{
    close_surplus(upstream);
    pool_serve(upstream);
}

/* One that no session to come is meant for, and that has waited for long;
 * the least urgent first. NULL: none. */
static struct smtp_delivery *first_impatient(struct smtp_upstream *upstream)
{
    if (sum(upstream->waiting_count) <= upstream->counts[SESSION_OPENING])
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

/* The mail before it is not answered, and its session stands still. */
static void let_follower_go(struct smtp_session *session)
{
    struct session_mail *next = session->next;
    struct smtp_delivery *delivery;

    if (next == NULL || next->delivery == NULL ||
        clock_now_ms() - next->since_ms < PATIENCE_MS)
        return;
    delivery = next->delivery;
    upstream_note_halt(session->upstream);
    detach(delivery);
    session_abandon(next);
    delivery_place(delivery);
}

/* The sessions that are to come may take long. */
static void end_late_ones(struct smtp_upstream *upstream)
{
    for (size_t i = 0; i < LANE_COUNT; i++)
        list_each_safe (link, &upstream->waiting[i])
            (void)is_turned_back(LIST_MEMBER(link, struct smtp_delivery, link));
}

/* Its speed is not what it was, so nothing more is taken ahead. */
static void on_patience(void *ctx)
{
    struct smtp_upstream *upstream = ctx;
    struct smtp_delivery *delivery;

    end_late_ones(upstream);
    while ((delivery = first_impatient(upstream)) != NULL) {
        upstream_note_halt(upstream);
        detach(delivery);
        delivery_place(delivery);
    }
    list_each_safe (link, &upstream->sessions[SESSION_BUSY])
        let_follower_go(LIST_MEMBER(link, struct smtp_session, link));
    pool_serve(upstream);
}

/* --- from outside --- */

void pool_add(struct smtp_upstream *upstream, struct smtp_delivery *delivery)
{
    delivery->upstream = upstream;
    delivery->waiting_since_ms = clock_now_ms();
    list_remove(&delivery->link);
    list_add_last(&upstream->waiting[delivery->lane], &delivery->link);
    upstream->waiting_count[delivery->lane]++;
    aftermath_enter(delivery);
    pool_serve(upstream);
}

void pool_remove(struct smtp_delivery *delivery)
{
    struct session_mail *mail = delivery->mail;

    if (delivery->upstream == NULL)
        return;
    detach(delivery);
    if (mail == NULL)
        return;
    session_abandon(mail);
    note_owing(mail->session);
}

void pool_go_on(struct smtp_delivery *delivery)
{
    session_go_on(delivery->mail->session);
}

/* --- the rate --- */

/* The last that came goes first. */
static struct smtp_delivery *last_waiting(struct smtp_upstream *upstream,
                                          unsigned lane)
{
    struct smtp_delivery *last =
        LIST_MEMBER(upstream->waiting[lane].prev, struct smtp_delivery, link);

    detach(last);
    list_remove(&last->link);
    return last;
}

/* Those for whom there is no token until a window ends go elsewhere. */
static void spill(struct smtp_upstream *upstream)
{
    struct quota *quota = &upstream->quota;
    size_t waiting = 0;
    size_t tokens[LANE_COUNT]; /* for that lane and those before it */

    tokens[2] = tokens[3] = quota->tokens[SMTP_QUOTA_OTHER];
    tokens[0] = tokens[1] = tokens[2] + quota->tokens[SMTP_QUOTA_URGENT];
    for (unsigned lane = 0; lane < LANE_COUNT; lane++) {
        bool is_used_up = quota_is_used_up(quota, lane, clock_now_ms());

        waiting += upstream->waiting_count[lane];
        while (is_used_up && upstream->waiting_count[lane] > 0 &&
               waiting > tokens[lane]) {
            waiting--;
            series_add(upstream->spilled_series, 1);
            delivery_place(last_waiting(upstream, lane));
        }
    }
}

static void ask_for_tokens(struct smtp_upstream *upstream)
{
    const size_t *waiting = upstream->waiting_count;
    const size_t counts[SMTP_QUOTA_KINDS] = {
        [SMTP_QUOTA_URGENT] = waiting[0] + waiting[1],
        [SMTP_QUOTA_OTHER] = waiting[2] + waiting[3],
    };
    struct smtp_quota_ask ask;

    if (!upstream->quota.is_limited || upstream->quota.is_asked ||
        upstream->smtp->on_quota == NULL)
        return;
    quota_ask(&upstream->quota, counts, &ask);
    if (ask.wanted[SMTP_QUOTA_URGENT] + ask.wanted[SMTP_QUOTA_OTHER] +
            ask.back ==
        0)
        upstream->quota.is_asked = false;
    else
        upstream->smtp->on_quota(upstream->smtp->ctx, upstream->index, &ask);
}

static void on_quota_task(void *ctx)
{
    struct smtp_upstream *upstream = ctx;

    spill(upstream);
    ask_for_tokens(upstream);
}

static void await_quota(struct smtp_upstream *upstream)
{
    int64_t ends_ms = quota_ends_ms(&upstream->quota, clock_now_ms());

    if (ends_ms > 0)
        timer_set_at(upstream->smtp->loop, &upstream->quota_timer, ends_ms);
}

/* Tokens grew old, or a window ended. */
static void on_quota_timer(void *ctx)
{
    struct smtp_upstream *upstream = ctx;

    if (quota_is_stale(&upstream->quota, clock_now_ms()))
        ask_for_tokens(upstream);
    else
        await_quota(upstream);
    pool_serve(upstream);
    smtp_note_room(upstream->smtp);
}

void pool_stop(struct smtp_upstream *upstream)
{
    pool_close_idle(upstream);
    ask_for_tokens(upstream); /* for none: what is left goes back */
}

void pool_set_share(struct smtp_upstream *upstream, size_t share)
{
    bool is_slowed = upstream->limit < upstream->share;

    upstream->share = share;
    if (!is_slowed || upstream->limit > share)
        upstream->limit = share;
    serve_anew(upstream);
    smtp_note_room(upstream->smtp);
}

void pool_grant(struct smtp_upstream *upstream,
                const struct smtp_quota_grant *grant)
{
    CHECK(upstream->quota.is_asked);
    quota_grant(&upstream->quota, grant);
    await_quota(upstream);
    spill(upstream);
    pool_serve(upstream);
    smtp_note_room(upstream->smtp);
}

/* --- a rest --- */

static void rest_is_over(void *ctx)
{
    struct smtp_upstream *upstream = ctx;

    pool_serve(upstream);
    smtp_note_room(upstream->smtp);
}

void pool_init(struct smtp_upstream *upstream)
{
    if (upstream->smtp->on_quota != NULL)
        quota_init(&upstream->quota, &upstream->config->rate);
    timer_init(&upstream->rest_timer, rest_is_over, upstream);
    timer_init(&upstream->quota_timer, on_quota_timer, upstream);
    task_init(&upstream->quota_task, on_quota_task, upstream);
    timer_init(&upstream->patience_timer, on_patience, upstream);
}

/* --- what sessions tell --- */

static void observe_phases(const struct smtp_session *session)
{
    for (size_t i = 0; i < SMTP_PHASE_MAIL; i++)
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
    serve_anew(upstream);
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
        delivery_take(delivery, session, NULL, finding);
}

static void on_failed(struct smtp_session *session,
                      const struct smtp_finding *finding)
{
    struct smtp_upstream *upstream = session->upstream;
    log_write(LOG_DEBUG, LOG_SMTP_SESSION_FAILED,
              log_cstr("upstream", upstream->config->name),
              log_cstr("step", smtp_stage_name(finding->stage)),
              log_int("code", finding->code), log_cstr("text", finding->text));
    inspect_failed_session(session, finding);
    aftermath_of_upstream(session, finding);
    drop(session); /* its memory lasts until the end of the turn */
    if (upstream_session_count(upstream) == 0)
        fail_waiting(upstream, session, finding);
    else
        serve_anew(upstream);
}

static enum session_leave may_command(struct session_mail *mail)
{
    return is_turned_back(mail->delivery) ? SESSION_STOP : SESSION_GO;
}

static void accepted(struct session_mail *mail)
{
    struct smtp_delivery *delivery = mail->delivery;

    if (delivery->lane < 2 && !hedge_has_lost(delivery))
        lag_note(&delivery->upstream->lag,
                 clock_now_ms() - delivery->waiting_since_ms);
    hedge_choose(delivery);
}

static void ask_mark(struct smtp_delivery *delivery)
{
    delivery->mark = MARK_ASKED;
    delivery->on_mark(delivery->ctx);
}

/* Of two times, 0 being never. */
static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0)
        return a_ms + b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

/* A server may take minutes to say 354, and as long for a big message: a mark
 * that grew too old meanwhile is asked for again, and refused if the delivery
 * is another's by now. The clock of the turn may be older than it knows. */
static enum session_leave may_dot(struct session_mail *mail)
{
    struct smtp_delivery *delivery = mail->delivery;

    clock_tick();
    if (is_turned_back(delivery))
        return SESSION_STOP;
    CHECK(delivery->mark != MARK_NONE);
    if (delivery->mark == MARK_YES && clock_now_ms() >= delivery->mark_until_ms)
        ask_mark(delivery);
    if (delivery->mark != MARK_YES)
        return SESSION_HOLD;
    mail->dot_by_ms =
        earlier(delivery->mark_until_ms, delivery_until_ms(delivery));
    return SESSION_GO;
}

/* What waits may go out behind the dot, if this session is to serve on. */
static void dotted(struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;
    struct smtp_delivery *delivery = next_waiting(session);
    struct txn_envelope envelope;

    if (delivery == NULL || !upstream_takes_pairs(upstream) ||
        !session_may_carry(session) ||
        upstream_session_count(upstream) > upstream->limit)
        return;
    envelope = envelope_of(delivery);
    if (!session_may_follow(session, &envelope) ||
        !quota_lets(upstream, delivery) || is_turned_back(delivery))
        return;
    quota_take(&upstream->quota, delivery->lane, clock_now_ms());
    attach(delivery, session_seat(session), true);
    session_follow(session, &envelope);
    series_add(upstream->pairs_series, 1);
    be_patient(upstream);
}

/* The clock that deadlines are of may have been set back meanwhile. */
static bool overdue(struct session_mail *mail)
{
    if (is_turned_back(mail->delivery))
        return true;
    mail->until_ms = delivery_until_ms(mail->delivery);
    return false;
}

static void late(struct session_mail *mail)
{
    struct smtp_delivery *delivery = mail->delivery;
    enum smtp_unsent hurdle = delivery_hurdle(delivery);

    detach(delivery);
    delivery_return(delivery,
                    hurdle == SMTP_UNSENT_NONE ? SMTP_UNSENT_MARK : hurdle);
}

/* As if it had never been on that session. */
static void left_over(struct session_mail *mail)
{
    struct smtp_delivery *delivery = mail->delivery;

    detach(delivery);
    delivery_place(delivery);
}

static void mark_due(struct session_mail *mail)
{
    CHECK(mail->delivery->hedge == NULL); /* never two messages */
    if (mail->delivery->mark == MARK_NONE)
        ask_mark(mail->delivery); /* else it was on a session before */
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

/* A session's next mail has to wait for so long, and no longer for what of it
 * went by behind the dot of another. */
static void note_taken(const struct session_mail *mail)
{
    struct smtp_upstream *upstream = mail->session->upstream;
    int64_t now_ms = clock_now_ms();

    upstream_note_taken(upstream, now_ms - mail->turn_ms);
    series_observe(upstream->phase_series[SMTP_PHASE_MAIL],
                   (double)(now_ms - mail->since_ms) / 1000);
}

static void settled(struct session_mail *mail, const struct smtp_finding *told)
{
    struct smtp_upstream *upstream = mail->session->upstream;
    size_t capacity = upstream_capacity(upstream);
    struct smtp_finding shown = *told;
    const struct smtp_finding *finding = &shown;
    struct smtp_delivery *delivery = mail->delivery;

    if (finding->stage == SMTP_STAGE_DOT && finding->code != 0)
        note_taken(mail);
    hide_codes(delivery, &shown);
    aftermath_of_upstream(mail->session, finding);
    aftermath_of_domain(delivery, finding);
    detach(delivery);
    if (mail->session->next != NULL) /* it may have been given up */
        note_owing(mail->session);
    delivery_take(delivery, mail->session, mail, finding);
    /* Its session may be busy yet with the next one, or with replies that its
     * server owes. */
    if (upstream_capacity(upstream) != capacity)
        pool_serve(upstream);
}

static void on_free(struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;

    if (session_may_carry(session))
        move(session, SESSION_IDLE);
    else
        drop(session);
    serve_anew(upstream);
    if (upstream->smtp->is_stopping)
        pool_close_idle(upstream);
}

static void on_gone(struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;

    drop(session);
    serve_anew(upstream);
}

static const struct session_events EVENTS = {
    .opened = on_opened,
    .failed = on_failed,
    .accepted = accepted,
    .may_command = may_command,
    .mark_due = mark_due,
    .may_dot = may_dot,
    .dotted = dotted,
    .overdue = overdue,
    .late = late,
    .settled = settled,
    .left_over = left_over,
    .free = on_free,
    .gone = on_gone,
};
