/* Moving an owner to another partition: pack, copy, flip, unpack, wipe
 * (docs/queue.md, Moving an owner). What is done stands in Redis, so whoever is
 * ended anywhere may be run again: meta says from where to where, o:<owner>
 * where he lives. The scripts take steps of a few milliseconds; here is only
 * their order. */
#include "queue/owners.h"

#include "queue/core.h"
#include "server/base/clock.h"
#include "server/base/random.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    STEP_BUDGET_MS = 5000,
    DRAIN_LOOK_MS = 100,
    /* Nobody else moves him meanwhile. */
    LOCK_MS = 10000,
    LOCK_RENEW_MS = 1000,
    LOCK_LOOK_MS = 250,
    CURSOR_MAX = 128,
};

struct move {
    struct queue_call call;
    struct owner_move wanted;
    struct owner_moved result;
    unsigned home;   /* as o:<owner> says */
    bool is_pending; /* begun before: meta says from where to where */
    bool is_locked;
    uint64_t token; /* of the lock */
    int64_t locked_ms;
    int64_t begun_ms; /* of the wait for the lock, then for the drain */
    char cursor[CURSOR_MAX];
    size_t key_at;                   /* of the list of API keys */
    void (*step)(struct move *move); /* behind the timer, or for once more */
    struct timer timer;
    owner_moved_fn done;
    void *ctx;
};

static void move_finish(struct queue_call *call)
{
    struct move *move = CONTAINER_OF(call, struct move, call);

    timer_clear(call->queue->loop, &move->timer);
}

/* --- what all steps share --- */

static struct str lock_key(const struct move *move, char *out)
{
    return queue_global_key(move->call.queue, out, KEY_MOVE "%.*s",
                            STR_ARG(move->wanted.owner));
}

static void on_told(void *ctx)
{
    struct move *move = ctx;

    move->done(move->ctx, &move->result);
    queue_call_end(&move->call);
}

static void on_unlocked(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    (void)reply;
    (void)why; /* then time unlocks it */
    on_told(ctx);
}

static void move_tell(struct move *move)
{
    struct redis_command command;
    char key[KEY_MAX];

    timer_clear(move->call.queue->loop, &move->timer);
    if (!move->is_locked) {
        queue_call_later(&move->call, on_told);
        return;
    }
    command_init(&command, "UNLINK");
    command_add(&command, lock_key(move, key));
    redis_send(move->call.queue->main, &command, REDIS_BUDGET_MS, on_unlocked,
               move);
}

static void move_refuse(struct move *move, enum queue_status status)
{
    move->result.status = status;
    move_tell(move);
}

/* False: told. */
static bool move_goes_on(struct move *move, const struct reply *reply,
                         const struct error *why)
{
    move->result.status = reply_status(reply, why, &move->result.why);
    if (move->result.status == QUEUE_OK)
        return true;
    move_tell(move);
    return false;
}

static void on_timer(void *ctx)
{
    struct move *move = ctx;

    move->step(move);
}

static void step_later(struct move *move, int64_t delay_ms,
                       void (*step)(struct move *move))
{
    move->step = step;
    timer_set(move->call.queue->loop, &move->timer, delay_ms);
}

static void add_lock(struct move *move, struct redis_command *command,
                     const char *condition)
{
    char key[KEY_MAX];

    command_init(command, "SET");
    command_add(command, lock_key(move, key));
    command_addf(command, "%016" PRIx64, move->token);
    command_add_cstr(command, condition);
    command_add_cstr(command, "PX");
    command_add_int(command, LOCK_MS);
}

