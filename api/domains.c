/* Domains: added, shown, changed, verified, rotated, removed. What changes one
 * is a step (struct changing) that reads it, alters it and puts it back against
 * its version; if another one was quicker, it begins anew. */
#include "api/call.h"
#include "api/domain_keys.h"
#include "api/domain_view.h"
#include "api/page.h"
#include "api/signing.h"
#include "api/tables.h"
#include "server/base/clock.h"
#include "server/domain/domain.h"
#include "smtp/message/message.h"

enum {
    NAME_MAX = 1024, /* as it is given */
    LABEL_MAX = 63,
    /* In A-labels: a return path's label still fits before it. */
    NAME_ACE_MAX = 253 - LABEL_MAX - 1,
    FEATURES_MAX = 8,
    LIST_MAX = 1024 * 1024,
    AGAIN_MAX = 3,
};

static const char NO_DOMAIN[] = "Domain not found";
static const char DEFAULT_REGION[] = "us-east-1"; /* typed SDKs know four */

static const char *const REGIONS[] = {"us-east-1", "eu-west-1", "sa-east-1",
                                      "ap-northeast-1", NULL};
static const char *const TLS_WORDS[] = {"opportunistic", "enforced", NULL};

#define FEATURE_ROWS                                                           \
    {.name = "capabilities", .type = FIELD_MAP, .max = FEATURES_MAX},          \
        {.name = "open_tracking", .type = FIELD_BOOL},                         \
        {.name = "click_tracking", .type = FIELD_BOOL},                        \
        {.name = "tracking_subdomain", .type = FIELD_LATER},                   \
        {.name = "tls", .type = FIELD_WORD, .words = TLS_WORDS},               \
    {                                                                          \
        .name = "custom_return_path", .type = FIELD_TEXT, .max = LABEL_MAX     \
    }

const struct field DOMAIN_FIELDS[] = {
    {.name = "name", .type = FIELD_TEXT, .required = true, .max = NAME_MAX},
    {.name = "region", .type = FIELD_WORD, .words = REGIONS},
    FEATURE_ROWS,
    {.name = NULL},
};

const struct field DOMAIN_UPDATE_FIELDS[] = {
    FEATURE_ROWS,
    {.name = NULL},
};

const struct field DOMAIN_ROTATION_FIELDS[] = {
    {.name = "compromised", .type = FIELD_BOOL},
    {.name = NULL},
};

/* --- what a request names --- */

static void refuse_true(const struct json *root, const char *name,
                        struct str pointer, struct faults *faults)
{
    if (json_get_bool(root, name))
        faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, "not_supported",
                   "must be false: this server rewrites no links and adds no "
                   "images");
}

static void check_capabilities(struct call *call, const struct json *map,
                               struct faults *faults)
{
    const struct json *value;
    struct str name;
    void *at = NULL;

    while (json_next(map, &at, &name, &value)) {
        struct str pointer =
            pointer_member(call->arena, S("/capabilities"), name);
        bool is_sending = str_eq(name, S("sending"));

        if (!is_sending && !str_eq(name, S("receiving")))
            faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer, "unknown",
                       "is unknown: there are sending and receiving");
        else if (!str_eq(json_str(value),
                         is_sending ? S("enabled") : S("disabled")))
            faults_add(faults, PROBLEM_VALIDATION_ERROR, pointer,
                       "not_supported",
                       is_sending ? "must be \"enabled\": remove the domain "
                                    "instead"
                                  : "must be \"disabled\": this server takes "
                                    "no mail in");
    }
}

/* What this server does not have is refused; its absence may be said. */
static void check_features(struct call *call, const struct json *root,
                           struct faults *faults)
{
    check_capabilities(call, json_get(root, "capabilities"), faults);
    refuse_true(root, "open_tracking", S("/open_tracking"), faults);
    refuse_true(root, "click_tracking", S("/click_tracking"), faults);
    if (str_eq(json_get_str(root, "tls"), S("enforced")))
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/tls"), "not_supported",
                   "must be \"opportunistic\": the operator says for each "
                   "upstream how it is spoken to");
}

static bool is_label(struct str text)
{
    if (text.len == 0 || text.len > LABEL_MAX || text.ptr[0] == '-' ||
        text.ptr[text.len - 1] == '-')
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && text.ptr[i] != '-')
            return false;
    return true;
}

/* otherwise: without one. */
static struct str read_return_path(struct call *call, const struct json *root,
                                   struct str otherwise, struct faults *faults)
{
    struct str text = json_get_str(root, "custom_return_path");
    char *label;

