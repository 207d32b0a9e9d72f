#include "queue/parked.h"

#include "queue/core.h"
#include "queue/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *kind_name(enum parked kind)
{
    return kind == PARKED_HELD ? "held" : "dead";
}

/* --- a page ---
 *
 * Each partition answers with its next max, in order; the page is the first
 * max of these. One that looked at as many as it may did not look further than
 * where it goes on, so the page ends there too. */

struct paging {
    struct queue_call call;
    enum parked kind;
    unsigned max;
    size_t under_way;              /* one answer for each partition */
    struct parked_delivery *found; /* of all of them */
    size_t found_count;
    bool is_cut;
    struct parked_cursor cut; /* the first place where one stopped looking */
    struct parked_page page;
    parked_page_fn done;
    void *ctx;
};

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

static void read_entry(const struct paging *paging, const struct reply *entry,
                       struct parked_delivery *out)
{
    const struct keyring *keyring = paging->call.queue->keyring;
    struct arena *arena = paging->call.arena;
    enum parked kind = paging->kind;

    *out = (struct parked_delivery){
        .id = arena_copy(arena, reply_str(reply_at(entry, ENTRY_ID))),
        .owner = arena_copy(arena, reply_str(reply_at(entry, ENTRY_OWNER))),
        .lane = (unsigned)number_at(entry, ENTRY_LANE),
        .why = why_of(kind, reply_str(reply_at(entry, ENTRY_HOW))),
        .upstream =
            arena_copy(arena, reply_str(reply_at(entry, ENTRY_UPSTREAM))),
        .since_ms = (int64_t)number_at(entry, ENTRY_SINCE),
        .until_ms = (int64_t)number_at(entry, ENTRY_END),
        .crashes = (unsigned)number_at(entry, ENTRY_CRASHES),
    };
    out->delivery.state = kind == PARKED_HELD ? DELIVERY_HELD : DELIVERY_DEAD;
    out->delivery.attempts =
        (unsigned)reply_int(reply_at(entry, ENTRY_ATTEMPTS));
    delivery_read_reply(reply_str(reply_at(entry, ENTRY_OUTCOME)), arena,
                        &out->delivery);
    read_class(keyring, entry, out);
}

static int by_place(int64_t end_ms, struct str id, int64_t other_end_ms,
                    struct str other_id)
{
    if (end_ms != other_end_ms)
        return end_ms < other_end_ms ? -1 : 1;
    return str_compare(id, other_id);
}

static int soonest_first(const void *a, const void *b)
{
    const struct parked_delivery *first = a;
    const struct parked_delivery *second = b;

    return by_place(first->until_ms, first->id, second->until_ms, second->id);
}

static bool is_behind(const struct parked_delivery *parked,
                      const struct parked_cursor *place)
{
    return by_place(parked->until_ms, parked->id, place->end_ms,
                    str_of(place->id)) > 0;
}

static void place_set(struct parked_cursor *place, int64_t end_ms,
                      struct str id)
{
    CHECK(id.len < sizeof place->id);
    place->end_ms = end_ms;
    snprintf(place->id, sizeof place->id, "%.*s", STR_ARG(id));
}

/* A partition that did not look at all it has. */
static void cut_at(struct paging *paging, int64_t end_ms, struct str id)
{
    const struct parked_cursor *cut = &paging->cut;

    if (paging->is_cut &&
        by_place(end_ms, id, cut->end_ms, str_of(cut->id)) >= 0)
        return;
    paging->is_cut = true;
    place_set(&paging->cut, end_ms, id);
}

static void take_part(struct paging *paging, const struct reply *reply)
{
    const struct reply *list = reply_at(reply, LIST);
    struct str id = reply_str(reply_at(reply, NEXT_ID));

    paging->page.total += (uint64_t)reply_int(reply_at(reply, TOTAL));
    for (size_t i = 0; i < reply_count(list) && i < paging->max; i++)
        read_entry(paging, reply_at(list, i),
                   &paging->found[paging->found_count++]);
    if (id.len > 0)
        cut_at(paging, (int64_t)number_at(reply, NEXT_END), id);
}

