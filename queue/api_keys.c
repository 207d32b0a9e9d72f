/* API keys: k:<sha256> is the record that a request is held against;
 * {N}:keys:<owner> lists an owner's keys, {N}:used:<owner> when each was used
 * last. The record is written before the list and dropped behind it, so what
 * a crash leaves is a record whose token nobody was told. */
#include "queue/core.h"

#include "server/base/clock.h"
#include "server/base/map.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    LIST_MAX = 100,
    USED_AGAIN_MS = 60000,
    USED_KEPT_MAX = 10000, /* keys whose last use this process remembers */
    FIELDS = 9,
};

static const char *const PERMISSIONS[] = {
    [KEY_FULL_ACCESS] = "full_access",
    [KEY_SENDING_ACCESS] = "sending_access",
    [KEY_READ_ACCESS] = "read_access",
};

const char *key_permission_name(enum key_permission permission)
{
    CHECK(permission < COUNT_OF(PERMISSIONS));
    return PERMISSIONS[permission];
}

bool key_permission_parse(struct str name, enum key_permission *permission)
{
    for (size_t i = 0; i < COUNT_OF(PERMISSIONS); i++) {
        if (str_eq(name, str_of(PERMISSIONS[i]))) {
            *permission = (enum key_permission)i;
            return true;
        }
    }
    return false;
}

/* --- reading one --- */

static const char *const FIELD_NAMES[FIELDS] = {
    "id",        "owner",   "name",      "prefix", "permission",
    "partition", "created", "domain_id", "domain"};

static void add_fields(struct redis_command *command)
{
    for (size_t i = 0; i < FIELDS; i++)
        command_add_cstr(command, FIELD_NAMES[i]);
}

/* Of a key for all domains both are missing. */
static bool read_domain(const struct reply *id, const struct reply *name,
                        struct arena *arena, struct api_key *key)
{
    key->domain_id.text[0] = '\0';
    key->domain = arena_copy(arena, reply_str(name));
    return key->domain.len == 0 || id_parse(reply_str(id), &key->domain_id);
}

/* From what HMGET answers. False: there is no such key (any more). */
static bool read_key(const struct reply *reply, struct arena *arena,
                     struct api_key *key)
{
    struct str owner = reply_str(reply_at(reply, 1));

    if (reply_count(reply) != FIELDS || owner.len > OWNER_NAME_MAX ||
        !id_parse(reply_str(reply_at(reply, 0)), &key->id) ||
        !key_permission_parse(reply_str(reply_at(reply, 4)),
                              &key->permission) ||
        !read_domain(reply_at(reply, 7), reply_at(reply, 8), arena, key))
        return false;
    key->owner = arena_copy(arena, owner);
    key->name = arena_copy(arena, reply_str(reply_at(reply, 2)));
    key->prefix = arena_copy(arena, reply_str(reply_at(reply, 3)));
    key->partition = (unsigned)reply_int(reply_at(reply, 5));
    key->created_ms = reply_int(reply_at(reply, 6));
    key->last_used_ms = 0;
    return true;
}

struct finding {
    struct queue_call call;
    queue_keys_fn done;
    void *ctx;
};

static void on_found(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    struct finding *finding = ctx;
    struct queue_keys result = {0};
    struct api_key key;

    result.status = reply_status(reply, why, &result.why);
    if (result.status == QUEUE_OK) {
        if (read_key(reply, finding->call.arena, &key)) {
            result.keys = &key;
            result.count = 1;
        } else {
            result.status = QUEUE_NOT_FOUND;
        }
    }
    finding->done(finding->ctx, &result);
    queue_call_end(&finding->call);
}

void queue_key_find(struct queue *queue, struct str hash, queue_keys_fn done,
                    void *ctx)
{
    struct finding *finding = queue_call_new(queue, sizeof *finding);
    struct redis_command command;
    char name[KEY_MAX];

    finding->done = done;
    finding->ctx = ctx;
    command_init(&command, "HMGET");
    command_add(&command, queue_global_key(queue, name, KEY_API_KEY "%.*s",
                                           STR_ARG(hash)));
    add_fields(&command);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_found, finding);
}

/* --- making one --- */

struct making {
    struct queue_call call;
    struct api_key key;
    struct str hash;
    struct idempotency idempotency;
    struct str answer;
    struct str record; /* the key of Redis that holds the record */
    queue_answer_fn done;
    void *ctx;
};

