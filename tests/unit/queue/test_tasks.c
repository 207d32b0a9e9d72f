#include "webhook_fixture.h"

enum { HAND_MAX = 256, LEASE_MS = 250 };

/* A hooks child: what it was handed and did not report yet. */
struct child {
    struct loop *loop;
    struct queue *queue;
    struct queue_hooks role;
    struct queue_task *hand[HAND_MAX];
    size_t held;
    size_t claims; /* so far */
    size_t room;   /* how many it would hold */
    bool reports;  /* each claim at once as done */
    bool drained;
};

static struct config config;
static struct child one;
static struct child two;

/* --- children --- */

static size_t room(void *ctx)
{
    const struct child *child = ctx;

    return child->room > child->held ? child->room - child->held : 0;
}

static void claimed(void *ctx, struct queue_task *task)
{
    struct child *child = ctx;

    child->claims++;
    if (child->reports) {
        queue_task_report(child->queue, task, TASK_DONE, 0,
                          &(struct task_detail){.http_status = 200});
        return;
    }
    assert_true(child->held < child->room);
    child->hand[child->held++] = task;
}

static void child_open(struct child *child, const struct keyring *with)
{
    *child = (struct child){.loop = loop_create(), .room = HAND_MAX};
    child->queue = queue_open(child->loop, &config, with);
    child->role = (struct queue_hooks){
        .ctx = child,
        .room = room,
        .claimed = claimed,
    };
    queue_hooks_start(child->queue, &child->role);
    until(child->loop, queue_is_ready(child->queue, NULL));
}

/* As a crash does: nothing is reported. */
static void child_close(struct child *child)
{
    if (child->loop == NULL)
        return;
    queue_close(&child->queue);
    loop_turn(child->loop, 0);
    loop_destroy(&child->loop);
}

static void turn_both(void)
{
    loop_turn(one.loop, 5);
    if (two.loop != NULL)
        loop_turn(two.loop, 5);
}

