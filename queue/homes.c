/* Where owners live: o:<owner> says it, and meta counts how many live in each
 * partition ("owners:<N>"), so that a new one goes where the fewest are. The
 * owner is written before it is counted: what a crash leaves is a count that
 * is one too low. */
#include "queue/core.h"

struct homing {
    struct queue_call call;
    struct queue_home home;
    bool makes; /* one that is not there */
    queue_home_fn done;
    void *ctx;
};

static void homing_tell(struct homing *homing)
{
    homing->done(homing->ctx, &homing->home);
    queue_call_end(&homing->call);
}

/* False: told. */
static bool homing_goes_on(struct homing *homing, const struct reply *reply,
                           const struct error *why)
{
    homing->home.status = reply_status(reply, why, &homing->home.why);
    if (homing->home.status == QUEUE_OK)
        return true;
    homing_tell(homing);
    return false;
}

static struct str owner_key(const struct homing *homing, char *out)
{
    return queue_global_key(homing->call.queue, out, KEY_OWNER "%.*s",
                            STR_ARG(homing->home.owner.name));
}

/* --- making one --- */

static void count_owner(struct homing *homing)
{
    struct queue *queue = homing->call.queue;
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "HINCRBY");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    command_addf(&command, META_OWNERS "%u", homing->home.owner.home);
    command_add_int(&command, 1);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}

static void ask_for_home(struct homing *homing);

static void on_settled(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct homing *homing = ctx;

    if (!homing_goes_on(homing, reply, why))
        return;
    if (reply_int(reply) == 1)
        count_owner(homing);
    homing->makes = false;
    ask_for_home(homing); /* another process may have been quicker */
}

static void settle(struct homing *homing, unsigned partition)
{
    struct redis_command command;
    char key[KEY_MAX];

    homing->home.owner.home = partition;
    command_init(&command, "HSETNX");
    command_add(&command, owner_key(homing, key));
    command_add_cstr(&command, "partition");
    command_add_int(&command, partition);
    redis_send(homing->call.queue->main, &command, REDIS_BUDGET_MS, on_settled,
               homing);
}

/* Of those that are there: a home whose server is away takes no mail. */
static unsigned emptiest(const struct queue *queue, const struct reply *counts)
{
    unsigned best = 0;

    for (unsigned i = 1; i < reply_count(counts); i++) {
        bool is_emptier =
            reply_int(reply_at(counts, i)) < reply_int(reply_at(counts, best));

        if (partition_is_up(queue, i) &&
            (is_emptier || !partition_is_up(queue, best)))
            best = i;
    }
    return best;
}

static void on_counts(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct homing *homing = ctx;

    if (homing_goes_on(homing, reply, why))
        settle(homing, emptiest(homing->call.queue, reply));
}

void command_init_owners(struct redis_command *command,
                         const struct queue *queue)
{
    char key[KEY_MAX];

    command_init(command, "HMGET");
    command_add(command, queue_global_key(queue, key, KEY_META));
    for (unsigned i = 0; i < queue->partitions.count; i++)
        command_addf(command, META_OWNERS "%u", i);
}

static void choose(struct homing *homing)
{
    struct queue *queue = homing->call.queue;
    struct redis_command command;

    command_init_owners(&command, queue);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_counts, homing);
}

/* --- finding one --- */

static void on_home(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct homing *homing = ctx;

    if (!homing_goes_on(homing, reply, why))
        return;
    if (reply_type(reply) != REPLY_TEXT && homing->makes) {
        choose(homing);
        return;
    }
    if (reply_type(reply) != REPLY_TEXT)
        homing->home.status = QUEUE_NOT_FOUND;
    homing->home.owner.home = (unsigned)reply_int(reply) % PARTITIONS_MAX;
    homing_tell(homing);
}

static void ask_for_home(struct homing *homing)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init(&command, "HGET");
    command_add(&command, owner_key(homing, key));
    command_add_cstr(&command, "partition");
    redis_send(homing->call.queue->main, &command, REDIS_BUDGET_MS, on_home,
               homing);
}

static void tell_none(void *ctx)
{
    struct homing *homing = ctx;

    homing->home.status = QUEUE_NOT_FOUND;
    homing_tell(homing);
}

static void begin(struct queue *queue, struct str owner, bool makes,
                  queue_home_fn done, void *ctx)
{
    struct homing *homing = queue_call_new(queue, sizeof *homing);

    homing->home.owner.name = arena_copy(homing->call.arena, owner);
    homing->makes = makes;
    homing->done = done;
    homing->ctx = ctx;
    if (owner.len > OWNER_NAME_MAX)
        queue_call_later(&homing->call, tell_none);
    else
        ask_for_home(homing);
}

void queue_home_find(struct queue *queue, struct str owner, queue_home_fn done,
                     void *ctx)
{
    begin(queue, owner, false, done, ctx);
}

void queue_home_make(struct queue *queue, struct str owner, queue_home_fn done,
                     void *ctx)
{
    begin(queue, owner, true, done, ctx);
}
