#include "server/base/hand.h"

#include "server/base/check.h"

#include <stdbool.h>
#include <string.h>

static char *hand;
static char held[HAND_SIZE]; /* by a helper thread */

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
        memcpy(hand, held, sizeof held);
}

void hand_hold(struct str what)
{
    CHECK(what.len < sizeof held);
    memcpy(held, what.ptr, what.len);
    held[what.len] = '\0';
    if (hand != NULL && hand[0] == '\0')
        hand_drop();
}

void hand_release(void)
{
    bool is_shown = hand != NULL && strcmp(hand, held) == 0;

    held[0] = '\0';
    if (is_shown)
        hand_drop();
}
