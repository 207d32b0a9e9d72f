/* A walk over a cluster that has no rest: callers, worker children and hooks
 * children work by the queue's door, while slots move between the servers (and
 * are left half-way for a while), owners between partitions, connections are
 * cut, and servers freeze or die and come back. Nothing that was acknowledged
 * may be lost, nothing be delivered twice unless it was announced, nothing be
 * sent that was refused or canceled; all keys of each partition hold together
 * whenever it is in one place (walk_audit.lua); and nobody asks without end.
 *
 *     WALK_SEED=n    that walk: the same troubles in the same order
 *     WALK_SEEDS=n   n walks, from WALK_SEED on (1)
 *     WALK_ROUNDS=n  of each walk
 *     WALK_TRACE=1   says what is done
 *
 * roam_servers.h  what befalls the servers
 * roam_work.h     who works on them
 */
#include "roam_work.h"

enum {
    SEED = 1,
    ROUNDS = 6,
    ROUND_MAILS = 40,
    LEASE_MS = 2000,
    DRAIN_MS = 5000,     /* of an owner who moves */
    PACE_MS = 5,         /* between mails */
    READS_PER_S = 1000,  /* that may be; a loop without rest makes more */
    READS_PER_MAIL = 60, /* more than any mail takes */
};

/* --- what happens in a round --- */

static void trouble_move(struct roam *roam)
{
    move_begin(&roam->servers, roll(roam->walk, ROAM_PARTITIONS));
}

static void trouble_cut(struct roam *roam)
{
    cut_connections(&roam->servers);
}

static void trouble_scripts(struct roam *roam)
{
    forget_scripts(&roam->servers);
}

static void trouble_freeze(struct roam *roam)
{
    freeze_server(&roam->servers);
}

static void trouble_kill(struct roam *roam)
{
    kill_server(&roam->servers);
}

static void trouble_child(struct roam *roam)
{
    child_crash(&roam->children[roll(roam->walk, ROAM_CHILDREN)]);
}

static void trouble_hooks(struct roam *roam)
{
    hooks_crash(&roam->hooks);
}

static void on_owner_moved(void *ctx, const struct owner_moved *moved)
{
    struct roam *roam = ctx;

    roam->is_moving = false;
    roam->is_half_moved = moved->status != QUEUE_OK && !moved->stayed;
    if (!roam->is_half_moved)
        roam->homes[roam->mover] = moved->stayed ? moved->from : moved->to;
    note(roam->walk, NO_EMAIL, "%s moves from {%u} to {%u}: %d %s",
         ROAM_OWNER[roam->mover], moved->from, moved->to, moved->status,
         moved->why.text);
}

/* Who has moved half-way goes on. */
static void move_owner(struct roam *roam)
{
    struct owner_move wanted = {.drain_ms = DRAIN_MS};

    if (roam->is_moving)
        return;
    if (!roam->is_half_moved)
        roam->mover = roll(roam->walk, ROAM_OWNERS);
    roam->is_moving = true;
    wanted.owner = str_of(ROAM_OWNER[roam->mover]);
    wanted.to =
        roam->is_half_moved ? -1 : (int)roll(roam->walk, ROAM_PARTITIONS);
    note(roam->walk, NO_EMAIL, "%s is to move to {%d}", ROAM_OWNER[roam->mover],
         wanted.to);
    queue_owner_move(roam->api, &wanted, on_owner_moved, roam);
}

static const struct trouble {
    void (*begin)(struct roam *roam);
    unsigned weight;
} TROUBLES[] = {
    {trouble_move, 8},   {trouble_cut, 4},  {trouble_scripts, 1},
    {trouble_freeze, 3}, {trouble_kill, 1}, {trouble_child, 2},
    {trouble_hooks, 1},  {move_owner, 3},
};

static void make_trouble(struct roam *roam)
{
    unsigned sum = 0;
    unsigned dice;

    for (size_t i = 0; i < COUNT_OF(TROUBLES); i++)
        sum += TROUBLES[i].weight;
    dice = roll(roam->walk, sum);
    for (size_t i = 0; i < COUNT_OF(TROUBLES); i++) {
        if (dice < TROUBLES[i].weight) {
            TROUBLES[i].begin(roam);
            return;
        }
        dice -= TROUBLES[i].weight;
    }
}

