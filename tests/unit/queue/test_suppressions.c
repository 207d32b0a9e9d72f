/* Addresses that no mail goes to: how they come on the list and off it, what a
 * mail to one ends as, and how long it is remembered. */
#include "script_fixture.h"

#include "queue/index.h"

#define DAY_MS INT64_C(86400000)

static const struct queue_owner OWNER = {STR("default"), 0};
static char hash[ADDRESS_HASH_SIZE]; /* of one@example.net */

static int setup(void **state)
{
    address_hash(S("one@example.net"), hash);
    return world_setup(state);
}

/* --- changes --- */

static struct answered change;

static void add_all(struct world *world, const char *const *addresses,
                    size_t count, enum suppression_origin origin)
{
    struct suppression_entry entries[8];

    for (size_t i = 0; i < count; i++)
        entries[i] = (struct suppression_entry){str_of(addresses[i]),
                                                str_of(addresses[i])};
    change = (struct answered){0};
    queue_suppression_add(world->queue, OWNER, entries, count, origin,
                          count > 1, NULL, on_answered, &change);
    until(world->loop, change.count > 0);
}

static void add(struct world *world, const char *address,
                enum suppression_origin origin)
{
    add_all(world, &address, 1, origin);
    assert_int_equal(change.status, QUEUE_OK);
    assert_int_equal(change.http_status, 201);
}

static void drop(struct world *world, const char *address)
{
    struct suppression_name name = {.key = str_of(address)};

    change = (struct answered){0};
    queue_suppression_remove(world->queue, OWNER, &name, 1, false, NULL,
                             on_answered, &change);
    until(world->loop, change.count > 0);
}

/* --- looks --- */

static struct {
    bool done;
    enum queue_status status;
    char text[512];  /* "address origin bounces;" each, + if there are more */
    char reason[32]; /* of the last one */
    int64_t life_ms;
} list;

static void on_list(void *ctx, const struct queue_suppressions *found)
{
    (void)ctx;
    memset(&list, 0, sizeof list);
    list.status = found->status;
    for (size_t i = 0; i < found->count; i++) {
        const struct suppression *one = &found->suppressions[i];
        size_t len = strlen(list.text);

        list.life_ms = one->until_ms == 0 ? 0 : one->until_ms - one->created_ms;
        snprintf(list.reason, sizeof list.reason, "%.*s", STR_ARG(one->reason));
        snprintf(list.text + len, sizeof list.text - len, "%.*s %s %u;",
                 STR_ARG(one->address), suppression_origin_name(one->origin),
                 one->bounces);
    }
    if (found->has_more)
        snprintf(list.text + strlen(list.text),
                 sizeof list.text - strlen(list.text), "+");
    list.done = true;
}

static const char *get(struct world *world, const char *address)
{
    list.done = false;
    queue_suppression_get(world->queue, OWNER,
                          (struct suppression_name){.key = str_of(address)},
                          on_list, NULL);
    until(world->loop, list.done);
    return list.status == QUEUE_OK ? list.text : "none";
}

static const char *page(struct world *world, unsigned limit,
                        enum suppression_origin origin)
{
    struct queue_page page = {.limit = limit};

    list.done = false;
    queue_suppression_list(world->queue, OWNER, &page, origin, on_list, NULL);
    until(world->loop, list.done);
    assert_int_equal(list.status, QUEUE_OK);
    return list.text;
}

/* --- mails --- */

static struct mail mail;

static void send(struct world *world, unsigned recipients)
{
    struct answered answered = {0};

    mail = (struct mail){.mail_class = CLASS_TRANSACTIONAL,
                         .recipients = recipients};
    mail_send(world->queue, &mail, &answered);
    until(world->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_OK);
}

static const char *events(void)
{
    static char kinds[512];
    const char *at = redis_ask("XRANGE ph:{0}:ev:default - +");

    kinds[0] = '\0';
    while ((at = strstr(at, "\"t\":\"email.")) != NULL) {
        size_t len = strlen(kinds);

        at += strlen("\"t\":\"email.");
        snprintf(kinds + len, sizeof kinds - len, "%.*s ",
                 (int)strcspn(at, "\""), at);
    }
    return kinds;
}