    if (!field_is_there(root, "custom_return_path"))
        return otherwise;
    if (!is_label(text)) {
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/custom_return_path"),
                   "bad_label",
                   "must be one label of a host name (letters, digits and "
                   "dashes), like \"send\"");
        return otherwise;
    }
    label = arena_cstr(call->arena, text);
    for (size_t i = 0; i < text.len; i++)
        label[i] = ascii_lower(label[i]);
    return str_of(label);
}

static struct str read_name(struct call *call, const struct json *root,
                            struct faults *faults)
{
    struct str given = json_get_str(root, "name");
    struct str name = S("");
    enum flaw flaw = domain_parse(call->arena, given, &name);

    if (given.len > 0 && flaw != FLAW_NONE)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/name"),
                   flaw_code(flaw), "%s", flaw_text(flaw));
    else if (given.len == 0 || name.ptr[0] == '[' ||
             str_index(name, '.', 0) < 0)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/name"), "bad_domain",
                   "must be the name of a domain, like \"example.com\"");
    else if (name.len > NAME_ACE_MAX)
        faults_add(faults, PROBLEM_VALIDATION_ERROR, S("/name"), "bad_domain",
                   "must be at most %d bytes long, since its records stand "
                   "below it in DNS",
                   NAME_ACE_MAX);
    return name;
}

/* The path has an id or a name. False: replied. */
static bool read_path(struct call *call, struct domain_name *name)
{
    struct str text = http_param(call->request, 0);
    struct id *id = ARENA_NEW(call->arena, struct id);

    *name = (struct domain_name){.id = id};
    if (id_parse(text, id))
        return true;
    name->id = NULL;
    if (domain_parse(call->arena, text, &name->name) == FLAW_NONE)
        return true;
    call_fail(call, PROBLEM_INVALID_PARAMETER,
              "The path must have the id of a domain, or its name.");
    return false;
}

/* --- answers --- */

static struct str whole(struct call *call, const struct sender_domain *domain)
{
    struct json_out out;
    struct buf body;
    struct str text;

    buf_init(&body, DOMAIN_VIEW_MAX);
    json_out_init(&out, &body);
    json_open_map(&out);
    json_add_cstr(&out, "object", "domain");
    domain_view(&out, domain, call->api->config, clock_shared_ms(), true,
                call->arena);
    json_close_map(&out);
    text = arena_copy(call->arena, buf_str(&body));
    buf_finish(&body);
    return text;
}

static struct str id_alone(struct call *call,
                           const struct sender_domain *domain)
{
    return arena_printf(call->arena, "{\"object\":\"domain\",\"id\":\"%s\"}",
                        domain->id.text);
}

static void reply_text(struct call *call, unsigned status, struct str text)
{
    struct buf body;

    buf_init(&body, text.len);
    buf_add(&body, text);
    call_reply(call, status, &body);
    buf_finish(&body);
}

static struct domain_event tell(struct call *call, enum event_type type,
                                const struct sender_domain *domain)
{
    return domain_event_of(type, domain, call->api->config, clock_shared_ms(),
                           call->arena);
}

/* --- POST /domains --- */

struct creating {
    struct call *call;
    struct sender_domain domain;
    struct domain_keys keys;
    struct str answer;
};

static void creating_release(void *own)
{
    domain_keys_finish(&((struct creating *)own)->keys);
}

/* An equal request may have been quicker, which that one's answer tells. */
static void refuse(struct call *call, enum problem_kind kind, const char *why)
{
    call_refuse(call, &(struct problem){.kind = kind, .message = why});
}

static void refuse_taken(struct call *call, const char *why)
{
    refuse(
        call, PROBLEM_DOMAIN_TAKEN,
        arena_printf(call->arena, "The domain is registered already: %s.", why)
            .ptr);
}

static void on_created(void *ctx, const struct queue_answer *answer)
{
    struct creating *creating = ctx;
    struct call *call = creating->call;

    if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
    } else if (answer->status == QUEUE_REFUSED) {
        refuse_taken(call, answer->why.text);
    } else if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NO_DOMAIN);
    } else {
        signing_cache_forget(call->api->signings);
        reply_text(call, 201, creating->answer);
    }
}

