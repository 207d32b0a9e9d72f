/* The DKIM keys that a worker has opened, over a Redis of its own: who waits
 * for them, how many are kept, and what becomes of those that are gone, broken,
 * sealed to another worker or out of reach. */
#include "server/worker/dkim_keys.h"

#include "dkim_fixture.h"
#include "server/base/secret.h"

#include <poll.h>
#include <unistd.h>

enum {
    KEPT_MAX = 256,
    LOCKED_MS = 5000,
    NOT_READY_MS = 60000,
    MINUTE_MS = 60000,
    MAILS_MAX = 8
};

/* A second generation takes over, or at first just lies there. */
static void rotate(struct world *world, struct stored *stored,
                   bool is_compromised)
{
    struct sender_domain *domain = &stored->is;
    struct sender_key *next = &domain->keys[domain->key_count];
    struct sealed sealed;

    domain->name = str_of(stored->domain);
    if (is_compromised)
        sender_domain_compromise(domain, clock_shared_ms());
    *next = (struct sender_key){.id = id_new(0),
                                .generation = 2,
                                .rsa_selector = S("phr2"),
                                .ed25519_selector = S("phe2"),
                                .created_ms = 1000};
    domain->key_count++;
    sender_domain_switch(domain, clock_shared_ms(), 0);
    seal(&sealed, domain->name, &next->id, buf_str(&all.der[DKIM_RSA]),
         buf_str(&all.der[DKIM_ED25519]));
    made = (struct answered){0};
    queue_domain_put(
        world->queue, ANNE,
        &(struct domain_put){
            .domain = domain,
            .new_key = &next->id,
            .sealed = &(struct sender_sealed){buf_str(&sealed.rsa),
                                              buf_str(&sealed.ed25519)}},
        on_answered, &made);
    until(world->loop, made.count > 0);
    assert_int_equal(made.status, QUEUE_OK);
    domain->version++;
    buf_finish(&sealed.rsa);
    buf_finish(&sealed.ed25519);
}

/* As the sweep does it. */
static void wipe(const struct id *generation)
{
    redis_do("HDEL ph:{0}:dk:anne %s", generation->text);
}

/* --- mails that need them --- */

static struct keyholder *holder;
static char told[64];    /* names of mails, as they were told */
static unsigned changes; /* of being ready */

static void on_ready_changed(void *ctx)
{
    (void)ctx;
    changes++;
}

static int setup(void **state)
{
    struct world *world = world_create();

    *state = world;
    redis_do("HSET ph:o:anne partition 0");
    redis_do("CONFIG SET slowlog-log-slower-than 0 appendfsync no");
    memset(told, 0, sizeof told);
    changes = 0;
    holder = keyholder_open(world->loop, world->queue, all.ours,
                            on_ready_changed, NULL);
    return 0;
}

static int teardown(void **state)
{
    keyholder_close(&holder);
    clock_set(-1, -1);
    return world_teardown(state);
}

static void hold_with(struct world *world, const struct seal_keys *keys)
{
    keyholder_close(&holder);
    holder =
        keyholder_open(world->loop, world->queue, keys, on_ready_changed, NULL);
}

struct needing {
    struct dkim_keys_user user;
    char name;
    struct needing *takes_along; /* leaves, too, when this one is told */
    bool leaves;
};

static void on_told(void *ctx)
{
    struct needing *mail = ctx;

    told[strlen(told)] = mail->name;
    if (mail->takes_along != NULL)
        dkim_keys_leave(&mail->takes_along->user);
    if (mail->leaves)
        dkim_keys_leave(&mail->user);
}

/* True: at once. */
static bool join(struct needing *mail, char name, const struct stored *stored)
{
    struct job_signing signing = {.domain = str_of(stored->domain),
                                  .key = id_str(&stored->id)};

    *mail = (struct needing){.name = name};
    mail->user.ready = on_told;
    mail->user.ctx = mail;
    return dkim_keys_join(holder, ANNE, &signing, &mail->user);
}

static bool has_told(const char *names)
{
    return strcmp(told, names) == 0;
}

/* Joins one mail, waits if it must, and gives what it was told. */
static const struct dkim_keys *join_and_wait(struct world *world,
                                             struct needing *mail,
                                             const struct stored *stored)
{
    memset(told, 0, sizeof told);
    if (!join(mail, 'x', stored))
        until(world->loop, has_told("x"));
    return mail->user.keys;
}

