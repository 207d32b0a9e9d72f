/* Children that crash, connections that break and a Redis that is killed,
 * while mails go through: every mail ends exactly once, and none is handed
 * over twice unless the second time was announced. SEED=n in the environment
 * gives the run another course. */
#include "worker_fixture.h"

enum { MAILS = 400, CHILDREN = 3, ACTIONS_A_TURN = 2, STRIKES = 300 };

static const char *const TERMINAL[] = {"email.sent", "email.bounced",
                                       "email.expired", "email.failed"};

struct mail_log {
    struct id id;
    unsigned handed_over; /* dots that the server took */
};

/* A claim that waits for the answer to its mark. */
struct marking {
    struct list link;
    struct child *child;
    struct queue_claim *claim;
};

struct child {
    struct chaos *chaos;
    struct queue *queue;
    struct queue_worker side;
    struct queue_claim *held[CLAIMS_MAX];
    size_t held_count;
    struct list markings;
};

struct chaos {
    struct loop *loop;
    struct child children[CHILDREN];
    struct mail_log mails[MAILS];
    size_t mail_count;
    uint32_t seed;
    unsigned crashes;
    unsigned duplicates; /* announced ones */
};

static unsigned roll(struct chaos *chaos, unsigned sides)
{
    chaos->seed = chaos->seed * 1664525u + 1013904223u;
    return (chaos->seed >> 8) % sides;
}

static struct mail_log *log_of(struct chaos *chaos, const struct id *id)
{
    for (size_t i = 0; i < chaos->mail_count; i++)
        if (strcmp(chaos->mails[i].id.text, id->text) == 0)
            return &chaos->mails[i];
    fail_msg("a mail that was never stored: %s", id->text);
    return NULL;
}

/* --- a child's worker --- */

static size_t child_room(void *ctx, struct str route, unsigned lane)
{
    const struct child *child = ctx;

    (void)route;
    (void)lane;
    return child->held_count >= 16 ? 0 : 16 - child->held_count;
}

static void child_claimed(void *ctx, struct queue_claim *claim)
{
    struct child *child = ctx;

    child->held[child->held_count++] = claim;
}

static struct str child_reroute(void *ctx, const struct record *record,
                                unsigned number)
{
    (void)ctx;
    (void)record;
    (void)number;
    return S("");
}

static void child_open(struct chaos *chaos, struct child *child)
{
    *child = (struct child){
        .chaos = chaos,
        .side = {.ctx = child,
                 .room = child_room,
                 .claimed = child_claimed,
                 .reroute = child_reroute,
                 .routes = FIXTURE_ROUTES,
                 .route_count = 2},
    };
    list_init(&child->markings);
    child->queue = queue_open(chaos->loop, &fixture.config, NULL);
    queue_worker_start(child->queue, &child->side);
}

static void report(struct child *child, struct queue_claim *claim,
                   enum outcome outcome, int64_t retry_ms)
{
    queue_report(child->queue, claim, outcome,
                 retry_ms == 0 ? 0 : clock_wall_ms() + retry_ms, false, NULL);
    queue_worker_hungry(child->queue);
}

/* The dot goes out. */
static void hand_over(struct child *child, struct queue_claim *claim)
{
    struct chaos *chaos = child->chaos;
    struct mail_log *mail = log_of(chaos, &claim->email);
    unsigned fate = roll(chaos, 20);

    if (fate == 0) {
        report(child, claim, OUTCOME_SOFT, 20);
        return;
    }
    if (fate == 1) {
        report(child, claim, OUTCOME_BOUNCED, 0);
        return;
    }
    if (mail->handed_over++ > 0) {
        if (!claim->possible_duplicate)
            fail_msg("%s was handed over twice, unannounced", mail->id.text);
        chaos->duplicates++;
    }
    report(child, claim, fate == 2 ? OUTCOME_UNKNOWN : OUTCOME_SENT,
           fate == 2 ? 20 : 0);
}

static void on_mark(void *ctx, bool may_go, int64_t valid_until_ms)
{
    struct marking *marking = ctx;

    if (may_go && clock_now_ms() < valid_until_ms)
        hand_over(marking->child, marking->claim);
    else
        report(marking->child, marking->claim, OUTCOME_UNSENT, 0);
    list_remove(&marking->link);
    free(marking);
}

static void act(struct child *child)
{
    struct chaos *chaos = child->chaos;
    size_t at;
    struct queue_claim *claim;
    struct marking *marking;

    if (child->held_count == 0)
        return;
    at = roll(chaos, (unsigned)child->held_count);
    claim = child->held[at];
    child->held[at] = child->held[--child->held_count];
    switch (roll(chaos, 12)) {
    case 0:
        report(child, claim, OUTCOME_UNSENT, 0);
        break;
    case 1:
        report(child, claim, OUTCOME_SOFT, 20);
        break;
    default:
        marking = calloc(1, sizeof *marking);
        marking->child = child;
        marking->claim = claim;
        list_add_last(&child->markings, &marking->link);
        queue_mark(child->queue, claim, on_mark, marking);
        break;
    }
}

/* --- disasters --- */

static void on_released(void *ctx, bool ok)
{
    (void)ctx;
    (void)ok; /* else the lease's end does it */
}

static void child_close(struct child *child)
{
    queue_close(&child->queue);
    list_each_safe (at, &child->markings)
        free(LIST_MEMBER(at, struct marking, link));
}