static void create(void *ctx)
{
    struct creating *creating = ctx;
    struct call *call = creating->call;
    struct sender_domain *domain = &creating->domain;
    struct domain_event event;

    domain->id = id_new(call->key.partition);
    domain->status = str_of(domain_status_name(DOMAIN_STATUS_NOT_STARTED));
    domain->created_ms = creating->keys.key.created_ms;
    domain->keys[0] = creating->keys.key;
    domain->keys[0].signs_ms = domain->created_ms;
    domain->key_count = 1;
    creating->answer = whole(call, domain);
    event = tell(call, EVENT_DOMAIN_CREATED, domain);
    queue_domain_create(call->api->queue, call_owner(call), domain,
                        &creating->keys.sealed, &event, &call->idempotency,
                        creating->answer, on_created, creating);
}

static void on_name_looked(void *ctx, const struct queue_domains *found)
{
    struct creating *creating = ctx;
    struct call *call = creating->call;

    if (found->status == QUEUE_OK)
        refuse_taken(call, "this account has that domain already");
    else if (found->status != QUEUE_NOT_FOUND)
        call_fail_queue(call, found->status, &found->why, NO_DOMAIN);
    else if (call_goes_on(call))
        domain_keys_make(&creating->keys, call, creating->domain.name, 1,
                         create, creating);
}

/* Before keys are made, which take their time. */
static void look_at_name(struct creating *creating)
{
    struct call *call = creating->call;

    queue_domain_get(call->api->queue, call_owner(call),
                     (struct domain_name){.name = creating->domain.name},
                     on_name_looked, creating);
}

/* True: it never acted, go on. */
static bool was_not_asked(struct call *call, const struct queue_answer *answer)
{
    if (answer->status == QUEUE_OK)
        return call_goes_on(call);
    if (answer->status == QUEUE_REPLAY)
        call_replay(call, answer);
    else
        call_fail_queue(call, answer->status, &answer->why, NO_DOMAIN);
    return false;
}

static void on_creating_looked(void *ctx, const struct queue_answer *answer)
{
    struct creating *creating = ctx;

    if (was_not_asked(creating->call, answer))
        look_at_name(creating);
}

void domains_create(struct call *call)
{
    struct creating *creating = ARENA_NEW(call->arena, struct creating);
    struct faults faults;
    struct json *root = call_json(call, DOMAIN_FIELDS, &faults);

    if (root == NULL)
        return;
    creating->call = call;
    creating->domain.name = read_name(call, root, &faults);
    creating->domain.return_path =
        read_return_path(call, root, S("send"), &faults);
    creating->domain.region =
        field_is_there(root, "region")
            ? arena_copy(call->arena, json_get_str(root, "region"))
            : str_of(DEFAULT_REGION);
    check_features(call, root, &faults);
    json_destroy(&root);
    if (faults.count > 0) {
        call_fail_faults(call, &faults);
        return;
    }
    call->own = creating;
    call->release = creating_release;
    if (call->idempotency.key_hash.len > 0)
        queue_idempotency_look(call->api->queue, call_owner(call),
                               &call->idempotency, on_creating_looked,
                               creating);
    else
        look_at_name(creating);
}

/* --- GET /domains, /domains/{id} --- */

static void on_listed(void *ctx, const struct queue_domains *list)
{
    struct call *call = ctx;
    struct json_out out;
    struct buf body;

    if (list->status != QUEUE_OK) {
        call_fail_queue(call, list->status, &list->why, NO_DOMAIN);
        return;
    }
    buf_init(&body, LIST_MAX);
    json_out_init(&out, &body);
    page_open(&out, list->has_more);
    for (size_t i = 0; i < list->count; i++) {
        json_open_map(&out);
        domain_view(&out, &list->domains[i], call->api->config,
                    clock_shared_ms(), false, call->arena);
        json_close_map(&out);
    }
    page_close(&out);
    call_reply(call, 200, &body);
    buf_finish(&body);
}

void domains_list(struct call *call)
{
    struct queue_page page;

    if (call_page(call, &page))
        queue_domain_list(call->api->queue, call_owner(call), &page, on_listed,
                          call);
}

static void on_got(void *ctx, const struct queue_domains *list)
{
    struct call *call = ctx;

    if (list->status != QUEUE_OK)
        call_fail_queue(call, list->status, &list->why, NO_DOMAIN);
    else
        reply_text(call, 200, whole(call, &list->domains[0]));
}

void domains_get(struct call *call)
{
    struct domain_name name;

    if (read_path(call, &name))
        queue_domain_get(call->api->queue, call_owner(call), name, on_got,
                         call);
}

/* --- changes of one that is there --- */

