/* What no cluster should say, and some do for a while, told by two scripted
 * servers. */
#include "scripted_redis.h"
#include "worker_fixture.h"

#include "queue/redis_core.h"

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

static int setup_as(const char *(*answer)(struct scripted *scripted,
                                          const char *command))
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        servers[i] = (struct scripted){.answer = answer};
        scripted_listen(&servers[i]);
    }
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        scripted_start(&servers[i]);
    return 0;
}

static int lies_setup(void **state)
{
    (void)state;
    return setup_as(says_moved);
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        scripted_stop(&servers[i]);
    return 0;
}

/* The first one tells of the other. */
static struct redis_link *open_link(struct loop *loop, size_t in_flight_max)
{
    static const struct config_redis config = {.username = "", .password = ""};
    static struct redis_address address;
    struct redis_link *link;
    struct error err;
    char url[128];

    snprintf(url, sizeof url, "cluster://127.0.0.1:%u/", servers[0].port);
    assert_true(redis_address_parse(url, &address, &err));
    link = redis_link_open(loop, &(struct redis_link_settings){
                                     .config = &config,
                                     .address = &address,
                                     .name = "test",
                                     .in_flight_max = in_flight_max,
                                 });
    until(loop, redis_link_is_up(link));
    return link;
}

static void close_link(struct loop *loop, struct redis_link *link)
{
    redis_link_close(&link);
    loop_turn(loop, 0);
    loop_destroy(&loop);
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
    struct loop *loop = loop_create();
    struct redis_link *link = open_link(loop, 16);
    struct redis_command command;
    struct error why = {0};
    unsigned before;

    (void)state;
    before = servers[0].heard + servers[1].heard;
    command_init(&command, "GET");
    command_add_cstr(&command, "key");
    redis_send(link, &command, 1000, on_answer, &why);
    until(loop, why.kind != ERR_NONE);
    assert_int_equal(why.kind, ERR_BUSY);
    assert_non_null(strstr(why.text, "MOVED"));
    assert_in_range(servers[0].heard + servers[1].heard - before, 4, 40);
    close_link(loop, link);
}

/* --- a slot that does not arrive --- */

enum { UNDER_WAY_MAX = 16, BATCHES = 4 };

static const char *says_ask(struct scripted *scripted, const char *command)
{
    if (strncmp(command, "GET", 3) != 0)
        return says_moved(scripted, command);
    scripted->heard++;
    return "-ASK 1 127.0.0.1:1\r\n";
}

static int ask_setup(void **state)
{
    (void)state;
    return setup_as(says_ask);
}

static void on_refused(void *ctx, const struct reply *reply,
                       const struct error *why)
{
    assert_null(reply);
    assert_int_equal(why->kind, ERR_BUSY);
    ++*(unsigned *)ctx;
}

/* While it is on its way no more wait for it than may be under way. */
static void what_waits_for_a_slot_does_not_pile_up(void **state)
{
    struct loop *loop = loop_create();
    struct redis_link *link = open_link(loop, UNDER_WAY_MAX);
    unsigned refused = 0;

    (void)state;
    for (unsigned i = 0; i < BATCHES; i++) {
        unsigned before = servers[0].heard + servers[1].heard;

        for (unsigned k = 0; k < UNDER_WAY_MAX; k++) {
            struct redis_command command;

            command_init(&command, "GET");
            command_add_cstr(&command, "key");
            redis_send(link, &command, 10 * FIXTURE_PATIENCE_MS, on_refused,
                       &refused);
        }
        until(loop, servers[0].heard + servers[1].heard > before);
    }
    until(loop, refused >= (BATCHES - 1) * UNDER_WAY_MAX);
    /* Beside a question for the slots, at times. */
    until(loop,
          redis_link_in_flight(link) == BATCHES * UNDER_WAY_MAX - refused);
    close_link(loop, link);
}

/* --- servers that have no name yet --- */

/* As Redis does that is to tell host names (cluster-preferred-endpoint-type)
 * and has not heard the second server's. All slots are that one's, and the
 * first does not know it until it is asked for a key. */
static atomic_bool is_known_to_have_moved;

static const char *without_names(struct scripted *scripted, const char *command)
{
    static char answers[2][256];
    size_t self = (size_t)(scripted - servers);
    unsigned home = servers[is_known_to_have_moved].port;

    if (strcmp(command, "CLUSTER SLOTS") == 0) {
        snprintf(answers[self], sizeof answers[self],
                 "*1\r\n*3\r\n:0\r\n:16383\r\n"
                 "*4\r\n$1\r\n?\r\n:%u\r\n$1\r\na\r\n"
                 "*2\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n",
                 home);
    } else if (strncmp(command, "GET", 3) == 0 && self == 0) {
        is_known_to_have_moved = true;
        snprintf(answers[self], sizeof answers[self], "-MOVED 1 ?:%u\r\n",
                 servers[1].port);
    } else {
        return "+PONG\r\n";
    }
    return answers[self];
}