/* What of the list was told, as "added one@example.net manual;". */
static const char *told(void)
{
    static char all[512];
    const char *at = redis_ask("XRANGE ph:{0}:ev:default - +");

    all[0] = '\0';
    while ((at = strstr(at, "\"t\":\"suppression.")) != NULL) {
        const char *box = strstr(at, "\"box\":\"") + strlen("\"box\":\"");
        const char *by = strstr(at, "\"by\":\"") + strlen("\"by\":\"");
        size_t len = strlen(all);

        at += strlen("\"t\":\"suppression.");
        snprintf(all + len, sizeof all - len, "%.*s %.*s %.*s;",
                 (int)strcspn(at, "\""), at, (int)strcspn(box, "\""), box,
                 (int)strcspn(by, "\""), by);
    }
    return all;
}

/* A mail to one@example.net bounces, and that is the address's fault. */
static void bounce_by(struct world *world, const char *outcome)
{
    char id[80];
    char token[64];
    char what[128];

    send(world, 1);
    snprintf(id, sizeof id, "%s:0", mail.id.text);
    do_register(world, "e1", "", NULL, NULL);
    do_claim(world, "e1", "main", 10);
    snprintf(token, sizeof token, "%.60s", redis_ask("HGET ph:{0}:d:%s t", id));
    assert_string_not_equal(token, "nil");
    snprintf(what, sizeof what, "%s %s one@example.net", id_new(0).text, hash);
    do_turn(world, &(struct turn){.epoch = "e1",
                                  .id = id,
                                  .token = token,
                                  .kind = "p",
                                  .outcome = outcome,
                                  .suppressed = what});
}

static void bounce(struct world *world)
{
    bounce_by(world, "550,\"5.1.1\",\"gone\"");
}

/* As if it had been so long ago. */
static void age(int64_t ms)
{
    static const char script[] =
        "local P, hash, ms = ARGV[1], ARGV[2], tonumber(ARGV[3])\n"
        "local id, o, c, t, rest = string.match(redis.call('HGET',\n"
        "  P .. 'su:default', hash), '^(%S+) (%a) (%d+) (%d+) (.*)$')\n"
        "local int = function(n) return string.format('%d', n) end\n"
        "redis.call('HSET', P .. 'su:default', hash, id .. ' ' .. o .. ' ' ..\n"
        "  int(c - ms) .. ' ' .. int(t - ms) .. ' ' .. rest)\n"
        "redis.call('ZINCRBY', P .. 'sx:default', -ms, hash)\n"
        "redis.call('ZINCRBY', P .. 'sold', -ms, 'default')";

    redis_do("EVAL %s 0 ph:{0}: %s %lld", script, hash, (long long)ms);
}

static void sweep_at(struct world *world, int64_t keep_events_ms)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_SWEEP, 0);
    command_add_int(&command, KEEP_BODIES_MS);
    command_add_int(&command, keep_events_ms);
    command_add_int(&command, 0);
    script_send(world, &command);
}

static void sweep(struct world *world)
{
    sweep_at(world, KEEP_BODIES_MS);
}

/* To the lists of the endpoints, and to what is made of events. */
static void read_events(struct world *world)
{
    struct redis_command command;

    command_init_partition(&command, world->queue, SCRIPT_FANOUT, 0);
    command_add_cstr(&command, "suppression.added");
    command_add_cstr(&command, "200");
    script_send(world, &command);
    command_init_partition(&command, world->queue, SCRIPT_PROJECT, 0);
    command_add_cstr(&command, "default");
    command_add_cstr(&command, "200");
    command_add_cstr(&command, "86400000");
    script_send(world, &command);
}

/* --- tests --- */