static void unlink_record(struct queue *queue, struct str record)
{
    struct redis_command command;

    command_init(&command, "UNLINK");
    command_add(&command, record);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}

static void on_made(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct making *making = ctx;
    struct queue_answer answer;

    idempotency_read(reply, why, &answer);
    if (answer.status != QUEUE_OK && answer.status != QUEUE_AWAY)
        unlink_record(making->call.queue, making->record);
    making->done(making->ctx, &answer);
    queue_call_end(&making->call);
}

static void making_fail(struct making *making, enum queue_status status,
                        const struct error *why)
{
    struct queue_answer answer = {.status = status, .why = *why};

    making->done(making->ctx, &answer);
    queue_call_end(&making->call);
}

/* Behind the record. */
static void list_key(struct making *making)
{
    struct queue *queue = making->call.queue;
    const struct api_key *key = &making->key;
    struct redis_command command;

    command_init_partition(&command, queue, SCRIPT_KEY_CREATE, key->partition);
    command_add(&command, key->owner);
    command_add(&command, id_str(&key->id));
    command_add(&command, making->hash);
    idempotency_add(&command, &making->idempotency);
    command_add_int(&command, 201);
    command_add(&command, making->answer);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_made, making);
}

static void on_record(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct making *making = ctx;
    struct error err;
    enum queue_status status = reply_status(reply, why, &err);

    if (status == QUEUE_OK)
        list_key(making);
    else
        making_fail(making, status, &err);
}

static void send_record(struct making *making)
{
    const struct api_key *key = &making->key;
    struct redis_command command;

    command_init(&command, "HSET");
    command_add(&command, making->record);
    command_add_cstr(&command, "id");
    command_add(&command, id_str(&key->id));
    command_add_cstr(&command, "owner");
    command_add(&command, key->owner);
    command_add_cstr(&command, "name");
    command_add(&command, key->name);
    command_add_cstr(&command, "prefix");
    command_add(&command, key->prefix);
    command_add_cstr(&command, "permission");
    command_add_cstr(&command, key_permission_name(key->permission));
    command_add_cstr(&command, "partition");
    command_add_int(&command, key->partition);
    command_add_cstr(&command, "created");
    command_add_int(&command, key->created_ms);
    if (key->domain.len > 0) {
        command_add_cstr(&command, "domain_id");
        command_add(&command, id_str(&key->domain_id));
        command_add_cstr(&command, "domain");
        command_add(&command, key->domain);
    }
    redis_send(making->call.queue->main, &command, REDIS_BUDGET_MS, on_record,
               making);
}

static void on_home(void *ctx, const struct queue_home *home)
{
    struct making *making = ctx;

    if (home->status == QUEUE_OK) {
        making->key.partition = home->owner.home;
        send_record(making);
    } else {
        making_fail(making, home->status, &home->why);
    }
}

static void copy_key(struct making *making, const struct api_key *key)
{
    struct arena *arena = making->call.arena;

    making->key = *key;
    making->key.owner = arena_copy(arena, key->owner);
    making->key.name = arena_copy(arena, key->name);
    making->key.prefix = arena_copy(arena, key->prefix);
    making->key.domain = arena_copy(arena, key->domain);
}

void queue_key_create(struct queue *queue, const struct api_key *key,
                      struct str hash, const struct idempotency *idempotency,
                      struct str answer, queue_answer_fn done, void *ctx)
{
    struct making *making = queue_call_new(queue, sizeof *making);
    struct arena *arena = making->call.arena;
    char name[KEY_MAX];

    copy_key(making, key);
    making->hash = arena_copy(arena, hash);
    making->record =
        arena_copy(arena, queue_global_key(queue, name, KEY_API_KEY "%.*s",
                                           STR_ARG(hash)));
    if (idempotency != NULL) {
        making->idempotency.key_hash = arena_copy(arena, idempotency->key_hash);
        making->idempotency.fingerprint =
            arena_copy(arena, idempotency->fingerprint);
    }
    making->answer = arena_copy(arena, answer);
    making->done = done;
    making->ctx = ctx;
    queue_home_make(queue, key->owner, on_home, making);
}

/* --- whose keys are not here --- */

/* Nothing is: he may live elsewhere by now. */
static void ask_for_mark(struct queue *queue, struct queue_owner owner,
                         redis_fn fn, void *ctx)
{
    struct redis_command command;
    char name[KEY_MAX];

    command_init(&command, "HGET");
    command_add(&command, queue_key(queue, owner.home, name, KEY_OWNER "%.*s",
                                    STR_ARG(owner.name)));
    command_add_cstr(&command, "frozen");
    redis_send(queue->main, &command, REDIS_BUDGET_MS, fn, ctx);
}