static void make_page(struct paging *paging)
{
    struct parked_page *page = &paging->page;
    struct parked_delivery *found = paging->found;

    qsort(found, paging->found_count, sizeof *found, soonest_first);
    page->deliveries = found;
    while (page->count < paging->found_count && page->count < paging->max &&
           !(paging->is_cut && is_behind(&found[page->count], &paging->cut)))
        page->count++;
    page->has_more = paging->is_cut || page->count < paging->found_count;
    if (page->count == paging->max)
        place_set(&page->next, found[page->count - 1].until_ms,
                  found[page->count - 1].id);
    else if (paging->is_cut)
        page->next = paging->cut;
}

static void on_part(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct paging *paging = ctx;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status == QUEUE_OK) {
        take_part(paging, reply);
    } else {
        paging->page.status = status;
        paging->page.why = err;
    }
    if (--paging->under_way > 0)
        return;
    if (paging->page.status == QUEUE_OK)
        make_page(paging);
    paging->done(paging->ctx, &paging->page);
    queue_call_end(&paging->call);
}

static void ask_part(struct paging *paging, unsigned partition,
                     struct str owner, const struct parked_cursor *after)
{
    struct queue *queue = paging->call.queue;
    struct redis_command command;

    command_init_partition(&command, queue, SCRIPT_PARKED_LIST, partition);
    command_add_cstr(&command, kind_name(paging->kind));
    command_add(&command, owner);
    if (after->id[0] == '\0')
        command_add_cstr(&command, "");
    else
        command_add_int(&command, after->end_ms);
    command_add_cstr(&command, after->id);
    command_add_int(&command, paging->max);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_part, paging);
}

void queue_parked_list(struct queue *queue, enum parked kind, struct str owner,
                       const struct parked_cursor *after, unsigned max,
                       parked_page_fn done, void *ctx)
{
    struct paging *paging = queue_call_new(queue, sizeof *paging);
    unsigned count = queue->partitions.count;

    CHECK(max >= 1 && max <= PARKED_PAGE_MAX);
    paging->kind = kind;
    paging->max = max;
    paging->done = done;
    paging->ctx = ctx;
    paging->under_way = count;
    paging->found = ARENA_ARRAY(paging->call.arena, struct parked_delivery,
                                (size_t)count * max);
    for (unsigned i = 0; i < count; i++)
        ask_part(paging, i, owner, after);
}

/* --- moving --- */

struct moving {
    struct queue_call call;
    size_t under_way;
    struct parked_moved moved;
    parked_moved_fn done;
    void *ctx;
};

enum { MOVED, COUNTS };

static void on_moved(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct moving *moving = ctx;
    struct parked_moved *moved = &moving->moved;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status == QUEUE_OK) {
        moved->moved += (uint64_t)reply_int(reply_at(reply, MOVED));
        claims_count_events(reply_at(reply, COUNTS));
    } else {
        moved->status = status;
        moved->why = err;
    }
    if (--moving->under_way > 0)
        return;
    moving->done(moving->ctx, moved);
    queue_call_end(&moving->call);
}

/* Ids tell where their owner lived when they were made, so all are asked. */
static void move(struct queue *queue, enum parked kind, const char *how,
                 struct str owner, const struct str *ids, size_t count,
                 parked_moved_fn done, void *ctx)
{
    const struct config_privacy *privacy = &queue->config->privacy;
    struct moving *moving = queue_call_new(queue, sizeof *moving);

    CHECK(count <= PARKED_MOVE_MAX);
    moving->done = done;
    moving->ctx = ctx;
    moving->under_way = queue->partitions.count;
    for (unsigned i = 0; i < queue->partitions.count; i++) {
        struct redis_command command;

        command_init_partition(&command, queue, SCRIPT_PARKED_MOVE, i);
        command_add_cstr(&command, kind_name(kind));
        command_add_cstr(&command, how);
        command_add(&command, owner);
        command_add_int(&command, privacy->keep_bodies_ms);
        for (size_t n = 0; n < count; n++)
            command_add(&command, ids[n]);
        redis_send(queue->main, &command, REDIS_BUDGET_MS, on_moved, moving);
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
