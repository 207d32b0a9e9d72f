/* Templates as they are stored: versions, aliases, pages, limits. */
#include "script_fixture.h"

#include "server/base/mem.h"

static const struct queue_owner OWNER = {STR("default"), 0};

/* --- changes --- */

static struct answered change;
static char id[ID_SIZE]; /* of the last template that was made */

static void create_with(struct world *world, const char *alias,
                        const char *source, const char *key)
{
    struct idempotency idempotency = {str_of(key), S("f")};

    change = (struct answered){0};
    queue_template_create(
        world->queue, OWNER,
        &(struct template_change){str_of(alias), S("Name"), str_of(source)},
        &idempotency, on_answered, &change);
    assert_int_equal(change.count, 0); /* never inside the call */
    until(world->loop, change.count > 0);
}

static void create(struct world *world, const char *alias, const char *source)
{
    const char *at;

    create_with(world, alias, source, "");
    assert_int_equal(change.status, QUEUE_OK);
    assert_int_equal(change.http_status, 201);
    at = strstr(change.answer, "\"id\":\"");
    assert_non_null(at);
    snprintf(id, sizeof id, "%.*s", ID_LEN, at + 6);
}

static enum queue_status update(struct world *world, const char *which,
                                const char *known, const char *alias,
                                const char *source)
{
    change = (struct answered){0};
    queue_template_update(
        world->queue, OWNER, str_of(which), str_of(known),
        &(struct template_change){str_of(alias), S("Other"), str_of(source)},
        on_answered, &change);
    until(world->loop, change.count > 0);
    return change.status;
}

static enum queue_status publish(struct world *world, const char *which)
{
    change = (struct answered){0};
    queue_template_publish(world->queue, OWNER, str_of(which), NULL,
                           on_answered, &change);
    until(world->loop, change.count > 0);
    return change.status;
}

static enum queue_status drop(struct world *world, const char *which)
{
    change = (struct answered){0};
    queue_template_delete(world->queue, OWNER, str_of(which), on_answered,
                          &change);
    until(world->loop, change.count > 0);
    return change.status;
}

/* --- looks --- */

static struct {
    bool done;
    enum queue_status status;
    char text[512]; /* "alias name source;" each, + if there are more */
    char version[ID_SIZE];
    char newest[ID_SIZE];
    char published[ID_SIZE];
    char last[ID_SIZE];
} found;

static void copy(char to[ID_SIZE], struct str from)
{
    snprintf(to, ID_SIZE, "%.*s", STR_ARG(from));
}

static void on_found(void *ctx, const struct queue_templates *list)
{
    (void)ctx;
    memset(&found, 0, sizeof found);
    found.status = list->status;
    for (size_t i = 0; list->status == QUEUE_OK && i < list->count; i++) {
        const struct stored_template *one = &list->templates[i];
        size_t len = strlen(found.text);

        snprintf(found.text + len, sizeof found.text - len, "%.*s %.*s %.*s;",
                 STR_ARG(one->alias), STR_ARG(one->name), STR_ARG(one->source));
        copy(found.version, one->version);
        copy(found.newest, one->newest);
        copy(found.published, one->published);
        copy(found.last, id_str(&one->id));
        assert_true(one->created_ms > 0 && one->updated_ms >= one->created_ms);
        assert_int_equal(one->published_ms > 0, one->published.len > 0);
    }
    if (list->has_more)
        snprintf(found.text + strlen(found.text),
                 sizeof found.text - strlen(found.text), "+");
    found.done = true;
}

static const char *get(struct world *world, const char *which,
                       bool is_published, const char *known)
{
    found.done = false;
    queue_template_get(world->queue, OWNER, str_of(which), is_published,
                       str_of(known), on_found, NULL);
    until(world->loop, found.done);
    return found.status == QUEUE_OK ? found.text : "none";
}

static const char *draft(struct world *world, const char *which)
{
    return get(world, which, false, "");
}

static const char *page(struct world *world, unsigned limit, const char *after,
                        const char *before)
{
    struct queue_page wanted = {limit, str_of(after), str_of(before)};

    found.done = false;
    queue_template_list(world->queue, OWNER, &wanted, on_found, NULL);
    until(world->loop, found.done);
    assert_int_equal(found.status, QUEUE_OK);
    return found.text;
}

