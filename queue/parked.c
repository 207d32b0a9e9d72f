#include "queue/parked.h"

#include "queue/core.h"
#include "queue/delivery.h"

#include <stdio.h>

struct asking {
    struct queue_call call;
    parked_page_fn page_done;
    parked_moved_fn moved_done;
    unsigned partition; /* of the page */
    size_t under_way;
    struct parked_moved moved;
    void *ctx;
};

static const char *kind_name(enum parked kind)
{
    return kind == PARKED_HELD ? "held" : "dead";
}

/* --- a page --- */

/* parked_list.lua's answer, and an entry of its list. */
enum { TOTAL, LIST, NEXT_END, NEXT_ID };
enum {
    ENTRY_ID,
    ENTRY_END,
    ENTRY_OWNER,
    ENTRY_LANE,
    ENTRY_SINCE,
    ENTRY_HOW,
    ENTRY_UPSTREAM,
    ENTRY_ATTEMPTS,
    ENTRY_CRASHES,
    ENTRY_OUTCOME,
    ENTRY_SUMMARY,
};

static uint64_t number_at(const struct reply *entry, size_t at)
{
    uint64_t number;

    return str_to_u64(reply_str(reply_at(entry, at)), &number) ? number : 0;
}

static void read_class(const struct keyring *keyring, const struct reply *entry,
                       struct parked_delivery *out)
{
    struct str email = str_slice(out->id, 0, ID_LEN);
    enum record_result result;
    struct record *record;
    struct id id;

    if (!id_parse(email, &id))
        return;
    record = record_read(reply_str(reply_at(entry, ENTRY_SUMMARY)), &id,
                         keyring, &result);
    if (record == NULL)
        return;
    out->class_is_known = true;
    out->mail_class = record->summary.mail_class;
    record_destroy(&record);
}

static enum parked_why why_of(enum parked kind, struct str how)
{
    if (kind == PARKED_DEAD)
        return PARKED_POISON;
    return str_eq(how, S("w")) ? PARKED_WORKER_LOST : PARKED_NO_REPLY;
}

static void read_entry(struct asking *asking, enum parked kind,
                       const struct reply *entry, struct parked_delivery *out)
{
    const struct keyring *keyring = asking->call.queue->keyring;

    *out = (struct parked_delivery){
        .id = reply_str(reply_at(entry, ENTRY_ID)),
        .owner = reply_str(reply_at(entry, ENTRY_OWNER)),
        .lane = (unsigned)number_at(entry, ENTRY_LANE),
        .why = why_of(kind, reply_str(reply_at(entry, ENTRY_HOW))),
        .upstream = reply_str(reply_at(entry, ENTRY_UPSTREAM)),
        .since_ms = (int64_t)number_at(entry, ENTRY_SINCE),
        .until_ms = (int64_t)number_at(entry, ENTRY_END),
        .crashes = (unsigned)number_at(entry, ENTRY_CRASHES),
    };
    out->delivery.state = kind == PARKED_HELD ? DELIVERY_HELD : DELIVERY_DEAD;
    out->delivery.attempts =
        (unsigned)reply_int(reply_at(entry, ENTRY_ATTEMPTS));
    delivery_read_reply(reply_str(reply_at(entry, ENTRY_OUTCOME)),
                        asking->call.arena, &out->delivery);
    read_class(keyring, entry, out);
}

static void read_page(struct asking *asking, enum parked kind,
                      const struct reply *reply, struct parked_page *page)
{
    const struct reply *list = reply_at(reply, LIST);
    struct str end = reply_str(reply_at(reply, NEXT_END));
    struct str id = reply_str(reply_at(reply, NEXT_ID));
    struct parked_delivery *deliveries = ARENA_ARRAY(
        asking->call.arena, struct parked_delivery, reply_count(list));

    page->total = (uint64_t)reply_int(reply_at(reply, TOTAL));
    for (size_t i = 0; i < reply_count(list); i++)
        read_entry(asking, kind, reply_at(list, i), &deliveries[i]);
    page->deliveries = deliveries;
    page->count = reply_count(list);
    page->next.partition = asking->partition;
    page->has_more = id.len > 0 && id.len < sizeof page->next.id &&
                     end.len < sizeof page->next.end;
    if (!page->has_more) {
        page->next.partition++;
        page->has_more =
            page->next.partition < asking->call.queue->partitions.count;
        return;
    }
    snprintf(page->next.end, sizeof page->next.end, "%.*s", STR_ARG(end));
    snprintf(page->next.id, sizeof page->next.id, "%.*s", STR_ARG(id));
}

