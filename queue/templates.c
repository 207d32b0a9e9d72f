#include "queue/core.h"

/* One of the two callbacks is set. */
struct call {
    struct queue_call base;
    queue_answer_fn answered;
    queue_templates_fn listed;
    void *ctx;
    bool is_one;
    unsigned limit;
    bool is_backward; /* the page before an id */
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

/* "i<id>" or "a<alias>". */
static void add_which(struct redis_command *command, struct str which)
{
    struct id id;

    if (id_parse(which, &id))
        command_addf(command, "i%s", id.text);
    else
        command_addf(command, "a%.*s", STR_ARG(which));
}

/* --- changes --- */

static const struct {
    struct str word;
    enum queue_status status;
    const char *why;
} WORDS[] = {
    {STR("missing"), QUEUE_NOT_FOUND, ""},
    {STR("changed"), QUEUE_DONE, "the template was changed meanwhile"},
    {STR("taken"), QUEUE_REFUSED, "another template has that alias"},
    {STR("full"), QUEUE_OWNER_FULL,
     "at most 500 templates, and 64 MiB of them, are kept"},
};

static void read_word(struct str word, struct queue_answer *result)
{
    for (size_t i = 0; i < COUNT_OF(WORDS); i++) {
        if (!str_eq(word, WORDS[i].word))
            continue;
        result->status = WORDS[i].status;
        error_set(&result->why, ERR_BUSY, "%s", WORDS[i].why);
    }
}

static void on_changed(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct call *call = ctx;
    struct queue_answer result;

    idempotency_read(reply, why, &result);
    read_word(reply_str(reply_at(reply, 0)), &result);
    if (result.status == QUEUE_OK) {
        result.http_status = (int)reply_int(reply_at(reply, 1));
        result.answer = reply_str(reply_at(reply, 2));
    }
    list_remove(&call->base.link); /* the callback may close the queue */
    call->answered(call->ctx, &result);
    queue_call_end(&call->base);
}

static struct call *change_begin(struct queue *queue, struct queue_owner owner,
                                 enum script script,
                                 struct redis_command *command,
                                 queue_answer_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);

    call->answered = done;
    command_init_partition(command, queue, script, owner.home);
    command_add(command, owner.name);
    return call;
}

/* alias, name, version, source. */
static void add_change(struct redis_command *command, struct queue_owner owner,
                       const struct template_change *change)
{
    struct id version = id_new(owner.home);

    CHECK(change->source.len <= TEMPLATE_VERSION_MAX);
    command_add(command, change->alias);
    command_add(command, change->name);
    command_add(command, id_str(&version));
    command_add(command, change->source);
}

void queue_template_create(struct queue *queue, struct queue_owner owner,
                           const struct template_change *change,
                           const struct idempotency *idempotency,
                           queue_answer_fn done, void *ctx)
{
    struct redis_command command;
    struct id id = id_new(owner.home);
    struct call *call =
        change_begin(queue, owner, SCRIPT_TEMPLATE_CREATE, &command, done, ctx);

    CHECK(change->source.len > 0);
    idempotency_add(&command, idempotency);
    command_add(&command, id_str(&id));
    add_change(&command, owner, change);
    send(call, &command, on_changed);
}

void queue_template_update(struct queue *queue, struct queue_owner owner,
                           struct str which, struct str known,
                           const struct template_change *change,
                           queue_answer_fn done, void *ctx)
{
    struct redis_command command;
    struct call *call =
        change_begin(queue, owner, SCRIPT_TEMPLATE_CHANGE, &command, done, ctx);

    add_which(&command, which);
    command_add(&command, known);
    add_change(&command, owner, change);
    send(call, &command, on_changed);
}

void queue_template_publish(struct queue *queue, struct queue_owner owner,
                            struct str which,
                            const struct idempotency *idempotency,
                            queue_answer_fn done, void *ctx)
{
    struct redis_command command;
    struct call *call = change_begin(queue, owner, SCRIPT_TEMPLATE_PUBLISH,
                                     &command, done, ctx);

    idempotency_add(&command, idempotency);
    add_which(&command, which);
    send(call, &command, on_changed);
}