static int64_t bytes(void)
{
    return atoll(redis_ask("HGET ph:{0}:ta:default #bytes"));
}

/* --- tests --- */

static void a_draft_is_not_what_is_published(void **state)
{
    struct world *world = *state;
    char first[ID_SIZE];

    create(world, "hello", "one");
    assert_string_equal(draft(world, "hello"), "hello Name one;");
    assert_string_equal(found.published, "");
    assert_string_equal(get(world, "hello", true, ""), "none");

    assert_int_equal(publish(world, "hello"), QUEUE_OK);
    assert_string_equal(get(world, id, true, ""), "hello Name one;");
    copy(first, str_of(found.version));
    assert_string_equal(found.newest, first);

    assert_int_equal(update(world, "hello", first, "hello", "two"), QUEUE_OK);
    assert_string_equal(get(world, "hello", true, ""), "hello Other one;");
    assert_string_equal(found.version, first);
    assert_string_equal(draft(world, id), "hello Other two;");
    assert_string_not_equal(found.version, first);

    assert_int_equal(publish(world, id), QUEUE_OK);
    assert_string_equal(get(world, "hello", true, ""), "hello Other two;");
    assert_string_equal(get(world, "hello", true, found.version),
                        "hello Other ;");
}

static void no_update_gets_lost(void **state)
{
    struct world *world = *state;
    char first[ID_SIZE];

    create(world, "hello", "one");
    draft(world, id);
    copy(first, str_of(found.newest));
    assert_int_equal(update(world, id, first, "hello", "two"), QUEUE_OK);
    assert_int_equal(update(world, id, first, "hello", "three"), QUEUE_DONE);
    assert_string_equal(draft(world, id), "hello Other two;");
    assert_int_equal(update(world, "other", first, "", "x"), QUEUE_NOT_FOUND);
}

static void only_two_versions_are_kept(void **state)
{
    struct world *world = *state;
    char key[128];

    create(world, "hello", "one");
    publish(world, id);
    for (int i = 0; i < 5; i++) {
        draft(world, id);
        assert_int_equal(update(world, id, found.newest, "hello", "four"),
                         QUEUE_OK);
    }
    snprintf(key, sizeof key, "HLEN ph:{0}:tp:default:%s", id);
    assert_string_equal(redis_ask(key), "9");
    assert_int_equal(bytes(), 3 + 4);
    publish(world, id);
    assert_string_equal(redis_ask(key), "8");
    assert_int_equal(bytes(), 4);
    assert_int_equal(drop(world, "hello"), QUEUE_OK);
    assert_int_equal(bytes(), 0);
    assert_string_equal(draft(world, id), "none");
    assert_int_equal(drop(world, id), QUEUE_NOT_FOUND);
    assert_int_equal(publish(world, id), QUEUE_NOT_FOUND);
}

static void an_alias_is_one_template_s(void **state)
{
    struct world *world = *state;

    create(world, "hello", "one");
    create_with(world, "hello", "two", "");
    assert_int_equal(change.status, QUEUE_REFUSED);
    create(world, "", "two");
    draft(world, id);
    assert_int_equal(update(world, id, found.newest, "hello", ""),
                     QUEUE_REFUSED);
    assert_int_equal(update(world, id, found.newest, "bye", ""), QUEUE_OK);
    assert_string_equal(draft(world, "bye"), "bye Other two;");
    assert_int_equal(update(world, "bye", found.newest, "", ""), QUEUE_OK);
    assert_string_equal(draft(world, "bye"), "none");
    assert_string_equal(draft(world, id), " Other two;");
}

/* It stands in a path, or in a variable of a mail. */
static void a_name_of_any_length_may_be_looked_for(void **state)
{
    struct world *world = *state;
    char name[4096];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_string_equal(draft(world, name), "none");
    assert_int_equal(update(world, name, "", "", "one"), QUEUE_NOT_FOUND);
    assert_int_equal(publish(world, name), QUEUE_NOT_FOUND);
    assert_int_equal(drop(world, name), QUEUE_NOT_FOUND);
}

