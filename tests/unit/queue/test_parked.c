/* What waits for an operator: listed, requeued, dropped. */
#include "queue/parked.h"

#include "script_fixture.h"

/* The last page, copied. */
static struct seen {
    bool is_done;
    uint64_t total;
    size_t count;
    bool has_more;
    struct parked_cursor next;
    struct parked_delivery first;
    char id[80];
    char owner[40];
    char upstream[40];
    char response[160];
} seen;

static struct {
    bool is_done;
    uint64_t moved;
} done;

static void on_page(void *ctx, const struct parked_page *page)
{
    (void)ctx;
    assert_int_equal(page->status, QUEUE_OK);
    seen = (struct seen){
        .is_done = true,
        .total = page->total,
        .count = page->count,
        .has_more = page->has_more,
        .next = page->next,
    };
    if (page->count == 0)
        return;
    seen.first = page->deliveries[0];
    snprintf(seen.id, sizeof seen.id, "%.*s", STR_ARG(seen.first.id));
    snprintf(seen.owner, sizeof seen.owner, "%.*s", STR_ARG(seen.first.owner));
    snprintf(seen.upstream, sizeof seen.upstream, "%.*s",
             STR_ARG(seen.first.upstream));
    snprintf(seen.response, sizeof seen.response, "%.*s",
             STR_ARG(seen.first.delivery.response));
}

static void list(struct world *world, enum parked kind, const char *owner,
                 const struct parked_cursor *after, unsigned max)
{
    static const struct parked_cursor start;

    seen.is_done = false;
    queue_parked_list(world->queue, kind, str_of(owner),
                      after == NULL ? &start : after, max, on_page, NULL);
    until(world->loop, seen.is_done);
}

static void on_moved(void *ctx, const struct parked_moved *moved)
{
    (void)ctx;
    assert_int_equal(moved->status, QUEUE_OK);
    done.is_done = true;
    done.moved = moved->moved;
}

static unsigned move(struct world *world, bool is_drop, enum parked kind,
                     const char *owner, const char *id)
{
    struct str ids[] = {str_of(id)};

    done.is_done = false;
    if (is_drop)
        queue_parked_drop(world->queue, kind, str_of(owner), ids, 1, on_moved,
                          NULL);
    else
        queue_parked_requeue(world->queue, kind, str_of(owner), ids, 1,
                             on_moved, NULL);
    until(world->loop, done.is_done);
    return (unsigned)done.moved;
}

/* One more is held: by its worker's word, or without it. */
static void hold(struct world *world, const char *owner, bool by_word,
                 char id[80])
{
    struct mail mail = {.owner = owner,
                        .mail_class = CLASS_RESET,
                        .deadline_ms = clock_wall_ms() + 3600000,
                        .on_unknown = ON_UNKNOWN_HOLD};
    char token[64];

    mail_store(world, &mail);
    snprintf(id, 80, "%s:0", mail.id.text);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 1);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_true(do_mark(world, "e1", id, token));
    if (by_word) {
        do_turn(world, &(struct turn){
                           .epoch = "e1",
                           .id = id,
                           .token = token,
                           .kind = "u",
                           .outcome = "0,\"\",\"the server did not reply in "
                                      "time, and said nothing else at all\"",
                           .fields = ",\"r\":\"x\",\"u\":\"relay\""});
    } else {
        redis_do("ZADD ph:{0}:workers 1 e1");
        do_register(world, "e2", "", NULL, NULL);
        do_turn(world, &(struct turn){.epoch = "e2"});
    }
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s s", id), "h");
    assert_string_equal(redis_ask("OBJECT ENCODING ph:{0}:d:%s", id),
                        "listpack");
}

static void a_list_tells_what_is_known(void **state)
{
    struct world *world = *state;
    int64_t now_ms = clock_wall_ms();
    char id[80];

    list(world, PARKED_HELD, "", NULL, 10);
    assert_int_equal(seen.total + seen.count + seen.has_more, 0);
    hold(world, "acme", true, id);
    list(world, PARKED_HELD, "", NULL, 10);
    assert_int_equal(seen.count, 1);
    assert_false(seen.has_more);
    assert_string_equal(seen.id, id);
    assert_string_equal(seen.owner, "acme");
    assert_true(seen.first.class_is_known);
    assert_int_equal(seen.first.mail_class, CLASS_RESET);
    assert_int_equal(seen.first.why, PARKED_NO_REPLY);
    assert_string_equal(seen.upstream, "relay");
    assert_string_equal(
        seen.response,
        "the server did not reply in time, and said nothing else at all");
    assert_int_equal(seen.first.delivery.attempts, 1);
    assert_true(seen.first.since_ms >= now_ms);
    assert_true(seen.first.until_ms > now_ms);
    list(world, PARKED_DEAD, "", NULL, 10);
    assert_int_equal(seen.count, 0);
}

