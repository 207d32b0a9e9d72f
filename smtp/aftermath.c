/* What befell a mail or a session, for those to come. */
#include "smtp/engine.h"

#include "server/base/clock.h"
#include "server/base/log.h"

enum { TROUBLE_MAX = REPLY_TEXT_MAX + 64 };

/* --- of the upstream --- */

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

/* What it made of commands behind a dot will not be tried again. */
static void keep_apart(struct smtp_upstream *upstream,
                       const struct smtp_finding *finding)
{
    if (!upstream->takes_pairs)
        return;
    upstream->takes_pairs = false;
    log_write(LOG_WARN, LOG_UPSTREAM_APART,
              log_cstr("upstream", upstream->config->name),
              log_cstr("host", upstream->config->host),
              log_cstr("step", smtp_stage_name(finding->stage)),
              log_int("code", finding->code), log_cstr("text", finding->text));
}

static bool is_paused(const struct smtp_upstream *upstream)
{
    return upstream->health.is_paused &&
           health_is_resting(&upstream->health, clock_now_ms());
}

/* "AUTH: 535 5.7.8 no such user", as an operator shall read it. */
static void note_trouble(struct smtp_upstream *upstream,
                         const struct smtp_finding *finding)
{
    struct buf why;

    buf_init(&why, TROUBLE_MAX);
    buf_addf(&why, "%s: ", smtp_stage_name(finding->stage));
    if (finding->code != 0)
        buf_addf(&why, "%u ", finding->code);
    if (finding->enhanced[0] != '\0')
        buf_addf(&why, "%s ", finding->enhanced);
    buf_add_cstr(&why, finding->text);
    upstream_note_why(upstream, buf_str(&why));
    buf_finish(&why);
}

/* In the middle of a mail, which may be why. */
static bool is_broken_off(const struct smtp_finding *finding,
                          const struct smtp_ruling *ruling)
{
    unsigned both = THEN_NEXT | THEN_CLOSE;

    return finding->stage >= SMTP_STAGE_MAIL && (ruling->then & both) == both;
}

/* It answers, and stays; whether it would let others in is another matter. */
static void note_well(const struct smtp_session *session)
{
    struct smtp_upstream *upstream = session->upstream;

    if (!health_well(&upstream->health, session->began_ms))
        return;
    upstream_note_why(upstream, S(""));
    series_set(upstream->up_series, 1);
}

void aftermath_of_upstream(const struct smtp_session *session,
                           const struct smtp_finding *finding)
{
    struct smtp_upstream *upstream = session->upstream;
    struct smtp_ruling ruling = smtp_judge(finding);
    int64_t now_ms = clock_now_ms();

    if ((ruling.then & THEN_ALARM) != 0 && !is_paused(upstream))
        raise_alarm(upstream, finding, ruling.row);
    if ((ruling.then & THEN_SLOW) != 0)
        upstream_slow_down(upstream);
    if ((ruling.then & THEN_APART) != 0)
        keep_apart(upstream, finding);
    if ((ruling.then & (THEN_PAUSE | THEN_BACK_OFF)) != 0 ||
        is_broken_off(finding, &ruling))
        note_trouble(upstream, finding);
    if ((ruling.then & THEN_PAUSE) != 0)
        health_paused(&upstream->health, now_ms);
    else if ((ruling.then & THEN_BACK_OFF) != 0)
        health_failed(&upstream->health, now_ms);
    else if (is_broken_off(finding, &ruling))
        health_broke_off(&upstream->health, now_ms);
    else if (finding->code != 0 && finding->stage >= SMTP_STAGE_MAIL &&
             (ruling.then & THEN_CLOSE) == 0)
        note_well(session);
    if ((ruling.then & (THEN_PAUSE | THEN_AGAIN)) != 0)
        pool_close_idle(upstream);
    if (health_is_resting(&upstream->health, now_ms))
        timer_set_at(upstream->smtp->loop, &upstream->rest_timer,
                     upstream->health.rest_until_ms);
}

/* --- domains that want fewer at a time --- */

static void enter(struct smtp_delivery *delivery, struct slowed *slowed)
{
    if (slowed == NULL || delivery->slowed != NULL)
        return;
    delivery->slowed = slowed;
    slowed_enter(slowed, delivery->lane);
}

void aftermath_enter(struct smtp_delivery *delivery)
{
    const struct slowed_domains *all = &delivery->upstream->slowed;

    if (all->count > 0)
        enter(delivery, slowed_find(all, slowed_domain(delivery->rcpt_to)));
}

/* All to that domain that the upstream has. */
static void enter_all(struct smtp_upstream *upstream)
{
    for (size_t i = 0; i < LANE_COUNT; i++)
        list_each (link, &upstream->waiting[i])
            aftermath_enter(LIST_MEMBER(link, struct smtp_delivery, link));
    list_each (link, &upstream->sessions[SESSION_BUSY]) {
        struct smtp_session *session =
            LIST_MEMBER(link, struct smtp_session, link);

        for (size_t i = 0; i < COUNT_OF(session->seats); i++)
            if (session->seats[i].delivery != NULL)
                aftermath_enter(session->seats[i].delivery);
    }
}

static void slow_domain(struct smtp_delivery *delivery)
{
    struct smtp_upstream *upstream = delivery->upstream;
    struct str domain = slowed_domain(delivery->rcpt_to);

    if (delivery->slowed == NULL &&
        slowed_add(&upstream->slowed, domain) != NULL) {
        enter_all(upstream);
        log_write(LOG_INFO, LOG_UPSTREAM_SLOWED,
                  log_cstr("upstream", upstream->config->name),
                  log_str("domain", domain));
    }
    if (delivery->slowed != NULL)
        slowed_suffer(&upstream->slowed, delivery->slowed, clock_now_ms());
}

void aftermath_of_domain(struct smtp_delivery *delivery,
                         const struct smtp_finding *finding)
{
    enum smtp_pace pace = smtp_judge(finding).pace;

    if (finding->stage >= SMTP_STAGE_RCPT &&
        (pace == SMTP_PACE_RATE || pace == SMTP_PACE_FREQUENCY))
        slow_domain(delivery);
    else if (delivery->slowed != NULL && finding->stage == SMTP_STAGE_DOT &&
             finding->code / 100 == 2)
        slowed_take(delivery->slowed);
}
