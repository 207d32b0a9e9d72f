#include "queue/domains.h"

#include "queue/core.h"
#include "server/base/clock.h"

enum {
    SEALED_MAX = 64 * 1024,
    PARENTS_MAX = 8, /* names above a From's that may sign for it */
    /* A claim so old came to nothing if its holder has no such domain: whoever
     * made it gave up storing it long before. */
    CLAIM_DEAD_MS = 60000,
    CLAIM_FRESH_MS = 10000,
};

/* One of the callbacks is set. */
struct call {
    struct queue_call base;
    struct queue_owner owner;
    queue_answer_fn answered;
    queue_domains_fn listed;
    queue_due_domains_fn due;
    queue_domain_key_fn got_key;
    void *ctx;
    bool is_one;
    unsigned limit;
    bool is_backward; /* the page before an id */
    /* Of one that is created or deleted. */
    struct str name;
    struct redis_command args; /* of its script */
    struct id token;
    struct str claim;
    int64_t claimed_ms;
};

static void call_finish(struct queue_call *base)
{
    command_finish(&CONTAINER_OF(base, struct call, base)->args);
}

static struct call *call_new(struct queue *queue, struct queue_owner owner,
                             void *ctx)
{
    struct call *call = queue_call_new(queue, sizeof *call);

    call->owner.name = arena_copy(call->base.arena, owner.name);
    call->owner.home = owner.home;
    call->ctx = ctx;
    command_init_args(&call->args);
    call->base.finish = call_finish;
    return call;
}

static void send(struct call *call, struct redis_command *command, redis_fn fn)
{
    redis_send(call->base.queue->main, command, REDIS_BUDGET_MS, fn, call);
}

static void script_init(struct call *call, struct redis_command *command,
                        enum script script)
{
    command_init_partition(command, call->base.queue, script, call->owner.home);
    command_add(command, call->owner.name);
}

static void tell(struct call *call, const struct queue_answer *answer)
{
    list_remove(&call->base.link); /* the callback may close the queue */
    call->answered(call->ctx, answer);
    queue_call_end(&call->base);
}

static void tell_status(struct call *call, enum queue_status status,
                        const struct error *why)
{
    struct queue_answer answer = {.status = status, .why = *why};

    tell(call, &answer);
}

static void refuse(struct call *call, const char *why)
{
    struct queue_answer answer = {.status = QUEUE_REFUSED};

    error_set(&answer.why, ERR_INPUT, "%s", why);
    tell(call, &answer);
}

/* --- what is sent --- */

static void add_text(struct redis_command *command,
                     const struct sender_domain *domain)
{
    struct buf text;

    buf_init(&text, SENDER_TEXT_MAX);
    sender_domain_write(domain, &text);
    CHECK(!text.full);
    command_add(command, buf_str(&text));
    buf_finish(&text);
}

static void add_private(struct redis_command *command,
                        const struct sender_key *key,
                        const struct sender_sealed *sealed)
{
    struct buf text;

    buf_init(&text, SEALED_MAX);
    buf_addf(&text, "%.*s %.*s %.*s %.*s", STR_ARG(key->rsa_selector),
             STR_ARG(key->ed25519_selector), STR_ARG(sealed->rsa),
             STR_ARG(sealed->ed25519));
    CHECK(!text.full);
    command_add(command, buf_str(&text));
    buf_finish(&text);
}

static void add_event(struct redis_command *command,
                      const struct domain_event *event)
{
    if (event == NULL || event->type == EVENT_TYPE_COUNT)
        return;
    command_add_cstr(command, event_type_name(event->type));
    command_add(command, event->members);
}

static int64_t kept_ms(const struct call *call)
{
    return SENDER_KEY_KEPT_MS + call->base.queue->config->worker.message_ttl_ms;
}

/* When private halves go; 0: not yet. Mail that names a compromised generation
 * has another one by then. */
static int64_t goes_ms(const struct call *call, const struct sender_key *key)
{
    if (key->retires_ms == 0 || key->compromised_ms > 0)
        return key->retires_ms;
    return key->retires_ms + kept_ms(call);
}

/* --- creating one: a claim, then the domain --- */

static void on_created(void *ctx, const struct reply *reply,
                       const struct error *why);

