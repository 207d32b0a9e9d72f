/* Domains of owners: whose a name is, whatever dies between claim and domain;
 * changes against a version; which generation of keys signs, and how long its
 * private halves are kept. */
#include "script_fixture.h"

#define HOUR_MS (INT64_C(3600) * 1000)
#define DAY_MS  (24 * HOUR_MS)

static const struct queue_owner ANNE = {STR("anne"), 0};
static const struct queue_owner BERT = {STR("bert"), 0};
static const struct sender_sealed SEALED = {STR("w1.rsa"), STR("w1.ed")};

/* --- what is asked --- */

static struct answered change;
static struct sender_domain made; /* by create */

static struct sender_key key_of(unsigned generation)
{
    return (struct sender_key){
        .id = id_new(0),
        .generation = generation,
        .rsa_selector = generation == 1 ? S("phr1") : S("phr2"),
        .ed25519_selector = generation == 1 ? S("phe1") : S("phe2"),
        .rsa_public = S("MIIB"),
        .ed25519_public = S("11qY"),
        .created_ms = 1000,
        .signs_ms = generation == 1 ? 1000 : 0,
    };
}

static enum queue_status create(struct world *world, struct queue_owner owner,
                                const char *name)
{
    struct domain_event event = {EVENT_DOMAIN_CREATED,
                                 S("\"name\":\"example.com\"")};

    redis_do("HSET ph:o:%s partition 0", owner.name.ptr);
    made = (struct sender_domain){
        .id = id_new(0),
        .name = str_of(name),
        .return_path = S("send"),
        .status = S("not_started"),
        .created_ms = 1000,
        .keys = {key_of(1)},
        .key_count = 1,
    };
    change = (struct answered){0};
    queue_domain_create(world->queue, owner, &made, &SEALED, &event, NULL,
                        S("{\"id\":\"made\"}"), on_answered, &change);
    until(world->loop, change.count > 0);
    return change.status;
}

static struct {
    bool done;
    enum queue_status status;
    char names[2048]; /* "example.com not_started;", + if there are more */
    bool owner_has_none;
    struct sender_domain first;
    struct arena *arena; /* of first */
} list;

static void on_list(void *ctx, const struct queue_domains *found)
{
    struct buf text;

    (void)ctx;
    arena_destroy(&list.arena);
    memset(&list, 0, sizeof list);
    list.arena = arena_create();
    list.done = true;
    list.status = found->status;
    list.owner_has_none = found->owner_has_none;
    for (size_t i = 0; i < found->count; i++)
        snprintf(list.names + strlen(list.names),
                 sizeof list.names - strlen(list.names), "%.*s %.*s;",
                 STR_ARG(found->domains[i].name),
                 STR_ARG(found->domains[i].status));
    if (found->has_more)
        snprintf(list.names + strlen(list.names),
                 sizeof list.names - strlen(list.names), "+");
    if (found->count == 0)
        return;
    buf_init(&text, 64 * 1024);
    sender_domain_write(&found->domains[0], &text);
    list.first.id = found->domains[0].id;
    list.first.version = found->domains[0].version;
    assert_true(sender_domain_read(buf_str(&text), list.arena, &list.first));
    buf_finish(&text);
}

static enum queue_status get(struct world *world, struct queue_owner owner,
                             const char *name)
{
    list.done = false;
    queue_domain_get(world->queue, owner,
                     (struct domain_name){.name = str_of(name)}, on_list, NULL);
    until(world->loop, list.done);
    return list.status;
}

static enum queue_status put(struct world *world, struct domain_put put)
{
    change = (struct answered){0};
    queue_domain_put(world->queue, ANNE, &put, on_answered, &change);
    until(world->loop, change.count > 0);
    return change.status;
}

static enum queue_status drop(struct world *world, struct queue_owner owner,
                              const struct sender_domain *domain)
{
    struct domain_event event = {EVENT_DOMAIN_DELETED,
                                 S("\"name\":\"example.com\"")};

    change = (struct answered){0};
    queue_domain_delete(world->queue, owner, domain, &event, on_answered,
                        &change);
    until(world->loop, change.count > 0);
    return change.status;
}

static struct {
    bool done;
    enum queue_status status;
    char text[256];
    unsigned generations; /* of the domain by now; 0: there is none */
} private;