struct changing {
    struct call *call;
    struct domain_name name;
    /* Alters domain. False: replied, or it goes on by itself. */
    bool (*alter)(struct changing *changing, struct sender_domain *domain);
    bool answers_whole;
    struct str return_path; /* of PATCH; empty: as it is */
    struct str answer;
    unsigned attempts;
    /* Of a rotation. */
    bool is_compromised; /* what there is */
    struct domain_keys keys;
    bool has_keys;
};

static void changing_begin(struct changing *changing);

static void on_put(void *ctx, const struct queue_answer *answer)
{
    struct changing *changing = ctx;
    struct call *call = changing->call;

    if (answer->status == QUEUE_REPLAY) {
        call_replay(call, answer);
    } else if (answer->status == QUEUE_REFUSED) {
        if (call_goes_on(call))
            changing_begin(changing); /* another one was quicker */
    } else if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NO_DOMAIN);
    } else {
        signing_cache_forget(call->api->signings);
        reply_text(call, 200, changing->answer);
    }
}

static void put(struct changing *changing, const struct sender_domain *domain)
{
    struct call *call = changing->call;
    struct domain_event event = tell(call, EVENT_DOMAIN_UPDATED, domain);

    changing->answer =
        changing->answers_whole ? whole(call, domain) : id_alone(call, domain);
    queue_domain_put(
        call->api->queue, call_owner(call),
        &(struct domain_put){
            .domain = domain,
            .events = &event,
            .event_count = 1,
            .new_key = changing->has_keys ? &changing->keys.key.id : NULL,
            .sealed = &changing->keys.sealed,
            .idempotency = &call->idempotency,
            .answer = changing->answer,
        },
        on_put, changing);
}

static void on_change_read(void *ctx, const struct queue_domains *found)
{
    struct changing *changing = ctx;
    struct call *call = changing->call;
    struct sender_domain domain;

    if (found->status != QUEUE_OK) {
        call_fail_queue(call, found->status, &found->why, NO_DOMAIN);
        return;
    }
    domain = found->domains[0];
    if (call_goes_on(call) && changing->alter(changing, &domain))
        put(changing, &domain);
}

static void changing_begin(struct changing *changing)
{
    struct call *call = changing->call;

    if (changing->attempts++ == AGAIN_MAX)
        call_fail(call, PROBLEM_UNAVAILABLE,
                  "The domain is changed all the time; ask again.");
    else
        queue_domain_get(call->api->queue, call_owner(call), changing->name,
                         on_change_read, changing);
}

static void on_change_looked(void *ctx, const struct queue_answer *answer)
{
    struct changing *changing = ctx;

    if (was_not_asked(changing->call, answer))
        changing_begin(changing);
}

static void change(struct call *call, const struct changing *with)
{
    struct changing *changing = ARENA_NEW(call->arena, struct changing);

    *changing = *with;
    changing->call = call;
    if (!read_path(call, &changing->name))
        return;
    if (call->idempotency.key_hash.len > 0)
        queue_idempotency_look(call->api->queue, call_owner(call),
                               &call->idempotency, on_change_looked, changing);
    else
        changing_begin(changing);
}

/* Hooks children look at it at once, and for 72 hours from now on. */
static void check_now(struct sender_domain *domain)
{
    domain->due_ms = clock_shared_ms();
    domain->since_ms = domain->due_ms;
    domain->checks = 0;
}

/* --- POST /domains/{id}/verify --- */

static bool alter_verify(struct changing *changing,
                         struct sender_domain *domain)
{
    enum domain_status status;

    (void)changing;
    if (!domain_status_of(domain->status, &status) || !domain_may_send(status))
        domain->status = str_of(domain_status_name(DOMAIN_STATUS_PENDING));
    check_now(domain);
    return true;
}

void domains_verify(struct call *call)
{
    if (call_no_body(call))
        change(call, &(struct changing){.alter = alter_verify});
}

/* --- PATCH /domains/{id} --- */

static bool alter_update(struct changing *changing,
                         struct sender_domain *domain)
{
    if (changing->return_path.len > 0 &&
        !str_eq(changing->return_path, domain->return_path)) {
        domain->return_path = changing->return_path;
        check_now(domain);
    }
    return true;
}

void domains_update(struct call *call)
{
    struct changing changing = {.alter = alter_update};
    struct faults faults;
    struct json *root = call_json(call, DOMAIN_UPDATE_FIELDS, &faults);

    if (root == NULL)
        return;
    changing.return_path = read_return_path(call, root, S(""), &faults);
    check_features(call, root, &faults);
    json_destroy(&root);
    if (faults.count > 0)
        call_fail_faults(call, &faults);
    else
        change(call, &changing);
}

