#include "api/call.h"
#include "api/page.h"
#include "api/tables.h"
#include "server/base/clock.h"
#include "server/base/secret.h"

enum { KEY_NAME_MAX = 50, BODY_MAX = 256 * 1024 };

static const char NO_KEY[] = "API key not found";

static const char *const PERMISSIONS[] = {"full_access", "sending_access",
                                          "read_access", NULL};

#define NAME_ROW                                                               \
    {                                                                          \
        .name = "name", .type = FIELD_TEXT, .required = true,                  \
        .max = KEY_NAME_MAX                                                    \
    }

const struct field KEY_FIELDS[] = {
    NAME_ROW,
    {.name = "permission", .type = FIELD_WORD, .words = PERMISSIONS},
    {.name = "domain_id", .type = FIELD_TEXT, .max = ID_LEN},
    {.name = NULL},
};

const struct field KEY_UPDATE_FIELDS[] = {
    NAME_ROW,
    {.name = NULL},
};

static struct str read_name(struct call *call, const struct json *root,
                            struct faults *faults)
{
    struct str name = arena_copy(call->arena, json_get_str(root, "name"));

    if (name.len == 0)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/name"), "empty",
                   "must not be empty");
    else if (str_has_control(name))
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/name"),
                   "control_character", "holds a control character");
    return name;
}

/* --- POST /api-keys --- */

struct creating {
    struct call *call;
    struct api_key key;
    char token[API_TOKEN_SIZE];
};

static void token_end(void *own)
{
    struct creating *creating = own;

    secret_wipe(creating->token, sizeof creating->token);
}

static void write_created(const struct creating *creating, bool with_token,
                          struct buf *body)
{
    struct json_out out;

    json_out_init(&out, body);
    json_open_map(&out);
    json_add_str(&out, "id", id_str(&creating->key.id));
    if (with_token)
        json_add_cstr(&out, "token", creating->token);
    json_close_map(&out);
}

static void on_created(void *ctx, const struct queue_answer *answer)
{
    struct creating *creating = ctx;
    struct call *call = creating->call;
    struct buf body;

    if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
        return;
    }
    if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NO_KEY);
        return;
    }
    buf_init(&body, BODY_MAX);
    write_created(creating, true, &body);
    call_reply(call, 201, &body);
    buf_finish(&body);
}

/* A limit that would not hold is refused, not forgotten. */
static void read_domain(const struct json *root, struct api_key *key,
                        struct faults *faults)
{
    if (key->permission != KEY_SENDING_ACCESS)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/domain_id"),
                   "needs_sending_access",
                   "is for keys of `permission` \"sending_access\" alone");
    else if (!id_parse(json_get_str(root, "domain_id"), &key->domain_id))
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/domain_id"), "bad_id",
                   "must be the id of a domain");
}

static void read_key(struct call *call, const struct json *root,
                     struct api_key *key, struct faults *faults)
{
    struct str permission = json_get_str(root, "permission");

    key->id = id_new(call->key.partition);
    key->owner = call->key.owner;
    key->partition = call->key.partition;
    key->created_ms = clock_shared_ms();
    key->name = read_name(call, root, faults);
    if (permission.len > 0)
        CHECK(key_permission_parse(permission, &key->permission));
    if (field_is_there(root, "domain_id"))
        read_domain(root, key, faults);
}

static void make(struct creating *creating)
{
    struct call *call = creating->call;
    char hash[SHA256_HEX_SIZE];
    struct buf again;

    api_token_create(creating->token);
    call->own = creating;
    call->release = token_end;
    creating->key.prefix = arena_copy(
        call->arena, str_make(creating->token, API_TOKEN_PREFIX_LEN));
    secret_sha256_hex(str_of(creating->token), hash);
    buf_init(&again, BODY_MAX);
    write_created(creating, false, &again);
    queue_key_create(call->api->queue, &creating->key, str_of(hash),
                     &call->idempotency, buf_str(&again), on_created, creating);
    buf_finish(&again);
}

