#include "server/worker/refusals.h"

#include "server/base/codec.h"
#include "server/base/mem.h"

#include <stdint.h>
#include <stdlib.h>

enum { WAYS = 4, SETS = REFUSALS_PAIRS / WAYS, WORD_BITS = 64, WORDS = 2 };

/* 64 bits of a hash stand for the names: two pairs that share them would
 * share a window, once in some 10^13 times. */
struct pair {
    uint64_t name;
    uint64_t used;           /* the clock's count when it was asked for */
    uint64_t refused[WORDS]; /* a ring of bits */
    unsigned at;             /* its next place */
    unsigned count;          /* bits that are set */
};

struct refusals {
    uint64_t clock;
    struct pair pairs[SETS][WAYS];
};

struct refusals *refusals_create(void)
{
    return xcalloc(1, sizeof(struct refusals));
}

void refusals_destroy(struct refusals **refusals)
{
    free(*refusals);
    *refusals = NULL;
}

/* FNV-1a; a 0 in between parts the names. */
static uint64_t name_of(struct str upstream, struct str domain)
{
    const uint64_t prime = 1099511628211u;
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < upstream.len; i++)
        hash = (hash ^ (unsigned char)upstream.ptr[i]) * prime;
    hash *= prime;
    for (size_t i = 0; i < domain.len; i++)
        hash = (hash ^ (unsigned char)ascii_lower(domain.ptr[i])) * prime;
    return hash;
}

/* The least used one of its set makes room. */
static struct pair *pair_of(struct refusals *refusals, uint64_t name)
{
    struct pair *set = refusals->pairs[(name ^ name >> 32) % SETS];
    struct pair *oldest = &set[0];

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].used > 0 && set[i].name == name)
            return &set[i];
        if (set[i].used < oldest->used)
            oldest = &set[i];
    }
    *oldest = (struct pair){.name = name};
    return oldest;
}

static void pair_note(struct pair *pair, bool refused)
{
    uint64_t *word = &pair->refused[pair->at / WORD_BITS];
    uint64_t bit = UINT64_C(1) << pair->at % WORD_BITS;

    pair->count -= (*word & bit) != 0;
    pair->count += refused;
    *word = refused ? *word | bit : *word & ~bit;
    pair->at = (pair->at + 1) % REFUSALS_WINDOW;
}

enum refusals_word refusals_note(struct refusals *refusals, struct str upstream,
                                 struct str domain, bool refused)
{
    struct pair *pair = pair_of(refusals, name_of(upstream, domain));
    bool were_many = pair->count >= REFUSALS_MAX;

    pair->used = ++refusals->clock;
    pair_note(pair, refused);
    if (pair->count < REFUSALS_MAX)
        return REFUSALS_FEW;
    return were_many ? REFUSALS_MANY : REFUSALS_MANY_NOW;
}