/* False, and told: it slept for so long that another may be at work. */
static bool keep_lock(struct move *move)
{
    struct redis_command command;
    int64_t age_ms;

    age_ms = clock_now_ms() - move->locked_ms;
    if (age_ms > LOCK_MS - STEP_BUDGET_MS) {
        error_set(&move->result.why, ERR_TIMEOUT,
                  "this process was held up for %" PRId64 " ms", age_ms);
        move_refuse(move, QUEUE_NOT_READY);
        return false;
    }
    if (age_ms < LOCK_RENEW_MS)
        return true;
    move->locked_ms = clock_now_ms();
    add_lock(move, &command, "XX");
    redis_send(move->call.queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
    return true;
}

static void say(struct move *move, const char *step)
{
    move->cursor[0] = '\0';
    if (move->wanted.progress != NULL)
        move->wanted.progress(move->ctx, step);
}

static void script_init(struct move *move, struct redis_command *command,
                        enum script script, unsigned partition)
{
    command_init_partition(command, move->call.queue, script, partition);
    command_add(command, move->wanted.owner);
}

static void script_send(struct move *move, struct redis_command *command,
                        redis_fn fn)
{
    if (keep_lock(move))
        redis_send(move->call.queue->main, command, STEP_BUDGET_MS, fn, move);
    else
        command_finish(command);
}

static void take_cursor(struct move *move, const struct reply *reply)
{
    struct str cursor = reply_str(reply_at(reply, 0));

    CHECK(cursor.len < sizeof move->cursor);
    snprintf(move->cursor, sizeof move->cursor, "%.*s", STR_ARG(cursor));
}

static bool is_at_end(const struct move *move)
{
    return move->cursor[0] == '\0';
}

/* --- the end: he is counted where he lives --- */

static void on_ended(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.end_done");
    if (!move_goes_on(move, reply, why))
        return;
    if (move->result.stayed && move->result.why.text[0] != '\0')
        move->result.status = QUEUE_REFUSED;
    move_tell(move);
}

static void end(struct move *move)
{
    struct redis_command command;
    unsigned left = move->result.stayed ? move->home : move->result.from;
    char key[KEY_MAX];

    command_init_script(&command, SCRIPT_MOVE_END,
                        queue_global_key(move->call.queue, key, KEY_META));
    command_add(&command, move->wanted.owner);
    command_add_int(&command, left);
    command_add_int(&command, move->home);
    COMMAND_SENT_POINT(&command, "move.end_sent");
    script_send(move, &command, on_ended);
}

/* --- wiping where he does not live --- */

static void wipe(struct move *move);
static void unpack(struct move *move);

static void on_wiped(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.wipe_done");
    if (!move_goes_on(move, reply, why))
        return;
    take_cursor(move, reply);
    if (!is_at_end(move)) {
        wipe(move);
    } else if (move->result.stayed) {
        say(move, "unpacking");
        unpack(move);
    } else {
        end(move);
    }
}

static void wipe(struct move *move)
{
    struct redis_command command;
    unsigned other =
        move->home == move->result.to ? move->result.from : move->result.to;

    script_init(move, &command, SCRIPT_MOVE_WIPE, other);
    command_add_cstr(&command, move->cursor);
    COMMAND_SENT_POINT(&command, "move.wipe_sent");
    script_send(move, &command, on_wiped);
}

/* --- serving him again --- */

static void on_thawed(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.thaw_done");
    if (!move_goes_on(move, reply, why))
        return;
    if (move->result.stayed) {
        end(move);
        return;
    }
    say(move, "deleting what he left");
    wipe(move);
}

static void thaw(struct move *move)
{
    struct redis_command command;

    script_init(move, &command, SCRIPT_MOVE_THAW, move->home);
    COMMAND_SENT_POINT(&command, "move.thaw_sent");
    script_send(move, &command, on_thawed);
}

/* --- his API keys --- */

static void list_keys(struct move *move);

static void on_key(void *ctx, const struct reply *reply,
                   const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.key_done");
    if (!move_goes_on(move, reply, why))
        return;
    move->key_at++;
    list_keys(move);
}

/* One after the other: each may be on another node. Members are id and hash. */
static void on_listed(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct move *move = ctx;
    struct str member = reply_str(reply_at(reply, 0));
    struct redis_command command;
    char key[KEY_MAX];

    if (!move_goes_on(move, reply, why))
        return;
    if (member.len <= ID_LEN) {
        thaw(move);
        return;
    }
    command_init_script(&command, SCRIPT_KEY_CHANGE,
                        queue_global_key(move->call.queue, key,
                                         KEY_API_KEY "%.*s",
                                         STR_ARG(str_from(member, ID_LEN))));
    command_add_cstr(&command, "partition");
    command_add_int(&command, move->home);
    COMMAND_SENT_POINT(&command, "move.key_sent");
    script_send(move, &command, on_key);
}

static void list_keys(struct move *move)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "ZRANGE");
    command_add(&command,
                queue_key(move->call.queue, move->home, key, KEY_KEYS "%.*s",
                          STR_ARG(move->wanted.owner)));
    command_add_int(&command, (int64_t)move->key_at);
    command_add_int(&command, (int64_t)move->key_at);
    script_send(move, &command, on_listed);
}

/* --- unpacking where he lives --- */

static void on_unpacked(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.unpack_done");
    if (!move_goes_on(move, reply, why))
        return;
    if (reply_int(reply_at(reply, 0)) == 1)
        unpack(move);
    else if (move->result.stayed)
        thaw(move);
    else
        list_keys(move);
}

static void unpack(struct move *move)
{
    struct redis_command command;

    script_init(move, &command, SCRIPT_MOVE_UNPACK, move->home);
    COMMAND_SENT_POINT(&command, "move.unpack_sent");
    script_send(move, &command, on_unpacked);
}

