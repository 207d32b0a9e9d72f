/* The list of an owner's emails against a model of it: every filter with
 * every other, in pages of any size, forwards and backwards. */
#include "script_fixture.h"

enum { MAILS = 90, PAGES_MAX = 200, HOUR_MS = 3600000 };

static const char *const ADDRESSES[] = {"ann@example.com", "bob@example.com",
                                        "cid@example.com"};
static const char *const TAGS[] = {"",
                                   "[{\"name\":\"kind\",\"value\":\"order\"}]",
                                   ("[{\"name\":\"kind\",\"value\":\"news\"},"
                                    "{\"name\":\"shop\",\"value\":\"eu\"}]")};

/* What the test knows of a mail; the oldest first. */
static struct model {
    struct id id;
    int64_t created_ms;
    unsigned address;
    bool has_second; /* the next address, in cc */
    unsigned tags;
    enum mail_class mail_class;
    bool canceled;
} mails[MAILS];

static uint64_t seed;

static unsigned chance(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (unsigned)((seed >> 33) % below);
}

/* --- mails --- */

static void store(struct world *world, const struct model *model,
                  const char *owner)
{
    struct str to = str_of(ADDRESSES[model->address]);
    struct str cc = str_of(ADDRESSES[(model->address + 1) % 3]);
    struct summary summary = {
        .email = model->id,
        .owner = str_of(owner),
        .from = S("shop@example.com"),
        .to = &to,
        .to_count = 1,
        .cc = &cc,
        .cc_count = model->has_second ? 1 : 0,
        .subject = S("Hello"),
        .mail_class = model->mail_class,
        .tags_json = str_of(TAGS[model->tags]),
        .message_id = S("<m@example.com>"),
        .created_ms = model->created_ms,
    };
    struct queue_recipient recipients[] = {{.number = 0, .route = STR("main")},
                                           {.number = 1, .route = STR("main")}};
    struct answered answered = {0};

    queue_enqueue(
        world->queue,
        &(struct queue_mail){.summary = &summary,
                             .mail_json = S("{\"text\":\"hi\"}"),
                             .recipients = recipients,
                             .recipient_count = model->has_second ? 2 : 1,
                             .date_ms = model->created_ms,
                             .answer = S("{}")},
        on_answered, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_OK);
}

/* An id as one of that time has it. */
static struct id id_at(int64_t ms, unsigned number)
{
    struct id id = id_new(0);
    char text[32];

    snprintf(text, sizeof text, "%08llx-%04llx-7%03x",
             (unsigned long long)ms >> 16, (unsigned long long)ms & 0xffff,
             number);
    memcpy(id.text, text, strlen(text));
    return id;
}

static void project(struct world *world, const char *owner)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_PROJECT, 0);
    command_add_cstr(&command, owner);
    command_add_cstr(&command, "5000");
    command_add_cstr(&command, "2592000000");
    redis_send(world->queue->main, &command, 5000, NULL, NULL);
}

/* Over three days, some of them canceled, all of them in the index. */
static void store_all(struct world *world)
{
    int64_t at_ms = clock_wall_ms() - 3 * 24 * (int64_t)HOUR_MS;

    for (unsigned i = 0; i < MAILS; i++) {
        struct model *model = &mails[i];

        at_ms += chance(5) == 0 ? 0 : chance(HOUR_MS) * INT64_C(3) / 2;
        *model = (struct model){
            .id = id_at(at_ms, i),
            .created_ms = at_ms,
            .address = chance(3),
            .has_second = chance(4) == 0,
            .tags = chance(3),
            .mail_class = chance(2) == 0 ? CLASS_BULK : CLASS_TRANSACTIONAL,
            .canceled = chance(3) == 0,
        };
        store(world, model, "default");
        if (model->canceled)
            do_cancel(world, model->id.text);
    }
    project(world, "default");
}

/* --- questions --- */

struct question {
    struct queue_list_query query;
    bool canceled; /* asks for those alone */
    bool has_class;
    enum mail_class mail_class;
};

static struct page {
    unsigned count;
    enum queue_status status;
    struct id ids[128];
    size_t id_count;
    bool has_more;
    char next[ID_LEN + 1];
    const struct question *question;
} page;