static void a_mail_to_it_ends_when_it_is_accepted(void **state)
{
    struct world *world = *state;

    add(world, "one@example.net", SUPPRESSION_MANUAL);
    send(world, 1);
    assert_string_equal(events(), "queued suppressed ");
    assert_string_equal(redis_ask("EXISTS ph:{0}:d:%s:0", mail.id.text), "0");
    assert_non_null(strstr(redis_ask("GET ph:{0}:h:%s", mail.id.text),
                           "\"d\":[[0,\"P\",1,0,"));
    assert_string_equal(redis_ask("KEYS ph:{0}:q:*"), "");
    assert_string_equal(redis_ask("HMGET ph:{0}:n accepted final"), "1 1");
}

static void the_others_of_the_mail_go_on(void **state)
{
    struct world *world = *state;

    add(world, "two@example.net", SUPPRESSION_COMPLAINT);
    send(world, 3);
    assert_string_equal(events(), "queued suppressed ");
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           ",\"n\":1,"));
    assert_non_null(strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"),
                           "\"why\":\"previous_complaint\""));
    assert_string_equal(redis_ask("HGET ph:{0}:d:%s:0 left", mail.id.text),
                        "2");
    assert_string_equal(redis_ask("LLEN ph:{0}:q:2:default:main"), "2");
}

static void a_limited_owner_has_room_again(void **state)
{
    struct world *world = *state;

    redis_do("HSET ph:{0}:o:default max 10");
    add(world, "one@example.net", SUPPRESSION_MANUAL);
    send(world, 2);
    assert_string_equal(redis_ask("HGET ph:{0}:o:default open"), "1");
}

static void nothing_is_looked_up_where_nobody_is_on_a_list(void **state)
{
    struct world *world = *state;

    send(world, 1);
    redis_do("CONFIG RESETSTAT");
    send(world, 1);
    assert_null(strstr(redis_ask("INFO commandstats"), "cmdstat_hgetall"));
    add(world, "other@example.net", SUPPRESSION_MANUAL);
    drop(world, "other@example.net");
    assert_string_equal(redis_ask("HGET ph:{0}:o:default sup"), "nil");
}

static void a_bounce_is_kept_off_longer_each_time(void **state)
{
    static const int days[] = {30, 90, 360, 360};
    struct world *world = *state;
    char wanted[64];

    for (unsigned i = 0; i < COUNT_OF(days); i++) {
        bounce(world);
        snprintf(wanted, sizeof wanted, "one@example.net bounce %u;", i + 1);
        assert_string_equal(get(world, "one@example.net"), wanted);
        assert_int_equal(list.life_ms, days[i] * DAY_MS);
        age(days[i] * DAY_MS + 1);
        assert_string_equal(get(world, "one@example.net"), "none");
        sweep(world);
        assert_string_equal(page(world, 9, SUPPRESSION_ORIGIN_COUNT), "");
        assert_string_equal(redis_ask("HLEN ph:{0}:su:default"), "1");
    }
    age(360 * DAY_MS); /* as long again, and it is forgotten */
    sweep(world);
    assert_string_equal(
        redis_ask("EXISTS ph:{0}:su:default ph:{0}:sx:default ph:{0}:sold"),
        "0");
    assert_string_equal(redis_ask("HGET ph:{0}:o:default sup"), "nil");
}

static void the_weightiest_reason_stays(void **state)
{
    struct world *world = *state;

    bounce(world);
    add(world, "one@example.net", SUPPRESSION_COMPLAINT);
    assert_string_equal(get(world, "one@example.net"),
                        "one@example.net complaint 2;");
    add(world, "one@example.net", SUPPRESSION_MANUAL);
    assert_string_equal(get(world, "one@example.net"),
                        "one@example.net manual 2;");
    assert_int_equal(list.life_ms, 0);
    add(world, "one@example.net", SUPPRESSION_BOUNCE);
    assert_string_equal(page(world, 9, SUPPRESSION_ORIGIN_COUNT),
                        "one@example.net manual 2;");
}