/* --- from here on he lives there --- */

static void on_flipped(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.flip_done");
    if (!move_goes_on(move, reply, why))
        return;
    move->home = move->result.to;
    say(move, "unpacking");
    unpack(move);
}

static struct str owner_key(const struct move *move, char *out)
{
    return queue_global_key(move->call.queue, out, KEY_OWNER "%.*s",
                            STR_ARG(move->wanted.owner));
}

static void flip(struct move *move)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "HSET");
    command_add(&command, owner_key(move, key));
    command_add_cstr(&command, "partition");
    command_add_int(&command, move->result.to);
    command.lasts = true;
    COMMAND_SENT_POINT(&command, "move.flip_sent");
    script_send(move, &command, on_flipped);
}

/* --- copying --- */

static void copy(struct move *move);

static void on_written(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.copy_done");
    if (!move_goes_on(move, reply, why))
        return;
    move->result.keys += (uint64_t)reply_int(reply_at(reply, 0));
    if (is_at_end(move))
        flip(move);
    else
        copy(move);
}

static void write_there(struct move *move, const struct reply *reply)
{
    struct redis_command command;

    script_init(move, &command, SCRIPT_MOVE_WRITE, move->result.to);
    for (size_t i = 1; i < reply_count(reply); i++)
        command_add(&command, reply_str(reply_at(reply, i)));
    COMMAND_SENT_POINT(&command, "move.copy_sent");
    script_send(move, &command, on_written);
}

static void on_read(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.read_done");
    if (!move_goes_on(move, reply, why))
        return;
    take_cursor(move, reply);
    write_there(move, reply);
}

static void copy(struct move *move)
{
    struct redis_command command;

    script_init(move, &command, SCRIPT_MOVE_READ, move->result.from);
    command_add_cstr(&command, move->cursor);
    script_send(move, &command, on_read);
}

/* --- packing --- */

static void pack(struct move *move);

/* He stays: what may have been copied goes, what was packed goes back. */
static void stay(struct move *move)
{
    move->result.stayed = true;
    say(move, "undoing");
    wipe(move);
}

static void wait_for_drain(struct move *move)
{
    if (clock_now_ms() - move->begun_ms < move->wanted.drain_ms) {
        step_later(move, DRAIN_LOOK_MS, pack);
        return;
    }
    error_set(&move->result.why, ERR_TIMEOUT,
              "mail of this owner was still under way after %" PRId64
              " s, so he stayed where he is",
              move->wanted.drain_ms / 1000);
    stay(move);
}

static void on_packed(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.pack_done");
    if (!move_goes_on(move, reply, why))
        return;
    take_cursor(move, reply);
    if (reply_int(reply_at(reply, 1)) == 1) {
        wait_for_drain(move);
    } else if (!is_at_end(move)) {
        pack(move);
    } else {
        say(move, "copying");
        copy(move);
    }
}

static void pack(struct move *move)
{
    struct redis_command command;

    script_init(move, &command, SCRIPT_MOVE_PACK, move->result.from);
    command_add_cstr(&command, move->cursor);
    COMMAND_SENT_POINT(&command, "move.pack_sent");
    script_send(move, &command, on_packed);
}

/* --- from where to where --- */

static void go(struct move *move)
{
    move->begun_ms = clock_now_ms();
    if (move->result.stayed) {
        stay(move);
    } else if (move->home == move->result.to) {
        say(move, "unpacking");
        unpack(move);
    } else {
        say(move, "packing");
        pack(move);
    }
}

static void on_begun(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct move *move = ctx;

    FAULT_POINT("move.begin_done");
    if (move_goes_on(move, reply, why))
        go(move);
}

static void write_begin(struct move *move)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "HSET");
    command_add(&command, queue_global_key(move->call.queue, key, KEY_META));
    command_addf(&command, META_MOVE "%.*s", STR_ARG(move->wanted.owner));
    command_addf(&command, "%u %u", move->result.from, move->result.to);
    COMMAND_SENT_POINT(&command, "move.begin_sent");
    script_send(move, &command, on_begun);
}

static void begin(struct move *move)
{
    if (move->wanted.only_looks ||
        (move->result.from == move->result.to && !move->is_pending))
        move_tell(move);
    else if (move->is_pending)
        go(move);
    else
        write_begin(move);
}

static void on_counts(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct move *move = ctx;
    int best = -1;

    if (!move_goes_on(move, reply, why))
        return;
    for (unsigned i = 0; i < reply_count(reply); i++)
        if (i != move->home &&
            (best < 0 || reply_int(reply_at(reply, i)) <
                             reply_int(reply_at(reply, (size_t)best))))
            best = (int)i;
    if (best < 0) {
        error_set(&move->result.why, ERR_INPUT,
                  "there is but one partition: posthaste partition add");
        move_refuse(move, QUEUE_REFUSED);
        return;
    }
    move->result.to = (unsigned)best;
    begin(move);
}