static void on_private(void *ctx, const struct queue_domain_key *key)
{
    (void)ctx;
    private.done = true;
    private.status = key->status;
    private.generations =
        key->present == NULL ? 0 : (unsigned)key->present->key_count;
    snprintf(private.text, sizeof private.text, "%.*s %.*s %.*s %.*s %.*s",
             STR_ARG(key->domain), STR_ARG(key->rsa_selector),
             STR_ARG(key->ed25519_selector), STR_ARG(key->sealed.rsa),
             STR_ARG(key->sealed.ed25519));
}

static enum queue_status get_key(struct world *world, const struct id *id)
{
    private.done = false;
    queue_domain_key_get(world->queue, ANNE, S("example.com"), id_str(id),
                         on_private, NULL);
    until(world->loop, private.done);
    return private.status;
}

/* Redis' clock goes on by so much. */
static void pass(int64_t ms)
{
    redis_do("HINCRBY ph:meta test_offset_ms %lld", (long long)ms);
}

static void sweep(struct world *world)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_SWEEP, 0);
    command_add_int(&command, DAY_MS);
    command_add_int(&command, 30 * DAY_MS);
    command_add_int(&command, 0);
    script_send(world, &command);
}

/* --- whose it is --- */

static void a_name_has_one_owner(void **state)
{
    struct world *world = *state;

    assert_int_equal(create(world, ANNE, "example.com"), QUEUE_OK);
    assert_int_equal(create(world, BERT, "example.com"), QUEUE_REFUSED);
    assert_string_equal(change.why.text, "another account has that domain");
    assert_int_equal(create(world, ANNE, "example.com"), QUEUE_REFUSED);
    assert_string_equal(change.why.text,
                        "this account has that domain already");
    /* An old claim that came to something stays. */
    redis_do("SET ph:domain:example.com %s", "anne token 1");
    assert_int_equal(create(world, BERT, "example.com"), QUEUE_REFUSED);
    assert_int_equal(get(world, BERT, "example.com"), QUEUE_NOT_FOUND);
    assert_int_equal(get(world, ANNE, "example.com"), QUEUE_OK);
    assert_string_equal(list.names, "example.com not_started;");
}

static void one_who_deletes_it_gives_the_name_back(void **state)
{
    struct world *world = *state;

    create(world, ANNE, "example.com");
    assert_int_equal(drop(world, ANNE, &made), QUEUE_OK);
    assert_int_equal(drop(world, ANNE, &made), QUEUE_NOT_FOUND);
    assert_int_equal(create(world, BERT, "example.com"), QUEUE_OK);
}

/* What a crash behind the claim leaves, or one before it is given back. */
static void a_claim_without_a_domain_ends(void **state)
{
    struct world *world = *state;

    redis_do("HSET ph:o:anne partition 0");
    redis_do("EVAL %s 1 ph:domain:example.com",
             "local t = redis.call('TIME') redis.call('SET', KEYS[1], "
             "'anne token ' .. t[1] .. '000')");
    assert_int_equal(create(world, BERT, "example.com"), QUEUE_REFUSED);
    redis_do("SET ph:domain:example.com %s", "anne token 1");
    assert_int_equal(create(world, BERT, "example.com"), QUEUE_OK);
    assert_int_equal(create(world, ANNE, "example.com"), QUEUE_REFUSED);
}

static void ones_own_claim_is_no_obstacle(void **state)
{
    struct world *world = *state;

    redis_do("SET ph:domain:example.com %s", "anne token 1");
    assert_int_equal(create(world, ANNE, "example.com"), QUEUE_OK);
}

static void there_is_an_end_of_domains(void **state)
{
    struct world *world = *state;

    redis_do("EVAL %s 1 ph:{0}:dn:anne",
             "for i = 1, 1000 do redis.call('HSET', KEYS[1], 'n' .. i, 'x') "
             "end");
    assert_int_equal(create(world, ANNE, "example.com"), QUEUE_OWNER_FULL);
    assert_string_equal(redis_ask("EXISTS ph:domain:example.com"), "0");
}

/* --- looks --- */