static bool wants(void *ctx, const struct queue_email *email)
{
    const struct question *question = ctx;

    return (!question->canceled ||
            email->deliveries[0].state == DELIVERY_CANCELED) &&
           (!question->has_class ||
            email->record->summary.mail_class == question->mail_class);
}

static void on_list(void *ctx, const struct queue_list *list)
{
    (void)ctx;
    page.count++;
    page.status = list->status;
    page.id_count = list->count;
    page.has_more = list->has_more;
    snprintf(page.next, sizeof page.next, "%.*s", STR_ARG(list->next));
    for (size_t i = 0; i < list->count; i++) {
        page.ids[i] = list->emails[i].record->summary.email;
        assert_true(list->emails[i].delivery_count > 0);
    }
}

static void ask(struct world *world, struct question *question)
{
    page.count = 0;
    queue_email_list(world->queue, (struct queue_owner){.name = S("default")},
                     &question->query, on_list, question);
    until(world->loop, page.count > 0);
    assert_int_equal(page.status, QUEUE_OK);
}

static bool model_has(const struct model *model, const struct question *q)
{
    const struct queue_list_query *query = &q->query;
    struct str address = query->recipient;
    const char *tags = TAGS[model->tags];

    if (address.len > 0 &&
        !str_eq(address, str_of(ADDRESSES[model->address])) &&
        !(model->has_second &&
          str_eq(address, str_of(ADDRESSES[(model->address + 1) % 3]))))
        return false;
    if (query->tag_name.len > 0 && !str_contains(str_of(tags), query->tag_name))
        return false;
    if (query->tag_value.ptr != NULL &&
        !str_contains(str_of(tags), query->tag_value))
        return false;
    return (query->since_ms == 0 || model->created_ms >= query->since_ms) &&
           (query->until_ms == 0 || model->created_ms <= query->until_ms) &&
           (!q->canceled || model->canceled) &&
           (!q->has_class || model->mail_class == q->mail_class);
}

static void draw(struct question *question)
{
    struct queue_list_query *query = &question->query;

    *question = (struct question){.query.page.limit = 1 + chance(30)};
    if (chance(3) == 0)
        query->recipient = str_of(ADDRESSES[chance(3)]);
    if (chance(3) == 0) {
        query->tag_name = S("kind");
        if (chance(2) == 0)
            query->tag_value = chance(2) == 0 ? S("order") : S("news");
    }
    if (chance(3) == 0)
        query->since_ms = mails[chance(MAILS)].created_ms;
    if (chance(3) == 0)
        query->until_ms = mails[chance(MAILS)].created_ms;
    question->canceled = chance(3) == 0;
    question->has_class = chance(3) == 0;
    question->mail_class = CLASS_BULK;
    if (question->canceled || question->has_class)
        query->wants = wants;
}

/* --- the walks --- */

static size_t expected(const struct question *question, struct id *ids)
{
    size_t count = 0;

    for (size_t i = MAILS; i-- > 0;)
        if (model_has(&mails[i], question))
            ids[count++] = mails[i].id;
    return count;
}

/* All pages, each from where the last one ended; has_more is exact here. */
static void walk_down(struct world *world, struct question *question)
{
    static struct id want[MAILS];
    size_t count = expected(question, want);
    size_t at = 0;
    char after[ID_LEN + 1] = "";

    do {
        question->query.page.after = str_of(after);
        ask(world, question);
        for (size_t i = 0; i < page.id_count; i++, at++) {
            assert_true(at < count);
            assert_string_equal(page.ids[i].text, want[at].text);
        }
        assert_int_equal(page.has_more, at < count);
        snprintf(after, sizeof after, "%s", page.next);
        if (page.has_more)
            assert_string_equal(page.ids[page.id_count - 1].text, after);
    } while (page.has_more);
    assert_int_equal(at, count);
}

/* The same backwards: pages before the oldest of those seen. */
static void walk_up(struct world *world, struct question *question)
{
    static struct id want[MAILS];
    size_t count = expected(question, want);
    size_t left = count;
    char before[ID_LEN + 1] = "00000000-0000-7000-8000-000000000000";

    do {
        question->query.page.before = str_of(before);
        ask(world, question);
        assert_true(page.id_count <= left);
        left -= page.id_count;
        for (size_t i = 0; i < page.id_count; i++)
            assert_string_equal(page.ids[i].text, want[left + i].text);
        assert_int_equal(page.has_more, left > 0);
        snprintf(before, sizeof before, "%s", page.next);
    } while (page.has_more);
    assert_int_equal(left, 0);
}

