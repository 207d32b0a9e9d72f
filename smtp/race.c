#include "smtp/race.h"

enum { LAME_MS = 10 * 60 * 1000 };

static unsigned family_of(const struct address *address)
{
    return address->at.any.sa_family == AF_INET6 ? 1 : 0;
}

/* The next address of that family from *at on, counted from first. NULL: there
 * is none left. */
static const struct address *next_of(const struct address *addresses,
                                     size_t count, size_t first,
                                     unsigned family, size_t *at)
{
    while (*at < count) {
        const struct address *address = &addresses[(first + (*at)++) % count];

        if (family_of(address) == family)
            return address;
    }
    return NULL;
}

size_t race_order(const struct race *race, const struct address *addresses,
                  size_t count, size_t first, int64_t now_ms,
                  struct address *tries, size_t max)
{
    unsigned family = family_of(&addresses[first]);
    bool is_lame = now_ms < race->lame_until_ms[family];
    bool is_other_lame = now_ms < race->lame_until_ms[1 - family];
    size_t at[2] = {0, 0};
    size_t taken = 0;

    if (is_lame && !is_other_lame)
        family = 1 - family;
    while (taken < max && taken < count) {
        const struct address *address =
            next_of(addresses, count, first, family, &at[family]);

        if (address != NULL)
            tries[taken++] = *address;
        if (address == NULL || is_lame == is_other_lame)
            family = 1 - family;
    }
    return taken;
}

void race_note(struct race *race, const struct address *winner,
               const struct address *losers, size_t count, int64_t now_ms)
{
    unsigned family = family_of(winner);

    race->lame_until_ms[family] = 0;
    for (size_t i = 0; i < count; i++)
        if (family_of(&losers[i]) != family)
            race->lame_until_ms[1 - family] = now_ms + LAME_MS;
}
