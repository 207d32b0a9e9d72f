#include "free_port.h"
#include "scripted_redis.h"
#include "world_fixture.h"

static int setup(void **state)
{
    *state = world_open();
    return 0;
}

/* What came back from one command. */
struct answer {
    unsigned count;
    enum reply_type type;
    char text[256];
    enum error_kind kind;
    char why[512];
};

static void on_answer(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    struct answer *answer = ctx;

    answer->count++;
    answer->type = reply_type(reply);
    snprintf(answer->text, sizeof answer->text, "%.*s",
             STR_ARG(reply_str(reply)));
    if (reply == NULL) {
        answer->kind = why->kind;
        snprintf(answer->why, sizeof answer->why, "%s", why->text);
    }
}

static void ask(struct world *world, const char *name, const char *arg,
                int64_t budget_ms, struct answer *answer)
{
    struct redis_command command;

    command_init(&command, name);
    if (arg != NULL)
        command_add_cstr(&command, arg);
    redis_send(world->queue->main, &command, budget_ms, on_answer, answer);
}

static void becomes_ready(void **state)
{
    struct world *world = *state;
    struct error why;

    assert_false(queue_is_ready(world->queue, &why));
    assert_string_equal(why.text, "redis is not connected yet");
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_string_equal(redis_ask("HGET ph:meta schema"), "1");
}

static void refuses_while_not_connected(void **state)
{
    struct world *world = *state;
    struct answer answer = {0};

    ask(world, "PING", NULL, 100, &answer);
    assert_int_equal(answer.count, 0); /* never inside the call */
    until(world->loop, answer.count > 0);
    assert_int_equal(answer.type, REPLY_NONE);
    assert_int_equal(answer.kind, ERR_BUSY);
}

static void replies_come_in_order(void **state)
{
    struct world *world = *state;
    struct answer answers[3] = {{0}};

    until(world->loop, queue_is_ready(world->queue, NULL));
    ask(world, "ECHO", "one", 1000, &answers[0]);
    ask(world, "INCR", "x", 1000, &answers[1]);
    ask(world, "LLEN", NULL, 1000, &answers[2]);
    until(world->loop, answers[2].count > 0);
    assert_string_equal(answers[0].text, "one");
    assert_int_equal(answers[1].type, REPLY_INT);
    assert_int_equal(answers[2].type, REPLY_ERROR);
}

/* A server that does not answer: all under way ends in time, the link is
 * made anew, and the late reply meets nobody. */
static void silence_drops_the_link(void **state)
{
    struct world *world = *state;
    struct answer late = {0};
    struct answer other = {0};
    int64_t start;

    until(world->loop, queue_is_ready(world->queue, NULL));
    kill(fixture.pid, SIGSTOP);
    start = real_ms();
    ask(world, "PING", NULL, 100, &late);
    ask(world, "PING", NULL, 5000, &other);
    until(world->loop, late.count > 0 && other.count > 0);
    assert_true(real_ms() - start < 1000);
    assert_int_equal(late.type, REPLY_NONE);
    assert_int_equal(late.kind, ERR_TIMEOUT);
    assert_string_equal(late.why, "redis: no answer in time");
    assert_int_equal(other.kind, ERR_TIMEOUT);
    assert_false(queue_is_ready(world->queue, NULL));
    kill(fixture.pid, SIGCONT);
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_int_equal(late.count, 1);
    assert_int_equal(other.count, 1);
}

static void a_killed_redis_is_an_unknown_outcome(void **state)
{
    struct world *world = *state;
    struct answer answer = {0};

    until(world->loop, queue_is_ready(world->queue, NULL));
    kill(fixture.pid, SIGSTOP);
    ask(world, "PING", NULL, 5000, &answer);
    loop_turn(world->loop, 0);
    fixture_stop();
    until(world->loop, answer.count > 0);
    assert_int_equal(answer.type, REPLY_NONE);
    assert_int_equal(answer.kind, ERR_REMOTE);
    fixture_start();
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_int_equal(answer.count, 1);
}

