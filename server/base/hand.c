#include "server/base/hand.h"

#include "server/base/check.h"

#include <string.h>

static char *hand;

void hand_use(char *place)
{
    hand = place;
}

void hand_take(struct str what)
{
    if (hand == NULL)
        return;
    CHECK(what.len < HAND_SIZE);
    memcpy(hand, what.ptr, what.len);
    hand[what.len] = '\0';
}

void hand_drop(void)
{
    if (hand != NULL)
        hand[0] = '\0';
}