static void asked_again_with_its_key_it_is_made_once(void **state)
{
    struct world *world = *state;
    char answer[sizeof change.answer];

    create_with(world, "hello", "one", "key");
    memcpy(answer, change.answer, sizeof answer);
    create_with(world, "hello", "one", "key");
    assert_int_equal(change.status, QUEUE_REPLAY);
    assert_int_equal(change.http_status, 201);
    assert_string_equal(change.answer, answer);
}

static void a_page_goes_both_ways(void **state)
{
    struct world *world = *state;
    char third[ID_SIZE];

    assert_string_equal(page(world, 2, "", ""), "");
    create(world, "a", "1");
    create(world, "b", "2");
    create(world, "c", "3");
    create(world, "d", "4");
    assert_string_equal(page(world, 2, "", ""), "d Name ;c Name ;+");
    copy(third, str_of(found.last));
    assert_string_equal(page(world, 2, third, ""), "b Name ;a Name ;");
    assert_string_equal(page(world, 1, third, ""), "b Name ;+");
    assert_string_equal(page(world, 2, "", found.last), "d Name ;c Name ;");
    assert_string_equal(page(world, 1, "", found.last), "d Name ;");
    assert_string_equal(page(world, 5, "", id), "");
}

static void an_owner_has_so_many(void **state)
{
    struct world *world = *state;

    redis_do("EVAL %s 0",
             "for i = 1, 499 do redis.call('ZADD', 'ph:{0}:tl:default', 0, "
             "'x' .. i) end");
    create(world, "last", "one");
    create_with(world, "more", "two", "");
    assert_int_equal(change.status, QUEUE_OWNER_FULL);
    redis_do("DEL ph:{0}:tl:default");
    redis_do("HSET ph:{0}:ta:default #bytes %d", (64 << 20) - 3);
    create_with(world, "more", "four", "");
    assert_int_equal(change.status, QUEUE_OWNER_FULL);
    create(world, "more", "one");
    draft(world, id);
    assert_int_equal(update(world, id, found.newest, "", "x"),
                     QUEUE_OWNER_FULL);
}

static void one_who_moves_changes_nothing(void **state)
{
    struct world *world = *state;

    create(world, "hello", "one");
    draft(world, id);
    redis_do("HSET ph:{0}:o:default frozen 1");
    create_with(world, "bye", "one", "");
    assert_int_equal(change.status, QUEUE_FROZEN);
    assert_int_equal(update(world, id, found.newest, "", "x"), QUEUE_FROZEN);
    assert_int_equal(publish(world, id), QUEUE_FROZEN);
    assert_int_equal(drop(world, id), QUEUE_FROZEN);
    assert_string_equal(draft(world, id), "hello Name one;");
    redis_do("HSET ph:{0}:o:default frozen moved");
    draft(world, id);
    assert_int_equal(found.status, QUEUE_MOVED);
}

static void a_large_source_comes_back_whole(void **state)
{
    struct world *world = *state;
    char *text = xmalloc(TEMPLATE_VERSION_MAX + 1);
    char command[128];

    memset(text, 'x', TEMPLATE_VERSION_MAX);
    text[TEMPLATE_VERSION_MAX] = '\0';
    create(world, "hello", text);
    draft(world, id);
    snprintf(command, sizeof command, "HSTRLEN ph:{0}:tp:default:%s d%s", id,
             found.newest);
    assert_int_equal(atoll(redis_ask(command)), TEMPLATE_VERSION_MAX);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_draft_is_not_what_is_published),
        WORLD_TEST(no_update_gets_lost),
        WORLD_TEST(only_two_versions_are_kept),
        WORLD_TEST(an_alias_is_one_template_s),
        WORLD_TEST(a_name_of_any_length_may_be_looked_for),
        WORLD_TEST(asked_again_with_its_key_it_is_made_once),
        WORLD_TEST(a_page_goes_both_ways),
        WORLD_TEST(an_owner_has_so_many),
        WORLD_TEST(one_who_moves_changes_nothing),
        WORLD_TEST(a_large_source_comes_back_whole),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