/* The claim must be young, or it may be another one's by now. */
static void create(struct call *call)
{
    struct redis_command command;
    struct error why;

    if (clock_now_ms() - call->claimed_ms > CLAIM_FRESH_MS) {
        error_set(&why, ERR_TIMEOUT, "redis: no answer in time");
        tell_status(call, QUEUE_AWAY, &why);
        return;
    }
    script_init(call, &command, SCRIPT_DOMAIN_CREATE);
    command_add_args(&command, &call->args);
    send(call, &command, on_created);
}

static struct str claim_key(struct call *call, char *out)
{
    return queue_global_key(call->base.queue, out, KEY_DOMAIN "%.*s",
                            STR_ARG(call->name));
}

static void claim(struct call *call, struct str old, redis_fn fn)
{
    struct redis_command command;
    char key[KEY_MAX];

    call->claimed_ms = clock_now_ms();
    command_init_script(&command, SCRIPT_DOMAIN_CLAIM, claim_key(call, key));
    command_add(&command, call->owner.name);
    command_add(&command, id_str(&call->token));
    command_add(&command, old);
    send(call, &command, fn);
}

static void release(struct call *call, redis_fn fn)
{
    struct redis_command command;
    char key[KEY_MAX];

    command_init_script(&command, SCRIPT_DOMAIN_RELEASE, claim_key(call, key));
    command_add(&command, call->claim);
    send(call, &command, fn);
}

static void on_full_released(void *ctx, const struct reply *reply,
                             const struct error *why)
{
    struct queue_answer answer = {.status = QUEUE_OWNER_FULL};

    (void)reply;
    (void)why; /* then another one takes the claim over */
    error_set(&answer.why, ERR_BUSY,
              "there are as many domains as there may "
              "be: %d",
              SENDER_DOMAINS_MAX);
    tell(ctx, &answer);
}

static void on_created(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct call *call = ctx;
    struct str word = reply_str(reply_at(reply, 0));
    struct queue_answer answer;

    FAULT_POINT("domain.create_done");
    if (str_eq(word, S("full"))) {
        release(call, on_full_released);
        return;
    }
    if (str_eq(word, S("exists"))) {
        refuse(call, "this account has that domain already");
        return;
    }
    idempotency_read(reply, why, &answer);
    tell(call, &answer);
}

static const char TAKEN[] = "another account has that domain";

static void on_claimed_over(void *ctx, const struct reply *reply,
                            const struct error *why)
{
    struct call *call = ctx;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status != QUEUE_OK) {
        tell_status(call, status, &err);
    } else if (!str_eq(reply_str(reply_at(reply, 0)), S("ok"))) {
        refuse(call, TAKEN);
    } else {
        call->claim =
            arena_copy(call->base.arena, reply_str(reply_at(reply, 1)));
        create(call);
    }
}

static void on_holder_looked(void *ctx, const struct queue_domains *domains)
{
    struct call *call = ctx;

    if (domains->status == QUEUE_OK)
        refuse(call, TAKEN);
    else if (domains->status != QUEUE_NOT_FOUND)
        tell_status(call, domains->status, &domains->why);
    else
        claim(call, call->claim, on_claimed_over);
}

static void on_holder_home(void *ctx, const struct queue_home *home)
{
    struct call *call = ctx;

    if (home->status == QUEUE_OK)
        queue_domain_get(call->base.queue, home->owner,
                         (struct domain_name){.name = call->name},
                         on_holder_looked, call);
    else if (home->status == QUEUE_NOT_FOUND)
        claim(call, call->claim, on_claimed_over);
    else
        tell_status(call, home->status, &home->why);
}

/* The claim is another one's: what a crash left of it is taken over. */
static void look_at_holder(struct call *call, int64_t age_ms)
{
    struct str rest = call->claim;
    struct str holder;

    if (age_ms < CLAIM_DEAD_MS || !str_cut(&rest, ' ', &holder)) {
        refuse(call, TAKEN);
        return;
    }
    queue_home_find(call->base.queue, holder, on_holder_home, call);
}