static void pages(void **state)
{
    static const char *const NAMES[] = {"a.com", "b.com", "c.com"};
    struct world *world = *state;
    struct queue_page page = {.limit = 2};
    struct id ids[3];

    for (size_t i = 0; i < 3; i++) {
        create(world, ANNE, NAMES[i]);
        ids[i] = made.id;
    }
    list.done = false;
    queue_domain_list(world->queue, ANNE, &page, on_list, NULL);
    until(world->loop, list.done);
    assert_string_equal(list.names, "c.com not_started;b.com not_started;+");
    page.after = id_str(&ids[1]);
    list.done = false;
    queue_domain_list(world->queue, ANNE, &page, on_list, NULL);
    until(world->loop, list.done);
    assert_string_equal(list.names, "a.com not_started;");
    page = (struct queue_page){.limit = 1, .before = id_str(&ids[0])};
    list.done = false;
    queue_domain_list(world->queue, ANNE, &page, on_list, NULL);
    until(world->loop, list.done);
    assert_string_equal(list.names, "b.com not_started;+");
}

static const char *find(struct world *world, const char *from)
{
    list.done = false;
    queue_domain_find(world->queue, ANNE, str_of(from), on_list, NULL);
    until(world->loop, list.done);
    assert_int_equal(list.status, QUEUE_OK);
    return list.names;
}

static void a_from_finds_its_domain_and_those_above(void **state)
{
    struct world *world = *state;

    assert_string_equal(find(world, "example.com"), "");
    assert_true(list.owner_has_none);
    create(world, ANNE, "example.com");
    create(world, ANNE, "mail.example.com");
    assert_string_equal(find(world, "example.com"), "example.com not_started;");
    assert_string_equal(
        find(world, "a.b.mail.example.com"),
        "mail.example.com not_started;example.com not_started;");
    assert_string_equal(find(world, "xexample.com"), "");
    assert_false(list.owner_has_none);
}

/* --- changes --- */

static void who_read_an_old_version_changes_nothing(void **state)
{
    struct world *world = *state;
    struct sender_domain old;

    create(world, ANNE, "example.com");
    get(world, ANNE, "example.com");
    old = list.first;
    list.first.status = S("pending");
    assert_int_equal(put(world, (struct domain_put){.domain = &list.first}),
                     QUEUE_OK);
    old.status = S("verified");
    assert_int_equal(put(world, (struct domain_put){.domain = &old}),
                     QUEUE_REFUSED);
    get(world, ANNE, "example.com");
    assert_string_equal(list.names, "example.com pending;");
    assert_int_equal(list.first.version, 2);
    drop(world, ANNE, &list.first);
    assert_int_equal(put(world, (struct domain_put){.domain = &list.first}),
                     QUEUE_NOT_FOUND);
}

static void each_change_is_told(void **state)
{
    struct world *world = *state;
    struct domain_event events[] = {
        {EVENT_DOMAIN_UPDATED, S("\"name\":\"example.com\"")},
        {EVENT_DOMAIN_VERIFIED, S("\"name\":\"example.com\"")},
    };
    const char *all;

    create(world, ANNE, "example.com");
    get(world, ANNE, "example.com");
    put(world, (struct domain_put){
                   .domain = &list.first, .events = events, .event_count = 2});
    drop(world, ANNE, &list.first);
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:anne"), "4");
    all = redis_ask("XRANGE ph:{0}:ev:anne - +");
    assert_non_null(strstr(all, "{\"t\":\"domain.created\",\"e\":\""));
    assert_non_null(strstr(all, "\"dom\":{\"name\":\"example.com\"}}"));
    assert_non_null(strstr(all, "domain.updated"));
    assert_non_null(strstr(all, "domain.verified"));
    assert_non_null(strstr(all, "domain.deleted"));
    assert_string_equal(redis_ask("LRANGE ph:{0}:evring 0 -1"), "anne");
}

/* --- checks --- */

static struct {
    bool done;
    char owner[32];
    size_t count;
    int64_t next_ms;
} due;

static void on_due(void *ctx, const struct queue_due_domains *found)
{
    (void)ctx;
    assert_int_equal(found->status, QUEUE_OK);
    due.done = true;
    snprintf(due.owner, sizeof due.owner, "%.*s", STR_ARG(found->owner.name));
    due.count = found->count;
    due.next_ms = found->next_ms;
}

static size_t take_due(struct world *world)
{
    due.done = false;
    queue_domains_due(world->queue, 0, 10, 60000, on_due, NULL);
    until(world->loop, due.done);
    return due.count;
}

