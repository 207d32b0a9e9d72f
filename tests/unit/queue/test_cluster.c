#include "cluster_fixture.h"
#include "worker_fixture.h"

#include "queue/redis_core.h"

#include <sys/stat.h>

enum { PARTITIONS = 4, MAILS_MAX = 20000, ROOM = 16, PACE_MS = 4 };

/* Every mail that was sent, and what became of it. */
struct tracked {
    struct load *load;
    struct id id;
    bool is_answered;
    bool is_stored;
    unsigned sent;
    unsigned flagged;
};

/* One child that stores, one that delivers. */
struct load {
    struct loop *loop;
    struct queue *api;
    struct queue *child;
    struct queue_worker side;
    struct tracked *mails;
    size_t mail_count;
    size_t under_way; /* posts */
    int64_t next_ms;
    size_t held;
    size_t stored;
    bool is_drained;
    struct error last_why; /* of a post that was not stored */
};

static int setup(void **state)
{
    struct load *load = calloc(1, sizeof *load);

    load->mails = calloc(MAILS_MAX, sizeof *load->mails);
    load->loop = loop_create();
    load->api = queue_open(load->loop, &fixture.config, NULL);
    load->child = queue_open(load->loop, &fixture.config, NULL);
    until(load->loop, queue_is_ready(load->api, NULL));
    until(load->loop, queue_is_ready(load->child, NULL));
    (void)server_ask(master_of("ph:meta"), "HSET ph:meta partitions %d",
                     PARTITIONS);
    until(load->loop, load->api->partitions.count == PARTITIONS);
    until(load->loop, load->child->partitions.count == PARTITIONS);
    *state = load;
    return 0;
}

static int teardown(void **state)
{
    struct load *load = *state;

    queue_close(&load->api);
    queue_close(&load->child);
    loop_turn(load->loop, 0);
    loop_destroy(&load->loop);
    free(load->mails);
    free(load);
    return 0;
}

/* --- the API's side --- */

static void on_posted(void *ctx, const struct queue_answer *answer)
{
    struct tracked *mail = ctx;

    mail->is_answered = true;
    mail->is_stored = answer->status == QUEUE_OK;
    mail->load->stored += mail->is_stored;
    mail->load->under_way--;
    if (!mail->is_stored)
        mail->load->last_why = answer->why;
}

static void post(struct load *load, unsigned partition)
{
    static struct str to[] = {STR("one@example.net")};
    struct tracked *mail = &load->mails[load->mail_count++];
    struct queue_recipient recipient = {.number = 0, .route = S("main")};
    const struct summary summary = {
        .email = id_new(partition),
        .owner = S("default"),
        .from = S("Shop <shop@example.com>"),
        .to = to,
        .to_count = 1,
        .subject = S("Your order"),
        .mail_class = CLASS_TRANSACTIONAL,
        .message_id = S("<m1@example.com>"),
        .created_ms = clock_wall_ms(),
    };
    const struct queue_mail job = {
        .summary = &summary,
        .mail_json = S("{\"from\":\"shop@example.com\",\"text\":\"x\"}"),
        .recipients = &recipient,
        .recipient_count = 1,
        .date_ms = summary.created_ms,
        .max_age_ms = 259200000,
        .answer = S("{}"),
    };

    assert_true(load->mail_count < MAILS_MAX);
    mail->load = load;
    mail->id = summary.email;
    load->under_way++;
    queue_enqueue(load->api, &job, on_posted, mail);
}

/* --- the worker's side --- */

static size_t load_room(void *ctx, struct str route, unsigned lane)
{
    const struct load *load = ctx;

    (void)route;
    (void)lane;
    return ROOM > load->held ? ROOM - load->held : 0;
}

static struct tracked *mail_named(struct load *load, const struct id *id)
{
    for (size_t i = load->mail_count; i-- > 0;)
        if (strcmp(load->mails[i].id.text, id->text) == 0)
            return &load->mails[i];
    fail_msg("a mail that nobody sent");
    return NULL;
}

struct claimed {
    struct load *load;
    struct queue_claim *claim;
};

static void on_load_marked(void *ctx, bool may_go, int64_t valid_until_ms)
{
    struct claimed *claimed = ctx;
    struct load *load = claimed->load;
    struct tracked *mail = mail_named(load, &claimed->claim->email);
    static const struct event_detail detail = {.code = 250,
                                               .response = STR("Ok")};

    (void)valid_until_ms;
    if (may_go) {
        mail->sent++;
        mail->flagged += claimed->claim->possible_duplicate;
    }
    load->held--;
    queue_report(load->child, claimed->claim,
                 may_go ? OUTCOME_SENT : OUTCOME_UNSENT, 0, false, &detail);
    free(claimed);
}