static void on_claimed(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct call *call = ctx;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    FAULT_POINT("domain.claim_done");
    if (status != QUEUE_OK) {
        tell_status(call, status, &err);
        return;
    }
    call->claim = arena_copy(call->base.arena, reply_str(reply_at(reply, 1)));
    if (str_eq(reply_str(reply_at(reply, 0)), S("ok")))
        create(call);
    else
        look_at_holder(call, reply_int(reply_at(reply, 2)));
}

void queue_domain_create(struct queue *queue, struct queue_owner owner,
                         const struct sender_domain *domain,
                         const struct sender_sealed *sealed,
                         const struct domain_event *event,
                         const struct idempotency *idempotency,
                         struct str answer, queue_answer_fn done, void *ctx)
{
    struct call *call = call_new(queue, owner, ctx);

    CHECK(domain->key_count == 1);
    call->answered = done;
    call->name = arena_copy(call->base.arena, domain->name);
    call->token = id_new(owner.home);
    command_add(&call->args, id_str(&domain->id));
    idempotency_add(&call->args, idempotency);
    command_add(&call->args, answer);
    command_add(&call->args, domain->name);
    add_text(&call->args, domain);
    command_add_int(&call->args, domain->due_ms);
    command_add(&call->args, id_str(&domain->keys[0].id));
    add_private(&call->args, &domain->keys[0], sealed);
    add_event(&call->args, event);
    claim(call, S(""), on_claimed);
}

/* --- changing one --- */

static void on_put(void *ctx, const struct reply *reply,
                   const struct error *why)
{
    struct str word = reply_str(reply_at(reply, 0));
    struct queue_answer answer = {.status = QUEUE_NOT_FOUND};

    if (str_eq(word, S("stale"))) {
        refuse(ctx, "the domain was changed meanwhile");
        return;
    }
    if (!str_eq(word, S("missing")))
        idempotency_read(reply, why, &answer);
    tell(ctx, &answer);
}

static const struct sender_key *newest_key(const struct sender_domain *domain)
{
    CHECK(domain->key_count > 0);
    return &domain->keys[domain->key_count - 1];
}

void queue_domain_put(struct queue *queue, struct queue_owner owner,
                      const struct domain_put *put, queue_answer_fn done,
                      void *ctx)
{
    const struct sender_domain *domain = put->domain;
    struct call *call = call_new(queue, owner, ctx);
    struct redis_command command;

    call->answered = done;
    script_init(call, &command, SCRIPT_DOMAIN_PUT);
    command_add(&command, id_str(&domain->id));
    idempotency_add(&command, put->idempotency);
    command_add(&command, put->answer);
    command_add(&command, domain->name);
    add_text(&command, domain);
    command_add_int(&command, domain->due_ms);
    command_add_int(&command, (int64_t)domain->version);
    command_add(&command, put->new_key == NULL ? S("") : id_str(put->new_key));
    if (put->new_key != NULL)
        add_private(&command, newest_key(domain), put->sealed);
    else
        command_add_cstr(&command, "");
    for (size_t i = 0; i < put->event_count; i++)
        add_event(&command, &put->events[i]);
    command_add_cstr(&command, "");
    for (size_t i = 0; i < domain->key_count; i++) {
        command_add(&command, id_str(&domain->keys[i].id));
        command_add_int(&command, goes_ms(call, &domain->keys[i]));
    }
    send(call, &command, on_put);
}

/* --- deleting one: the domain, then its claim --- */

static void on_released(void *ctx, const struct reply *reply,
                        const struct error *why)
{
    struct queue_answer answer = {.status = QUEUE_OK};

    (void)reply;
    (void)why; /* then another one takes the claim over */
    tell(ctx, &answer);
}

static void on_deleted(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct call *call = ctx;
    struct error err = {0};
    enum queue_status status = reply_status(reply, why, &err);

    FAULT_POINT("domain.delete_done");
    if (str_eq(reply_str(reply_at(reply, 0)), S("missing")))
        status = QUEUE_NOT_FOUND;
    if (status != QUEUE_OK)
        tell_status(call, status, &err);
    else
        release(call, on_released);
}