static void on_page(struct asking *asking, enum parked kind,
                    const struct reply *reply, const struct error *why)
{
    struct parked_page page = {0};

    page.status = reply_status(reply, why, &page.why);
    if (page.status == QUEUE_OK)
        read_page(asking, kind, reply, &page);
    asking->page_done(asking->ctx, &page);
    queue_call_end(&asking->call);
}

static void on_held_page(void *ctx, const struct reply *reply,
                         const struct error *why)
{
    on_page(ctx, PARKED_HELD, reply, why);
}

static void on_dead_page(void *ctx, const struct reply *reply,
                         const struct error *why)
{
    on_page(ctx, PARKED_DEAD, reply, why);
}

void queue_parked_list(struct queue *queue, enum parked kind, struct str owner,
                       const struct parked_cursor *after, unsigned max,
                       parked_page_fn done, void *ctx)
{
    struct asking *asking = queue_call_new(queue, sizeof *asking);
    struct redis_command command;

    asking->page_done = done;
    asking->ctx = ctx;
    asking->partition = after->partition;
    command_init_partition(&command, queue, SCRIPT_PARKED_LIST,
                           asking->partition);
    command_add_cstr(&command, kind_name(kind));
    command_add(&command, owner);
    command_add_cstr(&command, after->end);
    command_add_cstr(&command, after->id);
    command_add_int(&command, max);
    redis_send(queue->main, &command, REDIS_BUDGET_MS,
               kind == PARKED_HELD ? on_held_page : on_dead_page, asking);
}

/* --- moving --- */

enum { MOVED, COUNTS };

static void on_moved(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct asking *asking = ctx;
    struct parked_moved *moved = &asking->moved;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status == QUEUE_OK) {
        moved->moved += (uint64_t)reply_int(reply_at(reply, MOVED));
        claims_count_events(reply_at(reply, COUNTS));
    } else {
        moved->status = status;
        moved->why = err;
    }
    if (--asking->under_way > 0)
        return;
    asking->moved_done(asking->ctx, moved);
    queue_call_end(&asking->call);
}

/* Ids tell where their owner lived when they were made, so all are asked. */
static void move(struct queue *queue, enum parked kind, const char *how,
                 struct str owner, const struct str *ids, size_t count,
                 parked_moved_fn done, void *ctx)
{
    const struct config_privacy *privacy = &queue->config->privacy;
    struct asking *asking = queue_call_new(queue, sizeof *asking);

    CHECK(count <= PARKED_MOVE_MAX);
    asking->moved_done = done;
    asking->ctx = ctx;
    asking->under_way = queue->partitions.count;
    for (unsigned i = 0; i < queue->partitions.count; i++) {
        struct redis_command command;

        command_init_partition(&command, queue, SCRIPT_PARKED_MOVE, i);
        command_add_cstr(&command, kind_name(kind));
        command_add_cstr(&command, how);
        command_add(&command, owner);
        command_add_int(&command, privacy->keep_bodies_ms);
        for (size_t n = 0; n < count; n++)
            command_add(&command, ids[n]);
        redis_send(queue->main, &command, REDIS_BUDGET_MS, on_moved, asking);
    }
}

void queue_parked_requeue(struct queue *queue, enum parked kind,
                          struct str owner, const struct str *ids, size_t count,
                          parked_moved_fn done, void *ctx)
{
    move(queue, kind, "requeue", owner, ids, count, done, ctx);
}

void queue_parked_drop(struct queue *queue, enum parked kind, struct str owner,
                       const struct str *ids, size_t count,
                       parked_moved_fn done, void *ctx)
{
    move(queue, kind, "drop", owner, ids, count, done, ctx);
}