static void a_check_is_due_once_a_lease(void **state)
{
    struct world *world = *state;

    assert_int_equal(take_due(world), 0);
    assert_int_equal(due.next_ms, -1);
    create(world, ANNE, "example.com");
    get(world, ANNE, "example.com");
    list.first.due_ms = 1;
    put(world, (struct domain_put){.domain = &list.first});
    assert_string_equal(redis_ask("LLEN ph:{0}:hwake"), "1");
    assert_int_equal(take_due(world), 1);
    assert_string_equal(due.owner, "anne");
    assert_int_equal(take_due(world), 0);
    assert_true(due.next_ms > 50000 && due.next_ms <= 60000);
    pass(60001);
    assert_int_equal(take_due(world), 1);
    get(world, ANNE, "example.com");
    list.first.due_ms = 0;
    put(world, (struct domain_put){.domain = &list.first});
    pass(60001);
    assert_int_equal(take_due(world), 0);
    assert_int_equal(due.next_ms, -1);
}

/* --- keys --- */

static void a_generation_takes_over_when_it_was_seen(void **state)
{
    struct sender_domain domain = {.keys = {key_of(1)}, .key_count = 1};
    int64_t now = 10 * DAY_MS;

    (void)state;
    assert_int_equal(sender_domain_signer(&domain, now)->generation, 1);
    assert_null(sender_domain_next(&domain, now));
    domain.keys[domain.key_count++] = key_of(2);
    assert_int_equal(sender_domain_next(&domain, now)->generation, 2);
    assert_int_equal(sender_domain_signer(&domain, now)->generation, 1);
    sender_domain_switch(&domain, now - 1, 2 * HOUR_MS);
    sender_domain_stay(&domain, now);
    assert_int_equal(domain.keys[1].signs_ms, 0);
    assert_int_equal(domain.keys[0].retires_ms, 0);
    sender_domain_switch(&domain, now, 2 * HOUR_MS);
    sender_domain_switch(&domain, now + 1, 2 * HOUR_MS); /* as it was */
    assert_int_equal(sender_domain_next(&domain, now)->generation, 2);
    assert_int_equal(sender_domain_signer(&domain, now)->generation, 1);
    now += 2 * HOUR_MS;
    assert_null(sender_domain_next(&domain, now));
    assert_int_equal(sender_domain_signer(&domain, now)->generation, 2);
    assert_int_equal(sender_key_state(&domain.keys[0], now), SENDER_KEY_OLD);
    now += 7 * DAY_MS;
    assert_int_equal(sender_key_state(&domain.keys[0], now),
                     SENDER_KEY_REVOKED);
    sender_domain_forget(&domain, now, 72 * HOUR_MS);
    assert_int_equal(domain.key_count, 2);
    sender_domain_forget(&domain, now + 26 * DAY_MS, 72 * HOUR_MS);
    assert_int_equal(domain.key_count, 1);
    assert_int_equal(domain.keys[0].generation, 2);
}

/* --- keys that others may have --- */

/* "signs next" of the domain then, oldest first. */
static const char *states_of(const struct sender_domain *domain, int64_t now)
{
    static const char *const WORDS[] = {
        [SENDER_KEY_NEXT] = "next",
        [SENDER_KEY_SIGNS] = "signs",
        [SENDER_KEY_OLD] = "old",
        [SENDER_KEY_REVOKED] = "revoked",
        [SENDER_KEY_COMPROMISED] = "revoked",
    };
    static char text[128];

    text[0] = '\0';
    for (size_t i = 0; i < domain->key_count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%u%s%s",
                 domain->keys[i].generation,
                 WORDS[sender_key_state(&domain->keys[i], now)],
                 i + 1 < domain->key_count ? " " : "");
    return text;
}

static void rotate(struct sender_domain *domain, int64_t now,
                   bool is_compromised)
{
    unsigned newest = domain->keys[domain->key_count - 1].generation;

    sender_domain_forget(domain, now, 72 * HOUR_MS);
    if (is_compromised)
        sender_domain_compromise(domain, now);
    domain->keys[domain->key_count++] = key_of(newest + 1);
}

static void compromised_keys_sign_until_others_were_seen(void **state)
{
    struct sender_domain domain = {.keys = {key_of(1)}, .key_count = 1};
    int64_t now = 10 * DAY_MS;

    (void)state;
    rotate(&domain, now, true);
    assert_string_equal(states_of(&domain, now), "1signs 2next");
    assert_int_equal(domain.keys[0].compromised_ms, now);
    assert_int_equal(domain.keys[1].compromised_ms, 0);
    sender_domain_stay(&domain, now + DAY_MS);
    assert_string_equal(states_of(&domain, now + DAY_MS), "1signs 2next");
    now += 2 * DAY_MS;
    sender_domain_switch(&domain, now, 2 * HOUR_MS);
    assert_string_equal(states_of(&domain, now - 1), "1signs 2next");
    assert_string_equal(states_of(&domain, now), "1revoked 2signs");
    assert_int_equal(domain.keys[0].retires_ms, now);
    /* What came instead is sound: the next rotation takes its time. */
    rotate(&domain, now, false);
    sender_domain_switch(&domain, now, 2 * HOUR_MS);
    assert_string_equal(states_of(&domain, now), "1revoked 2signs 3next");
    now += 2 * HOUR_MS;
    assert_string_equal(states_of(&domain, now), "1revoked 2old 3signs");
}