static void assert_signs_by(const struct dkim_keys *keys,
                            const struct stored *stored, unsigned generation)
{
    const struct compose_signing *signing = &keys->signing;
    struct buf text;

    assert_int_equal(keys->state, DKIM_KEYS_READY);
    assert_true(str_eq(signing->domain, str_of(stored->domain)));
    assert_int_equal(signing->count, DKIM_ALGORITHMS);
    assert_true(str_eq(signing->signers[0].selector,
                       generation == 1 ? S("phr1") : S("phr2")));
    assert_true(str_eq(signing->signers[1].selector,
                       generation == 1 ? S("phe1") : S("phe2")));
    for (size_t i = 0; i < DKIM_ALGORITHMS; i++) {
        buf_init(&text, DKIM_PUBLIC_MAX);
        dkim_key_public(signing->signers[i].key, &text);
        assert_true(str_eq(buf_str(&text), buf_str(&all.text[i])));
        buf_finish(&text);
    }
}

static void assert_signs(const struct dkim_keys *keys,
                         const struct stored *stored)
{
    assert_signs_by(keys, stored, 1);
}

/* How often keys were asked of Redis since the last call. */
static unsigned fetches(void)
{
    const char *all_calls = redis_ask("SLOWLOG GET -1");
    unsigned count = 0;

    while ((all_calls = strstr(all_calls, " ph:{0}: anne a")) != NULL) {
        count++;
        all_calls++;
    }
    redis_do("SLOWLOG RESET");
    return count;
}

/* The monotonic clock goes on by so much; timers with it. */
static void pass(struct world *world, int64_t ms)
{
    clock_set(clock_now_ms() + ms, clock_wall_ms() + ms);
    loop_turn(world->loop, 0);
}

/* --- tests --- */

static void mails_wait_for_one_fetch(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mails[3];

    fetches();
    for (size_t i = 0; i < 3; i++)
        assert_false(join(&mails[i], (char)('a' + i), &stored));
    assert_string_equal(told, ""); /* never within the call */
    until(world->loop, has_told("abc"));
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(mails[i].user.keys, mails[0].user.keys);
        assert_signs(mails[i].user.keys, &stored);
    }
    for (size_t i = 0; i < 3; i++)
        dkim_keys_leave(&mails[i].user);
    assert_true(join(&mails[0], 'd', &stored));
    assert_signs(mails[0].user.keys, &stored);
    dkim_keys_leave(&mails[0].user);
    dkim_keys_leave(&mails[0].user); /* again: nothing */
    assert_string_equal(told, "abc");
    assert_int_equal(fetches(), 1);
}

static void each_generation_is_one_of_its_own(void **state)
{
    struct world *world = *state;
    struct stored one = store_good(world, 1);
    struct stored two = store_good(world, 2);
    struct needing mails[2];

    assert_false(join(&mails[0], 'a', &one));
    assert_false(join(&mails[1], 'b', &two));
    until(world->loop, strlen(told) == 2);
    assert_signs(mails[0].user.keys, &one);
    assert_signs(mails[1].user.keys, &two);
    dkim_keys_leave(&mails[0].user);
    dkim_keys_leave(&mails[1].user);
}

static void a_mail_may_leave_before_it_is_told(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mails[4];

    for (size_t i = 0; i < 4; i++)
        assert_false(join(&mails[i], (char)('a' + i), &stored));
    dkim_keys_leave(&mails[0].user);
    mails[1].takes_along = &mails[2]; /* from within what the other is told */
    mails[1].leaves = true;
    until(world->loop, has_told("bd"));
    assert_signs(mails[3].user.keys, &stored);
    dkim_keys_leave(&mails[3].user);
    loop_turn(world->loop, 0);
    assert_string_equal(told, "bd");
}

static void keys_come_for_nobody(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mail;

    fetches();
    assert_false(join(&mail, 'a', &stored));
    dkim_keys_leave(&mail.user);
    assert_signs(join_and_wait(world, &mail, &stored), &stored);
    dkim_keys_leave(&mail.user);
    assert_int_equal(fetches(), 1); /* the second waited for the same */
}

