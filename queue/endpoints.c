#include "queue/core.h"

#include "server/base/arena.h"
#include "server/base/codec.h"
#include "server/base/random.h"

#include <stdlib.h>
#include <string.h>

enum {
    SECRET_BYTES = 32,
    EVENTS_MAX = 8 * 1024, /* their names, joined */
    SEALED_MAX = 1024,
};

void endpoint_secret_new(struct buf *out)
{
    unsigned char bytes[SECRET_BYTES];

    random_bytes(bytes, sizeof bytes);
    buf_add_cstr(out, "whsec_");
    codec_base64_add(out, str_make(bytes, sizeof bytes));
    secret_wipe(bytes, sizeof bytes);
}

/* One of the two callbacks is set. */
struct call {
    struct queue_call base;
    queue_answer_fn answered;
    queue_endpoints_fn listed;
    void *ctx;
    struct queue_page page;
};

static struct call *call_new(struct queue *queue, void *ctx)
{
    struct call *call = queue_call_new(queue, sizeof *call);

    call->ctx = ctx;
    return call;
}

static void send(struct call *call, struct redis_command *command, redis_fn fn)
{
    redis_send(call->base.queue->main, command, REDIS_BUDGET_MS, fn, call);
}

/* --- changes --- */

static const struct {
    struct str word;
    enum queue_status status;
} WORDS[] = {
    {STR("ok"), QUEUE_OK},
    {STR("replay"), QUEUE_REPLAY},
    {STR("conflict"), QUEUE_CONFLICT},
    {STR("full"), QUEUE_OWNER_FULL},
    {STR("missing"), QUEUE_NOT_FOUND},
    {STR("no_keyring"), QUEUE_NO_KEYRING},
};

static enum queue_status status_of_word(struct str word)
{
    for (size_t i = 0; i < COUNT_OF(WORDS); i++) {
        if (str_eq(word, WORDS[i].word))
            return WORDS[i].status;
    }
    return QUEUE_AWAY;
}

static void on_changed(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct call *call = ctx;
    struct queue_answer result = {0};

    result.status = reply_status(reply, why, &result.why);
    if (result.status == QUEUE_OK)
        result.status = status_of_word(reply_str(reply_at(reply, 0)));
    if (result.status == QUEUE_REPLAY) {
        result.http_status = (int)reply_int(reply_at(reply, 1));
        result.answer = reply_str(reply_at(reply, 2));
    }
    list_remove(&call->base.link); /* the callback may close the queue */
    call->answered(call->ctx, &result);
    queue_call_end(&call->base);
}

static void add_events(struct redis_command *command, const struct str *events,
                       size_t count)
{
    struct buf names;

    buf_init(&names, EVENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        CHECK(str_index(events[i], ' ', 0) < 0);
        buf_addf(&names, "%s%.*s", i == 0 ? "" : " ", STR_ARG(events[i]));
    }
    CHECK(!names.full);
    command_add_cstr(command, "events");
    command_add(command, buf_str(&names));
    buf_finish(&names);
}

/* Empty without a keyring: the script refuses it then. */
static void add_secret(struct redis_command *command,
                       const struct endpoint *endpoint,
                       const struct keyring *keyring)
{
    struct buf sealed;

    buf_init(&sealed, SEALED_MAX);
    if (keyring != NULL)
        keyring_seal(keyring, "webhook", id_str(&endpoint->id),
                     endpoint->secret, &sealed);
    CHECK(!sealed.full);
    command_add(command, buf_str(&sealed));
    buf_finish(&sealed);
}

void queue_endpoint_create(struct queue *queue, const struct endpoint *endpoint,
                           const struct idempotency *idempotency,
                           struct str answer, queue_answer_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->answered = done;
    command_init_partition(&command, queue, SCRIPT_ENDPOINT_CREATE,
                           id_partition(&endpoint->id));
    command_add(&command, endpoint->owner);
    command_add(&command, id_str(&endpoint->id));
    idempotency_add(&command, idempotency);
    command_add(&command, answer);
    add_secret(&command, endpoint, queue->keyring);
    command_add_cstr(&command, "url");
    command_add(&command, endpoint->url);
    command_add_cstr(&command, "enabled");
    command_add_int(&command, endpoint->enabled);
    command_add_cstr(&command, "created");
    command_add_int(&command, endpoint->created_ms);
    add_events(&command, endpoint->events, endpoint->event_count);
    send(call, &command, on_changed);
}

void queue_endpoint_update(struct queue *queue, struct queue_owner owner,
                           const struct id *id,
                           const struct endpoint_change *change,
                           queue_answer_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->answered = done;
    command_init_partition(&command, queue, SCRIPT_ENDPOINT_CHANGE, owner.home);
    command_add(&command, owner.name);
    command_add(&command, id_str(id));
    if (change->url != NULL) {
        command_add_cstr(&command, "url");
        command_add(&command, *change->url);
    }
    if (change->events != NULL)
        add_events(&command, change->events, change->event_count);
    if (change->enabled != NULL) {
        command_add_cstr(&command, "enabled");
        command_add_int(&command, *change->enabled);
    }
    send(call, &command, on_changed);
}