static void what_signs_nothing_is_revoked_at_once(void **state)
{
    struct sender_domain domain = {.keys = {key_of(1)}, .key_count = 1};
    int64_t now = 10 * DAY_MS;

    (void)state;
    rotate(&domain, now, false);
    sender_domain_switch(&domain, now, 0);
    assert_string_equal(states_of(&domain, now), "1old 2signs");
    rotate(&domain, now, true);
    assert_string_equal(states_of(&domain, now), "1revoked 2signs 3next");
}

/* It was made before, and may be known as well. */
static void what_was_to_sign_next_is_replaced(void **state)
{
    struct sender_domain domain = {.keys = {key_of(1)}, .key_count = 1};
    int64_t now = 10 * DAY_MS;

    (void)state;
    rotate(&domain, now, false);
    sender_domain_switch(&domain, now, 2 * HOUR_MS);
    assert_int_equal(domain.keys[0].retires_ms, now + 2 * HOUR_MS);
    now += HOUR_MS;
    rotate(&domain, now, true);
    assert_string_equal(states_of(&domain, now), "1signs 2revoked 3next");
    assert_int_equal(domain.keys[0].retires_ms, 0);
    now += 2 * HOUR_MS;
    assert_string_equal(states_of(&domain, now), "1signs 2revoked 3next");
    sender_domain_switch(&domain, now, 2 * HOUR_MS);
    assert_string_equal(states_of(&domain, now), "1revoked 2revoked 3signs");
}

static void there_is_always_room_for_a_generation(void **state)
{
    struct sender_domain domain = {.keys = {key_of(1)}, .key_count = 1};
    int64_t now = 10 * DAY_MS;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        rotate(&domain, now + i, true);
    now += 4;
    assert_string_equal(states_of(&domain, now),
                        "1signs 3revoked 4revoked 5next");
    sender_domain_switch(&domain, now, 2 * HOUR_MS);
    assert_string_equal(states_of(&domain, now),
                        "1revoked 3revoked 4revoked 5signs");
    rotate(&domain, now, false);
    assert_string_equal(states_of(&domain, now),
                        "3revoked 4revoked 5signs 6next");
    for (unsigned i = 0; i < 4; i++) { /* one after the other, in time */
        sender_domain_switch(&domain, now, 0);
        now += 7 * DAY_MS;
        rotate(&domain, now, false);
    }
    assert_string_equal(states_of(&domain, now),
                        "7revoked 8revoked 9signs 10next");
    assert_int_equal(domain.key_count, SENDER_KEYS_MAX);
}

/* Oldest first; what a mail of each of them is signed with. */
static void mail_goes_with_its_keys_until_they_are_revoked(void **state)
{
    struct sender_domain domain = {.keys = {key_of(1)}, .key_count = 1};
    struct id unknown = id_new(0);
    int64_t now = 10 * DAY_MS;
    const struct id *first = &domain.keys[0].id;
    const struct id *second = &domain.keys[1].id;

    (void)state;
    assert_ptr_equal(sender_domain_signs_for(NULL, first, now), first);
    assert_ptr_equal(sender_domain_signs_for(&domain, first, now), first);
    assert_ptr_equal(sender_domain_signs_for(&domain, &unknown, now), first);
    rotate(&domain, now, false);
    assert_ptr_equal(sender_domain_signs_for(&domain, first, now), first);
    /* Accepted by a clock that is a little ahead. */
    assert_ptr_equal(sender_domain_signs_for(&domain, second, now), second);
    sender_domain_switch(&domain, now, 0);
    assert_ptr_equal(
        sender_domain_signs_for(&domain, first, now + 7 * DAY_MS - 1), first);
    now += 7 * DAY_MS;
    assert_ptr_equal(sender_domain_signs_for(&domain, first, now), second);
    assert_ptr_equal(sender_domain_signs_for(&domain, second, now), second);
    assert_ptr_equal(sender_domain_signs_for(&domain, &unknown, now), second);
    rotate(&domain, now, true);
    assert_ptr_equal(sender_domain_signs_for(&domain, second, now), second);
    sender_domain_switch(&domain, now, 2 * HOUR_MS);
    for (unsigned i = 0; i < 3; i++)
        assert_ptr_equal(
            sender_domain_signs_for(&domain, &domain.keys[i].id, now),
            &domain.keys[2].id);
    domain.key_count = 0;
    assert_ptr_equal(sender_domain_signs_for(&domain, first, now), first);
}