static void the_longest_unused_go(void **state)
{
    static struct stored stored[KEPT_MAX + 2];
    struct world *world = *state;
    struct needing user;
    struct needing mail;

    for (unsigned i = 0; i < KEPT_MAX + 2; i++)
        stored[i] = store_good(world, i);
    assert_signs(join_and_wait(world, &user, &stored[0]), &stored[0]);
    for (unsigned i = 1; i < KEPT_MAX; i++) {
        assert_signs(join_and_wait(world, &mail, &stored[i]), &stored[i]);
        dkim_keys_leave(&mail.user);
    }
    fetches();
    for (unsigned i = 1; i < KEPT_MAX; i++) { /* all are there */
        assert_true(join(&mail, 'm', &stored[i]));
        dkim_keys_leave(&mail.user);
    }
    assert_int_equal(fetches(), 0);
    assert_true(join(&mail, 'm', &stored[1])); /* used again: 2 is the oldest */
    dkim_keys_leave(&mail.user);
    for (unsigned i = KEPT_MAX; i < KEPT_MAX + 2; i++) {
        join_and_wait(world, &mail, &stored[i]);
        dkim_keys_leave(&mail.user);
    }
    assert_true(join(&mail, 'm', &stored[1]));
    dkim_keys_leave(&mail.user);
    assert_true(join(&mail, 'm', &stored[4]));
    dkim_keys_leave(&mail.user);
    assert_int_equal(fetches(), 2);
    for (unsigned i = 2; i < 4; i++) {
        assert_signs(join_and_wait(world, &mail, &stored[i]), &stored[i]);
        dkim_keys_leave(&mail.user);
    }
    assert_int_equal(fetches(), 2);
    assert_signs(user.user.keys, &stored[0]); /* in use all the time */
    dkim_keys_leave(&user.user);
}

/* By which the thread tells the loop; -1: it has not been needed yet. */
static int thread_event(void)
{
    char path[32];
    char what[32];

    for (int fd = 0; fd < 256; fd++) {
        ssize_t len;

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        len = readlink(path, what, sizeof what);
        if (len > 0 &&
            str_eq(str_make(what, (size_t)len), S("anon_inode:[eventfd]")))
            return fd;
    }
    return -1;
}

/* The thread is done, and the loop has not heard of it. */
static void until_opened_unheard(struct world *world)
{
    struct pollfd event = {.events = POLLIN};

    while ((event.fd = thread_event()) < 0)
        loop_turn(world->loop, 10);
    assert_int_equal(poll(&event, 1, -1), 1);
}

static void what_the_thread_opens_is_there_when_the_loop_has_it(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mails[2];

    assert_false(join(&mails[0], 'a', &stored));
    until_opened_unheard(world);
    assert_int_equal(mails[0].user.keys->state, DKIM_KEYS_LOADING);
    assert_false(join(&mails[1], 'b', &stored));
    until(world->loop, has_told("ab"));
    assert_signs(mails[1].user.keys, &stored);
    dkim_keys_leave(&mails[0].user);
    dkim_keys_leave(&mails[1].user);
}

/* Under ASan: they are dropped when the loop has them, not before. */
static void keys_that_break_meanwhile_are_dropped_once(void **state)
{
    struct world *world = *state;
    struct stored stored;
    struct needing mail;

    store(world, 1, S("no key"), buf_str(&all.der[DKIM_ED25519]), &stored);
    assert_false(join(&mail, 'a', &stored));
    until_opened_unheard(world);
    dkim_keys_leave(&mail.user);
    assert_false(join(&mail, 'b', &stored)); /* still the same */
    until(world->loop, has_told("b"));
    assert_int_equal(mail.user.keys->state, DKIM_KEYS_LOST);
    dkim_keys_leave(&mail.user);
}

/* As many as mails of that many domains need at once; then as few as before. */
static void more_than_are_kept_may_be_in_use(void **state)
{
    static struct stored stored[KEPT_MAX + 10];
    static struct needing mails[KEPT_MAX + 10];
    struct world *world = *state;
    unsigned kept = 0;
    struct needing mail;

    for (unsigned i = 0; i < COUNT_OF(stored); i++) {
        stored[i] = store_good(world, i);
        join_and_wait(world, &mails[i], &stored[i]);
    }
    for (unsigned i = 0; i < COUNT_OF(stored); i++)
        assert_signs(mails[i].user.keys, &stored[i]);
    for (unsigned i = 0; i < COUNT_OF(stored); i++)
        dkim_keys_leave(&mails[i].user);
    fetches();
    for (unsigned i = COUNT_OF(stored); i-- > 0;) {
        kept += join(&mails[i], 'm', &stored[i]);
        if (mails[i].user.keys->state == DKIM_KEYS_LOADING)
            break;
        dkim_keys_leave(&mails[i].user);
    }
    assert_int_equal(kept, KEPT_MAX);
    dkim_keys_leave(&mails[COUNT_OF(stored) - KEPT_MAX - 1].user);
    assert_signs(join_and_wait(world, &mail, &stored[9]), &stored[9]);
    dkim_keys_leave(&mail.user);
}

