/* A fan-out whose answer stays away while a wake token comes: of a server that
 * keeps its answers back until it hears the word. */
#include "redis_fixture.h"
#include "scripted_redis.h"

#include "queue/redis_core.h"

enum { LEASE_MS = 5000, BEAT_MS = LEASE_MS / 5, START_MS = 1000000 };

static const char NOTHING_FOUND[] = "*2\r\n$0\r\n\r\n:0\r\n";
static const char NOTHING_TO_DO[] = "*4\r\n$0\r\n\r\n:-1\r\n:0\r\n*0\r\n";
static const char TOKEN[] = "*2\r\n$12\r\nph:{0}:hwake\r\n$1\r\n1\r\n";

static struct scripted server;
static struct slow {
    atomic_bool is_waited; /* for a token */
    size_t waits;          /* whose connection that is */
    atomic_uint fanouts;
    atomic_bool is_late; /* the next one's answer, and all behind it */
    bool keeps;
    size_t keeps_from; /* whose */
    char kept[4096];
} slow;

/* As Redis would, if there were nothing to do. */
static const char *well(const char *command)
{
    if (strstr(command, " email.") != NULL)
        return NOTHING_FOUND;
    if (strncmp(command, "EVALSHA", 7) == 0)
        return NOTHING_TO_DO;
    if (strncmp(command, "SCRIPT", 6) == 0)
        return "$40\r\n0123456789012345678901234567890123456789\r\n";
    if (strncmp(command, "HMGET", 5) == 0)
        return "*3\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n";
    if (strncmp(command, "INFO", 4) == 0)
        return "$15\r\naof_enabled:1\r\n\r\n";
    return strncmp(command, "PING", 4) == 0 ? "+PONG\r\n" : ":1\r\n";
}

/* All that was kept, once the word is there. */
static const char *keep(const char *command)
{
    size_t len = strlen(slow.kept);

    snprintf(slow.kept + len, sizeof slow.kept - len, "%s", well(command));
    slow.keeps = strncmp(command, "GET", 3) != 0;
    return slow.keeps ? "" : slow.kept;
}

static const char *answer(struct scripted *scripted, const char *command)
{
    bool is_fanout = strstr(command, " email.") != NULL;

    if (strncmp(command, "BLPOP", 5) == 0) {
        slow.waits = scripted->client;
        slow.is_waited = true;
        return "";
    }
    if (is_fanout && slow.is_late) {
        slow.is_late = false;
        slow.keeps = true;
        slow.keeps_from = scripted->client;
    }
    slow.fanouts += is_fanout;
    return slow.keeps && slow.keeps_from == scripted->client ? keep(command)
                                                             : well(command);
}

/* How often it asks tells of its steps. */
static size_t room(void *ctx)
{
    ++*(unsigned *)ctx;
    return 1;
}

static void let_answers_go(struct queue *queue)
{
    struct redis_command command;

    command_init(&command, "GET");
    command_add_cstr(&command, "ph:{0}:go");
    redis_send(queue->main, &command, BEAT_MS, NULL, NULL);
}

/* Of what comes behind the look of a fan-out only the token tells. */
static void a_token_during_a_fanout_is_kept(void **state)
{
    char url[64];
    struct config config = {
        .redis = {.url = url,
                  .username = "",
                  .password = "",
                  .prefix = "ph:",
                  .allow_volatile = true},
        .worker = {.lease_ms = LEASE_MS},
    };
    unsigned rooms = 0;
    struct queue_hooks hooks = {.ctx = &rooms, .room = room};
    struct loop *loop = loop_create();
    struct queue *queue;
    unsigned before;

    (void)state;
    clock_set(START_MS, START_MS);
    snprintf(url, sizeof url, "redis://127.0.0.1:%u/", server.port);
    queue = queue_open(loop, &config, NULL);
    queue_hooks_start(queue, &hooks);
    until(loop, slow.is_waited && redis_link_in_flight(queue->main) == 0);
    slow.is_late = true;
    before = slow.fanouts;
    clock_set(START_MS + BEAT_MS, START_MS + BEAT_MS);
    until(loop, slow.fanouts > before);
    before = rooms;
    scripted_say(&server, slow.waits, TOKEN);
    until(loop, rooms > before);
    before = slow.fanouts;
    let_answers_go(queue);
    until(loop, slow.fanouts > before);
    queue_close(&queue);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    clock_set(-1, -1);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    server = (struct scripted){.answer = answer};
    scripted_listen(&server);
    scripted_start(&server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scripted_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_during_a_fanout_is_kept, setup,
                                        teardown),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