/* Read before: one that was claimed anew behind the deletion stays. */
static void on_claim_read(void *ctx, const struct reply *reply,
                          const struct error *why)
{
    struct call *call = ctx;
    struct redis_command command;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status != QUEUE_OK) {
        tell_status(call, status, &err);
        return;
    }
    call->claim = arena_copy(call->base.arena, reply_str(reply));
    script_init(call, &command, SCRIPT_DOMAIN_DELETE);
    command_add_args(&command, &call->args);
    send(call, &command, on_deleted);
}

void queue_domain_delete(struct queue *queue, struct queue_owner owner,
                         const struct sender_domain *domain,
                         const struct domain_event *event, queue_answer_fn done,
                         void *ctx)
{
    struct call *call = call_new(queue, owner, ctx);
    struct redis_command command;
    char key[KEY_MAX];

    call->answered = done;
    call->name = arena_copy(call->base.arena, domain->name);
    command_add(&call->args, id_str(&domain->id));
    command_add(&call->args, domain->name);
    command_add_int(&call->args, kept_ms(call));
    add_event(&call->args, event);
    command_add_cstr(&call->args, "");
    for (size_t i = 0; i < domain->key_count; i++)
        command_add(&call->args, id_str(&domain->keys[i].id));
    command_init(&command, "GET");
    command_add(&command, claim_key(call, key));
    send(call, &command, on_claim_read);
}

/* --- look-ups --- */

/* "<version> <text>". */
static bool read_domain(const struct reply *id, const struct reply *stored,
                        struct arena *arena, struct sender_domain *domain)
{
    struct str text = reply_str(stored);
    struct str version;

    return id_parse(reply_str(id), &domain->id) &&
           str_cut(&text, ' ', &version) &&
           str_to_u64(version, &domain->version) &&
           sender_domain_read(text, arena, domain);
}

static struct sender_domain *
read_domains(struct call *call, const struct reply *reply, size_t *count)
{
    struct arena *arena = call->base.arena;
    struct sender_domain *all =
        ARENA_ARRAY(arena, struct sender_domain, reply_count(reply) + 1);

    *count = 0;
    for (size_t i = 0; i < reply_count(reply); i++) {
        const struct reply *pair = reply_at(reply, i);

        *count += read_domain(reply_at(pair, 0), reply_at(pair, 1), arena,
                              &all[*count]);
    }
    return all;
}

static void on_listed(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct call *call = ctx;
    struct queue_domains result = {0};
    const struct sender_domain *all;

    result.status = reply_status(reply, why, &result.why);
    result.owner_has_none = str_eq(reply_str(reply_at(reply, 0)), S("none"));
    all = read_domains(call, reply, &result.count);
    result.has_more = call->limit > 0 && result.count > call->limit;
    if (result.has_more)
        result.count = call->limit;
    /* The one too many stands at the far end of the page. */
    result.domains = all + (result.has_more && call->is_backward ? 1 : 0);
    if (result.status == QUEUE_OK && call->is_one && result.count == 0)
        result.status = QUEUE_NOT_FOUND;
    list_remove(&call->base.link); /* the callback may close the queue */
    call->listed(call->ctx, &result);
    queue_call_end(&call->base);
}

void queue_domain_list(struct queue *queue, struct queue_owner owner,
                       const struct queue_page *page, queue_domains_fn done,
                       void *ctx)
{
    struct call *call = call_new(queue, owner, ctx);
    struct redis_command command;

    call->listed = done;
    call->limit = page->limit;
    call->is_backward = page->before.len > 0;
    script_init(call, &command, SCRIPT_DOMAIN_LIST);
    command_add_cstr(&command, "");
    command_add_int(&command, page->limit);
    command_add(&command, page->after);
    command_add(&command, page->before);
    send(call, &command, on_listed);
}

void queue_domain_get(struct queue *queue, struct queue_owner owner,
                      struct domain_name name, queue_domains_fn done, void *ctx)
{
    struct call *call = call_new(queue, owner, ctx);
    struct redis_command command;

    call->listed = done;
    call->is_one = true;
    script_init(call, &command, SCRIPT_DOMAIN_LIST);
    if (name.id != NULL)
        command_addf(&command, "i%s", name.id->text);
    else
        command_addf(&command, "n%.*s", STR_ARG(name.name));
    command_add_cstr(&command, "1");
    command_add_cstr(&command, "");
    command_add_cstr(&command, "");
    send(call, &command, on_listed);
}