static void a_lost_worker_is_told_apart(void **state)
{
    struct world *world = *state;
    char id[80];

    hold(world, "acme", false, id);
    list(world, PARKED_HELD, "acme", NULL, 10);
    assert_int_equal(seen.first.why, PARKED_WORKER_LOST);
    assert_string_equal(seen.upstream, "");
}

static void moves_are_the_owners_own(void **state)
{
    struct world *world = *state;
    char id[80];

    hold(world, "acme", true, id);
    assert_int_equal(move(world, false, PARKED_HELD, "other", id), 0);
    assert_int_equal(move(world, false, PARKED_DEAD, "acme", id), 0);
    assert_int_equal(move(world, false, PARKED_HELD, "", "nothing:0"), 0);
    assert_int_equal(move(world, false, PARKED_HELD, "acme", id), 1);
    assert_string_equal(redis_ask("HMGET ph:{0}:d:%s s dup", id), "q 1");
    assert_string_equal(redis_ask("ZCARD ph:{0}:held"), "0");
    assert_int_equal(move(world, false, PARKED_HELD, "acme", id), 0);
}

static void a_drop_is_the_end(void **state)
{
    struct world *world = *state;
    char id[80];

    hold(world, "acme", true, id);
    assert_int_equal(move(world, true, PARKED_HELD, "", id), 1);
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s ph:{0}:held", id), "0");
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:acme + - COUNT 1"),
                           "\"t\":\"email.canceled\""));
}

/* Pages are whole however many end at once and whoever goes meanwhile. */
static void pages_go_on_behind_the_last(void **state)
{
    struct world *world = *state;
    char id[80];
    size_t count = 0;

    for (unsigned i = 0; i < 30; i++)
        hold(world, i % 3 == 0 ? "acme" : "other", true, id);
    redis_do("EVAL %s 1 ph:{0}:held",
             "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 5, 24)) do "
             "redis.call('ZADD', KEYS[1], 1900000000000, id) end");
    list(world, PARKED_HELD, "", NULL, 4);
    count = seen.count;
    while (seen.has_more) {
        struct parked_cursor next = seen.next;

        assert_int_equal(move(world, true, PARKED_HELD, "", seen.id), 1);
        list(world, PARKED_HELD, "", &next, 4);
        count += seen.count;
    }
    assert_int_equal(count, 30);
    list(world, PARKED_HELD, "acme", NULL, 100);
    assert_in_range(seen.count, 1, 10);
    assert_false(seen.has_more);
}

/* Moves what is held in partition 0 elsewhere: a hand's work, but all that a
 * list looks at. */
static void carry(const char *id, unsigned partition, long long end_ms)
{
    char email[ID_SIZE];

    snprintf(email, sizeof email, "%.36s", id);
    redis_do("RENAME ph:{0}:d:%s ph:{%u}:d:%s", id, partition, id);
    redis_do("RENAME ph:{0}:c:%s ph:{%u}:c:%s", email, partition, email);
    redis_do("ZREM ph:{0}:held %s", id);
    redis_do("ZADD ph:{%u}:held %lld %s", partition, end_ms, id);
}

enum { SPREAD = 24, SPREAD_OVER = 3 };

static int spread_setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    redis_do("FLUSHALL");
    redis_do("HSET ph:meta partitions %d", SPREAD_OVER);
    world->loop = loop_create();
    world->queue = queue_open(world->loop, &fixture.config, NULL);
    until(world->loop, queue_is_ready(world->queue, NULL));
    *state = world;
    return 0;
}

/* One order over all partitions, one total, each once, by pages of any size;
 * partition 2 alone has most of what ends last. */
