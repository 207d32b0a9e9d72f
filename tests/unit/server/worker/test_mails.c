#include "server/worker/mails.h"

#include "check_cmocka.h"
#include "server/base/hand.h"
#include "server/worker/compose.h"

#include <string.h>
#include <sys/resource.h>

enum { LARGE = 1 << 20, WAIT_MS = 30000, TURNS_MAX = 100, USERS_MAX = 4 };

static struct loop *loop;
static struct mails mails;
static char told[USERS_MAX + 1]; /* names of users, as they were told */
static char hand[HAND_SIZE];

struct user {
    struct mail_user message;
    struct queue_claim claim;
    char name;
    bool leaves;
};

static int setup(void **state)
{
    (void)state;
    loop = loop_create();
    mails_init(&mails, loop, NULL);
    memset(told, 0, sizeof told);
    hand_use(hand);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mails_stop(&mails);
    assert_true(list_is_empty(&mails.all));
    assert_string_equal(hand, "");
    hand_use(NULL);
    loop_turn(loop, 0);
    loop_destroy(&loop);
    return 0;
}

/* A record as a worker reads it, with one attachment of so many bytes. */
static struct record *record_of(const char *from, unsigned to_count,
                                size_t bytes)
{
    static struct str to[] = {STR("ada@example.net"), STR("bob@example.net")};
    const struct id email = {"019ab000-0000-7000-8000-000000000001"};
    const struct summary summary = {
        .email = email,
        .owner = S("default"),
        .from = S("shop@example.com"),
        .to = to,
        .to_count = to_count,
        .subject = S("Hello"),
        .message_id = S("<019ab000@example.com>"),
        .created_ms = 1764000000000,
    };
    const struct job_attachment file = {
        .filename = S("a.bin"),
        .content_type = S("application/octet-stream"),
        .size_bytes = bytes,
    };
    enum record_result result;
    struct record *record;
    struct buf mail;
    struct buf out;

    buf_init(&mail, 4096);
    buf_init(&out, 1 << 16);
    buf_addf(&mail,
             "{\"from\":\"%s\",\"to\":[\"ada@example.net\"],"
             "\"subject\":\"Hello\",\"text\":\"Hi\"}",
             from);
    record_write(1, &summary, buf_str(&mail), &file, 1, 1764000000000, NULL,
                 NULL, &out);
    record = record_read(buf_str(&out), &email, NULL, &result);
    assert_int_equal(result, RECORD_OK);
    buf_finish(&mail);
    buf_finish(&out);
    return record;
}

static struct str attachment(size_t len)
{
    static char bytes[LARGE];

    assert_true(len <= sizeof bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 7 + i / 256);
    return str_make(bytes, len);
}

static void on_ready(void *ctx)
{
    struct user *user = ctx;

    told[strlen(told)] = user->name;
    if (user->leaves)
        mail_leave(&user->message);
}

/* As a claim of that record; true: it is composed. */
static bool join(struct user *user, char name, const struct record *record,
                 const struct str *bytes, unsigned lane)
{
    *user = (struct user){
        .message = {.ready = on_ready, .ctx = user},
        .claim = {.record = record, .attachments = bytes, .lane = lane},
        .name = name,
    };
    return mail_join(&mails, &user->claim, &user->message);
}

static void turn_until_told(size_t count)
{
    for (unsigned turn = 0; turn < TURNS_MAX && strlen(told) < count; turn++)
        loop_turn(loop, WAIT_MS);
    assert_int_equal(strlen(told), count);
}

static void assert_composed(const struct user *user)
{
    struct arena *arena = arena_create();
    struct composed composed;
    struct buf out;

    buf_init(&out, 2 * LARGE);
    assert_true(compose(user->claim.record, user->claim.attachments, arena,
                        &out, &composed, NULL));
    assert_true(user->message.mail->is_good);
    assert_true(str_eq(buf_str(&user->message.mail->bytes), buf_str(&out)));
    assert_true(str_eq(user->message.mail->composed.from, composed.from));
    buf_finish(&out);
    arena_destroy(&arena);
}

static void a_small_one_is_there_at_once(void **state)
{
    struct record *record = record_of("shop@example.com", 1, 1000);
    const struct str bytes = attachment(1000);
    struct user user;

    (void)state;
    assert_true(join(&user, 'a', record, &bytes, 0));
    assert_composed(&user);
    assert_null(mails.composer.work); /* no thread was needed */
    mail_leave(&user.message);
    record_destroy(&record);
}

