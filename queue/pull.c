#include "queue/pull.h"

#include "queue/core.h"
#include "queue/cursor.h"

struct pull {
    struct queue_call call;
    struct str owner;
    struct queue_pull result;
    struct queue_pulled *events;
    struct record **records; /* one per event, NULL: it has none of its own */
    queue_pull_fn done;
    void *ctx;
};

/* What pull.lua answers. */
enum { WORD, PLACE, MORE, EVENTS };

static void pull_finish(struct queue_call *call)
{
    struct pull *pull = (struct pull *)call;

    for (size_t i = 0; i < pull->result.count; i++)
        record_destroy(&pull->records[i]);
}

static struct str cursor_at(struct pull *pull, const struct reply *place)
{
    struct buf text;
    struct str cursor;

    buf_init(&text, CURSOR_LEN);
    cursor_write(pull->owner, reply_str(place), &text);
    cursor = arena_copy(pull->call.arena, buf_str(&text));
    buf_finish(&text);
    return cursor;
}

/* --- one event --- */

/* The summary comes with the first event of an email in a page. */
static const struct summary *summary_before(const struct pull *pull,
                                            const struct id *email)
{
    for (size_t i = 0; i < pull->result.count; i++)
        if (pull->records[i] != NULL &&
            str_eq(id_str(&pull->records[i]->summary.email), id_str(email)))
            return &pull->records[i]->summary;
    return NULL;
}

static bool read_summary(struct pull *pull, struct str bytes, size_t at)
{
    struct queue_pulled *pulled = &pull->events[at];
    enum record_result result;

    pull->records[at] = NULL;
    if (bytes.len == 0) {
        pulled->summary = summary_before(pull, &pulled->event.email);
        return true;
    }
    pull->records[at] = record_read(bytes, &pulled->event.email,
                                    pull->call.queue->keyring, &result);
    if (result == RECORD_OK) {
        pulled->summary = &pull->records[at]->summary;
        return true;
    }
    pull->result.status =
        result == RECORD_NO_KEY ? QUEUE_NO_KEYRING : QUEUE_NOT_READY;
    error_set(&pull->result.why, ERR_REMOTE, "%s",
              result == RECORD_NO_KEY ? "a mail is sealed under a key that "
                                        "this process lacks"
                                      : "a stored mail cannot be read");
    return false;
}

/* --- the page --- */

static void read_page(struct pull *pull, const struct reply *reply)
{
    struct queue_pull *result = &pull->result;
    struct arena *arena = pull->call.arena;
    size_t count = (reply_count(reply) - EVENTS) / 2;

    pull->events = ARENA_ARRAY(arena, struct queue_pulled, count);
    pull->records = ARENA_ARRAY(arena, struct record *, count);
    result->events = pull->events;
    result->has_more = reply_int(reply_at(reply, MORE)) == 1;
    result->next = cursor_at(pull, reply_at(reply, PLACE));
    for (size_t i = 0; i < count; i++) {
        const struct reply *record = reply_at(reply, EVENTS + 2 * i);
        const struct reply *summary = reply_at(reply, EVENTS + 2 * i + 1);

        if (!event_read(reply_str(record), arena,
                        &pull->events[result->count].event))
            continue; /* of a newer release */
        if (!read_summary(pull, reply_str(summary), result->count))
            return;
        result->count++;
    }
}

static void on_pulled(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct pull *pull = ctx;
    struct queue_pull *result = &pull->result;

    result->status = reply_status(reply, why, &result->why);
    if (result->status == QUEUE_OK && reply_count(reply) < EVENTS) {
        result->status = QUEUE_NOT_FOUND;
        result->next = cursor_at(pull, reply_at(reply, PLACE));
    } else if (result->status == QUEUE_OK) {
        read_page(pull, reply);
    }
    pull->done(pull->ctx, result);
    queue_call_end(&pull->call);
}

bool queue_cursor_is_good(struct str owner, struct str cursor)
{
    struct buf place;
    bool good;

    buf_init(&place, CURSOR_PLACE_MAX);
    good = cursor_read(owner, cursor, &place);
    buf_finish(&place);
    return good;
}

void queue_events_pull(struct queue *queue, struct queue_owner owner,
                       struct str after, unsigned limit, queue_pull_fn done,
                       void *ctx)
{
    struct pull *pull = queue_call_new(queue, sizeof *pull);
    struct redis_command command;
    struct buf place;

    pull->call.finish = pull_finish;
    pull->owner = arena_copy(pull->call.arena, owner.name);
    pull->done = done;
    pull->ctx = ctx;
    buf_init(&place, CURSOR_PLACE_MAX);
    CHECK(after.len == 0 || cursor_read(owner.name, after, &place));
    command_init_partition(&command, queue, SCRIPT_PULL, owner.home);
    command_add(&command, owner.name);
    command_add(&command, buf_str(&place));
    command_add_int(&command, limit);
    buf_finish(&place);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_pulled, pull);
}