/* A server may say one of its two codes alone; a late bounce, too. */
static void a_reason_is_what_codes_there_were(void **state)
{
    static const char *const reasons[][2] = {
        {"550,\"5.1.1\",\"gone\"", "550/5.1.1"},
        {"550,\"\",\"No such user\"", "550"},
        {"0,\"5.1.1\",\"\"", "5.1.1"},
        {"0,\"\",\"\"", ""},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        bounce_by(world, reasons[i][0]);
        assert_string_not_equal(get(world, "one@example.net"), "none");
        assert_string_equal(list.reason, reasons[i][1]);
        drop(world, "one@example.net");
    }
}

static void pages_and_origins(void **state)
{
    static const char *const three[] = {"a@b.net", "c@b.net", "e@b.net"};
    struct world *world = *state;

    add_all(world, three, 3, SUPPRESSION_MANUAL);
    assert_int_equal(change.status, QUEUE_OK);
    add(world, "one@example.net", SUPPRESSION_BOUNCE);
    assert_string_equal(page(world, 2, SUPPRESSION_ORIGIN_COUNT),
                        "one@example.net bounce 1;e@b.net manual 0;+");
    assert_string_equal(page(world, 3, SUPPRESSION_MANUAL),
                        "e@b.net manual 0;c@b.net manual 0;a@b.net manual 0;");
    assert_string_equal(page(world, 3, SUPPRESSION_COMPLAINT), "");
    drop(world, "c@b.net");
    assert_int_equal(change.status, QUEUE_OK);
    drop(world, "c@b.net");
    assert_int_equal(change.status, QUEUE_NOT_FOUND);
}

static void one_twice_in_a_batch_is_one(void **state)
{
    static const char *const twice[] = {"a@b.net", "a@b.net"};
    struct world *world = *state;

    add_all(world, twice, 2, SUPPRESSION_BOUNCE);
    assert_string_equal(page(world, 9, SUPPRESSION_ORIGIN_COUNT),
                        "a@b.net bounce 1;");
}

static void each_change_of_the_list_is_told_once(void **state)
{
    static const char *const two[] = {"one@example.net", "a@b.net"};
    struct world *world = *state;

    add(world, "one@example.net", SUPPRESSION_COMPLAINT);
    add(world, "one@example.net", SUPPRESSION_MANUAL); /* outweighs it */
    add_all(world, two, 2, SUPPRESSION_BOUNCE);
    assert_string_equal(redis_ask("LRANGE ph:{0}:evring 0 -1"), "default");
    drop(world, "one@example.net");
    drop(world, "one@example.net");
    add(world, "one@example.net", SUPPRESSION_MANUAL);
    assert_string_equal(told(), "added one@example.net complaint;"
                                "added a@b.net bounce;"
                                "removed one@example.net manual;"
                                "added one@example.net manual;");
}

static void a_bounce_tells_its_end_first(void **state)
{
    struct world *world = *state;
    char source[64];

    bounce(world);
    assert_string_equal(told(), "added one@example.net bounce;");
    assert_string_equal(events(), "queued bounced ");
    snprintf(source, sizeof source, "\"src\":\"%s\"", mail.id.text);
    assert_non_null(
        strstr(redis_ask("XREVRANGE ph:{0}:ev:default + - COUNT 1"), source));
    age(30 * DAY_MS + 1);
    sweep(world); /* its time is over: that is not told */
    bounce(world);
    assert_string_equal(told(), "added one@example.net bounce;"
                                "added one@example.net bounce;");
}

static void an_owner_who_moves_is_told_nothing(void **state)
{
    struct world *world = *state;
    const char *address = "other@example.net";

    add(world, "one@example.net", SUPPRESSION_MANUAL);
    redis_do("HSET ph:{0}:o:default frozen leaving");
    add_all(world, &address, 1, SUPPRESSION_MANUAL);
    assert_int_not_equal(change.status, QUEUE_OK);
    drop(world, "one@example.net");
    assert_int_not_equal(change.status, QUEUE_OK);
    assert_string_equal(told(), "added one@example.net manual;");
}