void queue_domain_find(struct queue *queue, struct queue_owner owner,
                       struct str from_domain, queue_domains_fn done, void *ctx)
{
    struct call *call = call_new(queue, owner, ctx);
    struct redis_command command;
    struct str label;

    call->listed = done;
    script_init(call, &command, SCRIPT_DOMAIN_FIND);
    for (unsigned i = 0; i < PARENTS_MAX; i++) {
        command_add(&command, from_domain);
        if (!str_cut(&from_domain, '.', &label) ||
            str_index(from_domain, '.', 0) < 0)
            break; /* no top level signs */
    }
    send(call, &command, on_listed);
}

/* --- checks that are due --- */

enum { NEXT, OWNER, FIRST };

static void read_due(struct call *call, const struct reply *reply,
                     struct queue_due_domains *result)
{
    struct arena *arena = call->base.arena;
    struct sender_domain *all =
        ARENA_ARRAY(arena, struct sender_domain, reply_count(reply) + 1);

    for (size_t i = FIRST; i + 1 < reply_count(reply); i += 2)
        result->count += read_domain(reply_at(reply, i), reply_at(reply, i + 1),
                                     arena, &all[result->count]);
    result->domains = all;
    result->owner.name = reply_str(reply_at(reply, OWNER));
    result->next_ms = reply_int(reply_at(reply, NEXT));
}

static void on_due(void *ctx, const struct reply *reply,
                   const struct error *why)
{
    struct call *call = ctx;
    struct queue_due_domains result = {.owner.home = call->owner.home};

    result.status = reply_status(reply, why, &result.why);
    if (result.status == QUEUE_OK)
        read_due(call, reply, &result);
    list_remove(&call->base.link); /* the callback may close the queue */
    call->due(call->ctx, &result);
    queue_call_end(&call->base);
}

void queue_domains_due(struct queue *queue, unsigned partition, unsigned limit,
                       int64_t lease_ms, queue_due_domains_fn done, void *ctx)
{
    struct call *call =
        call_new(queue, (struct queue_owner){.home = partition}, ctx);
    struct redis_command command;

    call->due = done;
    command_init_partition(&command, queue, SCRIPT_DOMAINS_DUE, partition);
    command_add_int(&command, limit);
    command_add_int(&command, lease_ms);
    send(call, &command, on_due);
}

/* --- private halves --- */

static bool read_private(struct str text, struct queue_domain_key *key)
{
    struct str *parts[] = {&key->domain, &key->rsa_selector,
                           &key->ed25519_selector, &key->sealed.rsa,
                           &key->sealed.ed25519};

    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!str_cut(&text, ' ', parts[i]) || parts[i]->len == 0)
            return false;
    return true;
}

enum { PRIVATE, PRESENT_ID, PRESENT_TEXT };

static void read_key(struct call *call, const struct reply *reply,
                     struct queue_domain_key *key)
{
    struct sender_domain *present =
        ARENA_NEW(call->base.arena, struct sender_domain);

    if (read_domain(reply_at(reply, PRESENT_ID), reply_at(reply, PRESENT_TEXT),
                    call->base.arena, present))
        key->present = present;
    if (!read_private(reply_str(reply_at(reply, PRIVATE)), key))
        key->status = QUEUE_NOT_FOUND;
}

static void on_key(void *ctx, const struct reply *reply,
                   const struct error *why)
{
    struct call *call = ctx;
    struct queue_domain_key key = {0};

    key.status = reply_status(reply, why, &key.why);
    if (key.status == QUEUE_OK)
        read_key(call, reply, &key);
    list_remove(&call->base.link); /* the callback may close the queue */
    call->got_key(call->ctx, &key);
    queue_call_end(&call->base);
}

void queue_domain_key_get(struct queue *queue, struct queue_owner owner,
                          struct str domain, struct str key_id,
                          queue_domain_key_fn done, void *ctx)
{
    struct call *call = call_new(queue, owner, ctx);
    struct redis_command command;

    call->got_key = done;
    script_init(call, &command, SCRIPT_DOMAIN_KEY);
    command_add(&command, domain);
    command_add(&command, key_id);
    send(call, &command, on_key);
}