static void texts_say_what_is_compromised(void **state)
{
    static const char OLD[] =
        "{\"n\":\"example.com\",\"p\":\"send\",\"rg\":\"us-east-1\","
        "\"st\":\"verified\",\"at\":1000,\"k\":[{\"i\":"
        "\"019300a0-0000-7000-8000-0000000000aa\",\"g\":1,\"rs\":\"phr1\","
        "\"es\":\"phe1\",\"r\":\"MIIB\",\"e\":\"11qY\",\"at\":1000,"
        "\"s\":1000,\"x\":5000}],\"c\":7000}";
    struct arena *arena = arena_create();
    struct sender_domain domain = {.version = 0};
    struct buf text;

    (void)state;
    assert_true(
        sender_domain_read(str_of(OLD), arena, &domain)); /* of before */
    assert_int_equal(domain.keys[0].compromised_ms, 0);
    assert_int_equal(domain.keys[0].retires_ms, 5000);
    buf_init(&text, 1024);
    sender_domain_write(&domain, &text);
    assert_true(str_eq(buf_str(&text), str_of(OLD)));
    domain.keys[0].compromised_ms = 4000;
    buf_clear(&text);
    sender_domain_write(&domain, &text);
    assert_true(sender_domain_read(buf_str(&text), arena, &domain));
    assert_int_equal(domain.keys[0].compromised_ms, 4000);
    assert_int_equal(domain.checked_ms, 7000);
    buf_finish(&text);
    arena_destroy(&arena);
}

/* A release that keeps more would write it; ours has no room for it. */
static void texts_that_are_none_of_ours_are_no_domain(void **state)
{
    static const char KEY[] = "{\"i\":\"019300a0-0000-7000-8000-0000000000aa\""
                              ",\"g\":1,\"rs\":\"%.*s\",\"es\":\"%.*s\"}";
    static const struct {
        int name;
        int rsa; /* of their lengths */
        int ed25519;
        bool has_key;
        bool is_good;
    } CASES[] = {
        {SENDER_NAME_MAX, 63, 63, true, true},
        {SENDER_NAME_MAX + 1, 63, 63, true, false},
        {SENDER_NAME_MAX, 64, 63, true, false},
        {SENDER_NAME_MAX, 63, 64, true, false},
        {SENDER_NAME_MAX, 63, 63, false, false},
    };
    struct arena *arena = arena_create();
    struct sender_domain domain;
    char letters[SENDER_NAME_MAX + 1];

    (void)state;
    memset(letters, 'a', sizeof letters);
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct str key = arena_printf(arena, KEY, CASES[i].rsa, letters,
                                      CASES[i].ed25519, letters);
        struct str text =
            arena_printf(arena, "{\"n\":\"%.*s\",\"k\":[%.*s]}", CASES[i].name,
                         letters, CASES[i].has_key ? (int)key.len : 0, key.ptr);

        domain = (struct sender_domain){0};
        assert_int_equal(sender_domain_read(text, arena, &domain),
                         CASES[i].is_good);
    }
    arena_destroy(&arena);
}

static struct str repeated(struct arena *arena, char c, size_t count)
{
    char *text = arena_alloc(arena, count);

    memset(text, c, count);
    return str_make(text, count);
}