void queue_template_delete(struct queue *queue, struct queue_owner owner,
                           struct str which, queue_answer_fn done, void *ctx)
{
    struct redis_command command;
    struct call *call =
        change_begin(queue, owner, SCRIPT_TEMPLATE_DELETE, &command, done, ctx);

    add_which(&command, which);
    send(call, &command, on_changed);
}

/* --- look-ups --- */

enum {
    ID,
    ALIAS,
    NAME,
    NEWEST,
    PUBLISHED,
    CREATED,
    UPDATED,
    PUBLISHED_AT,
    VERSION,
    SOURCE
};

static bool read_one(const struct reply *reply, struct stored_template *one)
{
    if (!id_parse(reply_str(reply_at(reply, ID)), &one->id))
        return false;
    one->alias = reply_str(reply_at(reply, ALIAS));
    one->name = reply_str(reply_at(reply, NAME));
    one->newest = reply_str(reply_at(reply, NEWEST));
    one->published = reply_str(reply_at(reply, PUBLISHED));
    one->created_ms = reply_int(reply_at(reply, CREATED));
    one->updated_ms = reply_int(reply_at(reply, UPDATED));
    one->published_ms = reply_int(reply_at(reply, PUBLISHED_AT));
    one->version = reply_str(reply_at(reply, VERSION));
    one->source = reply_str(reply_at(reply, SOURCE));
    return true;
}

/* The one too many stands at the far end of the page. */
static void read_list(const struct call *call, const struct reply *reply,
                      struct queue_templates *result)
{
    size_t asked = reply_count(reply);
    struct stored_template *all =
        ARENA_ARRAY(call->base.arena, struct stored_template, asked + 1);
    size_t count = 0;

    for (size_t i = 0; i < asked; i++)
        count += read_one(reply_at(reply, i), &all[count]);
    result->has_more = count > call->limit;
    if (result->has_more)
        count = call->limit;
    result->templates = all + (result->has_more && call->is_backward ? 1 : 0);
    result->count = count;
}

static void read_found(const struct call *call, const struct reply *reply,
                       struct queue_templates *result)
{
    struct stored_template *one =
        ARENA_NEW(call->base.arena, struct stored_template);

    result->templates = one;
    result->count = read_one(reply, one);
    if (result->count == 0)
        result->status = QUEUE_NOT_FOUND;
}

static void on_listed(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct call *call = ctx;
    struct queue_templates result = {0};

    result.status = reply_status(reply, why, &result.why);
    if (result.status == QUEUE_OK && call->is_one)
        read_found(call, reply, &result);
    else if (result.status == QUEUE_OK)
        read_list(call, reply, &result);
    list_remove(&call->base.link); /* the callback may close the queue */
    call->listed(call->ctx, &result);
    queue_call_end(&call->base);
}

void queue_template_list(struct queue *queue, struct queue_owner owner,
                         const struct queue_page *page, queue_templates_fn done,
                         void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->listed = done;
    call->limit = page->limit;
    call->is_backward = page->before.len > 0;
    command_init_partition(&command, queue, SCRIPT_TEMPLATE_LIST, owner.home);
    command_add(&command, owner.name);
    command_add_int(&command, page->limit);
    command_add(&command, page->after);
    command_add(&command, page->before);
    send(call, &command, on_listed);
}

void queue_template_get(struct queue *queue, struct queue_owner owner,
                        struct str which, bool is_published, struct str known,
                        queue_templates_fn done, void *ctx)
{
    struct call *call = call_new(queue, ctx);
    struct redis_command command;

    call->listed = done;
    call->is_one = true;
    command_init_partition(&command, queue, SCRIPT_TEMPLATE_GET, owner.home);
    command_add(&command, owner.name);
    add_which(&command, which);
    command_add_cstr(&command, is_published ? "pv" : "dv");
    command_add(&command, known);
    send(call, &command, on_listed);
}