static int nameless_setup(void **state)
{
    (void)state;
    is_known_to_have_moved = false;
    return setup_as(without_names);
}

static void on_text(void *ctx, const struct reply *reply,
                    const struct error *why)
{
    if (reply_type(reply) != REPLY_TEXT)
        fail_msg("%s", why->text);
    *(bool *)ctx = true;
}

static void a_server_without_a_name_has_an_address(void **state)
{
    struct loop *loop = loop_create();
    struct redis_link *link = open_link(loop, 16);
    struct redis_command command;
    bool is_answered = false;

    (void)state;
    command_init(&command, "GET");
    command_add_cstr(&command, "key");
    redis_send(link, &command, 1000, on_text, &is_answered);
    until(loop, is_answered);
    close_link(loop, link);
}

/* --- one of them is away --- */

/* The second one hears, and says nothing. */
static const char *one_is_silent(struct scripted *scripted, const char *command)
{
    return scripted == &servers[0] ? says_moved(scripted, command) : "";
}

static int silent_setup(void **state)
{
    (void)state;
    return setup_as(one_is_silent);
}

/* Who begins while a server is away does so with the others. */
static void a_link_begins_with_the_servers_that_are_there(void **state)
{
    struct loop *loop = loop_create();
    struct redis_link *link = open_link(loop, 16);

    (void)state;
    assert_true(redis_link_serves(link, S("{2}")));  /* slot 5649 */
    assert_false(redis_link_serves(link, S("{0}"))); /* slot 13907 */
    close_link(loop, link);
}

/* Nothing goes without meta (slot 13486), and that is what it says. */
static void a_queue_without_its_meta_says_so(void **state)
{
    struct config config = fixture.config;
    struct loop *loop = loop_create();
    struct queue *queue;
    struct error why = {0};
    char url[128];

    (void)state;
    snprintf(url, sizeof url, "cluster://127.0.0.1:%u/", servers[0].port);
    config.redis = (struct config_redis){
        .url = url, .username = "", .password = "", .prefix = "ph:"};
    queue = queue_open(loop, &config, NULL);
    until(loop, !queue_is_ready(queue, &why) &&
                    strstr(why.text, "the node that holds the slot") != NULL);
    queue_close(&queue);
    loop_turn(loop, 0);
    loop_destroy(&loop);
}

/* --- a slot moves while its server is asked --- */

static struct moving {
    atomic_bool has_moved; /* {0}, from the second server to the first */
    atomic_bool is_asked;  /* the second, by the GET that learns of it */
    atomic_bool is_silent; /* the second */
    atomic_uint takeovers; /* registers that name an epoch before */
    const char *answer;    /* to scripts */
} moving;

/* All is well, and nothing is there to do: to a worker's scripts, and to those
 * of hooks. */
static const char TO_WORKER[] = "*8\r\n$2\r\nok\r\n:1000\r\n:0\r\n:0\r\n"
                                "*0\r\n*0\r\n*0\r\n*0\r\n";
static const char TO_HOOKS[] = "*4\r\n$0\r\n\r\n:-1\r\n:0\r\n*0\r\n";

static bool names_two_epochs(const char *command)
{
    char now[32];
    char before[32];

    return sscanf(command, "EVALSHA %*40s 1 ph:{0}: %31s %31s", now, before) ==
               2 &&
           strlen(now) == EPOCH_SIZE - 1 && strlen(before) == EPOCH_SIZE - 1;
}

static const char *to_script(const char *command)
{
    moving.takeovers += names_two_epochs(command);
    return moving.answer;
}