static void closing_leaves_no_callback(void **state)
{
    struct world *world = *state;
    struct answer answers[2] = {{0}};

    until(world->loop, queue_is_ready(world->queue, NULL));
    ask(world, "PING", NULL, 1000, &answers[0]);
    loop_turn(world->loop, 0);
    ask(world, "PING", NULL, 1000, &answers[1]);
    queue_close(&world->queue);
    loop_turn(world->loop, 20);
    assert_int_equal(answers[0].count, 0);
    assert_int_equal(answers[1].count, 0);
}

static void close_from_inside(void *ctx, const struct reply *reply,
                              const struct error *why)
{
    struct world *world = ctx;

    (void)reply;
    (void)why;
    queue_close(&world->queue);
}

static void may_be_closed_by_a_callback(void **state)
{
    struct world *world = *state;
    struct redis_command command;
    struct answer answer = {0};

    until(world->loop, queue_is_ready(world->queue, NULL));
    command_init(&command, "PING");
    redis_send(world->queue->main, &command, 1000, close_from_inside, world);
    ask(world, "PING", NULL, 1000, &answer);
    until(world->loop, world->queue == NULL);
    loop_turn(world->loop, 20);
    assert_int_equal(answer.count, 0);
}

static void addresses(void **state)
{
    static const struct {
        const char *url;
        const char *host; /* NULL: refused */
        unsigned port;
        unsigned database;
    } cases[] = {
        {"redis://127.0.0.1:6380/2", "127.0.0.1", 6380, 2},
        {"redis://localhost", "localhost", 6379, 0},
        {"redis://[::1]:7/0", "::1", 7, 0},
        {"redis://[::1]", "::1", 6379, 0},
        {"unix:/run/redis.sock", "/run/redis.sock", 0, 0},
        {"unix:/run/redis.sock?db=3", "/run/redis.sock", 0, 3},
        {"redis://", NULL, 0, 0},
        {"redis://h:0/0", NULL, 0, 0},
        {"redis://h:65536", NULL, 0, 0},
        {"redis://h:1/x", NULL, 0, 0},
        {"redis://[::1", NULL, 0, 0},
        {"unix:", NULL, 0, 0},
        {"sentinel:///m", NULL, 0, 0},
        {"sentinel://h", NULL, 0, 0},
        {"sentinel://h/", NULL, 0, 0},
        {"sentinel://h,/m", NULL, 0, 0},
        {"sentinel://h/m/x", NULL, 0, 0},
        {"unix:/s?db=x", NULL, 0, 0},
        {"http://h", NULL, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct redis_address address;
        struct error err;
        bool good = redis_address_parse(cases[i].url, &address, &err);

        if (good != (cases[i].host != NULL))
            fail_msg("%s", cases[i].url);
        if (!good)
            continue;
        assert_string_equal(address.node.host, cases[i].host);
        assert_int_equal(address.node.port, cases[i].port);
        assert_int_equal(address.database, cases[i].database);
    }
}

static void sentinels(void **state)
{
    struct redis_address address;
    struct error err;

    (void)state;
    assert_true(redis_address_parse("sentinel://a:1,[::1],c/mymaster/7",
                                    &address, &err));
    assert_int_equal(address.sentinel_count, 3);
    assert_string_equal(address.sentinels[0].host, "a");
    assert_int_equal(address.sentinels[0].port, 1);
    assert_string_equal(address.sentinels[1].host, "::1");
    assert_int_equal(address.sentinels[2].port, 26379);
    assert_string_equal(address.master, "mymaster");
    assert_int_equal(address.database, 7);
}

static void nodes_of_a_cluster(void **state)
{
    struct redis_address address;
    struct error err;

    (void)state;
    assert_true(
        redis_address_parse("cluster://a:7000,[::1]:7001,c/", &address, &err));
    assert_int_equal(address.seed_count, 3);
    assert_string_equal(address.seeds[0].host, "a");
    assert_int_equal(address.seeds[1].port, 7001);
    assert_int_equal(address.seeds[2].port, 6379);
    assert_false(redis_address_parse("cluster://a/1", &address, &err));
    assert_false(redis_address_parse("cluster:///", &address, &err));
}

/* A name has to be resolved, and a password to be given. */
static void logs_in(void **state)
{
    struct world *world = *state;
    char url[sizeof fixture.url];
    struct config config = fixture.config;
    struct queue *queue;
    struct error why;

    redis_do("CONFIG SET requirepass secret");
    config.redis.password = "wrong";
    snprintf(url, sizeof url, "%s", fixture.url);
    url[strlen(url) - 1] = '3'; /* another database */
    queue = queue_open(world->loop, &config, NULL);
    until(world->loop,
          !queue_is_ready(queue, &why) && strstr(why.text, "WRONGPASS"));
    queue_close(&queue);
    config.redis.password = "secret";
    config.redis.url = url;
    queue = queue_open(world->loop, &config, NULL);
    until(world->loop, queue_is_ready(queue, NULL));
    queue_close(&queue);
    redis_do("CONFIG SET requirepass %s", "");
    redis_do("SELECT 3");
    assert_string_equal(redis_ask("HGET ph:meta schema"), "1");
    redis_do("SELECT 0");
}

static void resolves_a_name(void **state)
{
    struct world *world = *state;
    struct config config = fixture.config;
    char url[64];
    struct queue *queue;
    struct error why;
    unsigned port = free_port();

    redis_do("CONFIG SET port %u", port);
    snprintf(url, sizeof url, "redis://localhost:%u/0", port);
    config.redis.url = url;
    queue = queue_open(world->loop, &config, NULL);
    until(world->loop, queue_is_ready(queue, NULL));
    queue_close(&queue);
    redis_do("CONFIG SET port 0");
    config.redis.url = "redis://no-such-host.invalid/0";
    queue = queue_open(world->loop, &config, NULL);
    until(world->loop, !queue_is_ready(queue, &why) &&
                           strstr(why.text, "no-such-host.invalid") != NULL);
    queue_close(&queue);
    config.redis.url = "redis://127.0.0.1:0/0";
    queue = queue_open(world->loop, &config, NULL);
    until(world->loop, !queue_is_ready(queue, &why) &&
                           strstr(why.text, "redis.url") != NULL);
    queue_close(&queue);
}

static void says_why_it_cannot_connect(void **state)
{
    struct world *world = *state;
    char port[64];
    const char *const cases[][2] = {
        {port, "redis: Connection refused"},
        {"unix:/no/such/redis.sock", "redis: No such file or directory"},
    };

    snprintf(port, sizeof port, "redis://127.0.0.1:%d/0", free_port());
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config config = fixture.config;
        struct queue *queue;
        struct error why = {0};

        config.redis.url = cases[i][0];
        queue = queue_open(world->loop, &config, NULL);
        until(world->loop, !queue_is_ready(queue, &why) &&
                               strcmp(why.text, cases[i][1]) == 0);
        queue_close(&queue);
    }
}

