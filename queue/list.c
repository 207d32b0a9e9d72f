#include "queue/list.h"

#include "queue/core.h"
#include "queue/delivery.h"
#include "queue/index.h"
#include "server/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    LOOKS_MAX = 1000, /* emails; then the page ends */
    ASK_MAX = 100,    /* of one script */
    DAY_MS = 86400000,
    /* An id's time may be ahead of its email's by as much, when many are made
     * in one millisecond. */
    ID_AHEAD_MS = 10000,
    WAITS_MAX_DAYS = 40, /* scheduled ahead, then tried */
    BOUND_SIZE = ID_LEN + 2,
};

struct item {
    struct record *record;
    struct queue_email email;
};

struct list_call {
    struct queue_call call;
    struct queue_owner owner;
    struct queue_list_query query;
    char low[BOUND_SIZE]; /* ids between these two, as texts */
    char high[BOUND_SIZE];
    int64_t days[2]; /* lowest, highest */
    size_t looks;
    struct item *items; /* limit + 1: one more tells whether there are more */
    struct queue_email *emails;
    size_t count;
    struct id last; /* looked at */
    struct queue_list result;
    queue_list_fn done;
    void *ctx;
};

static bool is_upward(const struct list_call *list)
{
    return list->query.page.before.len > 0;
}

static void list_finish(struct queue_call *call)
{
    struct list_call *list = (struct list_call *)call;

    for (size_t i = 0; i < list->count; i++)
        record_destroy(&list->items[i].record);
}

/* --- the end --- */

static void tell(struct list_call *list)
{
    list->done(list->ctx, &list->result);
    queue_call_end(&list->call);
}

static void fail(struct list_call *list, enum queue_status status,
                 const char *why)
{
    list->result.status = status;
    error_set(&list->result.why, ERR_REMOTE, "%s", why);
    tell(list);
}

/* is_all: nothing lies behind what was looked at. */
static void tell_page(struct list_call *list, bool is_all)
{
    struct queue_list *result = &list->result;
    size_t count = list->count;
    size_t limit = list->query.page.limit;

    result->has_more = count > limit || !is_all;
    if (count > limit)
        count = limit;
    for (size_t i = 0; i < count; i++)
        list->emails[i] =
            list->items[is_upward(list) ? count - 1 - i : i].email;
    result->emails = list->emails;
    result->count = count;
    if (list->count > limit)
        result->next = id_str(&list->items[limit - 1].record->summary.email);
    else if (!is_all)
        result->next = id_str(&list->last);
    tell(list);
}

/* --- one email --- */

/* What the index and the ids' times promise, held against the summary. */
static bool is_asked_for(const struct list_call *list,
                         const struct queue_email *email)
{
    const struct queue_list_query *query = &list->query;
    const struct summary *summary = &email->record->summary;

    return (query->since_ms == 0 || summary->created_ms >= query->since_ms) &&
           (query->until_ms == 0 || summary->created_ms <= query->until_ms) &&
           (query->recipient.len == 0 ||
            index_has_recipient(summary, query->recipient)) &&
           (query->tag_name.len == 0 ||
            index_has_tag(summary, query->tag_name, query->tag_value)) &&
           (query->wants == NULL || query->wants(list->ctx, email));
}

enum { EMAIL, SUMMARY, HISTORY, DELIVERIES, PARTS };

/* The email of an item, whose deliveries live in the call's arena. False: the
 * call has failed. */