static void what_is_read_of_a_domain_can_be_written(void **state)
{
    struct arena *arena = arena_create();
    struct sender_domain domain = {
        .name = repeated(arena, 'a', SENDER_NAME_MAX),
        .key_count = SENDER_KEYS_MAX,
    };
    struct str *const texts[] = {&domain.return_path,
                                 &domain.region,
                                 &domain.status,
                                 &domain.keys[0].rsa_public,
                                 &domain.keys[3].ed25519_public,
                                 &domain.report};
    static const size_t MOST[] = {SENDER_WORD_MAX,   SENDER_WORD_MAX,
                                  SENDER_WORD_MAX,   SENDER_PUBLIC_MAX,
                                  SENDER_PUBLIC_MAX, SENDER_REPORT_MAX};
    struct sender_domain again;
    struct buf text;

    (void)state;
    for (size_t i = 0; i < SENDER_KEYS_MAX; i++) {
        domain.keys[i].id = id_new(0);
        domain.keys[i].rsa_selector = domain.keys[i].ed25519_selector =
            repeated(arena, 's', SENDER_SELECTOR_MAX);
        domain.keys[i].rsa_public = domain.keys[i].ed25519_public =
            repeated(arena, '"', SENDER_PUBLIC_MAX);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i] = repeated(arena, '"', MOST[i]);
    buf_init(&text, SENDER_TEXT_MAX);
    sender_domain_write(&domain, &text);
    assert_false(text.full);
    assert_true(sender_domain_read(buf_str(&text), arena, &again));
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        *texts[i] = repeated(arena, '"', MOST[i] + 1);
        buf_clear(&text);
        sender_domain_write(&domain, &text);
        assert_int_equal(sender_domain_read(buf_str(&text), arena, &again),
                         texts[i] == &domain.report);
        *texts[i] = repeated(arena, '"', MOST[i]);
    }
    assert_int_equal(again.report.len, 0); /* which alone can be missed */
    buf_finish(&text);
    arena_destroy(&arena);
}

/* The domain as it is read back, with one more generation. */
static void put_rotated(struct world *world, bool is_compromised)
{
    struct id newest;

    get(world, ANNE, "example.com");
    rotate(&list.first, clock_wall_ms(), is_compromised);
    newest = list.first.keys[list.first.key_count - 1].id;
    assert_int_equal(put(world, (struct domain_put){.domain = &list.first,
                                                    .new_key = &newest,
                                                    .sealed = &SEALED}),
                     QUEUE_OK);
}

static void private_halves_that_are_compromised_go_at_once(void **state)
{
    struct world *world = *state;
    struct id ids[3];

    create(world, ANNE, "example.com");
    put_rotated(world, false);
    put_rotated(world, true);
    for (size_t i = 0; i < 3; i++)
        ids[i] = list.first.keys[i].id;
    sweep(world);
    assert_int_equal(get_key(world, &ids[0]), QUEUE_OK); /* it signs still */
    assert_int_equal(get_key(world, &ids[1]), QUEUE_NOT_FOUND);
    assert_int_equal(private.generations, 3);
    assert_int_equal(get_key(world, &ids[2]), QUEUE_OK);
    get(world, ANNE, "example.com");
    sender_domain_switch(&list.first, clock_wall_ms(), 2 * HOUR_MS);
    put(world, (struct domain_put){.domain = &list.first});
    sweep(world);
    assert_int_equal(get_key(world, &ids[0]), QUEUE_NOT_FOUND);
    assert_int_equal(get_key(world, &ids[2]), QUEUE_OK);
    assert_string_equal(redis_ask("HLEN ph:{0}:dk:anne"), "1");
    assert_string_equal(redis_ask("EXISTS ph:{0}:dx:anne ph:{0}:dxold"), "0");
}

static void halves_come_with_the_domain_as_it_is(void **state)
{
    struct world *world = *state;
    struct id first;

    create(world, ANNE, "example.com");
    first = made.keys[0].id;
    assert_int_equal(get_key(world, &first), QUEUE_OK);
    assert_int_equal(private.generations, 1);
    put_rotated(world, false);
    get_key(world, &first);
    assert_int_equal(private.generations, 2);
    drop(world, ANNE, &list.first);
    assert_int_equal(get_key(world, &first), QUEUE_OK);
    assert_int_equal(private.generations, 0);
    redis_do("HSET ph:{0}:o:anne frozen moved");
    assert_int_equal(get_key(world, &first), QUEUE_MOVED);
}