static void keys_that_are_gone_are_told_and_forgotten(void **state)
{
    struct world *world = *state;
    struct stored gone = {.id = id_new(0), .domain = "a1.example"};
    struct needing mails[2];
    struct error why;

    assert_false(join(&mails[0], 'a', &gone));
    assert_false(join(&mails[1], 'b', &gone));
    until(world->loop, has_told("ab"));
    assert_int_equal(mails[0].user.keys->state, DKIM_KEYS_LOST);
    assert_int_equal(mails[0].user.keys->why.kind, ERR_REMOTE);
    assert_string_equal(mails[0].user.keys->why.text,
                        "the DKIM keys of the mail are gone");
    dkim_keys_leave(&mails[0].user);
    dkim_keys_leave(&mails[1].user);
    assert_false(join(&mails[0], 'c', &gone)); /* asked again */
    until(world->loop, has_told("abc"));
    dkim_keys_leave(&mails[0].user);
    assert_true(keyholder_is_ready(holder, &why)); /* no fault of the worker */
    assert_int_equal(changes, 0);
}

/* What stands in Redis in the place of one generation. */
static void put(const struct stored *stored, const char *text)
{
    redis_do("HSET ph:{0}:dk:anne %s %s", stored->id.text, text);
}

static void assert_unreadable(struct world *world, const struct stored *stored)
{
    const struct dkim_keys *keys;
    struct needing mail;
    struct error why;

    keys = join_and_wait(world, &mail, stored);
    assert_int_equal(keys->state, DKIM_KEYS_LOST);
    assert_string_equal(keys->why.text,
                        "the DKIM keys of the mail cannot be read");
    dkim_keys_leave(&mail.user);
    assert_true(keyholder_is_ready(holder, &why));
}

static void broken_keys_end_their_mail_alone(void **state)
{
    struct world *world = *state;
    struct stored good = store_good(world, 1);
    struct stored moved = store_good(world, 2);
    struct stored renamed = store_good(world, 3);
    struct stored cut = store_good(world, 4);
    struct stored no_key;
    struct stored swapped;
    struct needing mail;

    /* Sealed for another generation, or asked for by one that is no domain of
     * the owner's. */
    put(&moved, redis_ask("HGET ph:{0}:dk:anne %s", good.id.text));
    assert_unreadable(world, &moved);
    snprintf(renamed.domain, sizeof renamed.domain, "a9.example");
    assert_unreadable(world, &renamed);
    /* Bytes that nobody sealed. */
    put(&cut, "a4.example phr1 phe1 w1 w1 ");
    assert_unreadable(world, &cut);
    /* What is sealed is no key, or that of the other algorithm. */
    store(world, 5, S("no key"), buf_str(&all.der[DKIM_ED25519]), &no_key);
    assert_unreadable(world, &no_key);
    store(world, 6, buf_str(&all.der[DKIM_ED25519]),
          buf_str(&all.der[DKIM_RSA]), &swapped);
    assert_unreadable(world, &swapped);
    store(world, 7, buf_str(&all.der[DKIM_RSA]), S("no key"), &no_key);
    assert_unreadable(world, &no_key);
    assert_signs(join_and_wait(world, &mail, &good), &good);
    dkim_keys_leave(&mail.user);
}