#define until_both(condition)                                                  \
    do {                                                                       \
        int64_t both_start = real_ms();                                        \
        while (!(condition)) {                                                 \
            if (real_ms() - both_start > FIXTURE_PATIENCE_MS)                  \
                fail_msg("waited in vain: %s", #condition);                    \
            turn_both();                                                       \
        }                                                                      \
    } while (0)

/* Reports the newest task in hand. */
static void report(struct child *child, enum task_outcome outcome,
                   int64_t retry_at_ms)
{
    const struct task_detail detail = {
        .http_status = outcome == TASK_DONE ? 200 : 500,
        .response = S("no"),
        .sent_ms = 1795521600000,
        .took_ms = 7,
    };

    assert_true(child->held > 0);
    queue_task_report(child->queue, child->hand[--child->held], outcome,
                      retry_at_ms, &detail);
}

static bool is_registered(void)
{
    return strcmp(redis_ask("ZCARD ph:{0}:whooks"), "0") != 0;
}

static int setup(void **state)
{
    (void)state;
    webhooks_begin();
    config = fixture.config;
    config.worker.lease_ms = LEASE_MS;
    config.secrets.keyring_file = keyring_file;
    memset(&two, 0, sizeof two);
    child_open(&one, keyring);
    until(one.loop, is_registered());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    child_close(&one);
    child_close(&two);
    webhooks_finish();
    return 0;
}

static struct id endpoint(const char *events)
{
    return endpoint_at("https://hook.example/", events);
}

/* Key of the only task of an endpoint; "" when there is none. */
static const char *task_key(const struct id *id)
{
    static char key[300];
    const char *keys = redis_ask("KEYS ph:{0}:wt:%s:*", id->text);
    size_t len = strlen(keys);

    assert_true(len < sizeof key);
    memcpy(key, keys, len + 1);
    return key;
}

static const char *task_state(const struct id *id)
{
    const char *key = task_key(id);

    return key[0] == '\0' ? "" : redis_ask("HGET %s state", key);
}

static bool state_is(const struct id *id, const char *state)
{
    return strcmp(task_state(id), state) == 0;
}

static long number(const char *text)
{
    return strtol(text, NULL, 10);
}

/* --- tests --- */

static void an_event_is_handed_out_whole(void **state)
{
    struct id id = endpoint("email.sent");
    const struct queue_task *task;

    (void)state;
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    task = one.hand[0];
    assert_string_equal(task->endpoint->id.text, id.text);
    assert_true(str_eq(task->endpoint->secret, S(SECRET)));
    assert_int_equal(task->attempt, 1);
    assert_int_equal(task->first_ms, 1795521600000);
    assert_int_equal(task->webhook_id.len, EVENT_WEBHOOK_ID_LEN);
    assert_true(str_starts(task->payload, S("{\"type\":\"email.sent\",")));
    assert_true(str_contains(task->payload, S("\"subject\":\"Hello\"")));
    assert_true(state_is(&id, "flying"));
    report(&one, TASK_DONE, 0);
    until(one.loop, state_is(&id, "done"));
    assert_string_equal(redis_ask("HGET ph:{0}:n backlog"), "0");
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", id.text), "0");
    assert_int_equal(number(redis_ask("XLEN ph:{0}:wa:%s", id.text)), 1);
    assert_non_null(strstr(redis_ask("XRANGE ph:{0}:wa:%s - +", id.text),
                           "{\"n\":1,\"status\":200,\"response\":\"no\","
                           "\"at\":1795521600000,\"ms\":7}"));
}

/* A sensitive mail loses its content when it is final: what is left of it
 * is the history, one line of outcomes and the summary. */
static void a_wiped_mail_is_told_from_its_history(void **state)
{
    (void)state;
    endpoint("email.sent");
    store_email();
    redis_do("EVAL %s 0 ph:{0}:h:%s ph:{0}:c:%s",
             "redis.call('SET', ARGV[1], '{\"q\":2,\"d\":[]}\\n' .. "
             "redis.call('GETDEL', ARGV[2]))",
             email.text, email.text);
    add_event(EVENT_SENT, 1);
    announce();
    until(one.loop, one.held == 1);
    assert_true(str_contains(one.hand[0]->payload, S("\"subject\":\"Hello\"")));
    report(&one, TASK_DONE, 0);
}

static void an_ended_task_is_kept_for_a_day(void **state)
{
    struct id id = endpoint("email.sent");
    long ttl;

    (void)state;
    one.reports = true;
    raise_events(EVENT_SENT, 1);
    until(one.loop, state_is(&id, "done"));
    ttl = number(redis_ask("PTTL %s", task_key(&id)));
    assert_true(ttl > 86000000 && ttl <= 86400000);
}

static void the_timeline_is_built_and_the_ring_emptied(void **state)
{
    (void)state;
    raise_events(EVENT_SENT, 3);
    until(one.loop, number(redis_ask("LLEN ph:{0}:evring")) == 0);
    assert_int_equal(number(redis_ask("LLEN ph:{0}:t:%s", email.text)), 3);
    assert_true(
        str_starts(str_of(redis_ask("LINDEX ph:{0}:t:%s 0", email.text)),
                   S("{\"t\":\"email.sent\",")));
    assert_true(number(redis_ask("PTTL ph:{0}:t:%s", email.text)) > 0);
    assert_string_equal(redis_ask("HGET ph:{0}:o:a ev"), "nil");
    raise_events(EVENT_DELIVERED, 1);
    until(one.loop, number(redis_ask("LLEN ph:{0}:t:%s", email.text)) == 4);
}

/* The ring goes round: an owner with a long stream does not hold up another,
 * and nobody gets another's events. */
static void owners_take_turns(void **state)
{
    struct id other = id_new(0);

    (void)state;
    one.room = 0;
    endpoint("email.sent");
    raise_events(EVENT_SENT, 1);
    redis_do("SET ph:{0}:c:%s x", other.text);
    redis_do("XADD ph:{0}:ev:b * e "
             "{\"t\":\"email.sent\",\"e\":\"%s\",\"at\":1795521600000}",
             other.text);
    redis_do("EVAL %s 0",
             "local record = redis.call('XRANGE', 'ph:{0}:ev:a', '-', '+', "
             "'COUNT', 1)[1][2][2] for i = 2, 1000 do redis.call('XADD', "
             "'ph:{0}:ev:a', '*', 'e', record) end");
    redis_do("RPUSH ph:{0}:evring b");
    announce();
    until(one.loop, number(redis_ask("LLEN ph:{0}:t:%s", other.text)) == 1);
    assert_true(number(redis_ask("LLEN ph:{0}:t:%s", email.text)) < 1000);
    until(one.loop, number(redis_ask("LLEN ph:{0}:evring")) == 0);
    assert_int_equal(number(redis_ask("LLEN ph:{0}:t:%s", email.text)), 1000);
    assert_string_equal(redis_ask("HGET ph:{0}:n backlog"), "1000");
}

/* A call takes no more than it can push in its time; the rest comes next. */
static void many_endpoints_get_each_event_once(void **state)
{
    struct id ids[100];

    (void)state;
    one.room = 0;
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = endpoint("email.sent");
    raise_events(EVENT_SENT, 120);
    until(one.loop, number(redis_ask("LLEN ph:{0}:evring")) == 0);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_int_equal(number(redis_ask("LLEN ph:{0}:w:%s", ids[i].text)),
                         120);
    assert_string_equal(redis_ask("HGET ph:{0}:n backlog"), "12000");
}

static void endpoints_get_what_they_name(void **state)
{
    struct id plain = endpoint("");
    struct id named = endpoint("email.queued webhook.disabled");
    struct id family = endpoint("email.*");
    struct id other = endpoint("domain.*");
    struct id all = endpoint("*");

    (void)state;
    redis_do("HSET ph:{0}:we:%s events %s", plain.text, "");
    raise_events(EVENT_QUEUED, 1);
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 6);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", all.text), "2");
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", plain.text), "1");
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", named.text), "1");
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", family.text),
                        "2");
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", other.text),
                        "nil");
}