static void private_halves_go_when_no_mail_can_name_them(void **state)
{
    struct world *world = *state;
    struct id first;
    struct id second;

    create(world, ANNE, "example.com");
    first = made.keys[0].id;
    assert_int_equal(get_key(world, &first), QUEUE_OK);
    assert_string_equal(private.text, "example.com phr1 phe1 w1.rsa w1.ed");
    get(world, ANNE, "example.com");
    list.first.keys[list.first.key_count++] = key_of(2);
    second = list.first.keys[1].id;
    assert_int_equal(put(world, (struct domain_put){.domain = &list.first,
                                                    .new_key = &second,
                                                    .sealed = &SEALED}),
                     QUEUE_OK);
    get(world, ANNE, "example.com");
    sender_domain_switch(&list.first, clock_wall_ms(), 0);
    put(world, (struct domain_put){.domain = &list.first});
    pass(32 * DAY_MS);
    sweep(world);
    assert_int_equal(get_key(world, &first), QUEUE_OK);
    pass(DAY_MS + 1000);
    sweep(world);
    assert_int_equal(get_key(world, &first), QUEUE_NOT_FOUND);
    assert_int_equal(get_key(world, &second), QUEUE_OK);
    assert_string_equal(private.text, "example.com phr2 phe2 w1.rsa w1.ed");
}

static void those_of_a_switch_that_was_called_off_stay(void **state)
{
    struct world *world = *state;
    struct sender_key second = key_of(2);

    create(world, ANNE, "example.com");
    get(world, ANNE, "example.com");
    list.first.keys[list.first.key_count++] = second;
    put(world, (struct domain_put){.domain = &list.first,
                                   .new_key = &second.id,
                                   .sealed = &SEALED});
    get(world, ANNE, "example.com");
    sender_domain_switch(&list.first, clock_wall_ms(), 2 * HOUR_MS);
    put(world, (struct domain_put){.domain = &list.first});
    get(world, ANNE, "example.com");
    sender_domain_stay(&list.first, clock_wall_ms());
    put(world, (struct domain_put){.domain = &list.first});
    pass(60 * DAY_MS);
    sweep(world);
    assert_int_equal(get_key(world, &list.first.keys[0].id), QUEUE_OK);
    assert_string_equal(redis_ask("EXISTS ph:{0}:dx:anne ph:{0}:dxold"), "0");
}

static void those_of_a_deleted_domain_stay_as_long(void **state)
{
    struct world *world = *state;

    create(world, ANNE, "example.com");
    drop(world, ANNE, &made);
    assert_int_equal(get_key(world, &made.keys[0].id), QUEUE_OK);
    pass(33 * DAY_MS + 1000);
    sweep(world);
    assert_int_equal(get_key(world, &made.keys[0].id), QUEUE_NOT_FOUND);
    assert_string_equal(redis_ask("EXISTS ph:{0}:dk:anne ph:{0}:dx:anne "
                                  "ph:{0}:dxold ph:{0}:do:anne ph:{0}:dn:anne"),
                        "0");
}

static int teardown(void **state)
{
    arena_destroy(&list.arena);
    return world_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(test)                                                       \
    cmocka_unit_test_setup_teardown(test, world_setup, teardown)
        WITH_WORLD(a_name_has_one_owner),
        WITH_WORLD(one_who_deletes_it_gives_the_name_back),
        WITH_WORLD(a_claim_without_a_domain_ends),
        WITH_WORLD(ones_own_claim_is_no_obstacle),
        WITH_WORLD(there_is_an_end_of_domains),
        WITH_WORLD(pages),
        WITH_WORLD(a_from_finds_its_domain_and_those_above),
        WITH_WORLD(who_read_an_old_version_changes_nothing),
        WITH_WORLD(each_change_is_told),
        WITH_WORLD(a_check_is_due_once_a_lease),
        cmocka_unit_test(a_generation_takes_over_when_it_was_seen),
        cmocka_unit_test(compromised_keys_sign_until_others_were_seen),
        cmocka_unit_test(what_signs_nothing_is_revoked_at_once),
        cmocka_unit_test(what_was_to_sign_next_is_replaced),
        cmocka_unit_test(there_is_always_room_for_a_generation),
        cmocka_unit_test(mail_goes_with_its_keys_until_they_are_revoked),
        cmocka_unit_test(texts_say_what_is_compromised),
        cmocka_unit_test(texts_that_are_none_of_ours_are_no_domain),
        cmocka_unit_test(what_is_read_of_a_domain_can_be_written),
        WITH_WORLD(private_halves_that_are_compromised_go_at_once),
        WITH_WORLD(halves_come_with_the_domain_as_it_is),
        WITH_WORLD(private_halves_go_when_no_mail_can_name_them),
        WITH_WORLD(those_of_a_switch_that_was_called_off_stay),
        WITH_WORLD(those_of_a_deleted_domain_stay_as_long),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