static void refuse_domain(struct call *call)
{
    struct faults *faults = ARENA_NEW(call->arena, struct faults);

    faults_init(faults, call->arena);
    faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/domain_id"), "no_domain",
               "is no domain of this account: GET /v1/domains shows them");
    call_refuse_faults(call, faults);
}

static void on_domain(void *ctx, const struct queue_domains *found)
{
    struct creating *creating = ctx;
    struct call *call = creating->call;

    if (found->status == QUEUE_NOT_FOUND) {
        refuse_domain(call);
    } else if (found->status != QUEUE_OK) {
        call_fail_queue(call, found->status, &found->why, NULL);
    } else if (call_goes_on(call)) {
        creating->key.domain = arena_copy(call->arena, found->domains[0].name);
        make(creating);
    }
}

void keys_create(struct call *call)
{
    struct creating *creating = ARENA_NEW(call->arena, struct creating);
    struct faults faults;
    struct json *root = call_json(call, KEY_FIELDS, &faults);

    if (root == NULL)
        return;
    creating->call = call;
    read_key(call, root, &creating->key, &faults);
    json_destroy(&root);
    if (faults.count > 0)
        call_fail_faults(call, &faults);
    else if (creating->key.domain_id.text[0] == '\0')
        make(creating);
    else
        queue_domain_get(call->api->queue, call_owner(call),
                         (struct domain_name){.id = &creating->key.domain_id},
                         on_domain, creating);
}

/* --- GET /api-keys --- */

static void put_key(struct json_out *out, const struct api_key *key)
{
    json_open_map(out);
    json_add_str(out, "id", id_str(&key->id));
    json_add_str(out, "name", key->name);
    json_add_time(out, "created_at", key->created_ms);
    json_add_time_or_null(out, "last_used_at", key->last_used_ms);
    json_add_cstr(out, "permission", key_permission_name(key->permission));
    json_add_str(out, "prefix", key->prefix);
    json_add_str_or_null(out, "domain_id", str_of(key->domain_id.text));
    json_add_str_or_null(out, "domain", key->domain);
    json_close_map(out);
}

static void on_list(void *ctx, const struct queue_keys *keys)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (keys->status != QUEUE_OK) {
        call_fail_queue(call, keys->status, &keys->why, NO_KEY);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    page_open(&out, keys->has_more);
    for (size_t i = 0; i < keys->count; i++)
        put_key(&out, &keys->keys[i]);
    page_close(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void keys_list(struct call *call)
{
    struct queue_page page;

    if (call_page(call, &page))
        queue_key_list(call->api->queue, call_owner(call), &page, on_list,
                       call);
}

/* --- PATCH and DELETE /api-keys/{id} --- */

struct changing {
    struct call *call;
    struct id id;
    bool deletes;
};

static void on_changed(void *ctx, const struct queue_answer *answer)
{
    struct changing *changing = ctx;
    struct call *call = changing->call;
    struct json_out out;
    struct buf body;

    /* Whatever came of it: ask the store again at its next use. */
    if (changing->deletes)
        key_cache_forget(call->api->keys, &changing->id);
    if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NO_KEY);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "api_key");
    json_add_str(&out, "id", id_str(&changing->id));
    if (changing->deletes)
        json_add_bool(&out, "deleted", true);
    json_close_map(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void keys_update(struct call *call)
{
    struct changing *changing = ARENA_NEW(call->arena, struct changing);
    struct faults faults;
    struct json *root;
    struct str name;

    changing->call = call;
    if (!call_id(call, &changing->id))
        return;
    root = call_json(call, KEY_UPDATE_FIELDS, &faults);
    if (root == NULL)
        return;
    name = read_name(call, root, &faults);
    json_destroy(&root);
    if (faults.count > 0)
        call_fail_faults(call, &faults);
    else
        queue_key_rename(call->api->queue, call_owner(call), &changing->id,
                         name, on_changed, changing);
}

void keys_delete(struct call *call)
{
    struct changing *changing = ARENA_NEW(call->arena, struct changing);

    changing->call = call;
    changing->deletes = true;
    if (call_id(call, &changing->id))
        queue_key_delete(call->api->queue, call_owner(call), &changing->id,
                         on_changed, changing);
}