/* --- a round --- */

static void tell_all(struct roam *roam)
{
    for (unsigned i = 0; i < ROAM_CHILDREN; i++)
        child_tell(&roam->children[i]);
    hooks_tell(&roam->hooks);
    loop_turn(roam->loop, 10);
}

static void work(struct roam *roam)
{
    if (roam->under_way < ROAM_UNDER_WAY && real_ms() >= roam->next_ms) {
        roam->next_ms = real_ms() + PACE_MS;
        if (!post_again(roam))
            post_new(roam);
        change_one(roam);
    }
    tell_all(roam);
}

static void work_until(struct roam *roam, size_t answered, int64_t until_ms)
{
    int64_t start_ms = real_ms();

    while (roam->answered < answered || real_ms() < until_ms) {
        work(roam);
        if (real_ms() - start_ms > FIXTURE_PATIENCE_MS)
            walk_fail(roam->walk, NO_EMAIL, "no answers any more");
    }
}

/* The servers agree again that all is well. */
static void heal(struct roam *roam)
{
    bring_back(&roam->servers);
    while (!is_healed())
        for (unsigned i = 0; i < 20; i++)
            work(roam);
}

/* Slots go on while others wait half-way. */
static void move_some(struct roam *roam)
{
    for (unsigned i = 0; i < ROAM_PARTITIONS; i++)
        while (roam->servers.moves[i].from != NULL &&
               all_are_there(&roam->servers) && !one_in(roam->walk, 60)) {
            move_on(&roam->servers, i);
            work(roam);
        }
}

static void check_reads(struct roam *roam, size_t answered, int64_t start_ms)
{
    uint64_t reads = count_reads(&roam->servers);
    uint64_t mails = roam->answered - answered;
    uint64_t limit =
        READS_PER_S * (uint64_t)(real_ms() - start_ms + 1000) / 1000 +
        READS_PER_MAIL * mails;

    note(roam->walk, NO_EMAIL, "%llu reads of %llu, %llu mails",
         (unsigned long long)reads, (unsigned long long)limit,
         (unsigned long long)mails);
    if (reads > limit)
        walk_fail(roam->walk, NO_EMAIL, "%llu reads, and no end",
                  (unsigned long long)reads);
}

static void play_round(struct roam *roam)
{
    static const unsigned SPANS_MS[] = {0, 0, 300, 2500};
    size_t answered = roam->answered;
    int64_t start_ms = real_ms();
    unsigned count;

    roam->walk->step++;
    new_dice(roam->walk);
    count = 1 + roll(roam->walk, 3);
    for (unsigned i = 0; i < count; i++)
        make_trouble(roam);
    work_until(roam, roam->answered + ROUND_MAILS,
               start_ms + SPANS_MS[roll(roam->walk, COUNT_OF(SPANS_MS))]);
    heal(roam);
    move_some(roam);
    for (unsigned i = 0; i < ROAM_PARTITIONS; i++)
        (void)look_at_keys(&roam->servers, i);
    check_reads(roam, answered, start_ms);
}

/* --- the end --- */

static void end_move(struct roam *roam)
{
    int64_t start_ms = real_ms();

    while (roam->is_moving || roam->is_half_moved) {
        move_owner(roam);
        tell_all(roam);
        if (real_ms() - start_ms > 2 * FIXTURE_PATIENCE_MS)
            walk_fail(roam->walk, NO_EMAIL, "%s does not arrive",
                      ROAM_OWNER[roam->mover]);
    }
}

static bool is_settled(const struct roam_mail *mail)
{
    return mail->answer != STORED || mail->may_be_canceled ||
           (mail->dots > 0 && mail->is_told);
}

static bool is_all_settled(const struct roam *roam)
{
    for (size_t i = 0; i < roam->mail_count; i++)
        if (!is_settled(&roam->mails[i]))
            return false;
    return roam->under_way == 0 && roam->asked == 0;
}

static void settle(struct roam *roam)
{
    int64_t start_ms = real_ms();

    while (!is_all_settled(roam)) {
        tell_all(roam);
        if (real_ms() - start_ms < FIXTURE_PATIENCE_MS)
            continue;
        for (size_t i = 0; i < roam->mail_count; i++)
            if (!is_settled(&roam->mails[i]))
                mail_fail(&roam->mails[i], roam->mails[i].dots == 0
                                               ? "it is never sent"
                                               : "its end is never told");
        walk_fail(roam->walk, NO_EMAIL, "no answers any more");
    }
}

