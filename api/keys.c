#include "api/call.h"
#include "api/page.h"
#include "api/tables.h"
#include "server/base/clock.h"
#include "server/base/secret.h"

enum { KEY_NAME_MAX = 50, BODY_MAX = 256 * 1024 };

static const char NO_KEY[] = "API key not found";

static const char *const PERMISSIONS[] = {"full_access", "sending_access",
                                          "read_access", NULL};

const struct field KEY_FIELDS[] = {
    {.name = "name", .type = FIELD_TEXT, .required = true, .max = KEY_NAME_MAX},
    {.name = "permission", .type = FIELD_WORD, .words = PERMISSIONS},
    {.name = "domain_id", .type = FIELD_LATER},
    {.name = NULL},
};

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

static void read_key(struct call *call, const struct json *root,
                     struct api_key *key, struct faults *faults)
{
    struct str permission = json_get_str(root, "permission");

    key->id = id_new(call->key.partition);
    key->owner = call->key.owner;
    key->partition = call->key.partition;
    key->created_ms = clock_shared_ms();
    key->name = arena_copy(call->arena, json_get_str(root, "name"));
    if (key->name.len == 0)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/name"), "empty",
                   "must not be empty");
    else if (str_has_control(key->name))
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/name"),
                   "control_character", "holds a control character");
    if (permission.len > 0)
        CHECK(key_permission_parse(permission, &key->permission));
}

void keys_create(struct call *call)
{
    struct creating *creating = ARENA_NEW(call->arena, struct creating);
    char hash[SHA256_HEX_SIZE];
    struct faults faults;
    struct buf again;
    struct json *root = call_json(call, KEY_FIELDS, &faults);

    if (root == NULL)
        return;
    creating->call = call;
    read_key(call, root, &creating->key, &faults);
    json_destroy(&root);
    if (faults.count > 0) {
        call_fail_faults(call, &faults);
        return;
    }
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

/* --- DELETE /api-keys/{id} --- */

struct deleting {
    struct call *call;
    struct id id;
};

static void on_deleted(void *ctx, const struct queue_answer *answer)
{
    struct deleting *deleting = ctx;
    struct call *call = deleting->call;
    struct json_out out;
    struct buf body;

    /* Whatever came of it: ask the store again at its next use. */
    key_cache_forget(call->api->keys, &deleting->id);
    if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NO_KEY);
        return;
    }
    buf_init(&body, BODY_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "api_key");
    json_add_str(&out, "id", id_str(&deleting->id));
    json_add_bool(&out, "deleted", true);
    json_close_map(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void keys_delete(struct call *call)
{
    struct deleting *deleting = ARENA_NEW(call->arena, struct deleting);

    deleting->call = call;
    if (call_id(call, &deleting->id))
        queue_key_delete(call->api->queue, call_owner(call), &deleting->id,
                         on_deleted, deleting);
}
