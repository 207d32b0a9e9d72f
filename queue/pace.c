#include "queue/claims_core.h"

#include "server/base/clock.h"

/* A code waits for what Redis and this child do before it: for the turn under
 * way, and for the mails that this brings along. So lower lanes are claimed in
 * steps, and while there is urgent mail in small ones, bulk with pauses between
 * them.
 * [200 codes a second beside bulk, p50 alone 1.2 ms: 20 ms with turns of 256,
 * 5 ms with turns of 8, 2.4 ms with pauses behind them; decision 16] */

enum {
    FIRST_LOW_LANE = 2,
    BULK_LANE = 3,
    STEP = 32,        /* mails of lower lanes a turn */
    STEP_BESIDE = 8,  /* the same beside urgent mail */
    BESIDE_MS = 5000, /* how long an urgent mail counts */
    PAUSE_MIN_MS = 2,
};

static bool is_beside(const struct pace *pace)
{
    return pace->urgent_ms != 0 && clock_now_ms() - pace->urgent_ms < BESIDE_MS;
}

bool pace_rests(const struct pace *pace)
{
    return timer_is_set(&pace->pause);
}

size_t pace_room(const struct pace *pace, unsigned lane, size_t room)
{
    size_t step = is_beside(pace) ? STEP_BESIDE : STEP;

    if (lane < FIRST_LOW_LANE)
        return room;
    if (pace_rests(pace))
        return 0;
    return room < step ? room : step;
}

bool pace_is_urgent(unsigned lane)
{
    return lane < FIRST_LOW_LANE;
}

/* Once between two turns that bring lower lanes, so that these go on however
 * many codes come. */
void pace_make_way(struct pace *pace)
{
    if (pace->has_made_way || pace_rests(pace) || !is_beside(pace))
        return;
    pace->has_made_way = true;
    timer_set(pace->loop, &pace->pause, PAUSE_MIN_MS);
}

void pace_note_urgent(struct pace *pace)
{
    pace->urgent_ms = clock_now_ms();
}

/* As long as the turn took, which is longer the more others ask for. */
void pace_turn_done(struct pace *pace, int64_t sent_ms, unsigned last_lane)
{
    int64_t took_ms = clock_now_ms() - sent_ms;

    if (last_lane >= FIRST_LOW_LANE)
        pace->has_made_way = false;
    if (last_lane == BULK_LANE && is_beside(pace))
        timer_set(pace->loop, &pace->pause, PAUSE_MIN_MS + took_ms);
}
