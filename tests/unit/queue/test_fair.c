/* Many owners in one lane: the ring, as turn.lua keeps it. */
#include "script_fixture.h"

enum { OWNERS = 1000, MAILS = 2, ROOM = 100, FLIGHT = 50 };

static void store_all(struct world *world)
{
    static struct mail mails[OWNERS * MAILS];
    static struct answered answered[OWNERS * MAILS];
    static char owners[OWNERS][8];

    for (unsigned i = 0; i < OWNERS * MAILS; i++) {
        snprintf(owners[i / MAILS], sizeof owners[0], "o%u", i / MAILS);
        mails[i] =
            (struct mail){.owner = owners[i / MAILS], .mail_class = CLASS_BULK};
        mail_send(world->queue, &mails[i], &answered[i]);
        if (i % FLIGHT == FLIGHT - 1)
            until(world->loop, answered[i].count == 1);
    }
    for (unsigned i = 0; i < OWNERS * MAILS; i++)
        assert_int_equal(answered[i].status, QUEUE_OK);
}

static void each_owner_has(unsigned mails)
{
    char text[8];

    snprintf(text, sizeof text, "%u", mails);
    for (unsigned i = 0; i < OWNERS; i++)
        if (strcmp(redis_ask("LLEN ph:{0}:q:3:o%u:main", i), text) != 0)
            fail_msg("o%u: %s, not %u", i,
                     redis_ask("LLEN ph:{0}:q:3:o%u:main", i), mails);
}

/* Each is served once before any is served twice. */
static void a_thousand_owners_take_turns(void **state)
{
    struct world *world = *state;

    store_all(world);
    do_register(world, "e1", "", NULL, NULL);
    for (unsigned round = 0; round < OWNERS / ROOM; round++)
        do_claim(world, "e1", "main", ROOM);
    each_owner_has(1);
    assert_string_equal(redis_ask("LLEN ph:{0}:ring:3:main"), "1000");
    for (unsigned round = 0; round < OWNERS / ROOM; round++)
        do_claim(world, "e1", "main", ROOM);
    each_owner_has(0);
    assert_string_equal(redis_ask("EXISTS ph:{0}:ring:3:main"), "0");
}

/* The one who comes last is not behind all that the others have. */
static void a_late_owner_waits_for_one_round(void **state)
{
    struct world *world = *state;
    struct mail late = {.owner = "late", .mail_class = CLASS_BULK};

    store_all(world);
    mail_store(world, &late);
    do_register(world, "e1", "", NULL, NULL);
    for (unsigned round = 0; round < OWNERS / ROOM; round++)
        do_claim(world, "e1", "main", ROOM);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 s", late.id.text), "q");
    do_claim(world, "e1", "main", 1);
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 s", late.id.text), "c");
}

/* A lane that is never empty takes its room, but for the sixteenth that each
 * lower lane is sure of, on each route, however small the room is. */
static void lower_lanes_have_their_share(void **state)
{
    static const int rooms[][2] = {{64, 4}, {16, 1}, {1, 1}};
    struct world *world = *state;
    struct turn turn = {.epoch = "e1", .route = "main"};

    for (size_t i = 0; i < COUNT_OF(rooms); i++) {
        redis_do("FLUSHDB");
        for (unsigned n = 0; n < 80; n++) {
            struct mail code = {.mail_class = CLASS_VERIFICATION};
            struct mail bulk = {.mail_class = CLASS_BULK};

            mail_store(world, &code);
            mail_store(world, &bulk);
        }
        do_register(world, "e1", "", NULL, NULL);
        turn.share = (unsigned)rooms[i][1];
        for (unsigned lane = 0; lane < LANE_COUNT; lane++)
            turn.room[lane] = rooms[i][0];
        do_turn(world, &turn);
        assert_int_equal(
            80 - (int)strtol(redis_ask("LLEN ph:{0}:q:3:default:main"), NULL,
                             10),
            rooms[i][1]);
        assert_int_equal(
            80 - (int)strtol(redis_ask("LLEN ph:{0}:q:0:default:main"), NULL,
                             10),
            rooms[i][0] - rooms[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_thousand_owners_take_turns),
        WORLD_TEST(a_late_owner_waits_for_one_round),
        WORLD_TEST(lower_lanes_have_their_share),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