/* --- POST /domains/{id}/rotate --- */

static void on_keys_made(void *ctx)
{
    struct changing *changing = ctx;

    changing->has_keys = true;
    changing_begin(changing);
}

static void changing_release(void *own)
{
    domain_keys_finish(&((struct changing *)own)->keys);
}

static void make_keys(struct changing *changing, struct str domain,
                      unsigned generation)
{
    struct call *call = changing->call;

    /* Those that there are may have a number that is taken by now. */
    domain_keys_finish(&changing->keys);
    call->own = changing;
    call->release = changing_release;
    domain_keys_make(&changing->keys, call, arena_copy(call->arena, domain),
                     generation, on_keys_made, changing);
}

/* Two generations are published at a time. NULL: it may. */
static const char *why_not_rotate(struct call *call,
                                  const struct sender_domain *domain,
                                  int64_t now_ms)
{
    for (size_t i = 0; i < domain->key_count; i++) {
        const struct sender_key *key = &domain->keys[i];
        enum sender_key_state state = sender_key_state(key, now_ms);

        if (state == SENDER_KEY_NEXT)
            return arena_printf(
                       call->arena,
                       "A rotation is under way: %.*s and %.*s are to be seen "
                       "in DNS before they sign.",
                       STR_ARG(key->rsa_selector),
                       STR_ARG(key->ed25519_selector))
                .ptr;
        if (state == SENDER_KEY_OLD)
            return arena_printf(
                       call->arena,
                       "The keys before, %.*s and %.*s, must stay in DNS for "
                       "7 days behind their last mail; then you can rotate "
                       "again.",
                       STR_ARG(key->rsa_selector),
                       STR_ARG(key->ed25519_selector))
                .ptr;
    }
    return NULL;
}

static bool alter_rotate(struct changing *changing,
                         struct sender_domain *domain)
{
    struct call *call = changing->call;
    int64_t now_ms = clock_shared_ms();
    unsigned generation;
    const char *why =
        changing->is_compromised ? NULL : why_not_rotate(call, domain, now_ms);

    CHECK(domain->key_count > 0);
    if (why != NULL) {
        refuse(call, PROBLEM_NOT_ROTATABLE, why);
        return false;
    }
    generation = domain->keys[domain->key_count - 1].generation + 1;
    sender_domain_forget(domain, now_ms,
                         call->api->config->worker.message_ttl_ms);
    if (!changing->has_keys || changing->keys.key.generation != generation) {
        make_keys(changing, domain->name, generation);
        return false;
    }
    if (changing->is_compromised)
        sender_domain_compromise(domain, now_ms);
    domain->keys[domain->key_count++] = changing->keys.key;
    check_now(domain);
    return true;
}

/* A body may be left out. False: replied. */
static bool read_rotation(struct call *call, struct changing *changing)
{
    struct faults faults;
    struct json *root;

    if (http_body(call->request).len == 0)
        return true;
    root = call_json(call, DOMAIN_ROTATION_FIELDS, &faults);
    if (root == NULL)
        return false;
    changing->is_compromised = json_get_bool(root, "compromised");
    json_destroy(&root);
    return true;
}

void domains_rotate(struct call *call)
{
    struct changing changing = {.alter = alter_rotate, .answers_whole = true};

    if (read_rotation(call, &changing))
        change(call, &changing);
}

/* --- DELETE /domains/{id} --- */

static void on_deleted(void *ctx, const struct queue_answer *answer)
{
    struct changing *changing = ctx;
    struct call *call = changing->call;

    if (answer->status != QUEUE_OK) {
        call_fail_queue(call, answer->status, &answer->why, NO_DOMAIN);
        return;
    }
    signing_cache_forget(call->api->signings);
    reply_text(call, 200, changing->answer);
}

static bool alter_delete(struct changing *changing,
                         struct sender_domain *domain)
{
    struct call *call = changing->call;
    struct domain_event event = tell(call, EVENT_DOMAIN_DELETED, domain);

    changing->answer = arena_printf(
        call->arena, "{\"object\":\"domain\",\"id\":\"%s\",\"deleted\":true}",
        domain->id.text);
    queue_domain_delete(call->api->queue, call_owner(call), domain, &event,
                        on_deleted, changing);
    return false;
}

void domains_delete(struct call *call)
{
    change(call, &(struct changing){.alter = alter_delete});
}