/* None is lost, however long this process stands still. */
static void begin_with_a_long_lease(void)
{
    child_close(&one);
    redis_ask("DEL ph:{0}:whooks");
    config.worker.lease_ms = 1000 * FIXTURE_PATIENCE_MS;
    child_open(&one, keyring);
    until(one.loop, is_registered());
}

/* Two children that fan out and claim at the same time: each event once. */
static void a_race_hands_out_each_event_once(void **state)
{
    enum { COUNT = 500 };

    (void)state;
    begin_with_a_long_lease();
    endpoint("email.sent");
    endpoint("email.sent");
    child_open(&two, keyring);
    one.reports = two.reports = true;
    raise_events(EVENT_SENT, COUNT);
    until_both(one.claims + two.claims >= 2 * COUNT);
    until_both(strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0);
    assert_int_equal(one.claims + two.claims, 2 * COUNT);
}

static void what_a_dead_child_held_is_given_back(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 3);
    until(one.loop, one.held == 3);
    child_open(&two, keyring);
    child_close(&one);
    until(two.loop, two.held == 3);
    assert_int_equal(two.hand[0]->attempt, 1); /* none was made */
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", id.text), "3");
    while (two.held > 0)
        report(&two, TASK_DONE, 0);
    until(two.loop, strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", id.text), "0");
    child_open(&one, keyring);
}

static void on_released(void *ctx, bool ok)
{
    *(bool *)ctx = ok;
}

/* The supervisor tells: nobody waits for the lease, which is long. */
static void what_a_dead_child_held_is_released(void **state)
{
    char dead[32];
    bool ok = false;

    (void)state;
    begin_with_a_long_lease();
    endpoint("email.sent");
    raise_events(EVENT_SENT, 3);
    until(one.loop, one.held == 3);
    snprintf(dead, sizeof dead, "%.*s", STR_ARG(queue_worker_epoch(one.queue)));
    child_close(&one);
    child_open(&two, keyring);
    queue_release(two.queue, str_of(dead), S(""), on_released, &ok);
    until(two.loop, two.held == 3);
    assert_true(ok);
    assert_int_equal(two.hand[0]->attempt, 1); /* none was made */
}

/* A child that slept through its lease: its late report changes nothing. */
static void a_report_after_the_lease_is_refused(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    child_open(&two, keyring);
    until(two.loop, two.held == 1); /* one's loop stands still */
    report(&one, TASK_GONE, 0);
    until(one.loop,
          number(redis_ask("ZCARD ph:{0}:whooks")) == 2); /* one is back */
    until(one.loop, number(redis_ask("LLEN ph:{0}:evring")) == 0);
    assert_true(state_is(&id, "flying"));
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s enabled", id.text), "1");
    report(&two, TASK_DONE, 0);
    until(two.loop, state_is(&id, "done"));
    assert_int_equal(number(redis_ask("XLEN ph:{0}:wa:%s", id.text)), 1);
}

/* A turn told of it and claimed it anew, and its answer was lost: what is in
 * hand is the claim before. */