static void pages_are_of_all_partitions(void **state)
{
    struct world *world = *state;
    char ids[SPREAD][80];

    for (unsigned i = 0; i < SPREAD; i++) {
        hold(world, i % 4 == 0 ? "acme" : "other", true, ids[i]);
        carry(ids[i], i < SPREAD / 2 ? i % SPREAD_OVER : SPREAD_OVER - 1,
              1900000000000 + i / 2);
    }
    for (unsigned max = 1; max < SPREAD + 2; max++) {
        struct parked_cursor next = {0};
        unsigned at = 0;

        do {
            list(world, PARKED_HELD, "", &next, max);
            assert_int_equal(seen.total, SPREAD);
            assert_int_equal(seen.count, at + max < SPREAD ? max : SPREAD - at);
            assert_string_equal(seen.id, ids[at]);
            at += (unsigned)seen.count;
            assert_int_equal(seen.has_more, at < SPREAD);
            next = seen.next;
        } while (seen.has_more);
        assert_int_equal(at, SPREAD);
    }
    list(world, PARKED_HELD, "acme", NULL, 100);
    assert_int_equal(seen.count, SPREAD / 4);
    assert_int_equal(seen.total, SPREAD);
}

/* A partition that has looked at its 1,000 says so: what others have beyond
 * that place waits for the next page. */
static void a_page_ends_where_one_stopped_looking(void **state)
{
    struct world *world = *state;
    char id[80];

    hold(world, "acme", true, id);
    carry(id, 1, 1900000005000);
    redis_do("EVAL %s 1 ph:{0}:held",
             "for i = 1, 1500 do redis.call('ZADD', KEYS[1], "
             "1900000000000 + i, 'gone:' .. i) end");
    list(world, PARKED_HELD, "acme", NULL, 10);
    assert_int_equal(seen.count, 0);
    assert_true(seen.has_more);
    assert_true(seen.next.end_ms == 1900000001000);
    list(world, PARKED_HELD, "acme", &seen.next, 10);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.id, id);
    assert_false(seen.has_more);
}

/* More of them may end at once than one look takes in: a batch that has one
 * deadline. */
static void many_that_end_at_once_are_gone_through(void **state)
{
    struct world *world = *state;
    struct parked_cursor next = {0};
    char id[80];
    unsigned pages = 0;
    size_t count = 0;

    hold(world, "acme", true, id);
    redis_do("ZADD ph:{0}:held 1900000000000 %s", id);
    redis_do("EVAL %s 1 ph:{0}:held",
             "for i = 1, 2500 do redis.call('ZADD', KEYS[1], 1900000000000, "
             "'gone:' .. i) end");
    hold(world, "acme", true, id);
    redis_do("ZADD ph:{0}:held 1900000000001 %s", id);
    do {
        list(world, PARKED_HELD, "", &next, 10);
        count += seen.count;
        next = seen.next;
    } while (seen.has_more && ++pages < 10);
    assert_false(seen.has_more);
    assert_int_equal(count, 2);
    assert_string_equal(seen.id, id);
}

/* Even what has no end of its own. */
static void what_is_held_ends(void **state)
{
    struct world *world = *state;
    struct mail mail = {.on_unknown = ON_UNKNOWN_HOLD};
    char id[80];
    char token[64];

    mail_store(world, &mail);
    snprintf(id, sizeof id, "%s:0", mail.id.text);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 1);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_true(do_mark(world, "e1", id, token));
    do_turn(world, &(struct turn){
                       .epoch = "e1", .id = id, .token = token, .kind = "u"});
    list(world, PARKED_HELD, "", NULL, 1);
    assert_true(seen.first.until_ms > clock_wall_ms());
    redis_do("ZADD ph:{0}:held 1 %s", id);
    do_turn(world, &(struct turn){.epoch = "e1"});
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"why\":\"unknown_outcome\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_list_tells_what_is_known),
        WORLD_TEST(a_lost_worker_is_told_apart),
        WORLD_TEST(moves_are_the_owners_own),
        WORLD_TEST(a_drop_is_the_end),
        WORLD_TEST(pages_go_on_behind_the_last),
        cmocka_unit_test_setup_teardown(pages_are_of_all_partitions,
                                        spread_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_page_ends_where_one_stopped_looking,
                                        spread_setup, world_teardown),
        WORLD_TEST(many_that_end_at_once_are_gone_through),
        WORLD_TEST(what_is_held_ends),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