static void a_locked_key_is_asked_for_again(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mails[2];
    const struct dkim_keys *keys;
    struct error why = {0};

    pass(world, 0); /* from now on it stands still */
    hold_with(world, all.others);
    assert_true(keyholder_is_ready(holder, &why));
    fetches();
    keys = join_and_wait(world, &mails[0], &stored);
    assert_int_equal(keys->state, DKIM_KEYS_LOCKED);
    assert_non_null(strstr(keys->why.text, all.sealed_to.id));
    assert_false(keyholder_is_ready(holder, &why));
    assert_string_equal(why.text, keys->why.text);
    assert_int_equal(changes, 1);
    dkim_keys_leave(&mails[0].user);
    pass(world, LOCKED_MS - 1);
    assert_true(join(&mails[0], 'a', &stored)); /* not yet */
    assert_int_equal(mails[0].user.keys->state, DKIM_KEYS_LOCKED);
    assert_int_equal(fetches(), 1);
    pass(world, 1);
    assert_true(join(&mails[1], 'b', &stored)); /* one still has it */
    dkim_keys_leave(&mails[0].user);
    dkim_keys_leave(&mails[1].user);
    keys = join_and_wait(world, &mails[0], &stored);
    assert_int_equal(keys->state, DKIM_KEYS_LOCKED);
    assert_int_equal(fetches(), 1);
    dkim_keys_leave(&mails[0].user);
    assert_int_equal(changes, 1);
}

static void a_worker_is_ready_a_minute_after_the_last_locked_key(void **state)
{
    struct world *world = *state;
    struct stored one = store_good(world, 1);
    struct stored two = store_good(world, 2);
    struct needing mail;
    struct error why = {0};

    pass(world, 0);         /* from now on it stands still */
    hold_with(world, NULL); /* no key at all */
    join_and_wait(world, &mail, &one);
    assert_int_equal(mail.user.keys->state, DKIM_KEYS_LOCKED);
    dkim_keys_leave(&mail.user);
    pass(world, NOT_READY_MS - 1);
    join_and_wait(world, &mail, &two);
    assert_int_equal(mail.user.keys->state, DKIM_KEYS_LOCKED);
    dkim_keys_leave(&mail.user);
    pass(world, NOT_READY_MS - 1);
    assert_false(keyholder_is_ready(holder, &why));
    assert_int_equal(changes, 1);
    pass(world, 1);
    assert_true(keyholder_is_ready(holder, &why));
    assert_int_equal(changes, 2);
}

static void redis_that_is_away_costs_a_key_nothing(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mail;
    struct error why = {0};

    fixture_stop();
    assert_false(join(&mail, 'a', &stored));
    until(world->loop, has_told("a"));
    assert_int_equal(mail.user.keys->state, DKIM_KEYS_AWAY);
    assert_string_equal(mail.user.keys->why.text,
                        "the DKIM keys of the mail could not be fetched");
    assert_true(keyholder_is_ready(holder, &why));
    dkim_keys_leave(&mail.user);
    fixture_start();
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_signs(join_and_wait(world, &mail, &stored), &stored);
    dkim_keys_leave(&mail.user);
}

/* --- generations that are revoked --- */

static void a_revoked_generation_hands_over(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mail;

    rotate(world, &stored, true);
    fetches();
    assert_signs_by(join_and_wait(world, &mail, &stored), &stored, 2);
    assert_int_equal(fetches(), 2);
    dkim_keys_leave(&mail.user);
    hold_with(world, all.ours);
    wipe(&stored.id); /* the way is found without */
    assert_signs_by(join_and_wait(world, &mail, &stored), &stored, 2);
    dkim_keys_leave(&mail.user);
    hold_with(world, all.ours);
    wipe(&stored.is.keys[1].id);
    assert_int_equal(join_and_wait(world, &mail, &stored)->state,
                     DKIM_KEYS_LOST);
    dkim_keys_leave(&mail.user);
}

static void an_old_generation_signs_for_seven_days(void **state)
{
    static const int64_t WEEK_MS = INT64_C(7) * 24 * 3600 * 1000;
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mail;

    pass(world, 0); /* from now on it stands still */
    rotate(world, &stored, false);
    clock_set(clock_now_ms(), clock_wall_ms() + WEEK_MS - 1);
    assert_signs(join_and_wait(world, &mail, &stored), &stored);
    dkim_keys_leave(&mail.user);
    clock_set(clock_now_ms(), clock_wall_ms() + MINUTE_MS);
    assert_signs_by(join_and_wait(world, &mail, &stored), &stored, 2);
    dkim_keys_leave(&mail.user);
}