static void a_task_that_was_claimed_anew_comes_again(void **state)
{
    char key[128];

    (void)state;
    endpoint("*");
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    snprintf(key, sizeof key, "%.120s", redis_ask("KEYS ph:{0}:wt:*"));
    redis_do("HSET %s token another", key);
    redis_link_reset(one.queue->main, "test");
    until(one.loop, one.claims == 2);
}

/* The connection is cut with a task in hand and a report on its way. */
static void a_lost_connection_loses_nothing(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 2);
    until(one.loop, one.held == 2);
    report(&one, TASK_DONE, 0);
    redis_do("CLIENT KILL TYPE normal SKIPME yes");
    until(one.loop, number(redis_ask("XLEN ph:{0}:wa:%s", id.text)) == 1);
    report(&one, TASK_DONE, 0);
    until(one.loop, strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0);
    assert_int_equal(one.claims, 2);
    assert_int_equal(number(redis_ask("XLEN ph:{0}:wa:%s", id.text)), 2);
}

/* A turn was executed and its answer lost: the epoch owns a task that nobody
 * knows of. Register gives it back, without an attempt. */
static void a_claim_whose_answer_was_lost_comes_again(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    one.room = 0;
    raise_events(EVENT_SENT, 1);
    until(one.loop, number(redis_ask("LLEN ph:{0}:w:%s", id.text)) == 1);
    redis_do("EVAL %s 0 %s",
             "local P, endpoint = 'ph:{0}:', ARGV[1] "
             "local id = redis.call('LPOP', P .. 'w:' .. endpoint) "
             "redis.call('LREM', P .. 'wring', 0, endpoint) "
             "redis.call('HDEL', P .. 'we:' .. endpoint, 'ring') "
             "redis.call('HSET', P .. 'we:' .. endpoint, 'flying', 1) "
             "redis.call('HSET', P .. 'wt:' .. endpoint .. ':' .. id, 'state', "
             "'flying', 'token', 'lost', 'attempt', 1) "
             "redis.call('SADD', P .. 'wown:' .. redis.call('ZRANGE', P .. "
             "'whooks', 0, 0)[1], endpoint .. ' ' .. id)",
             id.text);
    one.room = 1;
    for (int i = 0; i < 5; i++)
        loop_turn(one.loop, 10);
    assert_int_equal(one.claims, 0);
    redis_do("CLIENT KILL TYPE normal SKIPME yes");
    until(one.loop, one.held == 1);
    assert_int_equal(one.hand[0]->attempt, 1);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", id.text), "1");
}

static void eight_fly_per_endpoint_over_all_children(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    child_open(&two, keyring);
    one.room = 5;
    raise_events(EVENT_SENT, 20);
    until_both(one.held + two.held == 8);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", id.text), "8");
    assert_int_equal(number(redis_ask("LLEN ph:{0}:w:%s", id.text)), 12);
    assert_int_equal(number(redis_ask("LLEN ph:{0}:wring")), 0);
    report(one.held > 0 ? &one : &two, TASK_DONE, 0);
    until_both(one.claims + two.claims == 9);
    assert_int_equal(one.held + two.held, 8);
}

static void one_slow_endpoint_delays_nobody(void **state)
{
    struct id slow = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 50);
    until(one.loop, one.held == 8);
    redis_do("HSET ph:{0}:we:%s events none", slow.text);
    endpoint("email.sent");
    one.reports = true;
    raise_events(EVENT_SENT, 20);
    until(one.loop, one.claims == 8 + 20);
    assert_int_equal(one.held, 8);
    assert_int_equal(number(redis_ask("LLEN ph:{0}:w:%s", slow.text)), 42);
}

/* Hanging ones are told from others by their failures. */
static void a_failing_endpoint_gets_one_at_a_time(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 20);
    until(one.loop, one.held == 8);
    while (one.held > 0)
        report(&one, TASK_AGAIN, clock_wall_ms() + 60000);
    until(one.loop, number(redis_ask("ZCARD ph:{0}:wdue")) == 8);
    until(one.loop, one.claims == 9);
    assert_int_equal(one.held, 1);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s flying", id.text), "1");
    assert_int_equal(number(redis_ask("LLEN ph:{0}:w:%s", id.text)), 11);
    assert_int_equal(number(redis_ask("LLEN ph:{0}:wring")), 0);
    report(&one, TASK_AGAIN, clock_wall_ms() + 60000);
    until(one.loop, one.claims == 10);
    assert_int_equal(one.held, 1);
    report(&one, TASK_DONE, 0); /* it is well again */
    until(one.loop, one.held == 8);
    assert_int_equal(one.claims, 10 + 8);
}