static bool read_item(struct list_call *list, const struct reply *reply,
                      size_t at, struct item *item)
{
    struct str history = reply_str(reply_at(reply, at + HISTORY));
    struct str summary = reply_str(reply_at(reply, at + SUMMARY));
    struct deliveries deliveries;
    enum record_result result;
    struct id id;
    bool good;

    good = id_parse(reply_str(reply_at(reply, at + EMAIL)), &id) &&
           (history.len > 0
                ? deliveries_of_history(history, list->call.arena, &deliveries)
                : deliveries_of_fields(reply_at(reply, at + DELIVERIES),
                                       list->call.arena, &deliveries));
    if (!good) {
        fail(list, QUEUE_NOT_READY, "a stored mail is broken");
        return false;
    }
    item->record = record_read(history.len > 0 ? deliveries.summary : summary,
                               &id, list->call.queue->keyring, &result);
    if (item->record == NULL) {
        if (result == RECORD_NO_KEY)
            fail(list, QUEUE_NO_KEYRING,
                 "a mail is sealed under a key that this process lacks");
        else
            fail(list, QUEUE_NOT_READY, "a stored mail cannot be read");
        return false;
    }
    item->email = (struct queue_email){
        .status = QUEUE_OK,
        .record = item->record,
        .deliveries = deliveries.items,
        .delivery_count = deliveries.count,
    };
    return true;
}

/* False: the call has failed. */
static bool take_item(struct list_call *list, const struct reply *reply,
                      size_t at)
{
    struct item *item = &list->items[list->count];

    if (!read_item(list, reply, at, item))
        return false;
    list->last = item->record->summary.email;
    if (is_asked_for(list, &item->email))
        list->count++;
    else
        record_destroy(&item->record);
    return true;
}

/* --- a stretch --- */

static void ask(struct list_call *list);

static void on_stretch(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct list_call *list = ctx;
    struct str next = reply_str(reply_at(reply, 0));

    list->result.status = reply_status(reply, why, &list->result.why);
    if (list->result.status != QUEUE_OK) {
        tell(list);
        return;
    }
    for (size_t at = 1; at + PARTS <= reply_count(reply); at += PARTS) {
        if (!take_item(list, reply, at))
            return;
        if (list->count > list->query.page.limit) {
            tell_page(list, false);
            return;
        }
    }
    if (next.len == 0) {
        tell_page(list, true);
    } else if (!id_parse(next, &list->last)) {
        fail(list, QUEUE_NOT_READY, "an answer that the list does not give");
    } else if (list->looks >= LOOKS_MAX) {
        tell_page(list, false);
    } else {
        snprintf(is_upward(list) ? list->low : list->high, BOUND_SIZE, "%s%s",
                 list->last.text, is_upward(list) ? "~" : "");
        ask(list);
    }
}

/* What members of the index begin with: the narrowest that serves. */
static void add_prefix(const struct list_call *list,
                       struct redis_command *command)
{
    const struct queue_list_query *query = &list->query;
    char mark[INDEX_MARK_SIZE] = "t";

    if (query->recipient.len > 0)
        index_recipient_mark(query->recipient, mark);
    else if (query->tag_name.len > 0 && query->tag_value.ptr != NULL)
        index_tag_mark(query->tag_name, query->tag_value, mark);
    command_add_cstr(command, mark);
}

/* A tag's name alone has no place of its own. */
static void add_mark(const struct list_call *list,
                     struct redis_command *command)
{
    const struct queue_list_query *query = &list->query;
    char mark[INDEX_MARK_SIZE] = "";

    if (query->recipient.len == 0 && query->tag_name.len > 0 &&
        query->tag_value.ptr == NULL)
        index_tag_mark(query->tag_name, query->tag_value, mark);
    command_add_cstr(command, mark);
}

/* Where the index tells all, a page needs no more than it shows. */
static size_t ask_count(const struct list_call *list)
{
    const struct queue_list_query *query = &list->query;
    bool by_recipient = query->recipient.len > 0;
    bool by_tag = query->tag_name.len > 0;
    bool is_exact =
        query->wants == NULL &&
        (!by_tag || (query->tag_value.ptr != NULL && !by_recipient));

    return is_exact ? query->page.limit + 1 - list->count : ASK_MAX;
}