/* It answers the greeting, and goes when it is asked. */
static const char *goes_when_asked(struct scripted *scripted,
                                   const char *command)
{
    scripted->heard += strncmp(command, "SENTINEL", 8) == 0;
    return strcmp(command, "PING") == 0 ? "+PONG\r\n" : NULL;
}

/* The next one is asked, again and again. */
static void a_sentinel_may_go_when_it_is_asked(void **state)
{
    struct world *world = *state;
    struct config config = fixture.config;
    struct scripted sentinels[2] = {{.answer = goes_when_asked},
                                    {.answer = goes_when_asked}};
    char url[128];
    struct queue *queue;

    for (size_t i = 0; i < COUNT_OF(sentinels); i++) {
        scripted_listen(&sentinels[i]);
        scripted_start(&sentinels[i]);
    }
    snprintf(url, sizeof url, "sentinel://127.0.0.1:%u,127.0.0.1:%u/mail",
             sentinels[0].port, sentinels[1].port);
    config.redis.url = url;
    config.redis.sentinel_username = config.redis.sentinel_password = "";
    queue = queue_open(world->loop, &config, NULL);
    until(world->loop, sentinels[0].heard > 2 && sentinels[1].heard > 2);
    assert_non_null(strstr(redis_link_trouble(queue->main)->text,
                           "Server closed the connection"));
    queue_close(&queue);
    for (size_t i = 0; i < COUNT_OF(sentinels); i++)
        scripted_stop(&sentinels[i]);
}

