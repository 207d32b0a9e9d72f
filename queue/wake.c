#include "queue/wake.h"

#include "server/base/arena.h"
#include "server/base/mem.h"

#include <stdlib.h>

/* Not for ever, so that a half-open connection is found. */
enum { BLOCK_S = 5, BLOCK_BUDGET_MS = BLOCK_S * 1000 + 2000 };

/* Between tries to end a wait early. */
enum { AGAIN_MIN_MS = 2, AGAIN_MAX_MS = 256 };

struct slot {
    bool wanted;
    bool covered; /* by the BLPOP under way */
    bool taken;
};

/* A partition that waits here. */
struct place {
    unsigned partition;
    void *ctx;
};

struct wake {
    struct queue *queue;
    struct redis_link *link;
    struct arena *arena;
    struct str *names;
    size_t name_count;
    struct place *places;
    size_t place_count;
    struct slot *slots; /* place by place, one per name */
    bool is_waiting;
    bool is_unblocking;
    struct timer again; /* is_waiting: the next try */
    int64_t again_ms;
    int64_t client_id; /* of the link's connection; 0: not known yet */
    void (*on_token)(void *ctx);
};

static size_t slot_count(const struct wake *wake)
{
    return wake->place_count * wake->name_count;
}

static struct slot *slot_of(const struct wake *wake, size_t place, size_t name)
{
    CHECK(place < wake->place_count && name < wake->name_count);
    return &wake->slots[place * wake->name_count + name];
}

static struct str slot_key(const struct wake *wake, size_t slot, char *out)
{
    size_t place = slot / wake->name_count;

    return queue_key(wake->queue, wake->places[place].partition, out, "%.*s",
                     STR_ARG(wake->names[slot % wake->name_count]));
}

static void tell_place(const struct wake *wake, size_t place)
{
    wake->on_token(wake->places[place].ctx);
}

static void tell_all(const struct wake *wake)
{
    for (size_t i = 0; i < wake->place_count; i++)
        tell_place(wake, i);
}

static void take(struct wake *wake, struct str key)
{
    char name[KEY_MAX];

    for (size_t i = 0; i < slot_count(wake); i++) {
        if (!str_eq(key, slot_key(wake, i, name)))
            continue;
        wake->slots[i].taken = true;
        tell_place(wake, i / wake->name_count);
        return;
    }
}

/* After an error the next heartbeat waits anew: who were told would ask, find
 * nothing, and wait at once, in vain again. */
static void on_popped(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct wake *wake = ctx;

    (void)why;
    wake->is_waiting = false;
    if (reply_type(reply) == REPLY_LIST)
        take(wake, reply_str(reply_at(reply, 0)));
    else if (reply_type(reply) == REPLY_NIL)
        wake_arm(wake);
    if (!wake->is_waiting && reply_type(reply) != REPLY_LIST &&
        reply_type(reply) != REPLY_ERROR)
        tell_all(wake);
}

/* In a cluster all places are of one partition. */
static struct str first_prefix(const struct wake *wake, char *out)
{
    CHECK(wake->place_count > 0);
    return queue_partition_prefix(wake->queue, wake->places[0].partition, out);
}

static void on_client_id(void *ctx, const struct reply *reply,
                         const struct error *why)
{
    struct wake *wake = ctx;

    (void)why;
    wake->client_id = reply_int(reply);
}

static void ask_client_id(struct wake *wake)
{
    struct redis_command command;
    char prefix[KEY_MAX];

    wake->client_id = 0;
    command_init(&command, "CLIENT");
    command_add_cstr(&command, "ID");
    if (wake->place_count > 0)
        command_route(&command, first_prefix(wake, prefix));
    redis_send(wake->link, &command, REDIS_BUDGET_MS, on_client_id, wake);
}

static void wait_for_tokens(struct wake *wake)
{
    struct redis_command command;
    char name[KEY_MAX];
    size_t keys = 0;

    command_init(&command, "BLPOP");
    for (size_t n = 0; n < wake->name_count; n++) {
        for (size_t i = n; i < slot_count(wake); i += wake->name_count) {
            struct slot *slot = &wake->slots[i];

            slot->covered = slot->wanted;
            keys += slot->wanted;
            if (slot->wanted)
                command_add(&command, slot_key(wake, i, name));
        }
    }
    if (keys == 0) {
        command_finish(&command);
        return;
    }
    command_add_int(&command, BLOCK_S);
    if (redis_link_is_cluster(wake->link))
        ask_client_id(wake); /* the slot may have moved to another node */
    wake->is_waiting = true;
    timer_clear(wake->queue->loop, &wake->again);
    wake->again_ms = AGAIN_MIN_MS;
    redis_send(wake->link, &command, BLOCK_BUDGET_MS, on_popped, wake);
}