static void load_claimed(void *ctx, struct queue_claim *claim)
{
    struct load *load = ctx;
    struct claimed *claimed = calloc(1, sizeof *claimed);

    load->held++;
    claimed->load = load;
    claimed->claim = claim;
    queue_mark(load->child, claim, on_load_marked, claimed);
}

static struct str load_reroute(void *ctx, const struct record *record,
                               unsigned number)
{
    (void)ctx;
    (void)record;
    (void)number;
    return S("main");
}

static void load_start(struct load *load)
{
    load->side = (struct queue_worker){
        .ctx = load,
        .room = load_room,
        .claimed = load_claimed,
        .reroute = load_reroute,
        .routes = FIXTURE_ROUTES,
        .route_count = 1,
    };
    queue_worker_start(load->child, &load->side);
}

/* One mail to each partition whenever none is on its way: while some of them
 * pause the others go on. */
static void load_step(struct load *load)
{
    if (load->under_way < 2 * PARTITIONS && real_ms() >= load->next_ms) {
        load->next_ms = real_ms() + PACE_MS;
        for (unsigned i = 0; i < PARTITIONS; i++)
            post(load, i);
    }
    loop_turn(load->loop, 10);
}

static void load_until_stored(struct load *load, size_t more)
{
    size_t goal = load->stored + more;
    struct error why = {.text = "ready"};
    int64_t start = real_ms();

    while (load->stored < goal) {
        load_step(load);
        if (real_ms() - start > FIXTURE_PATIENCE_MS) {
            (void)queue_is_ready(load->api, &why);
            fail_msg("%zu of %zu stored: %s, %s", load->stored, goal, why.text,
                     load->last_why.text);
        }
    }
}

static void on_load_drained(void *ctx)
{
    ((struct load *)ctx)->is_drained = true;
}

/* Counts do not tell: a mail whose answer was lost may have been sent. */
static bool is_all_sent(const struct load *load)
{
    for (size_t i = 0; i < load->mail_count; i++)
        if (load->mails[i].is_stored && load->mails[i].sent == 0)
            return false;
    return true;
}

/* All that was stored was sent, and once, but for what says otherwise. */
static void load_settle(struct load *load)
{
    until(load->loop, load->under_way == 0);
    until(load->loop, is_all_sent(load) && load->held == 0);
    queue_worker_stop(load->child, on_load_drained, load);
    until(load->loop, load->is_drained);
    for (size_t i = 0; i < load->mail_count; i++) {
        const struct tracked *mail = &load->mails[i];

        assert_true(mail->is_answered);
        if (mail->sent > 1 + mail->flagged)
            fail_msg("%s was sent %u times", mail->id.text, mail->sent);
    }
}

/* --- the cases --- */

static void slots_are_those_of_redis(void **state)
{
    static const char *const KEYS[] = {"ph:{0}:", "ph:{17}:x", "ph:meta",
                                       "a{}b{c}", "{a}{b}",    "{"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(KEYS); i++)
        assert_int_equal(cluster_slot(str_of(KEYS[i])),
                         strtoul(server_ask(&cluster.servers[0],
                                            "CLUSTER KEYSLOT %s", KEYS[i]),
                                 NULL, 10));
}

static void partitions_are_on_their_nodes(void **state)
{
    struct load *load = *state;

    load_start(load);
    load_until_stored(load, 400);
    load_settle(load);
    assert_true(master_of("ph:{0}:n") != master_of("ph:{3}:n"));
    for (unsigned i = 0; i < PARTITIONS; i++) {
        char key[32];

        snprintf(key, sizeof key, "ph:{%u}:n", i);
        assert_string_not_equal(
            server_ask(master_of(key), "HGET %s accepted", key), "nil");
    }
}

static const char *id_of(const struct server *from, char *out)
{
    snprintf(out, 41, "%.40s", server_ask(from, "CLUSTER MYID"));
    return out;
}