/* A child dies with all that it holds; its supervisor may say so or not. */
static void crash(struct chaos *chaos, struct child *child)
{
    struct child *other = &chaos->children[child == chaos->children ? 1 : 0];
    char epoch[32];

    snprintf(epoch, sizeof epoch, "%.*s",
             STR_ARG(queue_worker_epoch(child->queue)));
    child_close(child);
    if (roll(chaos, 2) == 0 && other->queue != NULL)
        queue_release(other->queue, str_of(epoch), S(""), on_released, NULL);
    child_open(chaos, child);
    chaos->crashes++;
}

static void strike(struct chaos *chaos)
{
    struct child *child = &chaos->children[roll(chaos, CHILDREN)];

    switch (roll(chaos, 60)) {
    case 0:
        crash(chaos, child);
        break;
    case 1:
    case 2:
        redis_link_reset(child->queue->main, "a test");
        break;
    case 3:
        redis_do("SCRIPT FLUSH");
        break;
    case 4:
        redis_do("CLIENT KILL TYPE normal SKIPME yes");
        break;
    default:
        break;
    }
}

/* --- the run --- */

static void store_mails(struct chaos *chaos)
{
    struct world world = {.loop = chaos->loop,
                          .queue = chaos->children[0].queue};

    for (; chaos->mail_count < MAILS; chaos->mail_count++) {
        struct mail mail = {
            .mail_class = (enum mail_class)roll(chaos, CLASS_COUNT),
            .owner = roll(chaos, 2) ? "default" : "another",
            .route = roll(chaos, 2) ? "main" : "other",
            .max_age_ms = 3600000,
        };

        mail.id = id_new(0);
        chaos->mails[chaos->mail_count].id = mail.id;
        mail_store(&world, &mail);
    }
}

static bool all_final(void)
{
    return strtoul(redis_ask("HGET ph:{0}:n final"), NULL, 10) >= MAILS;
}

static void run(struct chaos *chaos)
{
    unsigned turns = 0;
    int64_t start = real_ms();

    while (!all_final()) {
        loop_turn(chaos->loop, 5);
        for (unsigned i = 0; i < ACTIONS_A_TURN; i++)
            act(&chaos->children[roll(chaos, CHILDREN)]);
        turns++;
        if (turns < STRIKES)
            strike(chaos);
        if (turns == 10) /* one at least, however the dice fall */
            crash(chaos, &chaos->children[roll(chaos, CHILDREN)]);
        if (turns % 100 == 60 && turns < STRIKES) {
            fixture_stop(); /* kill -9; the file is there */
            fixture_start();
        }
        if (real_ms() - start > 60000)
            fail_msg("not all ended: %s", redis_ask("HGETALL ph:{0}:n"));
    }
}

static unsigned count_in(const char *text, const char *part)
{
    unsigned count = 0;

    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

/* One terminal event a mail, and nothing left behind. */
static void check_end(struct chaos *chaos)
{
    static char events[1 << 20];
    redisReply *reply = redis_raw("XRANGE ph:{0}:ev:default - +");
    size_t len;

    events[0] = '\0';
    reply_text(reply, events, sizeof events);
    freeReplyObject(reply);
    reply = redis_raw("XRANGE ph:{0}:ev:another - +");
    reply_text(reply, events, sizeof events);
    freeReplyObject(reply);
    len = strlen(events);
    assert_true(len + 1 < sizeof events);
    for (size_t i = 0; i < chaos->mail_count; i++) {
        unsigned ends = 0;
        char member[128];

        for (size_t k = 0; k < COUNT_OF(TERMINAL); k++) {
            snprintf(member, sizeof member, "{\"t\":\"%s\",\"e\":\"%s\"",
                     TERMINAL[k], chaos->mails[i].id.text);
            ends += count_in(events, member);
        }
        if (ends != 1)
            fail_msg("%s ended %u times", chaos->mails[i].id.text, ends);
        snprintf(member, sizeof member, "{\"t\":\"email.sent\",\"e\":\"%s\"",
                 chaos->mails[i].id.text);
        if (strstr(events, member) != NULL && chaos->mails[i].handed_over == 0)
            fail_msg("%s is sent, but never was", chaos->mails[i].id.text);
    }
    assert_string_equal(redis_ask("KEYS ph:{0}:d:*"), "");
    assert_string_equal(redis_ask("KEYS ph:{0}:due:*"), "");
    assert_string_equal(redis_ask("HGET ph:{0}:n accepted"), "400");
    assert_string_equal(redis_ask("HGET ph:{0}:n final"), "400");
}

static void nothing_is_lost_and_nothing_doubled(void **state)
{
    static struct chaos chaos;

    (void)state;
    fixture.config.worker.lease_ms = 1000;
    redis_do("FLUSHALL");
    chaos =
        (struct chaos){.loop = loop_create(),
                       .seed = getenv("SEED") != NULL
                                   ? (uint32_t)strtoul(getenv("SEED"), NULL, 10)
                                   : 20261124};
    for (size_t i = 0; i < CHILDREN; i++)
        child_open(&chaos, &chaos.children[i]);
    until(chaos.loop, queue_is_ready(chaos.children[0].queue, NULL));
    store_mails(&chaos);
    run(&chaos);
    check_end(&chaos);
    assert_true(chaos.crashes > 0);
    for (size_t i = 0; i < CHILDREN; i++)
        child_close(&chaos.children[i]);
    loop_turn(chaos.loop, 0);
    loop_destroy(&chaos.loop);
    printf("%u crashes, %u announced duplicates\n", chaos.crashes,
           chaos.duplicates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_and_nothing_doubled),
    };

    log_setup(LOG_ERROR + 1, LOG_TEXT, "test");
    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