static void ask(struct list_call *list)
{
    bool upward = is_upward(list);
    size_t count = ask_count(list);
    struct redis_command command;

    list->looks += count;
    command_init_partition(&command, list->call.queue, SCRIPT_LIST,
                           list->owner.home);
    command_add(&command, list->owner.name);
    add_prefix(list, &command);
    command_add_cstr(&command, list->low);
    command_add_cstr(&command, list->high);
    command_add_int(&command, upward);
    command_add_int(&command, list->days[upward ? 0 : 1]);
    command_add_int(&command, list->days[upward ? 1 : 0]);
    command_add_int(&command, (int64_t)count);
    add_mark(list, &command);
    redis_send(list->call.queue->main, &command, REDIS_BUDGET_MS, on_stretch,
               list);
}

/* --- the door --- */

/* The beginning of the ids of a millisecond. */
static void bound_at(char out[BOUND_SIZE], int64_t ms)
{
    snprintf(out, BOUND_SIZE, "%08llx-%04llx", (unsigned long long)ms >> 16,
             (unsigned long long)ms & 0xffff);
}

static void raise(char bound[BOUND_SIZE], const char *least)
{
    if (strcmp(bound, least) < 0)
        memcpy(bound, least, strlen(least) + 1);
}

static void lower(char bound[BOUND_SIZE], const char *most)
{
    if (strcmp(bound, most) > 0)
        memcpy(bound, most, strlen(most) + 1);
}

static int64_t day_of(const char *bound)
{
    uint64_t high = 0;
    uint64_t low = 0;

    CHECK(sscanf(bound, "%8" SCNx64 "-%4" SCNx64, &high, &low) >= 1);
    return (int64_t)(high << 16 | low) / DAY_MS;
}

/* Between what ids, and in what days of the index. */
static void set_bounds(struct list_call *list)
{
    const struct queue_list_query *query = &list->query;
    int64_t now_ms = clock_shared_ms();
    int64_t kept_ms = list->call.queue->config->privacy.keep_events_ms +
                      WAITS_MAX_DAYS * (int64_t)DAY_MS;
    char bound[BOUND_SIZE];
    struct id id;

    bound_at(list->low, now_ms > kept_ms ? now_ms - kept_ms : 0);
    bound_at(list->high, now_ms + DAY_MS);
    if (query->since_ms > 0) {
        bound_at(bound, query->since_ms);
        raise(list->low, bound);
    }
    if (query->until_ms > 0) {
        bound_at(bound, query->until_ms + ID_AHEAD_MS);
        lower(list->high, bound);
    }
    if (id_parse(query->page.before, &id)) {
        snprintf(bound, sizeof bound, "%s~", id.text);
        raise(list->low, bound);
    }
    if (id_parse(query->page.after, &id))
        lower(list->high, id.text);
    list->days[0] = day_of(list->low);
    list->days[1] = day_of(list->high);
}

static void copy_query(struct list_call *list,
                       const struct queue_list_query *query)
{
    struct arena *arena = list->call.arena;

    list->query = *query;
    list->query.page.after = arena_copy(arena, query->page.after);
    list->query.page.before = arena_copy(arena, query->page.before);
    list->query.recipient = arena_copy(arena, query->recipient);
    list->query.tag_name = arena_copy(arena, query->tag_name);
    if (query->tag_value.ptr != NULL)
        list->query.tag_value = arena_copy(arena, query->tag_value);
}

void queue_email_list(struct queue *queue, struct queue_owner owner,
                      const struct queue_list_query *query, queue_list_fn done,
                      void *ctx)
{
    struct list_call *list = queue_call_new(queue, sizeof *list);
    struct arena *arena = list->call.arena;

    list->call.finish = list_finish;
    list->owner.name = arena_copy(arena, owner.name);
    list->owner.home = owner.home;
    copy_query(list, query);
    list->items = ARENA_ARRAY(arena, struct item, query->page.limit + 1);
    list->emails = ARENA_ARRAY(arena, struct queue_email, query->page.limit);
    list->done = done;
    list->ctx = ctx;
    set_bounds(list);
    ask(list);
}