static void a_large_one_is_told_later_to_all_who_share_it(void **state)
{
    struct record *record = record_of("shop@example.com", 2, LARGE);
    const struct str bytes = attachment(LARGE);
    struct user a;
    struct user b;
    struct user late;

    (void)state;
    assert_false(join(&a, 'a', record, &bytes, 0));
    assert_false(join(&b, 'b', record, &bytes, 0));
    assert_string_equal(told, "");
    assert_string_equal(hand, "019ab000-0000-7000-8000-000000000001");
    turn_until_told(2);
    assert_string_equal(told, "ab");
    assert_string_equal(hand, "");
    assert_ptr_equal(a.message.mail, b.message.mail);
    assert_composed(&a);
    assert_true(join(&late, 'c', record, &bytes, 0));
    mail_leave(&a.message);
    mail_leave(&b.message);
    assert_composed(&late);
    mail_leave(&late.message);
    assert_string_equal(told, "ab");
    record_destroy(&record);
}

/* The loop is held by it then. */
static void a_large_one_needs_no_thread(void **state)
{
    const struct str bytes = attachment(LARGE);
    struct record *record = record_of("shop@example.com", 1, LARGE);
    struct rlimit before;
    struct rlimit none;
    struct user user;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_false(join(&user, 'a', record, &bytes, 0));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_string_equal(told, ""); /* not from inside */
    turn_until_told(1);
    assert_composed(&user);
    mail_leave(&user.message);
    record_destroy(&record);
}

static void the_urgent_go_first_and_small_ones_pass_all(void **state)
{
    struct record *records[USERS_MAX];
    const struct str bytes = attachment(LARGE);
    struct record *small = record_of("shop@example.com", 1, 5);
    const struct str five = attachment(5);
    struct user users[USERS_MAX];
    struct user passing;

    (void)state;
    for (size_t i = 0; i < USERS_MAX; i++) {
        static const unsigned lanes[USERS_MAX] = {3, 3, 3, 0};

        records[i] = record_of("shop@example.com", 1, LARGE);
        assert_false(
            join(&users[i], (char)('a' + i), records[i], &bytes, lanes[i]));
        users[i].leaves = true;
    }
    assert_true(join(&passing, 'p', small, &five, 0));
    mail_leave(&passing.message);
    turn_until_told(USERS_MAX);
    assert_string_equal(told, "adbc"); /* the first had begun */
    for (size_t i = 0; i < USERS_MAX; i++)
        record_destroy(&records[i]);
    record_destroy(&small);
}

static void a_flaw_is_told_likewise(void **state)
{
    struct record *record = record_of("two@@example.com", 1, LARGE);
    const struct str bytes = attachment(LARGE);
    struct user user;

    (void)state;
    assert_false(join(&user, 'a', record, &bytes, 0));
    turn_until_told(1);
    assert_false(user.message.mail->is_good);
    assert_int_equal(user.message.mail->flaw.kind, ERR_INPUT);
    mail_leave(&user.message);
    record_destroy(&record);
}

static void who_stops_is_told_nothing(void **state)
{
    struct record *records[USERS_MAX];
    const struct str bytes = attachment(LARGE);
    struct user users[USERS_MAX];

    (void)state;
    for (size_t i = 0; i < USERS_MAX; i++) {
        records[i] = record_of("shop@example.com", 1, LARGE);
        assert_false(join(&users[i], 'a', records[i], &bytes, 0));
    }
    mail_leave(&users[2].message); /* its turn had not come */
    mails_stop(&mails);
    loop_turn(loop, 0);
    assert_string_equal(told, "");
    for (size_t i = 0; i < USERS_MAX; i++) {
        if (i != 2)
            mail_leave(&users[i].message);
        record_destroy(&records[i]);
    }
}

int main(void)
{
#define MAILS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        MAILS_TEST(a_small_one_is_there_at_once),
        MAILS_TEST(a_large_one_is_told_later_to_all_who_share_it),
        MAILS_TEST(a_large_one_needs_no_thread),
        MAILS_TEST(the_urgent_go_first_and_small_ones_pass_all),
        MAILS_TEST(a_flaw_is_told_likewise),
        MAILS_TEST(who_stops_is_told_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
