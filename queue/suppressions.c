#include "queue/core.h"
#include "queue/index.h"

#include "server/base/arena.h"
#include "server/base/metrics.h"

enum { NAME_MAX_SIZE = 64 };

static const struct {
    const char *name;
    char letter; /* of scripts/suppressions.lua */
} ORIGINS[SUPPRESSION_ORIGIN_COUNT] = {
    [SUPPRESSION_BOUNCE] = {"bounce", 'b'},
    [SUPPRESSION_COMPLAINT] = {"complaint", 'c'},
    [SUPPRESSION_MANUAL] = {"manual", 'm'},
};

const char *suppression_origin_name(enum suppression_origin origin)
{
    CHECK(origin < SUPPRESSION_ORIGIN_COUNT);
    return ORIGINS[origin].name;
}

/* One of the two callbacks is set. */
struct call {
    struct queue_call base;
    queue_answer_fn answered;
    queue_suppressions_fn listed;
    void *ctx;
    bool is_one;
    unsigned limit;
    bool is_backward;               /* the page before an id */
    enum suppression_origin origin; /* of what is added */
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

static void add_hash(struct redis_command *command, const char *before,
                     struct str key)
{
    char hash[ADDRESS_HASH_SIZE];
    struct buf text;

    address_hash(key, hash);
    buf_init(&text, NAME_MAX_SIZE);
    buf_addf(&text, "%s%s", before, hash);
    command_add(command, buf_str(&text));
    buf_finish(&text);
}

/* "i<id>" or "h<hash>". */
static void add_name(struct redis_command *command,
                     const struct suppression_name *name)
{
    struct buf text;

    if (name->id == NULL) {
        add_hash(command, "h", name->key);
        return;
    }
    buf_init(&text, NAME_MAX_SIZE);
    buf_addf(&text, "i%s", name->id->text);
    command_add(command, buf_str(&text));
    buf_finish(&text);
}

/* --- changes --- */

static void on_changed(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct call *call = ctx;
    struct str word = reply_str(reply_at(reply, 0));
    struct queue_answer result;

    idempotency_read(reply, why, &result);
    if (result.status == QUEUE_OK) {
        result.http_status = (int)reply_int(reply_at(reply, 1));
        result.answer = reply_str(reply_at(reply, 2));
    } else if (str_eq(word, S("full"))) {
        result.status = QUEUE_OWNER_FULL;
        error_set(&result.why, ERR_BUSY,
                  "the list of suppressions has as many as it may have");
    } else if (str_eq(word, S("missing"))) {
        result.status = QUEUE_NOT_FOUND;
    }
    list_remove(&call->base.link); /* the callback may close the queue */
    call->answered(call->ctx, &result);
    queue_call_end(&call->base);
}

static void on_added(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    const struct call *call = ctx;

    if (str_eq(reply_str(reply_at(reply, 0)), S("ok")))
        series_add(metrics_series(METRIC_SUPPRESSIONS,
                                  (const char *const[]){
                                      suppression_origin_name(call->origin)}),
                   (uint64_t)reply_int(reply_at(reply, 3)));
    on_changed(ctx, reply, why);
}

void queue_suppression_add(struct queue *queue, struct queue_owner owner,
                           const struct suppression_entry *entries,
                           size_t count, enum suppression_origin origin,
                           bool is_batch, const struct idempotency *idempotency,
                           queue_answer_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->answered = done;
    call->origin = origin;
    command_init_partition(&command, queue, SCRIPT_SUPPRESSION_ADD, owner.home);
    command_add(&command, owner.name);
    idempotency_add(&command, idempotency);
    command_add_int(&command, is_batch);
    command_add(&command, str_make(&ORIGINS[origin].letter, 1));
    for (size_t i = 0; i < count; i++) {
        struct id id = id_new(owner.home);

        command_add(&command, id_str(&id));
        add_hash(&command, "", entries[i].key);
        command_add(&command, entries[i].address);
    }
    send(call, &command, on_added);
}

void queue_suppression_remove(struct queue *queue, struct queue_owner owner,
                              const struct suppression_name *names,
                              size_t count, bool is_batch,
                              const struct idempotency *idempotency,
                              queue_answer_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->answered = done;
    command_init_partition(&command, queue, SCRIPT_SUPPRESSION_REMOVE,
                           owner.home);
    command_add(&command, owner.name);
    idempotency_add(&command, idempotency);
    command_add_int(&command, is_batch);
    for (size_t i = 0; i < count; i++)
        add_name(&command, &names[i]);
    send(call, &command, on_changed);
}

/* --- look-ups --- */

enum { ID, ORIGIN, CREATED, UNTIL, COUNT, SOURCE, REASON, ADDRESS };

static int64_t time_of(const struct reply *reply)
{
    uint64_t number;

    return str_to_u64(reply_str(reply), &number) ? (int64_t)number : 0;
}

static struct str text_of(const struct reply *reply)
{
    struct str text = reply_str(reply);

