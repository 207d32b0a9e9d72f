/* walk_owner.h - what operators do to owners in a walk: freeze, thaw, limit,
 * and move them from partition to partition, step by step, by movers that are
 * killed between any two steps.
 */
#ifndef TESTS_WALK_OWNER_H
#define TESTS_WALK_OWNER_H

#include "walk_model.h"

/* --- flags --- */

static inline void op_freeze(struct walk *walk)
{
    unsigned owner = roll(walk, WALK_OWNERS);
    bool frozen = one_in(walk, 3);
    struct answered answered = {0};

    queue_owner_freeze(walk->queue, str_of(WALK_OWNER[owner]), frozen,
                       on_answered, &answered);
    walk_until(walk, answered.count > 0);
    note(walk, NO_EMAIL, "%s %s: %d", frozen ? "freeze" : "thaw",
         WALK_OWNER[owner], answered.status);
}

static inline void op_limit(struct walk *walk)
{
    unsigned owner = roll(walk, WALK_OWNERS);
    int64_t limit =
        one_in(walk, 2) ? OWNER_LIMIT_DEFAULT : (int64_t)roll(walk, 40);
    struct answered answered = {0};

    queue_owner_limit(walk->queue, str_of(WALK_OWNER[owner]), limit,
                      on_answered, &answered);
    walk_until(walk, answered.count > 0);
    note(walk, NO_EMAIL, "limit %s to %lld: %d", WALK_OWNER[owner],
         (long long)limit, answered.status);
}

/* --- a move, as move.c goes about it --- */

static inline void mover_go(struct walk_mover *mover, enum walk_move step)
{
    mover->step = step;
    mover->cursor[0] = '\0';
}

static inline bool read_pending(struct walk_mover *mover)
{
    return sscanf(redis_ask("HGET ph:meta move:%s", WALK_OWNER[mover->owner]),
                  "%u %u", &mover->from, &mover->to) == 2;
}

static inline void mover_begin(struct walk *walk)
{
    struct walk_mover *mover = &walk->mover;

    *mover = (struct walk_mover){.owner = roll(walk, WALK_OWNERS)};
    mover->home = walk->owners[mover->owner].home;
    if (!read_pending(mover)) {
        mover->from = mover->home;
        mover->to = 1 - mover->home;
        redis_do("HSET ph:meta move:%s %b", WALK_OWNER[mover->owner],
                 mover->from == 0 ? "0 1" : "1 0", (size_t)3);
        mover_go(mover, MOVE_PACK);
    } else if (mover->home == mover->to) {
        mover_go(mover, MOVE_UNPACK);
    } else {
        mover->stays = one_in(walk, 2);
        mover_go(mover, mover->stays ? MOVE_WIPE : MOVE_PACK);
    }
    note(walk, NO_EMAIL, "move %s from %u to %u%s", WALK_OWNER[mover->owner],
         mover->from, mover->to, mover->stays ? ", undone" : "");
}

static inline redisReply *mover_call(struct walk *walk, enum script script,
                                     unsigned partition)
{
    call_begin(walk, script, partition);
    call_add(WALK_OWNER[walk->mover.owner]);
    call_add(walk->mover.cursor);
    return call_end(walk);
}

static inline void take_cursor(struct walk_mover *mover,
                               const redisReply *reply)
{
    snprintf(mover->cursor, sizeof mover->cursor, "%s", word_of(reply));
}

static inline void mover_pack(struct walk *walk)
{
    struct walk_mover *mover = &walk->mover;
    redisReply *reply = mover_call(walk, SCRIPT_MOVE_PACK, mover->from);
    bool is_busy = reply->element[1]->integer == 1;

    take_cursor(mover, reply);
    freeReplyObject(reply);
    if (is_busy && one_in(walk, 5)) {
        mover->stays = true; /* it took too long */
        mover_go(mover, MOVE_WIPE);
    } else if (!is_busy && mover->cursor[0] == '\0') {
        mover_go(mover, MOVE_COPY);
    }
}

static inline void mover_write(struct walk *walk, const redisReply *read)
{
    call_begin(walk, SCRIPT_MOVE_WRITE, walk->mover.to);
    call_add(WALK_OWNER[walk->mover.owner]);
    for (size_t i = 1; i < read->elements; i++)
        call_add_bytes(read->element[i]->str, read->element[i]->len);
    call_only(walk);
}

static inline void mover_copy(struct walk *walk)
{
    struct walk_mover *mover = &walk->mover;
    redisReply *reply = mover_call(walk, SCRIPT_MOVE_READ, mover->from);

    take_cursor(mover, reply);
    mover_write(walk, reply);
    freeReplyObject(reply);
    if (mover->cursor[0] == '\0')
        mover_go(mover, MOVE_FLIP);
}