static void a_failed_task_comes_again_in_time(void **state)
{
    struct id id = endpoint("email.sent");
    char first[64];

    (void)state;
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    snprintf(first, sizeof first, "%.*s", STR_ARG(one.hand[0]->webhook_id));
    report(&one, TASK_AGAIN, clock_wall_ms() + 30);
    until(one.loop, state_is(&id, "due"));
    assert_int_equal(number(redis_ask("ZCARD ph:{0}:wdue")), 1);
    assert_true(number(redis_ask("HGET ph:{0}:we:%s failing", id.text)) > 0);
    until(one.loop, one.held == 1);
    assert_int_equal(one.hand[0]->attempt, 2);
    assert_true(str_eq(one.hand[0]->webhook_id, str_of(first)));
    report(&one, TASK_DONE, 0);
    until(one.loop, state_is(&id, "done"));
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s failing", id.text), "nil");
    assert_int_equal(number(redis_ask("XLEN ph:{0}:wa:%s", id.text)), 2);
}

static void a_busy_endpoint_is_left_alone(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 20);
    until(one.loop, one.held == 8);
    report(&one, TASK_BUSY, clock_wall_ms() + 200);
    until(one.loop, number(redis_ask("ZCARD ph:{0}:wdue")) == 2);
    while (one.held > 0)
        report(&one, TASK_DONE, 0);
    until(one.loop,
          strcmp(redis_ask("HGET ph:{0}:we:%s flying", id.text), "0") == 0);
    assert_int_equal(one.claims, 8);
    endpoint("email.sent"); /* another one is not concerned */
    one.reports = true;
    raise_events(EVENT_SENT, 3);
    until(one.loop, one.claims == 8 + 3);
    until(one.loop, strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0);
    assert_int_equal(one.claims, 8 + 3 + 13 + 3);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s paused", id.text), "nil");
}

static void an_unsent_task_has_no_attempt(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    report(&one, TASK_UNSENT, 0);
    until(one.loop, one.claims == 2);
    assert_int_equal(one.hand[0]->attempt, 1);
    assert_int_equal(number(redis_ask("XLEN ph:{0}:wa:%s", id.text)), 0);
}

static void a_given_up_task_stays_failed(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    report(&one, TASK_FAILED, 0);
    until(one.loop, state_is(&id, "failed"));
    assert_string_equal(redis_ask("HGET ph:{0}:n backlog"), "0");
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s enabled", id.text), "1");
}

static void a_gone_endpoint_is_disabled_and_told_of(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    one.room = 1;
    raise_events(EVENT_SENT, 30);
    until(one.loop, one.held == 1);
    endpoint("webhook.disabled");
    report(&one, TASK_GONE, 0);
    until(one.loop, one.held == 1);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s enabled", id.text), "0");
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s reason", id.text), "gone");
    assert_int_equal(number(redis_ask("EXISTS ph:{0}:w:%s", id.text)), 0);
    assert_true(
        str_starts(one.hand[0]->payload, S("{\"type\":\"webhook.disabled\",")));
    assert_true(str_contains(one.hand[0]->payload, S("\"reason\":\"gone\"")));
    report(&one, TASK_DONE, 0);
    until(one.loop, strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0);
    raise_events(EVENT_SENT, 1);
    until(one.loop, number(redis_ask("LLEN ph:{0}:evring")) == 0);
    assert_int_equal(number(redis_ask("EXISTS ph:{0}:w:%s", id.text)), 0);
}