/* OK: he lives here. */
static enum queue_status mark_status(const struct reply *reply,
                                     const struct error *why, struct error *err)
{
    if (str_eq(reply_str(reply), S("moved"))) {
        error_set(err, ERR_BUSY, "the owner has moved");
        return QUEUE_MOVED;
    }
    return reply_status(reply, why, err);
}

/* --- listing --- */

struct listing {
    struct queue_call call;
    struct queue_owner owner;
    bool newest_first; /* of what Redis answers; else it is turned around */
    unsigned limit;
    struct api_key keys[LIST_MAX];
    struct listed {
        struct listing *listing;
        bool found;
    } listed[LIST_MAX]; /* one for each key; answers come in any order */
    size_t asked;
    size_t answered;
    size_t found;
    struct queue_keys result;
    queue_keys_fn done;
    void *ctx;
};

static void listing_tell(struct listing *listing)
{
    listing->result.keys = listing->keys;
    listing->result.count = listing->found;
    listing->done(listing->ctx, &listing->result);
    queue_call_end(&listing->call);
}

/* Times of last use, in the order of listing->keys. */
static void on_uses(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct listing *listing = ctx;

    listing->result.status = reply_status(reply, why, &listing->result.why);
    for (size_t i = 0; i < listing->found; i++)
        listing->keys[i].last_used_ms = reply_int(reply_at(reply, i));
    listing_tell(listing);
}

static void ask_for_uses(struct listing *listing)
{
    struct queue *queue = listing->call.queue;
    struct redis_command command;
    char name[KEY_MAX];

    command_init(&command, "HMGET");
    command_add(&command,
                queue_key(queue, listing->owner.home, name, KEY_USED "%.*s",
                          STR_ARG(listing->owner.name)));
    for (size_t i = 0; i < listing->found; i++)
        command_add(&command, id_str(&listing->keys[i].id));
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_uses, listing);
}

/* Revoked, but still listed. */
static void drop_missing(struct listing *listing)
{
    for (size_t i = 0; i < listing->asked; i++)
        if (listing->listed[i].found)
            listing->keys[listing->found++] = listing->keys[i];
}

static void on_listed_key(void *ctx, const struct reply *reply,
                          const struct error *why)
{
    struct listed *listed = ctx;
    struct listing *listing = listed->listing;
    enum queue_status status = reply_status(reply, why, &listing->result.why);

    if (status != QUEUE_OK)
        listing->result.status = status;
    else
        listed->found = read_key(reply, listing->call.arena,
                                 &listing->keys[listed - listing->listed]);
    if (++listing->answered < listing->asked)
        return;
    drop_missing(listing);
    if (listing->result.status != QUEUE_OK || listing->found == 0)
        listing_tell(listing);
    else
        ask_for_uses(listing);
}

static void on_mark(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    struct listing *listing = ctx;

    listing->result.status = mark_status(reply, why, &listing->result.why);
    listing_tell(listing);
}

/* Members are id and hash; one more than the limit was asked for. */
static void on_members(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct listing *listing = ctx;
    struct queue *queue = listing->call.queue;
    size_t count = reply_count(reply);
    char name[KEY_MAX];

    listing->result.status = reply_status(reply, why, &listing->result.why);
    listing->result.has_more = count > listing->limit;
    listing->asked = count > listing->limit ? listing->limit : count;
    if (listing->asked == 0) {
        if (listing->result.status == QUEUE_OK)
            ask_for_mark(listing->call.queue, listing->owner, on_mark, listing);
        else
            listing_tell(listing);
        return;
    }
    for (size_t i = 0, asked = listing->asked; i < asked; i++) {
        size_t at = listing->newest_first ? i : asked - 1 - i;
        struct str member = reply_str(reply_at(reply, at));
        struct redis_command command;

        command_init(&command, "HMGET");
        command_add(&command,
                    queue_global_key(queue, name, KEY_API_KEY "%.*s",
                                     STR_ARG(str_from(member, ID_LEN))));
        add_fields(&command);
        listing->listed[i].listing = listing;
        redis_send(queue->main, &command, REDIS_BUDGET_MS, on_listed_key,
                   &listing->listed[i]);
    }
}