/* As Redis would. */
static const char *well(struct scripted *scripted, const char *command)
{
    static char slots[256];

    if (moving.has_moved && strncmp(command, "CLUSTER", 7) == 0) {
        snprintf(slots, sizeof slots,
                 "*1\r\n*3\r\n:0\r\n:16383\r\n"
                 "*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                 servers[0].port);
        return slots;
    }
    if (strncmp(command, "CLUSTER", 7) == 0)
        return says_moved(scripted, command);
    if (strncmp(command, "EVALSHA", 7) == 0)
        return to_script(command);
    if (strncmp(command, "SCRIPT", 6) == 0)
        return "$40\r\n0123456789012345678901234567890123456789\r\n";
    if (strncmp(command, "HMGET", 5) == 0)
        return "*3\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n";
    if (strncmp(command, "INFO", 4) == 0)
        return "$15\r\naof_enabled:1\r\n\r\n";
    if (strncmp(command, "BLPOP", 5) == 0)
        return "";
    return strncmp(command, "PING", 4) == 0 ? "+PONG\r\n" : ":1\r\n";
}

/* The GET is answered once the turn behind it was heard, which never is. */
static const char *well_but_moving(struct scripted *scripted,
                                   const char *command)
{
    if (!moving.has_moved || scripted == &servers[0])
        return well(scripted, command);
    if (strncmp(command, "GET", 3) == 0)
        moving.is_asked = true;
    if (moving.is_silent || !moving.is_asked ||
        strncmp(command, "EVALSHA", 7) != 0)
        return "";
    moving.is_silent = true;
    return says_moved(scripted, "GET");
}

static int moving_setup(void **state)
{
    (void)state;
    return setup_as(well_but_moving);
}

static void on_moved(void *ctx, const struct reply *reply,
                     const struct error *why)
{
    (void)ctx;
    (void)reply;
    (void)why;
}

static struct queue *open_moving(struct loop *loop, struct config *config,
                                 const char *answer)
{
    static char url[128];

    moving = (struct moving){.answer = answer};
    snprintf(url, sizeof url, "cluster://127.0.0.1:%u/", servers[0].port);
    *config = fixture.config;
    config->redis = (struct config_redis){.url = url,
                                          .username = "",
                                          .password = "",
                                          .prefix = "ph:",
                                          .allow_volatile = true};
    config->worker = (struct config_worker){.lease_ms = NO_HEARTBEAT_MS};
    return queue_open(loop, config, NULL);
}

/* The turn that hungry leads to is the last that the second server hears. */
static void lose_a_turn(struct loop *loop, struct queue *queue,
                        void (*hungry)(struct queue *queue))
{
    struct redis_command command;

    moving.has_moved = true;
    command_init(&command, "GET");
    command_add_cstr(&command, "ph:{0}:x");
    redis_send(queue->main, &command, 1000, on_moved, NULL);
    hungry(queue);
    until(loop,
          redis_link_place(queue->main, S("ph:{0}:"))->port == servers[0].port);
    assert_true(moving.is_silent);
}

static void close_moving(struct loop *loop, struct queue *queue)
{
    queue_close(&queue);
    loop_turn(loop, 0);
    loop_destroy(&loop);
}

/* A turn whose answer is lost may have claimed. If its partition is served
 * all the same, by a server that was there before, nothing else tells the
 * worker to begin anew, and what was claimed would never come back. */
static void a_lost_turn_is_made_good_without_a_reconnect(void **state)
{
    struct config config;
    struct loop *loop = loop_create();
    struct queue *queue = open_moving(loop, &config, TO_WORKER);
    struct worker worker;

    (void)state;
    worker_start(&worker, queue, 0);
    until(loop, queue_worker_epoch(queue).len > 0 &&
                    redis_link_in_flight(queue->main) == 0);
    worker.room[0] = 1;
    lose_a_turn(loop, queue, queue_worker_hungry);
    until(loop, moving.takeovers > 0);
    close_moving(loop, queue);
}

static size_t room_of(void *ctx)
{
    return *(const size_t *)ctx;
}

/* The same of a turn of webhook tasks. */
static void so_is_one_of_hooks(void **state)
{
    struct config config;
    struct loop *loop = loop_create();
    struct queue *queue = open_moving(loop, &config, TO_HOOKS);
    size_t room = 0;
    struct queue_hooks hooks = {.ctx = &room, .room = room_of};

    (void)state;
    queue_hooks_start(queue, &hooks);
    until(loop, queue_is_ready(queue, NULL) &&
                    redis_link_in_flight(queue->main) == 0);
    room = 1;
    lose_a_turn(loop, queue, queue_hooks_hungry);
    until(loop, moving.takeovers > 0);
    close_moving(loop, queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            two_that_send_to_each_other_are_not_besieged, lies_setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_for_a_slot_does_not_pile_up,
                                        ask_setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_without_a_name_has_an_address,
                                        nameless_setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_link_begins_with_the_servers_that_are_there, silent_setup,
            teardown),
        cmocka_unit_test_setup_teardown(a_queue_without_its_meta_says_so,
                                        silent_setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_lost_turn_is_made_good_without_a_reconnect, moving_setup,
            teardown),
        cmocka_unit_test_setup_teardown(so_is_one_of_hooks, moving_setup,
                                        teardown),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