/* --- Sentinels that do not agree --- */

/* What Sentinels and servers say of themselves. */
enum { BEHIND, KNOWS, REPLICA, MASTER, PLACES };
static struct scripted places[PLACES];

static const char *names_master(const struct scripted *scripted)
{
    static char answers[2][64];
    size_t self = (size_t)(scripted - places);

    snprintf(answers[self], sizeof answers[self],
             "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%u\r\n",
             places[self == BEHIND ? REPLICA : MASTER].port);
    return answers[self];
}

static const char *as_it_is(struct scripted *scripted, const char *command)
{
    if (strncmp(command, "SENTINEL", 8) == 0)
        return names_master(scripted);
    if (strcmp(command, "ROLE") != 0)
        return "+PONG\r\n";
    return scripted == &places[MASTER] ? "*1\r\n$6\r\nmaster\r\n"
                                       : "*1\r\n$5\r\nslave\r\n";
}

/* One that heard of no failover names the old master for ever: the others are
 * asked, too. */
static void a_sentinel_that_is_behind_is_not_asked_alone(void **state)
{
    const struct world *world = *state;
    struct config_redis config = {.username = "",
                                  .password = "",
                                  .sentinel_username = "",
                                  .sentinel_password = ""};
    struct redis_address address;
    struct redis_link *link;
    struct error err;
    char url[128];

    for (size_t i = 0; i < PLACES; i++) {
        places[i] = (struct scripted){.answer = as_it_is};
        scripted_listen(&places[i]);
    }
    for (size_t i = 0; i < PLACES; i++)
        scripted_start(&places[i]);
    snprintf(url, sizeof url, "sentinel://127.0.0.1:%u,127.0.0.1:%u/mail",
             places[BEHIND].port, places[KNOWS].port);
    assert_true(redis_address_parse(url, &address, &err));
    link = redis_link_open(world->loop, &(struct redis_link_settings){
                                            .config = &config,
                                            .address = &address,
                                            .name = "test",
                                            .in_flight_max = 4,
                                        });
    until(world->loop, redis_link_is_up(link));
    assert_int_equal(redis_link_place(link, S(""))->port, places[MASTER].port);
    redis_link_close(&link);
    for (size_t i = 0; i < PLACES; i++)
        scripted_stop(&places[i]);
}

#define LINK_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(sentinels),
        cmocka_unit_test(nodes_of_a_cluster),
        LINK_TEST(becomes_ready),
        LINK_TEST(refuses_while_not_connected),
        LINK_TEST(replies_come_in_order),
        LINK_TEST(silence_drops_the_link),
        LINK_TEST(a_killed_redis_is_an_unknown_outcome),
        LINK_TEST(closing_leaves_no_callback),
        LINK_TEST(logs_in),
        LINK_TEST(resolves_a_name),
        LINK_TEST(may_be_closed_by_a_callback),
        LINK_TEST(says_why_it_cannot_connect),
        LINK_TEST(a_sentinel_may_go_when_it_is_asked),
        LINK_TEST(a_sentinel_that_is_behind_is_not_asked_alone),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
