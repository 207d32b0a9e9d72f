/* What no cluster should say, and some do for a while: two servers that each
 * send us to the other one for the same slot. */
#include "scripted_redis.h"
#include "world_fixture.h"

static struct scripted servers[2];

/* Half of the slots are whose they should be, and neither takes a GET. */
static const char *says_moved(struct scripted *scripted, const char *command)
{
    static char answers[2][256];
    size_t self = (size_t)(scripted - servers);

    if (strcmp(command, "CLUSTER SLOTS") == 0)
        snprintf(answers[self], sizeof answers[self],
                 "*2\r\n*3\r\n:0\r\n:8191\r\n"
                 "*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n"
                 "*3\r\n:8192\r\n:16383\r\n"
                 "*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                 servers[0].port, servers[1].port);
    else if (strncmp(command, "GET", 3) == 0)
        snprintf(answers[self], sizeof answers[self],
                 "-MOVED 1 127.0.0.1:%u\r\n", servers[!self].port);
    else
        return "+PONG\r\n";
    scripted->heard++;
    return answers[self];
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        servers[i] = (struct scripted){.answer = says_moved};
        scripted_listen(&servers[i]);
    }
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        scripted_start(&servers[i]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        scripted_stop(&servers[i]);
    return 0;
}

static void on_answer(void *ctx, const struct reply *reply,
                      const struct error *why)
{
    assert_null(reply);
    *(struct error *)ctx = *why;
}

/* With a pause between, as for all else that was not executed; and who asked
 * hears of it in time. */
static void two_that_send_to_each_other_are_not_besieged(void **state)
{
    const struct config_redis config = {.username = "", .password = ""};
    struct redis_address address;
    struct loop *loop = loop_create();
    struct redis_link *link;
    struct redis_command command;
    struct error why = {0};
    char url[128];
    unsigned before;

    (void)state;
    snprintf(url, sizeof url, "cluster://127.0.0.1:%u,127.0.0.1:%u/",
             servers[0].port, servers[1].port);
    assert_true(redis_address_parse(url, &address, &why));
    link = redis_link_open(loop, &(struct redis_link_settings){
                                     .config = &config,
                                     .address = &address,
                                     .name = "test",
                                     .in_flight_max = 16,
                                 });
    until(loop, redis_link_is_up(link));
    before = servers[0].heard + servers[1].heard;
    command_init(&command, "GET");
    command_add_cstr(&command, "key");
    redis_send(link, &command, 1000, on_answer, &why);
    until(loop, why.kind != ERR_NONE);
    assert_int_equal(why.kind, ERR_BUSY);
    assert_non_null(strstr(why.text, "MOVED"));
    assert_in_range(servers[0].heard + servers[1].heard - before, 4, 40);
    redis_link_close(&link);
    loop_turn(loop, 0);
    loop_destroy(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            two_that_send_to_each_other_are_not_besieged, setup, teardown),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