static void five_days_of_failure_disable(void **state)
{
    struct id id = endpoint("email.sent");
    int64_t now_ms = clock_wall_ms();

    (void)state;
    raise_events(EVENT_SENT, 3);
    until(one.loop, one.held == 3);
    redis_do("HSET ph:{0}:we:%s failing %lld", id.text,
             (long long)(now_ms - INT64_C(5) * 86400000 + 60000));
    report(&one, TASK_AGAIN, now_ms + 60000);
    until(one.loop, number(redis_ask("ZCARD ph:{0}:wdue")) == 1);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s enabled", id.text), "1");
    redis_do("HSET ph:{0}:we:%s failing %lld", id.text,
             (long long)(now_ms - INT64_C(5) * 86400000));
    report(&one, TASK_AGAIN, now_ms + 60000);
    until(one.loop,
          strcmp(redis_ask("HGET ph:{0}:we:%s enabled", id.text), "0") == 0);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s reason", id.text),
                        "failing");
    /* What is under way ends by its report, what is due by its time. */
    report(&one, TASK_AGAIN, now_ms + 60000);
    redis_do("EVAL %s 0",
             "for _, task in ipairs(redis.call('ZRANGE', 'ph:{0}:wdue', 0, "
             "-1)) do redis.call('ZADD', 'ph:{0}:wdue', 1, task) end");
    until(one.loop, strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0);
    assert_int_equal(one.claims, 3);
}

static void a_full_endpoint_is_refilled_and_loses_nothing(void **state)
{
    enum { COUNT = 10300 };
    struct id id = endpoint("email.sent");

    (void)state;
    one.room = 0;
    raise_events(EVENT_SENT, 1);
    redis_do("EVAL %s 0 %d",
             "local record = redis.call('XRANGE', 'ph:{0}:ev:a', '-', '+', "
             "'COUNT', 1)[1][2][2] for i = 2, ARGV[1] do redis.call('XADD', "
             "'ph:{0}:ev:a', '*', 'e', record) end",
             COUNT);
    announce();
    until(one.loop, number(redis_ask("LLEN ph:{0}:evring")) == 0);
    assert_int_equal(number(redis_ask("LLEN ph:{0}:w:%s", id.text)), 10000);
    assert_string_not_equal(redis_ask("HGET ph:{0}:we:%s behind", id.text),
                            "nil");
    one.room = HAND_MAX;
    one.reports = true;
    queue_hooks_hungry(one.queue);
    until(one.loop, one.claims == COUNT &&
                        strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0);
    until(one.loop, number(redis_ask("SCARD ph:{0}:wbehind")) == 0);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s behind", id.text), "nil");
    assert_int_equal(one.claims, COUNT);
}

static void on_answer(void *ctx, const struct queue_answer *answer)
{
    assert_int_equal(answer->status, QUEUE_OK);
    *(bool *)ctx = true;
}

static void a_deleted_endpoint_does_not_come_back(void **state)
{
    struct id id = endpoint("email.sent");
    bool deleted = false;

    (void)state;
    raise_events(EVENT_SENT, 12);
    until(one.loop, one.held == 8);
    report(&one, TASK_AGAIN, clock_wall_ms() + 30);
    until(one.loop,
          strcmp(redis_ask("HGET ph:{0}:we:%s flying", id.text), "7") == 0);
    queue_endpoint_delete(one.queue, owner_of("a"), &id, on_answer, &deleted);
    until(one.loop, deleted);
    while (one.held > 0)
        report(&one, TASK_AGAIN, clock_wall_ms() + 30);
    until(one.loop, strcmp(redis_ask("HGET ph:{0}:n backlog"), "0") == 0);
    assert_int_equal(number(redis_ask("EXISTS ph:{0}:we:%s", id.text)), 0);
    assert_int_equal(number(redis_ask("ZCARD ph:{0}:wdue")), 0);
    assert_int_equal(one.claims, 8);
}

/* What the old address asked for, and how it failed, is not the new one's. */
static void a_new_address_is_asked_at_once(void **state)
{
    struct id id = endpoint("email.sent");
    const struct str same = S("https://hook.example/");
    const struct str url = S("https://new.example/");
    bool changed = false;

    (void)state;
    raise_events(EVENT_SENT, 3);
    until(one.loop, one.held == 3);
    report(&one, TASK_BUSY, clock_wall_ms() + 3600000);
    report(&one, TASK_UNSENT, 0);
    until(one.loop, number(redis_ask("LLEN ph:{0}:w:%s", id.text)) == 1);
    queue_endpoint_update(one.queue, owner_of("a"), &id,
                          &(struct endpoint_change){.url = &same}, on_answer,
                          &changed);
    until(one.loop, changed);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s paused", id.text), "1");
    queue_endpoint_update(one.queue, owner_of("a"), &id,
                          &(struct endpoint_change){.url = &url}, on_answer,
                          &changed);
    until(one.loop, one.claims == 4);
    assert_true(str_eq(one.hand[1]->endpoint->url, url));
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s paused", id.text), "nil");
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s failing", id.text), "nil");
    assert_int_equal(number(redis_ask("ZCARD ph:{0}:wdue")), 1); /* the task */
}

