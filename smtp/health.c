#include "smtp/health.h"

enum { BACK_OFF_MS = 1000, BACK_OFF_MAX_MS = 60 * 1000, BROKEN_MAX = 5 };

static bool breaks_off(const struct health *health)
{
    return health->broken >= BROKEN_MAX;
}

static void rest(struct health *health, int64_t until_ms)
{
    if (until_ms > health->rest_until_ms)
        health->rest_until_ms = until_ms;
}

static void back_off(struct health *health, int64_t now_ms)
{
    int64_t delay_ms = BACK_OFF_MS;

    for (unsigned i = 0; i < health->failures && delay_ms < BACK_OFF_MAX_MS;
         i++)
        delay_ms *= 2;
    if (delay_ms > BACK_OFF_MAX_MS)
        delay_ms = BACK_OFF_MAX_MS;
    health->failures++;
    rest(health, now_ms + delay_ms);
}

/* Sessions that fail together, as many begin at once, are one failure. */
void health_failed(struct health *health, int64_t now_ms)
{
    if (health_is_resting(health, now_ms))
        return;
    health->failed_ms = now_ms;
    back_off(health, now_ms);
}

void health_broke_off(struct health *health, int64_t now_ms)
{
    if (health_is_resting(health, now_ms))
        return;
    health->broken++;
    if (breaks_off(health)) {
        health->failures = health->broken - BROKEN_MAX;
        back_off(health, now_ms);
    }
}

void health_paused(struct health *health, int64_t now_ms)
{
    static const int64_t PAUSES_MS[] = {60 * 1000, 5 * 60 * 1000,
                                        15 * 60 * 1000};

    if (health_is_resting(health, now_ms) && health->is_paused)
        return;
    rest(health, now_ms + PAUSES_MS[health->pauses < 2 ? health->pauses : 2]);
    health->failed_ms = now_ms;
    health->pauses++;
    health->is_paused = true;
}

void health_reached(struct health *health)
{
    health->failures = 0;
    if (!health->is_paused && !breaks_off(health))
        health->rest_until_ms = 0;
}

bool health_well(struct health *health, int64_t began_ms)
{
    bool is_news = began_ms > health->failed_ms;

    if (is_news)
        *health = (struct health){0};
    else
        health->broken = 0;
    return is_news;
}

bool health_is_resting(const struct health *health, int64_t now_ms)
{
    return now_ms < health->rest_until_ms;
}

bool health_is_probed(const struct health *health, int64_t now_ms)
{
    return (health->failures > 0 || health->pauses > 0 || breaks_off(health)) &&
           !health_is_resting(health, now_ms);
}