static void who_signs_is_asked_anew_each_minute(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mails[3];

    pass(world, 0); /* from now on it stands still */
    join_and_wait(world, &mails[0], &stored);
    rotate(world, &stored, true);
    wipe(&stored.id);
    fetches();
    pass(world, MINUTE_MS - 1);
    assert_signs(join_and_wait(world, &mails[1], &stored), &stored);
    assert_int_equal(fetches(), 0);
    pass(world, 1);
    assert_signs_by(join_and_wait(world, &mails[2], &stored), &stored, 2);
    assert_int_equal(fetches(), 2);
    for (size_t i = 0; i < 2; i++) { /* these are being composed */
        assert_signs(mails[i].user.keys, &stored);
        dkim_keys_leave(&mails[i].user);
    }
    dkim_keys_leave(&mails[2].user);
    assert_true(join(&mails[0], 'a', &stored));
    assert_signs_by(mails[0].user.keys, &stored, 2);
    dkim_keys_leave(&mails[0].user);
    pass(world, MINUTE_MS); /* by itself it stays as it is */
    assert_signs_by(join_and_wait(world, &mails[0], &stored), &stored, 2);
    dkim_keys_leave(&mails[0].user);
}

/* As of a domain that was removed and added again. */
static void a_generation_that_its_domain_does_not_know_hands_over(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct stored before = store_good(world, 2);
    struct needing mail;

    snprintf(before.domain, sizeof before.domain, "a1.example");
    assert_signs(join_and_wait(world, &mail, &before), &stored);
    dkim_keys_leave(&mail.user);
}

static void keys_of_a_deleted_domain_go_on(void **state)
{
    struct domain_event event = {EVENT_TYPE_COUNT, S("")};
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mail;

    stored.is.name = str_of(stored.domain);
    made = (struct answered){0};
    queue_domain_delete(world->queue, ANNE, &stored.is, &event, on_answered,
                        &made);
    until(world->loop, made.count > 0);
    assert_int_equal(made.status, QUEUE_OK);
    assert_signs(join_and_wait(world, &mail, &stored), &stored);
    dkim_keys_leave(&mail.user);
}

/* Behind its minute a key is not trusted; whoever has it goes on. */
static void redis_that_is_away_is_waited_for(void **state)
{
    struct world *world = *state;
    struct stored stored = store_good(world, 1);
    struct needing mails[2];

    clock_set(clock_now_ms(), clock_wall_ms() - MINUTE_MS);
    join_and_wait(world, &mails[0], &stored);
    clock_set(-1, -1);
    fixture_stop();
    assert_int_equal(join_and_wait(world, &mails[1], &stored)->state,
                     DKIM_KEYS_AWAY);
    assert_signs(mails[0].user.keys, &stored);
    dkim_keys_leave(&mails[0].user);
    dkim_keys_leave(&mails[1].user);
    fixture_start();
    until(world->loop, queue_is_ready(world->queue, NULL));
    assert_signs(join_and_wait(world, &mails[0], &stored), &stored);
    dkim_keys_leave(&mails[0].user);
}

/* Under ASan: neither the fetch nor the thread has anything left. */
static void it_may_end_at_any_time(void **state)
{
    struct world *world = *state;
    struct stored one = store_good(world, 1);
    struct stored two = store_good(world, 2);
    struct needing mails[2];

    join_and_wait(world, &mails[0], &one);
    assert_false(join(&mails[1], 'b', &two));
    dkim_keys_leave(&mails[0].user);
    dkim_keys_leave(&mails[1].user);
    keyholder_close(&holder);
    assert_null(holder);
    keyholder_close(&holder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        TEST(mails_wait_for_one_fetch),
        TEST(each_generation_is_one_of_its_own),
        TEST(a_mail_may_leave_before_it_is_told),
        TEST(keys_come_for_nobody),
        TEST(what_the_thread_opens_is_there_when_the_loop_has_it),
        TEST(keys_that_break_meanwhile_are_dropped_once),
        TEST(the_longest_unused_go),
        TEST(more_than_are_kept_may_be_in_use),
        TEST(keys_that_are_gone_are_told_and_forgotten),
        TEST(broken_keys_end_their_mail_alone),
        TEST(a_locked_key_is_asked_for_again),
        TEST(a_worker_is_ready_a_minute_after_the_last_locked_key),
        TEST(redis_that_is_away_costs_a_key_nothing),
        TEST(a_revoked_generation_hands_over),
        TEST(an_old_generation_signs_for_seven_days),
        TEST(who_signs_is_asked_anew_each_minute),
        TEST(a_generation_that_its_domain_does_not_know_hands_over),
        TEST(keys_of_a_deleted_domain_go_on),
        TEST(redis_that_is_away_is_waited_for),
        TEST(it_may_end_at_any_time),
    };

    return cmocka_run_group_tests(tests, dkim_group_setup, dkim_group_teardown);
}