/* No timeline, no index; and the sweep gives back to the byte what it cost. */
static void what_is_told_has_no_email(void **state)
{
    struct world *world = *state;

    redis_do("SADD ph:{0}:r:webhook:default w1");
    redis_do("HSET ph:{0}:we:w1 owner default events %s enabled 1", "");
    add(world, "one@example.net", SUPPRESSION_MANUAL);
    drop(world, "one@example.net");
    read_events(world);
    assert_string_equal(redis_ask("LLEN ph:{0}:w:w1"), "1");
    assert_string_equal(redis_ask("LLEN ph:{0}:evring"), "0");
    assert_string_equal(redis_ask("KEYS ph:{0}:t:*"), "");
    assert_string_equal(redis_ask("KEYS ph:{0}:x:*"), "");
    assert_string_not_equal(redis_ask("HGET ph:{0}:n history_bytes"), "0");
    redis_do("DEL ph:{0}:w:w1");
    redis_do("HSET ph:meta test_offset_ms 10");
    sweep_at(world, 0);
    assert_string_equal(redis_ask("XLEN ph:{0}:ev:default"), "0");
    assert_string_equal(redis_ask("HGET ph:{0}:n history_bytes"), "0");
}

static void a_list_has_an_end(void **state)
{
    struct world *world = *state;
    const char *address = "one@example.net";

    redis_do("EVAL %s 0 ph:{0}:su:default",
             "for i = 1, 200000, 1000 do local args = {} "
             "for n = i, i + 999 do args[#args + 1] = 'h' .. n "
             "args[#args + 1] = 'x' end "
             "redis.call('HSET', ARGV[1], unpack(args)) end");
    loop_turn(world->loop, 0); /* that took its time */
    until(world->loop, queue_is_ready(world->queue, NULL));
    add_all(world, &address, 1, SUPPRESSION_MANUAL);
    assert_int_equal(change.status, QUEUE_OWNER_FULL);
    bounce(world); /* which counts all the same */
    assert_string_equal(told(), "");
    assert_string_equal(redis_ask("HLEN ph:{0}:su:default"), "200000");
    assert_string_equal(events(), "queued bounced ");
}

static void a_suspect_is_looked_up_too(void **state)
{
    struct world *world = *state;
    struct redis_command command;

    send(world, 1);
    redis_do("HSET ph:{0}:d:%s:0 sc 0", mail.id.text);
    redis_do("DEL ph:{0}:q:2:default:main ph:{0}:ring:2:main");
    redis_do("RPUSH ph:{0}:suspect %s:0", mail.id.text);
    add(world, "one@example.net", SUPPRESSION_MANUAL);
    do_register(world, "e1", "", NULL, NULL);
    command_init_partition(&command, world->queue, SCRIPT_ALONE, 0);
    command_add_cstr(&command, "e1");
    command_add_int(&command, LEASE_MS);
    command_add_int(&command, KEEP_BODIES_MS);
    command_add_cstr(&command, "claim");
    command_add_int(&command, 1);
    script_send(world, &command);
    assert_string_equal(script_answer.parts[0], "none");
    assert_string_equal(events(), "queued suppressed ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(test)                                                       \
    cmocka_unit_test_setup_teardown(test, setup, world_teardown)
        WITH_WORLD(a_mail_to_it_ends_when_it_is_accepted),
        WITH_WORLD(the_others_of_the_mail_go_on),
        WITH_WORLD(a_limited_owner_has_room_again),
        WITH_WORLD(nothing_is_looked_up_where_nobody_is_on_a_list),
        WITH_WORLD(a_bounce_is_kept_off_longer_each_time),
        WITH_WORLD(the_weightiest_reason_stays),
        WITH_WORLD(a_reason_is_what_codes_there_were),
        WITH_WORLD(pages_and_origins),
        WITH_WORLD(one_twice_in_a_batch_is_one),
        WITH_WORLD(each_change_of_the_list_is_told_once),
        WITH_WORLD(a_bounce_tells_its_end_first),
        WITH_WORLD(an_owner_who_moves_is_told_nothing),
        WITH_WORLD(what_is_told_has_no_email),
        WITH_WORLD(a_list_has_an_end),
        WITH_WORLD(a_suspect_is_looked_up_too),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
