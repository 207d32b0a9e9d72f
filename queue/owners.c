#include "queue/owners.h"

#include "queue/core.h"

#include <string.h>

/* --- listing --- */

struct listing {
    struct queue_call call;
    struct partition_info *infos;
    struct counting {
        struct listing *listing;
        struct partition_info *info;
    } * countings; /* one for each partition */
    size_t count;
    size_t under_way;
    queue_partitions_fn done;
    void *ctx;
};

static void listing_tell(struct listing *listing, enum queue_status status,
                         const struct error *why)
{
    struct queue_partitions partitions = {
        .status = status,
        .partitions = listing->infos,
        .count = listing->count,
    };

    if (status != QUEUE_OK)
        partitions.why = *why;
    listing->done(listing->ctx, &partitions);
    queue_call_end(&listing->call);
}

enum { ACCEPTED, FINAL };

/* A partition that cannot be asked is told of without its numbers. */
static void on_counters(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    const struct counting *counting = ctx;
    struct listing *listing = counting->listing;
    int64_t open = reply_int(reply_at(reply, ACCEPTED)) -
                   reply_int(reply_at(reply, FINAL));

    (void)why;
    counting->info->is_up = reply_type(reply) == REPLY_LIST;
    counting->info->open = open > 0 ? (uint64_t)open : 0;
    if (--listing->under_way == 0)
        listing_tell(listing, QUEUE_OK, NULL);
}

static void find_node(const struct queue *queue, struct str key,
                      struct partition_info *info)
{
    const struct redis_node *node = redis_link_place(queue->main, key);

    if (node == NULL)
        return;
    memcpy(info->host, node->host, sizeof info->host);
    info->port = node->port;
}

static void ask_counters(struct listing *listing, size_t i)
{
    struct queue *queue = listing->call.queue;
    struct redis_command command;
    char name[KEY_MAX];
    struct str key = queue_key(queue, (unsigned)i, name, "n");

    find_node(queue, key, &listing->infos[i]);
    listing->countings[i] = (struct counting){listing, &listing->infos[i]};
    command_init(&command, "HMGET");
    command_add(&command, key);
    command_add_cstr(&command, "accepted");
    command_add_cstr(&command, "final");
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_counters,
               &listing->countings[i]);
}

static void on_owners(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct listing *listing = ctx;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status != QUEUE_OK) {
        listing_tell(listing, status, &err);
        return;
    }
    listing->under_way = listing->count;
    for (size_t i = 0; i < listing->count; i++) {
        listing->infos[i].number = (unsigned)i;
        listing->infos[i].owners = (uint64_t)reply_int(reply_at(reply, i));
        ask_counters(listing, i);
    }
}

void queue_partition_list(struct queue *queue, queue_partitions_fn done,
                          void *ctx)
{
    struct listing *listing = queue_call_new(queue, sizeof *listing);
    struct redis_command command;

    listing->count = queue->partitions.count;
    listing->infos =
        ARENA_ARRAY(listing->call.arena, struct partition_info, listing->count);
    listing->countings =
        ARENA_ARRAY(listing->call.arena, struct counting, listing->count);
    listing->done = done;
    listing->ctx = ctx;
    command_init_owners(&command, queue);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_owners, listing);
}

/* --- changes --- */

struct changing {
    struct queue_call call;
    const char *field; /* of o:<owner> */
    int64_t value;     /* below 0: it goes */
    queue_answer_fn done;
    void *ctx;
};

static struct changing *changing_new(struct queue *queue, queue_answer_fn done,
                                     void *ctx)
{
    struct changing *changing = queue_call_new(queue, sizeof *changing);

    changing->done = done;
    changing->ctx = ctx;
    return changing;
}

static void changing_tell(struct changing *changing,
                          const struct queue_answer *answer)
{
    changing->done(changing->ctx, answer);
    queue_call_end(&changing->call);
}

static void on_changed(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct queue_answer answer = {0};

    answer.status = reply_status(reply, why, &answer.why);
    if (answer.status == QUEUE_FROZEN || answer.status == QUEUE_MOVED)
        error_set(&answer.why, ERR_BUSY, "this owner is being moved");
    changing_tell(ctx, &answer);
}

static void too_many(void *ctx)
{
    struct queue_answer answer = {.status = QUEUE_REFUSED};

    error_set(&answer.why, ERR_INPUT,
              "there are %d partitions, and ids can tell no more apart",
              PARTITIONS_MAX);
    changing_tell(ctx, &answer);
}

void queue_partition_add(struct queue *queue, queue_answer_fn done, void *ctx)
{
    struct changing *changing = changing_new(queue, done, ctx);
    struct redis_command command;
    char key[KEY_MAX];

    if (queue->partitions.count >= PARTITIONS_MAX) {
        queue_call_later(&changing->call, too_many);
        return;
    }
    command_init(&command, "HINCRBY");
    command_add(&command, queue_global_key(queue, key, KEY_META));
    command_add_cstr(&command, "partitions");
    command_add_int(&command, 1);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_changed, changing);
}

static void on_home(void *ctx, const struct queue_home *home)
{
    struct changing *changing = ctx;
    struct queue *queue = changing->call.queue;
    struct queue_answer answer = {.status = home->status, .why = home->why};
    struct redis_command command;

    if (home->status != QUEUE_OK) {
        changing_tell(changing, &answer);
        return;
    }
    command_init_partition(&command, queue, SCRIPT_OWNER_CHANGE,
                           home->owner.home);
    command_add(&command, home->owner.name);
    command_add_cstr(&command, changing->field);
    command_add_int(&command, changing->value);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_changed, changing);
}

static void change(struct queue *queue, struct str owner, const char *field,
                   int64_t value, queue_answer_fn done, void *ctx)
{
    struct changing *changing = changing_new(queue, done, ctx);

    changing->field = field;
    changing->value = value;
    queue_home_find(queue, owner, on_home, changing);
}

void queue_owner_freeze(struct queue *queue, struct str owner, bool frozen,
                        queue_answer_fn done, void *ctx)
{
    change(queue, owner, "frozen", frozen ? 1 : -1, done, ctx);
}

void queue_owner_limit(struct queue *queue, struct str owner, int64_t limit,
                       queue_answer_fn done, void *ctx)
{
    CHECK(limit >= OWNER_LIMIT_DEFAULT && limit <= OWNER_LIMIT_MAX);
    change(queue, owner, "max", limit, done, ctx);
}