void queue_endpoint_delete(struct queue *queue, struct queue_owner owner,
                           const struct id *id, queue_answer_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->answered = done;
    command_init_partition(&command, queue, SCRIPT_ENDPOINT_DELETE, owner.home);
    command_add(&command, owner.name);
    command_add(&command, id_str(id));
    send(call, &command, on_changed);
}

/* --- look-ups --- */

static void read_events(struct str names, struct arena *arena,
                        struct endpoint *endpoint)
{
    struct str rest = names;
    struct str name;
    size_t count = 0;

    if (names.len == 0)
        return;
    while (str_cut(&rest, ' ', &name))
        count++;
    endpoint->events = ARENA_ARRAY(arena, struct str, count);
    while (str_cut(&names, ' ', &name))
        endpoint->events[endpoint->event_count++] = arena_copy(arena, name);
}

enum { ID, URL, EVENTS, ENABLED, REASON, CREATED };

static bool read_endpoint(const struct reply *reply, struct arena *arena,
                          struct endpoint *endpoint)
{
    if (!id_parse(reply_str(reply_at(reply, ID)), &endpoint->id))
        return false;
    endpoint->url = reply_str(reply_at(reply, URL));
    endpoint->enabled = reply_int(reply_at(reply, ENABLED)) == 1;
    endpoint->disabled_reason = reply_str(reply_at(reply, REASON));
    endpoint->created_ms = reply_int(reply_at(reply, CREATED));
    read_events(reply_str(reply_at(reply, EVENTS)), arena, endpoint);
    return true;
}

static int newest_first(const void *a, const void *b)
{
    const struct endpoint *first = a;
    const struct endpoint *second = b;

    return strcmp(second->id.text, first->id.text);
}

/* Sets the page of endpoints, which are sorted; ids in the page need not
 * exist. */
static void cut_page(const struct queue_page *page,
                     const struct endpoint *endpoints, size_t count,
                     struct queue_endpoints *result)
{
    size_t start = 0;
    size_t end = count;

    while (page->after.len > 0 && start < end &&
           str_compare(id_str(&endpoints[start].id), page->after) >= 0)
        start++;
    while (page->before.len > 0 && end > start &&
           str_compare(id_str(&endpoints[end - 1].id), page->before) <= 0)
        end--;
    result->has_more = end - start > page->limit;
    if (result->has_more && page->before.len > 0)
        start = end - page->limit;
    else if (result->has_more)
        end = start + page->limit;
    result->endpoints = endpoints + start;
    result->count = end - start;
}

static void list_reply(const struct call *call, const struct reply *reply,
                       struct queue_endpoints *result)
{
    struct arena *arena = call->base.arena;
    size_t asked = reply_count(reply);
    struct endpoint *endpoints = ARENA_ARRAY(arena, struct endpoint, asked);
    size_t count = 0;

    for (size_t i = 0; i < asked; i++)
        count += read_endpoint(reply_at(reply, i), arena, &endpoints[count]);
    qsort(endpoints, count, sizeof *endpoints, newest_first);
    cut_page(&call->page, endpoints, count, result);
}

static void deliver_list(struct call *call, const struct reply *reply,
                         const struct error *why, bool one)
{
    struct queue_endpoints result = {0};

    result.status = reply_status(reply, why, &result.why);
    if (result.status == QUEUE_OK)
        list_reply(call, reply, &result);
    if (result.status == QUEUE_OK && one && result.count == 0)
        result.status = QUEUE_NOT_FOUND;
    list_remove(&call->base.link); /* the callback may close the queue */
    call->listed(call->ctx, &result);
    queue_call_end(&call->base);
}

static void on_listed(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    deliver_list(ctx, reply, why, false);
}

static void on_got(void *ctx, const struct reply *reply,
                   const struct error *why)
{
    deliver_list(ctx, reply, why, true);
}

void queue_endpoint_list(struct queue *queue, struct queue_owner owner,
                         const struct queue_page *page, queue_endpoints_fn done,
                         void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->listed = done;
    call->page.limit = page->limit;
    call->page.after = arena_copy(call->base.arena, page->after);
    call->page.before = arena_copy(call->base.arena, page->before);
    command_init_partition(&command, queue, SCRIPT_ENDPOINT_LIST, owner.home);
    command_add(&command, owner.name);
    command_add_cstr(&command, "");
    send(call, &command, on_listed);
}

void queue_endpoint_get(struct queue *queue, struct queue_owner owner,
                        const struct id *id, queue_endpoints_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->listed = done;
    call->page.limit = 1;
    command_init_partition(&command, queue, SCRIPT_ENDPOINT_LIST, owner.home);
    command_add(&command, owner.name);
    command_add(&command, id_str(id));
    send(call, &command, on_got);
}