static void on_looked(void *ctx, const struct queue_email *email)
{
    struct roam_mail *mail = ctx;

    mail->roam->asked--;
    mail->is_unseen =
        email->status != QUEUE_OK && email->status != QUEUE_NOT_FOUND;
    mail->is_found = email->status == QUEUE_OK;
    if (mail->is_unseen)
        mail_note(mail, email->why.text);
    if (mail->is_found)
        mail->state = email->deliveries[0].state;
}

/* What may be stored was settled by nobody; or Redis did not say. */
static bool is_open(const struct roam_mail *mail)
{
    return mail->is_unseen ||
           (mail->is_found && !delivery_is_final(mail->state));
}

static void check_end(const struct roam_mail *mail)
{
    if (mail->answer == STORED && !mail->is_found)
        mail_fail(mail, "it is lost");
    if (mail->answer == NOT_STORED && mail->is_found)
        mail_fail(mail, "it is there, and was not stored");
    if (!mail->is_found)
        return;
    if (mail->state == DELIVERY_CANCELED) {
        if (!mail->may_be_canceled)
            mail_fail(mail, "nobody canceled it");
    } else if (mail->state != DELIVERY_SENT || mail->is_canceled ||
               mail->dots == 0) {
        mail_fail(mail, "it did not end as it was told");
    }
}

static bool look_at_mails(struct roam *roam)
{
    bool is_any_open = false;

    for (size_t i = 0; i < roam->mail_count; i++) {
        struct roam_mail *mail = &roam->mails[i];

        until(roam->loop, roam->asked < ROAM_UNDER_WAY);
        roam->asked++;
        queue_email_get(roam->api, owner_of_mail(mail), &mail->id, NULL,
                        on_looked, mail);
    }
    until(roam->loop, roam->asked == 0);
    for (size_t i = 0; i < roam->mail_count; i++)
        is_any_open = is_any_open || is_open(&roam->mails[i]);
    return !is_any_open;
}

static void look_until_final(struct roam *roam)
{
    int64_t start_ms = real_ms();

    while (!look_at_mails(roam)) {
        tell_all(roam);
        for (size_t i = 0; i < roam->mail_count; i++)
            if (is_open(&roam->mails[i]) &&
                real_ms() - start_ms > FIXTURE_PATIENCE_MS)
                mail_fail(&roam->mails[i], "it does not end");
    }
}

static void on_roam_drained(void *ctx)
{
    *(bool *)ctx = true;
}

/* Who has something in hand tells of it. */
static void drain(struct roam *roam)
{
    for (unsigned i = 0; i < ROAM_CHILDREN; i++) {
        struct roam_child *child = &roam->children[i];

        queue_worker_stop(child->queue, on_roam_drained, &child->is_drained);
        while (child->held > 0) {
            child_tell(child);
            loop_turn(roam->loop, 10);
        }
        until(roam->loop, child->is_drained);
    }
    queue_hooks_stop(roam->hooks.queue, on_roam_drained,
                     &roam->hooks.is_drained);
    while (roam->hooks.held_count > 0)
        hooks_tell(&roam->hooks);
    until(roam->loop, roam->hooks.is_drained);
}

static void end_walk(struct roam *roam)
{
    for (unsigned i = 0; i < ROAM_PARTITIONS; i++)
        while (roam->servers.moves[i].from != NULL) {
            move_on(&roam->servers, i);
            tell_all(roam);
        }
    end_move(roam);
    note(roam->walk, NO_EMAIL, "all ends");
    settle(roam);
    look_until_final(roam);
    for (size_t i = 0; i < roam->mail_count; i++)
        check_end(&roam->mails[i]);
    drain(roam);
    for (unsigned i = 0; i < ROAM_PARTITIONS; i++)
        until(roam->loop, look_at_keys(&roam->servers, i));
    until(roam->loop, redis_link_in_flight(roam->api->main) == 0 &&
                          redis_link_in_flight(roam->api->bulk) == 0);
}

/* --- a walk --- */