static inline void mover_flip(struct walk *walk)
{
    struct walk_mover *mover = &walk->mover;

    redis_do("HSET ph:o:%s partition %u", WALK_OWNER[mover->owner], mover->to);
    mover->home = mover->to;
    mover_go(mover, MOVE_UNPACK);
}

static inline void mover_unpack(struct walk *walk)
{
    struct walk_mover *mover = &walk->mover;
    redisReply *reply = mover_call(walk, SCRIPT_MOVE_UNPACK, mover->home);

    if (reply->element[0]->integer == 0)
        mover_go(mover, MOVE_THAW);
    freeReplyObject(reply);
}

static inline void mover_thaw(struct walk *walk)
{
    struct walk_mover *mover = &walk->mover;

    freeReplyObject(mover_call(walk, SCRIPT_MOVE_THAW, mover->home));
    mover_go(mover, mover->stays ? MOVE_END : MOVE_WIPE);
}

static inline void mover_wipe(struct walk *walk)
{
    struct walk_mover *mover = &walk->mover;
    redisReply *reply =
        mover_call(walk, SCRIPT_MOVE_WIPE,
                   mover->home == mover->to ? mover->from : mover->to);

    take_cursor(mover, reply);
    freeReplyObject(reply);
    if (mover->cursor[0] == '\0')
        mover_go(mover, mover->stays ? MOVE_UNPACK : MOVE_END);
}

static inline void mover_end(struct walk *walk)
{
    struct walk_mover *mover = &walk->mover;

    call_begin_key(walk, SCRIPT_MOVE_END, "ph:meta");
    call_add(WALK_OWNER[mover->owner]);
    call_int(mover->stays ? mover->home : mover->from);
    call_int(mover->home);
    call_only(walk);
    mover_go(mover, MOVE_NONE);
}

/* Others do something between any two kinds of steps. */
static inline void op_move(struct walk *walk)
{
    static void (*const STEPS[])(struct walk * walk) = {
        [MOVE_NONE] = mover_begin,    [MOVE_PACK] = mover_pack,
        [MOVE_COPY] = mover_copy,     [MOVE_FLIP] = mover_flip,
        [MOVE_UNPACK] = mover_unpack, [MOVE_THAW] = mover_thaw,
        [MOVE_WIPE] = mover_wipe,     [MOVE_END] = mover_end,
    };
    static const char *const NAMES[] = {
        [MOVE_NONE] = "begin", [MOVE_PACK] = "pack",     [MOVE_COPY] = "copy",
        [MOVE_FLIP] = "flip",  [MOVE_UNPACK] = "unpack", [MOVE_THAW] = "thaw",
        [MOVE_WIPE] = "wipe",  [MOVE_END] = "end",
    };

    enum walk_move step = walk->mover.step;

    for (unsigned i = 1 + roll(walk, 3); i > 0 && walk->mover.step == step;
         i--) {
        note(walk, NO_EMAIL, "  mover of %s: %s %s",
             WALK_OWNER[walk->mover.owner], NAMES[step], walk->mover.cursor);
        STEPS[step](walk);
    }
}

static inline void op_kill_mover(struct walk *walk)
{
    if (walk->mover.step == MOVE_NONE)
        return;
    note(walk, NO_EMAIL, "the mover of %s is killed",
         WALK_OWNER[walk->mover.owner]);
    walk->mover.step = MOVE_NONE;
}

/* --- by the queue's door, from wherever it stands --- */

struct walk_moved {
    bool done;
    struct owner_moved result;
};

static inline void on_moved(void *ctx, const struct owner_moved *result)
{
    struct walk_moved *moved = ctx;

    moved->result = *result;
    moved->done = true;
}

/* Mail that is under way keeps him where he is. */
static inline void move_by_door(struct walk *walk, unsigned owner)
{
    struct owner_move wanted = {.owner = str_of(WALK_OWNER[owner]), .to = -1};
    struct walk_moved moved = {0};

    walk->mover.step = MOVE_NONE; /* whoever was about it was killed */
    queue_owner_move(walk->queue, &wanted, on_moved, &moved);
    walk_until(walk, moved.done);
    note(walk, NO_EMAIL, "move %s by the door, from %u to %u%s: %d",
         WALK_OWNER[owner], moved.result.from, moved.result.to,
         moved.result.stayed ? ", stayed" : "", moved.result.status);
    if (moved.result.status != QUEUE_OK && !moved.result.stayed)
        walk_fail(walk, NO_EMAIL, "%s is not moved: %s", WALK_OWNER[owner],
                  moved.result.why.text);
}

static inline void op_move_by_door(struct walk *walk)
{
    move_by_door(walk, roll(walk, WALK_OWNERS));
}

#endif