/* "[" or "(" before a member, or an open end. What begins with an id sorts
 * behind the id alone, and before the id with "~". */
static void add_bounds(struct redis_command *command,
                       const struct queue_page *page, bool newest_first)
{
    if (!newest_first) {
        command_addf(command, "(%.*s~", STR_ARG(page->before));
        command_add_cstr(command, "+");
    } else if (page->after.len > 0) {
        command_addf(command, "(%.*s", STR_ARG(page->after));
        command_add_cstr(command, "-");
    } else {
        command_add_cstr(command, "+");
        command_add_cstr(command, "-");
    }
}

void queue_key_list(struct queue *queue, struct queue_owner owner,
                    const struct queue_page *page, queue_keys_fn done,
                    void *ctx)
{
    struct listing *listing = queue_call_new(queue, sizeof *listing);
    struct redis_command command;
    char name[KEY_MAX];

    CHECK(page->limit >= 1 && page->limit <= LIST_MAX);
    listing->owner.name = arena_copy(listing->call.arena, owner.name);
    listing->owner.home = owner.home;
    listing->limit = page->limit;
    listing->newest_first = page->before.len == 0;
    listing->done = done;
    listing->ctx = ctx;
    command_init(&command,
                 listing->newest_first ? "ZREVRANGEBYLEX" : "ZRANGEBYLEX");
    command_add(&command, queue_key(queue, owner.home, name, KEY_KEYS "%.*s",
                                    STR_ARG(owner.name)));
    add_bounds(&command, page, listing->newest_first);
    command_add_cstr(&command, "LIMIT");
    command_add_int(&command, 0);
    command_add_int(&command, page->limit + 1);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_members, listing);
}

/* --- renaming and deleting one --- */

struct changing {
    struct queue_call call;
    struct queue_owner owner;
    struct str name; /* its new one; of one that is deleted empty */
    struct str member;
    struct str record; /* the key of Redis that holds the record */
    queue_answer_fn done;
    void *ctx;
};

static void changing_tell(struct changing *changing, enum queue_status status,
                          const struct error *why)
{
    struct queue_answer answer = {.status = status, .why = *why};

    changing->done(changing->ctx, &answer);
    queue_call_end(&changing->call);
}

static void on_renamed(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct error err = {0};
    enum queue_status status = reply_status(reply, why, &err);

    if (status == QUEUE_OK && reply_int(reply_at(reply, 0)) == 0)
        status = QUEUE_NOT_FOUND;
    changing_tell(ctx, status, &err);
}

static void rename_record(struct changing *changing)
{
    struct redis_command command;

    command_init_script(&command, SCRIPT_KEY_CHANGE, changing->record);
    command_add_cstr(&command, "name");
    command_add(&command, changing->name);
    redis_send(changing->call.queue->main, &command, REDIS_BUDGET_MS,
               on_renamed, changing);
}

static void on_deleted(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    struct error err = {0};
    enum queue_status status = reply_status(reply, why, &err);

    changing_tell(ctx, status, &err);
}

static void on_record_gone(void *ctx, const struct reply *reply,
                           const struct error *why)
{
    struct changing *changing = ctx;
    struct queue *queue = changing->call.queue;
    struct redis_command command;
    char name[KEY_MAX];
    struct error err = {0};
    enum queue_status status = reply_status(reply, why, &err);

    if (status != QUEUE_OK) {
        changing_tell(changing, status, &err);
        return;
    }
    command_init(&command, "ZREM");
    command_add(&command,
                queue_key(queue, changing->owner.home, name, KEY_KEYS "%.*s",
                          STR_ARG(changing->owner.name)));
    command_add(&command, changing->member);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_deleted, changing);
}

/* The record first: from then on the key is dead, whatever comes. */
static void delete_record(struct changing *changing)
{
    struct redis_command command;

    command_init(&command, "UNLINK");
    command_add(&command, changing->record);
    redis_send(changing->call.queue->main, &command, REDIS_BUDGET_MS,
               on_record_gone, changing);
}

static void on_no_member(void *ctx, const struct reply *reply,
                         const struct error *why)
{
    struct error err = {0};
    enum queue_status status = mark_status(reply, why, &err);

    changing_tell(ctx, status == QUEUE_OK ? QUEUE_NOT_FOUND : status, &err);
}