    return str_eq(text, S("-")) ? S("") : text;
}

static bool read_one(const struct reply *reply, struct suppression *one)
{
    struct str letter = reply_str(reply_at(reply, ORIGIN));
    unsigned origin = 0;

    while (origin < SUPPRESSION_ORIGIN_COUNT &&
           !str_eq(letter, str_make(&ORIGINS[origin].letter, 1)))
        origin++;
    if (origin == SUPPRESSION_ORIGIN_COUNT ||
        !id_parse(reply_str(reply_at(reply, ID)), &one->id))
        return false;
    one->origin = (enum suppression_origin)origin;
    one->created_ms = time_of(reply_at(reply, CREATED));
    one->until_ms = time_of(reply_at(reply, UNTIL));
    one->bounces = (unsigned)time_of(reply_at(reply, COUNT));
    one->source = text_of(reply_at(reply, SOURCE));
    one->reason = text_of(reply_at(reply, REASON));
    one->address = reply_str(reply_at(reply, ADDRESS));
    return true;
}

/* The one too many stands at the far end of the page. */
static void read_list(const struct call *call, const struct reply *reply,
                      struct queue_suppressions *result)
{
    struct suppression *all = ARENA_ARRAY(call->base.arena, struct suppression,
                                          reply_count(reply) + 1);
    size_t count = 0;

    for (size_t i = 0; i < reply_count(reply); i++)
        count += read_one(reply_at(reply, i), &all[count]);
    result->has_more = count > call->limit;
    if (result->has_more)
        count = call->limit;
    result->suppressions =
        all + (result->has_more && call->is_backward ? 1 : 0);
    result->count = count;
}

static void on_listed(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct call *call = ctx;
    struct queue_suppressions result = {0};

    result.status = reply_status(reply, why, &result.why);
    if (result.status == QUEUE_OK)
        read_list(call, reply, &result);
    if (result.status == QUEUE_OK && call->is_one && result.count == 0)
        result.status = QUEUE_NOT_FOUND;
    list_remove(&call->base.link); /* the callback may close the queue */
    call->listed(call->ctx, &result);
    queue_call_end(&call->base);
}

void queue_suppression_list(struct queue *queue, struct queue_owner owner,
                            const struct queue_page *page,
                            enum suppression_origin origin,
                            queue_suppressions_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->listed = done;
    call->limit = page->limit;
    call->is_backward = page->before.len > 0;
    command_init_partition(&command, queue, SCRIPT_SUPPRESSION_LIST,
                           owner.home);
    command_add(&command, owner.name);
    command_add_cstr(&command, "");
    command_add_int(&command, page->limit);
    command_add(&command, page->after);
    command_add(&command, page->before);
    command_add(&command, origin == SUPPRESSION_ORIGIN_COUNT
                              ? S("")
                              : str_make(&ORIGINS[origin].letter, 1));
    send(call, &command, on_listed);
}

void queue_suppression_get(struct queue *queue, struct queue_owner owner,
                           struct suppression_name name,
                           queue_suppressions_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->listed = done;
    call->is_one = true;
    call->limit = 1;
    command_init_partition(&command, queue, SCRIPT_SUPPRESSION_LIST,
                           owner.home);
    command_add(&command, owner.name);
    add_name(&command, &name);
    for (unsigned i = 0; i < 4; i++)
        command_add_cstr(&command, i == 0 ? "1" : "");
    send(call, &command, on_listed);
}