static void every_filter_goes_with_every_other(void **state)
{
    struct world *world = *state;
    struct question question;

    seed = 1;
    store_all(world);
    for (unsigned i = 0; i < 300; i++) {
        draw(&question);
        if (i % 2 == 0)
            walk_down(world, &question);
        else
            walk_up(world, &question);
    }
}

/* --- what happens meanwhile --- */

static void new_mail_does_not_move_pages(void **state)
{
    struct world *world = *state;
    struct question question = {.query.page.limit = 40};
    struct model newer = {.mail_class = CLASS_BULK};
    struct id second;

    seed = 2;
    store_all(world);
    ask(world, &question);
    second = mails[MAILS - 41].id;
    newer.created_ms = clock_wall_ms();
    newer.id = id_at(newer.created_ms, 1);
    store(world, &newer, "default");
    project(world, "default");
    question.query.page.after = id_str(&mails[MAILS - 40].id);
    ask(world, &question);
    assert_string_equal(page.ids[0].text, second.text);
    question.query.page.after = S("");
    ask(world, &question);
    assert_string_equal(page.ids[0].text, newer.id.text);
}

static void the_index_lags_but_states_do_not(void **state)
{
    struct world *world = *state;
    struct question question = {.query = {.page.limit = 10, .wants = wants},
                                .canceled = true};
    struct mail mail = {0};

    mail_store(world, &mail);
    ask(world, &question);
    assert_int_equal(page.id_count, 0);
    do_cancel(world, mail.id.text);
    ask(world, &question);
    assert_int_equal(page.id_count, 0); /* not projected yet */
    project(world, "default");
    ask(world, &question);
    assert_string_equal(page.ids[0].text, mail.id.text);
    do_retry(world, mail.id.text); /* nobody projects that */
    ask(world, &question);
    assert_int_equal(page.id_count, 0);
    question.canceled = false;
    ask(world, &question);
    assert_int_equal(page.id_count, 1);
}

static void another_owner_sees_nothing(void **state)
{
    struct world *world = *state;
    struct question question = {.query.page.limit = 10};
    struct mail mail = {.owner = "other"};

    mail_store(world, &mail);
    project(world, "other");
    ask(world, &question);
    assert_int_equal(page.id_count, 0);
}

/* Two children that project the same owner: the cursor moves once. */
static void each_mail_is_in_the_index_once(void **state)
{
    struct world *world = *state;
    struct question question = {.query.page.limit = 100};

    seed = 3;
    store_all(world);
    project(world, "default");
    redis_do("SET ph:{0}:prj:default 0-0"); /* and once more from the start */
    project(world, "default");
    walk_down(world, &question);
}

/* A question that finds nothing looks at a bounded number, and says from
 * where to go on. */
static void a_page_ends_when_it_has_looked_enough(void **state)
{
    struct world *world = *state;
    struct question question = {.query = {.page.limit = 10, .wants = wants},
                                .canceled = true};
    struct mail first = {0};
    char after[ID_LEN + 1] = "";
    unsigned pages = 0;

    mail_store(world, &first);
    do_cancel(world, first.id.text);
    for (unsigned i = 0; i < 1100; i++) {
        struct mail mail = {0};

        mail_store(world, &mail);
    }
    project(world, "default");
    do {
        question.query.page.after = str_of(after);
        ask(world, &question);
        snprintf(after, sizeof after, "%s", page.next);
        assert_true(++pages < PAGES_MAX);
    } while (page.has_more);
    assert_int_equal(pages, 2);
    assert_int_equal(page.id_count, 1);
    assert_string_equal(page.ids[0].text, first.id.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(every_filter_goes_with_every_other),
        WORLD_TEST(new_mail_does_not_move_pages),
        WORLD_TEST(the_index_lags_but_states_do_not),
        WORLD_TEST(another_owner_sees_nothing),
        WORLD_TEST(each_mail_is_in_the_index_once),
        WORLD_TEST(a_page_ends_when_it_has_looked_enough),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