/* Slot 5649 is that of {2}: the first 200 of its master's take it along. */
static pid_t reshard(const struct server *from, const struct server *to)
{
    char from_id[41];
    char to_id[41];
    char where[32];
    pid_t pid;

    id_of(from, from_id);
    id_of(to, to_id);
    snprintf(where, sizeof where, "127.0.0.1:%u", from->port);
    pid = fork();
    if (pid == 0) {
        run_cli_here();
        execlp("redis-cli", "redis-cli", "--cluster", "reshard", where,
               "--cluster-from", from_id, "--cluster-to", to_id,
               "--cluster-slots", "200", "--cluster-yes", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void a_live_reshard_loses_nothing(void **state)
{
    struct load *load = *state;
    struct server *from = master_of("ph:{2}:n");
    struct server *to = master_of("ph:{0}:n");
    pid_t cli;
    int status = 1;

    load_start(load);
    load_until_stored(load, 200);
    cli = reshard(from, to);
    while (waitpid(cli, &status, WNOHANG) == 0)
        load_step(load);
    assert_int_equal(status, 0);
    assert_true(master_of("ph:{2}:n") == to);
    load_until_stored(load, 200);
    load_settle(load);
}

/* Its replica takes over; what waits for replicas goes on when it is back,
 * as a replica of its own replica. */
static void a_lost_master_loses_nothing(void **state)
{
    struct load *load = *state;
    struct server *victim = master_of("ph:{1}:n");
    int64_t start;

    load_start(load);
    load_until_stored(load, 200);
    server_kill(victim);
    start = real_ms();
    while (master_of("ph:{1}:n") == NULL) {
        load_step(load);
        assert_true(real_ms() - start < FIXTURE_PATIENCE_MS);
    }
    server_start(victim);
    load_until_stored(load, 400);
    load_settle(load);
    until(load->loop, is_healed());
}

static void post_and_wait(struct load *load, unsigned partition, bool is_stored)
{
    const struct tracked *mail = &load->mails[load->mail_count];

    post(load, partition);
    until(load->loop, mail->is_answered);
    if (mail->is_stored != is_stored)
        fail_msg("partition %u: %s", partition, load->last_why.text);
}

static struct redis_link *link_to(struct redis_link *link,
                                  const struct server *server)
{
    size_t at = 0;
    struct redis_link *node;

    while ((node = redis_link_node(link, &at)) != NULL)
        if (redis_link_place(node, S(""))->port == server->port)
            return node;
    fail_msg("no link to that server");
    return NULL;
}

/* A server is silent for less than its neighbours bear. */
static void what_main_lost_of_a_server_the_others_lost(void **state)
{
    struct load *load = *state;
    const struct server *silent = master_of("ph:{1}:n");
    struct tracked *unheard;
    const struct redis_link *lost;
    const struct redis_link *kept;

    post_and_wait(load, 0, true);
    until(load->loop, redis_link_is_up(load->api->bulk));
    lost = link_to(load->api->bulk, silent);
    kept = link_to(load->api->bulk, master_of("ph:{0}:n"));
    kill(silent->pid, SIGSTOP);
    post(load, 1);
    until(load->loop, !redis_link_is_up(lost));
    kill(silent->pid, SIGCONT);
    assert_string_equal(redis_link_trouble(lost)->text,
                        "redis: the main connection had no answer in time");
    assert_true(redis_link_is_up(kept));
    until(load->loop, load->under_way == 0 && redis_link_is_up(lost));
    /* Nobody was told of it, but it was read when the server woke. */
    unheard = &load->mails[load->mail_count - 1];
    assert_false(unheard->is_stored);
    until(load->loop,
          strcmp(server_ask(silent, "EXISTS ph:{1}:d:%s:0", unheard->id.text),
                 "1") == 0);
    unheard->is_stored = true;
    load_start(load);
    load_settle(load);
    until(load->loop, is_healed());
}

/* Is not ready for its partitions, and only for them, and says so by name. */
static void expect_refusal(struct load *load, const struct server *server,
                           const char *word)
{
    struct error why = {0};
    char where[32];

    snprintf(where, sizeof where, "127.0.0.1:%u: ", server->port);
    until(load->loop, queue_is_ready(load->api, &why) && why.kind != ERR_NONE);
    assert_non_null(strstr(why.text, where));
    assert_non_null(strstr(why.text, word));
    for (unsigned i = 0; i < PARTITIONS; i++) {
        char key[32];
        char number[16];
        bool is_its;

        snprintf(key, sizeof key, "ph:{%u}:n", i);
        snprintf(number, sizeof number, " %u", i);
        is_its = master_of(key) == server;
        post_and_wait(load, i, !is_its);
        if (!is_its)
            continue;
        assert_non_null(strstr(load->last_why.text, word));
        assert_non_null(strstr(why.text, number));
    }
}

static void expect_ready(struct load *load)
{
    struct error why = {0};

    until(load->loop, queue_is_ready(load->api, &why) && why.kind == ERR_NONE);
    for (unsigned i = 0; i < PARTITIONS; i++)
        post_and_wait(load, i, true);
}

static void a_server_that_will_not_do_refuses_its_own_mail(void **state)
{
    static const struct {
        const char *key;
        const char *bad;
        const char *good;
        const char *word;
    } cases[] = {
        {"appendonly", "no", "yes", "appendonly"},
        {"maxmemory-policy", "allkeys-lru", "noeviction", "allkeys-lru"},
        {"maxmemory", "0", "256mb", "no maxmemory"},
        {"maxmemory", "1mb", "256mb", "80 %"},
    };
    struct load *load = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct server *server = master_of(i % 2 == 0 ? "ph:{1}:n" : "ph:{0}:n");

        (void)server_ask(server, "CONFIG SET %s %s", cases[i].key,
                         cases[i].bad);
        expect_refusal(load, server, cases[i].word);
        (void)server_ask(server, "CONFIG SET %s %s", cases[i].key,
                         cases[i].good);
        expect_ready(load);
    }
    load_start(load);
    load_settle(load);
}

static struct server *replica_of(const struct server *master)
{
    char port[32];

    snprintf(port, sizeof port, "master_port:%u\r", master->port);
    for (unsigned i = 0; i < SERVERS; i++)
        if (strstr(server_ask(&cluster.servers[i], "INFO replication"), port))
            return &cluster.servers[i];
    return NULL;
}

/* The server that lacks its replica refuses, and is named. */
static void a_server_without_its_replica_refuses_its_own_mail(void **state)
{
    struct load *load = *state;
    struct server *server = master_of("ph:{1}:n");
    struct server *replica = replica_of(server);

    assert_non_null(replica);
    expect_ready(load);
    server_kill(replica);
    expect_refusal(load, server, "wait_replicas");
    server_start(replica);
    expect_ready(load);
    load_start(load);
    load_settle(load);
    until(load->loop, is_healed());
}

static void set_everywhere(const char *key, const char *value)
{
    for (unsigned i = 0; i < SERVERS; i++)
        (void)server_ask(&cluster.servers[i], "CONFIG SET %s %s", key, value);
}

struct found_home {
    bool is_done;
    enum queue_status status;
    unsigned home;
};

static void on_found_home(void *ctx, const struct queue_home *home)
{
    *(struct found_home *)ctx =
        (struct found_home){true, home->status, home->owner.home};
}

/* Who is new gets a home that is there, if his name has one. */
static void expect_homes(struct load *load)
{
    unsigned made = 0;

    for (unsigned i = 0; made < 2 * PARTITIONS; i++) {
        struct found_home found = {0};
        char name[32];

        snprintf(name, sizeof name, "new%u", i);
        queue_home_make(load->api, str_of(name), on_found_home, &found);
        until(load->loop, found.is_done);
        if (found.status != QUEUE_OK)
            continue;
        assert_true(partition_is_up(load->api, found.home));
        made++;
    }
}

/* As a process that runs already goes on with them. */
static void a_process_begins_with_the_servers_that_are_there(void **state)
{
    struct load *load = *state;
    struct server *away = master_of("ph:{1}:n");
    struct server *replica = replica_of(away);
    struct error why = {0};

    assert_true(away != master_of("ph:meta"));
    assert_non_null(replica);
    set_everywhere("cluster-require-full-coverage", "no");
    server_kill(replica);
    server_kill(away);
    queue_close(&load->api);
    load->api = queue_open(load->loop, &fixture.config, NULL);
    until(load->loop, queue_is_ready(load->api, &why) &&
                          queue_partition_count(load->api) == PARTITIONS);
    assert_non_null(strstr(why.text, "redis is away"));
    post_and_wait(load, 0, true);
    post_and_wait(load, 1, false);
    expect_homes(load);
    server_start(away);
    server_start(replica);
    until(load->loop, is_healed());
    expect_ready(load);
    load_start(load);
    load_settle(load);
}

static int setup_with_replicas(void **state)
{
    fixture.config.redis.wait_replicas = 1;
    return setup(state);
}

static int teardown_with_replicas(void **state)
{
    fixture.config.redis.wait_replicas = 0;
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_those_of_redis),
        cmocka_unit_test_setup_teardown(partitions_are_on_their_nodes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            what_main_lost_of_a_server_the_others_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_live_reshard_loses_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_server_that_will_not_do_refuses_its_own_mail, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_server_without_its_replica_refuses_its_own_mail,
            setup_with_replicas, teardown_with_replicas),
        cmocka_unit_test_setup_teardown(a_lost_master_loses_nothing,
                                        setup_with_replicas,
                                        teardown_with_replicas),
        cmocka_unit_test_setup_teardown(
            a_process_begins_with_the_servers_that_are_there, setup, teardown),
    };

    log_setup(LOG_ERROR, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, cluster_group_setup,
                                  cluster_group_teardown);
}