static void choose(struct move *move)
{
    struct queue *queue = move->call.queue;
    struct redis_command command;

    command_init_owners(&command, queue);
    script_send(move, &command, on_counts);
}

static bool read_pending(struct move *move, struct str text)
{
    struct str from;
    uint64_t a;
    uint64_t b;

    if (!str_cut(&text, ' ', &from) || !str_to_u64(from, &a) ||
        !str_to_u64(text, &b) || a >= PARTITIONS_MAX || b >= PARTITIONS_MAX)
        return false;
    move->result.from = (unsigned)a;
    move->result.to = (unsigned)b;
    return true;
}

/* One that was begun goes on; asked for where he lives still, it is undone. */
static void go_on(struct move *move)
{
    int to = move->wanted.to;

    if (to >= 0 && (unsigned)to == move->result.from &&
        move->home == move->result.from) {
        move->result.stayed = true;
    } else if (to >= 0 && (unsigned)to != move->result.to) {
        error_set(&move->result.why, ERR_INPUT,
                  "this owner is on his way from partition %u to %u: let that "
                  "end first, without --to",
                  move->result.from, move->result.to);
        move_refuse(move, QUEUE_REFUSED);
        return;
    }
    move->is_pending = true;
    begin(move);
}

static void on_pending(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct move *move = ctx;
    unsigned count = move->call.queue->partitions.count;

    if (!move_goes_on(move, reply, why))
        return;
    if (read_pending(move, reply_str(reply))) {
        go_on(move);
        return;
    }
    move->result.from = move->home;
    if (move->wanted.to < 0) {
        choose(move);
    } else if ((unsigned)move->wanted.to >= count) {
        error_set(&move->result.why, ERR_INPUT,
                  "there is no partition %d, but 0 to %u", move->wanted.to,
                  count - 1);
        move_refuse(move, QUEUE_REFUSED);
    } else {
        move->result.to = (unsigned)move->wanted.to;
        begin(move);
    }
}

static void on_home(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct move *move = ctx;
    struct redis_command command;
    char key[KEY_MAX];

    if (!move_goes_on(move, reply, why))
        return;
    if (reply_type(reply) != REPLY_TEXT) {
        move_refuse(move, QUEUE_NOT_FOUND);
        return;
    }
    move->home = (unsigned)reply_int(reply) % PARTITIONS_MAX;
    command_init(&command, "HGET");
    command_add(&command, queue_global_key(move->call.queue, key, KEY_META));
    command_addf(&command, META_MOVE "%.*s", STR_ARG(move->wanted.owner));
    script_send(move, &command, on_pending);
}

static void find_home(struct move *move)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "HGET");
    command_add(&command, owner_key(move, key));
    command_add_cstr(&command, "partition");
    script_send(move, &command, on_home);
}

/* --- nobody else moves him --- */

static void lock(struct move *move);

/* One that was killed leaves its lock to time. */
static void on_locked(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct move *move = ctx;

    if (!move_goes_on(move, reply, why))
        return;
    if (reply_type(reply) == REPLY_TEXT) {
        move->is_locked = true;
        find_home(move);
        return;
    }
    if (clock_now_ms() - move->begun_ms < LOCK_MS + LOCK_RENEW_MS) {
        step_later(move, LOCK_LOOK_MS, lock);
        return;
    }
    error_set(&move->result.why, ERR_BUSY,
              "another process is moving this owner");
    move_refuse(move, QUEUE_REFUSED);
}

static void lock(struct move *move)
{
    struct redis_command command;

    move->locked_ms = clock_now_ms();
    add_lock(move, &command, "NX");
    redis_send(move->call.queue->main, &command, REDIS_BUDGET_MS, on_locked,
               move);
}

void queue_owner_move(struct queue *queue, const struct owner_move *wanted,
                      owner_moved_fn done, void *ctx)
{
    struct move *move = queue_call_new(queue, sizeof *move);

    move->call.finish = move_finish;
    move->wanted = *wanted;
    move->wanted.owner = arena_copy(move->call.arena, wanted->owner);
    move->done = done;
    move->ctx = ctx;
    random_bytes(&move->token, sizeof move->token);
    timer_init(&move->timer, on_timer, move);
    move->begun_ms = clock_now_ms();
    if (wanted->owner.len > OWNER_NAME_MAX)
        move_refuse(move, QUEUE_NOT_FOUND);
    else
        lock(move);
}
