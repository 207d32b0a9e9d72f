#include "smtp/lag.h"

#include <string.h>

/* The first place whose time is not shorter. */
static size_t place_of(const struct lag *lag, uint32_t ms)
{
    size_t low = 0;
    size_t high = lag->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (lag->sorted_ms[middle] < ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void forget(struct lag *lag, uint32_t ms)
{
    size_t place = place_of(lag, ms);

    lag->count--;
    memmove(&lag->sorted_ms[place], &lag->sorted_ms[place + 1],
            (lag->count - place) * sizeof lag->sorted_ms[0]);
}

static void insert(struct lag *lag, uint32_t ms)
{
    size_t place = place_of(lag, ms);

    memmove(&lag->sorted_ms[place + 1], &lag->sorted_ms[place],
            (lag->count - place) * sizeof lag->sorted_ms[0]);
    lag->sorted_ms[place] = ms;
    lag->count++;
}

void lag_note(struct lag *lag, int64_t ms)
{
    uint32_t time_ms = ms < 0             ? 0
                       : ms >= UINT32_MAX ? UINT32_MAX
                                          : (uint32_t)ms;

    if (lag->count == LAG_SAMPLES)
        forget(lag, lag->times_ms[lag->next]);
    insert(lag, time_ms);
    lag->times_ms[lag->next] = time_ms;
    lag->next = (lag->next + 1) % LAG_SAMPLES;
}

void lag_note_more(struct lag *lag, int64_t ms)
{
    if (ms > lag_p95_ms(lag))
        lag_note(lag, ms);
}

int64_t lag_p95_ms(const struct lag *lag)
{
    if (lag->count < LAG_SAMPLES_MIN)
        return LAG_UNKNOWN_MS;
    return lag->sorted_ms[(lag->count * 95 + 99) / 100 - 1];
}
