#include "api/when.h"

#include "server/base/clock.h"

static const struct {
    const char *name;
    int64_t ms;
} UNITS[] = {
    {"s", 1000},       {"sec", 1000},     {"second", 1000},  {"m", 60000},
    {"min", 60000},    {"minute", 60000}, {"h", 3600000},    {"hr", 3600000},
    {"hour", 3600000}, {"d", 86400000},   {"day", 86400000},
};

/* A letter has no plural: "ms" is not minutes. */
static bool unit_parse(struct str text, int64_t *ms)
{
    if (text.len > 2 && (text.ptr[text.len - 1] | 0x20) == 's')
        text.len--;
    for (size_t i = 0; i < COUNT_OF(UNITS); i++) {
        if (str_eq_nocase(text, str_of(UNITS[i].name))) {
            *ms = UNITS[i].ms;
            return true;
        }
    }
    return false;
}

/* "in 10 minutes", "in 1h". */
static bool distance_parse(struct str text, int64_t *ms)
{
    size_t digits = 0;
    uint64_t count;
    int64_t unit_ms;

    if (!str_starts_nocase(text, S("in ")))
        return false;
    text = str_trim(str_from(text, 3));
    while (digits < text.len && ascii_is_digit(text.ptr[digits]))
        digits++;
    if (!str_to_u64(str_slice(text, 0, digits), &count) || count > 1000000 ||
        !unit_parse(str_trim(str_from(text, digits)), &unit_ms))
        return false;
    *ms = (int64_t)count * unit_ms;
    return true;
}

bool when_parse(struct str text, int64_t now_ms, int64_t *at_ms)
{
    int64_t distance_ms;

    text = str_trim(text);
    if (distance_parse(text, &distance_ms)) {
        *at_ms = now_ms + distance_ms;
        return true;
    }
    return clock_parse(text, at_ms);
}