static void on_member(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct changing *changing = ctx;
    struct arena *arena = changing->call.arena;
    char name[KEY_MAX];
    struct error err = {0};
    enum queue_status status = reply_status(reply, why, &err);

    if (status != QUEUE_OK) {
        changing_tell(changing, status, &err);
        return;
    }
    if (reply_count(reply) == 0) {
        ask_for_mark(changing->call.queue, changing->owner, on_no_member,
                     changing);
        return;
    }
    changing->member = arena_copy(arena, reply_str(reply_at(reply, 0)));
    changing->record = arena_copy(
        arena, queue_global_key(changing->call.queue, name, KEY_API_KEY "%.*s",
                                STR_ARG(str_from(changing->member, ID_LEN))));
    if (changing->name.len > 0)
        rename_record(changing);
    else
        delete_record(changing);
}

static void change(struct queue *queue, struct queue_owner owner,
                   const struct id *id, struct str new_name,
                   queue_answer_fn done, void *ctx)
{
    struct changing *changing = queue_call_new(queue, sizeof *changing);
    struct arena *arena = changing->call.arena;
    struct redis_command command;
    char name[KEY_MAX];

    changing->owner.name = arena_copy(arena, owner.name);
    changing->owner.home = owner.home;
    changing->name = arena_copy(arena, new_name);
    changing->done = done;
    changing->ctx = ctx;
    command_init(&command, "ZRANGEBYLEX");
    command_add(&command, queue_key(queue, owner.home, name, KEY_KEYS "%.*s",
                                    STR_ARG(owner.name)));
    command_addf(&command, "[%s", id->text);
    command_addf(&command, "(%s~", id->text);
    command_add_cstr(&command, "LIMIT");
    command_add_int(&command, 0);
    command_add_int(&command, 1);
    redis_send(queue->main, &command, REDIS_BUDGET_MS, on_member, changing);
}

void queue_key_rename(struct queue *queue, struct queue_owner owner,
                      const struct id *id, struct str name,
                      queue_answer_fn done, void *ctx)
{
    CHECK(name.len > 0);
    change(queue, owner, id, name, done, ctx);
}

void queue_key_delete(struct queue *queue, struct queue_owner owner,
                      const struct id *id, queue_answer_fn done, void *ctx)
{
    change(queue, owner, id, S(""), done, ctx);
}

/* --- last use --- */

struct key_uses {
    struct queue_part part;
    struct map *told_ms; /* by key id: int64_t, when Redis was told last */
};

static void uses_forget(struct key_uses *uses)
{
    struct str id;
    void *value;
    size_t at = 0;

    while (map_next(uses->told_ms, &at, &id, &value))
        free(value);
    map_destroy(&uses->told_ms);
}

static void uses_close(void *ctx)
{
    struct key_uses *uses = ctx;

    uses_forget(uses);
    free(uses);
}

static struct key_uses *uses_of(struct queue *queue)
{
    if (queue->key_uses == NULL) {
        queue->key_uses = xcalloc(1, sizeof *queue->key_uses);
        queue->key_uses->told_ms = map_create();
        queue->key_uses->part.close = uses_close;
        queue->key_uses->part.ctx = queue->key_uses;
        queue_part_add(queue, &queue->key_uses->part);
    }
    return queue->key_uses;
}

static bool was_told_lately(struct key_uses *uses, const struct id *id)
{
    int64_t *told_ms = map_get(uses->told_ms, id_str(id));

    if (told_ms == NULL) {
        if (map_count(uses->told_ms) >= USED_KEPT_MAX) {
            uses_forget(uses);
            uses->told_ms = map_create();
        }
        told_ms = xcalloc(1, sizeof *told_ms);
        map_put(uses->told_ms, id_str(id), told_ms);
    } else if (clock_now_ms() - *told_ms < USED_AGAIN_MS) {
        return true;
    }
    *told_ms = clock_now_ms();
    return false;
}

void queue_key_used(struct queue *queue, const struct api_key *key)
{
    struct redis_command command;
    char name[KEY_MAX];

    if (was_told_lately(uses_of(queue), &key->id))
        return;
    command_init(&command, "HSET");
    command_add(&command, queue_key(queue, key->partition, name,
                                    KEY_USED "%.*s", STR_ARG(key->owner)));
    command_add(&command, id_str(&key->id));
    command_add_int(&command, clock_wall_ms());
    command.lasts = false; /* of a minute's accuracy anyhow */
    redis_send(queue->main, &command, REDIS_BUDGET_MS, NULL, NULL);
}