static void enable(const struct id *id, bool enabled)
{
    bool changed = false;

    queue_endpoint_update(one.queue, owner_of("a"), id,
                          &(struct endpoint_change){.enabled = &enabled},
                          on_answer, &changed);
    until(one.loop, changed);
}

/* What was under way when it was disabled may fail behind that. */
static void one_enabled_again_has_not_failed_since(void **state)
{
    struct id id = endpoint("email.sent");
    int64_t now_ms = clock_wall_ms();

    (void)state;
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    enable(&id, false);
    report(&one, TASK_AGAIN, now_ms + 60000);
    until(one.loop, state_is(&id, "failed"));
    redis_do("HSET ph:{0}:we:%s failing %lld", id.text,
             (long long)(now_ms - INT64_C(6) * 86400000)); /* six days ago */
    enable(&id, true);
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    report(&one, TASK_AGAIN, now_ms + 60000);
    until(one.loop, number(redis_ask("ZCARD ph:{0}:wdue")) == 1);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s enabled", id.text), "1");
    enable(&id, true); /* nothing new */
    assert_true(number(redis_ask("HGET ph:{0}:we:%s failing", id.text)) > 0);
}

static void without_the_key_it_is_given_back(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    child_close(&one);
    child_open(&one, NULL);
    raise_events(EVENT_SENT, 1);
    until(one.loop, state_is(&id, "due"));
    assert_int_equal(one.claims, 0);
    child_open(&two, keyring);
    child_close(&one);
    redis_do("EVAL %s 0",
             "redis.call('ZADD', 'ph:{0}:wdue', 1, redis.call('ZRANGE', "
             "'ph:{0}:wdue', 0, 0)[1])");
    until(two.loop, two.held == 1);
    assert_int_equal(two.hand[0]->attempt, 1);
    child_open(&one, keyring);
}

/* In history_bytes, as all that the sweep takes away. */
static void what_tells_of_it_is_charged(void **state)
{
    static const char bytes[] =
        "local e = redis.call('XREVRANGE', 'ph:{0}:ev:a', '+', '-', 'COUNT', 1)"
        " return #e[1][2][2] + 20";
    long before;

    (void)state;
    endpoint("email.sent");
    one.room = 1;
    raise_events(EVENT_SENT, 1);
    until(one.loop,
          one.held == 1 && number(redis_ask("LLEN ph:{0}:evring")) == 0);
    before = number(redis_ask("HGET ph:{0}:n history_bytes"));
    report(&one, TASK_GONE, 0);
    until(one.loop, number(redis_ask("XLEN ph:{0}:ev:a")) == 2);
    assert_int_equal(number(redis_ask("HGET ph:{0}:n history_bytes")) - before,
                     number(redis_ask("EVAL %s 0", bytes)));
}

static void a_task_whose_email_is_gone_fails(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    one.room = 0;
    raise_events(EVENT_SENT, 1);
    until(one.loop, number(redis_ask("LLEN ph:{0}:w:%s", id.text)) == 1);
    redis_do("DEL ph:{0}:c:%s", email.text);
    one.room = 1;
    until(one.loop, state_is(&id, "failed"));
    assert_int_equal(one.claims, 0);
    assert_string_equal(redis_ask("HGET ph:{0}:we:%s failing", id.text), "nil");
}

static void a_task_whose_event_is_trimmed_ends(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    one.room = 0;
    raise_events(EVENT_SENT, 1);
    until(one.loop, number(redis_ask("LLEN ph:{0}:w:%s", id.text)) == 1);
    redis_do("XTRIM ph:{0}:ev:a MAXLEN 0");
    one.room = 1;
    until(one.loop, state_is(&id, "trimmed"));
    assert_string_equal(redis_ask("HGET ph:{0}:n backlog"), "0");
}

/* The token was taken by a child that died: the heartbeat looks, too. */
static void a_lost_token_costs_a_heartbeat(void **state)
{
    endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 1);
    redis_do("DEL ph:{0}:hwake");
    until(one.loop, one.held == 1);
}