static bool wake_wants_any(const struct wake *wake)
{
    for (size_t i = 0; i < slot_count(wake); i++)
        if (wake->slots[i].wanted)
            return true;
    return false;
}

static void on_again(void *ctx)
{
    struct wake *wake = ctx;

    if (wake_wants_any(wake))
        wake_arm(wake);
    else
        wake_rest(wake);
}

static void on_unblocked(void *ctx, const struct reply *reply,
                         const struct error *why)
{
    struct wake *wake = ctx;

    (void)why;
    wake->is_unblocking = false;
    if (reply_type(reply) != REPLY_INT || reply_int(reply) != 0)
        return;
    /* It came before the BLPOP did, or that was over already; or the BLPOP is
     * held up on its way, or with another node than the one that was asked. */
    timer_set(wake->queue->loop, &wake->again, wake->again_ms);
    if (wake->again_ms < AGAIN_MAX_MS)
        wake->again_ms *= 2;
}

static void unblock(struct wake *wake)
{
    struct redis_command command;
    char prefix[KEY_MAX];

    if (wake->is_unblocking || timer_is_set(&wake->again) ||
        wake->client_id == 0)
        return;
    wake->is_unblocking = true;
    command_init(&command, "CLIENT");
    command_add_cstr(&command, "UNBLOCK");
    command_add_int(&command, wake->client_id);
    command_route(&command, first_prefix(wake, prefix));
    redis_send(wake->queue->main, &command, REDIS_BUDGET_MS, on_unblocked,
               wake);
}

void wake_arm(struct wake *wake)
{
    char prefix[KEY_MAX];

    if (wake->place_count == 0 ||
        !redis_link_serves(wake->link, first_prefix(wake, prefix)))
        return;
    if (!wake->is_waiting) {
        wait_for_tokens(wake);
        return;
    }
    for (size_t i = 0; i < slot_count(wake); i++) {
        if (wake->slots[i].wanted && !wake->slots[i].covered) {
            unblock(wake);
            return;
        }
    }
}

void wake_rest(struct wake *wake)
{
    if (wake->is_waiting)
        unblock(wake);
}

bool wake_is_waiting(const struct wake *wake)
{
    return wake->is_waiting;
}

static void on_link_up(void *ctx)
{
    struct wake *wake = ctx;

    if (!redis_link_is_cluster(wake->link))
        ask_client_id(wake);
    wake_arm(wake);
}

static void on_nodes(void *ctx)
{
    struct wake *wake = ctx;

    if (!wake->is_waiting)
        wake_arm(wake);
}

struct wake *wake_open(struct queue *queue, const struct str *names,
                       size_t name_count, void (*on_token)(void *ctx))
{
    struct wake *wake = xcalloc(1, sizeof *wake);

    wake->queue = queue;
    wake->arena = arena_create();
    wake->names = ARENA_ARRAY(wake->arena, struct str, name_count + 1);
    wake->name_count = name_count;
    for (size_t i = 0; i < name_count; i++)
        wake->names[i] = arena_copy(wake->arena, names[i]);
    wake->on_token = on_token;
    timer_init(&wake->again, on_again, wake);
    wake->link = queue_link_open(queue, "wake", on_link_up, on_nodes, wake);
    return wake;
}

void wake_close(struct wake **wake)
{
    if (*wake == NULL)
        return;
    redis_link_close(&(*wake)->link);
    timer_clear((*wake)->queue->loop, &(*wake)->again);
    free((*wake)->places);
    free((*wake)->slots);
    arena_destroy(&(*wake)->arena);
    loop_free_later((*wake)->queue->loop, free, *wake);
    *wake = NULL;
}

size_t wake_join(struct wake *wake, unsigned partition, void *ctx)
{
    size_t before = slot_count(wake);
    size_t place = wake->place_count++;

    wake->places =
        xrealloc(wake->places, wake->place_count * sizeof *wake->places);
    wake->places[place] = (struct place){.partition = partition, .ctx = ctx};
    wake->slots =
        xrealloc(wake->slots, (slot_count(wake) + 1) * sizeof *wake->slots);
    for (size_t i = before; i < slot_count(wake); i++)
        wake->slots[i] = (struct slot){0};
    return place;
}

void wake_want(struct wake *wake, size_t place, size_t name, bool wanted)
{
    slot_of(wake, place, name)->wanted = wanted;
}

bool wake_has_token(const struct wake *wake, size_t place, size_t name)
{
    return slot_of(wake, place, name)->taken;
}

void wake_drop_token(struct wake *wake, size_t place, size_t name)
{
    slot_of(wake, place, name)->taken = false;
}