static void make_roam_keyring(struct roam *roam)
{
    char path[128];
    struct error err;

    snprintf(path, sizeof path, "%s/keyring", cluster.dir);
    unlink(path);
    assert_true(keyring_create(path, &err));
    roam->keyring = keyring_load(path, &err);
    assert_non_null(roam->keyring);
}

static void add_owner(struct roam *roam, unsigned owner)
{
    struct str names[] = {STR("email.sent")};
    const struct endpoint endpoint = {
        .id = id_new(owner),
        .owner = str_of(ROAM_OWNER[owner]),
        .url = S("https://a.example.com/"),
        .events = names,
        .event_count = 1,
        .enabled = true,
        .secret = S("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        .created_ms = clock_wall_ms()};
    struct answered answered = {0};
    char key[16];

    roam->homes[owner] = owner;
    snprintf(key, sizeof key, "ph:o:%s", ROAM_OWNER[owner]);
    server_do(roam->walk, master_of(key), "HSET %s partition %u", key, owner);
    server_do(roam->walk, master_of("ph:meta"), "HINCRBY ph:meta owners:%u 1",
              owner);
    queue_endpoint_create(roam->api, &endpoint, NULL, S("{}"), on_answered,
                          &answered);
    until(roam->loop, answered.count > 0);
    assert_int_equal(answered.status, QUEUE_OK);
}

static struct roam *roam_create(uint32_t seed)
{
    struct roam *roam = calloc(1, sizeof *roam);

    roam->walk = calloc(1, sizeof *roam->walk);
    roam->walk->lines = calloc(WALK_LINES_MAX, sizeof *roam->walk->lines);
    roam->walk->seed = seed;
    roam->servers.walk = roam->walk;
    roam->mails = calloc(ROAM_MAILS_MAX, sizeof *roam->mails);
    roam->loop = loop_create();
    until(roam->loop, is_healed());
    for (unsigned i = 0; i < SERVERS; i++)
        (void)server_ask(&cluster.servers[i], "FLUSHALL");
    server_do(roam->walk, master_of("ph:meta"), "HSET ph:meta partitions %d",
              ROAM_PARTITIONS);
    make_roam_keyring(roam);
    roam->api = queue_open(roam->loop, &fixture.config, roam->keyring);
    until(roam->loop, queue_is_ready(roam->api, NULL) &&
                          queue_partition_count(roam->api) == ROAM_PARTITIONS);
    for (unsigned i = 0; i < ROAM_OWNERS; i++)
        add_owner(roam, i);
    for (unsigned i = 0; i < ROAM_CHILDREN; i++) {
        roam->children[i].roam = roam;
        child_start(&roam->children[i]);
    }
    roam->hooks.roam = roam;
    hooks_start(&roam->hooks);
    (void)count_reads(&roam->servers);
    return roam;
}

static void roam_destroy(struct roam *roam)
{
    for (unsigned i = 0; i < ROAM_CHILDREN; i++)
        queue_close(&roam->children[i].queue);
    queue_close(&roam->hooks.queue);
    queue_close(&roam->api);
    loop_turn(roam->loop, 0);
    loop_destroy(&roam->loop);
    keyring_destroy(&roam->keyring);
    free(roam->walk->lines);
    free(roam->walk);
    free(roam->mails);
    free(roam);
}

static void roam_through(uint32_t seed, unsigned rounds)
{
    struct roam *roam = roam_create(seed);

    while (roam->walk->step < rounds)
        play_round(roam);
    end_walk(roam);
    roam_destroy(roam);
}

static unsigned setting(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : (unsigned)strtoul(text, NULL, 10);
}

static void nothing_is_lost_while_the_cluster_moves(void **state)
{
    unsigned first = setting("WALK_SEED", SEED);
    unsigned count = setting("WALK_SEEDS", 1);

    (void)state;
    for (unsigned i = 0; i < count; i++)
        roam_through(first + i, setting("WALK_ROUNDS", ROUNDS));
}

static int group_setup(void **state)
{
    int failed = cluster_group_setup(state);

    fixture.config.worker.lease_ms = LEASE_MS;
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_while_the_cluster_moves),
    };

    log_setup(LOG_ERROR + 1, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, group_setup, cluster_group_teardown);
}