/* What one has no room for is announced to another. */
static void work_that_is_left_wakes_another(void **state)
{
    (void)state;
    endpoint("email.sent");
    one.room = 1;
    child_open(&two, keyring);
    two.room = 0;
    raise_events(EVENT_SENT, 2);
    until_both(one.held == 1 && number(redis_ask("LLEN ph:{0}:hwake")) == 1);
    two.room = 5;
    queue_hooks_hungry(two.queue);
    until_both(two.held == 1);
}

static void on_drained(void *ctx)
{
    ((struct child *)ctx)->drained = true;
}

static void a_child_leaves_in_order(void **state)
{
    struct id id = endpoint("email.sent");

    (void)state;
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    queue_hooks_stop(one.queue, on_drained, &one);
    loop_turn(one.loop, 20);
    assert_false(one.drained);
    report(&one, TASK_DONE, 0);
    until(one.loop, one.drained);
    assert_true(state_is(&id, "done"));
    assert_int_equal(number(redis_ask("ZCARD ph:{0}:whooks")), 0);
    raise_events(EVENT_SENT, 1);
    loop_turn(one.loop, 20);
    assert_int_equal(one.claims, 1);
}

/* Whatever was on its way at that moment: work without a token is not left
 * behind. */
static void a_token_taken_while_stopping_is_handed_on(void **state)
{
    long left;

    (void)state;
    endpoint("email.sent");
    raise_events(EVENT_SENT, 1);
    until(one.loop, one.held == 1);
    until(one.loop, strstr(redis_ask("CLIENT LIST"), "flags=b") != NULL);
    queue_hooks_stop(one.queue, on_drained, &one);
    raise_events(EVENT_SENT, 1);
    until(one.loop, number(redis_ask("LLEN ph:{0}:hwake")) == 0);
    one.reports = true; /* a turn that was under way may bring the second */
    report(&one, TASK_DONE, 0);
    until(one.loop, one.drained);
    left = number(redis_ask("LLEN ph:{0}:evring")) +
           number(redis_ask("LLEN ph:{0}:wring"));
    assert_true(left == 0 || number(redis_ask("LLEN ph:{0}:hwake")) == 1);
}

static void a_role_that_ended_is_not_called(void **state)
{
    (void)state;
    endpoint("email.sent");
    raise_events(EVENT_SENT, 1);
    queue_hooks_end(one.queue);
    queue_hooks_end(one.queue);
    for (int i = 0; i < 5; i++)
        loop_turn(one.loop, 10);
    assert_int_equal(one.claims, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_event_is_handed_out_whole),
        TEST(a_wiped_mail_is_told_from_its_history),
        TEST(an_ended_task_is_kept_for_a_day),
        TEST(the_timeline_is_built_and_the_ring_emptied),
        TEST(owners_take_turns),
        TEST(many_endpoints_get_each_event_once),
        TEST(endpoints_get_what_they_name),
        TEST(a_race_hands_out_each_event_once),
        TEST(what_a_dead_child_held_is_given_back),
        TEST(what_a_dead_child_held_is_released),
        TEST(a_report_after_the_lease_is_refused),
        TEST(a_task_that_was_claimed_anew_comes_again),
        TEST(a_lost_connection_loses_nothing),
        TEST(a_claim_whose_answer_was_lost_comes_again),
        TEST(eight_fly_per_endpoint_over_all_children),
        TEST(one_slow_endpoint_delays_nobody),
        TEST(a_failing_endpoint_gets_one_at_a_time),
        TEST(a_failed_task_comes_again_in_time),
        TEST(a_busy_endpoint_is_left_alone),
        TEST(an_unsent_task_has_no_attempt),
        TEST(a_given_up_task_stays_failed),
        TEST(a_gone_endpoint_is_disabled_and_told_of),
        TEST(what_tells_of_it_is_charged),
        TEST(five_days_of_failure_disable),
        TEST(a_full_endpoint_is_refilled_and_loses_nothing),
        TEST(a_deleted_endpoint_does_not_come_back),
        TEST(a_new_address_is_asked_at_once),
        TEST(one_enabled_again_has_not_failed_since),
        TEST(without_the_key_it_is_given_back),
        TEST(a_task_whose_email_is_gone_fails),
        TEST(a_task_whose_event_is_trimmed_ends),
        TEST(a_lost_token_costs_a_heartbeat),
        TEST(work_that_is_left_wakes_another),
        TEST(a_child_leaves_in_order),
        TEST(a_token_taken_while_stopping_is_handed_on),
        TEST(a_role_that_ended_is_not_called),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup,
                                  fixture_group_teardown);
}
